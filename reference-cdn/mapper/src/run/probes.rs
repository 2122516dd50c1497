//! Asks servers as a client would, at each of their addresses: connects, downloads, checks status and octets.
//!
//! A server is well when it is at all of its addresses: an answer for either family may name it. See the README's decisions.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
use crate::network::{Features, Network};

/// Longest content that is downloaded.
const LONGEST: usize = 16 << 20;

/// When probes of one family fail at so many thousandths of the servers that they ask, and those of the other do not, the way of that
/// family from here is taken to be broken. Where it really is broken at all servers, nothing is lost: there would be nobody else to name.
const MOST_FAILED: usize = 800;

/// A server, and at which of its addresses it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    server: String,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

impl Family {
    const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

enum Outcome {
    Right,
    Wrong(String),
    /// This machine cannot send there.
    NoWay,
}

/// What came of the probes of one family in a round.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    asked: usize,
    failed: usize,
}

impl Tally {
    fn nearly_all_failed(self) -> bool {
        self.failed > 1 && self.failed * 1000 > self.asked * MOST_FAILED
    }
}

/// For each family, whether its failures are believed to be of the way from here.
fn cut_off([v4, v6]: [Tally; 2]) -> [bool; 2] {
    let only = |one: Tally, other: Tally| {
        one.nearly_all_failed() && other.failed < other.asked && !other.nearly_all_failed()
    };
    [only(v4, v6), only(v6, v4)]
}

