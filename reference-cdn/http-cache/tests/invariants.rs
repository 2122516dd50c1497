//! What holds whatever clients and origins send.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with the tables of rules")]
mod simulated_edge;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RANGE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_cache::{
    ClientDirectives, Decisions, Ended, Failure, Fetch, ForwardReason, Handling, Key, Outcome, Plan,
    Received, Request, Response, Selection, Settings, Standard, Stored, Time,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use simulated_edge::{ClientRequest, Edge, OriginAction, Source};

const START: u64 = 1_795_262_400;

/// Values that mean something to some field, so that random messages are not all nonsense.
const VALUES: &[&str] = &[
    "",
    "*",
    "0",
    "1",
    "60",
    "-1",
    "99999999999999999999",
    "max-age=60",
    "max-age=0",
    "s-maxage=60",
    "no-store",
    "no-cache",
    "private",
    "public, max-age=5",
    "no-cache=\"x-a\", max-age=60",
    "private=\"set-cookie\"",
    "must-revalidate, max-age=2",
    "must-understand, no-store, max-age=9",
    "max-age=1, stale-while-revalidate=60",
    "max-age=1, stale-if-error=60",
    "max-age=\"5\"",
    "max-stale",
    "min-fresh=5",
    "only-if-cached",
    "\"a",
    "\"a\"",
    "W/\"a\"",
    "\"a\", \"b\"",
    "a, b",
    "accept-encoding",
    "x-a, x-b",
    "close",
    "keep-alive, x-a",
    "gzip",
    "gzip;q=0.5, br",
    "en, de;q=0.7",
    "bytes=0-0",
    "bytes=-3",
    "bytes=2-",
    "bytes=0-1,3-4",
    "bytes=9-1",
    "bytes 0-4/10",
    "bytes 4-9/10",
    "bytes 0-9/10",
    "bytes */10",
    "Sat, 21 Nov 2026 12:00:00 GMT",
    "Sat, 21 Nov 2026 12:00:30 GMT",
    "Fri, 20 Nov 2026 12:00:00 GMT",
    "Saturday, 21-Nov-26 12:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "chunked",
    "5",
    "10",
    "/",
    "http://h/",
    "//other/",
    "multipart/byteranges; boundary=x",
    "reference-cdn",
    "; ; =",
    "a=\"\\\"",
];

const REQUEST_FIELDS: &[&str] = &[
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "cdn-loop",
    "connection",
    "content-length",
    "cookie",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "range",
    "te",
    "upgrade",
    "via",
    "x-a",
    "x-b",
];

const RESPONSE_FIELDS: &[&str] = &[
    "age",
    "cache-control",
    "cache-status",
    "cdn-cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "location",
    "set-cookie",
    "transfer-encoding",
    "vary",
    "x-a",
    "x-b",
];

fn value() -> impl Strategy<Value = HeaderValue> {
    let octets = vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff, Just(b'\t'), Just(b','), Just(b'"')], 0..24);
    prop_oneof![
        6 => select(VALUES).prop_map(HeaderValue::from_static),
        1 => octets.prop_map(|octets| HeaderValue::from_bytes(&octets).unwrap()),
    ]
}

fn fields(names: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    vec((select(names), value()), 0..8).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    })
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        8 => Just(Method::GET),
        2 => Just(Method::HEAD),
        1 => Just(Method::POST),
        1 => Just(Method::DELETE),
        1 => Just(Method::OPTIONS),
    ]
}

fn status() -> impl Strategy<Value = StatusCode> {
    let common = select(vec![
        200, 200, 200, 200, 200, 204, 206, 206, 206, 301, 304, 304, 304, 404, 416, 500, 503, 599,
    ]);
    prop_oneof![9 => common, 1 => 200_u16..=999].prop_map(|code| StatusCode::from_u16(code).unwrap())
}

#[derive(Clone, Debug)]
struct Step {
    after: u64,
    method: Method,
    path: &'static str,
    request: HeaderMap,
    fails: Option<Failure>,
    status: StatusCode,
    response: HeaderMap,
    body: Vec<u8>,
    ended: Ended,
}

fn step() -> impl Strategy<Value = Step> {
    let failure = select(vec![Failure::Connect, Failure::Response, Failure::Timeout]);
    (
        select(vec![0, 0, 1, 5, 30, 61, 3600]),
        method(),
        select(vec!["/", "/", "/", "/a?b"]),
        fields(REQUEST_FIELDS),
        prop::option::weighted(0.1, failure),
        (status(), fields(RESPONSE_FIELDS), vec(b'a'..=b'z', 0..12), prop::bool::weighted(0.1)),
    )
        .prop_map(|(after, method, path, request, fails, (status, response, body, cut))| Step {
            after,
            method,
            path,
            request,
            fails,
            status,
            response,
            body,
            ended: if cut { Ended::Truncated } else { Ended::Complete },
        })
}

