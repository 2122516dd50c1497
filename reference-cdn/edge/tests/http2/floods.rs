//! Attacks, carried out. Each has a limit, and each is counted.

use std::time::Duration;

use super::client::*;
use super::support::{After, Origin, TestEdge, pattern, soon};
use super::{FRESH, PAGE, hpack};

/// How often a limit was reached.
fn reached(edge: &TestEdge, limit: &str) -> u64 {
    edge.labelled("edge_limit_reached_total", limit)
}

async fn until_reached(edge: &TestEdge, limit: &str, count: u64) {
    edge.until_labelled("edge_limit_reached_total", limit, count).await;
    assert_eq!(reached(edge, limit), count);
}

/// Sends `octets` again and again until the edge ends the connection; says why, and how often it was sent.
async fn flood(
    client: &mut Client,
    most: usize,
    mut octets: impl FnMut(u32) -> Vec<u8>,
) -> (Option<u32>, usize) {
    for turn in 0..most {
        let stream = client.stream();
        client.send(octets(stream)).await;
        if turn % 16 == 15 {
            // What the edge has to say is read, so that it never waits for this client.
            while let Ok(more) = tokio::time::timeout(Duration::from_millis(1), client.turn()).await {
                if !more {
                    return (client.goaways.last().map(|(code, _)| *code), turn + 1);
                }
            }
        }
    }
    (client.end().await, most)
}

async fn origin() -> Origin {
    Origin::start(|_, mut wire| async move {
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await
}

fn head(stream: u32) -> Vec<u8> {
    let fields =
        [(":method", "DELETE"), (":scheme", "http"), (":authority", "site.test"), (":path", "/never")];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, hpack::encode(&fields))
}

/// CVE-2023-44487: requests that are taken back at once, each of which has made work by then.
#[tokio::test]
async fn rapid_reset() {
    let origin = origin().await;
    let edge = TestEdge::with(origin.address, |config| config.http2.resets = 50).await;
    let mut client = Client::connect(&edge).await;
    let (code, sent) =
        flood(&mut client, 1000, |stream| [head(stream), reset(stream, CANCEL)].concat()).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!((50..100).contains(&sent), "{sent}");
    assert_eq!(reached(&edge, "http2.resets"), 1);
    edge.until("edge_requests_in_flight", 0).await;
    // Within the limit they are nothing.
    let mut client = Client::connect(&edge).await;
    for _ in 0..40 {
        let stream = client.stream();
        client.send([head(stream), reset(stream, CANCEL)].concat()).await;
    }
    client.ping().await;
}

/// CVE-2025-8671: errors that make the edge reset the stream, which then no longer counts as open.
#[tokio::test]
async fn made_you_reset() {
    let origin = origin().await;
    let edge = TestEdge::with(origin.address, |config| config.http2.resets = 50).await;
    type Provoke = fn(u32) -> Vec<u8>;
    let ways: [(&str, Provoke); 3] = [
        ("a window beyond its most", |stream| window_update(stream, 0x7fff_ffff)),
        ("more content than was announced", |stream| {
            let fields = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "site.test"),
                (":path", "/never"),
                ("content-length", "1"),
            ];
            let head = frame(HEADERS, END_HEADERS, stream + 2, hpack::encode(&fields));
            [head, frame(DATA, 0, stream + 2, b"xx")].concat()
        }),
        ("a priority that depends on itself", |stream| {
            frame(PRIORITY, 0, stream, [&stream.to_be_bytes()[..], &[1]].concat())
        }),
    ];
    for (count, (what, provoke)) in ways.into_iter().enumerate() {
        let mut client = Client::connect(&edge).await;
        // Numbers leave room for a stream that the provocation itself opens.
        let once = |stream| [head(stream * 2 + 1), provoke(stream * 2 + 1)].concat();
        let (code, sent) = flood(&mut client, 1000, once).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
        assert!(sent < 200, "{what}: {sent}");
        assert_eq!(reached(&edge, "http2.resets"), count as u64 + 1, "{what}");
    }
    // Malformed requests are reset by the edge itself.
    let mut client = Client::connect(&edge).await;
    let bad =
        hpack::encode(&[(":method", "GET"), (":scheme", "http"), (":authority", "a@b"), (":path", "/")]);
    let (code, _) = flood(&mut client, 1000, |stream| frame(HEADERS, 5, stream, &bad)).await;
    assert_eq!((code, reached(&edge, "http2.resets")), (Some(ENHANCE_YOUR_CALM), 4));
    edge.until("edge_requests_in_flight", 0).await;
    assert!(origin.requests() < 1000);
}

