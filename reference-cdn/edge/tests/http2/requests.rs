//! What the edge accepts as a request, and what of it reaches an origin that speaks HTTP/1.1.

use std::time::Duration;

use super::client::*;
use super::support::{After, Origin, TestEdge, pattern};
use super::{FRESH, PAGE, hpack};

/// Fields of a good request, with one thing changed.
fn changed(change: impl FnOnce(&mut Vec<(Vec<u8>, Vec<u8>)>)) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> =
        [(":method", "GET"), (":scheme", "http"), (":authority", "site.test"), (":path", "/")]
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec();
    change(&mut fields);
    fields
}

fn plus(name: &str, value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    changed(|fields| fields.push((name.into(), value.into())))
}

fn with(name: &str, value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    changed(|fields| {
        let field = fields.iter_mut().find(|(given, _)| given == name.as_bytes()).expect("a field");
        field.1 = value.into();
    })
}

fn without(name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    changed(|fields| fields.retain(|(given, _)| given != name.as_bytes()))
}

const MALFORMED: Ended = Ended::Reset(PROTOCOL_ERROR);

/// Section 8.1.1: a stream error, and nothing reaches the origin. The connection goes on where the header block could be
/// decoded.
#[tokio::test]
async fn malformed_requests_are_refused_and_never_reach_the_origin() {
    let origin = Origin::fixed(FRESH, b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let cases = [
        // Pseudo-header fields (section 8.3).
        without(":method"),
        without(":scheme"),
        without(":path"),
        without(":authority"),
        plus(":method", "GET"),
        plus(":path", "/b"),
        plus(":status", "200"),
        plus(":odd", "x"),
        changed(|fields| fields.insert(0, ("x".into(), "y".into()))),
        changed(|fields| fields.extend([("x".into(), "y".into()), (":path".into(), "/".into())])),
        plus(":protocol", "websocket"),
        with(":path", ""),
        with(":path", "path"),
        with(":path", "*"),
        with(":path", "http://site.test/"),
        with(":path", "/a b"),
        with(":path", "/a\tb"),
        with(":path", "/a\r\nX: y"),
        with(":path", "/ HTTP/1.1\r\nHost: other\r\n\r\nGET /"),
        with(":path", "/\u{e9}"),
        with(":path", "/\0"),
        with(":method", ""),
        with(":method", "GE T"),
        with(":method", "GET / HTTP/1.1\r\nX:"),
        with(":method", "GET\0"),
        with(":scheme", ""),
        with(":scheme", "ht tp"),
        with(":authority", ""),
        with(":authority", "user@site.test"),
        with(":authority", "site.test/x"),
        with(":authority", "site test"),
        with(":authority", "site.test:x"),
        with(":authority", "site.test:999999"),
        with(":authority", "site.test\r\nX: y"),
        // Host (section 8.3.1).
        plus("host", "other.test"),
        plus("host", "site.test:80"),
        changed(|fields| {
            fields.extend([("host".into(), "site.test".into()), ("host".into(), "site.test".into())])
        }),
        changed(|fields| fields[2] = ("host".into(), "u@site.test".into())),
        changed(|fields| fields[2] = ("host".into(), "".into())),
        // What only HTTP/1.1 has (section 8.2.2).
        plus("connection", "close"),
        plus("connection", "x"),
        plus("keep-alive", "timeout=5"),
        plus("proxy-connection", "keep-alive"),
        plus("transfer-encoding", "chunked"),
        plus("transfer-encoding", "identity"),
        plus("upgrade", "websocket"),
        plus("te", "gzip"),
        plus("te", "trailers, gzip"),
        // Names and values (section 8.2.1).
        plus("X-Capital", "x"),
        plus("x ", "y"),
        plus("x\"", "y"),
        plus("\"content-length", "5"),
        plus("x:", "y"),
        plus("x\r\ny", "z"),
        plus("x\0", "y"),
        plus("", "x"),
        plus("\u{e9}", "x"),
        plus("transfer-encoding\t", "chunked"),
        plus("content-length ", "5"),
        plus("x", "a\r\nTransfer-Encoding: chunked"),
        plus("x", "a\nb"),
        plus("x", "a\rb"),
        plus("x", "a\0b"),
        plus("x", " a"),
        plus("x", "a\t"),
        plus("host", " site.test"),
        plus("cookie", "a=b\r\nX: y"),
        // Content-Length against END_STREAM (section 8.1.1).
        plus("content-length", "5"),
        plus("content-length", "x"),
        plus("content-length", "-0"),
        plus("content-length", "0, 0"),
        plus("content-length", ""),
        plus("content-length", "99999999999999999999"),
        changed(|fields| {
            fields.extend([("content-length".into(), "0".into()), ("content-length".into(), "0".into())]);
        }),
    ];
    for fields in &cases {
        let mut client = Client::connect(&edge).await;
        let stream = client.open(fields, END_STREAM).await;
        let answer = client.answer(stream).await;
        let shown: Vec<_> = fields
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(answer.status(), 0, "{shown:?}");
        if client.closed {
            assert_eq!(client.end().await, Some(PROTOCOL_ERROR), "{shown:?}");
        } else {
            assert_eq!(answer.ended(), MALFORMED, "{shown:?}");
            assert_eq!(client.get("/good").await.status(), 200, "{shown:?}");
        }
    }
    let bad: Vec<_> = origin.seen().into_iter().filter(|seen| seen.path() != "/good").collect();
    assert!(bad.is_empty(), "reached the origin: {bad:?}");
    assert!(origin.requests() > 20, "after most the connection goes on");
}

/// Requests that are well formed, and answered by the edge itself.
#[tokio::test]
async fn refusals_have_a_status() {
    let origin = Origin::fixed(FRESH, b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let long = format!("/{}", "a".repeat(9000));
    let many: Vec<_> = changed(|fields| fields.extend((0..101).map(|_| (b"x".to_vec(), b"y".to_vec()))));
    let cases = [
        (with(":scheme", "https"), 421),
        (with(":scheme", "ftp"), 421),
        (with(":path", &long), 414),
        (many, 431),
        (plus("expect", "200-ok"), 417),
        (with(":method", "TRACE"), 405),
        (
            changed(|fields| {
                *fields = vec![
                    (b":method".to_vec(), b"CONNECT".to_vec()),
                    (b":authority".to_vec(), b"site.test:443".to_vec()),
                ]
            }),
            405,
        ),
    ];
    let mut client = Client::connect(&edge).await;
    for (fields, status) in cases {
        let stream = client.open(&fields, END_STREAM).await;
        let answer = client.answer(stream).await;
        assert_eq!((answer.status(), answer.ended()), (status, Ended::Whole));
        assert!(answer.text().starts_with(&status.to_string()), "{}", answer.text());
    }
    // The announced length is looked at before any of the content comes.
    let stream = client.upload("/", &[("content-length", "2000000000000")]).await;
    assert_eq!(client.answer(stream).await.status(), 413);
    assert_eq!(origin.requests(), 0);
    let options = changed(|fields| {
        fields[0].1 = b"OPTIONS".to_vec();
        fields[3].1 = b"*".to_vec();
    });
    let options = client.open(&options, END_STREAM).await;
    assert_eq!(client.answer(options).await.status(), 200);
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test]
async fn the_origin_gets_what_the_client_sent() {
    let origin = Origin::fixed(FRESH, b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let stream = client
        .ask(
            "GET",
            "/a/../b\"|{?c=%20&d=e",
            &[
                ("cookie", "a=1"),
                ("x-odd", "a\tb \u{e9}"),
                ("te", "trailers"),
                ("cookie", "b=2; c=3"),
                ("x-two", "1"),
                ("x-two", "2"),
                ("priority", "u=1"),
                ("host", "SITE.test"),
                ("cookie", "d=4"),
            ],
        )
        .await;
    assert_eq!(client.answer(stream).await.status(), 200);
    let seen = origin.seen().remove(0);
    assert_eq!(seen.line, "GET /a/../b\"|{?c=%20&d=e HTTP/1.1");
    let fields: Vec<_> = seen
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .filter(|(name, _)| !matches!(name.as_str(), "cdn-loop"))
        .collect();
    let count = |name: &str| fields.iter().filter(|(given, _)| given == name).count();
    assert_eq!(fields[0], ("host".into(), "site.test"));
    assert_eq!(seen.field("cookie"), Some("a=1; b=2; c=3; d=4"));
    assert_eq!((count("cookie"), count("x-two"), count("host")), (1, 2, 1));
    assert_eq!(seen.field("x-odd"), Some("a\tb \u{e9}"));
    assert_eq!(seen.field("via"), Some("2 reference-cdn"));
    for gone in ["te", "content-length", "transfer-encoding", "connection"] {
        assert_eq!(count(gone), 0, "{gone}");
    }
    assert!(!fields.iter().any(|(name, _)| name.starts_with(':')), "{fields:?}");

    // Without :authority, as translated from HTTP/1.1 (section 8.3.1).
    let fields = changed(|fields| {
        fields.remove(2);
        fields.push(("host".into(), "other.test:8080".into()));
    });
    let stream = client.open(&fields, END_STREAM).await;
    assert_eq!(client.answer(stream).await.status(), 200);
    assert_eq!(origin.seen()[1].field("host"), Some("other.test:8080"));
    // A fragment never gets this far.
    assert_eq!(client.get("/a#b").await.status(), 200);
    assert_eq!(origin.seen()[2].line, "GET /a HTTP/1.1");
    // A method of any name.
    let stream = client.ask("M-SEARCH", "/m", &[]).await;
    assert_eq!(client.answer(stream).await.status(), 200);
    assert_eq!(origin.seen()[3].line, "M-SEARCH /m HTTP/1.1");
}

#[tokio::test]
async fn content_is_framed_for_the_origin() {
    let origin = Origin::fixed(FRESH, b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let mut seen = 0;
    let mut last = async |client: &mut Client, stream| {
        assert_eq!(client.answer(stream).await.status(), 200);
        seen += 1;
        assert_eq!(origin.requests(), seen);
        origin.seen().pop().expect("one")
    };
    // A length that was announced.
    let stream = client.upload("/length", &[("content-length", "5")]).await;
    client.data(stream, "he", 0).await;
    client.data(stream, "", 0).await;
    client.data(stream, "llo", END_STREAM).await;
    let request = last(&mut client, stream).await;
    assert_eq!((request.field("content-length"), &request.body[..]), (Some("5"), &b"hello"[..]));
    assert_eq!(request.field("transfer-encoding"), None);
    // One that was not; the end in a frame of its own; trailers.
    let stream = client.upload("/chunked", &[("trailer", "x-sum")]).await;
    client.data(stream, "hello", 0).await;
    // Pseudo-header fields have no business here either; h2 drops them.
    let trailers = [(":path", "/"), ("x-sum", "42"), ("content-length", "7"), ("host", "other")];
    let trailers = hpack::encode(&trailers);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers)).await;
    let request = last(&mut client, stream).await;
    assert_eq!((request.field("transfer-encoding"), &request.body[..]), (Some("chunked"), &b"hello"[..]));
    assert_eq!(request.field("trailer-x-sum"), Some("42"));
    assert_eq!((request.field("trailer-content-length"), request.field("trailer-host")), (None, None));
    // No content, and content of no octets.
    let stream = client.ask("POST", "/none", &[("content-length", "0")]).await;
    assert_eq!(last(&mut client, stream).await.field("content-length"), Some("0"));
    let stream = client.upload("/empty", &[]).await;
    client.data(stream, "", END_STREAM).await;
    assert_eq!(last(&mut client, stream).await.body, b"");
}

/// Some origins answer a GET by its content, which no key has: such an answer is for nobody else, announced or not.
#[tokio::test]
async fn a_get_with_content_has_nothing_to_do_with_the_store() {
    let origin = Origin::start(|seen, mut wire| async move {
        wire.respond(PAGE, format!("for {:?}", String::from_utf8_lossy(&seen.body))).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    for (path, before) in [("/first", false), ("/second", true)] {
        if before {
            assert_eq!(client.get(path).await.text(), "for \"\"");
        }
        for length in [None, Some(("content-length", "4"))] {
            let mut fields = client.pseudo("GET", path);
            fields.extend(length.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let stream = client.open(&fields, 0).await;
            client.data(stream, "evil", END_STREAM).await;
            assert_eq!(client.answer(stream).await.text(), "for \"evil\"");
        }
        assert_eq!(client.get(path).await.text(), "for \"\"");
    }
    assert_eq!(origin.requests(), 6);
}

/// The origin must not take what came for the whole.
#[tokio::test]
async fn content_that_is_not_as_announced_is_never_whole_for_the_origin() {
    let origin = Origin::fixed(FRESH, b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let odd = hpack::encode(&[("connection", "close")]);
    for (length, frames) in [
        (Some("5"), vec![(DATA, END_STREAM, b"abc".to_vec())]),
        (Some("5"), vec![(DATA, 0, b"abc".to_vec()), (DATA, END_STREAM, b"def".to_vec())]),
        (Some("5"), vec![(DATA, 0, b"abc".to_vec()), (RST_STREAM, 0, vec![0, 0, 0, 8])]),
        (None, vec![(DATA, 0, b"abc".to_vec()), (RST_STREAM, 0, vec![0, 0, 0, 8])]),
        (None, vec![(DATA, 0, b"abc".to_vec()), (HEADERS, END_HEADERS | END_STREAM, odd)]),
        (None, vec![(DATA, 0, b"abc".to_vec()), (HEADERS, 5, hpack::encode(&[("x\"", "y")]))]),
        (None, vec![(DATA, 0, b"abc".to_vec()), (HEADERS, 5, hpack::encode(&[("x", " y")]))]),
        // A trailer section that does not end the stream.
        (None, vec![(DATA, 0, b"abc".to_vec()), (HEADERS, END_HEADERS, hpack::encode(&[("x", "y")]))]),
    ] {
        let mut client = Client::connect(&edge).await;
        let length: Vec<_> = length.iter().map(|length| ("content-length", *length)).collect();
        let stream = client.upload("/bad", &length).await;
        let shown = format!("{length:?} {frames:?}");
        for (kind, flags, payload) in frames {
            client.send(frame(kind, flags, stream, payload)).await;
        }
        client.ping().await;
        assert_eq!(client.get("/good").await.status(), 200, "the connection goes on");
        assert_ne!(client.seen(stream).status(), 200, "{shown}");
    }
    edge.until("edge_requests_in_flight", 0).await;
    let bad = origin.seen().into_iter().filter(|seen| seen.path() != "/good").count();
    assert_eq!(bad, 0, "reached the origin whole");
}

#[tokio::test]
async fn uploads_are_streamed() {
    let origin = Origin::start(|seen, mut wire| async move {
        let digest =
            seen.body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        wire.respond(FRESH, format!("{} {digest}", seen.body.len())).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let content = pattern(5 << 20);
    let digest = content.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut client = Client::connect(&edge).await;
    let stream = client.upload("/up", &[]).await;
    let (mut connection, mut own) = (65_535_i64, 256 * 1024_i64);
    for piece in content.chunks(16_384) {
        // As much as both windows allow.
        while connection.min(own) < piece.len() as i64 {
            assert!(client.turn().await);
            for update in client.others.drain(..).filter(|frame| frame.kind == WINDOW_UPDATE) {
                let window = if update.stream == 0 { &mut connection } else { &mut own };
                *window += i64::from(update.word(0));
            }
        }
        connection -= piece.len() as i64;
        own -= piece.len() as i64;
        client.data(stream, piece, 0).await;
    }
    client.data(stream, "", END_STREAM).await;
    assert_eq!(client.answer(stream).await.text(), format!("{} {digest}", content.len()));
}

/// Windows are opened as content is taken: an origin that takes nothing stops the client, and nothing piles up here.
#[tokio::test]
async fn a_slow_origin_holds_back_the_client() {
    // It reads the head and no content.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let edge = TestEdge::with(address, |config| config.http2.stream_window = 64 * 1024).await;
    let mut client = Client::connect(&edge).await;
    let stream = client.upload("/up", &[]).await;
    let (held, _) = listener.accept().await.expect("accept");
    // Whatever the buffers of this machine take, it comes to an end.
    let (mut sent, mut window, mut quiet) = (0_u64, 64 * 1024_i64, 0);
    while quiet < 3 {
        if window >= 8192 && sent < 256 << 20 {
            client.data(stream, [7; 8192], 0).await;
            (sent, window) = (sent + 8192, window - 8192);
            continue;
        }
        let turn = tokio::time::timeout(Duration::from_millis(100), client.turn()).await;
        quiet = if turn.is_ok() { 0 } else { quiet + 1 };
        for update in client.others.drain(..).filter(|frame| frame.kind == WINDOW_UPDATE) {
            window += if update.stream == stream { i64::from(update.word(0)) } else { 0 };
        }
    }
    assert!(sent < 64 << 20, "{sent} octets, and nobody took them");
    // Another stream of the connection is not held back.
    drop((held, listener));
}

#[tokio::test]
async fn expectations_are_the_origins_to_meet() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/refuse" {
            wire.respond("401 Unauthorized", "no").await;
            return (wire, After::Close);
        }
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let mut content = vec![0; 4 - wire.buffer.len()];
        tokio::io::AsyncReadExt::read_exact(&mut wire.stream, &mut content).await.expect("content");
        wire.respond(FRESH, "thanks").await;
        (wire, After::Close)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let fields = [("expect", "100-continue"), ("content-length", "4")];
    let stream = client.upload("/take", &fields).await;
    client.until("100 (Continue)", |client| !client.seen(stream).interim.is_empty()).await;
    assert_eq!(client.seen(stream).interim, [[(":status".to_owned(), "100".to_owned())]]);
    client.data(stream, "data", END_STREAM).await;
    assert_eq!(client.answer(stream).await.text(), "thanks");

    let stream = client.upload("/refuse", &fields).await;
    let answer = client.answer(stream).await;
    assert_eq!((answer.status(), answer.ended(), answer.interim.len()), (401, Ended::Whole, 0));
    // The content is not wanted any more (section 8.1).
    client.until("RST_STREAM", |client| client.others.iter().any(|it| it.kind == RST_STREAM)).await;
    assert_eq!(client.others.iter().find(|it| it.kind == RST_STREAM).expect("one").word(0), NO_ERROR);
}

#[tokio::test]
async fn content_that_stalls_or_is_too_large_is_answered() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.client.content_stall = Duration::from_millis(100);
        config.client.request_content = 10;
    })
    .await;
    let mut client = Client::connect(&edge).await;
    let stream = client.upload("/", &[("content-length", "10")]).await;
    client.data(stream, "abc", 0).await;
    assert_eq!(client.answer(stream).await.status(), 408);
    let stream = client.upload("/", &[]).await;
    client.data(stream, "more than ten", 0).await;
    assert_eq!(client.answer(stream).await.status(), 413);
    assert_eq!(origin.requests(), 0, "the script never saw them whole");
    assert_eq!(client.get("/").await.text(), "page");
}