fn standard(client_directives: ClientDirectives) -> Standard {
    Standard::new(Settings { client_directives, ..Settings::default() })
}

fn hit() -> Handling {
    Handling::of(Outcome::Hit)
}

/// The stored form of a response to a plain GET, if it may be stored.
fn store(request: &HeaderMap, status: StatusCode, headers: &HeaderMap) -> Option<Stored> {
    let target = Uri::from_static("http://h/");
    let request =
        Request { method: &Method::GET, target: &target, headers: request, version: http::Version::HTTP_11 };
    let time = Time::from_secs(START);
    let response = Response { status, headers, request_time: time, response_time: time };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    match standard(ClientDirectives::Ignore).received(&request, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Some(*stored),
        _ => None,
    }
}

fn check<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    if let Err(failure) = TestRunner::new(config).run(&strategy, test) {
        panic!("{failure}");
    }
}

/// Any history: no panic, no hop-by-hop field passed on, ranges within what is stored, lengths that are
/// true.
#[test]
fn any_history() {
    check((vec(step(), 1..8), any::<bool>()), |(steps, honor)| {
        let directives = if honor { ClientDirectives::Honor } else { ClientDirectives::Ignore };
        let mut edge = Edge::new(standard(directives), Time::from_secs(START));
        let mut now = START;
        for step in steps {
            now += step.after;
            edge.now = Time::from_secs(now);
            let target: Uri = format!("http://h{}", step.path).parse().unwrap();
            let client = ClientRequest { method: step.method.clone(), target, headers: step.request.clone() };
            let mut body = step.body.clone();
            if step.method == Method::HEAD || matches!(step.status.as_u16(), 204 | 205 | 304) {
                body.clear();
            }
            // An honest frame: connections with a false Content-Length never get as far as these decisions.
            let mut headers = step.response.clone();
            if headers.contains_key(CONTENT_LENGTH)
                && step.ended == Ended::Complete
                && step.method != Method::HEAD
                && step.status != StatusCode::NOT_MODIFIED
            {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            }
            let answer = edge.exchange(&client, &mut |_| match step.fails {
                Some(failure) => OriginAction::Fail(failure),
                None => OriginAction::Answer {
                    status: step.status,
                    headers: headers.clone(),
                    body: body.clone(),
                    ended: step.ended,
                },
            });
            for (_, sent) in &edge.sent {
                for name in
                    ["connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"]
                {
                    prop_assert!(!sent.contains_key(name), "{name} was sent to the origin");
                }
                prop_assert!(sent.contains_key(VIA));
            }
            for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
                prop_assert!(!answer.headers.contains_key(name), "{name} was sent to the client");
            }
            // What a 206 without Content-Length announces may not all come; the client then sees a short
            // answer. What is stored is sure.
            let sure = matches!(answer.source, Source::Hit | Source::Stale | Source::Validated);
            let sent = sure
                || matches!(answer.source, Source::Fetched | Source::Combined)
                    && step.ended == Ended::Complete;
            if sent
                && step.method != Method::HEAD
                && answer.status != StatusCode::NOT_MODIFIED
                && let Some(length) = answer.headers.get(CONTENT_LENGTH)
            {
                let length: usize = length.to_str().unwrap().parse().unwrap();
                let short = !sure && step.status == StatusCode::PARTIAL_CONTENT && answer.body.len() < length;
                prop_assert!(
                    answer.body.len() == length || short,
                    "{:?}: {} of {length}",
                    answer.source,
                    answer.body.len()
                );
            }
            if matches!(answer.source, Source::Hit | Source::Stale) {
                prop_assert_eq!(
                    answer.headers.get_all(AGE).iter().count(),
                    1,
                    "a stored response needs one Age"
                );
            }
        }
        for entries in edge.store.values() {
            for (stored, body) in entries {
                let extent = stored.extent();
                prop_assert_eq!(extent.length, Some(body.len() as u64));
                prop_assert!(extent.complete.is_none_or(|complete| extent.end().unwrap() <= complete));
                prop_assert!(extent.partial || extent.complete == extent.length);
                let encoded = encoded(stored);
                prop_assert_eq!(&Stored::decode(&encoded), &Ok(Stored::clone(stored)));
                prop_assert!((1..encoded.len()).all(|cut| Stored::decode(&encoded[..cut]).is_err()));
            }
        }
        Ok(())
    });
}

fn encoded(stored: &Stored) -> Vec<u8> {
    let mut octets = Vec::new();
    stored.encode(&mut octets);
    octets
}

