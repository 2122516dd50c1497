//! The disk tier behind a whole edge: what a restart keeps, what never comes back, what a damaged or full disk costs.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{After, Origin, TestEdge, door, pass, pattern, soon};
use tokio::net::TcpStream;

async fn on(folder: &Path, origin: &Origin) -> TestEdge {
    with_purges(folder, origin, 100_000).await
}

/// `outstanding`: names of purges that may be.
async fn with_purges(folder: &Path, origin: &Origin, outstanding: usize) -> TestEdge {
    TestEdge::with(origin.address, |config| {
        config.store.memory = 16 << 20;
        config.store.object = 4 << 20;
        config.disk.path = Some(folder.to_owned());
        config.disk.size = 64 << 20;
        config.disk.patience = std::time::Duration::from_secs(20);
        config.purge.limits.outstanding = outstanding;
    })
    .await
}

async fn sized() -> Origin {
    Origin::start(|seen, mut wire| async move {
        let octets = seen.path().rsplit('/').next().and_then(|it| it.parse().ok()).unwrap_or(10);
        if seen.path().starts_with("/trailing/") {
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n";
            wire.send(format!("{head}{octets:x}\r\n")).await;
            wire.send(pattern(octets)).await;
            wire.send("\r\n0\r\nX-Sum: 9\r\n\r\n").await;
            return (wire, After::Keep);
        }
        let head = "200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\nX-Odd: kept";
        wire.respond(head, pattern(octets)).await;
        (wire, After::Keep)
    })
    .await
}

const SIZES: [usize; 6] = [0, 1, 1000, 65_536, 65_537, 1_000_000];

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_stored_and_not_what_was_purged() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = sized().await;
    let mut edge = on(folder.path(), &origin).await;
    for size in SIZES {
        edge.get(&format!("/a/{size}")).await;
    }
    edge.get("/gone/5000").await;
    assert!(edge.purge("http://site.test/gone/5000").await.text().contains("\"purged\":1"));
    let stopped = edge.stop();
    stopped.await.expect("stops");
    drop(edge);

    let before = origin.requests();
    let edge = on(folder.path(), &origin).await;
    assert_eq!(edge.metric("edge_disk_objects"), SIZES.len() as u64);
    for round in 0..2 {
        for size in SIZES {
            let answer = edge.get(&format!("/a/{size}")).await;
            assert!(answer.complete && answer.body == pattern(size), "{size} in round {round}");
            assert!(answer.cache_status().contains("hit"), "{}", answer.cache_status());
            assert_eq!((answer.field("x-odd"), answer.field("etag")), (Some("kept"), Some("\"1\"")));
        }
    }
    assert_eq!(origin.requests(), before);
    edge.get("/gone/5000").await;
    assert_eq!(origin.requests(), before + 1, "what was purged came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailer_fields_outlive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = sized().await;
    let mut edge = on(folder.path(), &origin).await;
    for size in [1000, 700_000] {
        edge.get(&format!("/trailing/{size}")).await;
    }
    edge.stop().await.expect("stops");
    drop(edge);
    let edge = on(folder.path(), &origin).await;
    for size in [1000, 700_000] {
        // The first of them while its content comes from disk.
        for _ in 0..2 {
            let answer = edge.get(&format!("/trailing/{size}")).await;
            assert!(answer.complete && answer.body == pattern(size), "{size}");
            assert_eq!(answer.trailers, [("X-Sum".to_owned(), "9".to_owned())], "{size}");
        }
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_on_disk_cost_a_fetch_and_no_error() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = sized().await;
    let mut edge = on(folder.path(), &origin).await;
    for size in SIZES {
        edge.get(&format!("/a/{size}")).await;
    }
    edge.stop().await.expect("stops");
    drop(edge);
    // Everything but the first segment header and the index: all records.
    for entry in std::fs::read_dir(folder.path()).expect("folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            let mut octets = std::fs::read(&path).expect("segment");
            let end = octets.len() - 64 - 40 * SIZES.len();
            for at in (200..end).step_by(997) {
                octets[at] ^= 4;
            }
            std::fs::write(&path, octets).expect("write");
        }
    }
    let edge = on(folder.path(), &origin).await;
    for size in SIZES {
        let answer = edge.get(&format!("/a/{size}")).await;
        if answer.complete {
            assert!(answer.body == pattern(size), "{size}");
        } else {
            // Found after the response had begun: the next one is whole.
            assert!(pattern(size).starts_with(&answer.body));
            assert!(edge.get(&format!("/a/{size}")).await.body == pattern(size));
        }
    }
    assert!(edge.metric("edge_disk_bad_records_total") > 0);
}

/// A fetch that goes on when the last client has its response ends before the disk is closed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_coming_when_an_edge_stops_is_stored() {
    let folder = tempfile::tempdir().expect("folder");
    let (content, of_origin) = door();
    let number = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_, mut wire| {
        let (content, number) = (Arc::clone(&of_origin), number.fetch_add(1, Ordering::SeqCst));
        async move {
            let life = "Cache-Control: max-age=10, stale-while-revalidate=600";
            wire.send(format!(
                "HTTP/1.1 200 OK\r\n{life}\r\nETag: \"{number}\"\r\nContent-Length: 4000000\r\n\r\n"
            ))
            .await;
            if number > 0 {
                pass(&content).await;
            }
            wire.send(pattern(4_000_000)).await;
            (wire, After::Keep)
        }
    })
    .await;
    let mut edge = on(folder.path(), &origin).await;
    edge.get("/").await;
    edge.advance(20);
    assert_eq!(edge.get("/").await.field("etag"), Some("\"0\""));
    origin.wait_for(2).await;
    let address = edge.address;
    let stopped = edge.stop();
    soon("the edge to refuse clients", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    content.add_permits(1);
    stopped.await.expect("stops");
    drop(edge);
    let edge = on(folder.path(), &origin).await;
    let answer = edge.get("/").await;
    assert_eq!(answer.field("etag"), Some("\"1\""), "{}", answer.cache_status());
    assert!(answer.complete && answer.body == pattern(4_000_000));
}

