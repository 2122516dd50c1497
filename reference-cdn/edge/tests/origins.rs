//! Several origins: shares, health, failover, retries, and the bounds of their pools.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use edge::{Config, Names, OriginConfig, OriginGroupConfig, ProbeConfig, Role, Thresholds};
use http::StatusCode;
use support::{After, Client, DEADLINE, Origin, TOKEN, TestEdge, pattern, soon};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

const PAGE: &str = "200 OK\r\nCache-Control: no-store";

fn primary(address: SocketAddr) -> OriginConfig {
    OriginConfig::new(address.to_string().parse().expect("authority"))
}

fn backup(address: SocketAddr) -> OriginConfig {
    OriginConfig { role: Role::Backup, ..primary(address) }
}

/// An edge in front of these.
async fn edge(origins: Vec<OriginConfig>, change: impl FnOnce(&mut OriginGroupConfig)) -> TestEdge {
    let any = SocketAddr::from(([127, 0, 0, 1], 9));
    TestEdge::with(any, |config: &mut Config| {
        let group = &mut config.customers[0].origin;
        group.origins = origins;
        change(group);
    })
    .await
}

/// An origin that says who it is.
async fn named(name: &'static str) -> Origin {
    Origin::start(move |_, mut wire| async move {
        wire.respond(PAGE, name).await;
        (wire, After::Keep)
    })
    .await
}

/// One that closes without an answer.
async fn resetting() -> Origin {
    Origin::start(|_, wire| async move {
        wire.reset();
        (wire, After::Close)
    })
    .await
}

/// A listener at an address that no other test can take when it is gone.
async fn listener() -> TcpListener {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let [high, low] = (COUNT.fetch_add(1, Ordering::SeqCst) as u16).to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, 66, high, low], 0))).await.expect("bind")
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    listener().await.local_addr().expect("address")
}

/// The state of each origin, as operators see it.
async fn states(edge: &TestEdge) -> Vec<String> {
    status(edge).await.iter().map(|origin| origin["state"].as_str().expect("state").to_owned()).collect()
}

async fn status(edge: &TestEdge) -> Vec<serde_json::Value> {
    let mut client = Client::connect(edge.admin).await;
    client.send(format!("GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")).await;
    let page: serde_json::Value = serde_json::from_slice(&client.response().await.body).expect("JSON");
    page["customers"][0]["origins"].as_array().expect("origins").clone()
}

/// Of the origin with this number, from 1.
fn metric(edge: &TestEdge, name: &str, origin: usize) -> u64 {
    let label = format!("1.{origin}");
    let samples = edge.edge.samples();
    let of_it = |sample: &&edge::Sample| {
        sample.name == name && sample.label.as_ref().is_some_and(|(_, value)| *value == label)
    };
    samples.iter().find(of_it).unwrap_or_else(|| panic!("no {name} of {label}")).value
}

#[tokio::test]
async fn each_origin_gets_its_share() {
    let origins = [named("a").await, named("b").await, named("c").await];
    let mut group: Vec<OriginConfig> = origins.iter().map(|origin| primary(origin.address)).collect();
    group[1].weight = 2;
    let edge = edge(group, |_| {}).await;
    let mut client = edge.client().await;
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    let counts: Vec<usize> = origins.iter().map(Origin::requests).collect();
    for (count, due) in counts.iter().zip([50_usize, 100, 50]) {
        assert!(count.abs_diff(due) <= 5, "{counts:?}");
    }
}

