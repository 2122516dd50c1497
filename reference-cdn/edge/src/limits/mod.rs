//! Limits on clients and customers: what keeps one of them from taking what is there for all.
//!
//! What one connection may cost is bounded by [`ConnectionLimits`](crate::client::ConnectionLimits). Here is
//! what one client may have over all its connections, and one customer over all its clients.

mod bucket;
mod clients;
mod connections;
pub mod forwarded;
mod load;
mod prefix;
mod reached;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use http_cache::Time;

pub use bucket::Rate;
use clients::{ClientKey, Clients, Taken};
use connections::Connections;
pub use connections::OpenConnection;
pub use load::{InFlight, Load};
pub use prefix::{Lengths, Prefix, PrefixError};
pub use reached::Limit;

use crate::metrics::Metrics;

/// The customer of requests for a host that nobody has.
pub const NOBODY: u32 = u32::MAX;
/// How soon whoever meets a customer with too many requests in flight may try again.
const BUSY: Duration = Duration::from_secs(1);

/// What clients may have. A client is an address, or all addresses with the same first bits.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Connections open at once; 0: no limit.
    pub connections: u32,
    /// Bits of an address that tell one client from another.
    pub lengths: Lengths,
    /// Clients whose requests are counted at one time.
    pub remembered: usize,
    /// Who is not limited.
    pub exempt: Vec<Prefix>,
    /// Proxies in front of this edge: their clients are limited, as X-Forwarded-For names them.
    pub proxies: Vec<Prefix>,
}

/// What requests for one customer may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustomerLimits {
    /// Requests of one client.
    pub client_rate: Rate,
    /// Requests of all.
    pub rate: Rate,
    /// Requests being answered; 0: no limit.
    pub in_flight: u32,
}

/// A request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub limit: Limit,
    /// Until there is room for one.
    pub wait: Duration,
}

impl Refused {
    /// 429 blames the client (RFC 6585 section 4). Where others use up what a customer may have, it is not to blame.
    pub fn status(&self) -> StatusCode {
        match self.limit {
            Limit::ClientRate => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn text(&self) -> &'static str {
        match self.limit {
            Limit::ClientRate => "too many requests from this address; try again later",
            _ => "too many requests for this site at the moment; try again later",
        }
    }

    /// For Retry-After: whole seconds, so that nobody comes too early.
    pub fn retry_after(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)
    }
}

/// The edge's limits on clients.
#[derive(Debug)]
pub struct Limits {
    config: ClientLimits,
    /// What requests for hosts that nobody has may take.
    nobody: Rate,
    /// `None` where no rate is limited.
    clients: Option<Clients>,
    connections: Arc<Connections>,
}

impl Limits {
    /// `nobody`: what a client may ask of hosts that nobody has. `rates`: those of the customers.
    pub fn new(config: ClientLimits, nobody: Rate, rates: impl IntoIterator<Item = Rate>) -> Self {
        let limited = nobody.is_limited() || rates.into_iter().any(Rate::is_limited);
        let clients = limited.then(|| Clients::new(config.remembered));
        Self { config, nobody, clients, connections: Arc::default() }
    }

    /// A connection from `peer`, which counts until what is given is dropped.
    ///
    /// # Errors
    /// When its client has as many as it may.
    pub fn connection(&self, peer: IpAddr) -> Result<Option<OpenConnection>, Limit> {
        let most = self.config.connections;
        // A proxy's connections carry the requests of many.
        if most == 0 || among(&self.config.exempt, peer) || among(&self.config.proxies, peer) {
            return Ok(None);
        }
        let network = self.config.lengths.network(peer);
        self.connections.open(network, most).map(Some).ok_or(Limit::ClientConnections)
    }

    /// A request from `peer` for a customer, which counts as in flight until what is given is dropped.
    ///
    /// # Errors
    /// When its client or the customer has had as many as they may.
    pub fn request<'a>(
        &self,
        (number, limits, load): (u32, CustomerLimits, &'a Load),
        (peer, headers): (IpAddr, &HeaderMap),
        now: Time,
        metrics: &Metrics,
    ) -> Result<InFlight<'a>, Refused> {
        // What one client asks too much of is not taken from all.
        self.client(number, limits.client_rate, (peer, headers), now, metrics)?;
        let in_flight =
            load.begin(limits.in_flight).ok_or(Refused { limit: Limit::CustomerInFlight, wait: BUSY })?;
        if limits.rate.is_limited() {
            load.take(now, limits.rate).map_err(|wait| Refused { limit: Limit::CustomerRate, wait })?;
        }
        Ok(in_flight)
    }

    /// A request from `peer` for a host that nobody has.
    ///
    /// # Errors
    /// When its client has had as many as it may.
    pub fn stray(&self, from: (IpAddr, &HeaderMap), now: Time, metrics: &Metrics) -> Result<(), Refused> {
        self.client(NOBODY, self.nobody, from, now, metrics)
    }

    fn client(
        &self,
        customer: u32,
        rate: Rate,
        (peer, headers): (IpAddr, &HeaderMap),
        now: Time,
        metrics: &Metrics,
    ) -> Result<(), Refused> {
        let Some(clients) = self.clients.as_ref().filter(|_| rate.is_limited()) else { return Ok(()) };
        let client = if among(&self.config.proxies, peer) {
            forwarded::client(headers, &self.config.proxies)
        } else {
            Some(peer)
        };
        let Some(client) = client.filter(|client| !among(&self.config.exempt, *client)) else {
            return Ok(());
        };
        let key = ClientKey { network: self.config.lengths.network(client), customer };
        match clients.take(key, now, rate) {
            Taken::Admitted => Ok(()),
            Taken::Forgetting => {
                metrics.clients_forgotten.add(1);
                Ok(())
            }
            Taken::Refused(wait) => Err(Refused { limit: Limit::ClientRate, wait }),
        }
    }

    /// Clients whose connections are counted.
    pub fn clients_connected(&self) -> usize {
        self.connections.clients()
    }
}

fn among(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}
