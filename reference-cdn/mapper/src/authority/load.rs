//! Reads zone files (RFC 1035 section 5) and checks what they say before anything is answered from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::base::name::ToName as _;
use domain::base::rdata::ComposeRecordData as _;
use domain::zonefile::inplace::{Entry, Zonefile};

use super::zone::{Kind, Node, Role, RrSet, Zone};
use crate::dns::codes::{class, rtype};
use crate::dns::name::{self, NameError, Table};
use crate::dns::writer::first_name;

/// Bounds: a file that goes beyond is refused rather than half served.
const MOST_OCTETS: usize = 256 << 20;
const MOST_RECORDS: usize = 2_000_000;
const MOST_FILES: usize = 64;
const DEEPEST_INCLUDE: usize = 8;
/// Octets of one RRset in a message, so that it fits with room for its signature.
const LARGEST_SET: usize = 48 * 1024;
/// RFC 2181 section 8.
const LONGEST_TTL: u32 = 0x7fff_ffff;
/// Lifetimes of the steered cut's name servers.
const CUT_TTL: std::ops::RangeInclusive<u32> = 1200..=3600;
/// Names of low-level name servers.
const MOST_NAMES: usize = 16;

/// What an operator says about a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Only what its file says.
    Static,
    /// Refers `cut` to low-level name servers near the resolver.
    Top {
        /// `g.example.net`.
        cut: String,
        /// Names of the name servers; see [`name_servers_of`]. They have no records in the file.
        names: Vec<String>,
        /// 1200 to 3600 seconds; 1800 is usual.
        ttl: u32,
    },
    /// Its names are steered, besides what its file says.
    Low,
}

/// The names that the design gives to low-level name servers: `n0g` to `n8g` below the top level's zone.
pub fn name_servers_of(apex: &str) -> Vec<String> {
    (0..9).map(|at| format!("n{at}g.{apex}")).collect()
}

/// Why a zone cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}: cannot be read: {error}; check the path and its permissions", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{}:{error}", file.display())]
    Syntax { file: PathBuf, error: String },
    #[error("{}:{line}: {what}", file.display())]
    Wrong { file: PathBuf, line: usize, what: String },
    #[error("zone {apex}: {what}")]
    Zone { apex: String, what: String },
}

struct Read {
    owner: Box<[u8]>,
    rtype: u16,
    ttl: u32,
    rdata: Box<[u8]>,
    file: usize,
    line: usize,
}

#[derive(Default)]
struct Files {
    paths: Vec<PathBuf>,
    octets: usize,
    records: Vec<Read>,
}

/// Loads a zone from its file. `$INCLUDE` reaches files in the same folder and below it.
pub fn load(file: &Path, apex: &str, plan: &Plan) -> Result<Zone, LoadError> {
    let zone_error = |what: String| LoadError::Zone { apex: apex.to_owned(), what };
    let wire =
        name::from_text(apex).map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let mut files = Files::default();
    let origin = domain::base::Name::from_octets(bytes_of(&wire))
        .map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let text = std::fs::read(file).map_err(|error| LoadError::Unreadable { file: file.to_owned(), error })?;
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        folder.canonicalize().map_err(|error| LoadError::Unreadable { file: folder.to_owned(), error })?;
    files.read(file, &text, origin, Some(&folder), 0)?;
    build(files, wire, plan)
}

/// Loads a zone from text. `$INCLUDE` is refused; `file` is what errors name.
pub fn parse(text: &str, file: &Path, apex: &str, plan: &Plan) -> Result<Zone, LoadError> {
    let zone_error = |what: String| LoadError::Zone { apex: apex.to_owned(), what };
    let wire =
        name::from_text(apex).map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let origin = domain::base::Name::from_octets(bytes_of(&wire))
        .map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let mut files = Files::default();
    files.read(file, text.as_bytes(), origin, None, 0)?;
    build(files, wire, plan)
}

type Octets = bytes::Bytes;

fn bytes_of(wire: &[u8]) -> Octets {
    Octets::copy_from_slice(wire)
}

