//! Origins over HTTP/2, in clear text and in TLS.

#[path = "support/secure.rs"]
mod secure;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge::{Config, OriginConfig, Protocol};
use h2::Reason;
use http::{HeaderMap, Response, StatusCode};
use secure::{Authority, H2Origin, read, respond};
use support::{Client, TestEdge, door, pattern, soon};
use tokio::sync::Semaphore;

/// An edge in front of an origin that speaks HTTP/2 in clear text.
async fn edge(origin: &H2Origin, change: impl FnOnce(&mut Config)) -> TestEdge {
    let mut group = OriginConfig::new(origin.address.to_string().parse().expect("authority"));
    group.protocol = Protocol::H2;
    TestEdge::with(origin.address, |config| {
        config.customers[0].origin.origins = vec![group];
        change(config);
    })
    .await
}

#[tokio::test]
async fn requests_share_a_connection_and_keep_their_names() {
    let origin = H2Origin::start(None, 100, |_, request, mut reply| async move {
        let path = request.uri().path().to_owned();
        respond(&mut reply, 200, &[("cache-control", "no-store")], path);
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    for path in ["/a", "/b?x=1", "/c"] {
        let response = edge.exchange("GET", path, "X-Own: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n").await;
        assert_eq!((response.status, response.text().as_str()), (200, path.split('?').next().expect("path")));
    }
    assert_eq!(origin.connections(), 1);
    let seen = origin.seen();
    assert_eq!(seen[1].uri, "http://site.test/b?x=1", "Host is :authority");
    assert_eq!(seen[1].headers["x-own"], "1");
    for gone in ["host", "connection", "x-hop", "transfer-encoding", "te", "trailer"] {
        assert!(!seen[1].headers.contains_key(gone), "{gone}: {:?}", seen[1].headers);
    }
    assert_eq!(edge.metric("edge_origin_connections_opened_total"), 1);
}

#[tokio::test]
async fn tls_agrees_on_http2_or_http11() {
    let authority = Authority::new();
    let script = |_, _, mut reply| async move { respond(&mut reply, 200, &[], "over h2") };
    let both = authority.acceptor(authority.issue(&["site.test"]), &["h2", "http/1.1"], false);
    let origin = H2Origin::start(Some(both), 100, script).await;
    for protocol in [Protocol::Auto, Protocol::H2] {
        let edge = TestEdge::with(origin.address, |config| {
            config.customers[0].origin.origins = vec![authority.origin(origin.address, protocol)];
        })
        .await;
        let response = edge.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (200, "over h2"), "{protocol:?}");
    }
    assert_eq!(origin.seen()[0].uri, "https://site.test/");

    // One that offers HTTP/1.1 only gets it, or a refusal where HTTP/2 is wanted.
    let behind = support::Origin::fixed("200 OK", b"over h1").await;
    for alpn in [&["http/1.1"][..], &[]] {
        let acceptor = authority.acceptor(authority.issue(&["site.test"]), alpn, false);
        let front = secure::TlsFront::start(acceptor, behind.address).await;
        for (protocol, status) in [(Protocol::Auto, 200), (Protocol::H1, 200), (Protocol::H2, 502)] {
            let edge = TestEdge::with(front.address, |config| {
                config.customers[0].origin.origins = vec![authority.origin(front.address, protocol)];
            })
            .await;
            let response = edge.get("/").await;
            assert_eq!(response.status, status, "{alpn:?} {protocol:?}: {}", response.cache_status());
            if status == 502 {
                assert!(
                    response.proxy_status().contains("http_upgrade_failed"),
                    "{}",
                    response.proxy_status()
                );
            }
        }
    }
}

/// With a name of its own for each, connections are many; how many of them are kept is bounded.
#[tokio::test]
async fn names_that_clients_choose_keep_few_connections_open() {
    let authority = Authority::new();
    let hosts: Vec<String> = (0..12).map(|n| format!("host-{n}.test")).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let acceptor = authority.acceptor(authority.issue(&names), &["h2"], false);
    let script =
        |_, _, mut reply| async move { respond(&mut reply, 200, &[("cache-control", "no-store")], "page") };
    let origin = H2Origin::start(Some(acceptor), 100, script).await;
    let edge = TestEdge::with(origin.address, |config| {
        let group = &mut config.customers[0].origin;
        group.origins = vec![authority.origin(origin.address, Protocol::Auto)];
        group.limits.idle_connections = 3;
    })
    .await;
    for host in &hosts {
        let mut client = edge.client().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(origin.connections(), 12);
    let idle = edge.metric("edge_origin_idle_connections");
    assert!(idle <= 4, "{idle}: three, and the last");
}

#[tokio::test]
async fn a_cold_crowd_opens_one_connection() {
    let (door, opened) = door();
    let origin = H2Origin::start(None, 100, move |_, _, mut reply| {
        let opened = Arc::clone(&opened);
        async move {
            opened.acquire().await.expect("open").forget();
            respond(&mut reply, 200, &[("cache-control", "no-store")], "page");
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let mut clients = Vec::new();
    for n in 0..50 {
        let mut client = edge.client().await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        clients.push(client);
    }
    origin.wait_for(50).await;
    door.add_permits(50);
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "page");
    }
    assert_eq!((origin.connections(), origin.peak()), (1, 50));
}

#[tokio::test]
async fn streams_are_bounded_by_both_sides() {
    for (ours, theirs) in [(3, 100), (100, 3)] {
        let (door, opened) = door();
        let origin = H2Origin::start(None, theirs, move |_, _, mut reply| {
            let opened = Arc::clone(&opened);
            async move {
                opened.acquire().await.expect("open").forget();
                respond(&mut reply, 200, &[("cache-control", "no-store")], "page");
            }
        })
        .await;
        let edge = edge(&origin, |config| config.customers[0].origin.limits.streams = ours).await;
        let mut clients = Vec::new();
        for n in 0..9 {
            let mut client = edge.client().await;
            client.send(format!("GET /{n} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
            clients.push(client);
            // One after the other, so that the origin's settings are known from the second on.
            origin.wait_for(n + 1).await;
        }
        door.add_permits(9);
        for client in &mut clients {
            assert_eq!(client.response().await.text(), "page");
        }
        assert_eq!((origin.connections(), origin.peak()), (3, 3), "{ours} {theirs}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_and_any_other_reset_is_not() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&refusals);
    let origin = H2Origin::start(None, 100, move |_, request, mut reply| {
        let left = Arc::clone(&left);
        async move {
            let path = request.uri().path().to_owned();
            if path == "/broken" {
                reply.send_reset(Reason::INTERNAL_ERROR);
            } else if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                reply.send_reset(Reason::REFUSED_STREAM);
            } else {
                respond(&mut reply, 200, &[("cache-control", "no-store")], "page");
            }
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    // A POST too: the origin says that it has done nothing.
    for method in ["GET", "POST"] {
        refusals.store(1, Ordering::SeqCst);
        let before = origin.requests();
        let response = edge.exchange(method, "/", "").await;
        assert_eq!((response.status, origin.requests() - before), (200, 2), "{method}");
    }
    refusals.store(9, Ordering::SeqCst);
    let before = origin.requests();
    let response = edge.get("/").await;
    assert_eq!((response.status, origin.requests() - before), (502, 2), "not for ever");
    let before = origin.requests();
    let response = edge.exchange("POST", "/broken", "").await;
    assert_eq!((response.status, origin.requests() - before), (502, 1));
    assert!(response.proxy_status().contains("connection_terminated"), "{}", response.proxy_status());
}

#[tokio::test]
async fn after_goaway_requests_go_elsewhere_and_those_under_way_finish() {
    let (door, opened) = door();
    let origin = H2Origin::start(None, 100, move |_, request, mut reply| {
        let opened = Arc::clone(&opened);
        async move {
            if request.uri().path() == "/slow" {
                opened.acquire().await.expect("open").forget();
            }
            respond(&mut reply, 200, &[("cache-control", "no-store")], "page");
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let mut slow = edge.client().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(1).await;
    origin.go_away();
    for n in 0..20 {
        let response = edge.exchange("POST", &format!("/{n}"), "").await;
        assert_eq!(response.status, 200, "{}", response.cache_status());
    }
    door.add_permits(1);
    assert_eq!(slow.response().await.text(), "page");
    assert_eq!(origin.requests(), 21, "each once");
    assert!(origin.connections() >= 2);
}

/// Whatever the reason that a stream is reset for: half a response is no response.
#[tokio::test]
async fn a_stream_that_breaks_off_is_truncated_and_not_stored() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        for length in [Some("10"), None] {
            let origin = H2Origin::start(None, 100, move |_, _, mut reply| async move {
                let mut response = Response::builder().header("cache-control", "max-age=60");
                if let Some(length) = length {
                    response = response.header("content-length", length);
                }
                let mut stream = reply.send_response(response.body(()).expect("head"), false).expect("send");
                stream.send_data(Bytes::from_static(b"abc"), false).expect("send");
                // The data goes out before the reset.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.send_reset(reason);
            })
            .await;
            let edge = edge(&origin, |_| {}).await;
            let response = edge.get("/").await;
            assert_eq!((response.status, response.complete), (200, false), "{reason:?} {length:?}");
            edge.until("edge_origin_truncated_total", 1).await;
            assert_eq!(edge.metric("edge_store_objects"), 0, "{reason:?} {length:?}");
        }
    }
}

#[tokio::test]
async fn content_is_as_long_as_it_says() {
    let origin = H2Origin::start(None, 100, |_, request, mut reply| async move {
        let (length, body) = match request.uri().path() {
            "/short" => ("10", "abc"),
            "/long" => ("2", "abc"),
            _ => ("3", "abc"),
        };
        respond(&mut reply, 200, &[("cache-control", "max-age=60"), ("content-length", length)], body);
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    for path in ["/short", "/long"] {
        let response = edge.get(path).await;
        assert!(response.status == 502 || !response.complete, "{path}: {response:?}");
    }
    edge.until("edge_requests_in_flight", 0).await;
    assert_eq!(edge.metric("edge_store_objects"), 0);
    let response = edge.get("/right").await;
    assert_eq!((response.field("content-length"), response.text().as_str()), (Some("3"), "abc"));
}

#[tokio::test]
async fn interim_responses_and_trailers_pass_in_both_directions() {
    let got = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&got);
    let origin = H2Origin::start(None, 100, move |_, request, mut reply| {
        let keep = Arc::clone(&keep);
        async move {
            let hints = Response::builder().status(103).header("link", "</a.css>; rel=preload");
            reply.send_informational(hints.body(()).expect("head")).expect("send");
            let (_, body, trailers) = read(request).await;
            *keep.lock().expect("lock") = Some((body, trailers));
            let mut stream = reply.send_response(Response::new(()), false).expect("send");
            stream.send_data(Bytes::from_static(b"done"), false).expect("send");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "42".parse().expect("value"));
            stream.send_trailers(trailers).expect("send");
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let mut client = edge.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n5\r\nhello\r\n0\r\nX-Up: 1\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!(response.interim[0].0, 103);
    assert_eq!(response.interim[0].1[0], ("Link".into(), "</a.css>; rel=preload".into()));
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    let (body, trailers) = got.lock().expect("lock").take().expect("a request");
    assert_eq!((body.as_slice(), trailers.expect("trailers")["x-up"].as_bytes()), (&b"hello"[..], &b"1"[..]));
    assert_eq!(origin.seen()[0].headers["trailer"], "X-Up");
}

#[tokio::test]
async fn uploads_flow_and_those_that_break_off_are_cancelled() {
    let whole = Arc::new(AtomicUsize::new(0));
    let cancelled = Arc::new(Semaphore::new(0));
    let (count, gone) = (Arc::clone(&whole), Arc::clone(&cancelled));
    let origin = H2Origin::start(None, 100, move |_, request, mut reply| {
        let (count, gone) = (Arc::clone(&count), Arc::clone(&gone));
        async move {
            let mut stream = request.into_body();
            while let Some(data) = stream.data().await {
                let Ok(data) = data else {
                    gone.add_permits(1);
                    return;
                };
                let _ = stream.flow_control().release_capacity(data.len());
                count.fetch_add(data.len(), Ordering::SeqCst);
            }
            respond(&mut reply, 200, &[], "taken");
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let content = pattern(8 << 20);
    let mut client = edge.client().await;
    client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len())).await;
    client.send(&content).await;
    assert_eq!(client.response().await.text(), "taken");
    assert_eq!(whole.load(Ordering::SeqCst), content.len());
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").await;
    origin.wait_for(2).await;
    client.reset();
    soon("the cancellation", cancelled.acquire()).await.expect("open").forget();
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let origin = H2Origin::start(None, 100, |_, _request, mut reply| async move {
        // Dropped with content still to come, the stream is reset with NO_ERROR (RFC 9113 section 8.1).
        respond(&mut reply, 413, &[], "too much");
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let mut client = edge.client().await;
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nabc").await;
    assert_eq!(client.response().await.status, 413);
    assert_eq!(edge.get("/").await.status, 413, "the connection lives on");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_on_its_connection() {
    let origin = H2Origin::start(None, 100, |_, request, mut reply| async move {
        let fields = [("cache-control", "no-store")];
        match request.uri().path() {
            "/large" => {
                let mut stream = reply
                    .send_response(
                        Response::builder().header("cache-control", "no-store").body(()).expect("head"),
                        false,
                    )
                    .expect("send");
                for piece in pattern(64 << 20).chunks(1 << 16) {
                    stream.reserve_capacity(piece.len());
                    while stream.capacity() < piece.len() {
                        if !matches!(std::future::poll_fn(|cx| stream.poll_capacity(cx)).await, Some(Ok(_))) {
                            return;
                        }
                    }
                    if stream.send_data(Bytes::copy_from_slice(piece), false).is_err() {
                        return;
                    }
                }
                let _ = stream.send_data(Bytes::new(), true);
            }
            _ => respond(&mut reply, 200, &fields, "small"),
        }
    })
    .await;
    let edge = edge(&origin, |_| {}).await;
    let mut lazy = Vec::new();
    for _ in 0..8 {
        let mut client = edge.client().await;
        client.send("GET /large HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        assert_eq!(client.head().await.expect("head").0, 200);
        lazy.push(client);
    }
    for _ in 0..20 {
        assert_eq!(edge.get("/small").await.text(), "small");
    }
    assert_eq!(origin.connections(), 1);
    let mut left = lazy.swap_remove(0);
    drop(lazy);
    let (body, _) = soon("all of it", read_chunked(&mut left)).await;
    assert!(body == pattern(64 << 20), "whole and in order");
}

async fn read_chunked(client: &mut Client) -> (Vec<u8>, bool) {
    // The head has been read: what follows is chunked content.
    client.buffer.splice(0..0, *b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let response = client.response().await;
    (response.body, response.complete)
}

#[tokio::test]
async fn a_connection_that_is_gone_is_noticed_by_pings() {
    // Accepts, answers the first request of each connection, then never reads again.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            count.fetch_add(1, Ordering::SeqCst);
            let mut connection = h2::server::handshake(stream).await.expect("handshake");
            let (_, mut reply) = connection.accept().await.expect("a request").expect("a request");
            respond(&mut reply, 200, &[("cache-control", "no-store")], "first");
            let _ = tokio::time::timeout(
                Duration::from_millis(50),
                std::future::poll_fn(|cx| connection.poll_closed(cx)),
            )
            .await;
            kept.push(connection);
        }
    });
    let mut origin = OriginConfig::new(address.to_string().parse().expect("authority"));
    origin.protocol = Protocol::H2;
    let edge = TestEdge::with(address, |config| {
        let group = &mut config.customers[0].origin;
        group.origins = vec![origin];
        group.limits.ping = Duration::from_millis(50);
        group.limits.pong = Duration::from_millis(100);
    })
    .await;
    assert_eq!(edge.get("/").await.text(), "first");
    // Its connection is reused, found dead, and the request, being a GET, sent again on another.
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "first"), "{}", response.cache_status());
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
    server.abort();
}

#[tokio::test]
async fn what_is_not_http2_is_an_error_that_says_so() {
    let origin = support::Origin::fixed("200 OK", b"page").await;
    let mut config = OriginConfig::new(origin.address.to_string().parse().expect("authority"));
    config.protocol = Protocol::H2;
    let edge = TestEdge::with(origin.address, |edge| edge.customers[0].origin.origins = vec![config]).await;
    let response = edge.get("/").await;
    assert_eq!(response.status, 502);
    assert!(response.proxy_status().contains("http_protocol_error"), "{}", response.proxy_status());
}

#[tokio::test]
async fn heads_are_bounded_and_time_is_too() {
    let origin = H2Origin::start(None, 100, |_, request, mut reply| async move {
        match request.uri().path() {
            "/large" => respond(&mut reply, 200, &[("x-large", &"a".repeat(40_000))], ""),
            "/many" => {
                let mut response = Response::new(());
                for n in 0..200 {
                    let name = http::HeaderName::try_from(format!("x-{n}")).expect("name");
                    response.headers_mut().insert(name, "1".parse().expect("value"));
                }
                let _ = reply.send_response(response, true);
            }
            "/hang" => std::future::pending().await,
            "/stall" => {
                let head = Response::builder().header("content-length", "9").body(()).expect("head");
                let mut stream = reply.send_response(head, false).expect("send");
                stream.send_data(Bytes::from_static(b"abc"), false).expect("send");
                std::future::pending::<()>().await;
            }
            _ => respond(&mut reply, 200, &[], "fine"),
        }
    })
    .await;
    let edge = edge(&origin, |config| {
        let limits = &mut config.customers[0].origin.limits;
        limits.head_bytes = 16 << 10;
        limits.response = Duration::from_millis(200);
        limits.content_stall = Duration::from_millis(200);
    })
    .await;
    let check = async |path: &str, status: StatusCode, error: &str| {
        let response = edge.get(path).await;
        assert_eq!(response.status, status.as_u16(), "{path}");
        assert!(response.proxy_status().contains(error), "{path}: {}", response.proxy_status());
    };
    check("/large", StatusCode::BAD_GATEWAY, "http_protocol_error").await;
    check("/many", StatusCode::BAD_GATEWAY, "http_response_header_section_size").await;
    assert_eq!(edge.labelled("edge_limit_reached_total", "origin.fields"), 1);
    check("/hang", StatusCode::GATEWAY_TIMEOUT, "http_response_timeout").await;
    let stalled = edge.get("/stall").await;
    assert_eq!((stalled.status, stalled.complete, stalled.text().as_str()), (200, false, "abc"));
    assert_eq!(edge.get("/fine").await.text(), "fine");
}
