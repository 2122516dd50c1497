//! Which servers of a site carry a name: rendezvous hashing (Thaler and Ravishankar, 1998) with capacities as weights, and bounds on
//! what a busy server is given (after Mirrokni, Thorup and Zadimoghaddam, 2018).
//!
//! Each name has an order of a site's servers of its own. Its *home* is the first few of them, whatever their state, so that a
//! server that leaves moves only names that had it at home, and one that comes back gets exactly those back. A place at home
//! that cannot be filled, and each further copy, goes to the next in order that is not busy.

use super::Witness;
use crate::conditions::{Conditions, PARTS, Standing};
use crate::network::{Family, Network, Server, ServerId, Service, SiteId};

/// Most servers of a site that carry one name.
pub const MOST_COPIES: usize = 64;

/// Why a server carries a name or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Among the first in the name's order.
    Home,
    /// Stands in for one at home that may not be named.
    Replacement,
    /// Was added because the name is hot or a server at home is past its first threshold.
    Further,
    /// It cannot do what the service needs.
    LacksFeature,
    /// It has no address of this family.
    LacksAddress,
    /// At home, but it may not be named now.
    Unusable(Standing),
    /// Next in order, but past its first threshold: is given nothing new.
    Busy,
    /// Further down in the name's order than was needed.
    NotNeeded,
}

/// Which states may be named. Normally only servers that serve; less strict where a fallback says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strictness {
    Serving,
    /// Also those past their second threshold.
    Overloaded,
    /// All that no operator withdrew.
    LastKnown,
}

impl Strictness {
    pub fn admits(self, standing: Standing) -> bool {
        match standing {
            Standing::Serving => true,
            Standing::Overloaded => self >= Self::Overloaded,
            Standing::Failed | Standing::Leaving => self == Self::LastKnown,
            Standing::Withdrawn => false,
        }
    }
}

/// Servers that carry a name at a site, in the name's order.
#[derive(Clone, Copy, Debug)]
pub struct Holders {
    list: [ServerId; MOST_COPIES],
    count: usize,
}

impl Default for Holders {
    fn default() -> Self {
        Self { list: [ServerId(0); MOST_COPIES], count: 0 }
    }
}

impl Holders {
    pub fn as_slice(&self) -> &[ServerId] {
        &self.list[..self.count]
    }

    fn push(&mut self, server: ServerId) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = server;
            self.count += 1;
        }
    }
}

/// What a site is asked to carry.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub service: &'a Service,
    /// Hash of the name.
    pub content: u64,
    pub family: Family,
    pub site: SiteId,
    pub strictness: Strictness,
}

/// The servers of a site that carry a name. `scratch` is working memory, of no meaning between calls.
pub fn placement(
    network: &Network,
    conditions: &Conditions,
    placed: &Placed<'_>,
    scratch: &mut Vec<Drawn>,
    witness: &mut impl Witness,
) -> Holders {
    let mut holders = Holders::default();
    let Some(site) = network.sites.get(placed.site.0 as usize) else { return holders };
    scratch.clear();
    for at in site.servers.clone() {
        let Some(server) = network.servers.get(at as usize) else { continue };
        if server.features & placed.service.needs != placed.service.needs {
            witness.server(ServerId(at), Part::LacksFeature);
        } else if !placed.family.of(server) {
            witness.server(ServerId(at), Part::LacksAddress);
        } else {
            scratch.push(Drawn { cost: cost(placed.content, server), server: ServerId(at) });
        }
    }
    let least = usize::from(placed.service.copies.max(placed.service.near).max(1));
    let hot = conditions.copies(placed.site, placed.content).map_or(0, usize::from);
    let mut order = Order { network, rest: scratch, taken: 0, racks: Racks::default() };
    let mut home: [Option<ServerId>; MOST_COPIES] = [None; MOST_COPIES];
    let least = least.min(MOST_COPIES);
    let mut missing = 0;
    let mut further = hot.saturating_sub(least);
    for place in home.iter_mut().take(least) {
        let Some(server) = order.next() else { break };
        let now = conditions.server(server);
        if placed.strictness.admits(now.standing) {
            *place = Some(server);
            witness.server(server, Part::Home);
            further += shared_parts(placed.content, &network.servers[server.0 as usize], now.spread);
        } else {
            missing += 1;
            witness.server(server, Part::Unusable(now.standing));
        }
    }
    for server in home.iter().flatten() {
        holders.push(*server);
    }
    let mut wanted = missing + further;
    let mut busy = Holders::default();
    while wanted > 0 && holders.count < MOST_COPIES {
        let Some(server) = order.next() else { break };
        let now = conditions.server(server);
        if !placed.strictness.admits(now.standing) {
            witness.server(server, Part::Unusable(now.standing));
        } else if now.busy {
            busy.push(server);
            witness.server(server, Part::Busy);
        } else {
            wanted -= 1;
            let part = if missing > 0 { Part::Replacement } else { Part::Further };
            missing = missing.saturating_sub(1);
            witness.server(server, part);
            holders.push(server);
        }
    }
    // Where only busy ones are left they stand in for what is missing: less bad than one address, or none.
    for server in busy.as_slice() {
        if missing == 0 {
            break;
        }
        missing -= 1;
        witness.server(*server, Part::Replacement);
        holders.push(*server);
    }
    for left in order.left() {
        witness.server(left, Part::NotNeeded);
    }
    holders
}

