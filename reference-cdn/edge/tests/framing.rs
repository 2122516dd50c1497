//! What the edge accepts as a request, and how it keeps one request from becoming another (RFC 9112).

mod support;

use support::{After, Client, Origin, TestEdge};

/// Sends octets on a connection of their own; gives the status of the answer, and whether the connection then ended.
async fn check(edge: &TestEdge, request: &[u8]) -> (u16, bool) {
    let mut client = edge.client().await;
    client.try_send(request).await;
    let response = client.response().await;
    let closes = response.field("connection") == Some("close");
    if closes {
        assert!(client.is_closed().await, "said close, and did not: {}", String::from_utf8_lossy(request));
    }
    (response.status, closes)
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_never_reach_the_origin() {
    let origin = Origin::fixed("200 OK\r\nCache-Control: no-store", b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let cases: &[(&str, u16)] = &[
        // Two framings, or one that can be read in two ways.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        // Lines.
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        // Host and target.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
        // Chunks: the origin is not to get a whole request of these.
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 x\r\na\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400),
        // About this hop only.
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n", 405),
    ];
    for (request, status) in cases {
        let (got, closes) = check(&edge, request.as_bytes()).await;
        assert_eq!(got, *status, "{request:?}");
        assert!(closes || *status == 405, "kept open after {request:?}");
    }
    let reached = origin.seen();
    assert!(reached.is_empty(), "reached the origin whole: {reached:?}");
}

#[tokio::test]
async fn limits_are_answered_as_such() {
    let origin = Origin::fixed("200 OK", b"x").await;
    let edge = TestEdge::start(origin.address).await;
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000));
    assert_eq!(check(&edge, long_target.as_bytes()).await, (414, true));
    let endless_target = format!("GET /{}", "a".repeat(40_000));
    assert_eq!(check(&edge, endless_target.as_bytes()).await, (414, true));
    let large_head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    assert_eq!(check(&edge, large_head.as_bytes()).await, (431, true));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert_eq!(check(&edge, many.as_bytes()).await, (431, true));
    let enough = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(99));
    assert_eq!(check(&edge, enough.as_bytes()).await, (200, false));
    let huge = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000000\r\n\r\n";
    assert_eq!(check(&edge, huge.as_bytes()).await, (413, true));
    let trailers = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    assert_eq!(check(&edge, trailers.as_bytes()).await, (431, true));
    for (limit, count) in
        [("client.target", 2), ("client.head", 2), ("client.fields", 1), ("client.content", 1)]
    {
        assert_eq!(edge.labelled("edge_limit_reached_total", limit), count, "{limit}");
    }
}

#[tokio::test]
async fn well_formed_oddities_are_accepted() {
    let origin = Origin::fixed("200 OK", b"x").await;
    let edge = TestEdge::start(origin.address).await;
    for request in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nhOST: a\r\nX:\t y \t\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET HTTP://a:80/x?y HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET http://a?y HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /a|b\"{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a=http://b/%00%2F HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n01;x=\"y\"\r\na\r\n000\r\nX: y\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    ] {
        assert_eq!(check(&edge, request.as_bytes()).await, (200, false), "{request:?}");
    }
    let absolute = origin.seen().into_iter().find(|seen| seen.path() == "/x?y").expect("absolute form");
    assert_eq!(absolute.field("host"), Some("a:80"), "the target's authority replaces Host");
}

#[tokio::test]
async fn each_hop_counts_max_forwards_down_by_one() {
    let origin = Origin::fixed("200 OK", b"x").await;
    let edge = TestEdge::start(origin.address).await;
    for (method, given, expected) in [("OPTIONS", "5", "4"), ("OPTIONS", "1", "0"), ("GET", "5", "5")] {
        edge.exchange(method, "/", &format!("Max-Forwards: {given}\r\n")).await;
        let seen = origin.seen().pop().expect("a request");
        assert_eq!(seen.field("max-forwards"), Some(expected), "{method} {given}");
    }
}

