//! How a connection begins, what breaks it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::client::*;
use super::support::{self, After, Origin, TestEdge, soon};
use super::{FRESH, PAGE, hpack};

#[tokio::test]
async fn both_versions_are_spoken_on_one_listener() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(Client::connect(&edge).await.get("/").await.text(), "page");
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(origin.requests(), 1, "one store for both");

    // However the preface is cut.
    let mut client = Client::silent(edge.address).await;
    for octet in [PREFACE, &settings(&[(HEADER_TABLE_SIZE, 0)])].concat() {
        client.send([octet]).await;
    }
    assert_eq!(client.get("/").await.text(), "page");

    // A method that only begins like it.
    for method in ["P", "PR", "PRI"] {
        assert_eq!(edge.exchange(method, "/x", "").await.text(), "page");
    }
    // An upgrade is not made (RFC 9113 section 3.1 has dropped it): the answer is HTTP/1.1.
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(edge.exchange("GET", "/", fields).await.line, "HTTP/1.1 200 OK");
    // Operators are served in HTTP/1.1 only.
    let mut operator = support::Client::connect(edge.admin).await;
    operator.send(PREFACE).await;
    assert_eq!(operator.response().await.status, 505);
}

/// Octets that are no preface are a request in HTTP/1.1, and answered as such, if they look like one at all.
#[tokio::test]
async fn what_is_neither_is_closed() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    for (octets, status) in [
        ("PRI * HTTP/2.0\r\n\r\nSM\n\r\n", 505),
        ("GET /\r\n\r\n", 400),
        ("GET http://a/\r\n\r\n", 400),
        ("INVALID CONNECTION PREFACE\r\n\r\n", 0),
        ("\u{16}\u{3}\u{1} \r\n\r\n", 0),
    ] {
        let mut client = edge.client().await;
        client.send(octets).await;
        let response = client.try_response("GET").await;
        assert_eq!(response.map_or(0, |response| response.status), status, "{octets:?}");
        assert!(client.is_closed().await);
    }
    assert_eq!(edge.metric("edge_heads_refused_total"), 5);
}

#[tokio::test]
async fn limits_are_announced() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let client = Client::connect(&edge).await;
    let announced = |setting| client.settings.get(&setting).copied();
    assert_eq!(announced(MAX_CONCURRENT_STREAMS), Some(100));
    assert_eq!(announced(INITIAL_WINDOW_SIZE), Some(256 * 1024));
    assert_eq!(announced(MAX_HEADER_LIST_SIZE), Some(32 * 1024));
}

