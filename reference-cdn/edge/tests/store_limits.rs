//! What keeps a response out of the store, or pushes one out of it: each limit is run into and counted.

mod support;

use support::{After, Origin, TestEdge, pattern};

/// `/length/N` with Content-Length, anything else chunked; both may be stored.
async fn sized() -> Origin {
    Origin::start(|seen, mut wire| async move {
        let octets = seen.path().rsplit('/').next().and_then(|it| it.parse().ok()).unwrap_or(10);
        let head = "200 OK\r\nCache-Control: max-age=60\r\nVary: Flavour";
        if seen.path().starts_with("/length/") {
            wire.respond(head, pattern(octets)).await;
        } else {
            wire.send(format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n{octets:x}\r\n")).await;
            wire.send([&pattern(octets), &b"\r\n0\r\n\r\n"[..]].concat()).await;
        }
        (wire, After::Keep)
    })
    .await
}

fn reached(edge: &TestEdge) -> [u64; 3] {
    ["store.object", "store.memory", "store.variants"]
        .map(|limit| edge.labelled("edge_limit_reached_total", limit))
}

#[tokio::test]
async fn content_larger_than_one_response_may_be_passes_through() {
    let origin = sized().await;
    let edge = TestEdge::with(origin.address, |config| config.store.object = 100_000).await;
    for (path, count) in [("/length/200000", 1), ("/chunked/200000", 2), ("/length/100000", 2)] {
        assert!(edge.get(path).await.body.len() >= 100_000, "{path}");
        edge.until("edge_fetches_in_flight", 0).await;
        assert_eq!(reached(&edge), [count, 0, 0], "{path}");
    }
    assert_eq!(edge.metric("edge_store_objects"), 1);
}

#[tokio::test]
async fn content_for_which_there_is_no_memory_passes_through() {
    let origin = sized().await;
    let edge = TestEdge::with(origin.address, |config| {
        config.store.memory = 1 << 20;
        config.store.object = 16 << 20;
    })
    .await;
    // Nothing else is there that could go.
    assert!(edge.get("/chunked/5000000").await.body == pattern(5_000_000));
    edge.until("edge_fetches_in_flight", 0).await;
    assert_eq!(reached(&edge), [0, 1, 0]);
    assert_eq!(edge.metric("edge_store_objects"), 0);
}

/// Clients that invent values for what Vary names.
#[tokio::test]
async fn variants_without_end_push_out_each_other() {
    let origin = sized().await;
    let edge = TestEdge::with(origin.address, |config| config.store.variants = 4).await;
    edge.get("/other").await;
    for n in 0..10 {
        edge.exchange("GET", "/", &format!("Flavour: {n}\r\n")).await;
    }
    edge.until("edge_fetches_in_flight", 0).await;
    assert_eq!(reached(&edge), [0, 0, 6]);
    assert_eq!(edge.metric("edge_store_objects"), 5);
    assert!(edge.get("/other").await.cache_status().contains("hit"));
}
