//! What the network consists of, and how near each part is to whom: the slow layer of a map.
//!
//! Nothing here changes while it is used. Things refer to each other by position (`u32`), which is only meaningful within
//! one [`Network`]; what must stay the same from one network to the next (content placement) uses [`Server::key`].

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Position of a site in [`Network::sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

/// Position of a server in [`Network::servers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

/// Position of a service in [`Network::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// Position of a map unit in [`Network::units`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId(pub u32);

/// What a server can do, one bit each: bit `n` stands for [`Network::features`]`[n]`.
pub type Features = u64;

/// Most sites that a unit has in its ranking.
pub const MOST_RANKED: usize = 16;
/// Most features that a network distinguishes.
pub const MOST_FEATURES: usize = 64;
/// Most addresses of one family in an answer.
pub const MOST_ADDRESSES: usize = 8;

/// A place with servers: one building, one router, one bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    pub name: String,
    /// What fails together with it: sites of one provider or one city have the same number.
    pub domain: u32,
    /// Degrees north and east.
    pub latitude: f32,
    pub longitude: f32,
    /// Its autonomous system; 0 if unknown.
    pub asn: u32,
    /// What it can send, in Mbit/s; 0 if unknown, which means no limit.
    pub bandwidth: u32,
    /// Its servers: neighbours in [`Network::servers`].
    pub servers: Range<u32>,
    /// Low-level name servers here; empty if it has none.
    pub name_servers: Vec<NameServer>,
}

/// A low-level name server at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameServer {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Hash of its name: the same in every network that has it, whatever its position.
    pub key: u64,
    pub site: SiteId,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    /// What it can carry, relative to others; at least 1.
    pub capacity: u32,
    /// What fails together within the site (a rack, a power line).
    pub rack: u16,
    pub features: Features,
}

/// Names that are answered alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Owner names below the steered zone, lowercase, in presentation format without the zone (`a1`, `img.shop`).
    /// `*` in first place stands for any labels (RFC 4592).
    pub hosts: Vec<String>,
    /// What a server must be able to do.
    pub needs: Features,
    /// Fewest servers of a site that carry one name; 1 or more.
    pub copies: u8,
    /// Addresses of the nearest site in an answer; 1 to [`MOST_ADDRESSES`].
    pub near: u8,
    /// Further addresses, of the next site in another failure domain.
    pub elsewhere: u8,
    /// Lifetime of an answer in seconds.
    pub ttl: u32,
    pub order: Order,
    pub fallback: Fallback,
    /// SvcParams of the HTTPS record in wire format without address hints (RFC 9460 section 2.2); none, no such record.
    pub https: Option<Vec<u8>>,
}

/// In which order the addresses of an answer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the decision ranked them.
    Fixed,
    /// The first place goes round from answer to answer.
    Rotated,
    /// Shuffled each time.
    Random,
}

/// What a service's names are answered with while none of its servers may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Those that would be named if nothing were known of their health; withdrawn by an operator stays withdrawn.
    LastKnown,
    /// The servers of one site.
    Site(SiteId),
    /// CNAME to this name, absolute, lowercase, in presentation format with the final dot.
    Alias(String),
}

/// How good a site is for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    pub site: SiteId,
    /// Cost of the path, comparable to a round trip in microseconds; lower is better.
    pub score: u32,
    /// How much the score can be trusted: 0 a guess by distance, 255 measured now.
    pub confidence: u8,
}

/// The slow layer of a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub features: Vec<String>,
    pub sites: Vec<Site>,
    /// Sorted by site.
    pub servers: Vec<Server>,
    /// Names of the servers, in their order.
    pub server_names: Vec<String>,
    pub services: Vec<Service>,
    pub units: Units,
    pub prefixes: Prefixes,
}

/// Map units: clients that are near to the same sites. Each has a ranking, best first, of at most [`MOST_RANKED`] sites.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Units {
    /// Rankings one after another.
    pub ranked: Vec<Ranked>,
    /// Where each unit's ranking ends; it begins where the one before ends.
    pub ends: Vec<u32>,
    /// Hash of what defines each unit: the same in every network, spreads clients over servers.
    pub keys: Vec<u64>,
    /// Expected share of all queries, in parts of a million; may be 0.
    pub demand: Vec<u32>,
}

impl Units {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ranking of a unit; empty for one that is not there.
    pub fn ranking(&self, unit: UnitId) -> &[Ranked] {
        let at = unit.0 as usize;
        let Some(&end) = self.ends.get(at) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ranked[start as usize..end as usize]
    }

    pub fn push(&mut self, key: u64, demand: u32, ranking: &[Ranked]) -> UnitId {
        let id = UnitId(u32::try_from(self.ends.len()).unwrap_or(u32::MAX));
        self.ranked.extend_from_slice(&ranking[..ranking.len().min(MOST_RANKED)]);
        self.ends.push(u32::try_from(self.ranked.len()).unwrap_or(u32::MAX));
        self.keys.push(key);
        self.demand.push(demand);
        id
    }
}

/// To which unit each client address belongs: both address spaces cut into runs, one after another, without gaps.
///
/// IPv6 is told apart by its first 64 bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prefixes {
    /// First address of each run, ascending, the first one 0; and its unit.
    pub v4: Vec<(u32, UnitId)>,
    pub v6: Vec<(u64, UnitId)>,
}

impl Prefixes {
    pub fn unit_v4(&self, address: Ipv4Addr) -> Option<UnitId> {
        find(&self.v4, u32::from(address))
    }

    pub fn unit_v6(&self, address: Ipv6Addr) -> Option<UnitId> {
        find(&self.v6, upper(address))
    }
}

/// The 64 bits by which IPv6 clients are told apart.
pub fn upper(address: Ipv6Addr) -> u64 {
    (u128::from(address) >> 64) as u64
}

fn find<A: Ord + Copy>(runs: &[(A, UnitId)], address: A) -> Option<UnitId> {
    let after = runs.partition_point(|(start, _)| *start <= address);
    after.checked_sub(1).map(|at| runs[at].1)
}