/// Frames that end the connection, and the error code that says why.
#[tokio::test]
async fn frames_that_break_the_protocol_end_the_connection() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let block = hpack::encode(&Client::silent(edge.address).await.pseudo("GET", "/"));
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        // Lengths (section 4.2).
        ("SETTINGS of 5 octets", frame(SETTINGS, 0, 0, [0; 5]), FRAME_SIZE_ERROR),
        ("an ACK that says something", frame(SETTINGS, ACK, 0, [0; 6]), FRAME_SIZE_ERROR),
        ("PING of 7 octets", frame(PING, 0, 0, [0; 7]), FRAME_SIZE_ERROR),
        ("PRIORITY of 4 octets", frame(PRIORITY, 0, 1, [0; 4]), FRAME_SIZE_ERROR),
        ("RST_STREAM of 3 octets", frame(RST_STREAM, 0, 1, [0; 3]), FRAME_SIZE_ERROR),
        ("WINDOW_UPDATE of 5 octets", frame(WINDOW_UPDATE, 0, 0, [0; 5]), FRAME_SIZE_ERROR),
        ("a frame larger than announced", frame(DATA, 0, 1, vec![0; 16_385]), FRAME_SIZE_ERROR),
        // Streams (section 5.1).
        ("DATA on no stream", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("DATA on a stream that is not open", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        ("HEADERS on no stream", frame(HEADERS, 5, 0, &block), PROTOCOL_ERROR),
        ("HEADERS on the server's stream", frame(HEADERS, 5, 2, &block), PROTOCOL_ERROR),
        ("RST_STREAM on no stream", frame(RST_STREAM, 0, 0, [0; 4]), PROTOCOL_ERROR),
        ("RST_STREAM on a stream that is not open", frame(RST_STREAM, 0, 1, [0; 4]), PROTOCOL_ERROR),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
        ("PING on a stream", frame(PING, 0, 1, [0; 8]), PROTOCOL_ERROR),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), PROTOCOL_ERROR),
        (
            "an increment of nothing, on a stream",
            [frame(HEADERS, 5, 1, &block), window_update(1, 0)].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &block].concat()),
            PROTOCOL_ERROR,
        ),
        // Header blocks (section 6.10).
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &block), PROTOCOL_ERROR),
        (
            "a frame between HEADERS and CONTINUATION",
            [frame(HEADERS, END_STREAM, 1, &block), frame(PING, 0, 0, [0; 8])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION of another stream",
            [frame(HEADERS, END_STREAM, 1, &block), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            PROTOCOL_ERROR,
        ),
        // Windows (section 6.9), settings (section 6.5.2).
        ("an increment of nothing", window_update(0, 0), PROTOCOL_ERROR),
        ("a window beyond 2^31-1", window_update(0, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        ("ENABLE_PUSH of 2", settings(&[(2, 2)]), PROTOCOL_ERROR),
        ("MAX_FRAME_SIZE of 1", settings(&[(5, 1)]), PROTOCOL_ERROR),
        (
            "INITIAL_WINDOW_SIZE beyond 2^31-1",
            settings(&[(1, 7), (INITIAL_WINDOW_SIZE, 1 << 31), (5, 16_384)]),
            FLOW_CONTROL_ERROR,
        ),
        // Here RFC 9113 has COMPRESSION_ERROR; h2 does not tell it apart.
        ("an index that the tables do not have", frame(HEADERS, 5, 1, [0xff, 0x10]), PROTOCOL_ERROR),
    ];
    let count = cases.len() as u64;
    for (what, octets, code) in cases {
        let mut client = Client::connect(&edge).await;
        client.send(&octets).await;
        assert_eq!(client.end().await, Some(code), "{what}");
    }
    // Those of the first frame: it has to be SETTINGS (section 3.4).
    for first in [frame(PING, 0, 0, [0; 8]), frame(HEADERS, 5, 1, &block), frame(SETTINGS, ACK, 0, b"")] {
        let mut client = Client::silent(edge.address).await;
        client.send([PREFACE, &first].concat()).await;
        assert_eq!(client.end().await, Some(PROTOCOL_ERROR));
    }
    edge.until("edge_http2_protocol_errors_total", count + 3).await;
    edge.until("edge_connections", 0).await;
    assert_eq!(origin.requests(), 0);
}

/// Section 5.1: after a reset of its own, a client has nothing more to say on a stream, whoever else has reset it.
#[tokio::test]
async fn a_stream_that_was_reset_is_over() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    for (kind, flags) in [(HEADERS, END_HEADERS | END_STREAM), (DATA, END_STREAM)] {
        let mut client = Client::connect(&edge).await;
        assert_eq!(client.get("/").await.text(), "page");
        let fields = client.pseudo("GET", "/");
        let stream = client.upload("/", &[("content-length", "2000000000000")]).await;
        // Answered, and the rest of the request is not wanted.
        client.until("RST_STREAM", |client| client.others.iter().any(|it| it.kind == RST_STREAM)).await;
        let payload = if kind == HEADERS { hpack::encode(&fields) } else { b"x".to_vec() };
        client.send([reset(stream, CANCEL), frame(kind, flags, stream, payload)].concat()).await;
        assert_eq!(client.end().await, Some(STREAM_CLOSED));
    }
}

#[tokio::test]
async fn what_is_not_known_is_ignored() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::with(&edge, &[(0xfafa, 7)]).await;
    client.send(frame(0xbb, 0xff, 0, b"grease")).await;
    client.send(frame(0xbb, 0xff, 1, b"grease")).await;
    client.send(frame(PING, 0xfe, 0, b"12345678")).await;
    client.send(frame(PRIORITY, 0, 9, [0, 0, 0, 3, 7])).await;
    client.send(frame(0x10, 0, 0, b"\0\0\0\x01u=1")).await;
    assert_eq!(client.get("/").await.text(), "page");
    // Padding is not content, and priorities are nobody's business.
    let stream = client.stream();
    let block = hpack::encode(&client.pseudo("POST", "/"));
    let padded = [&[3, 0, 0, 0, 0, 7][..], &block, &[0; 3]].concat();
    client.send(frame(HEADERS, 0x8 | 0x20 | END_HEADERS, stream, padded)).await;
    client.send(frame(DATA, 0x8 | END_STREAM, stream, b"\x02hi\0\0")).await;
    assert_eq!(client.answer(stream).await.text(), "page");
    assert_eq!(origin.seen().last().expect("one").body, b"hi");
}

