//! How responses are sent, in turns, and what becomes of those that break off.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::client::*;
use super::support::{After, Origin, TestEdge, pattern};
use super::{FRESH, PAGE};

#[tokio::test]
async fn heads_say_what_they_have_to() {
    let origin = Origin::start(|seen, mut wire| async move {
        match seen.path() {
            "/204" => wire.send("HTTP/1.1 204 No Content\r\nX-Last: 1\r\n\r\n").await,
            "/304" => wire.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n").await,
            "/hop" => {
                let fields = "Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2";
                wire.respond(&format!("200 Fine by me\r\nCache-Control: no-store\r\n{fields}"), "page").await;
            }
            "/hints" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
                wire.respond(FRESH, "page").await;
            }
            _ if seen.line.starts_with("HEAD") => {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n").await;
            }
            _ => {
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n").await;
                wire.send("4\r\npage\r\n0\r\nX-Sum: 42\r\nSet-Cookie: a=b\r\n\r\n").await;
            }
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let mut ask = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let stream = client.ask(method, path, fields).await;
        let answer = client.answer(stream).await;
        assert_eq!(answer.ended(), Ended::Whole, "{method} {path}");
        answer
    };
    let none = ask("GET", "/204", &[]).await;
    assert_eq!((none.status(), none.field("content-length"), none.field("x-last")), (204, None, Some("1")));
    let none = ask("GET", "/304", &[("if-none-match", "\"a\"")]).await;
    assert_eq!((none.status(), none.field("etag")), (304, Some("\"a\"")));
    let head = ask("HEAD", "/head", &[]).await;
    assert_eq!((head.status(), head.field("content-length"), head.body.len()), (200, Some("4000"), 0));
    let hop = ask("GET", "/hop", &[]).await;
    assert_eq!((hop.text().as_str(), hop.field("x-end")), ("page", Some("2")));
    for gone in ["keep-alive", "proxy-connection", "upgrade", "connection", "x-hop", "transfer-encoding"] {
        assert_eq!(hop.field(gone), None, "{gone}");
    }
    assert!(hop.fields.iter().all(|(name, _)| name.bytes().all(|byte| !byte.is_ascii_uppercase())));
    let hints = ask("GET", "/hints", &[]).await;
    assert_eq!(hints.interim.len(), 1);
    assert!(
        hints.interim[0].contains(&("link".into(), "</a.css>; rel=preload".into())),
        "{:?}",
        hints.interim
    );
    // Trailers, passed on as they come and from the store, which then knows the length as well.
    let first = ask("GET", "/trailers", &[]).await;
    let second = ask("GET", "/trailers", &[]).await;
    for answer in [&first, &second] {
        assert_eq!(answer.text(), "page");
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    }
    assert_eq!(second.field("content-length"), Some("4"));
    assert!(second.field("cache-status").expect("said").contains("hit"));
}

/// Section 8.1: a response that is not whole has no END_STREAM.
#[tokio::test]
async fn what_breaks_off_is_reset_and_never_ends_well() {
    let door = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&door);
    let origin = Origin::start(move |seen, mut wire| {
        let opened = Arc::clone(&opened);
        async move {
            let framing = match seen.path() {
                "/short" | "/stored-short" => "Content-Length: 9",
                _ => "Transfer-Encoding: chunked",
            };
            let caching = if seen.path().starts_with("/stored") { "max-age=60" } else { "no-store" };
            wire.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\nCache-Control: {caching}\r\n\r\n")).await;
            wire.send(if framing.starts_with('C') { "part" } else { "4\r\npart\r\n" }).await;
            opened.acquire().await.expect("open").forget();
            if seen.path() == "/reset" {
                wire.reset();
            }
            (wire, After::Close)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    for path in ["/short", "/chunked", "/reset", "/stored-short", "/stored-chunked"] {
        let stream = client.ask("GET", path, &[]).await;
        client.until("the part that came", |client| client.seen(stream).body == b"part").await;
        door.add_permits(1);
        let answer = client.answer(stream).await;
        assert_eq!((answer.status(), answer.ended()), (200, Ended::Reset(INTERNAL_ERROR)), "{path}");
    }
    assert_eq!(edge.metric("edge_store_objects"), 0);
    assert_eq!(edge.metric("edge_responses_aborted_total"), 5);
}

#[tokio::test]
async fn large_responses_arrive_whole_and_side_by_side() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(3 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let mut streams = Vec::new();
    for n in 0..6 {
        streams.push(client.ask("GET", &format!("/{}", n % 3), &[]).await);
    }
    for stream in streams {
        let answer = client.answer(stream).await;
        assert_eq!((answer.status(), answer.ended()), (200, Ended::Whole));
        assert!(answer.body == pattern(3 << 20));
    }
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_stream_whose_window_is_shut_holds_up_nobody() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(1 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::with(&edge, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    client.reads = false;
    client.send(window_update(0, 100 << 20)).await;
    let slow = client.ask("GET", "/", &[]).await;
    client.until("the head", |client| client.seen(slow).status() == 200).await;
    for path in ["/", "/other"] {
        let stream = client.ask("GET", path, &[]).await;
        client.send(window_update(stream, 4 << 20)).await;
        assert_eq!(client.answer(stream).await.body.len(), 1 << 20);
    }
    assert!(client.seen(slow).body.is_empty());
    // Nor does it hold up a client of another version, or the fetch that brings the content.
    assert_eq!(edge.get("/").await.body.len(), 1 << 20);
    // Exactly what the window allows.
    client.send(window_update(slow, 10)).await;
    client.until("ten octets", |client| client.seen(slow).body.len() == 10).await;
    // Shut again, by as much as what was opened before: now it is less than nothing (section 6.9.2).
    client.send([window_update(slow, 1 << 19), settings(&[(INITIAL_WINDOW_SIZE, 1 << 20)])].concat()).await;
    let answer = client.answer(slow).await;
    assert!(answer.body == pattern(1 << 20));
}

/// A request that nobody waits for any more is not asked of the origin to its end.
#[tokio::test]
async fn a_reset_stream_lets_go_of_its_origin() {
    let gone = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&gone);
    let origin = Origin::start(move |seen, mut wire| {
        let told = Arc::clone(&told);
        async move {
            if seen.path() == "/streaming" {
                wire.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9\r\n\r\nabc").await;
            }
            wire.until_closed().await;
            told.add_permits(1);
            (wire, After::Close)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = Client::connect(&edge).await;
    let upload = client.upload("/upload", &[("content-length", "9")]).await;
    client.data(upload, "abc", 0).await;
    let waiting = client.ask("DELETE", "/waiting", &[]).await;
    let streaming = client.ask("GET", "/streaming", &[]).await;
    origin.wait_for(2).await;
    client.until("content", |client| client.seen(streaming).body == b"abc").await;
    assert_eq!(edge.metric("edge_requests_in_flight"), 3);
    for stream in [upload, waiting, streaming] {
        client.send(reset(stream, CANCEL)).await;
    }
    edge.until("edge_requests_in_flight", 0).await;
    let all = gone.acquire_many(2);
    drop(super::support::soon("the origin's connections to close", all).await);
    client.ping().await;
}
