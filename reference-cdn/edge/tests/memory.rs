//! What stored responses take of the machine's memory, measured as the kernel counts it.
//!
//! Measurements, so not run by default: `cargo test --profile quick -p edge --test memory -- --ignored --nocapture --test-threads 1`.

mod support;

use support::{After, Origin, TestEdge, pattern};

/// Octets of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

const HEAD: &str = "200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: image/webp\r\n\
    Last-Modified: Tue, 02 Dec 2025 10:11:12 GMT\r\nETag: \"692eb1c0-400\"\r\nCache-Control: public, max-age=86400\r\n\
    Vary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\nX-Request-Id: 4c7f0c2e9d1b4a5f";

async fn fill(edge: &TestEdge, from: usize, to: usize) {
    let mut client = edge.client().await;
    for n in from..to {
        client
            .send(format!("GET /images/products/{n}/thumbnail.webp HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip, br\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_stored_response_of_1_kib() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(HEAD, pattern(1024)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.store.memory = 4 << 30).await;
    fill(&edge, 0, 5_000).await;
    let (before, held) = (resident(), edge.metric("edge_store_octets"));
    const COUNT: usize = 100_000;
    fill(&edge, 5_000, 5_000 + COUNT).await;
    let each = (resident() - before) / COUNT as u64;
    let accounted = (edge.metric("edge_store_octets") - held) / COUNT as u64;
    println!("a stored response of 1 KiB: {each} octets resident, {accounted} accounted");
}
