//! BGP tables: which network each prefix is in, and which networks are neighbours. Reads MRT dumps (RFC 6396, TABLE_DUMP_V2, with
//! the add-path kinds of RFC 8050), plain, gzip or bzip2.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::io::Read;

use bgpkit_parser::models::{
    AsPath, AsPathSegment, AttributeValue, EntryType, MrtMessage, TableDumpV2Message, TableDumpV2Type,
};
use bgpkit_parser::parser::chunk_mrt_record;
use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;

use super::as_graph::AsGraph;
use super::keys::{Quick, QuickMap};
use super::prefix::Prefix;
use super::problem::BadInput;
use super::source::Source;

/// Bounds against a table that is not one. The Internet has about 1.2 million prefixes, 80 000 networks and 600 000 links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets after decompression.
    pub octets: u64,
    pub prefixes: usize,
    pub links: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { octets: 16 << 30, prefixes: 8_000_000, links: 8_000_000 }
    }
}

/// What BGP tables say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Sorted by prefix, each once.
    pub origins: Vec<(Prefix, u32)>,
    pub graph: AsGraph,
    pub sources: Vec<Source>,
}

/// Collects tables of any number of collectors.
#[derive(Debug, Default)]
pub struct Collector {
    limits: Limits,
    /// How many routes name each origin.
    votes: QuickMap<Prefix, Votes>,
    links: HashSet<u64, BuildHasherDefault<Quick>>,
    sources: Vec<Source>,
}

/// The origin of most routes; of several, the first four are counted.
#[derive(Debug, Default)]
struct Votes {
    first: (u32, u32),
    others: Vec<(u32, u32)>,
}

impl Votes {
    fn add(&mut self, asn: u32) {
        if self.first.1 == 0 || self.first.0 == asn {
            self.first = (asn, self.first.1.saturating_add(1));
        } else if let Some(other) = self.others.iter_mut().find(|other| other.0 == asn) {
            other.1 = other.1.saturating_add(1);
        } else if self.others.len() < 3 {
            self.others.push((asn, 1));
        }
    }

    fn winner(&self) -> u32 {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.min_by_key(|(asn, votes)| (std::cmp::Reverse(*votes), *asn)).map_or(0, |(asn, _)| *asn)
    }
}

/// Numbers that stand for no network of the public Internet (RFC 7607, 6793, 5398, 6996, 7300, and those IANA reserves).
pub fn is_special(asn: u32) -> bool {
    matches!(asn, 0 | 23456 | 64496..=131_071 | 4_200_000_000..)
}

/// The networks that a route went through, from the collector's side, and its origin.
fn path(path: &AsPath) -> (Vec<u32>, Option<u32>) {
    let mut hops: Vec<u32> = Vec::new();
    let mut origin = None;
    for segment in path.iter_segments() {
        match segment {
            AsPathSegment::AsSequence(numbers) => {
                for number in numbers.iter().map(|number| u32::from(*number)) {
                    if hops.last() != Some(&number) {
                        hops.push(number);
                    }
                }
                origin = hops.last().copied();
            }
            // Which of a set it was is unknown (RFC 9774 does away with them); a confederation is one network from outside.
            AsPathSegment::AsSet(numbers) => {
                origin = (numbers.len() == 1).then(|| u32::from(numbers[0]));
                hops.push(origin.unwrap_or(0));
            }
            AsPathSegment::ConfedSequence(_) | AsPathSegment::ConfedSet(_) => {}
        }
    }
    (hops, origin)
}

impl Collector {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds a dump. What it holds before it breaks off is kept.
    ///
    /// # Errors
    /// When the file cannot be read or is no MRT dump.
    pub fn read(&mut self, file: &str, time: u64, mut input: impl Read) -> Result<(), BadInput> {
        let mut start = [0; 4];
        let mut got = 0;
        while got < start.len() {
            match input.read(&mut start[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BadInput::new(file, format!("cannot be read: {error}"))),
            }
        }
        let whole = start[..got].chain(input);
        match &start[..got] {
            [0x1f, 0x8b, ..] => self.records(file, time, MultiGzDecoder::new(whole).take(self.limits.octets)),
            [b'B', b'Z', b'h', ..] => {
                self.records(file, time, MultiBzDecoder::new(whole).take(self.limits.octets))
            }
            [] => Err(BadInput::new(file, "is empty").hint("fetch the dump again")),
            _ => self.records(file, time, whole.take(self.limits.octets)),
        }
    }

