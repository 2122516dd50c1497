//! What an outage of an origin leaves in the log: that it began and that it ended, not each request that met it.

#[path = "support/log.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod log;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::Log;
use support::{After, Origin, TestEdge};

/// One test: the log is the whole process's.
#[tokio::test]
async fn an_outage_is_two_lines() {
    let log = Log::start();
    let well = Arc::new(AtomicBool::new(true));
    let is_well = Arc::clone(&well);
    let origin = Origin::start(move |seen, mut wire| {
        let is_well = Arc::clone(&is_well);
        async move {
            if seen.path() == "/cut" {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: no-store\r\n\r\nabc")
                    .await;
                return (wire, After::Close);
            }
            if !is_well.load(Ordering::SeqCst) {
                return (wire, After::Close);
            }
            wire.respond("200 OK\r\nCache-Control: no-store", "fine").await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(log.take(), [""; 0]);

    well.store(false, Ordering::SeqCst);
    for n in 0..20 {
        assert_eq!(edge.get(&format!("/{n}")).await.status, 502);
        edge.advance(1);
    }
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("the origin fails"), "{lines:?}");
    assert!(
        lines[0].contains(&origin.address.to_string()) && lines[0].contains("http_response_incomplete"),
        "{lines:?}"
    );
    assert_eq!(edge.metric("edge_origin_failures_total"), 20, "each is counted");

    well.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("answers again") && lines[0].contains("failed=20 "), "{lines:?}");
    assert!(lines[0].contains("seconds=20"), "{lines:?}");

    // Content that breaks off: once in a while, and with how many were not told.
    for _ in 0..10 {
        assert!(!edge.get("/cut").await.complete);
    }
    edge.advance(10);
    assert!(!edge.get("/cut").await.complete);
    edge.until("edge_origin_truncated_total", 11).await;
    let lines = log.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("before=0 ") && lines[1].contains("before=9 "), "{lines:?}");
}