/// CVE-2019-9512, 9513, 9515, 9518, and what has no number: frames that cost the edge more than the client.
#[tokio::test]
async fn frames_that_bring_nothing() {
    let origin = origin().await;
    let edge = TestEdge::with(origin.address, |config| config.http2.frames = 100).await;
    let frames = [
        ("PING", frame(PING, 0, 0, [0; 8])),
        ("answers to PING that was never sent", frame(PING, ACK, 0, [0; 8])),
        ("SETTINGS", settings(&[(MAX_CONCURRENT_STREAMS, 1)])),
        ("empty SETTINGS", settings(&[])),
        ("PRIORITY", frame(PRIORITY, 0, 77, [0, 0, 0, 0, 1])),
        ("PRIORITY_UPDATE", frame(0x10, 0, 0, b"\0\0\0\x01u=1")),
        ("frames that nobody knows", frame(0xee, 0, 0, b"")),
        ("WINDOW_UPDATE", window_update(0, 1)),
    ];
    for (count, (what, octets)) in frames.into_iter().enumerate() {
        let mut client = Client::connect(&edge).await;
        let (code, sent) = flood(&mut client, 1000, |_| octets.clone()).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
        assert!((90..200).contains(&sent), "{what}: {sent}");
        assert_eq!(reached(&edge, "http2.frames"), count as u64 + 1, "{what}");
    }
    // Empty DATA, on a stream that is open.
    let mut client = Client::connect(&edge).await;
    let stream = client.upload("/", &[]).await;
    let (code, _) = flood(&mut client, 1000, |_| frame(DATA, 0, stream, b"")).await;
    assert_eq!((code, reached(&edge, "http2.frames")), (Some(ENHANCE_YOUR_CALM), 9));
}

/// VU#421644: a header block that never ends, in full frames, in small ones, in empty ones.
#[tokio::test]
async fn continuation() {
    let origin = origin().await;
    let edge = TestEdge::start(origin.address).await;
    let field = hpack::encode(&[("x", "y".repeat(1000))]);
    for (before, piece) in [field.repeat(16), field[..100].to_vec(), Vec::new()].into_iter().enumerate() {
        let mut client = Client::connect(&edge).await;
        let stream = client.stream();
        client.send(frame(HEADERS, END_STREAM, stream, &field)).await;
        let mut first = piece.len() == 100;
        let (code, sent) = flood(&mut client, 1000, |_| {
            // A field whose value is announced once, and goes on and on.
            let announce = std::mem::take(&mut first).then(|| {
                let mut block = vec![0, 1, b'z'];
                hpack::integer(&mut block, 0, 7, 1 << 20);
                block
            });
            frame(CONTINUATION, 0, stream, announce.unwrap_or_else(|| piece.clone()))
        })
        .await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        assert!(sent <= 32, "{sent}");
        drop(client);
        until_reached(&edge, "http2-excess", before as u64 + 1).await;
    }
    assert_eq!(origin.requests(), 0);
}

/// A head sent an octet at a time holds up everything behind it.
#[tokio::test]
async fn a_slow_head() {
    let origin = origin().await;
    let edge =
        TestEdge::with(origin.address, |config| config.client.head_time = Duration::from_millis(200)).await;
    let mut client = Client::connect(&edge).await;
    let head = head(1);
    client.send(&head[..head.len() - 1]).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    let mut client = Client::connect(&edge).await;
    client.send(frame(HEADERS, END_STREAM, 1, b"")).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(reached(&edge, "client.head-time"), 2);
}

/// A field list within the limit, just beyond it, and one of a few octets that says it holds megabytes.
#[tokio::test]
async fn header_lists() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let value = "v".repeat(7000);
    let list = |count: usize| -> Vec<(&str, &str)> { (0..count).map(|_| ("x", value.as_str())).collect() };
    for (count, status) in [(4, 200), (5, 431)] {
        let mut fields = client.pseudo("GET", "/");
        fields.extend(list(count).iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let block = hpack::encode(&fields);
        let stream = client.stream();
        let mut pieces = block.chunks(16_000).peekable();
        let first = pieces.next().expect("a piece");
        client.send(frame(HEADERS, END_STREAM, stream, first)).await;
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            client.send(frame(CONTINUATION, end, stream, piece)).await;
        }
        assert_eq!(client.answer(stream).await.status(), status, "{count}");
    }
    edge.until("edge_http2_streams_refused_total", 1).await;
    // One entry of 4000 octets in the dynamic table, named by one octet as often as a frame holds.
    let mut bomb = vec![0x40, 1, b'x'];
    hpack::integer(&mut bomb, 0, 7, 4000);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 10_000]);
    let stream = client.stream();
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, bomb)).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    drop(client);
    until_reached(&edge, "http2-excess", 1).await;
}