/// On how many further servers this name is, of a server that shares `spread` parts of its content.
fn shared_parts(content: u64, server: &Server, spread: u16) -> usize {
    if spread == 0 {
        return 0;
    }
    let parts = u64::from(PARTS);
    let part = mix(content ^ server.key.rotate_left(17)) % parts;
    ((u64::from(spread) + parts - 1 - part) / parts) as usize
}

/// A server with its place in a name's order.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    cost: u64,
    server: ServerId,
}

/// Racks that have a holder, as far as they can be told apart in 128 bits: two that cannot are taken for one.
#[derive(Default)]
struct Racks(u128);

impl Racks {
    fn bit(rack: u16) -> u128 {
        1 << (rack % 128)
    }
}

/// A name's order of servers: by cost, but one of a rack that has none yet before one of a rack that has.
struct Order<'a> {
    network: &'a Network,
    rest: &'a mut Vec<Drawn>,
    taken: usize,
    racks: Racks,
}

impl Order<'_> {
    fn next(&mut self) -> Option<ServerId> {
        let open = &mut self.rest[self.taken..];
        let rack = |entry: &Drawn| self.network.servers[entry.server.0 as usize].rack;
        let mut best: Option<(bool, u64, u32, usize)> = None;
        for (at, entry) in open.iter().enumerate() {
            let known = self.racks.0 & Racks::bit(rack(entry)) != 0;
            let candidate = (known, entry.cost, entry.server.0, at);
            if best.is_none_or(|best| candidate < best) {
                best = Some(candidate);
            }
        }
        let (known, _, _, at) = best?;
        if known {
            // Every rack has one: begin again.
            self.racks = Racks::default();
        }
        let chosen = open[at];
        self.racks.0 |= Racks::bit(rack(&chosen));
        open.swap(0, at);
        self.taken += 1;
        Some(chosen.server)
    }

    fn left(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.rest[self.taken..].iter().map(|entry| entry.server)
    }
}

/// A name's cost of a server: an exponential variable with the server's capacity as rate, so that the least cost falls on each
/// server as often as its capacity says. In whole numbers: the same on every machine.
fn cost(content: u64, server: &Server) -> u64 {
    let drawn = mix(content ^ mix(server.key));
    negative_log2(drawn) / u64::from(server.capacity.max(1))
}

/// -log2((x + 1) / 2^64) in units of 2^-48, by a table with straight lines between its points.
fn negative_log2(x: u64) -> u64 {
    if x == u64::MAX {
        return 0;
    }
    let x = x + 1;
    let zeros = x.leading_zeros();
    // The leading one is dropped: what follows is the mantissa, 64 bits.
    let mantissa = if zeros == 63 { 0 } else { x << (zeros + 1) };
    let at = (mantissa >> 56) as usize;
    let within = (mantissa >> 24) & 0xffff_ffff;
    let (low, high) = (LOG2[at], LOG2[at + 1]);
    let log = (low << 16) + (((high - low) * within) >> 16);
    (u64::from(zeros + 1) << 48) - log
}

/// log2(1 + i/256) in units of 2^-32.
static LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i <= 256 {
        table[i] = log2_of(256 + i as u64);
        i += 1;
    }
    table
};

/// log2(x / 256) for x from 256 to 512, in units of 2^-32: a bit for each squaring.
const fn log2_of(x: u64) -> u64 {
    if x == 512 {
        return 1 << 32;
    }
    let mut value = (x as u128) << 54;
    let mut log = 0;
    let mut bit = 0;
    while bit < 32 {
        value = (value * value) >> 62;
        log <<= 1;
        if value >> 63 != 0 {
            value >>= 1;
            log |= 1;
        }
        bit += 1;
    }
    log
}

/// Spreads the bits of a number over all of it (the finalizer of MurmurHash3, Appleby).
pub fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}
