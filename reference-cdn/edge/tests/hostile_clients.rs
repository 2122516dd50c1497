//! Clients that hold what they can get: heads and content an octet at a time, answers they do not read, crowds.

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{After, Client, Origin, TestEdge, pattern, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";

fn reached(edge: &TestEdge, limit: &str) -> u64 {
    edge.labelled("edge_limit_reached_total", limit)
}

/// Waits until the limit was reached this often.
async fn until_reached(edge: &TestEdge, limit: &str, count: u64) {
    edge.until_labelled("edge_limit_reached_total", limit, count).await;
}

#[tokio::test]
async fn heads_an_octet_at_a_time_take_no_place_from_others() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.connections = 50;
        config.client.head_time = Duration::from_millis(600);
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = edge.client().await;
        client.send("G").await;
        slow.push(client);
    }
    edge.until("edge_connections", 50).await;
    // All places are taken by them; whoever comes is served all the same, long before their time is up.
    let head = "ET / HTTP/1.1\r\nHost: site.test\r\nX-Slow: 1";
    for octet in head.as_bytes() {
        for client in &mut slow {
            // Those that had to make room are closed.
            let _ = client.stream.write_all(&[*octet]).await;
        }
        assert_eq!(edge.get("/").await.status, 200);
    }
    assert!(edge.metric("edge_connections_shed_total") > 0);
    // The others are told that they took too long.
    let mut told = 0;
    for mut client in slow {
        told += u64::from(client.try_response("GET").await.is_some_and(|answer| answer.status == 408));
    }
    assert!(told > 0);
    assert_eq!(reached(&edge, "client.head-time"), told);
    edge.until("edge_connections", 0).await;
}

#[tokio::test]
async fn content_an_octet_at_a_time_holds_no_place_at_the_origin_once_it_stalls() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond("200 OK", "done").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.client.content_stall = Duration::from_millis(200);
        config.customers[0].origin.limits.connections = 4;
    })
    .await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = edge.client().await;
        client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1000\r\n\r\nx").await;
        slow.push(client);
    }
    until_reached(&edge, "client.content-stall", 4).await;
    for mut client in slow {
        assert_eq!(client.response().await.status, 408);
    }
    assert_eq!(edge.get("/").await.status, 200);
}

#[tokio::test]
async fn content_that_nobody_wants_is_not_read_for_ever() {
    let origin = Origin::fixed("405 No\r\nConnection: close", b"no").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.client.unread_content = 1000;
        config.client.drain_time = Duration::from_millis(200);
        config.customers[0].limits.client_rate = edge::Rate { per_second: 1, burst: 1 };
    })
    .await;
    assert_eq!(edge.get("/").await.status, 405);
    // Refused for its rate, while it announces a megabyte and goes on sending, or sends nothing.
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1000000\r\n\r\n").await;
    assert_eq!(client.response().await.status, 429);
    let mut rest = [0; 10];
    let ended = soon("the end", client.stream.read(&mut rest)).await.unwrap_or(0);
    assert_eq!(ended, 0);
    assert_eq!(reached(&edge, "client.unread-content"), 1);
    // It keeps the connection that it was told to leave.
    until_reached(&edge, "client.drain-time", 1).await;
    edge.until("edge_connections", 0).await;
}

#[tokio::test]
async fn chunked_content_larger_than_the_limit_is_cut_off() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond("200 OK", "done").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.client.request_content = 100_000).await;
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..20 {
        client.try_send(format!("2710\r\n{}\r\n", "x".repeat(10_000))).await;
    }
    assert_eq!(client.response().await.status, 413);
    assert_eq!((reached(&edge, "client.content"), origin.requests()), (1, 0));
}

/// An origin whose requests for `/wait…` hang until the door opens.
async fn waiting_origin() -> (Origin, Arc<Semaphore>) {
    let door = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&door);
    let origin = Origin::start(move |seen, mut wire| {
        let opened = Arc::clone(&opened);
        async move {
            if seen.path().starts_with("/wait") {
                opened.acquire().await.expect("open").forget();
            }
            wire.respond("200 OK", "page").await;
            (wire, After::Keep)
        }
    })
    .await;
    (origin, door)
}

#[tokio::test]
async fn a_crowd_that_cannot_be_collapsed_is_bounded_at_the_origin() {
    let (origin, door) = waiting_origin().await;
    let edge = TestEdge::with(origin.address, |config| {
        config.customers[0].origin.limits.connections = 3;
        config.customers[0].origin.limits.connect = Duration::from_millis(200);
    })
    .await;
    let mut crowd = Vec::new();
    for n in 0..20 {
        let mut client = edge.client().await;
        client.send(format!("POST /wait/{n} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n")).await;
        crowd.push(client);
    }
    until_reached(&edge, "origin.connections", 17).await;
    assert_eq!(origin.requests(), 3);
    door.add_permits(3);
    let mut statuses = Vec::new();
    for client in &mut crowd {
        statuses.push(client.response().await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 3].as_slice(), &[503; 17]].concat());
    assert_eq!(edge.get("/").await.status, 200);
}

#[tokio::test]
async fn an_origin_that_takes_no_connection_is_given_up() {
    // Its queue is full: the kernel lets further connections hang.
    let socket = tokio::net::TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let listener: TcpListener = socket.listen(1).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut queued = Vec::new();
    for _ in 0..8 {
        queued.push(tokio::spawn(tokio::net::TcpStream::connect(address)));
    }
    until("a full queue", || queued.iter().filter(|connect| connect.is_finished()).count() >= 2).await;
    let edge = TestEdge::with(address, |config| {
        config.customers[0].origin.limits.connect = Duration::from_millis(200);
    })
    .await;
    assert_eq!(edge.get("/").await.status, 504);
    assert_eq!(reached(&edge, "origin.connect"), 1);
    queued.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_slow_readers_of_everything_delay_nobody_and_pin_little() {
    let origin = Origin::start(|seen, mut wire| async move {
        let head = if seen.path() == "/private" { "200 OK\r\nCache-Control: no-store" } else { PAGE };
        wire.respond(head, pattern(16 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.body.len(), 16 << 20);
    let before = edge.metric("edge_store_resident_octets");
    let mut slow = Vec::new();
    for n in 0..64 {
        let path = if n % 8 == 0 { "/private" } else { "/" };
        let mut client = edge.client().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        slow.push(client);
    }
    edge.until("edge_requests_in_flight", 64).await;
    // An octet each, round after round, while others are served whole.
    let mut octet = [0; 1];
    for _ in 0..5 {
        for client in &mut slow {
            soon("an octet", client.stream.read_exact(&mut octet)).await.expect("there is more");
        }
        assert_eq!(edge.get("/").await.body.len(), 16 << 20);
    }
    assert_eq!(edge.metric("edge_requests_in_flight"), 64);
    assert_eq!(edge.metric("edge_store_resident_octets"), before, "what is read is shared");
    slow.into_iter().for_each(Client::reset);
    edge.until("edge_requests_in_flight", 0).await;
}
