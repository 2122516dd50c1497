//! From a question to the records of the response (RFC 1034 section 4.3.2, with RFC 4592 and 2308).

use std::net::IpAddr;

use super::dnssec::denial::nsec;
use super::dnssec::{Signer, Signing};
use super::rates;
use super::settings::Settings;
use super::steered::Choice;
use super::zone::{Found, Kind, Node, Role, RrSet, Zone};
use crate::dns::codes::{error, rcode, rtype};
use crate::dns::name::{self, Name};
use crate::dns::writer::{Data, Full, Section, Writer};
use crate::steer::{Client, Steerable, Steering};

/// Aliases that are followed in one response. The resolver goes on from the last.
const MOST_ALIASES: usize = 8;

/// What kind of answer it was, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing of a zone.
    Other,
    Positive,
    Referral,
    NoData,
    NoName,
}

/// What the header, the OPT record, rate limiting and the counters need to know of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub rcode: u16,
    pub authoritative: bool,
    pub scope: u8,
    pub error: Option<u16>,
    pub kind: rates::Kind,
    pub outcome: Outcome,
    /// Something in it was chosen by the map.
    pub steered: bool,
}

impl Answer {
    /// Nothing but a response code.
    pub fn bare(rcode: u16) -> Self {
        Self {
            rcode,
            authoritative: false,
            scope: 0,
            error: None,
            kind: rates::Kind::Error,
            outcome: Outcome::Other,
            steered: false,
        }
    }

    pub fn with_error(rcode: u16, error: u16) -> Self {
        Self { error: Some(error), ..Self::bare(rcode) }
    }
}

/// What to go on with after one name.
pub(super) enum Next {
    Done,
    /// The name that an alias leads to is in [`Work::target`].
    Alias,
}

/// Where records go, apart from what they are chosen from.
pub(super) struct Out<'w, 'b> {
    pub writer: &'w mut Writer<'b>,
    /// None, the client did not ask for signatures.
    pub signing: Option<Signing<'w>>,
}

impl Out<'_, '_> {
    /// The keys of a zone, if it has some and the client wants to see what they sign.
    pub fn signer<'z>(&self, zone: &'z Zone) -> Option<&'z Signer> {
        self.signing.as_ref().and(zone.signer.as_deref())
    }

    /// A whole RRset with its signatures, or nothing and TC (RFC 2181 section 9).
    pub fn put(
        &mut self,
        zone: &Zone,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: Data<'_>,
    ) -> Result<(), Full> {
        let mark = self.writer.mark();
        let done = data
            .each(|rdata| self.writer.record(section, owner, rtype, ttl, rdata))
            .and_then(|()| self.sign(zone, section, owner, rtype, ttl, data));
        if done.is_err() {
            self.writer.back_to(mark);
            self.writer.truncate();
        }
        done
    }

    pub fn sign(
        &mut self,
        zone: &Zone,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: Data<'_>,
    ) -> Result<(), Full> {
        match (&mut self.signing, &zone.signer) {
            (Some(signing), Some(signer)) => {
                signing.add(self.writer, signer, section, owner, rtype, ttl, data)
            }
            _ => Ok(()),
        }
    }

    /// Additional records, as long as there is room: nobody needs them.
    pub fn put_if_room(&mut self, owner: &[u8], rtype: u16, ttl: u32, data: Data<'_>) -> bool {
        let mark = self.writer.mark();
        let done = data.each(|rdata| self.writer.record(Section::Additional, owner, rtype, ttl, rdata));
        if done.is_err() {
            self.writer.back_to(mark);
        }
        done.is_ok()
    }
}

/// One question being answered.
pub(super) struct Work<'w, 'b, S> {
    pub settings: &'w Settings,
    pub steering: &'w mut S,
    pub out: Out<'w, 'b>,
    /// The client knows that NXNAME means NXDOMAIN (RFC 9824 section 5.1).
    pub compact_ok: bool,
    /// Seconds since 1970.
    pub now: u64,
    pub qtype: u16,
    /// The resolver.
    pub resolver: IpAddr,
    /// For whom addresses are chosen.
    pub client: Client,
    pub turn: u32,
    /// Where the data of an HTTPS record is put together.
    pub scratch: &'w mut Vec<u8>,
    /// Where the types of a name are put together.
    pub types: &'w mut Vec<u16>,
    pub target: &'w mut Name,
    pub answer: Answer,
}

