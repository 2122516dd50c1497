//! Decisions that the tables of rules do not reach: collapsing, keeping, interim responses, trailers, what
//! the edge makes itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use http_cache::{
    ClientDirectives, Collapsing, Decisions, Ended, Fetch, ForwardReason, Handling, Keep, Outcome,
    ProxyError, ProxyStatus, Received, Request, Response, Selection, Settings, Standard, Stored, Time,
};

const NOW: Time = Time::from_secs(1_795_262_400);

fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    headers
}

fn with_request<T>(method: Method, fields: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    let (target, headers) = (Uri::from_static("http://h/"), headers(fields));
    ask(&Request { method: &method, target: &target, headers: &headers, version: http::Version::HTTP_11 })
}

fn miss() -> Fetch {
    Fetch::forward(ForwardReason::UriMiss)
}

fn stored(request: &str, status: u16, fields: &str) -> Option<Arc<Stored>> {
    let headers = headers(fields);
    let status = StatusCode::from_u16(status).unwrap();
    let response = Response { status, headers: &headers, request_time: NOW, response_time: NOW };
    with_request(Method::GET, request, |request| {
        match Standard::new(Settings::default()).received(request, &miss(), &response, &[]) {
            Received::Store { stored, .. } => Some(Arc::from(stored)),
            _ => None,
        }
    })
}

#[test]
fn who_may_lead_and_who_may_join() {
    let standard = Standard::new(Settings::default());
    let validation = Fetch { validate: Some(0), whole: true, ..miss() };
    let completion = Fetch { validate: Some(0), complete: Some(5..10), whole: true, ..miss() };
    // (method, fields, fetch, lead, join)
    let cases = [
        (Method::GET, "", miss(), true, true),
        (Method::GET, "cookie: a=b", miss(), true, true),
        // A HEAD brings no content for others; a fetch made for a GET answers it.
        (Method::HEAD, "", miss(), false, true),
        // Conditions and ranges go to the origin: its answer is for this client. A whole fetch serves it all
        // the same.
        (Method::GET, "range: bytes=0-1", miss(), false, true),
        (Method::GET, "if-none-match: \"a\"", miss(), false, true),
        (Method::GET, "if-modified-since: Sat, 21 Nov 2026 12:00:00 GMT", miss(), false, true),
        // In a validation the conditions are the cache's.
        (Method::GET, "", validation.clone(), true, true),
        (Method::GET, "if-none-match: \"a\"", validation.clone(), true, true),
        (Method::GET, "range: bytes=0-1", validation, true, true),
        (Method::GET, "", completion, false, true),
        (Method::GET, "authorization: x", miss(), false, false),
        (Method::GET, "if-match: \"a\"", miss(), false, false),
    ];
    for (method, fields, fetch, lead, join) in cases {
        let found = with_request(method.clone(), fields, |request| standard.collapsing(request, &fetch));
        assert_eq!(found, Collapsing { lead, join }, "{method} {fields} {fetch:?}");
    }
    let honor = Standard::new(Settings { client_directives: ClientDirectives::Honor, ..Settings::default() });
    for fields in ["cache-control: no-cache", "cache-control: max-age=0", "pragma: no-cache"] {
        let found = with_request(Method::GET, fields, |request| honor.collapsing(request, &miss()));
        assert!(!found.join, "{fields}");
    }
}

#[test]
fn whose_response_may_be_shared() {
    let standard = Standard::new(Settings::default());
    // (leader, response, joiner, may share)
    let cases = [
        ("", "cache-control: max-age=60", "", true),
        ("", "cache-control: max-age=60", "range: bytes=0-1", true),
        ("", "cache-control: max-age=60", "authorization: x", true),
        // Not fresh for others: each has to ask.
        ("", "cache-control: max-age=0 | etag: \"a\"", "", false),
        ("", "cache-control: no-cache | etag: \"a\"", "", false),
        ("", "cache-control: max-age=60 | age: 60 | etag: \"a\"", "", false),
        ("", "cache-control: max-age=0, stale-while-revalidate=60", "", false),
        // A variant for others only.
        ("foo: 1", "cache-control: max-age=60 | vary: foo", "foo: 1", true),
        ("foo: 1", "cache-control: max-age=60 | vary: foo", "foo: 2", false),
        ("foo: 1", "cache-control: max-age=60 | vary: foo", "", false),
    ];
    for (leader, response, joiner, expected) in cases {
        let stored = stored(leader, 200, response).unwrap();
        let found = with_request(Method::GET, joiner, |request| standard.may_share(request, &stored, NOW));
        assert_eq!(found, expected, "{leader} / {response} / {joiner}");
    }
    for private in ["cache-control: private, max-age=60", "cache-control: no-store", "vary: *", ""] {
        assert!(stored("", 200, private).is_none(), "{private}");
    }
}

