//! What an authority asks for when an answer depends on the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::ServiceId;

/// A steered name, found once per query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Steerable {
    pub service: ServiceId,
    /// Hash of the lowercase owner name: what content placement goes by.
    pub content: u64,
    /// A wildcard made it: there are as many such names as anybody cares to make up. The octets of its closest encloser, without the
    /// apex; what a zone's file has below that goes before the wildcard (RFC 4592 sections 2.2.1 and 3.3.1).
    pub wildcard: Option<u8>,
}

impl Steerable {
    /// What rate limiting counts its answers by: names that a wildcard makes count as one.
    pub fn rate_key(&self) -> u64 {
        if self.wildcard.is_some() { u64::from(self.service.0) } else { self.content }
    }
}

/// For whom an answer is chosen: the client of EDNS Client Subnet (RFC 7871), or else the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Bits beyond `length` are 0.
    pub address: IpAddr,
    /// Known bits of the address.
    pub length: u8,
}

/// For how long a prefix around the client the addresses of each family are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    pub v4: u8,
    pub v6: u8,
}

impl Scopes {
    /// Both families alike.
    pub fn both(scope: u8) -> Self {
        Self { v4: scope, v6: scope }
    }

    /// For how long a prefix all of it is the same.
    pub fn of_all(self) -> u8 {
        self.v4.max(self.v6)
    }
}

/// What a steered name is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steered<'a> {
    /// Addresses of both families, in the order in which they go out. One family may be empty, which is NODATA for it.
    Addresses { v4: &'a [Ipv4Addr], v6: &'a [Ipv6Addr], ttl: u32, scopes: Scopes },
    /// CNAME to this name (wire format, uncompressed).
    Alias { target: &'a [u8], ttl: u32, scope: u8 },
}

/// Chooses per client. An implementation belongs to one thread and may keep answers ready.
pub trait Steering: Send {
    /// Whether a name is steered. `labels` is the owner name below the apex of the zone, in wire format, lowercase and without the
    /// final 0: `\x02a1` for `a1` below the apex.
    fn find(&self, labels: &[u8]) -> Option<Steerable>;

    /// Whether names exist below this one although it is not steered itself (an empty non-terminal, RFC 4592 section 2.2.2).
    fn is_above_names(&self, labels: &[u8]) -> bool;

    /// What to answer. Scopes (RFC 7871 section 7.2.1) are in bits of the client's address family: every client whose address begins with
    /// the same so many bits gets the same answer now. `turn` is a number that changes from query to query,
    /// for orders that rotate.
    fn steer(&mut self, name: Steerable, client: Client, turn: u32) -> Steered<'_>;

    /// SvcParams of the name's HTTPS record, without address hints (RFC 9460); `None` if it has no such record.
    fn https(&self, name: Steerable) -> Option<&[u8]>;

    /// Addresses of the low-level name servers near a resolver, in the order of the configured names (`n0g`, `n1g`, …). A name
    /// without addresses is left out of the referral.
    fn name_servers(&mut self, resolver: IpAddr) -> &[crate::network::NameServer];

    /// The epoch of the map in use.
    fn epoch(&self) -> u64;

    /// Takes the newest map, if there is a newer one. Called between queries.
    fn refresh(&mut self);
}