#[tokio::test]
async fn a_dead_origin_costs_no_request_is_ejected_and_comes_back() {
    let (dead, well) = (nobody().await, named("well").await);
    let edge = edge(vec![primary(dead), primary(well.address)], |_| {}).await;
    for n in 0..40 {
        let response = edge.exchange(["GET", "POST"][n % 2], "/", "").await;
        assert_eq!((response.status, response.text().as_str()), (200, "well"));
    }
    assert_eq!(states(&edge).await, ["ejected", "up"]);
    assert_eq!(metric(&edge, "edge_origin_up", 1), 0);
    assert_eq!(metric(&edge, "edge_origin_ejections_total", 1), 1);
    assert_eq!(metric(&edge, "edge_origin_failed_total", 1), 5, "then it was left alone");
    assert_eq!(edge.metric("edge_origin_retries_total"), 5);
    let what = status(&edge).await[0]["last_change"]["what"].as_str().expect("text").to_owned();
    assert_eq!(what, "ejected for 5 s: 5 failures in a row");

    // Its time is over: one request tries it, and it is out for twice as long.
    edge.advance(5);
    assert_eq!(states(&edge).await, ["on_trial", "up"]);
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    assert_eq!(metric(&edge, "edge_origin_failed_total", 1), 6);
    edge.advance(9);
    assert_eq!(states(&edge).await, ["ejected", "up"]);

    // It lives again.
    let listener = TcpListener::bind(dead).await.expect("bind");
    let revived = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let answer =
                        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 7\r\n\r\nrevived";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    edge.advance(1);
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..10 {
        texts.insert(edge.get("/").await.text());
    }
    assert_eq!(texts.into_iter().collect::<Vec<_>>(), ["revived", "well"]);
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(metric(&edge, "edge_origin_ejections_total", 1), 2);
    revived.abort();
}

#[tokio::test]
async fn what_an_origin_may_have_acted_on_is_sent_again_only_where_that_is_harmless() {
    let check = async |method: &str, rest: &str, expected: u16| {
        let (bad, well) = (resetting().await, named("well").await);
        let edge = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
        let response = edge.exchange(method, "/", rest).await;
        assert_eq!(response.status, expected, "{method} {rest:?}: {}", response.cache_status());
        assert_eq!(bad.requests(), 1, "{method}: the same origin is not asked again");
        assert_eq!(well.requests(), usize::from(expected == 200), "{method}");
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        check(method, "", 200).await;
    }
    check("POST", "", 502).await;
    check("PATCH", "", 502).await;
    check("PUT", "Content-Length: 2\r\n\r\nok", 502).await;
}

#[tokio::test]
async fn what_never_left_goes_to_another_with_its_content() {
    let well = Origin::start(|seen, mut wire| async move {
        wire.respond(PAGE, seen.body).await;
        (wire, After::Keep)
    })
    .await;
    let edge = edge(vec![primary(nobody().await), backup(well.address)], |_| {}).await;
    let content = "Content-Length: 5\r\n\r\nhello";
    assert_eq!(edge.exchange("POST", "/", content).await.text(), "hello");
    let content = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    assert_eq!(edge.exchange("POST", "/", content).await.text(), "hello");
}

#[tokio::test]
async fn a_single_origin_is_asked_once() {
    let bad = resetting().await;
    let edge = edge(vec![primary(bad.address)], |group| {
        group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    })
    .await;
    for n in 1..10 {
        assert_eq!(edge.get("/").await.status, 502);
        assert_eq!(bad.requests(), n);
    }
    assert_eq!(states(&edge).await, ["up"], "there is nobody else to ask");
}

#[tokio::test]
async fn statuses_are_failures_only_where_configured() {
    let busy = || {
        Origin::start(|_, mut wire| async move {
            wire.respond("503 Service Unavailable\r\nRetry-After: 120\r\nCache-Control: no-store", "busy")
                .await;
            (wire, After::Keep)
        })
    };
    let (bad, well) = (busy().await, named("well").await);
    let off = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
    for _ in 0..10 {
        assert_eq!(off.get("/").await.status, 503);
    }
    assert_eq!(states(&off).await, ["up", "up"]);

    let on = |group: &mut OriginGroupConfig| group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    let edge = edge(vec![primary(bad.address), backup(well.address)], on).await;
    assert_eq!(edge.exchange("POST", "/", "").await.status, 503, "a POST was answered, whatever with");
    assert_eq!(states(&edge).await, ["ejected", "up"], "it asked for that");
    assert_eq!(status(&edge).await[0]["seconds_out"], 120);
    edge.advance(120);
    assert_eq!(edge.get("/").await.text(), "well");
    assert_eq!(states(&edge).await, ["ejected", "up"]);

    // Where nobody does better, the client gets what the origin said.
    let (one, two) = (busy().await, busy().await);
    let edge = edge_of(&[one.address, two.address], on).await;
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (503, "busy"));
    assert_eq!(response.field("retry-after"), Some("120"));
    assert_eq!(one.requests() + two.requests(), 2);
}