/// A character, or what stands for one that cannot be seen.
fn shown(character: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if character.is_control() {
        (None, Some(character.escape_default()))
    } else {
        (Some(character), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The reader's terse message, with the line that the record ends in and what a person can do about it.
fn syntax(error: &str, lines: usize) -> String {
    let mut parts = error.splitn(3, ':');
    let (line, column, what) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<usize>().ok());
    let (Some(line), Some(column), Some(what)) = (number(line), number(column), what) else {
        return error.to_owned();
    };
    // At the beginning of a line it is what came before that was wrong.
    let line = if column == 1 { line - 1 } else { line }.clamp(1, lines.max(1));
    let advice = match what {
        what if what.contains("rtype") || what.contains("decimal") => {
            "; lifetimes and times are numbers of seconds, without a unit"
        }
        what if what.contains("bad symbol") => "; is a quoted string not closed?",
        what if what.contains("short buffer") => "; is a parenthesis not closed?",
        what if what.contains("end of entry") => "; a field of the record is missing",
        what if what.contains("different class") => "; only IN is served",
        _ => "",
    };
    // It quotes the file: nothing of that may move a terminal's cursor.
    let what: String = what.chars().take(200).flat_map(shown).collect();
    format!("{line}:{what}{advice}")
}

impl Files {
    fn read(
        &mut self,
        file: &Path,
        text: &[u8],
        origin: domain::base::Name<Octets>,
        folder: Option<&Path>,
        depth: usize,
    ) -> Result<(), LoadError> {
        let wrong = |line, what: String| LoadError::Wrong { file: file.to_owned(), line, what };
        self.octets += text.len();
        if self.octets > MOST_OCTETS || self.paths.len() >= MOST_FILES {
            return Err(wrong(
                1,
                format!("the zone has more than {MOST_FILES} files or {} MiB; split it", MOST_OCTETS >> 20),
            ));
        }
        let at = self.paths.len();
        self.paths.push(file.to_owned());
        let mut zonefile = Zonefile::with_capacity(text.len() + 1);
        zonefile.extend_from_slice(text);
        // A last line without its end is read like any other.
        zonefile.extend_from_slice(b"\n");
        zonefile.set_origin(origin);
        zonefile.set_default_class(domain::base::iana::Class::IN);
        let (mut line, mut counted) = (1, 0);
        let lines = text.trim_ascii_end().split(|octet| *octet == b'\n').count();
        loop {
            let entry = zonefile.next_entry().map_err(|error| LoadError::Syntax {
                file: file.to_owned(),
                error: syntax(&error.to_string(), lines),
            })?;
            // The line that the record ends in: its own end of line may be read already or not.
            let upto = text[..zonefile.current_offset().min(text.len())].trim_ascii_end().len().max(counted);
            line += text[counted..upto].iter().filter(|octet| **octet == b'\n').count();
            counted = upto;
            match entry {
                None => return Ok(()),
                Some(Entry::Record(record)) => {
                    if record.class().to_int() != class::IN {
                        return Err(wrong(
                            line,
                            format!("class {} is not served; leave it out or say IN", record.class()),
                        ));
                    }
                    let mut rdata = Vec::new();
                    // As it is signed (RFC 4034 section 6.2): names in lower case. Writing to a vector does not fail.
                    _ = record.data().compose_canonical_rdata(&mut rdata);
                    let owner: domain::base::Name<Vec<u8>> = record.owner().to_name();
                    let mut owner = owner.into_octets();
                    owner.make_ascii_lowercase();
                    self.records.push(Read {
                        owner: owner.into(),
                        rtype: record.rtype().to_int(),
                        ttl: record.ttl().as_secs(),
                        rdata: rdata.into(),
                        file: at,
                        line,
                    });
                    if self.records.len() > MOST_RECORDS {
                        return Err(wrong(
                            line,
                            format!("the zone has more than {MOST_RECORDS} records; split it"),
                        ));
                    }
                }
                Some(Entry::Include { path, origin }) => {
                    let Some(folder) = folder else {
                        return Err(wrong(
                            line,
                            "$INCLUDE has no folder to read from here; put the records in place".into(),
                        ));
                    };
                    if depth == DEEPEST_INCLUDE {
                        return Err(wrong(
                            line,
                            format!(
                                "files include each other more than {DEEPEST_INCLUDE} deep; is one including itself?"
                            ),
                        ));
                    }
                    let unreadable = |error| LoadError::Unreadable { file: folder.join(&*path), error };
                    let included = folder.join(&*path).canonicalize().map_err(unreadable)?;
                    if !included.starts_with(folder) {
                        return Err(wrong(
                            line,
                            format!(
                                "$INCLUDE {} leads out of the zone's folder; move the file there",
                                path.escape_debug()
                            ),
                        ));
                    }
                    let text = std::fs::read(&included).map_err(unreadable)?;
                    let origin = match origin {
                        Some(origin) => origin,
                        None => zonefile.origin().map_err(|error| wrong(line, error.to_string()))?,
                    };
                    self.read(&included, &text, origin, Some(folder), depth + 1)?;
                }
            }
        }
    }
}

/// One set while it is collected, with where its first record stands.
struct Collected {
    ttl: u32,
    records: Vec<Box<[u8]>>,
    file: usize,
    line: usize,
}

type Sets = BTreeMap<u16, Collected>;

struct Builder<'f> {
    paths: &'f [PathBuf],
    apex: Box<[u8]>,
    names: BTreeMap<Box<[u8]>, Sets>,
}

fn build(files: Files, apex: Box<[u8]>, plan: &Plan) -> Result<Zone, LoadError> {
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
    fn show_type(rtype: u16) -> String {
        domain::base::iana::Rtype::from_int(rtype).to_string()
    }

    fn wrong(&self, (file, line): (usize, usize), what: String) -> LoadError {
        LoadError::Wrong { file: self.paths.get(file).cloned().unwrap_or_default(), line, what }
    }

    fn zone(&self, what: impl Into<String>) -> LoadError {
        LoadError::Zone { apex: name::show(&self.apex), what: what.into() }
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

    fn check(&mut self) -> Result<(), LoadError> {
        let apex = self.apex.clone();
        let Some(at_apex) = self.names.get(&apex) else {
            return Err(
                self.zone("its file has no record at the zone's own name; is it the file of another zone?")
            );
        };
        match at_apex.get(&rtype::SOA).map(|set| set.records.len()) {
            Some(1) => {}
            Some(_) => return Err(self.zone("it has several SOA records; keep one")),
            None => return Err(self.zone("it has no SOA record; add one at @")),
        }
        if !at_apex.contains_key(&rtype::NS) {
            return Err(self.zone("it has no NS record at @; name its name servers"));
        }
        for (owner, sets) in &mut self.names {
            for (rtype, set) in sets {
                set.records.sort_unstable();
                set.records.dedup();
                let size: usize = set.records.iter().map(|record| record.len() + 12).sum();
                if size > LARGEST_SET {
                    let what = format!(
                        "{} {} has {size} octets; no more than {LARGEST_SET} can be answered",
                        name::show(owner),
                        Self::show_type(*rtype)
                    );
                    let file = self.paths.get(set.file).cloned().unwrap_or_default();
                    return Err(LoadError::Wrong { file, line: set.line, what });
                }
            }
        }
        for (owner, sets) in &self.names {
            if owner.len() > apex.len()
                && let Some(soa) = sets.get(&rtype::SOA)
            {
                let what =
                    format!("{} SOA is below the zone's own name; that is another zone", name::show(owner));
                return Err(self.wrong((soa.file, soa.line), what));
            }
            if let Some(alias) = sets.get(&rtype::CNAME) {
                let place = (alias.file, alias.line);
                if let Some(other) = sets.keys().find(|rtype| **rtype != rtype::CNAME) {
                    let what = format!(
                        "{} has a CNAME and {}; a name with a CNAME has nothing else (RFC 2181 section 10.1)",
                        name::show(owner),
                        Self::show_type(*other)
                    );
                    return Err(self.wrong(place, what));
                }
                if alias.records.len() > 1 {
                    return Err(self
                        .wrong(place, format!("{} has several CNAME records; keep one", name::show(owner))));
                }
            }
        }
        Ok(())
    }

    fn config_name(&self, text: &str, what: &str) -> Result<Box<[u8]>, LoadError> {
        let wire = name::from_text(text)
            .map_err(|error: NameError| self.zone(format!("{what} \"{text}\" is no domain name: {error}")))?;
        if wire.len() <= self.apex.len() || !name::is_within(&wire, &self.apex) {
            return Err(self.zone(format!("{what} \"{text}\" is not below the zone; write the whole name")));
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
            return Err(self.zone(format!(
                "the cut's lifetime is {ttl} s; it must be {} to {} s, so that resolvers come back to be sent nearer",
                CUT_TTL.start(),
                CUT_TTL.end()
            )));
        }
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(
                self.zone(format!("the cut has {} name servers; name 1 to {MOST_NAMES}", names.len()))
            );
        }
        let cut = self.config_name(cut, "the cut")?;
        let mut wires = Vec::new();
        for text in names {
            let wire = self.config_name(text, "the name server")?;
            if name::is_within(&wire, &cut) {
                return Err(self.zone(format!(
                    "the name server \"{text}\" is below the cut, where this zone does not answer; name it beside the cut"
                )));
            }
            if wires.contains(&wire) {
                return Err(self.zone(format!("the name server \"{text}\" is named twice")));
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

    /// Cuts of the file and the steered one: nothing but addresses of name servers below them.
    fn check_cuts(&self, role: &Role) -> Result<(), LoadError> {
        let steered = if let Role::Top { cut, .. } = role { Some(cut) } else { None };
        for (owner, sets) in &self.names {
            let labels = name::count(owner) - name::count(&self.apex);
            let above = |skipped: usize| name::skip(owner, skipped);
            if let Some(ds) = sets.get(&rtype::DS)
                && steered != Some(owner)
                && (labels == 0 || !sets.contains_key(&rtype::NS))
            {
                let what =
                    format!("{} DS is at no delegation; it belongs beside NS records", name::show(owner));
                return Err(self.wrong((ds.file, ds.line), what));
            }
            if labels == 0 {
                continue;
            }
            if let Some(ns) = sets.get(&rtype::NS) {
                let place = (ns.file, ns.line);
                if owner.starts_with(b"\x01*") {
                    return Err(self.wrong(
                        place,
                        format!(
                            "{} NS: a wildcard cannot be delegated (RFC 4592 section 4.2)",
                            name::show(owner)
                        ),
                    ));
                }
                if let Some(other) =
                    sets.keys().find(|it| !matches!(**it, rtype::NS | rtype::DS | rtype::A | rtype::AAAA))
                {
                    let what = format!(
                        "{} is delegated and has {}, which would never be answered; put it into the delegated zone",
                        name::show(owner),
                        Self::show_type(*other)
                    );
                    return Err(self.wrong(place, what));
                }
            }
            for skipped in 1..labels {
                let upper = above(skipped);
                let cut = steered.is_some_and(|cut| **cut == *upper)
                    || self.names.get(upper).is_some_and(|sets| sets.contains_key(&rtype::NS));
                let other = sets.iter().find(|(it, _)| {
                    steered.is_some_and(|cut| **cut == *upper) || !matches!(**it, rtype::A | rtype::AAAA)
                });
                if let (true, Some((rtype, set))) = (cut, other) {
                    let what = format!(
                        "{} {} is below the delegation of {} and would never be answered; put it into the delegated zone",
                        name::show(owner),
                        Self::show_type(*rtype),
                        name::show(upper)
                    );
                    return Err(self.wrong((set.file, set.line), what));
                }
            }
        }
        self.check_name_servers(role)
    }

    /// Name servers of the zone that are in the zone have addresses, and no alias (RFC 2181 section 10.3).
    fn check_name_servers(&self, role: &Role) -> Result<(), LoadError> {
        let steered: &[Box<[u8]>] = if let Role::Top { names, .. } = role { names } else { &[] };
        for (owner, sets) in &self.names {
            let Some(ns) = sets.get(&rtype::NS) else { continue };
            for target in &ns.records {
                let target = target.to_ascii_lowercase();
                // Addresses of a name server below a foreign cut are its own affair; those below this one are glue.
                if !name::is_within(&target, if **owner == *self.apex { &self.apex } else { owner })
                    || steered.iter().any(|it| **it == *target)
                {
                    continue;
                }
                let has = |rtype| self.names.get(&target[..]).is_some_and(|sets| sets.contains_key(&rtype));
                let below_cut = (1..name::count(&target).saturating_sub(name::count(owner))).any(|skipped| {
                    self.names
                        .get(name::skip(&target, skipped))
                        .is_some_and(|sets| sets.contains_key(&rtype::NS))
                });
                if !has(rtype::A) && !has(rtype::AAAA) && !below_cut {
                    let what = format!(
                        "{} is a name server of {} but has no address here; add an A or AAAA record",
                        name::show(&target),
                        name::show(owner)
                    );
                    return Err(self.wrong((ns.file, ns.line), what));
                }
            }
        }
        Ok(())
    }

    fn finish(self, role: Role) -> Result<Zone, LoadError> {
        let Self { apex, names, .. } = self;
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
        let missing = |what: &str| LoadError::Zone { apex: name::show(&apex), what: what.into() };
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
