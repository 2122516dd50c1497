//! Steered names: which service a name belongs to.

use std::collections::{HashMap, HashSet};

use crate::decide::mix;
use crate::network::{Fallback, Network, ServiceId};
use crate::steer::Steerable;

/// Hash of a name below the apex (lowercase, wire format without the final 0). It says where content is placed, so it never changes:
/// octets in groups of eight, little-endian, the last filled with zeros, each mixed into what came before; then the length.
pub fn content_of(labels: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for group in labels.chunks(8) {
        let mut octets = [0; 8];
        octets[..group.len()].copy_from_slice(group);
        hash = (hash ^ u64::from_le_bytes(octets)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    }
    mix(hash ^ labels.len() as u64)
}

/// All steered names of a network.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By hash, those of one hash one after another: services and where their name is in `octets`.
    slots: Vec<Option<Slot>>,
    octets: Vec<u8>,
    /// What follows the `*` of wildcards.
    wildcards: HashMap<Box<[u8]>, ServiceId>,
    /// Names that exist because others are below them.
    above: HashSet<Box<[u8]>>,
    /// Octets of the longest name: no closer encloser needs to be looked for.
    longest: usize,
    /// Where services point to when all else fails, in wire format; empty for those that do not.
    aliases: Vec<Vec<u8>>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    content: u64,
    service: ServiceId,
    from: u32,
    length: u8,
}

impl Names {
    /// Names of a network's services. One that two services claim belongs to the first; a builder refuses such a network.
    pub fn new(network: &Network) -> Self {
        let all: usize = network.services.iter().map(|service| service.hosts.len()).sum();
        let mut names = Self { slots: vec![None; (all * 2).next_power_of_two()], ..Self::default() };
        for (at, service) in network.services.iter().enumerate() {
            let id = ServiceId(u32::try_from(at).unwrap_or(u32::MAX));
            names.aliases.push(match &service.fallback {
                Fallback::Alias(target) => {
                    let mut wire = wire_of(target.trim_end_matches('.')).unwrap_or_default();
                    wire.push(0);
                    wire
                }
                _ => Vec::new(),
            });
            for host in &service.hosts {
                let Some(labels) = wire_of(host) else { continue };
                names.longest = names.longest.max(labels.len());
                let mut rest = labels.as_slice();
                while let Some(parent) = parent(rest).filter(|parent| !parent.is_empty()) {
                    names.above.insert(parent.into());
                    rest = parent;
                }
                if let Some(below) = labels.strip_prefix(b"\x01*") {
                    names.wildcards.entry(below.into()).or_insert(id);
                    continue;
                }
                names.insert(&labels, id);
            }
        }
        names
    }

    fn insert(&mut self, labels: &[u8], service: ServiceId) {
        let (Ok(from), Ok(length)) = (u32::try_from(self.octets.len()), u8::try_from(labels.len())) else {
            return;
        };
        let content = content_of(labels);
        let mask = self.slots.len() - 1;
        let mut at = content as usize & mask;
        while let Some(slot) = self.slots[at] {
            if slot.content == content && self.name(slot) == labels {
                return;
            }
            at = (at + 1) & mask;
        }
        self.octets.extend_from_slice(labels);
        self.slots[at] = Some(Slot { content, service, from, length });
        self.count += 1;
    }

    fn name(&self, slot: Slot) -> &[u8] {
        &self.octets[slot.from as usize..slot.from as usize + usize::from(slot.length)]
    }

    pub fn find(&self, labels: &[u8]) -> Option<Steerable> {
        let content = content_of(labels);
        if let Some(service) = self.own(labels, content) {
            return Some(Steerable { service, content, wildcard: None });
        }
        if self.wildcards.is_empty() || self.above.contains(labels) {
            return None;
        }
        // Names speak for what is below them only as far as the next that exists (RFC 4592 section 3.3.1).
        let mut encloser = parent(labels)?;
        while encloser.len() > self.longest {
            encloser = parent(encloser)?;
        }
        loop {
            if let Some(service) = self.wildcards.get(encloser) {
                let wildcard = u8::try_from(encloser.len()).ok();
                return Some(Steerable { service: *service, content, wildcard });
            }
            if self.exists(encloser) {
                return None;
            }
            encloser = parent(encloser)?;
        }
    }

    /// The service of a name that no wildcard made.
    fn own(&self, labels: &[u8], content: u64) -> Option<ServiceId> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = content as usize & mask;
        while let Some(slot) = self.slots[at] {
            if slot.content == content && self.name(slot) == labels {
                return Some(slot.service);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn exists(&self, labels: &[u8]) -> bool {
        let is_wildcard = |below: &[u8]| self.wildcards.contains_key(below);
        self.above.contains(labels)
            || labels.strip_prefix(b"\x01*").is_some_and(is_wildcard)
            || self.own(labels, content_of(labels)).is_some()
    }

    pub fn is_above(&self, labels: &[u8]) -> bool {
        self.above.contains(labels)
    }

    /// The other name of a service that has one for when all its servers are down.
    pub fn alias(&self, service: ServiceId) -> &[u8] {
        self.aliases.get(service.0 as usize).map_or(b"\0", Vec::as_slice)
    }

    /// How many names there are, without wildcards.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.wildcards.is_empty()
    }
}

/// What is left of a name without its first label.
fn parent(labels: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*labels.first()?);
    labels.get(1 + length..)
}

/// A host as networks write it, in wire format without the final 0; none if it is no name.
pub fn wire_of(host: &str) -> Option<Vec<u8>> {
    let mut labels = Vec::with_capacity(host.len() + 1);
    wire_into(host, &mut labels)?;
    Some(labels)
}

/// As [`wire_of`], in place of what is in `labels`.
pub fn wire_into(host: &str, labels: &mut Vec<u8>) -> Option<()> {
    labels.clear();
    for label in host.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        labels.push(length);
        labels.extend(label.bytes().map(|octet| octet.to_ascii_lowercase()));
    }
    (labels.len() < 255).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::service;

    #[test]
    fn names_belong_to_their_service() {
        let network = Network {
            services: vec![service(&["a1", "img.shop"]), service(&["*", "*.shop", "A2"])],
            ..Network::default()
        };
        let names = Names::new(&network);
        let find = |host: &str| names.find(&wire_of(host).unwrap()).map(|found| found.service.0);
        assert_eq!(find("a1"), Some(0));
        assert_eq!(find("img.shop"), Some(0));
        assert_eq!(find("a2"), Some(1));
        assert_eq!(find("anything"), Some(1));
        assert_eq!(find("css.shop"), Some(1));
        // However many labels, as far as nothing between exists (RFC 4592 section 3.3.1).
        assert_eq!(find("x.y"), Some(1));
        assert_eq!(find("x.y.z.shop"), Some(1));
        assert_eq!(find("x.img.shop"), None);
        assert_eq!(find("x.a1"), None);
        assert_eq!(find("*.shop"), Some(1));
        assert_eq!(find("x.*.shop"), None);
        assert_eq!(find(&format!("{}.shop", ["x"; 100].join("."))), Some(1));
        // It exists because of what is below, so no wildcard makes it up (RFC 4592 section 2.2.2).
        assert_eq!(find("shop"), None);
        assert!(names.is_above(b"\x04shop"));
        assert_eq!(names.find(b""), None);
    }

    #[test]
    fn the_hash_of_a_name_stays() {
        assert_eq!(content_of(b"\x02a1"), 13_246_570_392_370_943_149);
    }
}