async fn edge_of(addresses: &[SocketAddr], change: impl FnOnce(&mut OriginGroupConfig)) -> TestEdge {
    edge(addresses.iter().map(|address| primary(*address)).collect(), change).await
}

#[tokio::test]
async fn what_the_client_has_seen_the_beginning_of_is_not_sent_again() {
    let bad = Origin::start(|seen, mut wire| async move {
        match seen.path() {
            "/hints" => wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await,
            "/part" => wire.send("HTTP/1.1 200 OK\r\nCont").await,
            "/hints-503" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
                wire.respond("503 Service Unavailable", "busy").await;
            }
            _ => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await,
        }
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(bad.address), backup(well.address)], |group| {
        group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
        group.ejection.failures = 100;
    })
    .await;
    for (path, status, interims) in
        [("/hints", 502, 1), ("/part", 502, 0), ("/hints-503", 503, 1), ("/short", 200, 0)]
    {
        let response = edge.get(path).await;
        assert_eq!((response.status, response.interim.len()), (status, interims), "{path}");
    }
    assert_eq!((bad.requests(), well.requests()), (4, 0));
}

#[tokio::test]
async fn what_an_origin_is_slow_with_is_not_sent_again() {
    let slow = Origin::start(|_, mut wire| async move {
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(slow.address), backup(well.address)], |group| {
        group.limits.response = Duration::from_millis(100);
    })
    .await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.status, 504);
    }
    assert_eq!(edge.get("/").await.text(), "well", "it is ejected for it");
    assert_eq!(slow.requests(), 5);
}

