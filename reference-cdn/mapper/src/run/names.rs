//! Asks low-level name servers whether they answer, as the top level's resolvers will: each at each of its addresses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hickory_net::client::{Client, ClientHandle as _};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Shared;
use super::config::NameProbe;
use super::keeper::Order;
use super::probes::has_way;

/// Questions that wait for their answer at once, each with a socket of its own.
const AT_ONCE: usize = 256;

/// Asks all of them, again and again.
pub(super) async fn run(probe: NameProbe, zone: String, shared: Arc<Shared>) {
    let zone = match Name::from_str(&format!("{zone}.")) {
        Ok(zone) => zone,
        Err(error) => {
            tracing::warn!(%error, "name servers cannot be probed for zone {zone}");
            return;
        }
    };
    let mut ticks = tokio::time::interval(Duration::from_secs(probe.every.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    // What came of the last round, so that a change is logged once.
    let mut known = Known::default();
    loop {
        ticks.tick().await;
        let map = shared.published.current();
        let mut round = JoinSet::new();
        let mut asked = HashSet::new();
        for site in map.network.sites.iter().filter(|site| !site.name_servers.is_empty()) {
            let addresses = site.name_servers.iter().flat_map(|server| {
                let both = [server.v4.map(IpAddr::V4), server.v6.map(IpAddr::V6)];
                both.into_iter().flatten().map(|address| SocketAddr::new(address, probe.port))
            });
            // Of what cannot be asked from here nothing is known.
            for address in addresses.filter(|address| has_way(*address)) {
                asked.insert(address);
                let (site, zone, room) = (site.name.clone(), zone.clone(), Arc::clone(&room));
                round.spawn(async move {
                    let _permit = room.acquire_owned().await;
                    (site, address, answers(address, zone, Duration::from_millis(probe.timeout)).await)
                });
            }
        }
        drop(map);
        let mut sites: HashMap<String, bool> = HashMap::new();
        while let Some(ended) = round.join_next().await {
            let Ok((site, address, answers)) = ended else { continue };
            known.note_address(&site, address, answers);
            // One that answers is enough: resolvers go on to the next.
            *sites.entry(site).or_default() |= answers;
        }
        if known.tell(&shared.orders, sites).await.is_none() {
            return;
        }
        known.addresses.retain(|address, _| asked.contains(address));
    }
}

#[derive(Debug, Default)]
struct Known {
    sites: HashMap<String, bool>,
    addresses: HashMap<SocketAddr, bool>,
}

impl Known {
    /// Tells the keeper what came of a round, and takes back what it was told of sites that could not be asked at any address; none if
    /// there is no keeper any more.
    async fn tell(&mut self, orders: &mpsc::Sender<Order>, sites: HashMap<String, bool>) -> Option<()> {
        let gone: Vec<String> =
            self.sites.keys().filter(|site| !sites.contains_key(*site)).cloned().collect();
        for site in gone {
            self.sites.remove(&site);
            orders.send(Order::NamesUnprobed { site }).await.ok()?;
        }
        for (site, succeeded) in sites {
            self.note_site(&site, succeeded);
            orders.send(Order::NamesProbed { site, succeeded }).await.ok()?;
        }
        Some(())
    }

    fn note_address(&mut self, site: &str, address: SocketAddr, answers: bool) {
        let address_text = address.ip().to_string();
        match (self.addresses.insert(address, answers).unwrap_or(true), answers) {
            (true, false) => tracing::warn!(
                site,
                address = address_text,
                "the name server does not answer at this address"
            ),
            (false, true) => tracing::info!(site, address = address_text, "the name server answers again"),
            _ => {}
        }
    }

    fn note_site(&mut self, site: &str, succeeded: bool) {
        match (self.sites.insert(site.to_owned(), succeeded).unwrap_or(true), succeeded) {
            (true, false) => tracing::warn!(site, "no name server of the site answers"),
            (false, true) => tracing::info!(site, "a name server of the site answers again"),
            _ => {}
        }
    }
}

/// Whether a server is authoritative for a zone and says so in time.
async fn answers(server: SocketAddr, zone: Name, time: Duration) -> bool {
    let stream = UdpClientStream::builder(server, TokioRuntimeProvider::default())
        .with_timeout(Some(time))
        .with_max_retries(1)
        .build();
    let (mut client, background) = Client::<TokioRuntimeProvider>::from_sender(stream);
    let background = tokio::spawn(background);
    let asked = client.query(zone, DNSClass::IN, RecordType::SOA);
    let answered = tokio::time::timeout(time, asked).await;
    background.abort();
    answered.is_ok_and(|answer| {
        answer.is_ok_and(|answer| answer.metadata.authoritative && !answer.answers.is_empty())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn what_is_known_of_a_site_is_taken_back_when_it_cannot_be_asked_any_more() {
        let (orders, mut inbox) = mpsc::channel(10);
        let mut known = Known::default();
        known.tell(&orders, HashMap::from([("ams".to_owned(), false)])).await.unwrap();
        assert!(matches!(inbox.try_recv(), Ok(Order::NamesProbed { succeeded: false, .. })));
        for _ in 0..2 {
            known.tell(&orders, HashMap::new()).await.unwrap();
        }
        assert!(matches!(inbox.try_recv(), Ok(Order::NamesUnprobed { site }) if site == "ams"));
        assert!(inbox.try_recv().is_err() && known.sites.is_empty());
    }
}