#[test]
fn what_is_kept() {
    let standard = Standard::new(Settings::default());
    let fixed = Stored::clone(&stored("", 200, "cache-control: max-age=60 | content-length: 10").unwrap());
    let open = Stored::clone(&stored("", 200, "cache-control: max-age=60").unwrap());
    let part = Stored::clone(
        &stored("range: bytes=0-4", 206, "cache-control: max-age=60 | content-range: bytes 0-4/10").unwrap(),
    );
    let cases = [
        (&fixed, 10, Ended::Complete, false, Keep::Store),
        (&fixed, 10, Ended::Truncated, false, Keep::Discard),
        // Purged meanwhile: what was fetched may be what the purge was to remove.
        (&fixed, 10, Ended::Complete, true, Keep::Discard),
        (&fixed, 9, Ended::Complete, false, Keep::Discard),
        (&fixed, 11, Ended::Complete, false, Keep::Discard),
        (&open, 0, Ended::Complete, false, Keep::Store),
        (&open, 99, Ended::Complete, false, Keep::Store),
        (&open, 99, Ended::Truncated, false, Keep::Discard),
        (&part, 5, Ended::Complete, false, Keep::Store),
        (&part, 3, Ended::Complete, false, Keep::Store),
        (&part, 6, Ended::Complete, false, Keep::Discard),
    ];
    for (stored, octets, ended, purged, expected) in cases {
        let found = standard.keep(&stored.clone().with_length(octets), ended, purged);
        assert_eq!(found, expected, "{:?} {octets} {ended:?} {purged}", stored.extent());
    }
}

#[test]
fn interim_responses_trailers_and_own_answers() {
    let standard = Standard::new(Settings { name: "cdn".into(), ..Settings::default() });
    with_request(Method::GET, "", |request| {
        let hints = headers("link: </a>; rel=preload | connection: hop | hop: 1 | x: 1");
        let interim = |status| standard.interim(request, StatusCode::from_u16(status).unwrap(), &hints);
        assert_eq!(interim(103), Some(headers("link: </a>; rel=preload | x: 1")));
        assert!(interim(102).is_some() && interim(110).is_some());
        assert!(interim(100).is_none() && interim(101).is_none() && interim(200).is_none());

        let trailers = headers(
            "digest: x | content-length: 5 | set-cookie: a=b | transfer-encoding: chunked | host: evil \
             | connection: y | y: 1 | x-sum: 2 | cache-control: max-age=9",
        );
        assert_eq!(standard.trailers(request, &trailers), headers("digest: x | x-sum: 2"));

        let handling = Handling {
            proxy: Some(ProxyStatus::of(ProxyError::ProxyLoopDetected)),
            ..Handling::of(Outcome::Generated)
        };
        let own = standard.generated(request, NOW, &handling);
        assert_eq!(
            own,
            headers(
                "date: Sat, 21 Nov 2026 12:00:00 GMT | via: 1.1 cdn | proxy-status: cdn; error=proxy_loop_detected"
            )
        );
    });
}

#[test]
fn age_of_what_is_shared_and_of_what_is_first_hand() {
    let standard = Standard::new(Settings::default());
    let stored =
        stored("", 200, "cache-control: max-age=60, private=\"set-cookie\" | set-cookie: a=b").unwrap();
    let forward = Outcome::Forward { reason: ForwardReason::UriMiss, status: None };
    let later = NOW.after(Duration::from_secs(2));
    let reply = |outcome, collapsed: bool| {
        let handling = Handling { stored: !collapsed, collapsed, ..Handling::of(outcome) };
        with_request(Method::GET, "", |request| standard.reply(request, &stored, later, &handling).headers)
    };
    let first = reply(forward, false);
    assert!(!first.contains_key("age") && first.contains_key("set-cookie"));
    let joined = reply(forward, true);
    assert_eq!(joined.get("age").unwrap(), "2");
    assert!(!joined.contains_key("set-cookie"), "a field for the first client went to another");
    for outcome in [Outcome::Hit, Outcome::Stale { status: None }] {
        let later = reply(outcome, false);
        assert!(later.contains_key("age") && !later.contains_key("set-cookie"), "{outcome:?}");
    }
}

#[test]
fn without_permission_nothing_stale_is_served_when_disconnected() {
    let never = Standard::new(Settings { stale_when_disconnected: Duration::ZERO, ..Settings::default() });
    let stored = [stored("", 200, "cache-control: max-age=60").unwrap()];
    let later = NOW.after(Duration::from_secs(61));
    let failed = |decisions: &Standard| {
        with_request(Method::GET, "", |request| {
            decisions.failed(request, &miss(), http_cache::Failure::Connect, &stored, later)
        })
    };
    assert_eq!(failed(&never), None);
    assert_eq!(failed(&Standard::new(Settings::default())), Some(0));
}

#[test]
fn statuses_without_content_have_none() {
    let standard = Standard::new(Settings::default());
    let hit = Handling::of(Outcome::Hit);
    for (status, content) in
        [(200, Selection::Whole), (204, Selection::None), (205, Selection::None), (404, Selection::Whole)]
    {
        let stored = stored("", status, "cache-control: max-age=60").unwrap();
        let reply = with_request(Method::GET, "", |request| standard.reply(request, &stored, NOW, &hit));
        assert_eq!(reply.content, content, "{status}");
        let reply = with_request(Method::HEAD, "", |request| standard.reply(request, &stored, NOW, &hit));
        assert_eq!(reply.content, Selection::None, "HEAD, {status}");
    }
}
