//! From records to a zone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::read::{Files, Read};
use super::{LoadError, Plan};
use crate::authority::zone::{Kind, Node, Role, RrSet, Zone};
use crate::dns::codes::rtype;
use crate::dns::name::{self, NameError, Table};
use crate::dns::writer::first_name;

/// RFC 2181 section 8.
const LONGEST_TTL: u32 = 0x7fff_ffff;
/// Lifetimes of the steered cut's name servers.
const CUT_TTL: std::ops::RangeInclusive<u32> = 1200..=3600;
/// Names of low-level name servers.
const MOST_NAMES: usize = 16;

/// One set while it is collected, with where its first record stands.
pub(super) struct Collected {
    pub ttl: u32,
    pub records: Vec<Box<[u8]>>,
    pub file: usize,
    pub line: usize,
}

pub(super) type Sets = BTreeMap<u16, Collected>;

/// A zone while it is put together.
pub(super) struct Builder<'f> {
    pub paths: &'f [PathBuf],
    pub apex: Box<[u8]>,
    pub names: BTreeMap<Box<[u8]>, Sets>,
}

pub(super) fn build(files: Files, apex: Box<[u8]>, plan: &Plan) -> Result<Zone, LoadError> {
    let Files { paths, records, .. } = files;
    let mut builder = Builder { paths: &paths, apex, names: BTreeMap::new() };
    for record in records {
        builder.collect(record)?;
    }
    builder.check()?;
    let role = builder.role(plan)?;
    builder.check_cuts(&role)?;
    builder.finish(role)
}
/// What a type means in a file, when it has no place there.
fn refused(rtype: u16) -> Option<&'static str> {
    Some(match rtype {
        rtype::DNAME => "DNAME is not served; write a CNAME for each name",
        rtype::RRSIG | rtype::NSEC | rtype::NSEC3 | rtype::NSEC3PARAM => {
            "signatures and denials are made by the server; load the unsigned zone and give it keys"
        }
        rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY => {
            "keys come from the zone's key files; leave this record out"
        }
        0 | rtype::OPT | 128..=255 => "this type is only for messages; leave this record out",
        _ => return None,
    })
}

