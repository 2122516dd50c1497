//! Probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::support::{After, Origin, soon};
use edge::{ProbeConfig, Thresholds};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn probes_take_an_origin_out_and_bring_it_back() {
    let well = Arc::new(AtomicBool::new(true));
    let probes = Arc::new(AtomicUsize::new(0));
    let (flag, count) = (Arc::clone(&well), Arc::clone(&probes));
    let watched = Origin::start(move |seen, mut wire| {
        let (flag, count) = (Arc::clone(&flag), Arc::clone(&count));
        async move {
            if seen.path() == "/health" {
                count.fetch_add(1, Ordering::SeqCst);
                assert_eq!(seen.field("host"), Some("probe.test"));
                let status = if flag.load(Ordering::SeqCst) { "204 No Content" } else { "500 Oh" };
                wire.send(
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
                        .replace("204 No Content\r\nContent-Length: 0", "204 No Content"),
                )
                .await;
            } else {
                wire.respond(PAGE, "watched").await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let other = named("other").await;
    let edge = edge(vec![primary(watched.address), backup(other.address)], |group| {
        group.probe = Some(ProbeConfig {
            path: "/health".into(),
            host: Some("probe.test".into()),
            interval: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            expect: (200, 299),
            thresholds: Thresholds { up: 2, down: 3 },
        });
    })
    .await;
    let until = async |state: &str| {
        soon(state, async {
            while states(&edge).await[0] != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    let probed = |at_least: usize| {
        let probes = Arc::clone(&probes);
        soon("probes", async move {
            while probes.load(Ordering::SeqCst) < at_least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    probed(3).await;
    assert_eq!(edge.get("/").await.text(), "watched");
    well.store(false, Ordering::SeqCst);
    until("down").await;
    assert_eq!(edge.get("/").await.text(), "other");
    edge.advance(100_000);
    assert_eq!(edge.get("/").await.text(), "other", "only probes bring it back");
    well.store(true, Ordering::SeqCst);
    until("up").await;
    assert_eq!(edge.get("/").await.text(), "watched");
    assert!(metric(&edge, "edge_origin_probes_failed_total", 1) >= 3);
    assert_eq!(metric(&edge, "edge_origin_ejections_total", 1), 0);
    // Each on a connection of its own, which ends with it.
    let seen = watched.seen();
    let mut connections: Vec<_> =
        seen.iter().filter(|it| it.path() == "/health").map(|it| it.connection).collect();
    let count = connections.len();
    connections.dedup();
    assert_eq!(connections.len(), count);
}

#[tokio::test]
async fn probes_come_one_at_a_time_even_when_they_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (open, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, most) = (Arc::clone(&open), Arc::clone(&peak));
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                use tokio::io::AsyncReadExt;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let edge = edge(vec![primary(address), backup(named("other").await.address)], |group| {
        group.probe = Some(ProbeConfig {
            interval: Duration::from_millis(10),
            timeout: Duration::from_millis(60),
            ..ProbeConfig::default()
        });
    })
    .await;
    soon("probes", async {
        while metric(&edge, "edge_origin_probes_failed_total", 1) < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(peak.load(Ordering::SeqCst), 1);
    assert_eq!(states(&edge).await[0], "down");
    server.abort();
}