/// DATA an octet a frame costs many times its octets to keep, where nobody takes it.
#[tokio::test]
async fn small_data_frames() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    // The origin's address takes connections, and answers none.
    let edge = TestEdge::with(listener.local_addr().expect("address"), |config| {
        config.http2.connection_window = 64 * 1024;
        config.customers[0].origin.limits.connections = 1;
    })
    .await;
    let mut client = Client::connect(&edge).await;
    // The one connection to the origin is taken, so that nobody reads what comes on the next stream.
    client.ask("DELETE", "/", &[]).await;
    let _held = listener.accept().await.expect("accept");
    let stream = client.upload("/", &[]).await;
    let (code, sent) = flood(&mut client, 3000, |_| frame(DATA, 0, stream, b"x").repeat(10)).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(sent * 10 < 1000, "{sent}");
    drop(client);
    until_reached(&edge, "http2-excess", 1).await;
}

/// CVE-2019-9517, 9511: a client that opens no window, or opens it an octet at a time, or opens it wide and reads nothing.
#[tokio::test]
async fn slow_readers() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(8 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.client.write_stall = Duration::from_millis(300);
        config.client.drain_time = Duration::from_millis(200);
        config.http2.frames = 100;
    })
    .await;
    assert_eq!(edge.get("/").await.body.len(), 8 << 20);
    // No window: each stream by itself, the connection goes on.
    let mut client = Client::with(&edge, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    client.reads = false;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(client.ask("GET", "/", &[]).await);
    }
    for stream in streams {
        let answer = client.answer(stream).await;
        assert_eq!((answer.status(), answer.ended()), (200, Ended::Reset(CANCEL)));
    }
    assert_eq!(reached(&edge, "client.write-stall"), 20);
    client.ping().await;
    // An octet at a time.
    let stream = client.ask("GET", "/", &[]).await;
    let (code, sent) = flood(&mut client, 1000, |_| window_update(stream, 1)).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(sent < 200, "{sent}");
    assert_eq!(reached(&edge, "http2.frames"), 1);

    // Wide open, and nothing read: what waits is bounded, and the connection is given up.
    edge.until("edge_requests_in_flight", 0).await;
    let before = edge.metric("edge_content_octets_sent_total");
    let mut client = Client::with(&edge, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]).await;
    client.send(window_update(0, 0x7f00_0000)).await;
    for _ in 0..50 {
        client.ask("GET", "/", &[]).await;
    }
    soon("the edge to give it up", async {
        while edge.metric("edge_requests_in_flight") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    edge.until("edge_connections", 0).await;
    // Of 400 MiB that the windows allowed, each stream took what goes with its head and its share of the queue.
    let taken = edge.metric("edge_content_octets_sent_total") - before;
    assert!(taken < 50 << 20, "{taken} octets for a client that read none");
    // Nobody else noticed.
    assert_eq!(edge.get("/").await.body.len(), 8 << 20);
}

/// An octet at a time within a window that is open: no stall limit meets that.
#[tokio::test]
async fn a_client_that_takes_next_to_nothing_is_cut_off() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(8 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.client.write_time = Duration::from_millis(500);
        config.client.drain_time = Duration::from_millis(200);
    })
    .await;
    let mut client = Client::with(&edge, &[(INITIAL_WINDOW_SIZE, 100)]).await;
    client.reads = false;
    client.send(window_update(0, 1 << 20)).await;
    let stream = client.ask("GET", "/", &[]).await;
    // Not so often that it would be a flood.
    let cut = async {
        let mut next = tokio::time::interval(Duration::from_millis(20));
        while client.seen(stream).ended.is_none() {
            tokio::select! {
                _ = next.tick() => client.send(window_update(stream, 20)).await,
                more = client.turn() => assert!(more, "the stream alone is ended"),
            }
        }
    };
    soon("to be cut off", cut).await;
    assert_eq!(client.answer(stream).await.ended(), Ended::Reset(CANCEL));
    assert_eq!(reached(&edge, "client.write-time"), 1);
}

/// Requests that go on and on are what a connection is for.
#[tokio::test]
async fn an_honest_client_meets_no_limit() {
    let origin = Origin::fixed(FRESH, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.http2.frames = 100;
        config.http2.resets = 10;
    })
    .await;
    let mut client = Client::connect(&edge).await;
    client.reads = false;
    for _ in 0..300 {
        assert_eq!(client.get("/").await.text(), "page");
    }
    for _ in 0..50 {
        let stream = client.upload("/", &[("content-length", "4")]).await;
        client.data(stream, "data", END_STREAM).await;
        assert_eq!(client.answer(stream).await.text(), "page");
    }
    for limit in ["http2.resets", "http2.frames", "client.head-time", "http2-excess"] {
        assert_eq!(reached(&edge, limit), 0);
    }
}
