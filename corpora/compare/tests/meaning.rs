//! Pairs of messages and what must come out: one line for each difference, `class path`; `(class) path` where it does
//! not count.

#![expect(clippy::unwrap_used, reason = "a test stops where its input is wrong")]

use compare::{Comparison, Settings, requests, responses};
use exchange::{Body, Ending, Fields, Request, Response, Time};
use std::time::Duration;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE_10_LATER: &str = "Sun, 06 Nov 1994 08:49:47 GMT";
const RECEIVED: i64 = 784_111_777;

/// A message from lines: a field each, `~` before a trailer, `|` before a body, `@` before the second it was
/// received at, counted from `DATE`, `!` before an interim status.
fn response(lines: &str) -> Response {
    let mut response = Response::new(200, Fields::new(), Body::empty());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (mark, rest) = line.split_at(1);
        match mark {
            "|" => response.body = Body::complete(rest.replace("\\n", "\n")),
            "@" => response.seen.start = Time::new(RECEIVED + rest.parse::<i64>().unwrap(), 500_000_000),
            "=" => response.status = rest.parse().unwrap(),
            "!" => {
                let (status, fields) = rest.split_once(' ').unwrap_or((rest, ""));
                let fields =
                    fields.split_once(": ").into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                response.interim.push(Response::new(status.parse().unwrap(), fields, Body::empty()));
            }
            "~" => {
                let (name, value) = rest.split_once(": ").unwrap();
                response.trailers.push(name.to_owned(), value.to_owned());
            }
            _ => {
                let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
                response.fields.push(name.to_owned(), value.to_owned());
            }
        }
    }
    response
}

fn told(comparison: &Comparison) -> String {
    assert_eq!(comparison.omitted, 0);
    let told = comparison.differences.iter().map(|d| {
        if d.counts { format!("{} {}", d.class, d.path) } else { format!("({}) {}", d.class, d.path) }
    });
    told.collect::<Vec<_>>().join("; ")
}

fn compared(left: &str, right: &str) -> Comparison {
    let settings = Settings::default();
    let request = Request::new("GET", "/", Fields::new());
    let (left, right) = (response(left), response(right));
    let comparison = responses(&settings, &request, &left, &right);
    assert_eq!(
        comparison,
        responses(&settings, &request, &left, &right),
        "the same input gives the same list"
    );
    for one in [&left, &right] {
        assert_eq!(told(&responses(&settings, &request, one, one)), "", "a message against itself");
    }
    comparison
}

#[track_caller]
fn check(left: &str, right: &str, expected: &str) {
    assert_eq!(told(&compared(left, right)), expected, "\n--- left\n{left}\n--- right\n{right}");
}

#[test]
fn status_and_interim() {
    check("=200", "=404", "status status");
    check("!103 Link: </a>; rel=preload", "!103 Link: </a>;rel=\"preload\"", "");
    check("!103 Link: </a>; rel=preload", "!103 Link: </b>; rel=preload", "interim interim[0].fields.link");
    check(&format!("!103 Date: {DATE}"), &format!("!103 Date: {DATE_10_LATER}"), "");
    check(&format!("!103 Date: {DATE}"), "!103 Date: now", "interim interim[0].fields.date");
    check("!103", "!102", "interim interim[0].status");
    check("!103", "", "interim interim");
    check("!100\n!103", "!103", "");
    // Interim responses are never stored: a hit has none.
    let (hit, miss) =
        ("Cache-Status: a; hit\nAge: 1", "!103 Link: </a>; rel=preload\nCache-Status: a; fwd=miss\nAge: 1");
    check(miss, hit, "(cache-state) interim; (cache-state) fields.cache-status");
    check(hit, miss, "(cache-state) interim; (cache-state) fields.cache-status");
    check(&format!("!103\n{hit}"), hit, "interim interim");
    check(&miss.replace("!103 Link: </a>; rel=preload", ""), miss, "interim interim");
    check(
        &format!("!102\n{hit}"),
        miss,
        "interim interim[0].status; interim interim[0].fields.link; (cache-state) fields.cache-status",
    );
}

