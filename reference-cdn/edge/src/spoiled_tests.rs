//! What happens when stored content is not what it was. Within the crate, because only tests may spoil blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::{BLOCK, Body};
use crate::support::{After, Origin, TestEdge, pattern};

fn stored(edge: &TestEdge, url: &str) -> Arc<Body> {
    let customer = edge.edge.customers.rest().expect("a customer");
    let key = customer.decisions.purged(&url.parse().expect("url")).remove(0);
    let key = edge.edge.store.hashed(&customer.name, key);
    let variants = edge.edge.store.find(&key).expect("stored");
    Arc::clone(&variants.bodies[0])
}

async fn origin(octets: usize) -> Origin {
    Origin::start(move |_, mut wire| async move {
        wire.respond("200 OK\r\nCache-Control: max-age=600", pattern(octets)).await;
        (wire, After::Keep)
    })
    .await
}

fn bad_blocks(edge: &TestEdge) -> u64 {
    edge.edge.store.counters().bad_blocks.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_flipped_bit_is_never_sent_and_the_client_sees_no_error() {
    for (octets, spoiled_at) in [(1, 0), (1000, 500), (200_000, 0), (200_000, 70_000), (200_000, 199_999)] {
        let origin = origin(octets).await;
        let edge = TestEdge::start(origin.address).await;
        assert!(edge.get("/").await.body == pattern(octets));
        stored(&edge, "http://site.test/").spoil(spoiled_at);
        let response = edge.get("/").await;
        assert_eq!(response.status, 200);
        assert!(response.complete && response.body == pattern(octets), "{octets} {spoiled_at}");
        assert_eq!((origin.requests(), bad_blocks(&edge)), (2, 1));
        assert!(edge.get("/").await.cache_status().contains("hit"));
    }
}

#[tokio::test]
async fn a_bad_block_is_found_before_a_range_or_a_revalidated_response_is_sent() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.field("if-none-match").is_some() {
            wire.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nCache-Control: max-age=10\r\n\r\n").await;
        } else {
            wire.respond("200 OK\r\nCache-Control: max-age=10\r\nETag: \"1\"", pattern(500_000)).await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/").await;
    stored(&edge, "http://site.test/").spoil(400_000);
    let part = edge.exchange("GET", "/", "Range: bytes=400000-400009\r\n").await;
    assert!(matches!(part.status, 200 | 206) && part.complete);
    assert!(part.body == pattern(500_000) || part.body == pattern(500_000)[400_000..400_010]);
    assert_eq!(bad_blocks(&edge), 1);

    edge.get("/").await;
    stored(&edge, "http://site.test/").spoil(10);
    edge.advance(60);
    assert!(edge.get("/").await.body == pattern(500_000));
    assert_eq!(bad_blocks(&edge), 2);
}

#[tokio::test]
async fn once_sending_has_begun_the_client_sees_the_response_end_early_and_the_next_gets_a_new_one() {
    let origin = origin(2_000_000).await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/").await;
    stored(&edge, "http://site.test/").spoil(1_000_000);
    let response = edge.get("/").await;
    assert!(!response.complete);
    assert!(
        pattern(2_000_000).starts_with(&response.body) && response.body.len() >= 1_000_000 / BLOCK * BLOCK
    );
    let response = edge.get("/").await;
    assert!(response.complete && response.body == pattern(2_000_000));
    assert_eq!((origin.requests(), bad_blocks(&edge)), (2, 1));
}

#[tokio::test]
async fn a_bad_part_is_fetched_again_rather_than_completed() {
    let origin = Origin::start(|seen, mut wire| async move {
        let head = "Cache-Control: max-age=60\r\nETag: \"a\"\r\nVary: Foo";
        match seen.field("range") {
            Some("bytes=0-99999") => {
                let head = format!("206 Partial Content\r\n{head}\r\nContent-Range: bytes 0-99999/200000");
                wire.respond(&head, &pattern(200_000)[..100_000]).await;
            }
            Some("bytes=100000-") => {
                let head =
                    format!("206 Partial Content\r\n{head}\r\nContent-Range: bytes 100000-199999/200000");
                wire.respond(&head, &pattern(200_000)[100_000..]).await;
            }
            _ if seen.field("if-none-match").is_some() => {
                wire.send(format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n\r\n")).await;
            }
            _ => wire.respond(&format!("200 OK\r\n{head}"), pattern(200_000)).await,
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.customers[0].settings.slice = None).await;
    edge.exchange("GET", "/", "Range: bytes=0-99999\r\n").await;
    stored(&edge, "http://site.test/").spoil(70_000);
    let all = edge.get("/").await;
    assert!(all.complete && all.body == pattern(200_000));
    assert_eq!((origin.requests(), bad_blocks(&edge)), (3, 1));
    assert!(edge.get("/").await.cache_status().contains("hit"));
    // The same where the origin confirms a variant for a request that it did not answer before.
    stored(&edge, "http://site.test/").spoil(70_000);
    let other = edge.exchange("GET", "/", "Foo: 2\r\n").await;
    assert!(other.complete && other.body == pattern(200_000));
    assert_eq!((origin.requests(), bad_blocks(&edge)), (5, 2));
}