impl<S: Steering> Work<'_, '_, S> {
    /// Answers for a name and what it is an alias for.
    pub fn run(&mut self, name: &mut Name) {
        let settings = self.settings;
        let mut seen = [0; MOST_ALIASES + 1];
        for step in 0..=MOST_ALIASES {
            let Some(zone) = settings.zones.find(name, self.qtype) else {
                if step == 0 {
                    self.answer = Answer::with_error(rcode::REFUSED, error::NOT_AUTHORITATIVE);
                }
                return;
            };
            // Signatures are made for what they cover; none is there by itself to be had.
            if self.qtype == rtype::RRSIG && zone.signer.is_some() {
                self.answer = Answer::with_error(rcode::REFUSED, error::NOT_SUPPORTED);
                return;
            }
            match self.at(zone, name, step == 0) {
                Ok(Next::Alias) => {}
                // What does not fit is left out, and TC says so.
                Ok(Next::Done) | Err(Full) => return,
            }
            seen[step] = name::hash(name.wire());
            std::mem::swap(name, self.target);
            // Aliases in a circle are shown once round.
            if seen[..=step].contains(&name::hash(name.wire())) {
                return;
            }
        }
    }

    fn at(&mut self, zone: &Zone, name: &Name, first: bool) -> Result<Next, Full> {
        if first {
            self.answer.authoritative = true;
            self.answer.kind = rates::Kind::Negative(zone.hash);
        }
        // The common case: nothing of the file is looked at, except for names that a wildcard would make up.
        let steered = self.steerable(zone, name);
        if let Some(found) = steered.filter(|_| !zone.has_cuts) {
            return self.steered(zone, name, found, None, first);
        }
        match zone.find(name, self.qtype) {
            Found::Cut(owner, node) => self.referral(zone, owner, node, name, first),
            Found::Node(node) => {
                if let Some(found) = steered {
                    return self.steered(zone, name, found, Some(node), first);
                }
                match node.kind {
                    Kind::NameServer(at) => self.name_server(zone, name, at, first),
                    _ => self.data(zone, name, node, name::hash(name.wire()), first),
                }
            }
            Found::Nothing => {
                if let Some(found) = steered {
                    return self.steered(zone, name, found, None, first);
                }
                if zone.role == Role::Low && self.steering.is_above_names(zone.below_apex(name.wire())) {
                    return self.no_data(zone, name, Has::default());
                }
                let steering = &*self.steering;
                let exists = |suffix: &[u8]| {
                    let below = zone.below_apex(suffix);
                    zone.role == Role::Low
                        && (steering.find(below).is_some_and(|found| found.wildcard.is_none())
                            || steering.is_above_names(below))
                };
                match zone.wildcard(name, exists) {
                    // Random names below a wildcard count as one for rate limiting.
                    Some(node) => {
                        let hash = std::ptr::from_ref(node) as u64;
                        self.data(zone, name, node, hash, first)
                    }
                    None => self.no_name(zone, name),
                }
            }
        }
    }

    /// A steered name; not one that a wildcard makes beside what the file has.
    fn steerable(&self, zone: &Zone, name: &Name) -> Option<Steerable> {
        let steered = || self.steering.find(zone.below_apex(name.wire()));
        let found = (zone.role == Role::Low).then(steered).flatten()?;
        let is_hidden = |encloser| zone.is_below(name.wire(), encloser);
        (!found.wildcard.is_some_and(is_hidden)).then_some(found)
    }