#[tokio::test]
async fn more_streams_than_announced_are_refused() {
    let door = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&door);
    let origin = Origin::start(move |_, mut wire| {
        let opened = Arc::clone(&opened);
        async move {
            opened.acquire().await.expect("open").forget();
            wire.respond(FRESH, "page").await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.http2.streams = 3).await;
    let mut client = Client::connect(&edge).await;
    let mut streams = Vec::new();
    for n in 0..3 {
        streams.push(client.ask("GET", &format!("/{n}"), &[]).await);
    }
    origin.wait_for(3).await;
    let refused = client.ask("GET", "/4", &[]).await;
    assert_eq!(client.answer(refused).await.ended(), Ended::Reset(REFUSED_STREAM));
    edge.until("edge_http2_streams_refused_total", 1).await;
    door.add_permits(4);
    for stream in streams {
        assert_eq!(client.answer(stream).await.text(), "page");
    }
    assert_eq!(client.get("/5").await.text(), "page");
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let door = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&door);
    let origin = Origin::start(move |_, mut wire| {
        let opened = Arc::clone(&opened);
        async move {
            opened.acquire().await.expect("open").forget();
            wire.respond(FRESH, "page").await;
            (wire, After::Keep)
        }
    })
    .await;
    let mut edge = TestEdge::start(origin.address).await;
    let mut idle = Client::connect(&edge).await;
    let mut busy = Client::connect(&edge).await;
    let stream = busy.ask("GET", "/slow", &[]).await;
    origin.wait_for(1).await;
    let stopped = edge.stop();
    assert_eq!(idle.end().await, Some(NO_ERROR));
    busy.until("GOAWAY", |client| !client.goaways.is_empty()).await;
    assert_eq!(
        busy.goaways[0],
        (NO_ERROR, 0x7fff_ffff),
        "first a warning, so that nothing on its way is lost"
    );
    door.add_permits(1);
    assert_eq!(busy.answer(stream).await.text(), "page");
    assert_eq!(busy.end().await, Some(NO_ERROR));
    assert_eq!(busy.goaways.last(), Some(&(NO_ERROR, stream)));
    assert_eq!(soon("the end", stopped).await.expect("no panic").cut, 0);
}

#[tokio::test]
async fn idle_connections_are_closed_and_make_room() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| config.client.idle = Duration::from_millis(100)).await;
    let mut client = Client::connect(&edge).await;
    assert_eq!(client.get("/").await.text(), "page");
    assert_eq!(client.end().await, Some(NO_ERROR));
    // Nor is there for ever to send a preface in.
    let edge = TestEdge::with(origin.address, |config| {
        config.client.head_time = Duration::from_millis(100);
        config.client.drain_time = Duration::from_millis(100);
        config.connections = 2;
    })
    .await;
    let mut client = Client::silent(edge.address).await;
    client.send(&PREFACE[..20]).await;
    let mut rest = Vec::new();
    soon("408, in the only version it might be", client.io.read_to_end(&mut rest)).await.expect("read");
    assert!(rest.starts_with(b"HTTP/1.1 408 "));
    drop(client);
    edge.until("edge_connections", 0).await;

    let mut clients = Vec::new();
    for n in 0..2 {
        let mut client = Client::connect(&edge).await;
        assert_eq!(client.get("/").await.text(), "page");
        edge.until("edge_connections", n + 1).await;
        clients.push(client);
    }
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(clients[0].end().await, Some(NO_ERROR));
    assert_eq!(clients[1].get("/").await.text(), "page");
    assert_eq!(edge.metric("edge_connections_shed_total"), 1);
}
