//! What clients and operators can do to an edge, and how it stops.

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{After, Client, Origin, TOKEN, TestEdge, pattern, soon, until};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";

async fn request(address: std::net::SocketAddr, text: &str) -> support::Response {
    let mut client = Client::connect(address).await;
    client.send(text).await;
    client.response().await
}

#[tokio::test]
async fn a_head_sent_an_octet_at_a_time_is_cut_off() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge =
        TestEdge::with(origin.address, |config| config.client.head_time = Duration::from_millis(100)).await;
    let mut client = edge.client().await;
    client.send("GET / HT").await;
    assert_eq!(client.response().await.status, 408);
    assert!(client.is_closed().await);
    assert_eq!(edge.labelled("edge_limit_reached_total", "client.head-time"), 1);
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| config.client.idle = Duration::from_millis(100)).await;
    let mut client = edge.client().await;
    assert!(client.is_closed().await);
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200);
    assert!(client.is_closed().await);
    assert_eq!(edge.labelled("edge_limit_reached_total", "client.idle"), 2);
}

#[tokio::test]
async fn content_that_stalls_is_answered_and_does_not_hold_the_origin() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge =
        TestEdge::with(origin.address, |config| config.client.content_stall = Duration::from_millis(100))
            .await;
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(client.response().await.status, 408);
    assert_eq!(origin.requests(), 0, "the script never saw it whole");
    assert_eq!(edge.labelled("edge_limit_reached_total", "client.content-stall"), 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_blocks_nobody() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(16 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge =
        TestEdge::with(origin.address, |config| config.client.write_stall = Duration::from_millis(300)).await;
    assert_eq!(edge.get("/").await.body.len(), 16 << 20);
    let mut lazy = Vec::new();
    for _ in 0..20 {
        let mut client = edge.client().await;
        client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        lazy.push(client);
    }
    assert_eq!(edge.get("/").await.body.len(), 16 << 20);
    edge.until("edge_requests_in_flight", 0).await;
    assert_eq!(edge.metric("edge_responses_aborted_total"), 20);
    assert_eq!(edge.labelled("edge_limit_reached_total", "client.write-stall"), 20);
    for client in &mut lazy {
        assert!(!client.response().await.complete);
    }
}

#[tokio::test]
async fn a_client_that_takes_an_octet_at_a_time_is_cut_off() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(16 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge =
        TestEdge::with(origin.address, |config| config.client.write_time = Duration::from_millis(500)).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let mut octets = [0; 512];
    soon("to be cut off", async {
        while edge.metric("edge_responses_aborted_total") == 0 {
            client.stream.read_exact(&mut octets).await.expect("there is more in the buffers");
            // The attack: it reads, at a pace that no stall limit meets.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let mut rest = Vec::new();
    let _ = soon("the end", client.stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < 16 << 20);
    assert_eq!(edge.labelled("edge_limit_reached_total", "client.write-time"), 1);
}

#[tokio::test]
async fn when_all_places_are_taken_the_longest_idle_connection_gives_way() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| config.connections = 3).await;
    let mut idle = Vec::new();
    for n in 0..3 {
        let mut client = edge.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
        edge.until("edge_connections", n + 1).await;
        idle.push(client);
    }
    assert_eq!(edge.get("/").await.status, 200);
    assert!(idle[0].is_closed().await);
    idle[2].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle[2].response().await.status, 200);
    assert_eq!(edge.metric("edge_connections_shed_total"), 1);
}

#[tokio::test]
async fn a_dead_origin_is_a_bad_gateway_that_nobody_may_store() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let address = origin.address;
    drop(origin);
    let edge = TestEdge::start(address).await;
    let response = edge.get("/").await;
    assert_eq!(response.status, 502);
    assert_eq!(response.text(), "502 the origin cannot be reached\n");
    assert_eq!(response.field("cache-control"), Some("no-store"));
    assert_eq!(response.field("proxy-status"), Some("reference-cdn; error=connection_refused"));
    // RFC 9211 section 2: no cache handled what the edge made itself.
    assert_eq!(response.field("cache-status"), None);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let door = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&door);
    let origin = Origin::start(move |seen, mut wire| {
        let opened = Arc::clone(&opened);
        async move {
            if seen.path() == "/slow" {
                opened.acquire().await.expect("open").forget();
            }
            wire.respond("200 OK", "page").await;
            (wire, After::Keep)
        }
    })
    .await;
    let mut edge = TestEdge::start(origin.address).await;
    let mut idle = edge.client().await;
    idle.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.response().await.status, 200);
    let mut busy = edge.client().await;
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for(2).await;
    let stopped = edge.stop();
    assert!(idle.is_closed().await);
    soon("the listener to close", async {
        while tokio::net::TcpStream::connect(edge.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    door.add_permits(1);
    let response = busy.response().await;
    assert_eq!(response.text(), "page");
    assert!(busy.is_closed().await);
    assert_eq!(soon("the end", stopped).await.expect("no panic").cut, 0);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let mut edge = TestEdge::with(origin.address, |config| config.drain = Duration::from_millis(100)).await;
    let mut busy = edge.client().await;
    busy.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n").await;
    origin.wait_for(1).await;
    let stopped = edge.stop();
    assert_eq!(soon("the end", stopped).await.expect("no panic").cut, 1);
    assert!(busy.is_closed().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_breaks_no_response() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(100_000)).await;
        (wire, After::Keep)
    })
    .await;
    let mut edge = TestEdge::start(origin.address).await;
    let address = edge.address;
    let mut loads = tokio::task::JoinSet::new();
    for n in 0..32 {
        loads.spawn(async move {
            let whole = pattern(100_000);
            let mut client = Client::connect(address).await;
            let mut answered = 0_u64;
            loop {
                client.try_send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", n % 5)).await;
                match client.try_response("GET").await {
                    None => return answered,
                    Some(response) => assert!(response.complete && response.body == whole),
                }
                answered += 1;
            }
        });
    }
    until("some load", || edge.metric("edge_content_octets_sent_total") >= 50_000_000).await;
    let stopped = edge.stop();
    assert_eq!(soon("the end", stopped).await.expect("no panic").cut, 0);
    let mut answered = 0;
    while let Some(load) = soon("the load's end", loads.join_next()).await {
        answered += load.expect("no broken response");
    }
    assert!(answered >= 500);
}