#[test]
fn order_and_spelling_of_fields_mean_nothing() {
    check("A: 1\nB: 2", "b: 2\na: 1", "");
    check("A: 1\nA: 2", "a: 1, 2", "");
    check("A: 1\nA: 2", "A: 2\nA: 1", "field fields.a");
    check("A: 1", "A: 1\nB:", "field fields.b");
    check("B:", "", "field fields.b");
    check("Vary: Accept\nVary: Cookie", "vary: cookie,ACCEPT", "");
    check("Vary: Accept", "Vary: Accept, Cookie", "field fields.vary");
}

#[test]
fn cache_control() {
    check("Cache-Control: public, max-age=60", "cache-control: Max-Age=\"060\"\nCache-Control: PUBLIC", "");
    check("Cache-Control: max-age=60", "Cache-Control: max-age=61", "field fields.cache-control[max-age]");
    check(
        "Cache-Control: max-age=60",
        "Cache-Control: max-age=60, no-store",
        "field fields.cache-control[no-store]",
    );
    check("Cache-Control: max-age=60", "Cache-Control: no-store", "field fields.cache-control");
    check("Cache-Control: max-age=60", "", "field fields.cache-control");
    check("Cache-Control: private=\"a, B\"", "Cache-Control: private=\"b,a\"", "");
    check("Cache-Control: private=\"a\"", "Cache-Control: private", "field fields.cache-control[private]");
}

#[test]
fn cookies() {
    let a = "Set-Cookie: a=1; Path=/; HttpOnly";
    check(a, "Set-Cookie: a=1; httponly; path=/", "");
    check(a, "Set-Cookie: a=2; Path=/; HttpOnly", "field fields.set-cookie[a]");
    check(a, "Set-Cookie: a=1; Path=/", "field fields.set-cookie[a]");
    check(a, "Set-Cookie: b=1; Path=/; HttpOnly", "field fields.set-cookie");
    check(&format!("{a}\nSet-Cookie: b=2"), &format!("Set-Cookie: b=2\n{a}"), "");
    check(a, &format!("{a}\nSet-Cookie: b=2"), "field fields.set-cookie[b]");
    let expires = |date: &str| format!("Set-Cookie: a=1; Expires={date}");
    check(&expires("Sun, 06-Nov-1994 08:49:37 GMT"), &expires(DATE), "");
    check(&expires(DATE), &expires(DATE_10_LATER), "field fields.set-cookie[a]");
    let at = |date: &str, second: u64| format!("Date: {date}\n@{second}\nSet-Cookie: a=1; Expires={date}");
    check(&at(DATE, 0), &at(DATE_10_LATER, 10), "");
}

#[test]
fn hop_by_hop_fields() {
    check("Connection: Keep-Alive\nKeep-Alive: timeout=5", "Connection: close", "");
    check("", "Keep-Alive: timeout=5", "hop-by-hop fields.keep-alive");
    check("", "Connection: X-Hop\nX-Hop: 1", "");
    check("Connection: X-Hop\nX-Hop: 1", "X-Hop: 1", "field fields.x-hop");
    check("Transfer-Encoding: chunked\n|abc", "Content-Length: 3\n|abc", "");
    let settings = Settings { hop_by_hop: true, ..Settings::default() };
    let (l, r) = (response("Connection: close"), response(""));
    let comparison = responses(&settings, &Request::new("GET", "/", Fields::new()), &l, &r);
    assert_eq!(told(&comparison), "(hop-by-hop) fields.connection");
}

#[test]
fn lengths() {
    check("Content-Length: 3\n|abc", "|abc", "");
    check("Content-Length: 3\n|abc", "Content-Length: 4\n|abc", "framing fields.content-length");
    check("Content-Length: 3\n|abc", "Content-Length: 3, 3\n|abc", "");
    check("Content-Length: 3\n|abc", "Content-Length: 3, 4\n|abc", "framing fields.content-length");
    check("Content-Length: 3\n|abc", "Content-Length: 4\n|abcd", "body body");
    let head = Request::new("HEAD", "/", Fields::new());
    let (l, r) = (response("Content-Length: 3"), response("Content-Length: 4"));
    let comparison = responses(&Settings::default(), &head, &l, &r);
    assert_eq!(told(&comparison), "framing fields.content-length");
    assert!(responses(&Settings::default(), &head, &l, &response("")).agrees());
}

