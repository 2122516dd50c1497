//! A stored head and trailer fields as they lie on disk: what is read has one spelling, and what comes of it can be
//! asked anything.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use http_cache::{
    Decisions, Ended, Fetch, ForwardReason, Handling, Outcome, Received, Request, Response, Settings,
    Standard, Stored, Time, decode_fields, encode_fields,
};
use std::sync::Arc;

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let request = map(&[("accept-encoding", "gzip;q=0.5, br"), ("x-a", "1"), ("range", "bytes=2-5")]);
    let target = Uri::from_static("http://h/");
    let seen =
        Request { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &request };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let time = Time::from_secs(1_795_262_400);
    let answers = [
        (200, map(&[("cache-control", "max-age=60"), ("content-length", "10")])),
        (
            200,
            map(&[
                ("cache-control", "s-maxage=5, stale-while-revalidate=9, stale-if-error=7"),
                ("vary", "accept-encoding, x-a, absent"),
                ("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT"),
                ("x-not-known", "a"),
                ("age", "7"),
            ]),
        ),
        (
            206,
            map(&[
                ("content-range", "bytes 2-5/10"),
                ("content-length", "4"),
                ("etag", "\"c\""),
                ("cache-control", "max-age=9, must-revalidate"),
            ]),
        ),
    ];
    let encoded = answers.iter().filter_map(|(status, headers)| {
        let status = StatusCode::from_u16(*status).unwrap();
        let response = Response { status, headers, request_time: time, response_time: time };
        let decisions = Standard::new(Settings::default());
        let Received::Store { stored, .. } = decisions.received(&seen, &fetch, &response, &[]) else {
            return None;
        };
        let mut octets = Vec::new();
        stored.encode(&mut octets);
        Some(octets)
    });
    let encoded: Vec<_> = encoded.collect();
    assert_eq!(encoded.len(), answers.len());
    encoded
}

pub(crate) fn run(input: &[u8]) {
    if let Some(fields) = decode_fields(input) {
        let mut again = Vec::new();
        encode_fields(&fields, &mut again);
        // Lines of one name come together when they are unpacked.
        assert_eq!(decode_fields(&again), Some(fields));
    }
    let Ok(stored) = Stored::decode(input) else { return };
    let mut again = Vec::new();
    stored.encode(&mut again);
    assert_eq!(again, input, "two spellings of one head");
    assert!(stored.weight() <= input.len() + 1024);
    ask(&stored);
}

fn ask(stored: &Stored) {
    let decisions = Standard::new(Settings::default());
    let target = Uri::from_static("http://h/");
    for lines in
        [&[][..], &[("range", "bytes=0-0, 2-")], &[("if-none-match", "*"), ("accept-language", "en")]]
    {
        let headers = map(lines);
        let request =
            Request { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &headers };
        let all = [Arc::new(stored.clone())];
        for now in [Time::from_secs(0), Time::from_secs(1_795_262_400), Time::from_millis(u64::MAX)] {
            let _ = decisions.plan(&request, &all, now);
            let handling = Handling {
                outcome: Outcome::Hit,
                stored: false,
                collapsed: false,
                detail: None,
                proxy: None,
            };
            let _ = decisions.reply(&request, stored, now, &handling);
            let _ = (
                stored.age(now),
                stored.ttl(now),
                stored.staleness(now),
                stored.validator(),
                stored.variant(),
            );
        }
        let _ = decisions.keep(stored, Ended::Complete, false);
    }
}
