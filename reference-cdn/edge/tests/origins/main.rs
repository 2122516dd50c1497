//! Several origins: shares, health, failover, retries, and the bounds of their pools.

mod connections;
mod ejection;
mod probes;
mod retries;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use edge::{Config, OriginConfig, OriginGroupConfig, Role};
use support::{After, Client, Origin, TOKEN, TestEdge};
use tokio::net::TcpListener;

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

async fn edge_of(addresses: &[SocketAddr], change: impl FnOnce(&mut OriginGroupConfig)) -> TestEdge {
    edge(addresses.iter().map(|address| primary(*address)).collect(), change).await
}
