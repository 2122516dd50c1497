//! Asks servers as a client would, at each of their addresses: connects, downloads, checks status and octets.
//!
//! A server is well when it is at all of its addresses: an answer for either family may name it. See the README's decisions.

mod believed;
mod download;

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use self::believed::{Asked, Known, Round};
pub(super) use self::download::has_way;
use self::download::outcome;
use super::Shared;
use super::config::Probe;
use crate::network::{Family, Features, Network};

/// A server that is asked in a round.
struct Meant {
    server: String,
    address: IpAddr,
    /// Whether it has an address of the other family too.
    both: bool,
}

/// Probes the servers of the map in use, again and again, each at each of its addresses. `kind` is the number of the probe in the
/// configuration. Neither family waits for the other.
pub(super) async fn run(kind: usize, probe: Probe, shared: Arc<Shared>) {
    let probe = Arc::new(probe);
    let known = Mutex::new(Known::new(kind, shared.orders.clone()));
    tokio::select! {
        _ = rounds(Family::V4, &probe, &shared, &known) => {}
        _ = rounds(Family::V6, &probe, &shared, &known) => {}
    }
}

/// Ends with none when there is no keeper any more.
async fn rounds(
    family: Family,
    probe: &Arc<Probe>,
    shared: &Shared,
    known: &Mutex<Known>,
) -> Option<Infallible> {
    let room = Arc::new(Semaphore::new(probe.at_once.max(1)));
    let mut ticks = tokio::time::interval(Duration::from_secs(probe.every.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let map = shared.published.current();
        let mut asking = JoinSet::new();
        let mut servers = HashSet::new();
        let mut round = Round::default();
        for Meant { server, address, both } in meant(probe, &map.network, family) {
            servers.insert(server.clone());
            round.doubt.asked += usize::from(both);
            let (probe, room) = (Arc::clone(probe), Arc::clone(&room));
            asking.spawn(async move {
                let _permit = room.acquire_owned().await;
                (Asked { server, family }, both, outcome(&probe, SocketAddr::new(address, probe.port)).await)
            });
        }
        drop(map);
        while let Some(ended) = asking.join_next().await {
            let Ok((asked, both, outcome)) = ended else { continue };
            known.lock().await.take(&mut round, asked, both, outcome).await?;
        }
        let mut known = known.lock().await;
        known.end_round(family, &round);
        known.forget_but(family, &servers).await?;
    }
}

/// Whom a probe asks over a family, and where.
fn meant(probe: &Probe, network: &Network, family: Family) -> impl Iterator<Item = Meant> {
    let bits = network.features.iter().zip(0..);
    let needs: Features =
        bits.filter(|(feature, _)| probe.needs.contains(feature)).map(|(_, bit)| 1 << bit).sum();
    let servers = network.servers.iter().zip(&network.server_names);
    let meant = servers.filter(move |(server, _)| {
        let site = network.sites.get(server.site.0 as usize).map_or("", |site| site.name.as_str());
        let there = probe.sites.is_empty() || probe.sites.iter().any(|known| known == site);
        there && server.features & needs == needs
    });
    meant.filter_map(move |(server, name)| {
        let address = family.address(server);
        let both = server.v4.is_some() && server.v6.is_some();
        Some(Meant { server: name.clone(), address: address?, both })
    })
}
