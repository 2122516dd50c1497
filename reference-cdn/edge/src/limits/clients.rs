//! What is left of the rates of many clients, in a table of fixed size.
//!
//! Who changes address at will (a /32 of IPv6 has 4 billion /64s) can neither make it grow nor have others refused: where
//! the table is full, whoever is nearest to a full bucket is forgotten, and has a full one when it comes again.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_cache::Time;

use super::bucket::{Bucket, Rate};

/// Clients that share a set. With eight, a table that is half full forgets hardly anybody.
const WAYS: usize = 8;

/// Whose bucket it is: a client has one with each customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientKey {
    /// What all its addresses have in common.
    pub network: u128,
    pub customer: u32,
}

/// A bucket and whose it is, in 32 octets. The default is free: a full bucket is as good as none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    network: u128,
    bucket: Bucket,
    customer: u32,
    /// That the bucket was filled at.
    per_second: u32,
}

impl Entry {
    fn is_of(&self, key: ClientKey) -> bool {
        (self.network, self.customer) == (key.network, key.customer)
    }

    fn full_at(&self) -> Time {
        self.bucket.full_at(self.per_second)
    }
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Admitted,
    /// So was it, and the client that was nearest to a full bucket was forgotten.
    Forgetting,
    /// For as long as this.
    Refused(Duration),
}

/// Takes one request of `key` from its bucket in `set`.
pub fn take(set: &mut [Entry], key: ClientKey, now: Time, rate: Rate) -> Taken {
    let known = set.iter().position(|entry| entry.is_of(key) && entry.full_at() > now);
    let nearest = || (0..set.len()).min_by_key(|index| set[*index].full_at());
    let Some(index) = known.or_else(nearest) else { return Taken::Admitted };
    let entry = &mut set[index];
    let forgets = known.is_none() && entry.full_at() > now;
    let bucket = if known.is_some() { entry.bucket } else { Bucket::default() };
    match bucket.take(now, rate) {
        Err(wait) => Taken::Refused(wait),
        Ok(bucket) => {
            let ClientKey { network, customer } = key;
            *entry = Entry { network, bucket, customer, per_second: rate.per_second };
            if forgets { Taken::Forgetting } else { Taken::Admitted }
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Clients {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
    /// Keyed, so that nobody can choose addresses that share a set with another's.
    hasher: RandomState,
}

impl Clients {
    /// A table for this many clients, rounded up.
    pub fn new(clients: usize) -> Self {
        let sets = clients.div_ceil(WAYS).max(1).next_power_of_two();
        Self { sets: (0..sets).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    pub fn take(&self, key: ClientKey, now: Time, rate: Rate) -> Taken {
        let set = self.hasher.hash_one(key) as usize % self.sets.len();
        // Entries are numbers, whole at any moment.
        take(&mut *self.sets[set].lock().unwrap_or_else(PoisonError::into_inner), key, now, rate)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_767_225_600_000;

    fn key(client: u32) -> ClientKey {
        ClientKey { network: client.into(), customer: client % 3 }
    }

    #[test]
    fn a_full_set_forgets_whoever_is_nearest_to_a_full_bucket() {
        let (rate, now) = (Rate { per_second: 1, burst: 3 }, Time::from_millis(START));
        let mut set = [Entry::default(); 2];
        let mut ask = |client| take(&mut set, key(client), now, rate);
        for (client, expected) in [
            (1, Taken::Admitted),
            (1, Taken::Admitted),
            (1, Taken::Admitted),
            (2, Taken::Admitted),
            (1, Taken::Refused(Duration::from_secs(1))),
            (3, Taken::Forgetting),
            // Client 2 was forgotten, not client 1, which has taken more.
            (1, Taken::Refused(Duration::from_secs(1))),
            (2, Taken::Forgetting),
        ] {
            assert_eq!(ask(client), expected, "client {client}");
        }
    }

    #[test]
    fn it_holds_as_many_as_it_says() {
        let (rate, now) = (Rate { per_second: 1, burst: 1 }, Time::from_millis(START));
        let clients = Clients::new(4096);
        let forgotten = (0..2048).filter(|n| clients.take(key(*n), now, rate) == Taken::Forgetting).count();
        assert!(forgotten < 100, "{forgotten} of 2048 clients forgotten in a table for 4096");
        let refused =
            (0..2048).filter(|n| matches!(clients.take(key(*n), now, rate), Taken::Refused(_))).count();
        assert!(refused > 1900, "{refused} of 2048 clients remembered");
    }

    /// Who asks, and how many milliseconds after the request before.
    fn requests(clients: u32) -> impl Strategy<Value = Vec<(u32, u64)>> {
        proptest::collection::vec((0..clients, prop_oneof![Just(0_u64), 0_u64..200]), 1..400)
    }

    proptest! {
        /// With room for all, each is treated as if it were alone.
        #[test]
        fn clients_do_not_touch_each_other(requests in requests(8), per_second in 1_u32..50, burst in 1_u32..10) {
            let rate = Rate { per_second, burst };
            let (mut set, mut alone, mut now) = ([Entry::default(); WAYS], HashMap::new(), START);
            for (client, gap) in requests {
                now += gap;
                let at = Time::from_millis(now);
                let bucket = alone.entry(client).or_insert(Bucket::default());
                let expected = match bucket.take(at, rate) {
                    Ok(next) => { *bucket = next; Taken::Admitted }
                    Err(wait) => Taken::Refused(wait),
                };
                prop_assert_eq!(take(&mut set, key(client), at, rate), expected);
            }
        }

        /// However many others there are, nobody is refused who has not just been admitted as often as it may.
        #[test]
        fn a_flood_of_addresses_has_nobody_refused(requests in requests(60), per_second in 1_u32..50, burst in 1_u32..10) {
            let rate = Rate { per_second, burst };
            let full = i64::from(burst) * 1000;
            let (mut set, mut left, mut now) = ([Entry::default(); WAYS], HashMap::new(), START);
            for (client, gap) in requests {
                now += gap;
                // Thousandths of a request that the client may still make. Whoever was forgotten may have been admitted
                // more often, and is then in debt here.
                let (thousandths, since) = left.entry(client).or_insert((full, now));
                *thousandths = full.min(*thousandths + (now - *since) as i64 * i64::from(per_second));
                *since = now;
                match take(&mut set, key(client), Time::from_millis(now), rate) {
                    Taken::Admitted | Taken::Forgetting => *thousandths -= 1000,
                    Taken::Refused(_) => {
                        prop_assert!(*thousandths < 1000, "client {client} refused at {}", now - START);
                    }
                }
            }
        }
    }
}
