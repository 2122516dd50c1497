//! Responses that break off: never stored, and never taken for whole by a client.

mod support;

use std::time::Duration;

use support::{After, Origin, TestEdge, pattern};

#[tokio::test]
async fn incomplete_responses_are_not_stored_and_clients_can_tell() {
    let cacheable = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";
    let private = "HTTP/1.1 200 OK\r\nCache-Control: private\r\n";
    for (head, resets) in [(cacheable, false), (cacheable, true), (private, false), (private, true)] {
        for framing in [
            "Content-Length: 10\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "Transfer-Encoding: chunked\r\n\r\na\r\nabc",
        ] {
            let origin = Origin::start(move |_, mut wire| async move {
                wire.send(head).await;
                wire.send(framing).await;
                if resets {
                    wire.reset();
                }
                (wire, After::Close)
            })
            .await;
            let edge = TestEdge::start(origin.address).await;
            for _ in 0..2 {
                let mut client = edge.client().await;
                client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
                // A reset may overtake the head; then there is no response to be mistaken.
                match client.try_response("GET").await {
                    Some(response) if response.status == 200 => assert!(!response.complete, "{framing:?}"),
                    Some(response) => assert_eq!(response.status, 502),
                    None => panic!("no answer at all"),
                }
            }
            assert_eq!(origin.requests(), 2, "{framing:?}");
            assert_eq!(edge.metric("edge_store_objects"), 0);
        }
    }
}

#[tokio::test]
async fn broken_heads_are_a_bad_gateway() {
    for answer in [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let origin = Origin::start(move |_, mut wire| async move {
            wire.send(answer).await;
            (wire, After::Close)
        })
        .await;
        let edge = TestEdge::start(origin.address).await;
        assert_eq!(edge.get("/").await.status, 502, "{answer:?}");
        assert_eq!(edge.metric("edge_origin_failures_total"), 1, "{answer:?}");
    }
}

/// RFC 9112 section 6.3: neither length is to be believed, nor what follows on the connection.
#[tokio::test]
async fn a_response_with_two_framings_is_a_bad_gateway_and_its_connection_is_closed() {
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    let content = "a\r\n0123456789\r\n0\r\n\r\n";
    let smuggled = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nevil";
    for (method, framing, content) in [
        ("GET", both, content),
        ("GET", "Transfer-Encoding: chunked\r\ncontent-length: 10\r\n\r\n", content),
        ("GET", "Transfer-Encoding: something\r\nContent-Length: 3\r\n\r\n", "abc"),
        ("GET", "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "abc"),
        ("GET", "Content-Length: 3, 4\r\n\r\n", "abc"),
        ("POST", both, content),
        ("HEAD", both, ""),
        ("HEAD", "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", ""),
    ] {
        let origin = Origin::start(move |seen, mut wire| async move {
            if seen.path() == "/good" {
                wire.respond("200 OK\r\nCache-Control: no-store", "good").await;
                return (wire, After::Keep);
            }
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";
            wire.send([head, framing, content, smuggled].concat()).await;
            // Returns when the edge closes the connection.
            wire.until_closed().await;
            (wire, After::Close)
        })
        .await;
        let edge = TestEdge::start(origin.address).await;
        for requests in 1..=2 {
            let answer = edge.exchange(method, "/page", "").await;
            assert_eq!((answer.status, origin.requests()), (502, requests), "{method} {framing:?}");
            assert!(answer.complete && !answer.text().contains("evil"));
        }
        assert_eq!(edge.get("/good").await.text(), "good", "{framing:?}");
        let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [0, 1, 2], "{framing:?}");
        assert_eq!(edge.metric("edge_store_objects"), 0);
        assert_eq!(edge.metric("edge_origin_failures_total"), 2);
    }
}

#[tokio::test]
async fn content_that_ends_with_the_connection_is_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nabc",
        "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: something\r\n\r\nabc",
    ] {
        let origin = Origin::start(move |_, mut wire| async move {
            wire.send(answer).await;
            (wire, After::Close)
        })
        .await;
        let edge = TestEdge::start(origin.address).await;
        assert_eq!(edge.get("/").await.text(), "abc");
        let again = edge.get("/").await;
        assert_eq!((again.text().as_str(), again.field("content-length")), ("abc", Some("3")), "{answer:?}");
        assert_eq!(origin.requests(), 1);
    }
}

