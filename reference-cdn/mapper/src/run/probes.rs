//! Asks servers as a client would: connects, downloads, checks status and octets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Shared;
use super::config::Probe;
use super::keeper::Order;
use crate::network::Features;

/// Longest content that is downloaded.
const LONGEST: usize = 16 << 20;

/// Probes the servers of the map in use, again and again. `kind` is the number of the probe in the configuration.
pub(super) async fn run(kind: usize, probe: Probe, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(probe.at_once.max(1)));
    let mut ticks = tokio::time::interval(Duration::from_secs(probe.every.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let probe = Arc::new(probe);
    // What came of the last one, so that a change is logged once.
    let mut known: HashMap<String, bool> = HashMap::new();
    loop {
        ticks.tick().await;
        let map = shared.published.current();
        let network = &map.network;
        let needs: Features = network
            .features
            .iter()
            .zip(0..)
            .filter(|(feature, _)| probe.needs.contains(feature))
            .map(|(_, bit)| 1 << bit)
            .sum();
        let mut round = JoinSet::new();
        for (server, name) in network.servers.iter().zip(&network.server_names) {
            let site = network.sites.get(server.site.0 as usize).map_or("", |site| site.name.as_str());
            let meant = probe.sites.is_empty() || probe.sites.iter().any(|known| known == site);
            let address = server.v4.map(IpAddr::V4).or(server.v6.map(IpAddr::V6));
            let Some(address) = address.filter(|_| meant && server.features & needs == needs) else {
                continue;
            };
            let (name, probe, room) = (name.clone(), Arc::clone(&probe), Arc::clone(&room));
            round.spawn(async move {
                let _permit = room.acquire_owned().await;
                let asked = ask(&probe, SocketAddr::new(address, probe.port));
                let within = tokio::time::timeout(Duration::from_millis(probe.timeout), asked);
                let outcome =
                    within.await.unwrap_or_else(|_| Err(format!("took longer than {} ms", probe.timeout)));
                (name, outcome)
            });
        }
        drop(map);
        while let Some(ended) = round.join_next().await {
            let Ok((server, outcome)) = ended else { continue };
            let succeeded = outcome.is_ok();
            if known.insert(server.clone(), succeeded).unwrap_or(true) != succeeded {
                match &outcome {
                    Ok(()) => tracing::info!(server, "the probe succeeds again"),
                    Err(why) => tracing::warn!(server, "the probe fails: {why}"),
                }
            }
            if shared.orders.send(Order::Probed { server, kind, succeeded }).await.is_err() {
                return;
            }
        }
    }
}

/// One download.
async fn ask(probe: &Probe, server: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(server).await.map_err(|error| format!("cannot connect: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let result = download(probe, &mut sender).await;
    driver.abort();
    result
}

async fn download(
    probe: &Probe,
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
) -> Result<(), String> {
    let request = Request::get(&probe.path)
        .header(header::HOST, &probe.host)
        .header(header::USER_AGENT, "reference-cdn-probe")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status().as_u16() != probe.status {
        return Err(format!("status {} in place of {}", response.status().as_u16(), probe.status));
    }
    let mut content = response.into_body();
    let mut digest = Context::new(&SHA256);
    let mut length = 0;
    while let Some(frame) = content.frame().await {
        let frame = frame.map_err(|error| format!("content broke off after {length} octets: {error}"))?;
        if let Some(octets) = frame.data_ref() {
            length += octets.len();
            digest.update(octets);
        }
        if length > LONGEST {
            return Err(format!("content is longer than {LONGEST} octets"));
        }
    }
    let found: String = digest.finish().as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    match &probe.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&found) => {
            Err(format!("other content: SHA-256 {found} in place of {expected}"))
        }
        _ => Ok(()),
    }
}
