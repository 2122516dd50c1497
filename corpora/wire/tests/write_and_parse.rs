//! What is printed is what is parsed, and what is wrong on purpose is as wrong as asked for.

#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

use bytes::Bytes;
use exchange::{Body, Fields, Request, Response, Seen, Time};
use proptest::prelude::*;
use wire::Direction::{ToClient, ToServer};
use wire::{Close, Connection, ConnectionEvent, Exchanged, Limits, Message, write};

fn exchanged(request: &[u8], response: &[u8]) -> Exchanged {
    let mut connection = Connection::new(0, Limits::default()).whole_messages();
    connection.push(ToServer, Time(1), request.to_vec());
    connection.push(ToClient, Time(2), response.to_vec());
    connection.finish(ToServer, Time(3), Close::Fin);
    connection.finish(ToClient, Time(3), Close::Fin);
    let mut found = std::iter::from_fn(|| connection.next_event()).filter_map(|event| match event {
        ConnectionEvent::Exchanged(exchanged) => Some(*exchanged),
        _ => None,
    });
    let exchanged = found.next().unwrap();
    assert_eq!(found.next(), None);
    exchanged
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z!#$%&'*+.^_`|~-]{1,12}".prop_filter(
        "fields that decide framing, routing or the protocol",
        |name| {
            let decisive = ["host", "content-length", "transfer-encoding", "upgrade", "connection"];
            !decisive.iter().any(|d| name.eq_ignore_ascii_case(d))
        },
    )
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = proptest::collection::vec(prop_oneof![4 => 0x21..=0x7eu8, 1 => 0x80..=0xffu8], 0..20);
    proptest::collection::vec((name(), value), 0..8)
}

/// Fields with framing for this body: chunked with trailers, or a length.
fn framed(lines: Vec<(String, Vec<u8>)>, body: &[u8], chunked: bool) -> Fields {
    let mut fields: Fields = lines.into_iter().collect();
    if chunked {
        fields.push("transfer-encoding", "gzip, Chunked");
    } else {
        fields.push("CONTENT-length", body.len().to_string());
    }
    fields
}

proptest! {
    #[test]
    fn round_trip(
        method in "[A-Z]{1,8}".prop_filter("methods with rules of their own", |m| m != "HEAD" && m != "CONNECT"),
        target in "/[!-~]{0,20}",
        status in 200..=599u16,
        reason in "[ -~]{0,10}",
        request_fields in fields(),
        response_fields in fields(),
        body: Vec<u8>,
        trailers in proptest::collection::vec(("X-[A-Za-z]{1,8}", "[!-~]{0,8}"), 0..4),
        chunked: bool,
        interim in proptest::collection::vec(102..=199u16, 0..3),
    ) {
        prop_assume!(status != 204 && status != 304);
        let trailers: Fields = if chunked { trailers.into_iter().collect() } else { Fields::new() };
        let mut fields = framed(request_fields, &body, chunked);
        fields.push("Host", "a.test");
        let request = Request {
            body: Body::complete(body.clone()),
            trailers: trailers.clone(),
            ..Request::new(method, target, fields)
        };
        let response = Response {
            reason: reason.into(),
            trailers,
            interim: interim.into_iter().map(|s| Response::new(s, Fields::new(), Body::empty())).collect(),
            ..Response::new(status, framed(response_fields, &body, chunked), Body::complete(body))
        };
        let found = exchanged(&write::request(&request), &write::response(&response));
        prop_assert_eq!(&found.request_notes.anomalies, &[]);
        prop_assert_eq!(&found.response_notes.anomalies, &[]);
        let mut seen = found.response.unwrap();
        seen.seen = Seen::default();
        seen.interim.iter_mut().for_each(|i| i.seen = Seen::default());
        prop_assert_eq!(seen, response);
        prop_assert_eq!(Request { seen: Seen::default(), ..found.request.unwrap() }, request);
    }
}

#[track_caller]
fn check(message: Message, expected: &str) {
    assert_eq!(exchange::escape(&message.bytes()), expected.replace('\r', "\\x0d").replace('\n', "\\x0a"));
}

#[test]
fn messages_are_exactly_as_asked_for() {
    check(Message::request("GET", "/").field("Host", "a"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    check(Message::response(200).body("hi"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    check(Message::response(299).content(""), "HTTP/1.1 299 \r\n\r\n");
    check(
        Message::request("POST", "/")
            .line("Content-Length : 3")
            .field("Content-Length", "4")
            .line("X: folded")
            .line(" here")
            .content("abc"),
        "POST / HTTP/1.1\r\nContent-Length : 3\r\nContent-Length: 4\r\nX: folded\r\n here\r\n\r\nabc",
    );
    check(
        Message::empty().bare_lf().line("GET / HTTP/1.1").field("Host", "a"),
        "GET / HTTP/1.1\nHost: a\n\n",
    );
    check(
        Message::response(200).chunk("ab").chunk_as("0x3;q", "cde").last_chunk(),
        "HTTP/1.1 200 OK\r\n\r\n2\r\nab\r\n0x3;q\r\ncde\r\n0\r\n\r\n",
    );
    check(
        Message::response(200).chunk("ab").trailers([("A", "1"), ("B", "2")]),
        "HTTP/1.1 200 OK\r\n\r\n2\r\nab\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
    );
    check(Message::response(200).body("whole").cut(2), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwho");
    assert_eq!(Message::request("GET", "/").open_bytes(), "GET / HTTP/1.1\r\n");
}

#[test]
fn answers_fit_the_request() {
    let response = |fields: &[(&'static str, &'static str)]| {
        Response::new(200, fields.iter().copied().collect(), Body::complete("abc"))
    };
    let length = response(&[("Content-Length", "3")]);
    assert_eq!(write::response_to(b"HEAD", &length), "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n");
    assert_eq!(write::response_to(b"GET", &length), "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc");
    for (response, method, by_itself) in [
        (&length, "GET", true),
        (&response(&[]), "GET", false),
        (&response(&[]), "HEAD", true),
        (&response(&[("Transfer-Encoding", "chunked")]), "GET", true),
        (&response(&[("Content-Length", "3"), ("Connection", "Close")]), "GET", false),
    ] {
        assert_eq!(write::ends_by_itself(response, method.as_bytes()), by_itself, "{response:?} {method}");
    }
    assert_eq!(write::chunk(b""), Bytes::new());
}