    fn records(&mut self, file: &str, time: u64, input: impl Read) -> Result<(), BadInput> {
        let mut input = std::io::BufReader::with_capacity(1 << 18, input);
        let mut source = Source::new(file, time);
        loop {
            let raw = match chunk_mrt_record(&mut input) {
                Ok(raw) => raw,
                Err(error) if error.bytes.is_none() => break,
                Err(error) if source.used == 0 => {
                    return Err(BadInput::new(file, format!("is no MRT dump: {}", error.error)).line(source.lines + 1)
                        .hint("a TABLE_DUMP_V2 file (a \"rib\" or \"bview\" of RouteViews or RIPE RIS) is wanted"));
                }
                Err(_) => {
                    source.skip(
                        source.lines + 1,
                        "the file breaks off or is damaged; nothing after it was read",
                    );
                    break;
                }
            };
            source.lines += 1;
            let header = raw.common_header;
            if header.entry_type != EntryType::TABLE_DUMP_V2 {
                source.skip(source.lines, "not TABLE_DUMP_V2");
                continue;
            }
            match raw.parse().map(|record| record.message) {
                Ok(MrtMessage::TableDumpV2Message(TableDumpV2Message::RibAfi(rib))) => {
                    if source.used == 0 {
                        source.time = u64::from(header.timestamp);
                    }
                    let unicast = matches!(
                        rib.rib_type,
                        TableDumpV2Type::RibIpv4Unicast
                            | TableDumpV2Type::RibIpv6Unicast
                            | TableDumpV2Type::RibIpv4UnicastAddPath
                            | TableDumpV2Type::RibIpv6UnicastAddPath
                    );
                    let Some(prefix) = Prefix::of(rib.prefix.prefix.addr(), rib.prefix.prefix.prefix_len())
                    else {
                        source.skip(source.lines, "an IPv6 prefix longer than 64 bits");
                        continue;
                    };
                    if !unicast {
                        source.skip(source.lines, "not unicast");
                    } else if prefix.length == 0 {
                        source.skip(source.lines, "a default route");
                    } else if self.votes.len() >= self.limits.prefixes && !self.votes.contains_key(&prefix) {
                        source.skip(source.lines, "beyond the most prefixes");
                    } else {
                        let used = rib.rib_entries.iter().filter(|entry| {
                            entry.attributes.iter().any(|attribute| match attribute {
                                AttributeValue::AsPath(value) => self.route(prefix, value),
                                _ => false,
                            })
                        });
                        match used.count() {
                            0 => source.skip(source.lines, "no route with an origin"),
                            _ => source.used += 1,
                        }
                    }
                }
                Ok(MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(_))) => {}
                Ok(_) => source.skip(source.lines, "a record of a kind that says nothing here"),
                Err(_) => source.skip(source.lines, "a malformed record"),
            }
        }
        if source.used == 0 {
            return Err(BadInput::new(file, format!("has {} records, and none is a route", source.lines))
                .hint("a TABLE_DUMP_V2 file (a \"rib\" or \"bview\" of RouteViews or RIPE RIS) is wanted, not updates"));
        }
        self.sources.push(source);
        Ok(())
    }

    /// Takes one route; false if it has no usable origin.
    fn route(&mut self, prefix: Prefix, value: &AsPath) -> bool {
        let (hops, origin) = path(value);
        for pair in hops.windows(2).filter(|pair| !pair.iter().any(|hop| is_special(*hop))) {
            let link = u64::from(pair[0].min(pair[1])) << 32 | u64::from(pair[0].max(pair[1]));
            if self.links.len() < self.limits.links {
                self.links.insert(link);
            }
        }
        let origin = origin.filter(|origin| !is_special(*origin));
        if let Some(origin) = origin {
            self.votes.entry(prefix).or_default().add(origin);
        }
        origin.is_some()
    }

    /// What all dumps together say.
    pub fn finish(self) -> Routes {
        let mut origins: Vec<(Prefix, u32)> =
            self.votes.iter().map(|(prefix, votes)| (*prefix, votes.winner())).collect();
        origins.sort_unstable();
        let links = self.links.into_iter().map(|link| ((link >> 32) as u32, link as u32)).collect();
        Routes { origins, graph: AsGraph::new(links), sources: self.sources }
    }
}