/// Octets that were changed are refused, or are those of another head: each head has one spelling.
#[test]
fn changed_octets_are_no_other_spelling() {
    check(
        (
            fields(RESPONSE_FIELDS),
            fields(REQUEST_FIELDS),
            vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_usize), 1..4),
        ),
        |(headers, request, edits)| {
            let Some(stored) = store(&request, StatusCode::OK, &headers) else { return Ok(()) };
            let mut octets = encoded(&stored.with_length(5));
            for (index, octet, edit) in edits {
                let at = index.index(octets.len());
                match edit {
                    0 => octets[at] ^= 1 << (octet % 8),
                    1 => octets[at] = octet,
                    _ => octets.insert(at, octet),
                }
            }
            if let Ok(read) = Stored::decode(&octets) {
                prop_assert_eq!(encoded(&read), octets);
            }
            Ok(())
        },
    );
}

/// A response with no-store is stored only where must-understand overrides it or CDN-Cache-Control
/// replaces it.
#[test]
fn no_store_is_never_stored() {
    check((fields(RESPONSE_FIELDS), status(), 0..3_usize), |(mut headers, status, before)| {
        headers.remove("cdn-cache-control");
        let mut lines: Vec<HeaderValue> = headers
            .get_all("cache-control")
            .iter()
            .filter(|line| !line.as_bytes().windows(5).any(|part| part == b"must-"))
            .cloned()
            .collect();
        headers.remove("cache-control");
        lines.insert(before.min(lines.len()), HeaderValue::from_static("no-store"));
        for line in lines {
            headers.append("cache-control", line);
        }
        prop_assert!(store(&HeaderMap::new(), status, &headers).is_none());
        Ok(())
    });
}

/// Age grows with time, never shrinks, and what is left of the lifetime shrinks with it.
#[test]
fn age_grows() {
    check(
        (fields(RESPONSE_FIELDS), fields(REQUEST_FIELDS), 0..10_000_000_u64, 0..10_000_000_u64),
        |(headers, request, first, more)| {
            let Some(stored) = store(&request, StatusCode::OK, &headers) else { return Ok(()) };
            let start = Time::from_secs(START);
            let (early, late) =
                (start.after(Duration::from_millis(first)), start.after(Duration::from_millis(first + more)));
            prop_assert_eq!(stored.age(late) - stored.age(early), Duration::from_millis(more));
            prop_assert!(stored.ttl(late) <= stored.ttl(early));
            prop_assert!(!stored.is_fresh(late) || stored.is_fresh(early));
            // A clock that steps back makes nothing younger than it was.
            prop_assert!(stored.age(Time::from_secs(0)) == stored.age(start));
            Ok(())
        },
    );
}

/// What is served without asking is fresh, or allowed to be stale.
#[test]
fn only_fresh_responses_are_served_unasked() {
    check(
        (fields(RESPONSE_FIELDS), fields(REQUEST_FIELDS), 0..100_u64, any::<bool>()),
        |(headers, request, seconds, honor)| {
            let Some(stored) = store(&HeaderMap::new(), StatusCode::OK, &headers) else { return Ok(()) };
            let now = Time::from_secs(START + seconds);
            let stored = [Arc::new(stored.with_length(10))];
            let target = Uri::from_static("http://h/");
            let request = Request {
                method: &Method::GET,
                target: &target,
                headers: &request,
                version: http::Version::HTTP_11,
            };
            let decisions = standard(if honor { ClientDirectives::Honor } else { ClientDirectives::Ignore });
            if let Plan::Serve { stale, refresh, .. } = decisions.plan(&request, &stored, now) {
                prop_assert_eq!(stale, !stored[0].is_fresh(now));
                prop_assert!(!stale || refresh.is_some() || honor);
            }
            Ok(())
        },
    );
}