    /// What the file says at a name; `hash` is what rate limiting counts it by.
    fn data(&mut self, zone: &Zone, name: &Name, node: &Node, hash: u64, first: bool) -> Result<Next, Full> {
        if matches!(self.qtype, rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY)
            && *name.wire() == *zone.apex
            && let Some(set) = zone.signer.as_ref().and_then(|signer| signer.set(self.qtype, self.now))
        {
            self.answer.outcome = Outcome::Positive;
            if first {
                self.answer.kind = rates::Kind::Positive(hash);
            }
            self.set(zone, Section::Answer, name.wire(), &set)?;
            return Ok(Next::Done);
        }
        let wanted = if self.qtype == rtype::ANY {
            // One RRset that really is there (RFC 8482 section 4.1), on any transport: small, true, and in accordance with what denials
            // say of the name's types; a made-up HINFO would not be.
            node.sets.first()
        } else {
            node.set(self.qtype)
        };
        if let Some(set) = wanted {
            if first {
                self.answer.kind = rates::Kind::Positive(hash);
            }
            self.answer.outcome = Outcome::Positive;
            self.set(zone, Section::Answer, name.wire(), set)?;
            if self.qtype == rtype::NS {
                self.addresses_of(zone, set);
            }
            return Ok(Next::Done);
        }
        // What a name has is a record of its own beside an alias too (RFC 4035 section 2.5).
        if let Some(alias) = node.set(rtype::CNAME).filter(|_| !self.asks_for_denial(zone)) {
            if first {
                self.answer.kind = rates::Kind::Positive(hash);
            }
            self.answer.outcome = Outcome::Positive;
            self.set(zone, Section::Answer, name.wire(), alias)?;
            return Ok(alias.records.first().map_or(Next::Done, |target| {
                self.target.set(target);
                Next::Alias
            }));
        }
        self.no_data(zone, name, Has { node: Some(node), ..Has::default() })
    }

    /// Records of the file.
    fn set(&mut self, zone: &Zone, section: Section, owner: &[u8], set: &RrSet) -> Result<(), Full> {
        self.out.put(zone, section, owner, set.rtype, set.ttl, Data::Many(&set.records))
    }

    /// The addresses of name servers that the zone itself has.
    fn addresses_of(&mut self, zone: &Zone, servers: &RrSet) {
        let mut name = Name::default();
        for target in &servers.records {
            name.set(target);
            let Some(node) = zone.nodes.get(name.wire()) else { continue };
            for rtype in [rtype::A, rtype::AAAA] {
                if let Some(set) = node.set(rtype) {
                    self.out.put_if_room(name.wire(), rtype, set.ttl, Data::Many(&set.records));
                }
            }
        }
    }

    fn soa(&mut self, zone: &Zone) -> Result<(), Full> {
        let data = Data::Many(&zone.soa.records);
        self.out.put(zone, Section::Authority, &zone.apex, rtype::SOA, zone.negative_ttl, data)
    }

    /// The name is there, but not with this type.
    pub fn no_data(&mut self, zone: &Zone, name: &Name, has: Has<'_>) -> Result<Next, Full> {
        // What the name has is itself a record, for those who ask for it.
        if self.asks_for_denial(zone) {
            self.answer.outcome = Outcome::Positive;
            self.nsec(zone, Section::Answer, name.wire(), has, None)?;
            return Ok(Next::Done);
        }
        self.answer.outcome = Outcome::NoData;
        self.soa(zone)?;
        if self.out.signer(zone).is_some() {
            self.nsec(zone, Section::Authority, name.wire(), has, None)?;
        }
        Ok(Next::Done)
    }

    /// The question is for an NSEC record, which each name of a signed zone has.
    pub fn asks_for_denial(&self, zone: &Zone) -> bool {
        self.qtype == rtype::NSEC && zone.signer.is_some()
    }

    fn no_name(&mut self, zone: &Zone, name: &Name) -> Result<Next, Full> {
        let missing = Some(rtype::NXNAME);
        // The denial says that this type is there, so it cannot prove that it is not: validators take it as an answer alone.
        if self.asks_for_denial(zone) && self.out.signer(zone).is_some() {
            self.answer.outcome = Outcome::NoName;
            self.nsec(zone, Section::Answer, name.wire(), Has::default(), missing)?;
            return Ok(Next::Done);
        }
        self.answer.outcome = Outcome::NoName;
        let compact = self.out.signer(zone).is_some();
        // Of a chain, the response code belongs to its last name (RFC 6604 section 3). A validator that does not know of compact denials
        // would not believe NXDOMAIN (RFC 9824 section 5).
        if !compact || self.compact_ok {
            self.answer.rcode = rcode::NXDOMAIN;
        }
        self.soa(zone)?;
        if compact {
            self.nsec(zone, Section::Authority, name.wire(), Has::default(), missing)?;
        }
        Ok(Next::Done)
    }

