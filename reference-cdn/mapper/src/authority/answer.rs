//! From a question to the records of the response (RFC 1034 section 4.3.2, with RFC 4592 and 2308).

use std::net::IpAddr;

use super::rates;
use super::settings::Settings;
use super::steered::Choice;
use super::zone::{Found, Kind, Node, Role, RrSet, Zone};
use crate::dns::codes::{error, rcode, rtype};
use crate::dns::name::{self, Name};
use crate::dns::writer::{Data, Full, Section, Writer};
use crate::steer::{Client, Steering};

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

/// One question being answered.
pub(super) struct Work<'w, 'b, S> {
    pub settings: &'w Settings,
    pub steering: &'w mut S,
    pub writer: &'w mut Writer<'b>,
    pub qtype: u16,
    /// The resolver.
    pub resolver: IpAddr,
    /// For whom addresses are chosen.
    pub client: Client,
    pub turn: u32,
    /// Where the data of an HTTPS record is put together.
    pub scratch: &'w mut Vec<u8>,
    pub target: Name,
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
            match self.at(zone, name, step == 0) {
                Ok(Next::Alias) => {}
                // What does not fit is left out, and TC says so.
                Ok(Next::Done) | Err(Full) => return,
            }
            seen[step] = name::hash(name.wire());
            std::mem::swap(name, &mut self.target);
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
        // The common case: nothing of the file is looked at.
        if zone.role == Role::Low
            && !zone.has_cuts
            && let Some(found) = self.steering.find(zone.below_apex(name.wire()))
        {
            return self.steered(zone, name, found, None, first);
        }
        match zone.find(name, self.qtype) {
            Found::Cut(owner, node) => self.referral(zone, owner, node, name, first),
            Found::Node(node) => {
                if zone.role == Role::Low
                    && let Some(found) = self.steering.find(zone.below_apex(name.wire()))
                {
                    return self.steered(zone, name, found, Some(node), first);
                }
                match node.kind {
                    Kind::NameServer(at) => self.name_server(zone, name, at, first),
                    _ => self.data(zone, name, node, name::hash(name.wire()), first),
                }
            }
            Found::Nothing => {
                if zone.role == Role::Low {
                    let below = zone.below_apex(name.wire());
                    if let Some(found) = self.steering.find(below) {
                        return self.steered(zone, name, found, None, first);
                    }
                    if self.steering.is_above_names(below) {
                        return self.no_data(zone, name, &[]);
                    }
                }
                let steering = &*self.steering;
                let exists = |suffix: &[u8]| {
                    let below = zone.below_apex(suffix);
                    zone.role == Role::Low
                        && (steering.find(below).is_some() || steering.is_above_names(below))
                };
                match zone.wildcard(name, exists) {
                    // Random names below a wildcard count as one for rate limiting.
                    Some(node) => self.data(zone, name, node, std::ptr::from_ref(node) as u64, first),
                    None => self.no_name(zone, name),
                }
            }
        }
    }

    /// What the file says at a name; `hash` is what rate limiting counts it by.
    fn data(&mut self, zone: &Zone, name: &Name, node: &Node, hash: u64, first: bool) -> Result<Next, Full> {
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
        if let Some(alias) = node.set(rtype::CNAME) {
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
        let types: Vec<u16> = Vec::new();
        self.no_data(zone, name, &types)
    }

    /// Records of the file.
    fn set(&mut self, zone: &Zone, section: Section, owner: &[u8], set: &RrSet) -> Result<(), Full> {
        self.put(zone, section, owner, set.rtype, set.ttl, Data::Many(&set.records))
    }

    /// A whole RRset, or nothing and TC (RFC 2181 section 9).
    pub fn put(
        &mut self,
        _zone: &Zone,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: Data<'_>,
    ) -> Result<(), Full> {
        let mark = self.writer.mark();
        let done = data.each(|rdata| self.writer.record(section, owner, rtype, ttl, rdata));
        if done.is_err() {
            self.writer.back_to(mark);
            self.writer.truncate();
        }
        done
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

    /// The addresses of name servers that the zone itself has.
    fn addresses_of(&mut self, zone: &Zone, servers: &RrSet) {
        let mut name = Name::default();
        for target in &servers.records {
            name.set(target);
            let Some(node) = zone.nodes.get(name.wire()) else { continue };
            for rtype in [rtype::A, rtype::AAAA] {
                if let Some(set) = node.set(rtype) {
                    self.put_if_room(name.wire(), rtype, set.ttl, Data::Many(&set.records));
                }
            }
        }
    }

    fn soa(&mut self, zone: &Zone) -> Result<(), Full> {
        self.put(
            zone,
            Section::Authority,
            &zone.apex,
            rtype::SOA,
            zone.negative_ttl,
            Data::Many(&zone.soa.records),
        )
    }

    /// The name is there, but not with this type. `types` are those that it has.
    pub fn no_data(&mut self, zone: &Zone, _name: &Name, _types: &[u16]) -> Result<Next, Full> {
        self.answer.outcome = Outcome::NoData;
        self.soa(zone)?;
        Ok(Next::Done)
    }

    fn no_name(&mut self, zone: &Zone, _name: &Name) -> Result<Next, Full> {
        self.answer.outcome = Outcome::NoName;
        // Of a chain, the response code belongs to its last name (RFC 6604 section 3).
        self.answer.rcode = rcode::NXDOMAIN;
        self.soa(zone)?;
        Ok(Next::Done)
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
            if self.writer.record(Section::Authority, owner, rtype::NS, servers.ttl, record).is_err() {
                self.writer.truncate();
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
                let fits = self.put_if_room(server.wire(), rtype, set.ttl, Data::Many(&set.records));
                // Without the addresses of what is below the cut nobody gets there (RFC 9471 section 3.1).
                if !fits && name::is_within(server.wire(), owner) {
                    self.writer.truncate();
                    return Err(Full);
                }
            }
        }
        Ok(Next::Done)
    }

    /// What a referral proves of the zone below, for those who ask.
    pub fn delegation(&mut self, _zone: &Zone, _owner: &[u8], _node: &Node) -> Result<(), Full> {
        Ok(())
    }

    pub fn choice(&self) -> Choice {
        Choice { client: self.client, turn: self.turn }
    }
}