#[test]
fn endings() {
    let body = |text: &'static str, ending| Response {
        body: Body { ending, ..Body::complete(text) },
        ..Response::new(200, [("Content-Length", "6")].into_iter().collect(), Body::empty())
    };
    let get = Request::new("GET", "/", Fields::new());
    for (left, right, expected) in [
        (body("abcdef", Ending::Complete), body("abc", Ending::Truncated), "framing body.ending"),
        (body("abcdef", Ending::Complete), body("abx", Ending::Reset), "framing body.ending; body body"),
        (body("abc", Ending::Truncated), body("abc", Ending::Reset), "framing body.ending"),
        (body("abc", Ending::Truncated), body("ab", Ending::Truncated), "body body"),
    ] {
        assert_eq!(told(&responses(&Settings::default(), &get, &left, &right)), expected);
    }
}

#[test]
fn age_and_date() {
    let aged = |date: &str, age: &str, second: i32| format!("Date: {date}\n{age}\n@{second}");
    // Fetched at different moments, both right.
    check(&aged(DATE, "Age: 10", 10), &aged(DATE_10_LATER, "Age: 0", 10), "");
    // A hit against a miss.
    check(&aged(DATE, "Age: 10", 10), &aged(DATE_10_LATER, "", 10), "(cache-state) fields.age");
    // Frozen, absurd, malformed, absent.
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: 0", 10), "freshness fields.age");
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: 99999999999999", 10), "freshness fields.age");
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: -1", 10), "freshness fields.age");
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: 10\nAge: 10", 10), "freshness fields.age");
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "", 10), "freshness fields.age");
    // Seen at different moments.
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: 100", 100), "");
    check(&aged(DATE, "Age: 10", 10), &aged(DATE, "Age: 10", 100), "freshness fields.date");
    // The origin's clock is an hour slow, for both.
    check(&aged(DATE, "", 3600), &aged(DATE_10_LATER, "", 3610), "");
    check(&aged(DATE, "", 3600), &aged(DATE, "", 3601), "");
    check(&aged(DATE, "", 0), &aged(DATE_10_LATER, "", 0), "freshness fields.date");
    check(&aged(DATE, "", 0), "@0", "freshness fields.date");
    // A date in another form, and none.
    check(&format!("Date: {DATE}"), "Date: Sunday, 06-Nov-94 08:49:37 GMT", "");
    check(&format!("Date: {DATE}"), "Date: yesterday", "freshness fields.date");
    // Nobody knows when.
    check("Age: 10", "Age: 11", "");
    check("Age: 10", "Age: 20", "freshness fields.age");
}

#[test]
fn expiry() {
    let expires = |date: &str, expires: &str| format!("Date: {date}\nExpires: {expires}\n@10");
    check(&format!("Expires: {DATE}"), "Expires: Sun Nov  6 08:49:37 1994", "");
    check(&expires(DATE, DATE_10_LATER), &format!("Date: {DATE}\n@10"), "freshness fields.expires");
    check(&expires(DATE, "0"), &expires(DATE, "Thu, 01 Jan 1970 00:00:00 GMT"), "");
    check(
        &expires(DATE, DATE_10_LATER),
        &expires(DATE, "Sun, 06 Nov 1994 09:00:00 GMT"),
        "freshness fields.expires",
    );
    let shifted = |from: &str, to: &str, at: i32| format!("Date: {from}\nExpires: {to}\n@{at}");
    check(&shifted(DATE, DATE_10_LATER, 0), &shifted(DATE_10_LATER, "Sun, 06 Nov 1994 08:49:57 GMT", 10), "");
}

