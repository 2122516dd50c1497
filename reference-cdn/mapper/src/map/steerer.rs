//! What a name-server thread asks: the current map, and answers that it has ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::{Map, Number, Routed, Table};
use crate::decide::placement::Drawn;
use crate::decide::{ALL_PARTS, How, Question, Route, Strictness, choose, mix};
use crate::network::{Family, MOST_ADDRESSES, NameServer, Order, Server, ServiceId, SiteId};
use crate::steer::{Client, Scopes, Steerable, Steered, Steering};

/// The map in use, for all threads. Old ones are kept until no thread has them, and are freed by whoever publishes: freeing one
/// takes longer than answering a query.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Map>,
    old: Mutex<Vec<Arc<Map>>>,
}

impl Published {
    pub fn new(map: Arc<Map>) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::new(map), old: Mutex::default() })
    }

    /// Maps come in the order in which they were made, each out of the one before or anew.
    pub fn publish(&self, map: Arc<Map>) {
        let before = self.current.swap(map);
        let mut old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
        old.push(before);
        let free = old.extract_if(.., |map| Arc::strong_count(map) == 1).collect::<Vec<_>>();
        drop(old);
        drop(free);
    }

    pub fn current(&self) -> Arc<Map> {
        self.current.load_full()
    }
}

/// Answers of one thread. It owns what it looks up in, so that nothing is shared on the way of a query.
#[derive(Debug)]
pub struct Steerer {
    published: Arc<Published>,
    map: Arc<Map>,
    ready: Vec<Ready>,
    scratch: Vec<Drawn>,
    /// An answer put together from others.
    out: Ready,
}

/// An answer that is ready, two to a slot: by name and route, and by the unit's part where that matters. Most answers take but the first
/// of its cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Ready {
    key: Key,
    /// Under which map it was made, and asked for last.
    made: Number,
    asked: Number,
    kind: Kind,
    /// It is another one for units of other parts.
    by_unit: bool,
    count4: u8,
    count6: u8,
    v4: [Ipv4Addr; MOST_ADDRESSES],
    v6: [Ipv6Addr; MOST_ADDRESSES],
    /// For IPv4 and IPv6, units of which parts are answered so ([`Choice::alike`](crate::decide::Choice)).
    alike: [u64; 2],
}

const _: () = assert!(std::mem::offset_of!(Ready, v4) + 2 * size_of::<Ipv4Addr>() <= 64);
const _: () = assert!(size_of::<Ready>() == 256);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    content: u64,
    route: Route,
    service: u32,
    strictness: Strictness,
    families: [bool; 2],
    part: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Addresses,
    Alias,
}

/// Part of an answer that does not go by units.
const ANY_PART: u8 = u8::MAX;

const NO_KEY: Key = Key {
    content: 0,
    route: Route { near: None, elsewhere: None },
    service: 0,
    strictness: Strictness::Serving,
    families: [false; 2],
    part: 0,
};
const EMPTY: Ready = Ready {
    key: NO_KEY,
    made: Number(0),
    asked: Number(0),
    kind: Kind::Empty,
    by_unit: false,
    count4: 0,
    count6: 0,
    v4: [Ipv4Addr::UNSPECIFIED; MOST_ADDRESSES],
    v6: [Ipv6Addr::UNSPECIFIED; MOST_ADDRESSES],
    alike: [ALL_PARTS; 2],
};

impl Steerer {
    /// `ready` answers are kept ready at most (rounded up to a power of two), at 256 octets each.
    pub fn new(published: Arc<Published>, ready: usize) -> Self {
        let map = published.current();
        let ready = vec![EMPTY; ready.clamp(2, 1 << 24).next_power_of_two()];
        Self { published, map, ready, scratch: Vec::new(), out: EMPTY }
    }

    /// Where the answer to a client is in `ready`, and its scopes.
    fn look_up(&mut self, name: Steerable, table: Table, client: IpAddr) -> (usize, Scopes) {
        let routed = self.map.table(table.number).find(client, false);
        let at = self.place(name, table, routed, ANY_PART);
        // That there is nothing of a family is so for everybody.
        let of = |family: bool, scope: u8| if family { scope } else { 0 };
        if !self.ready[at].by_unit {
            return (at, Scopes { v4: of(table.v4, routed.scope), v6: of(table.v6, routed.scope) });
        }
        let routed = self.map.table(table.number).find(client, true);
        let at = self.place(name, table, routed, routed.part);
        let [parts4, parts6] = self.ready[at].alike;
        let routes = self.map.table(table.number);
        let v4 = routes.scope(client, parts4);
        let v6 = if parts6 == parts4 { v4 } else { routes.scope(client, parts6) };
        (at, Scopes { v4: of(table.v4, v4), v6: of(table.v6, v6) })
    }