#[tokio::test]
async fn a_hung_origin_is_a_gateway_timeout_and_a_stalled_one_a_truncation() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/stall" {
            wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nabc").await;
        }
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.customers[0].origin.limits.response = Duration::from_millis(200);
        config.customers[0].origin.limits.content_stall = Duration::from_millis(200);
    })
    .await;
    assert_eq!(edge.get("/hang").await.status, 504);
    assert_eq!(edge.labelled("edge_limit_reached_total", "origin.response"), 1);
    let stalled = edge.get("/stall").await;
    assert_eq!((stalled.status, stalled.complete, stalled.text().as_str()), (200, false, "abc"));
    assert_eq!(edge.labelled("edge_limit_reached_total", "origin.content-stall"), 1);
    assert_eq!(edge.metric("edge_store_objects"), 0);
}

#[tokio::test]
async fn a_kept_connection_that_closes_is_tried_again_for_safe_requests_only() {
    // Each connection answers one request and closes at the next without an octet.
    let origin = Origin::start(|seen, mut wire| async move {
        if wire.buffer.is_empty() && seen.field("x-second").is_some() && seen.connection == 0 {
            return (wire, After::Close);
        }
        wire.respond("200 OK\r\nCache-Control: no-store", "fine").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(edge.exchange("GET", "/", "X-Second: 1\r\n").await.status, 200);
    assert_eq!(origin.requests(), 3);

    let origin = Origin::start(|seen, mut wire| async move {
        if seen.line.starts_with("POST") {
            return (wire, After::Close);
        }
        wire.respond("200 OK\r\nCache-Control: no-store", "fine").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(edge.exchange("POST", "/", "Content-Length: 2\r\n\r\nok").await.status, 502);
    assert_eq!(origin.requests(), 2, "a POST is never sent twice");
}

#[tokio::test]
async fn the_first_client_may_leave_a_fetch_that_can_be_stored() {
    let (door, opened) = {
        let door = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        (std::sync::Arc::clone(&door), door)
    };
    let origin = Origin::start(move |_, mut wire| {
        let opened = std::sync::Arc::clone(&opened);
        async move {
            opened.acquire().await.expect("open").forget();
            wire.respond("200 OK\r\nCache-Control: max-age=60", pattern(300_000)).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(1).await;
    client.reset();
    edge.until("edge_requests_in_flight", 0).await;
    door.add_permits(1);
    edge.until("edge_store_objects", 1).await;
    let response = edge.get("/").await;
    assert!(response.cache_status().contains("hit") && response.body == pattern(300_000));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn one_gigabyte_passes_through_bounded_memory() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1073741824\r\n\r\n").await;
        let piece = vec![7; 1 << 20];
        for _ in 0..1024 {
            wire.send(&piece).await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = edge.client().await;
    client.send("GET /huge HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(client.head().await.expect("head").0, 200);
    let mut left = (1 << 30) - client.buffer.len();
    let mut sink = vec![0; 1 << 20];
    while left > 0 {
        use tokio::io::AsyncReadExt;
        let read = support::soon("content", client.stream.read(&mut sink)).await.expect("read");
        assert!(read > 0, "{left} octets are missing");
        left -= read;
    }
    assert_eq!(edge.metric("edge_store_resident_octets"), 0);
}

#[tokio::test]
async fn an_upload_may_take_longer_than_a_response_but_an_origin_that_takes_nothing_may_not() {
    let origin = Origin::fixed("200 OK", b"fine").await;
    let limit = Duration::from_millis(150);
    let edge =
        TestEdge::with(origin.address, |config| config.customers[0].origin.limits.response = limit).await;
    let mut client = edge.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        client.send("x").await;
        tokio::time::sleep(limit / 3).await;
    }
    assert_eq!(client.response().await.status, 200);

    // This one accepts the connection and reads nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let edge = TestEdge::with(listener.local_addr().expect("address"), |config| {
        config.customers[0].origin.limits.response = limit;
    })
    .await;
    let mut client = edge.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let (mut reader, mut writer) = client.stream.split();
    let upload = async {
        use tokio::io::AsyncWriteExt;
        let piece = vec![b'x'; 1 << 20];
        while writer.write_all(&piece).await.is_ok() {}
    };
    let answer = async {
        use tokio::io::AsyncReadExt;
        let mut head = [0; 12];
        reader.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 504");
    };
    support::soon("an answer", async {
        tokio::select! { () = upload => panic!("the edge hung up"), () = answer => {} }
    })
    .await;
}