    fn nsec(
        &mut self,
        zone: &Zone,
        section: Section,
        owner: &[u8],
        has: Has<'_>,
        more: Option<u16>,
    ) -> Result<(), Full> {
        has.types(zone, owner, self.now, self.types);
        self.types.extend(more);
        let mut rdata = std::mem::take(self.scratch);
        nsec(owner, self.types, &mut rdata);
        let done = self.out.put(zone, section, owner, rtype::NSEC, zone.negative_ttl, Data::One(&rdata));
        *self.scratch = rdata;
        done
    }

    fn referral(
        &mut self,
        zone: &Zone,
        owner: &[u8],
        node: &Node,
        name: &Name,
        first: bool,
    ) -> Result<Next, Full> {
        // An alias that leads here is our own answer, what follows is not (RFC 1034 section 4.3.2).
        if first {
            self.answer.authoritative = false;
            self.answer.kind = rates::Kind::Referral(zone.hash);
        }
        self.answer.outcome = Outcome::Referral;
        if node.kind == Kind::SteeredCut {
            return self.steered_referral(zone, owner, node, name);
        }
        let Some(servers) = node.set(rtype::NS) else { return Ok(Next::Done) };
        for record in &servers.records {
            if self.out.writer.record(Section::Authority, owner, rtype::NS, servers.ttl, record).is_err() {
                self.out.writer.truncate();
                return Err(Full);
            }
        }
        self.delegation(zone, owner, node)?;
        let mut server = Name::default();
        for target in &servers.records {
            server.set(target);
            let Some(glue) = zone.nodes.get(server.wire()) else { continue };
            for rtype in [rtype::A, rtype::AAAA] {
                let Some(set) = glue.set(rtype) else { continue };
                let fits = self.out.put_if_room(server.wire(), rtype, set.ttl, Data::Many(&set.records));
                // Without the addresses of what is below the cut nobody gets there (RFC 9471 section 3.1).
                if !fits && name::is_within(server.wire(), owner) {
                    self.out.writer.truncate();
                    return Err(Full);
                }
            }
        }
        Ok(Next::Done)
    }

    /// What a referral proves of the zone below, for those who ask: its DS records, or that it has none (RFC 4035 section 3.1.4).
    pub fn delegation(&mut self, zone: &Zone, owner: &[u8], node: &Node) -> Result<(), Full> {
        if self.out.signer(zone).is_none() {
            return Ok(());
        }
        match node.set(rtype::DS) {
            Some(ds) => self.set(zone, Section::Authority, owner, ds),
            None => {
                let has = Has { node: Some(node), ..Has::default() };
                self.nsec(zone, Section::Authority, owner, has, None)
            }
        }
    }

    pub fn choice(&self) -> Choice {
        Choice { client: self.client, turn: self.turn }
    }
}

/// What a name has, for denials.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Has<'n> {
    /// Records of the file.
    pub node: Option<&'n Node>,
    /// Of what is chosen, which types there are now.
    pub chosen: [Option<u16>; 3],
    /// What is chosen takes the place of addresses and HTTPS records of the file.
    pub steered: bool,
}

impl Has<'_> {
    fn types(&self, zone: &Zone, owner: &[u8], now: u64, types: &mut Vec<u16>) {
        types.clear();
        types.extend(self.chosen.into_iter().flatten());
        if let Some(node) = self.node {
            let delegated = matches!(node.kind, Kind::Cut | Kind::SteeredCut);
            types.extend(node.sets.iter().map(|set| set.rtype).filter(|rtype| match *rtype {
                rtype::A | rtype::AAAA => !delegated && !self.steered,
                rtype::HTTPS | rtype::CNAME => !self.steered,
                _ => true,
            }));
            types.extend((node.kind == Kind::SteeredCut).then_some(rtype::NS));
        }
        if *owner == *zone.apex
            && let Some(signer) = &zone.signer
        {
            let of_keys = [rtype::DNSKEY, rtype::CDS, rtype::CDNSKEY];
            types.extend(of_keys.into_iter().filter(|rtype| signer.set(*rtype, now).is_some()));
        }
    }
}
