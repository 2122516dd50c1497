//! The addresses of one origin: which there are, which to try first, and which to leave alone for a while.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses that one name may have; more are ignored.
const MOST: usize = 16;
/// How long an address that could not be connected to comes after all others.
const AVOID: Duration = Duration::from_secs(30);

/// See the module. Decides by what it is told, and by `now`.
#[derive(Debug, Default)]
pub struct Addresses {
    known: Vec<Known>,
    looked_up: Option<Instant>,
    /// When the name was last found to have none.
    missing: Option<Instant>,
    /// How often they were asked for.
    turn: usize,
}

#[derive(Debug)]
struct Known {
    address: SocketAddr,
    avoid_until: Option<Instant>,
}

impl Addresses {
    /// An address that is given, and needs no looking up.
    pub fn fixed(address: SocketAddr) -> Self {
        Self { known: vec![Known { address, avoid_until: None }], ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Is it time to look them up again?
    pub fn is_old(&self, most: Duration, now: Instant) -> bool {
        self.looked_up.is_none_or(|at| now.duration_since(at) >= most)
    }

    /// Did a look-up fail within the last `rest`?
    pub fn is_missing(&self, rest: Duration, now: Instant) -> bool {
        self.missing.is_some_and(|at| now.duration_since(at) < rest)
    }

    /// Takes in what a look-up found. What is known of an address that is still there stays known.
    pub fn found(&mut self, found: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        let mut known: Vec<Known> = Vec::new();
        for address in found {
            if known.len() < MOST && !known.iter().any(|it| it.address == address) {
                let before = self.known.iter().find(|it| it.address == address);
                known.push(Known { address, avoid_until: before.and_then(|it| it.avoid_until) });
            }
        }
        self.looked_up = Some(now);
        self.missing = None;
        self.known = known;
    }

    /// Takes in that a look-up failed. Addresses known before are used further: a name server that is down must not take
    /// the origin with it.
    pub fn not_found(&mut self, now: Instant) {
        self.looked_up = Some(now);
        self.missing = Some(now);
    }

    /// No connection to this address.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        if let Some(it) = self.known.iter_mut().find(|it| it.address == address) {
            it.avoid_until = Some(now + AVOID);
        }
    }

    pub fn worked(&mut self, address: SocketAddr) {
        if let Some(it) = self.known.iter_mut().find(|it| it.address == address) {
            it.avoid_until = None;
        }
    }

    /// All of them, the one to try first at the front: families alternate, beginning with that of the resolver's first
    /// (RFC 8305 section 4); within a family each call begins with the next, so that connections spread; those that failed
    /// of late come last.
    pub fn in_order(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.turn = self.turn.wrapping_add(1);
        let is_good = |it: &&Known| it.avoid_until.is_none_or(|until| until <= now);
        let good: Vec<SocketAddr> = self.known.iter().filter(is_good).map(|it| it.address).collect();
        let mut order = alternate(&good, self.turn);
        let bad = self.known.iter().map(|it| it.address).filter(|address| !good.contains(address));
        order.extend(bad);
        order
    }
}

fn alternate(addresses: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut own, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|it| it.is_ipv6() == first.is_ipv6());
    for family in [&mut own, &mut other] {
        if !family.is_empty() {
            let by = turn % family.len();
            family.rotate_left(by);
        }
    }
    let mut order = Vec::with_capacity(addresses.len());
    let (mut own, mut other) = (own.into_iter(), other.into_iter());
    loop {
        match (own.next(), other.next()) {
            (None, None) => return order,
            (a, b) => order.extend(a.into_iter().chain(b)),
        }
    }
}

/// The address that a URL's host gives, if it gives one.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn families_alternate_and_members_take_turns() {
        let mut addresses = Addresses::default();
        let all = ["[::1]:1", "[::2]:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(address);
        addresses.found(all, now());
        let order = addresses.in_order(now());
        assert_eq!(order, ["[::2]:1", "10.0.0.2:1", "[::1]:1", "10.0.0.3:1", "10.0.0.1:1"].map(address));
        assert_eq!(addresses.in_order(now())[..2], ["[::1]:1", "10.0.0.3:1"].map(address));
    }

    #[test]
    fn a_failing_address_comes_last_for_a_while() {
        let start = now();
        let mut addresses = Addresses::default();
        let all = ["10.0.0.1:1", "10.0.0.2:1"].map(address);
        addresses.found(all, start);
        addresses.failed(all[1], start);
        assert_eq!(addresses.in_order(start), all);
        assert_eq!(addresses.in_order(start), all);
        addresses.found(all, start);
        assert_eq!(addresses.in_order(start), all, "looking it up again makes it no better");
        let later = start + AVOID;
        assert_eq!([addresses.in_order(later)[0], addresses.in_order(later)[0]].len(), 2);
        addresses.failed(all[0], later);
        addresses.worked(all[0]);
        let firsts = [addresses.in_order(later)[0], addresses.in_order(later)[0]];
        assert!(firsts.contains(&all[0]) && firsts.contains(&all[1]));
    }

    #[test]
    fn a_failed_look_up_takes_nothing_away() {
        let start = now();
        let mut addresses = Addresses::default();
        addresses.found([address("10.0.0.1:1")], start);
        let later = start + Duration::from_secs(60);
        assert!(addresses.is_old(Duration::from_secs(60), later));
        addresses.not_found(later);
        assert!(!addresses.is_old(Duration::from_secs(60), later));
        assert_eq!(addresses.in_order(later), [address("10.0.0.1:1")]);
        assert!(addresses.is_missing(Duration::from_secs(1), later));
        assert!(!addresses.is_missing(Duration::from_secs(1), later + Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn the_order_has_each_address_once(found in prop::collection::vec((any::<bool>(), 0_u8..20), 0..40), failing in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let found: Vec<SocketAddr> = found
                .into_iter()
                .map(|(v6, n)| if v6 { address(&format!("[::{n}]:1")) } else { address(&format!("10.0.0.{n}:1")) })
                .collect();
            let start = now();
            let mut addresses = Addresses::default();
            addresses.found(found.iter().copied(), start);
            for index in failing {
                if !found.is_empty() {
                    addresses.failed(*index.get(&found), start);
                }
            }
            let mut order = addresses.in_order(start);
            prop_assert!(order.len() <= MOST);
            prop_assert_eq!(order.is_empty(), found.is_empty());
            prop_assert!(order.iter().all(|it| found.contains(it)));
            order.sort();
            order.dedup();
            prop_assert_eq!(order.len(), addresses.known.len());
        }
    }
}