impl Builder<'_> {
    pub fn show_type(rtype: u16) -> String {
        domain::base::iana::Rtype::from_int(rtype).to_string()
    }

    pub fn wrong(&self, (file, line): (usize, usize), what: String) -> LoadError {
        LoadError::Wrong { file: self.paths.get(file).cloned().unwrap_or_default(), line, what }
    }

    fn zone(&self, key: &'static str, what: impl Into<String>) -> LoadError {
        LoadError::Zone { apex: name::show(&self.apex), key, what: what.into() }
    }

    pub fn file(&self, what: impl Into<String>) -> LoadError {
        let file = self.paths.first().cloned().unwrap_or_default();
        LoadError::File { file, apex: name::show(&self.apex), what: what.into() }
    }

    fn collect(&mut self, read: Read) -> Result<(), LoadError> {
        let place = (read.file, read.line);
        let shown = || format!("{} {}", name::show(&read.owner), Self::show_type(read.rtype));
        if !name::is_within(&read.owner, &self.apex) {
            let what = format!(
                "{} is outside of {}; it belongs to another zone's file",
                shown(),
                name::show(&self.apex)
            );
            return Err(self.wrong(place, what));
        }
        if let Some(why) = refused(read.rtype) {
            return Err(self.wrong(place, format!("{}: {why}", shown())));
        }
        if read.ttl > LONGEST_TTL {
            return Err(self.wrong(
                place,
                format!(
                    "{}: a lifetime of {} s is above {LONGEST_TTL} s (RFC 2181 section 8)",
                    shown(),
                    read.ttl
                ),
            ));
        }
        let what = shown();
        let sets = self.names.entry(read.owner).or_default();
        let set = sets.entry(read.rtype).or_insert_with(|| Collected {
            ttl: read.ttl,
            records: Vec::new(),
            file: read.file,
            line: read.line,
        });
        if set.ttl != read.ttl {
            let what = format!(
                "{what} has a lifetime of {} s here and {} s in line {}; give all records of a set the same (RFC 2181 section 5.2)",
                read.ttl, set.ttl, set.line
            );
            return Err(self.wrong(place, what));
        }
        set.records.push(read.rdata);
        Ok(())
    }

    fn config_name(&self, text: &str, key: &'static str, what: &str) -> Result<Box<[u8]>, LoadError> {
        let wire = name::from_text(text).map_err(|error: NameError| {
            self.zone(key, format!("{what} \"{text}\" is no domain name: {error}"))
        })?;
        if wire.len() <= self.apex.len() || !name::is_within(&wire, &self.apex) {
            return Err(
                self.zone(key, format!("{what} \"{text}\" is not below the zone; write the whole name"))
            );
        }
        Ok(wire)
    }

    fn role(&self, plan: &Plan) -> Result<Role, LoadError> {
        let (cut, names, ttl) = match plan {
            Plan::Static => return Ok(Role::Static),
            Plan::Low => return Ok(Role::Low),
            Plan::Top { cut, names, ttl } => (cut, names, *ttl),
        };
        if !CUT_TTL.contains(&ttl) {
            return Err(self.zone("lifetime", format!(
                "the cut's lifetime is {ttl} s; it must be {} to {} s, so that resolvers come back to be sent nearer",
                CUT_TTL.start(),
                CUT_TTL.end()
            )));
        }
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(self.zone(
                "name-servers",
                format!("the cut has {} name servers; name 1 to {MOST_NAMES}", names.len()),
            ));
        }
        let cut = self.config_name(cut, "cut", "the cut")?;
        let mut wires = Vec::new();
        for text in names {
            let wire = self.config_name(text, "name-servers", "the name server")?;
            if name::is_within(&wire, &cut) {
                return Err(self.zone("name-servers", format!(
                    "the name server \"{text}\" is below the cut, where this zone does not answer; name it beside the cut"
                )));
            }
            if wires.contains(&wire) {
                return Err(self.zone("name-servers", format!("the name server \"{text}\" is named twice")));
            }
            if let Some(set) = self.names.get(&wire).and_then(|sets| sets.values().next()) {
                let what =
                    format!("{} has its addresses from the map; remove its records", name::show(&wire));
                return Err(self.wrong((set.file, set.line), what));
            }
            wires.push(wire);
        }
        if let Some((rtype, set)) =
            self.names.get(&cut).and_then(|sets| sets.iter().find(|(it, _)| **it != rtype::DS))
        {
            let what = format!(
                "{} {} is at the cut; what the parent says there are DS records alone, its name servers come from the map",
                name::show(&cut),
                Self::show_type(*rtype)
            );
            return Err(self.wrong((set.file, set.line), what));
        }
        Ok(Role::Top { cut, names: wires, ttl })
    }

    fn finish(self, role: Role) -> Result<Zone, LoadError> {
        let Self { paths, apex, names } = self;
        let mut nodes: Table<Node> = Table::default();
        let labels = name::count(&apex);
        let mut add = |owner: &[u8], kind: Kind, sets: Vec<RrSet>| {
            for skipped in 1..=name::count(owner) - labels {
                let above = name::skip(owner, skipped);
                if !nodes.contains_key(above) {
                    nodes.insert(above.into(), Node { kind: Kind::Data, sets: Vec::new() });
                }
            }
            match nodes.entry(owner.into()) {
                std::collections::hash_map::Entry::Occupied(mut node) => {
                    node.get_mut().sets.extend(sets);
                    if kind != Kind::Data {
                        node.get_mut().kind = kind;
                    }
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Node { kind, sets });
                }
            }
        };
        let (mut has_cuts, mut has_wildcards) = (false, false);
        for (owner, sets) in names {
            let is_cut = *owner != *apex && sets.contains_key(&rtype::NS);
            has_cuts |= is_cut;
            has_wildcards |= owner.starts_with(b"\x01*");
            let sets = sets
                .into_iter()
                .map(|(rtype, set)| RrSet { rtype, ttl: set.ttl, records: set.records })
                .collect();
            add(&owner, if is_cut { Kind::Cut } else { Kind::Data }, sets);
        }
        if let Role::Top { cut, names, .. } = &role {
            has_cuts = true;
            add(cut, Kind::SteeredCut, Vec::new());
            for (at, name) in names.iter().enumerate() {
                add(name, Kind::NameServer(at), Vec::new());
            }
        }
        let file = paths.first().cloned().unwrap_or_default();
        let missing =
            |what: &str| LoadError::File { file: file.clone(), apex: name::show(&apex), what: what.into() };
        let soa = nodes.get(&apex).and_then(|node| node.set(rtype::SOA)).cloned();
        let soa = soa.ok_or_else(|| missing("it has no SOA record; add one at @"))?;
        let minimum = soa.records.first().and_then(|rdata| minimum_of(rdata));
        let minimum = minimum.ok_or_else(|| missing("its SOA record is malformed"))?;
        Ok(Zone {
            labels,
            hash: name::hash(&apex),
            role,
            nodes,
            negative_ttl: soa.ttl.min(minimum),
            soa,
            has_cuts,
            has_wildcards,
            signer: None,
            file: paths.first().cloned().unwrap_or_default(),
            apex,
        })
    }
}

/// The last field of an SOA record.
fn minimum_of(rdata: &[u8]) -> Option<u32> {
    let names = first_name(rdata);
    let numbers = rdata.get(names + first_name(rdata.get(names..)?)..)?;
    Some(u32::from_be_bytes(numbers.get(16..20)?.try_into().ok()?))
}