#[test]
fn lifetimes_as_algebra() {
    // One counts down what the other sends whole with its age.
    check("Cache-Control: max-age=60\nAge: 20", "Cache-Control: max-age=40", "");
    check("Cache-Control: max-age=60\nAge: 20", "Cache-Control: max-age=60\nAge: 22", "");
    // A stale object served, against one that was fetched again.
    let aged = |age: u32, date: &str| format!("Cache-Control: max-age=5\nAge: {age}\nDate: {date}\n@10");
    check(&aged(0, DATE_10_LATER), &aged(10, DATE), "freshness freshness");
    let swr = |age: u32, date: &str| aged(age, date).replace("=5", "=5, stale-while-revalidate=60");
    check(&swr(0, DATE_10_LATER), &swr(10, DATE), "(cache-state) freshness");
    // What is left plus the age is the lifetime.
    let ttl =
        |age: u32, ttl: u32| format!("Age: {age}\nCache-Status: c; hit; ttl={ttl}\nDate: {DATE}\n@{age}");
    check(&ttl(20, 40), &ttl(30, 30), "");
    check(&ttl(20, 40), &ttl(20, 30), "freshness fields.cache-status[ttl]");
}

#[test]
fn cache_state() {
    let status = |value: &str| format!("Cache-Status: {value}\nAge: 1");
    check(&status("a; hit"), &status("\"Another Name\";hit;key=x"), "");
    check(&status("a; hit"), &status("a; fwd=miss"), "(cache-state) fields.cache-status");
    check(&status("a; hit"), "Age: 1", "(cache-state) fields.cache-status");
    check(&status("a; hit"), &status("a; hit;;"), "field fields.cache-status");
    check("X-Cache: HIT from a", "X-Cache: MISS from b", "(cache-state) fields.x-cache");
    check("X-Cache: HIT from a", "X-Cache: perhaps", "field fields.x-cache");
    check(
        "Cache-Status: a; fwd=miss",
        "Cache-Status: a; hit",
        "(cache-state) fields.cache-status; freshness fields.age",
    );
    let comparison = compared("Cache-Status: a; hit\nAge: 1", "Cache-Status: a; fwd=stale; fwd-status=304");
    assert_eq!(comparison.left_cache, compare::CacheState::Hit);
    assert_eq!(comparison.right_cache, compare::CacheState::Revalidated);
    assert!(comparison.agrees());
}

#[test]
fn names_of_software() {
    check("Server: a", "Server: b", "(identity) fields.server");
    check("Server: a", "", "field fields.server");
    check("Via: 1.1 a", "Via: HTTP/1.1 b (x)", "");
    check("Via: 1.1 a", "Via: 1.0 a", "field fields.via");
    check("Via: 1.1 a", "Via: a", "field fields.via");
    check("Via: 1.1 a", "Via: 1.1 a, 1.1 b", "field fields.via");
    check("Via: 1.1 a", "", "field fields.via");
}

