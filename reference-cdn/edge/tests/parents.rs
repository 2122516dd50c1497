//! Edges in front of edges: one parent for each key, straight to the origin without any, and no loops.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use edge::{Config, OriginConfig, ProbeConfig, Protocol, Role, Thresholds};
use support::{After, Origin, TestEdge, pattern, soon};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";
const SOON: Duration = Duration::from_millis(20);

/// The first value of a metric.
fn value(edge: &TestEdge, name: &str) -> u64 {
    let samples = edge.edge.samples();
    samples.iter().find(|sample| sample.name == name).expect("metric").value
}

fn at(address: SocketAddr, role: Role) -> OriginConfig {
    OriginConfig { role, ..OriginConfig::new(address.to_string().parse().expect("authority")) }
}

/// An edge with an id, which may have tiers below.
async fn edge(
    id: &str,
    tiers_below: u32,
    origins: Vec<OriginConfig>,
    change: impl FnOnce(&mut Config),
) -> TestEdge {
    let any = SocketAddr::from(([127, 0, 0, 1], 9));
    TestEdge::with(any, |config: &mut Config| {
        let customer = &mut config.customers[0];
        customer.origin.origins = origins;
        customer.settings.edge = (!id.is_empty()).then(|| id.to_owned());
        customer.settings.tiers_below = tiers_below;
        change(config);
    })
    .await
}

#[tokio::test]
async fn a_key_has_one_parent_whichever_edge_asks() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let mut parents = Vec::new();
    for n in 0..3 {
        parents.push(edge(&format!("parent-{n}"), 1, vec![at(origin.address, Role::Primary)], |_| {}).await);
    }
    let mut group: Vec<_> = parents.iter().map(|parent| at(parent.address, Role::Parent)).collect();
    group.push(at(origin.address, Role::Primary));
    let mut children = Vec::new();
    for n in 0..4 {
        group.rotate_left(1);
        children.push(edge(&format!("child-{n}"), 0, group.clone(), |_| {}).await);
    }
    for child in &children {
        for n in 0..30 {
            let response = child.get(&format!("/{n}")).await;
            assert_eq!((response.status, response.text().as_str()), (200, "page"));
        }
    }
    assert_eq!(origin.requests(), 30, "four edges, one fetch for each key");
    let shares: Vec<u64> = parents.iter().map(|parent| parent.metric("edge_store_objects")).collect();
    assert_eq!(shares.iter().sum::<u64>(), 30);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    let seen = &origin.seen()[0];
    assert_eq!(seen.field("host"), Some("site.test"));
    let passed: Vec<_> =
        seen.fields.iter().filter(|(name, _)| name == "Cdn-Loop").map(|(_, it)| it).collect();
    assert!(passed.len() == 2 && passed[0] == "reference-cdn;edge=child-0", "{passed:?}");
}

#[tokio::test]
async fn parents_can_be_asked_over_http2() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
        wire.respond(PAGE, pattern(300_000)).await;
        (wire, After::Keep)
    })
    .await;
    let parent = edge("parent", 1, vec![at(origin.address, Role::Primary)], |_| {}).await;
    let above = OriginConfig { protocol: Protocol::H2, ..at(parent.address, Role::Parent) };
    let child = edge("child", 0, vec![above], |config| {
        config.customers[0].origin.probe =
            Some(ProbeConfig { path: "*".into(), interval: SOON, ..ProbeConfig::default() });
    })
    .await;
    let response = child.get("/").await;
    assert_eq!((response.status, response.interim.len()), (200, 1), "{}", response.cache_status());
    assert!(response.body == pattern(300_000));
    assert_eq!(child.get("/").await.body.len(), 300_000);
    assert_eq!(origin.requests(), 1);
    soon("probes", async {
        while value(&child, "edge_origin_probes_total") < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(value(&child, "edge_origin_probes_failed_total"), 0);
}

#[tokio::test]
async fn a_dead_parents_keys_move_to_the_others_and_without_parents_to_the_origin() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let mut parents = BTreeMap::new();
    for n in 0..3 {
        let parent = edge(&format!("parent-{n}"), 1, vec![at(origin.address, Role::Primary)], |_| {}).await;
        parents.insert(n, parent);
    }
    let mut group: Vec<_> = parents.values().map(|parent| at(parent.address, Role::Parent)).collect();
    group.push(at(origin.address, Role::Primary));
    // Stores nothing itself, so that every request goes up.
    let child = edge("child", 0, group, |config| config.store.object = 0).await;
    let holders = |parents: &BTreeMap<i32, TestEdge>| -> BTreeMap<i32, u64> {
        parents.iter().map(|(n, parent)| (*n, parent.metric("edge_store_objects"))).collect()
    };
    let all = async || {
        for n in 0..30 {
            let response = child.get(&format!("/{n}")).await;
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "page"),
                "{}",
                response.cache_status()
            );
        }
    };
    all().await;
    let before = holders(&parents);
    assert_eq!(before.values().sum::<u64>(), 30);
    let moved = before[&0];
    drop(parents.remove(&0));
    all().await;
    let after = holders(&parents);
    assert_eq!(after.values().sum::<u64>(), 30, "its keys have new parents");
    assert_eq!(origin.requests() as u64, 30 + moved, "the others kept theirs");
    drop(parents);
    let asked = origin.requests();
    all().await;
    assert_eq!(origin.requests(), asked + 30, "straight to the origin");
}

