//! The decision: which servers a client is given. A function of a map, a name and a unit of clients, and of nothing else.
//!
//! 1. [`sites`] walks the unit's ranking: a site has to have servers that can do what the service needs and may be named; one that
//!    sheds load gives a part of its clients to the next.
//! 2. [`placement`] says which servers there carry the name.
//! 3. [`choose`] takes as many of these as the answer has room for, by the unit, so that clients are spread over all of them.
//!
//! Each step tells a [`Witness`] what it considered and why it went on, so that an explanation is the decision itself, watched.

pub mod explain;
pub mod placement;
pub mod sites;
#[cfg(test)]
mod tests;

pub use placement::{Holders, MOST_COPIES, Part, Placed, Strictness, mix, placement};
pub use sites::{Usable, Verdict};

use crate::conditions::{Conditions, PARTS};
use crate::network::{Fallback, Family, MOST_ADDRESSES, Network, Ranked, ServerId, ServiceId, SiteId};

/// Watches a decision being made.
pub trait Witness {
    /// A site of the unit's ranking was considered.
    fn site(&mut self, _ranked: Ranked, _verdict: Verdict) {}
    /// A server of a chosen site was considered.
    fn server(&mut self, _server: ServerId, _part: Part) {}
    /// Of those that carry the name, these are given to the client's unit.
    fn chosen(&mut self, _site: SiteId, _servers: &[ServerId]) {}
}

/// Nobody watches.
impl Witness for () {}

/// Which sites answer a unit's clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// The site whose servers are named first.
    pub near: Option<SiteId>,
    /// A site in another failure domain, for services that want addresses from elsewhere too.
    pub elsewhere: Option<SiteId>,
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// As it should be.
    Steered,
    /// Only servers past their second threshold were left.
    Overloaded,
    /// None may be named: answered as if nothing were known of their health.
    LastKnown,
    /// None may be named: those of the fallback site.
    FallbackSite,
    /// None may be named: CNAME to the service's other name.
    Alias,
    /// There is no server at all that could be named, not even by the fallback.
    Nothing,
}

/// The servers of an answer, in order.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    list: [ServerId; MOST_ADDRESSES],
    count: usize,
    pub how: How,
    /// Units of which parts are given the same servers in the same order, a bit for each part: all, unless more servers carry the name
    /// than the answer has room for.
    pub alike: u64,
}

/// All parts: an answer does not go by units.
pub const ALL_PARTS: u64 = u64::MAX;
const _: () = assert!(PARTS as u32 == u64::BITS, "a bit for each part");

impl Choice {
    fn new(how: How) -> Self {
        Self { list: [ServerId(0); MOST_ADDRESSES], count: 0, how, alike: ALL_PARTS }
    }

    pub fn servers(&self) -> &[ServerId] {
        &self.list[..self.count]
    }

    fn push(&mut self, server: ServerId) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = server;
            self.count += 1;
        }
    }
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub service: ServiceId,
    /// Hash of the name.
    pub content: u64,
    pub family: Family,
    pub route: Route,
    /// Which share of a name's servers the unit is given, below [`PARTS`].
    pub part: u8,
    /// How strict the route was found with.
    pub strictness: Strictness,
}

/// The share of a name's servers that a unit's clients are given.
pub fn part_of_unit(key: u64) -> u8 {
    (mix(key ^ 0x5bd1_e995) % u64::from(PARTS)) as u8
}

/// Names the servers that a unit is given.
pub fn choose(
    network: &Network,
    conditions: &Conditions,
    question: &Question,
    scratch: &mut Vec<placement::Drawn>,
    witness: &mut impl Witness,
) -> Choice {
    let Some(service) = network.services.get(question.service.0 as usize) else {
        return Choice::new(How::Nothing);
    };
    let mut place = |choice: &mut Choice, site: SiteId, strictness: Strictness, room: u8| {
        let placed = Placed { service, content: question.content, family: question.family, site, strictness };
        let holders = placement(network, conditions, &placed, scratch, witness);
        let before = choice.count;
        share(network, &holders, question, room, choice);
        witness.chosen(site, &choice.list[before..choice.count]);
    };
    let Some(near) = question.route.near else {
        return match &service.fallback {
            Fallback::Alias(_) => Choice::new(How::Alias),
            Fallback::Site(site) => {
                let mut choice = Choice::new(How::FallbackSite);
                place(&mut choice, *site, Strictness::LastKnown, service.near);
                if choice.count == 0 { Choice::new(How::Nothing) } else { choice }
            }
            Fallback::LastKnown => Choice::new(How::Nothing),
        };
    };
    let mut choice = Choice::new(match question.strictness {
        Strictness::Serving => How::Steered,
        Strictness::Overloaded => How::Overloaded,
        Strictness::LastKnown => How::LastKnown,
    });
    place(&mut choice, near, question.strictness, service.near);
    if let Some(elsewhere) = question.route.elsewhere {
        place(&mut choice, elsewhere, question.strictness, service.elsewhere);
    }
    choice
}

/// Gives a unit its share of those that carry a name: as many as there is room for, beginning where the unit's part points to when
/// the servers' capacities are laid one after another.
fn share(network: &Network, holders: &Holders, question: &Question, room: u8, choice: &mut Choice) {
    let holders = holders.as_slice();
    let room = usize::from(room);
    if holders.len() <= room {
        for server in holders {
            choice.push(*server);
        }
        return;
    }
    let capacity = |server: &ServerId| u64::from(network.servers[server.0 as usize].capacity.max(1));
    let all: u64 = holders.iter().map(capacity).sum();
    // Each name begins elsewhere, so that the parts of many names do not add up on one server.
    let turned = question.content % all;
    let point = |part: u8| (u64::from(part) * all / u64::from(PARTS) + turned) % all;
    let own = point(question.part);
    let mut passed = 0;
    let mut first = 0;
    for (at, server) in holders.iter().enumerate() {
        let reach = passed..passed + capacity(server);
        if reach.contains(&own) {
            first = at;
            let same = (0..PARTS).filter(|part| reach.contains(&point(*part)));
            choice.alike &= same.fold(0, |alike, part| alike | 1 << part);
            break;
        }
        passed = reach.end;
    }
    let rack = |server: ServerId| network.servers[server.0 as usize].rack;
    let turned = || (0..holders.len()).map(|step| holders[(first + step) % holders.len()]);
    // Other racks first, then whoever is left.
    let mut taken = [false; MOST_COPIES];
    let before = choice.count;
    for apart in [true, false] {
        for (step, server) in turned().enumerate() {
            if choice.count - before == room {
                return;
            }
            let same_rack = choice.servers()[before..].iter().any(|other| rack(*other) == rack(server));
            if taken[step] || apart && same_rack {
                continue;
            }
            taken[step] = true;
            choice.push(server);
        }
    }
}