#[test]
fn bodies() {
    check("|abc", "|abd", "body body");
    check("Content-Type: text/css\n|a\\nb\\n", "Content-Type: text/css\n|a\\nc\\n", "body body");
    let comparison = compared("Content-Type: text/css\n|a\\nb\\n", "Content-Type: text/css\n|a\\nc\\n");
    assert_eq!(comparison.differences[0].diff.as_deref(), Some("@@ -1,2 +1,2 @@\n a\n-b\n+c\n"));
    let json = |text: &str| format!("Content-Type: application/problem+json\n|{text}");
    check(&json(r#"{"a":[1,2],"b":null}"#), &json(r#"{ "b": null, "a": [1.0, 2] }"#), "");
    check(&json(r#"{"a":[1,{"x y":2}]}"#), &json(r#"{"a":[1,{"x y":3}]}"#), "body body.$.a[1][\"x y\"]");
    check(&json(r#"{"a":1,"b":2}"#), &json(r#"{"a":1}"#), "body body.$.b");
    check(&json(r#"{"a":1}"#), &json(r#"{"b":1}"#), "body body.$");
    check(&json(r#"{"a":1}"#), &json(r#"{"a":1"#), "body body");
    check(&json("[1]"), &json("[1,2]"), "body body.$");
}

#[test]
fn bodies_known_by_digest() {
    let known =
        |text: &'static str| Response { body: Body { bytes: None, ..Body::complete(text) }, ..response("") };
    let get = Request::new("GET", "/", Fields::new());
    let whole = response("|abc");
    assert!(responses(&Settings::default(), &get, &whole, &known("abc")).agrees());
    assert_eq!(told(&responses(&Settings::default(), &get, &whole, &known("abd"))), "body body");
}

#[test]
fn codings() {
    use std::io::Write;
    let gzip = |text: &str, level: u32| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let coded = |bytes: Vec<u8>| Response {
        fields: [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")].into_iter().collect(),
        body: Body::complete(bytes),
        ..response("")
    };
    let get = Request::new("GET", "/", Fields::new());
    let text = "abc,".repeat(100);
    let judged = |l: &Response, r: &Response| told(&responses(&Settings::default(), &get, l, r));
    assert_eq!(judged(&coded(gzip(&text, 1)), &coded(gzip(&text, 0))), "");
    let plain = response(&format!("Content-Type: text/plain\n|{text}"));
    assert_eq!(judged(&coded(gzip(&text, 6)), &plain), "encoding fields.content-encoding");
    let other = response(&format!("Content-Type: text/plain\n|{text}x"));
    assert_eq!(judged(&coded(gzip(&text, 6)), &other), "field fields.content-encoding; body body");
    assert_eq!(judged(&coded(gzip(&text, 6)), &coded(gzip("x", 6))), "body body");
}

#[test]
fn byte_ranges() {
    let parts = |boundary: &str, range: &str, byte: &str| {
        let body = format!(
            "--{boundary}\r\nContent-Range: bytes {range}/9\r\n\r\n{byte}\r\n--{boundary}\r\nContent-Range: bytes 8-8/9\r\n\r\nz\r\n--{boundary}--\r\n"
        );
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        Response {
            fields: [("Content-Type", content_type)].into_iter().collect(),
            body: Body::complete(body),
            ..response("=206")
        }
    };
    let get = Request::new("GET", "/", Fields::new());
    let judged = |r: Response| told(&responses(&Settings::default(), &get, &parts("A", "0-0", "a"), &r));
    assert_eq!(judged(parts("BB", "0-0", "a")), "");
    assert_eq!(judged(parts("BB", "1-1", "a")), "body body.parts[0].fields.content-range");
    assert_eq!(judged(parts("BB", "0-0", "b")), "body body.parts[0]");
}

#[test]
fn ranges_that_a_partial_response_implies() {
    let partial = "=206\nContent-Range: bytes 0-1/9\n|ab";
    let with = |value: &str| format!("{partial}\nAccept-Ranges: {value}");
    check(partial, &with("Bytes"), "");
    check(&with("bytes"), partial, "");
    check(partial, &with("none"), "field fields.accept-ranges");
    check(&with("bytes"), &with("none"), "field fields.accept-ranges");
    check("|ab", "Accept-Ranges: bytes\n|ab", "field fields.accept-ranges");
    check("=206", "=206\nAccept-Ranges: bytes", "field fields.accept-ranges");
    // From a store: it depends on what the stored answer was put together from.
    let hit = "Cache-Status: a; hit\n|ab";
    let with = |value: &str| format!("Accept-Ranges: {value}\n{hit}");
    check(hit, &with("bytes"), "(cache-state) fields.accept-ranges");
    check(&with("bytes"), hit, "(cache-state) fields.accept-ranges");
    check(hit, &with("none"), "field fields.accept-ranges");
    check(&with("bytes"), &with("none"), "field fields.accept-ranges");
}

#[test]
fn trailers() {
    check("~X: 1\n~Y: 2", "~y: 2\n~x: 1", "");
    check("~X: 1", "~X: 2", "trailer trailers.x");
    check("~X: 1", "", "trailer trailers.x");
    check("~X: 1", "X: 1", "field fields.x; trailer trailers.x");
}

#[test]
fn requests_to_an_origin() {
    let request = |target: &'static str, fields: &[(&'static str, &'static str)]| {
        Request::new("GET", target, fields.iter().copied().collect())
    };
    let reference = request(
        "/a?b",
        &[("Host", "h.test"), ("Accept-Encoding", "gzip, br"), ("Cookie", "a=1; b=2"), ("Via", "1.1 x")],
    );
    let judged = |candidate: &Request| told(&requests(&Settings::default(), &reference, candidate));
    let with = |name: &'static str, value: &'static str| {
        let mut request = reference.clone();
        request.fields.set(name, value);
        request
    };
    assert_eq!(judged(&reference), "");
    assert_eq!(judged(&with("Cookie", "b=2;a=1")), "");
    assert_eq!(judged(&with("Cookie", "b=3; a=1")), "field fields.cookie[b]");
    assert_eq!(judged(&with("accept-encoding", "BR, gzip;q=1")), "");
    assert_eq!(judged(&with("HOST", "other.test")), "field fields.host");
    assert_eq!(judged(&with("X-Forwarded-For", "10.0.0.1")), "field fields.x-forwarded-for");
    assert_eq!(judged(&Request { target: "http://H.test/a?b".into(), ..reference.clone() }), "");
    assert_eq!(judged(&Request { target: "/a".into(), ..reference.clone() }), "request target");
    assert_eq!(judged(&Request { method: "get".into(), ..reference.clone() }), "request method");
    assert_eq!(judged(&Request { body: Body::complete("x"), ..reference.clone() }), "body body");
}

#[test]
fn who_deviates() {
    use compare::{Deviant, three_way};
    let get = Request::new("GET", "/", Fields::new());
    for (recorded, reference, candidate, expected) in [
        ("A: 1", "A: 1", "A: 1", None),
        ("A: 1", "A: 1", "A: 2", Some(Deviant::Candidate)),
        ("A: 1", "A: 2", "A: 1", Some(Deviant::Reference)),
        ("A: 1", "A: 2", "A: 2", Some(Deviant::BothBuilds)),
        ("A: 1", "A: 2", "A: 3", Some(Deviant::All)),
        ("", "", "A: 3", Some(Deviant::Candidate)),
    ] {
        let judged = three_way(
            &Settings::default(),
            &get,
            &response(recorded),
            &response(reference),
            &response(candidate),
        );
        assert_eq!(
            judged.deviations.first().map(|d| d.deviant),
            expected,
            "{recorded} {reference} {candidate}"
        );
        let value = |lines: &str| lines.strip_prefix("A: ").map(str::to_owned);
        for deviation in &judged.deviations {
            assert_eq!(deviation.path, "fields.a");
            assert_eq!(deviation.recorded, value(recorded));
            assert_eq!(deviation.reference, value(reference));
            assert_eq!(deviation.candidate, value(candidate));
            assert_eq!(deviation.counts, deviation.deviant != Deviant::BothBuilds);
        }
    }
}

#[test]
fn fingerprints_outlive_values() {
    let print = |left: &str, right: &str| compared(left, right).differences[0].fingerprint();
    assert_eq!(print("A: 1", "A: 2"), print("A: 3", "A: 4"));
    assert_ne!(print("A: 1", "A: 2"), print("A: 3", ""));
    assert_ne!(print("A: 1", "A: 2"), print("B: 1", "B: 2"));
    assert_eq!(print("A: 1", "A: 2").to_string(), "4fccc6b60f6ff0eb");
}

#[test]
fn lists_are_bounded() {
    let many: String = (0..300).map(|i| format!("X-{i}: {i}\n")).collect();
    let get = Request::new("GET", "/", Fields::new());
    let comparison = responses(&Settings::default(), &get, &response(&many), &response(""));
    assert_eq!((comparison.differences.len(), comparison.omitted), (100, 200));
    assert!(!comparison.agrees());
    let long = "x".repeat(100_000);
    let comparison = compared(&format!("A: {long}"), "A: y");
    assert!(comparison.differences[0].left.as_ref().unwrap().len() < 1000);
    let none = Settings { max_differences: 0, time_tolerance: Duration::ZERO, ..Settings::default() };
    assert!(!responses(&none, &get, &response("A: 1"), &response("")).agrees());
}