async fn tagged() -> Origin {
    Origin::start(|seen, mut wire| async move {
        let head = if seen.field("if-none-match").is_some() {
            "304 Not Modified\r\nCache-Control: max-age=600\r\nETag: \"1\"".to_owned()
        } else {
            let tag = seen.path().trim_start_matches('/').to_owned();
            format!("200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\nSurrogate-Key: {tag}")
        };
        wire.respond(&head, if head.starts_with("304") { Vec::new() } else { pattern(1000) }).await;
        (wire, After::Keep)
    })
    .await
}

async fn restarted(mut edge: TestEdge, folder: &Path, origin: &Origin, outstanding: usize) -> TestEdge {
    edge.stop().await.expect("stops");
    drop(edge);
    with_purges(folder, origin, outstanding).await
}

/// Where purges press, what is only on disk meets them: what they took is gone or stale, and the rest stays; also after
/// the purges are forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_shows_the_purges_to_what_is_only_on_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = tagged().await;
    let edge = with_purges(folder.path(), &origin, 4).await;
    for path in ["/hard", "/soft", "/other", "/url"] {
        edge.get(path).await;
    }
    let edge = restarted(edge, folder.path(), &origin, 4).await;
    let stored = origin.requests();
    for order in [
        r#"{"tag": "hard"}"#,
        r#"{"tag": "soft", "mode": "soft"}"#,
        r#"{"url": "http://site.test/url", "mode": "soft"}"#,
    ] {
        let answer = edge.order(order).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    edge.until("edge_purge_names", 0).await;
    let edge = restarted(edge, folder.path(), &origin, 4).await;
    assert_eq!(origin.requests(), stored);
    assert!(edge.get("/other").await.cache_status().contains("hit"));
    assert_eq!(origin.requests(), stored, "what no purge took was dropped");
    for path in ["/soft", "/url"] {
        let status = edge.get(path).await.cache_status().to_owned();
        assert!(status.contains("fwd=stale") && status.contains("fwd-status=304"), "{path}: {status}");
    }
    let status = edge.get("/hard").await.cache_status().to_owned();
    assert!(status.contains("fwd=uri-miss"), "{status}");
}

/// Purges of URLs are forgotten as soon as they are met, which takes no reading of what they did not take.
#[tokio::test(flavor = "multi_thread")]
async fn purges_of_urls_do_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = tagged().await;
    let edge = with_purges(folder.path(), &origin, 1000).await;
    for path in ["/hard", "/soft", "/other"] {
        edge.get(path).await;
    }
    let edge = restarted(edge, folder.path(), &origin, 1000).await;
    let stored = origin.requests();
    edge.order(r#"{"url": "http://site.test/hard"}"#).await;
    edge.order(r#"{"url": "http://site.test/soft", "mode": "soft"}"#).await;
    edge.until("edge_purge_names", 0).await;
    let edge = restarted(edge, folder.path(), &origin, 1000).await;
    assert!(edge.get("/other").await.cache_status().contains("hit"));
    assert_eq!(origin.requests(), stored);
    assert!(edge.get("/soft").await.cache_status().contains("fwd=stale"));
    assert!(edge.get("/hard").await.cache_status().contains("fwd=uri-miss"));
}

/// Other purges stay known for as long as something on disk has not met them, also over a restart.
#[tokio::test(flavor = "multi_thread")]
async fn purges_that_the_disk_has_not_met_are_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = tagged().await;
    let edge = with_purges(folder.path(), &origin, 1000).await;
    for path in ["/hard", "/other"] {
        edge.get(path).await;
    }
    let edge = restarted(edge, folder.path(), &origin, 1000).await;
    let stored = origin.requests();
    edge.order(r#"{"tag": "hard"}"#).await;
    let edge = restarted(edge, folder.path(), &origin, 1000).await;
    assert_eq!(edge.metric("edge_purge_names"), 1);
    assert!(edge.get("/other").await.cache_status().contains("hit"));
    assert_eq!(origin.requests(), stored);
    assert!(edge.get("/hard").await.cache_status().contains("fwd=uri-miss"));
}

/// Without the log that says what was purged, everything on disk counts as purged.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_log_of_purges_nothing_on_disk_is_used() {
    let folder = tempfile::tempdir().expect("folder");
    let origin = tagged().await;
    let mut edge = with_purges(folder.path(), &origin, 1000).await;
    edge.get("/a").await;
    edge.order(r#"{"tag": "a"}"#).await;
    edge.stop().await.expect("stops");
    drop(edge);
    std::fs::remove_dir_all(folder.path().join("purges")).expect("the log is there");
    let edge = with_purges(folder.path(), &origin, 1000).await;
    assert_eq!(edge.metric("edge_disk_objects"), 0);
    assert!(edge.get("/a").await.cache_status().contains("fwd=uri-miss"));
}