#[tokio::test]
async fn content_that_breaks_off_counts_against_an_origin() {
    let bad = Origin::start(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9\r\n\r\nabc").await;
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
    for _ in 0..5 {
        assert!(!edge.get("/").await.complete);
    }
    assert_eq!(edge.get("/").await.text(), "well");
}

#[tokio::test]
async fn retries_have_a_budget() {
    let (bad, well) = (resetting().await, named("well").await);
    let edge = edge(vec![primary(bad.address), backup(well.address)], |group| {
        group.retry.share = 10;
        group.retry.reserve = 3;
        group.ejection.failures = 1000;
        group.ejection.requests = 1000;
    })
    .await;
    let mut answered = 0;
    for _ in 0..40 {
        answered += usize::from(edge.get("/").await.status == 200);
    }
    assert_eq!(answered, 3 + 40 / 10 - 1, "the reserve, and a tenth of the rest");
    assert_eq!(edge.metric("edge_origin_retries_total"), answered as u64);
    assert_eq!(edge.metric("edge_origin_retries_denied_total"), 40 - answered as u64);
    assert_eq!(bad.requests(), 40);
}

#[tokio::test]
async fn tries_are_bounded() {
    let mut group = Vec::new();
    for _ in 0..6 {
        group.push(primary(nobody().await));
    }
    let edge = edge(group, |group| group.retry.origins = 4).await;
    let response = edge.get("/").await;
    assert!(response.proxy_status().contains("connection_refused"), "{}", response.proxy_status());
    let asked: u64 =
        status(&edge).await.iter().map(|origin| origin["requests"].as_u64().expect("number")).sum();
    assert_eq!((response.status, asked), (502, 4));
}

#[tokio::test]
async fn when_all_are_ejected_the_least_bad_is_tried() {
    let fail = Arc::new(AtomicBool::new(true));
    let failing = |name: &'static str, fail: Arc<AtomicBool>| {
        Origin::start(move |_, mut wire| {
            let fail = fail.load(Ordering::SeqCst);
            async move {
                if fail {
                    wire.reset();
                    return (wire, After::Close);
                }
                wire.respond(PAGE, name).await;
                (wire, After::Keep)
            }
        })
    };
    let (one, two) = (failing("one", Arc::clone(&fail)).await, failing("two", Arc::clone(&fail)).await);
    let edge =
        edge(vec![primary(one.address), backup(two.address)], |group| group.ejection.failures = 1).await;
    assert_eq!(edge.get("/").await.status, 502);
    assert_eq!(states(&edge).await, ["ejected", "ejected"]);
    assert_eq!(edge.get("/").await.status, 502, "it was tried");
    fail.store(false, Ordering::SeqCst);
    assert_eq!(edge.get("/").await.text(), "one", "and is well again as soon as it answers");
    assert_eq!(states(&edge).await, ["up", "ejected"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_dies_under_load_costs_no_request() {
    let dies = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dies);
    let mortal = Origin::start(move |_, mut wire| {
        let flag = Arc::clone(&flag);
        async move {
            if flag.load(Ordering::SeqCst) {
                wire.reset();
                return (wire, After::Close);
            }
            wire.respond(PAGE, pattern(5000)).await;
            (wire, After::Keep)
        }
    })
    .await;
    let well = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(5000)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = edge_of(&[mortal.address, well.address], |_| {}).await;
    let (address, done) = (edge.address, Arc::new(AtomicBool::new(false)));
    let mut loads = tokio::task::JoinSet::new();
    for n in 0..24 {
        let done = Arc::clone(&done);
        loads.spawn(async move {
            let whole = pattern(5000);
            let mut client = Client::connect(address).await;
            let mut answered = 0;
            while !done.load(Ordering::SeqCst) {
                client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
                let response = client.response().await;
                assert!(
                    response.status == 200 && response.complete && response.body == whole,
                    "{response:?}"
                );
                answered += 1;
            }
            answered
        });
    }
    mortal.wait_for(500).await;
    dies.store(true, Ordering::SeqCst);
    drop(mortal);
    let from = well.requests();
    well.wait_for(from + 1000).await;
    done.store(true, Ordering::SeqCst);
    let mut answered = 0;
    while let Some(load) = soon("the load's end", loads.join_next()).await {
        answered += load.expect("every request was answered");
    }
    assert!(answered >= 1500, "{answered}");
    assert_eq!(states(&edge).await, ["ejected", "up"]);
    assert!(edge.metric("edge_origin_retries_total") >= 5);
}

#[tokio::test]
async fn one_request_at_a_time_tries_an_origin_whose_time_is_over() {
    let door = Arc::new(Semaphore::new(0));
    let (opened, fail) = (Arc::clone(&door), Arc::new(AtomicBool::new(true)));
    let flag = Arc::clone(&fail);
    let sick = Origin::start(move |_, mut wire| {
        let (opened, fail) = (Arc::clone(&opened), flag.load(Ordering::SeqCst));
        async move {
            if fail {
                wire.reset();
                return (wire, After::Close);
            }
            opened.acquire().await.expect("open").forget();
            wire.respond(PAGE, "well again").await;
            (wire, After::Keep)
        }
    })
    .await;
    let well = named("well").await;
    let edge =
        edge(vec![primary(sick.address), backup(well.address)], |group| group.ejection.failures = 1).await;
    assert_eq!(edge.get("/").await.text(), "well");
    edge.advance(5);
    fail.store(false, Ordering::SeqCst);
    let mut trial = edge.client().await;
    trial.send("POST /trial HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    sick.wait_for(2).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    // A client that leaves decides nothing, and makes room for another trial.
    trial.reset();
    edge.until("edge_requests_in_flight", 0).await;
    let mut trial = edge.client().await;
    trial.send("POST /trial HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    sick.wait_for(3).await;
    assert_eq!(edge.get("/").await.text(), "well");
    door.add_permits(9);
    assert_eq!(trial.response().await.text(), "well again");
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(edge.get("/").await.text(), "well again");
}

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

/// Whatever is wrong with the origin: a stored response that allows it stands in.
#[tokio::test]
async fn stale_responses_stand_in_for_every_kind_of_failure() {
    let mode = Arc::new(AtomicUsize::new(0));
    let kind = Arc::clone(&mode);
    let origin = Origin::start(move |_, mut wire| {
        let mode = kind.load(Ordering::SeqCst);
        async move {
            match mode {
                0 => {
                    wire.respond("200 OK\r\nCache-Control: max-age=1, stale-if-error=1000", "stored").await;
                    return (wire, After::Close);
                }
                1 => wire.reset(),
                2 => wire.until_closed().await,
                3 => {
                    wire.send(
                        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    )
                    .await
                }
                4 => wire.send("nonsense\r\n\r\n").await,
                5 => wire.send("HTTP/1.1 200 OK\r\nX: ").await,
                _ => wire.respond("500 Oh", "oh").await,
            }
            (wire, After::Close)
        }
    })
    .await;
    // The origin alone, and with a second one that is dead, so that both are ejected in the end.
    for others in [0, 1] {
        mode.store(0, Ordering::SeqCst);
        let mut group = vec![primary(origin.address)];
        for _ in 0..others {
            group.push(backup(nobody().await));
        }
        let edge = edge(group, |group| {
            group.limits.response = Duration::from_millis(100);
            group.ejection.failures = 2;
        })
        .await;
        assert_eq!(edge.get("/").await.text(), "stored");
        edge.advance(5);
        for (kind, errors) in [
            (1, &["connection_terminated", "http_response_incomplete", "connection_refused"][..]),
            (2, &["http_response_timeout"]),
            (3, &["http_protocol_error"]),
            (4, &["http_protocol_error"]),
            (5, &["http_response_incomplete"]),
            (6, &[]),
        ] {
            mode.store(kind, Ordering::SeqCst);
            let response = edge.get("/").await;
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "stored"),
                "{kind}, {others} others"
            );
            let said = response.cache_status();
            assert!(errors.is_empty() || errors.iter().any(|error| said.contains(error)), "{kind}: {said}");
            if kind == 5 && others > 0 {
                assert_eq!(states(&edge).await, ["ejected", "ejected"]);
            }
        }
    }
    // Refused: somebody who answers once, and is gone.
    let listener = listener().await;
    let edge = edge(vec![primary(listener.local_addr().expect("address"))], |_| {}).await;
    let answer = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-if-error=1000\r\nContent-Length: 6\r\n\r\nstored";
        let _ = stream.write_all(text.as_bytes()).await;
    };
    let (first, ()) = tokio::join!(edge.get("/"), answer);
    assert_eq!(first.text(), "stored");
    drop(listener);
    edge.advance(5);
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "stored"));
    assert!(response.proxy_status().contains("connection_refused"), "{}", response.proxy_status());
}

