//! Asks low-level name servers whether they answer, as the top level's resolvers will.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use hickory_net::client::{Client, ClientHandle as _};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use tokio::task::JoinSet;

use super::Shared;
use super::config::NameProbe;
use super::keeper::Order;

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
    // What came of the last round, so that a change is logged once.
    let mut known: HashMap<String, bool> = HashMap::new();
    loop {
        ticks.tick().await;
        let map = shared.published.current();
        let mut round = JoinSet::new();
        for site in map.network.sites.iter().filter(|site| !site.name_servers.is_empty()) {
            let addresses = site.name_servers.iter().filter_map(|server| {
                let address = server.v4.map(IpAddr::V4).or(server.v6.map(IpAddr::V6))?;
                Some(SocketAddr::new(address, probe.port))
            });
            let (name, zone, addresses) = (site.name.clone(), zone.clone(), addresses.collect::<Vec<_>>());
            round.spawn(async move {
                // One that answers is enough: resolvers go on to the next.
                for address in addresses {
                    if answers(address, zone.clone(), Duration::from_millis(probe.timeout)).await {
                        return (name, true);
                    }
                }
                (name, false)
            });
        }
        drop(map);
        while let Some(ended) = round.join_next().await {
            let Ok((site, succeeded)) = ended else { continue };
            if known.insert(site.clone(), succeeded).unwrap_or(true) != succeeded {
                if succeeded {
                    tracing::info!(site, "a name server of the site answers again");
                } else {
                    tracing::warn!(site, "no name server of the site answers");
                }
            }
            if shared.orders.send(Order::NamesProbed { site, succeeded }).await.is_err() {
                return;
            }
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