    /// The place of an answer, made ready if it is not. It is made anew when one of its sites is not any more as it was then; a new map
    /// by itself is no reason.
    fn place(&mut self, name: Steerable, table: Table, routed: Routed, part: u8) -> usize {
        let number = self.map.number;
        let key = Key {
            content: name.content,
            route: routed.route,
            service: name.service.0,
            strictness: self.map.table(table.number).strictness(),
            families: [table.v4, table.v6],
            part,
        };
        let site = |site: Option<SiteId>| site.map_or(0, |site| u64::from(site.0) + 1);
        let route = site(key.route.near) | site(key.route.elsewhere) << 32;
        let spread = (key.content ^ mix(route ^ u64::from(part) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = (spread >> 32) as usize & (self.ready.len() - 1) & !1;
        let is = |at: usize| self.ready[at].key == key && self.ready[at].kind != Kind::Empty;
        let at = if is(first) {
            first
        } else if is(first + 1) {
            first + 1
        } else {
            // In place of one that nobody asked for since this map is there, or else by a bit of the hash.
            let old = |at: usize| self.ready[at].asked != number;
            let second = !old(first) && (old(first + 1) || spread & 1 != 0);
            let at = first + usize::from(second);
            self.ready[at] = self.prepare(key, table, routed);
            at
        };
        if self.ready[at].made < routed.since {
            self.ready[at] = self.prepare(key, table, routed);
        }
        if self.ready[at].asked != number {
            self.ready[at].asked = number;
        }
        at
    }

    fn prepare(&mut self, key: Key, table: Table, routed: Routed) -> Ready {
        let number = self.map.number;
        let mut ready = Ready { key, made: number, asked: number, kind: Kind::Addresses, ..EMPTY };
        for family in table.families() {
            let question = Question {
                service: ServiceId(key.service),
                content: key.content,
                family,
                route: routed.route,
                part: routed.part,
                strictness: self.map.table(table.number).strictness(),
            };
            let choice =
                choose(&self.map.network, &self.map.conditions, &question, &mut self.scratch, &mut ());
            ready.alike[family as usize] = choice.alike;
            ready.by_unit |= choice.alike != ALL_PARTS;
            if choice.how == How::Alias {
                ready.kind = Kind::Alias;
            }
            for server in choice.servers() {
                ready.add(family, &self.map.network.servers[server.0 as usize]);
            }
        }
        ready
    }
}

impl Ready {
    fn add(&mut self, family: Family, server: &Server) {
        match family {
            Family::V4 => {
                if let (Some(address), Some(place)) = (server.v4, self.v4.get_mut(usize::from(self.count4))) {
                    *place = address;
                    self.count4 += 1;
                }
            }
            Family::V6 => {
                if let (Some(address), Some(place)) = (server.v6, self.v6.get_mut(usize::from(self.count6))) {
                    *place = address;
                    self.count6 += 1;
                }
            }
        }
    }

    fn v4(&self) -> &[Ipv4Addr] {
        &self.v4[..usize::from(self.count4)]
    }

    fn v6(&self) -> &[Ipv6Addr] {
        &self.v6[..usize::from(self.count6)]
    }
}

impl Steering for Steerer {
    fn find(&self, labels: &[u8]) -> Option<Steerable> {
        self.map.names().find(labels)
    }

    fn is_above_names(&self, labels: &[u8]) -> bool {
        self.map.names().is_above(labels)
    }

    fn steer(&mut self, name: Steerable, client: Client, turn: u32) -> Steered<'_> {
        let [first, second] = self.map.tables(name.service);
        // Which of those that are ready; none for `out`.
        let (at, scopes) = match (first, second) {
            (None, None) => {
                self.out = EMPTY;
                (None, Scopes::default())
            }
            (Some(table), None) | (None, Some(table)) => {
                let (at, scopes) = self.look_up(name, table, client.address);
                (Some(at), scopes)
            }
            (Some(first), Some(second)) => {
                // What IPv4 has decides between addresses and another name: whoever has it alone must get somewhere, and who has both does
                // either way.
                let (at, Scopes { v4, .. }) = self.look_up(name, first, client.address);
                self.out = self.ready[at];
                let (at, Scopes { v6, .. }) = self.look_up(name, second, client.address);
                let other = &self.ready[at];
                (self.out.v6, self.out.count6) = (other.v6, other.count6);
                (None, Scopes { v4, v6 })
            }
        };
        let Some(service) = self.map.network.services.get(name.service.0 as usize) else {
            return Steered::Addresses { v4: &[], v6: &[], ttl: 0, scopes };
        };
        let ttl = service.ttl;
        if at.map_or(&self.out, |at| &self.ready[at]).kind == Kind::Alias {
            // Where both families have sites of their own, IPv4 decides.
            let scope = if second.is_some() { scopes.v4 } else { scopes.of_all() };
            return Steered::Alias { target: self.map.names().alias(name.service), ttl, scope };
        }
        let ready = match (at, service.order) {
            (Some(at), Order::Fixed) => &self.ready[at],
            (None, Order::Fixed) => &self.out,
            (at, order) => {
                if let Some(at) = at {
                    self.out = self.ready[at];
                }
                let turn = if order == Order::Random { mix(u64::from(turn)) as u32 } else { turn };
                let (count4, count6) = (usize::from(self.out.count4), usize::from(self.out.count6));
                turn_by(&mut self.out.v4[..count4], turn, order);
                turn_by(&mut self.out.v6[..count6], turn, order);
                &self.out
            }
        };
        Steered::Addresses { v4: ready.v4(), v6: ready.v6(), ttl, scopes }
    }

    fn https(&self, name: Steerable) -> Option<&[u8]> {
        self.map.network.services.get(name.service.0 as usize)?.https.as_deref()
    }

    fn name_servers(&mut self, resolver: IpAddr) -> &[NameServer] {
        self.map.name_servers(resolver)
    }

    fn epoch(&self) -> u64 {
        self.map.epoch.0
    }

    fn refresh(&mut self) {
        if !Arc::ptr_eq(&self.published.current.load(), &self.map) {
            self.map = self.published.current();
        }
    }
}

/// Another order for each turn: round by round, or any.
fn turn_by<A>(addresses: &mut [A], turn: u32, order: Order) {
    let count = addresses.len();
    if count < 2 {
        return;
    }
    if order == Order::Rotated {
        addresses.rotate_left(turn as usize % count);
        return;
    }
    // Fisher and Yates, with digits of the turn.
    let mut rest = turn;
    for last in (1..count).rev() {
        let range = last as u32 + 1;
        addresses.swap(last, (rest % range) as usize);
        rest /= range;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::{Conditions, Standing};
    use crate::map::Epoch;
    use crate::sample;

    #[test]
    fn an_epoch_that_comes_again_is_not_answered_from_the_map_before() {
        let network = Arc::new(sample::network(&[3]));
        let map = |epoch, failed: usize| {
            let mut conditions = Conditions::calm(&network);
            conditions.servers[failed].standing = Standing::Failed;
            Arc::new(Map::new(Epoch(epoch), Arc::clone(&network), conditions, 4))
        };
        let published = Published::new(map(7, 0));
        let mut steerer = Steerer::new(Arc::clone(&published), 64);
        let client = Client { address: IpAddr::from([10, 0, 0, 1]), length: 32 };
        let name = steerer.find(b"\x02a1").unwrap();
        for (epoch, failed) in [(7, 0), (7, 1), (8, 2), (7, 0), (8, 1)] {
            published.publish(map(epoch, failed));
            steerer.refresh();
            let Steered::Addresses { v4, .. } = steerer.steer(name, client, 0) else { panic!("addresses") };
            let down = Ipv4Addr::new(192, 0, 0, failed as u8);
            assert!(v4.len() == 2 && !v4.contains(&down), "{v4:?} in map {epoch} without {down}");
        }
    }

    #[test]
    fn a_thread_without_queries_misses_that_epochs_began_anew_and_answers_from_the_map_that_is_there() {
        let network = Arc::new(sample::network(&[3]));
        let without = |failed: usize| {
            let mut conditions = Conditions::calm(&network);
            conditions.servers[failed].standing = Standing::Failed;
            conditions
        };
        let before = Arc::new(Map::new(Epoch(7), Arc::clone(&network), without(0), 4));
        let published = Published::new(Arc::clone(&before));
        let mut steerer = Steerer::new(Arc::clone(&published), 64);
        let client = Client { address: IpAddr::from([10, 0, 0, 1]), length: 32 };
        let name = steerer.find(b"\x02a1").unwrap();
        let mut is_named = |failed: u8| {
            steerer.refresh();
            let Steered::Addresses { v4, .. } = steerer.steer(name, client, 0) else { panic!("addresses") };
            v4.contains(&Ipv4Addr::new(192, 0, 0, failed))
        };
        assert!(!is_named(0) && is_named(1));
        let anew = Arc::new(before.next(Epoch(3), without(1)));
        published.publish(Arc::clone(&anew));
        published.publish(Arc::new(anew.next(Epoch(8), without(1))));
        assert!(is_named(0) && !is_named(1));
    }

    #[test]
    fn a_service_that_lost_its_last_server_has_its_other_name() {
        let mut network = sample::network(&[3]);
        network.services[0].needs = 1;
        network.services[0].fallback = crate::network::Fallback::Alias("origin.example.".into());
        let conditions = Conditions::calm(&network);
        let map = Arc::new(Map::new(Epoch(1), Arc::new(network), conditions, 4));
        let mut steerer = Steerer::new(Published::new(map), 64);
        let client = Client { address: IpAddr::from([10, 0, 0, 1]), length: 32 };
        let name = steerer.find(b"\x02a1").unwrap();
        let target: &[u8] = b"\x06origin\x07example\0";
        assert_eq!(steerer.steer(name, client, 0), Steered::Alias { target, ttl: 20, scope: 0 });
    }
}
