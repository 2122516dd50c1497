//! What stored responses take of the machine's memory, as the kernel counts it.
//!
//! Measurements, so not run by default:
//! `cargo test --profile quick -p edge --test memory -- --ignored --nocapture --test-threads 1`

mod support;

use std::net::SocketAddr;

use support::{TestEdge, pattern};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Octets of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: image/webp\r\n\
    Last-Modified: Tue, 02 Dec 2025 10:11:12 GMT\r\nETag: \"692eb1c0-400\"\r\nCache-Control: public, max-age=86400\r\n\
    Vary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\nX-Request-Id: 4c7f0c2e9d1b4a5f\r\n";

/// The last number in a path, up to a slash: what `/x/NUMBER/OCTETS` asks for.
fn octets_in(line: &str) -> usize {
    let path = line.split(' ').nth(1).unwrap_or_default();
    path.rsplit('/').next().and_then(|octets| octets.parse().ok()).unwrap_or(0)
}

/// An origin that remembers nothing: a path that ends in a number has so many octets.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let content = pattern(4 << 20);
    tokio::spawn(async move {
        let content: &'static [u8] = content.leak();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let mut octets = 0;
                while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                    if line.starts_with("GET") {
                        octets = octets_in(&line);
                    }
                    if line == "\r\n" {
                        let head = format!("{HEAD}Content-Length: {octets}\r\n\r\n");
                        let answer = [head.as_bytes(), &content[..octets]].concat();
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

/// Asks for each path in turn on one connection.
async fn fetch(edge: SocketAddr, paths: impl Iterator<Item = String>) {
    let mut stream = BufReader::new(TcpStream::connect(edge).await.expect("connect"));
    let mut sink = vec![0; 4 << 20];
    for path in paths {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: gzip, br\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut line = String::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.expect("a response");
            if line == "\r\n" {
                break;
            }
        }
        stream.read_exact(&mut sink[..octets_in(&format!("GET {path} "))]).await.expect("content");
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_stored_response_of_1_kib() {
    let edge = TestEdge::with(origin().await, |config| config.store.memory = 4 << 30).await;
    let paths =
        |from: usize, to: usize| (from..to).map(|n| format!("/images/products/{n}/thumbnail.webp/1024"));
    fetch(edge.address, paths(0, 5_000)).await;
    let (before, held) = (resident(), edge.metric("edge_store_octets"));
    const COUNT: usize = 200_000;
    fetch(edge.address, paths(5_000, 5_000 + COUNT)).await;
    let each = (resident() - before) / COUNT as u64;
    let accounted = (edge.metric("edge_store_octets") - held) / COUNT as u64;
    println!("a stored response of 1 KiB: {each} octets resident, {accounted} accounted");
}

/// Content of many sizes, most of it small, over four times the memory, from eight clients at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn memory_stays_within_a_tenth_of_its_limit() {
    const LIMIT: u64 = 1 << 30;
    let edge = TestEdge::with(origin().await, |config| config.store.memory = LIMIT).await;
    let sizes = [300, 700, 1024, 1500, 2300, 4000, 9000, 20_000, 40_000, 66_000, 150_000, 400_000, 1_100_000];
    let mut most = 0;
    let mut asked = 0_u64;
    for round in 0.. {
        let clients = (0..8_u64).map(|client| {
            let mut state = round * 8 + client + 1;
            let paths = (0..2000).map(move |n| {
                // Small ones are many: the size grows as its share falls.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let choice = (state >> 33) % (1 << 13);
                let size = sizes[13 - (choice + 1).ilog2().min(13) as usize - usize::from(choice == 0)];
                format!("/{round}/{client}/{n}/{size}")
            });
            let address = edge.address;
            tokio::spawn(fetch(address, paths))
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("client");
        }
        most = most.max(resident());
        asked += 16_000;
        if edge.metric("edge_store_evicted_total") > 3 * edge.metric("edge_store_objects") {
            break;
        }
        assert!(round < 1000, "nothing is evicted");
    }
    let held = edge.metric("edge_store_octets");
    println!(
        "limit {LIMIT}, accounted {held}, resident at most {most} ({:.3} of the limit), {asked} requests",
        most as f64 / LIMIT as f64
    );
    assert!(most < LIMIT / 10 * 11, "{most} octets resident");
}