#[tokio::test]
async fn operators_need_the_token_and_get_clear_answers() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::start(origin.address).await;
    let with = |token: &str, content: &str| {
        let length = content.len();
        format!("POST /purge HTTP/1.1\r\nHost: a\r\n{token}Content-Length: {length}\r\n\r\n{content}")
    };
    let right = format!("Authorization: bearer {TOKEN}\r\n");
    let good = "{\"url\": \"http://site.test/\"}";
    let check = async |text: String, status: u16, says: &str| {
        let response = request(edge.admin, &text).await;
        assert_eq!(response.status, status, "{text}: {response:?}");
        assert!(response.text().contains(says), "{text}: {}", response.text());
    };
    check(with("", good), 401, "Authorization: Bearer").await;
    check(with("Authorization: Bearer 0123456789abcdeX\r\n", good), 401, "token").await;
    check(with(&format!("Authorization: Bearer {TOKEN}{TOKEN}\r\n"), good), 401, "token").await;
    check(with("Authorization: Bearer \r\n", good), 401, "token").await;
    check(with("Authorization: Basic 0123456789abcdef\r\n", good), 401, "token").await;
    check(with(&right, good), 200, "\"purged\":0").await;
    check(with(&right, "{\"url\": \"/relative\"}"), 400, "absolute").await;
    check(with(&right, "{\"url\": \"http://a b\"}"), 400, "write it as http://host/path").await;
    check(with(&right, "{\"uri\": \"http://a/\"}"), 400, "unknown field").await;
    check(with(&right, "purge it"), 400, "send JSON").await;
    check(format!("POST /purge HTTP/1.1\r\nHost: a\r\n{right}\r\n"), 400, "send JSON").await;
    check(
        format!(
            "POST /purge HTTP/1.1\r\nHost: a\r\n{right}Content-Length: 99999\r\n\r\n{}",
            "x".repeat(99_999)
        ),
        413,
        "larger",
    )
    .await;
    check("PUT /purge HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405, "GET, HEAD, POST only").await;
    check("GET /purge HTTP/1.1\r\nHost: a\r\n\r\n".into(), 401, "token").await;
    check("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404, "POST /purge").await;
    check("GET /health HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200, "ok").await;
    check("GET /status HTTP/1.1\r\nHost: a\r\n\r\n".into(), 401, "token").await;
    check(format!("GET /status HTTP/1.1\r\nHost: a\r\n{right}\r\n"), 200, "\"edge_requests_total\":{").await;
    check("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".into(), 200, "edge_requests_total{answered=\"hit\"} 0")
        .await;
    // Clients cannot purge through the port they use.
    assert_eq!(
        edge.exchange("POST", "/purge", &format!("{right}Content-Length: 0\r\n")).await.text(),
        "page"
    );
}

#[tokio::test]
async fn each_request_is_logged_once() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/short" {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await;
            return (wire, After::Close);
        }
        wire.respond(PAGE, "page").await;
        (wire, After::Keep)
    })
    .await;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("access.log");
    let mut edge = TestEdge::with(origin.address, |config| config.access_log = Some(path.clone())).await;
    edge.get("/").await;
    edge.get("/").await;
    edge.get("/short").await;
    let stopped = edge.stop();
    soon("the end", stopped).await.expect("no panic");
    let lines = std::fs::read_to_string(&path).expect("log");
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answered: Vec<&str> = lines.iter().map(|line| line["answered"].as_str().expect("word")).collect();
    assert_eq!(answered, ["miss", "hit", "relayed"]);
    assert_eq!(
        (&lines[1]["octets"], &lines[1]["status"], &lines[1]["complete"]),
        (&4.into(), &200.into(), &true.into())
    );
    assert_eq!(
        (&lines[2]["error"], &lines[2]["complete"]),
        (&"http_response_incomplete".into(), &false.into())
    );
    assert_eq!(lines[0]["time"], "2026-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn uploads_are_streamed_in_both_directions() {
    let origin = Origin::start(|seen, mut wire| async move {
        let digest =
            seen.body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        wire.respond("200 OK", format!("{} {digest}", seen.body.len())).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let content = pattern(20 << 20);
    let digest = content.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut client = edge.client().await;
    let length = content.len();
    client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    client.send(&content).await;
    assert_eq!(client.response().await.text(), format!("{length} {digest}"));
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for chunk in content.chunks(77_777) {
        client.send([format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response().await.text(), format!("{length} {digest}"));
    let mut rest = Vec::new();
    let quiet = tokio::time::timeout(Duration::from_millis(20), client.stream.read_buf(&mut rest)).await;
    assert!(quiet.is_err(), "nothing follows, and the connection stays open");
}