#[tokio::test]
async fn requests_go_where_the_configuration_says() {
    let (elsewhere, origin) = (named("elsewhere").await, {
        Origin::start(|_, mut wire| async move {
            let to = "302 Found\r\nLocation: http://127.0.0.1:1/\r\nCache-Control: no-store";
            wire.respond(to, "origin").await;
            (wire, After::Keep)
        })
        .await
    });
    let edge = edge(vec![primary(origin.address)], |_| {}).await;
    let other = elsewhere.address;
    for head in [
        format!("GET http://{other}/ HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: {other}\r\nForwarded: host={other}\r\n\r\n"),
    ] {
        let mut client = edge.client().await;
        client.send(&head).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text().as_str()), (302, "origin"), "{head}");
    }
    assert_eq!((origin.requests(), elsewhere.requests()), (3, 0), "nor is a redirect followed");
}

#[tokio::test]
async fn a_client_that_spoils_its_request_tells_nothing_about_the_origin() {
    let origin = named("page").await;
    let other = named("other").await;
    let edge =
        edge(vec![primary(origin.address), backup(other.address)], |group| group.ejection.failures = 1).await;
    for _ in 0..5 {
        let mut client = edge.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        client.send("what?\r\n").await;
        assert_eq!(client.response().await.status, 400);
    }
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(edge.get("/").await.text(), "page");
}
