//! Names, addresses, pools, and the time that each step may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::support::{After, DEADLINE, Origin, TestEdge, soon};
use edge::{Names, OriginConfig, OriginGroupConfig};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn the_pool_is_bounded_and_waiting_for_it_is_too() {
    let door = Arc::new(Semaphore::new(0));
    let (opened, open, peak) =
        (Arc::clone(&door), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::clone(&peak);
    let origin = Origin::start(move |_, mut wire| {
        let (opened, open, most) = (Arc::clone(&opened), Arc::clone(&open), Arc::clone(&most));
        async move {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            opened.acquire().await.expect("open").forget();
            open.fetch_sub(1, Ordering::SeqCst);
            wire.respond(PAGE, "page").await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = edge(vec![primary(origin.address)], |group| {
        group.limits.connections = 2;
        group.limits.wait = Duration::from_millis(300);
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = edge.client().await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        clients.push(client);
    }
    edge.until("edge_origin_waiting", 3).await;
    assert_eq!(status(&edge).await[0]["in_flight"], 2);
    door.add_permits(2);
    origin.wait_for(4).await;
    let mut statuses = Vec::new();
    let mut limited = 0;
    for (n, client) in clients.iter_mut().enumerate() {
        if n == 4 {
            door.add_permits(2);
        }
        let response = client.response().await;
        limited += usize::from(response.proxy_status().contains("connection_limit_reached"));
        statuses.push(response.status);
        if n == 1 {
            // The one whose turn did not come has given up by now or will; let the two others end.
            edge.until("edge_origin_waiting", 0).await;
            door.add_permits(2);
        }
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 4, "{statuses:?}");
    assert_eq!((limited, peak.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn connections_are_used_last_in_first_out_and_not_for_ever() {
    let origin = named("page").await;
    let edge = edge(vec![primary(origin.address)], |group| {
        group.limits.requests = 3;
        group.limits.idle_connections = 2;
    })
    .await;
    for _ in 0..7 {
        edge.get("/").await;
    }
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 1, 1, 2]);

    let origin = named("page").await;
    let edge = edge_of(&[origin.address], |group| group.limits.age = Duration::ZERO).await;
    for _ in 0..3 {
        edge.get("/").await;
    }
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
    assert_eq!(edge.metric("edge_origin_idle_connections"), 0);
}

#[tokio::test]
async fn a_head_has_its_own_time_and_a_fetch_has_one_over_all() {
    let origin = Origin::start(|seen, mut wire| async move {
        match seen.path() {
            "/slow-head" => {
                wire.send("HTTP/1.1 200 OK\r\nX: ").await;
                wire.until_closed().await;
            }
            "/hints-then-slow" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
                tokio::time::sleep(Duration::from_millis(700)).await;
                wire.respond(PAGE, "page").await;
            }
            _ => {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
                for _ in 0..1000 {
                    wire.send("x").await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        (wire, After::Close)
    })
    .await;
    let edge = edge(vec![primary(origin.address)], |group| {
        group.limits.response = DEADLINE;
        group.limits.head = Duration::from_millis(200);
        group.limits.total = Duration::from_secs(2);
    })
    .await;
    let began = Instant::now();
    let response = edge.get("/slow-head").await;
    assert_eq!(response.status, 504);
    assert!(response.proxy_status().contains("http_response_timeout"), "{}", response.proxy_status());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(
        edge.get("/hints-then-slow").await.status,
        200,
        "an interim response is no beginning of a slow head"
    );
    let began = Instant::now();
    let response = edge.get("/trickle").await;
    assert_eq!((response.status, response.complete), (200, false));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Names that a test decides about.
fn names(
    answer: impl Fn(usize) -> Option<std::io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
) -> (Names, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let names = Names::of(move |host, port| {
        assert_eq!((host, port), ("origin.test", 80));
        let answer = answer(count.fetch_add(1, Ordering::SeqCst));
        async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    });
    (names, asked)
}

async fn edge_by_name(names: Names, change: impl FnOnce(&mut OriginGroupConfig)) -> TestEdge {
    let origin = OriginConfig::new("origin.test".parse().expect("authority"));
    edge(vec![origin], |group| {
        group.names = names;
        change(group);
    })
    .await
}

#[tokio::test]
async fn names_that_cannot_be_looked_up_are_told_apart() {
    let (missing, asked) = names(|_| Some(Err(std::io::ErrorKind::NotFound.into())));
    let edge = edge_by_name(missing, |_| {}).await;
    for _ in 0..5 {
        let response = edge.get("/").await;
        assert!(response.proxy_status().contains("dns_error"), "{}", response.proxy_status());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a missing name is not looked up for each request");

    let (hanging, asked) = names(|_| None);
    let edge = edge_by_name(hanging, |group| group.limits.resolve = Duration::from_millis(100)).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = edge.client().await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        clients.push(client);
    }
    for client in &mut clients {
        let response = client.response().await;
        assert!(response.proxy_status().contains("dns_"), "{}", response.proxy_status());
    }
    assert!(asked.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn an_address_that_fails_is_passed_over_and_left_alone() {
    let (well, dead) = (named("well").await, nobody().await);
    let known = vec![dead, well.address];
    let (names, asked) = names(move |_| Some(Ok(known.clone())));
    let edge = edge_by_name(names, |group| group.limits.idle_connections = 0).await;
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// An address that never answers: its queue of connections to accept is full.
async fn hung() -> (SocketAddr, Vec<tokio::net::TcpStream>, TcpListener) {
    let socket = tokio::net::TcpSocket::new_v4().expect("socket");
    socket.bind("127.0.0.1:0".parse().expect("address")).expect("bind");
    let listener = socket.listen(1).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut waiting = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(stream) => waiting.push(stream.expect("connect")),
            Err(_) => return (address, waiting, listener),
        }
        assert!(waiting.len() < 10, "the queue never fills");
    }
}

#[tokio::test]
async fn an_address_that_hangs_gets_a_head_start_and_no_more() {
    let (hung, _waiting, _listener) = hung().await;
    let well = named("well").await;
    let known = vec![hung, well.address];
    let (names, _) = names(move |_| Some(Ok(known.clone())));
    let edge = edge_by_name(names, |group| group.limits.idle_connections = 0).await;
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}: it is left alone", began.elapsed());

    let edge = edge_of(&[hung], |group| group.limits.connect = Duration::from_millis(100)).await;
    let response = edge.get("/").await;
    assert!(response.proxy_status().contains("connection_timeout"), "{}", response.proxy_status());
}

#[tokio::test]
async fn an_origin_that_moves_is_followed() {
    let (old, new) = (named("old").await, named("new").await);
    let (before, after) = (old.address, new.address);
    let (names, asked) = names(move |n| match n {
        0 => Some(Ok(vec![before])),
        1 => Some(Err(std::io::ErrorKind::TimedOut.into())),
        _ => Some(Ok(vec![after])),
    });
    let edge = edge_by_name(names, |group| {
        group.limits.resolve_again = Duration::ZERO;
        group.limits.requests = 1;
    })
    .await;
    assert_eq!(edge.get("/").await.text(), "old");
    soon("the new address", async {
        while edge.get("/").await.text() != "new" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(asked.load(Ordering::SeqCst) >= 3, "the name servers' failure took nothing away");
}