/// Probes the servers of the map in use, again and again, each at each of its addresses. `kind` is the number of the probe in the
/// configuration.
pub(super) async fn run(kind: usize, probe: Probe, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(probe.at_once.max(1)));
    let mut ticks = tokio::time::interval(Duration::from_secs(probe.every.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let probe = Arc::new(probe);
    let mut known = Known { kind, succeeded: HashMap::new(), doubtful: [false; 2], no_way: [false; 2] };
    loop {
        ticks.tick().await;
        let map = shared.published.current();
        let mut round = JoinSet::new();
        let mut asking = HashSet::new();
        for (asked, address) in meant(&probe, &map.network) {
            asking.insert(asked.clone());
            let (probe, room) = (Arc::clone(&probe), Arc::clone(&room));
            round.spawn(async move {
                let _permit = room.acquire_owned().await;
                (asked, outcome(&probe, SocketAddr::new(address, probe.port)).await)
            });
        }
        drop(map);
        let mut tallies = [Tally::default(); 2];
        let mut no_way = [false; 2];
        let mut failed = Vec::new();
        while let Some(ended) = round.join_next().await {
            let Ok((asked, outcome)) = ended else { continue };
            let family = asked.family as usize;
            tallies[family].asked += usize::from(!matches!(outcome, Outcome::NoWay));
            match outcome {
                Outcome::Right => {
                    if known.tell(&shared, asked, Ok(())).await.is_none() {
                        return;
                    }
                }
                // What to make of it is known when all have been asked.
                Outcome::Wrong(why) => {
                    tallies[family].failed += 1;
                    failed.push((asked, why));
                }
                Outcome::NoWay => no_way[family] = true,
            }
        }
        known.doubt(cut_off(tallies), no_way);
        failed.retain(|(asked, _)| !known.doubtful[asked.family as usize]);
        for (asked, why) in failed {
            if known.tell(&shared, asked, Err(why)).await.is_none() {
                return;
            }
        }
        if known.forget_but(&shared, &asking).await.is_none() {
            return;
        }
    }
}

/// Whom a probe asks, and where.
fn meant(probe: &Probe, network: &Network) -> impl Iterator<Item = (Asked, IpAddr)> {
    let bits = network.features.iter().zip(0..);
    let needs: Features =
        bits.filter(|(feature, _)| probe.needs.contains(feature)).map(|(_, bit)| 1 << bit).sum();
    let servers = network.servers.iter().zip(&network.server_names);
    let meant = servers.filter(move |(server, _)| {
        let site = network.sites.get(server.site.0 as usize).map_or("", |site| site.name.as_str());
        let there = probe.sites.is_empty() || probe.sites.iter().any(|known| known == site);
        there && server.features & needs == needs
    });
    meant.flat_map(|(server, name)| {
        let addresses = [server.v4.map(IpAddr::V4), server.v6.map(IpAddr::V6)];
        let both = Family::ALL.into_iter().zip(addresses);
        both.filter_map(|(family, address)| Some((Asked { server: name.clone(), family }, address?)))
    })
}

/// What came of the last probes, so that a change is logged once.
struct Known {
    kind: usize,
    succeeded: HashMap<Asked, bool>,
    doubtful: [bool; 2],
    no_way: [bool; 2],
}

impl Known {
    /// Families are counted apart, as kinds of probes are.
    fn kind(&self, family: Family) -> usize {
        self.kind * Family::ALL.len() + family as usize
    }

    /// Tells the keeper; none if there is no keeper any more.
    async fn tell(&mut self, shared: &Shared, asked: Asked, outcome: Result<(), String>) -> Option<()> {
        let succeeded = outcome.is_ok();
        let (kind, server) = (self.kind(asked.family), asked.server.clone());
        let family = asked.family.name();
        if self.succeeded.insert(asked, succeeded).unwrap_or(true) != succeeded {
            match outcome {
                Ok(()) => tracing::info!(server, "the probe over {family} succeeds again"),
                Err(why) => tracing::warn!(server, "the probe over {family} fails: {why}"),
            }
        }
        shared.orders.send(Order::Probed { server, kind, succeeded }).await.ok()
    }

    /// Notes which families cannot be believed, or not be asked.
    fn doubt(&mut self, doubtful: [bool; 2], no_way: [bool; 2]) {
        for (at, family) in Family::ALL.into_iter().enumerate() {
            let family = family.name();
            match (self.doubtful[at], doubtful[at]) {
                (false, true) => tracing::warn!(
                    "probes over {family} fail nearly everywhere and others do not: they are not believed; is {family} broken here, or at \
                     all servers?"
                ),
                (true, false) => tracing::info!("probes over {family} are believed again"),
                _ => {}
            }
            if no_way[at] && !self.no_way[at] {
                tracing::warn!(
                    "this machine has no way to some servers over {family}: whether they answer there is not known; give it {family}"
                );
            }
        }
        (self.doubtful, self.no_way) = (doubtful, no_way);
    }

    /// Takes back what is known of addresses that are not asked any more.
    async fn forget_but(&mut self, shared: &Shared, asking: &HashSet<Asked>) -> Option<()> {
        let gone: Vec<Asked> =
            self.succeeded.keys().filter(|asked| !asking.contains(*asked)).cloned().collect();
        for asked in gone {
            self.succeeded.remove(&asked);
            let kind = self.kind(asked.family);
            shared.orders.send(Order::Unprobed { server: asked.server, kind }).await.ok()?;
        }
        Some(())
    }
}

async fn outcome(probe: &Probe, server: SocketAddr) -> Outcome {
    let within = tokio::time::timeout(Duration::from_millis(probe.timeout), ask(probe, server)).await;
    match within {
        Ok(Ok(())) => Outcome::Right,
        Ok(Err(_)) if !has_way(server) => Outcome::NoWay,
        Ok(Err(why)) => Outcome::Wrong(why),
        Err(_) => Outcome::Wrong(format!("took longer than {} ms", probe.timeout)),
    }
}

/// Whether this machine has a route and an address of its own for a destination. Nothing is sent.
pub(super) fn has_way(to: SocketAddr) -> bool {
    let own: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Where no socket can be had at all, it is not known.
    match std::net::UdpSocket::bind((own, 0)) {
        Ok(socket) => !socket.connect(to).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable)
        }),
        Err(error) => error.raw_os_error() != Some(nix::libc::EAFNOSUPPORT),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_that_fails_nearly_everywhere_is_a_fault_of_the_way() {
        let tally = |asked, failed| Tally { asked, failed };
        for (v4, v6, expected) in [
            (tally(9, 0), tally(9, 9), [false, true]),
            (tally(9, 9), tally(9, 1), [true, false]),
            (tally(9, 0), tally(9, 7), [false, false]),
            // One server alone may well have lost it.
            (tally(9, 0), tally(1, 1), [false, false]),
            // Where both fail, or the other says nothing, servers may be down.
            (tally(9, 9), tally(9, 9), [false, false]),
            (tally(9, 9), tally(0, 0), [false, false]),
            (tally(1, 1), tally(9, 9), [false, false]),
            (tally(0, 0), tally(0, 0), [false, false]),
        ] {
            assert_eq!(cut_off([v4, v6]), expected, "{v4:?} {v6:?}");
        }
    }

    #[test]
    fn there_is_a_way_to_this_machine() {
        assert!(has_way(SocketAddr::from(([127, 0, 0, 1], 1))));
    }
}
