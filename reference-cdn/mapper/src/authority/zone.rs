//! Zones as they are answered from: immutable, with the data of each record in wire format.

use std::path::PathBuf;
use std::sync::Arc;

use super::dnssec::Signer;
use crate::dns::codes::rtype;
use crate::dns::name::{Name, Table, skip};

/// Records of one owner and type (RFC 2181 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrSet {
    pub rtype: u16,
    pub ttl: u32,
    /// Uncompressed; sorted, each once.
    pub records: Vec<Box<[u8]>>,
}

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has records, or is an empty non-terminal (RFC 4592 section 2.2.2).
    Data,
    /// A delegation of the zone file.
    Cut,
    /// The delegation to the low-level name servers, whose addresses depend on the resolver.
    SteeredCut,
    /// The n-th low-level name server, whose addresses depend on the resolver.
    NameServer(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    pub sets: Vec<RrSet>,
}

impl Node {
    pub fn set(&self, rtype: u16) -> Option<&RrSet> {
        self.sets.iter().find(|set| set.rtype == rtype)
    }
}

/// How a zone is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// From its file.
    #[default]
    Static,
    /// From its file, with a cut whose name servers depend on the resolver.
    Top {
        cut: Box<[u8]>,
        /// Names of the low-level name servers, in the order of [`Steering::name_servers`](crate::steer::Steering::name_servers).
        names: Vec<Box<[u8]>>,
        /// Lifetime of the cut's NS records and of their addresses, in seconds.
        ttl: u32,
    },
    /// From its file, and names that [`Steering`](crate::steer::Steering) finds.
    Low,
}

#[derive(Clone, Debug)]
pub struct Zone {
    /// Wire format, lower case.
    pub apex: Box<[u8]>,
    /// Labels of the apex.
    pub labels: usize,
    /// Hash of the apex.
    pub hash: u64,
    pub role: Role,
    /// By owner; empty non-terminals are there.
    pub nodes: Table<Node>,
    pub soa: RrSet,
    /// Lifetime of denials (RFC 2308 section 3).
    pub negative_ttl: u32,
    pub has_cuts: bool,
    pub has_wildcards: bool,
    /// Where it was read from.
    pub file: PathBuf,
    /// Its keys; none, it is not signed.
    pub signer: Option<Arc<Signer>>,
}

/// What is at a name, steered ones apart.
#[derive(Clone, Copy, Debug)]
pub enum Found<'z> {
    Node(&'z Node),
    /// The name is at or below this cut.
    Cut(&'z [u8], &'z Node),
    Nothing,
}

impl Zone {
    /// The same zone, signed.
    pub fn signed(self, signer: Signer) -> Self {
        Self { signer: Some(Arc::new(signer)), ..self }
    }

    /// What is at a name of this zone. For DS, a cut is not a cut but a name on the parent's side (RFC 4035 section 3.1.4.1).
    pub fn find(&self, name: &Name, qtype: u16) -> Found<'_> {
        if self.has_cuts {
            for labels in self.labels + 1..=name.labels() {
                let Some((owner, node)) = self.nodes.get_key_value(name.suffix(labels)) else { break };
                let at_it = labels == name.labels();
                if matches!(node.kind, Kind::Cut | Kind::SteeredCut) && !(at_it && qtype == rtype::DS) {
                    return Found::Cut(owner, node);
                }
            }
        }
        self.nodes.get(name.wire()).map_or(Found::Nothing, Found::Node)
    }

    /// The wildcard that speaks for a name that is not there, if its closest encloser has one (RFC 4592 section 3.3.1).
    /// `exists` knows what the zone has besides its file.
    pub fn wildcard(&self, name: &Name, exists: impl Fn(&[u8]) -> bool) -> Option<&Node> {
        if !self.has_wildcards {
            return None;
        }
        let encloser = (self.labels..name.labels()).rev().find(|labels| {
            let suffix = name.suffix(*labels);
            self.nodes.contains_key(suffix) || exists(suffix)
        })?;
        self.nodes.get(name.wildcard(encloser).wire())
    }

    /// Whether the file has a name, or one above it below an encloser of so many octets beside the apex.
    pub fn is_below(&self, name: &[u8], encloser: u8) -> bool {
        let mut rest = name;
        while rest.len() > self.apex.len() + usize::from(encloser) {
            if self.nodes.contains_key(rest) {
                return true;
            }
            rest = skip(rest, 1);
        }
        false
    }

    /// A name's labels below the apex, without the final 0.
    pub fn below_apex<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        &name[..name.len().saturating_sub(self.apex.len())]
    }
}

/// All zones of a server.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    by_apex: Table<usize>,
    /// How many labels apexes have, most first.
    depths: Vec<usize>,
}

impl Zones {
    /// Of two zones with the same apex the first counts; loading refuses that.
    pub fn new(zones: Vec<Arc<Zone>>) -> Self {
        let mut by_apex = Table::default();
        for (at, zone) in zones.iter().enumerate() {
            by_apex.entry(zone.apex.clone()).or_insert(at);
        }
        let mut depths: Vec<_> = zones.iter().map(|zone| zone.labels).collect();
        depths.sort_unstable_by(|a, b| b.cmp(a));
        depths.dedup();
        Self { zones, by_apex, depths }
    }

    pub fn all(&self) -> &[Arc<Zone>] {
        &self.zones
    }

    /// The zone that answers for a name: the deepest one; for DS at an apex the parent, if it is here.
    pub fn find(&self, name: &Name, qtype: u16) -> Option<&Arc<Zone>> {
        let mut child = None;
        for &labels in self.depths.iter().filter(|labels| **labels <= name.labels()) {
            if let Some(at) = self.by_apex.get(name.suffix(labels)) {
                let zone = &self.zones[*at];
                if qtype == rtype::DS && labels == name.labels() && labels > 0 {
                    child.get_or_insert(zone);
                    continue;
                }
                return Some(zone);
            }
        }
        child
    }
}