/// Any Range against any length: the parts are within it, disjoint, and add up to Content-Length.
#[test]
fn ranges_are_within_and_disjoint() {
    check(
        (
            prop_oneof![
                value(),
                "bytes=([0-9]{0,2}-[0-9]{0,2},?){1,6}".prop_map(|text| text.parse().unwrap())
            ],
            0..40_u64,
        ),
        |(range, length)| {
            let headers =
                HeaderMap::from_iter([(http::header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"))]);
            let stored = store(&HeaderMap::new(), StatusCode::OK, &headers).unwrap().with_length(length);
            let request = HeaderMap::from_iter([(RANGE, range)]);
            let target = Uri::from_static("http://h/");
            let request = Request {
                method: &Method::GET,
                target: &target,
                headers: &request,
                version: http::Version::HTTP_11,
            };
            let reply =
                standard(ClientDirectives::Ignore).reply(&request, &stored, Time::from_secs(START), &hit());
            let told = reply
                .headers
                .get(CONTENT_LENGTH)
                .map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
            match reply.content {
                Selection::None => prop_assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE),
                Selection::Whole => prop_assert_eq!((reply.status, told), (StatusCode::OK, Some(length))),
                Selection::Range(range) => {
                    prop_assert!(range.start < range.end && range.end <= length);
                    prop_assert_eq!(told, Some(range.end - range.start));
                    let expected = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                    prop_assert_eq!(reply.headers.get(CONTENT_RANGE).unwrap().to_str().unwrap(), expected);
                }
                Selection::Multipart { parts, close } => {
                    let mut sum = close.len() as u64;
                    for (index, part) in parts.iter().enumerate() {
                        prop_assert!(part.range.start < part.range.end && part.range.end <= length);
                        prop_assert!(parts[..index].iter().all(|other| other.range.end <= part.range.start
                            || part.range.end <= other.range.start));
                        sum += part.head.len() as u64 + part.range.end - part.range.start;
                    }
                    prop_assert_eq!(told, Some(sum));
                    prop_assert!(!reply.headers.contains_key(CONTENT_RANGE));
                }
            }
            Ok(())
        },
    );
}

/// A variant never answers a request whose field differs in more than white space around commas.
#[test]
fn variants_are_kept_apart() {
    check((prop::option::of(value()), prop::option::of(value())), |(stored_value, asked_value)| {
        let of = |value: &Option<HeaderValue>| -> HeaderMap {
            value.iter().map(|value| (HeaderName::from_static("x-a"), value.clone())).collect()
        };
        let headers = HeaderMap::from_iter([
            (http::header::CACHE_CONTROL, HeaderValue::from_static("max-age=60")),
            (http::header::VARY, HeaderValue::from_static("x-a")),
        ]);
        let stored = store(&of(&stored_value), StatusCode::OK, &headers).unwrap();
        let asked = of(&asked_value);
        let target = Uri::from_static("http://h/");
        let request = Request {
            method: &Method::GET,
            target: &target,
            headers: &asked,
            version: http::Version::HTTP_11,
        };
        let selected = standard(ClientDirectives::Ignore).select(&request, &[Arc::new(stored)]).is_some();
        let plain = |value: &Option<HeaderValue>| {
            value.as_ref().map(|value| {
                value
                    .as_bytes()
                    .iter()
                    .copied()
                    .filter(|octet| !matches!(octet, b' ' | b'\t'))
                    .collect::<Vec<_>>()
            })
        };
        if stored_value == asked_value {
            prop_assert!(selected);
        }
        if plain(&stored_value) != plain(&asked_value) {
            prop_assert!(!selected);
        }
        Ok(())
    });
}

/// A 304 changes neither the content's coding nor its length.
#[test]
fn a_304_leaves_the_content_alone() {
    check((fields(RESPONSE_FIELDS), fields(RESPONSE_FIELDS)), |(old, new)| {
        let Some(stored) = store(&HeaderMap::new(), StatusCode::OK, &old) else { return Ok(()) };
        let stored = Arc::new(stored.with_length(7));
        let target = Uri::from_static("http://h/");
        let empty = HeaderMap::new();
        let request = Request {
            method: &Method::GET,
            target: &target,
            headers: &empty,
            version: http::Version::HTTP_11,
        };
        let time = Time::from_secs(START + 60);
        let response = Response {
            status: StatusCode::NOT_MODIFIED,
            headers: &new,
            request_time: time,
            response_time: time,
        };
        let fetch = Fetch { validate: Some(0), whole: true, ..Fetch::forward(ForwardReason::Stale) };
        if let Received::Freshen { updated, .. } = standard(ClientDirectives::Ignore).received(
            &request,
            &fetch,
            &response,
            std::slice::from_ref(&stored),
        ) {
            let fresh = &updated[0].1;
            prop_assert_eq!(fresh.extent(), stored.extent());
            prop_assert_eq!(fresh.status(), stored.status());
            let coding = |stored: &Stored| {
                stored.headers().get_all(CONTENT_ENCODING).iter().cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(coding(fresh), coding(&stored));
            prop_assert!(fresh.response_time() == time);
        }
        Ok(())
    });
}

/// A key, read as a URI again, is its own key.
#[test]
fn keys_are_stable() {
    check(
        (
            select(vec!["http", "https", "HTTP"]),
            "[a-zA-Z0-9.-]{1,12}",
            prop::option::of(select(vec![80, 443, 8080])),
            "(/[a-zA-Z0-9%._~;=&-]{0,8}){0,3}",
            prop::option::of("[a-z0-9=&%]{0,8}"),
        ),
        |(scheme, host, port, path, query)| {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            let query = query.map_or(String::new(), |query| format!("?{query}"));
            let Ok(uri) = format!("{scheme}://{host}{port}{path}{query}").parse::<Uri>() else {
                return Ok(());
            };
            let key = Key::of(&uri);
            prop_assert_eq!(&Key::of(&key.as_str().parse().unwrap()), &key);
            prop_assert!(key.as_str().ends_with(&query));
            Ok(())
        },
    );
}
