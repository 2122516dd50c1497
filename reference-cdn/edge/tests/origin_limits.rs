//! What a hostile or broken origin can do to an edge: each limit is run into, ends it, and counts it.

#[path = "support/secure.rs"]
mod secure;
mod support;

use std::time::Duration;

use edge::{Names, OriginConfig, OriginLimits, Protocol};
use secure::Authority;
use support::{After, Origin, TestEdge, Wire};

const SHORT: Duration = Duration::from_millis(150);

async fn edge(origin: &Origin, change: impl FnOnce(&mut OriginLimits)) -> TestEdge {
    TestEdge::with(origin.address, |config| change(&mut config.customers[0].origin.limits)).await
}

fn reached(edge: &TestEdge) -> Vec<(String, u64)> {
    let samples = edge.edge.samples().into_iter();
    let limits = samples.filter(|sample| sample.name == "edge_limit_reached_total" && sample.value > 0);
    limits.map(|sample| (sample.label.expect("a label").1, sample.value)).collect()
}

/// One request, and the only limit that it ran into.
async fn one(edge: &TestEdge, path: &str, status: u16, error: &str, limit: &str) {
    let before: u64 = reached(edge).iter().map(|(_, count)| count).sum();
    let answer = edge.get(path).await;
    assert_eq!(answer.status, status, "{limit}");
    assert!(answer.proxy_status().contains(error), "{limit}: {}", answer.proxy_status());
    assert!(reached(edge).iter().any(|(name, _)| name == limit), "{limit}: {:?}", reached(edge));
    assert_eq!(reached(edge).iter().map(|(_, count)| count).sum::<u64>(), before + 1, "{:?}", reached(edge));
}

/// Sends what the path asks for.
async fn attack() -> Origin {
    Origin::start(|seen, mut wire: Wire| async move {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        match seen.path() {
            "/no-end-of-head" => wire.send(format!("{HEAD}X-Slow: ")).await,
            "/large-head" => {
                let line = format!("X-Large: {}\r\n", "a".repeat(40_000));
                wire.send(format!("{HEAD}{line}Content-Length: 0\r\n\r\n")).await;
            }
            "/many-lines" => {
                let lines: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
                wire.send(format!("{HEAD}{lines}Content-Length: 0\r\n\r\n")).await;
            }
            "/stall" => wire.send(format!("{HEAD}Content-Length: 10\r\n\r\nabc")).await,
            "/trickle" => {
                wire.send(format!("{HEAD}Content-Length: 100000\r\n\r\n")).await;
                for _ in 0..200 {
                    wire.send("x").await;
                    // The attack: no stall limit meets it.
                    tokio::time::sleep(SHORT / 10).await;
                }
            }
            _ => {}
        }
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await
}

#[tokio::test]
async fn heads_that_are_late_too_large_or_too_long() {
    let origin = attack().await;
    let edge = edge(&origin, |limits| {
        limits.head = SHORT;
        limits.response = 3 * SHORT;
        limits.head_bytes = 16 << 10;
    })
    .await;
    one(&edge, "/no-end-of-head", 504, "http_response_timeout", "origin.head-time").await;
    one(&edge, "/large-head", 502, "http_response_header_section_size", "origin.head").await;
    one(&edge, "/many-lines", 502, "http_response_header_section_size", "origin.fields").await;
    one(&edge, "/silence", 504, "http_response_timeout", "origin.response").await;
    assert_eq!(reached(&edge).len(), 4);
}

#[tokio::test]
async fn content_that_stalls_or_has_no_end() {
    let origin = attack().await;
    let edge = edge(&origin, |limits| {
        limits.content_stall = SHORT;
        limits.total = 4 * SHORT;
    })
    .await;
    for (path, limit) in [("/stall", "origin.content-stall"), ("/trickle", "origin.fetch")] {
        let answer = edge.get(path).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{path}");
        edge.until_labelled("edge_limit_reached_total", limit, 1).await;
    }
    assert_eq!(reached(&edge).len(), 2, "{:?}", reached(&edge));
    assert_eq!(edge.metric("edge_store_objects"), 0);
}

/// A slice is a fetch like any other.
#[tokio::test]
async fn slices_that_are_late() {
    let origin = Origin::start(|seen, mut wire: Wire| async move {
        if seen.field("range") == Some("bytes=0-1048575") {
            let head = "206 Partial Content\r\nETag: \"1\"\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-1048575/2097152";
            wire.respond(head, vec![0; 1 << 20]).await;
            return (wire, After::Keep);
        }
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let edge = edge(&origin, |limits| limits.response = SHORT).await;
    assert_eq!(edge.exchange("GET", "/", "Range: bytes=0-0\r\n").await.status, 206);
    let answer = edge.exchange("GET", "/", "Range: bytes=1048576-\r\n").await;
    assert_eq!(answer.status, 504);
    assert!(edge.labelled("edge_limit_reached_total", "origin.response") > 0);
}

#[tokio::test]
async fn names_and_handshakes_that_hang() {
    let origin = attack().await;
    let edge = TestEdge::with(origin.address, |config| {
        let group = &mut config.customers[0].origin;
        group.origins = vec![OriginConfig::new("origin.test:80".parse().expect("authority"))];
        group.names = Names::of(|_, _| std::future::pending());
        group.limits.resolve = SHORT;
    })
    .await;
    one(&edge, "/", 504, "dns_timeout", "origin.resolve").await;

    // It accepts connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = silent.local_addr().expect("address");
    let authority = Authority::new();
    let edge = TestEdge::with(address, |config| {
        let group = &mut config.customers[0].origin;
        group.origins = vec![authority.origin(address, Protocol::Auto)];
        group.limits.handshake = SHORT;
    })
    .await;
    one(&edge, "/", 504, "connection_timeout", "origin.handshake").await;
}
