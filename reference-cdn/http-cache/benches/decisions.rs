//! What each decision costs: `cargo bench -p http-cache`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use http_cache::{
    Decisions, Fetch, ForwardReason, Handling, Key, Outcome, Received, Request, Response, Settings, Standard,
    Stored, Time,
};

const NOW: Time = Time::from_secs(1_795_262_400);

/// What a browser sends for a style sheet.
const REQUEST: &[(&str, &str)] = &[
    ("host", "www.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
    ("accept", "text/css,*/*;q=0.1"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("connection", "keep-alive"),
    ("cookie", "session=0123456789abcdef; theme=dark"),
    ("referer", "https://www.example.com/"),
    ("sec-fetch-dest", "style"),
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-site", "same-origin"),
];

const RESPONSE: &[(&str, &str)] = &[
    ("server", "nginx"),
    ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
    ("content-type", "text/css"),
    ("content-length", "24301"),
    ("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT"),
    ("etag", "\"5f3a-1b2c\""),
    ("cache-control", "public, max-age=31536000, stale-while-revalidate=60"),
    ("vary", "Accept-Encoding"),
    ("content-encoding", "br"),
    ("connection", "keep-alive"),
    ("x-content-type-options", "nosniff"),
];

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())).collect()
}

fn decisions(criterion: &mut Criterion) {
    let standard = Standard::new(Settings::default());
    let target: Uri = "https://www.example.com/assets/site.css?v=20261121".parse().unwrap();
    let request_headers = headers(REQUEST);
    let request = Request {
        method: &Method::GET,
        target: &target,
        headers: &request_headers,
        version: http::Version::HTTP_11,
    };
    let response_headers = headers(RESPONSE);
    let response = Response {
        status: StatusCode::OK,
        headers: &response_headers,
        request_time: NOW,
        response_time: NOW,
    };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let Received::Store { stored, .. } = standard.received(&request, &fetch, &response, &[]) else {
        panic!("the response should be stored");
    };
    let stored: Arc<Stored> = Arc::new(stored.with_length(24_301));
    let variants = [Arc::clone(&stored)];
    let hit = Handling::of(Outcome::Hit);
    let conditional = {
        let mut headers = request_headers.clone();
        headers.insert("if-none-match", "\"5f3a-1b2c\"".parse().unwrap());
        headers
    };
    let revalidation = Request { headers: &conditional, ..request };
    let ranged = {
        let mut headers = request_headers.clone();
        headers.insert("range", "bytes=1000-1999".parse().unwrap());
        headers
    };
    let part = Request { headers: &ranged, ..request };

    criterion.bench_function("key", |bencher| bencher.iter(|| Key::of(black_box(&target))));
    criterion.bench_function("admit and look up", |bencher| {
        bencher.iter(|| {
            let request = black_box(&request);
            (standard.admit(request).is_ok(), standard.lookup(request))
        });
    });
    criterion.bench_function("reuse: a fresh variant", |bencher| {
        bencher.iter(|| standard.plan(black_box(&request), black_box(&variants), NOW));
    });
    criterion.bench_function("store: parse a response", |bencher| {
        bencher.iter(|| standard.received(black_box(&request), &fetch, black_box(&response), &[]));
    });
    criterion.bench_function("freshen: a 304", |bencher| {
        let confirmed = Response { status: StatusCode::NOT_MODIFIED, ..response };
        let fetch = Fetch { validate: Some(0), whole: true, ..fetch.clone() };
        bencher.iter(|| standard.received(black_box(&request), &fetch, black_box(&confirmed), &variants));
    });
    criterion.bench_function("reply: 200", |bencher| {
        bencher.iter(|| standard.reply(black_box(&request), black_box(&stored), NOW, &hit));
    });
    criterion.bench_function("reply: 304", |bencher| {
        bencher.iter(|| standard.reply(black_box(&revalidation), black_box(&stored), NOW, &hit));
    });
    criterion.bench_function("reply: 206", |bencher| {
        bencher.iter(|| standard.reply(black_box(&part), black_box(&stored), NOW, &hit));
    });
    criterion.bench_function("origin request", |bencher| {
        bencher.iter(|| standard.origin_request(black_box(&request), &fetch, None));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