#[tokio::test]
async fn content_nobody_read_never_becomes_the_next_request() {
    let origin = Origin::fixed("200 OK\r\nCache-Control: max-age=60", b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    // Answered by the edge itself; the content has to go before the next request is read.
    for (framing, content) in [
        (format!("Content-Length: {}", smuggled.len()), smuggled),
        ("Transfer-Encoding: chunked".to_owned(), chunked.as_str()),
    ] {
        let mut client = edge.client().await;
        let refused =
            format!("GET /a HTTP/1.1\r\nHost: a\r\nCDN-Loop: reference-cdn\r\n{framing}\r\n\r\n{content}");
        client.send(format!("{refused}GET /b HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.response().await.status, 508);
        assert_eq!(client.response().await.status, 200);
    }
    let paths: Vec<String> = origin.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, ["/b"]);

    // Too much to drop: closed.
    let mut client = edge.client().await;
    client
        .send("GET /a HTTP/1.1\r\nHost: a\r\nCDN-Loop: reference-cdn\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    client.try_send(smuggled).await;
    assert_eq!(client.response().await.status, 508);
    assert!(client.is_closed().await);
    assert_eq!(origin.requests(), 1);

    // Content of a GET goes to the origin with it, and is not what the next request begins with.
    let mut client = edge.client().await;
    let length = smuggled.len();
    client.send(format!("GET /c HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}")).await;
    client.send("GET /d HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.response().await.status, 200);
    let paths: Vec<String> = origin.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, ["/b", "/c", "/d"]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|seen, mut wire| async move {
        let path = seen.path().to_owned();
        wire.respond("200 OK\r\nCache-Control: max-age=60", path).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = edge.client().await;
    let requests: String = (0..20).map(|n| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", n % 7)).collect();
    client.send(requests).await;
    for n in 0..20 {
        assert_eq!(client.response().await.text(), format!("/{}", n % 7));
    }
    assert_eq!(origin.requests(), 7);
}

#[tokio::test]
async fn http10_clients_get_what_they_understand() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/chunked" {
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
        } else {
            wire.respond("200 OK", "abc").await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;

    let mut client = edge.client().await;
    client.send("GET /chunked HTTP/1.0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "abc"));
    assert!(response.interim.is_empty() && response.field("transfer-encoding").is_none());
    assert!(client.is_closed().await);

    let mut client = edge.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.field("connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "abc");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn expect_continue_is_relayed_both_ways() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/no" {
            wire.respond("403 Forbidden", "no").await;
            return (wire, After::Close);
        }
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        use tokio::io::AsyncReadExt;
        while wire.buffer.len() < 5 {
            wire.stream.read_buf(&mut wire.buffer).await.expect("content");
        }
        let body = std::mem::take(&mut wire.buffer);
        wire.respond("200 OK", body).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;

    let mut client = edge.client().await;
    client.send("PUT /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.expect("an interim response").0, 100);
    client.send("hello").await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.field("connection"), None);

    // Refused before the content was sent: nobody can tell whether it will come, so the connection ends.
    let mut client = edge.client().await;
    client.send("PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.status, response.field("connection")), (403, Some("close")));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on_when_the_origin_knows_nothing_of_it() {
    let origin = Origin::start(|_, mut wire| async move {
        use tokio::io::AsyncReadExt;
        while wire.buffer.len() < 5 {
            wire.stream.read_buf(&mut wire.buffer).await.expect("content");
        }
        let body = std::mem::take(&mut wire.buffer);
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.respond("200 OK", body).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = edge.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.expect("an interim response").0, 100);
    client.send("hello").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.interim.len()), ("hello", 0), "told once");
}

#[tokio::test]
async fn content_trailers_and_interim_responses_pass_both_ways() {
    let origin = Origin::start(|seen, mut wire| async move {
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n").await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
        wire.send(format!("{:x}\r\n", seen.body.len())).await;
        wire.send(seen.body).await;
        wire.send("\r\n0\r\nX-Sum: 42\r\nContent-Length: 7\r\n\r\n").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut client = edge.client().await;
    client
        .send("POST /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n5\r\nhello\r\n0\r\nX-Check: ok\r\nHost: evil\r\n\r\n")
        .await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.interim.len(), 1);
    assert_eq!(response.interim[0].0, 103);
    assert_eq!(response.trailers, [("X-Sum".to_owned(), "42".to_owned())]);
    let seen = &origin.seen()[0];
    assert_eq!(seen.field("trailer-X-Check"), Some("ok"));
    assert_eq!(seen.field("trailer-Host"), None);
}

#[tokio::test]
async fn upgrades_are_not_forwarded() {
    let origin = Origin::fixed("200 OK", b"plain").await;
    let edge = TestEdge::start(origin.address).await;
    let response = edge
        .exchange("GET", "/", "Connection: Upgrade, X-Private\r\nUpgrade: websocket\r\nX-Private: 1\r\n")
        .await;
    assert_eq!(response.status, 200);
    let seen = &origin.seen()[0];
    for gone in ["upgrade", "x-private", "connection"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    assert_eq!(seen.field("host"), Some("site.test"));
    assert!(seen.field("via").is_some() && seen.field("cdn-loop").is_some());
}

#[tokio::test]
async fn loops_are_cut() {
    let origin = Origin::fixed("200 OK", b"plain").await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.exchange("GET", "/", "CDN-Loop: other; x=\"reference-cdn\"\r\n").await.status, 200);
    assert_eq!(edge.exchange("GET", "/", "CDN-Loop: other, reference-cdn\r\n").await.status, 508);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn garbage_is_answered_or_dropped_and_does_no_harm() {
    let origin = Origin::fixed("200 OK", b"fine").await;
    let edge = TestEdge::start(origin.address).await;
    let noise = support::pattern(200_000);
    for start in 0..60 {
        let mut client = Client::connect(edge.address).await;
        client.try_send(&noise[start * 1000..start * 1000 + 3000]).await;
        client.try_send("\r\n\r\n").await;
        if let Some(response) = client.try_response("GET").await {
            assert!((400..=505).contains(&response.status), "{response:?}");
        }
    }
    assert_eq!(edge.get("/").await.text(), "fine");
    assert_eq!(origin.requests(), 1);
}