#[tokio::test]
async fn an_origin_can_be_kept_for_parents_alone() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let group = vec![at(nobody().await, Role::Parent), at(origin.address, Role::Primary)];
    let child = edge("child", 0, group, |config| {
        config.customers[0].origin.parents.origins_without_parents = false;
    })
    .await;
    for _ in 0..8 {
        assert_eq!(child.get("/").await.status, 502);
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn what_everybody_wants_is_shared_among_parents() {
    let door = Arc::new(Semaphore::new(0));
    let mut parents = Vec::new();
    for _ in 0..3 {
        let opened = Arc::clone(&door);
        let parent = Origin::start(move |_, mut wire| {
            let opened = Arc::clone(&opened);
            async move {
                opened.acquire().await.expect("open").forget();
                wire.respond("200 OK\r\nCache-Control: no-store", "page").await;
                (wire, After::Keep)
            }
        });
        parents.push(parent.await);
    }
    let group = parents.iter().map(|parent| at(parent.address, Role::Parent)).collect();
    let child = edge("child", 0, group, |config| config.customers[0].origin.parents.bound.floor = 1).await;
    let mut clients = Vec::new();
    for n in 1..=30 {
        let mut client = child.client().await;
        // A POST is for itself alone: all thirty go up.
        client.send("POST /popular HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n").await;
        clients.push(client);
        soon("the request", async {
            while parents.iter().map(Origin::requests).sum::<usize>() < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    let counts: Vec<usize> = parents.iter().map(Origin::requests).collect();
    // A quarter more than the average of ten, rounded up.
    assert!(counts.iter().all(|count| (1..=13).contains(count)), "{counts:?}");
    door.add_permits(30);
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "page");
    }
    // With nothing else in flight, a key is at home.
    let before: Vec<usize> = parents.iter().map(Origin::requests).collect();
    door.add_permits(10);
    for _ in 0..10 {
        child.exchange("POST", "/popular", "Content-Length: 0\r\n").await;
    }
    let rises: Vec<usize> =
        parents.iter().zip(before).map(|(parent, before)| parent.requests() - before).collect();
    assert!(rises.contains(&10), "{rises:?}");
}

/// An address where nobody listens, and that no other test can take.
async fn nobody() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = COUNT.fetch_add(1, Ordering::SeqCst).to_be_bytes();
    let listener = TcpListener::bind(SocketAddr::from(([127, 67, high, low], 0))).await.expect("bind");
    listener.local_addr().expect("address")
}

/// Edges in a ring, each the origin of the one before it: their addresses have to be known before they are made.
async fn ring(ids: &[&str], tiers_below: u32) -> Vec<TestEdge> {
    let mut addresses = Vec::new();
    for _ in ids {
        addresses.push(nobody().await);
    }
    let mut edges = Vec::new();
    for (n, id) in ids.iter().enumerate() {
        let (own, next) = (addresses[n], addresses[(n + 1) % ids.len()]);
        let parent = vec![at(next, Role::Parent)];
        let change = |config: &mut Config| {
            config.listen = Some(own);
            config.customers[0].origin.limits.response = Duration::from_secs(1);
        };
        edges.push(edge(id, tiers_below, parent, change).await);
    }
    edges
}

#[tokio::test]
async fn loops_are_stopped_with_and_without_tiers() {
    for (ids, tiers, hops) in [
        // By the name alone: the second edge refuses.
        (&["", ""][..], 0, 1),
        (&["a", "b"], 0, 1),
        (&["", "", ""], 0, 1),
        // Tiers allow a parent; the ring is found where it closes.
        (&["a", "b"], 1, 2),
        (&["a", "b"], 5, 2),
        (&["a", "b", "c"], 5, 3),
        // By the number of tiers, where ids say nothing.
        (&["", "", ""], 2, 3),
        (&["a", "b", "c"], 1, 2),
    ] {
        let edges = ring(ids, tiers).await;
        let response = edges[0].get("/").await;
        assert_eq!(response.status, 508, "{ids:?} {tiers}: {}", response.cache_status());
        let passed: u64 = edges.iter().map(|edge| edge.metric("edge_origin_requests_total")).sum();
        assert_eq!(passed, hops, "{ids:?}, {tiers} tiers below");
    }
}

/// Without ids, and with more tiers allowed than edges in the ring, the request comes back as one that waits for the fetch
/// made for itself. That ends too; the program asks for ids where there are tiers, so that it never begins.
#[tokio::test]
async fn a_ring_without_ids_that_waits_for_itself_ends_in_time() {
    let edges = ring(&["", ""], 4).await;
    let began = tokio::time::Instant::now();
    let mut client = edges[0].client().await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let response = client.response().await;
    assert!(matches!(response.status, 502 | 504), "{}", response.cache_status());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_parent_is_refused_where_no_tier_is_expected() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let parent = edge("parent", 0, vec![at(origin.address, Role::Primary)], |_| {}).await;
    let child = edge("child", 0, vec![at(parent.address, Role::Parent)], |_| {}).await;
    assert_eq!(child.get("/").await.status, 508);
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn parents_are_probed_without_asking_their_origin() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let parent = edge("parent", 1, vec![at(origin.address, Role::Primary)], |_| {}).await;
    let child = edge("child", 0, vec![at(parent.address, Role::Parent)], |config| {
        config.customers[0].origin.probe = Some(ProbeConfig {
            path: "*".into(),
            interval: SOON,
            thresholds: Thresholds { up: 1, down: 1 },
            ..ProbeConfig::default()
        });
    })
    .await;
    let value = |name| value(&child, name);
    soon("probes", async {
        while value("edge_origin_probes_total") < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        (value("edge_origin_probes_failed_total"), value("edge_origin_up"), origin.requests()),
        (0, 1, 0)
    );
    drop(parent);
    soon("it to be down", async {
        while value("edge_origin_up") != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
