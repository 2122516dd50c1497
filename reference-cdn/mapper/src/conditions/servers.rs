//! What is remembered of servers by their key: those of the network stepped last first, in its order, so that a step goes through memory
//! from front to back and looks nothing up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use crate::network::Network;

/// Keys of servers and contents of names are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

#[derive(Clone, Debug)]
pub(super) struct Servers<T> {
    all: Vec<T>,
    /// Keys of `all`.
    keys: Vec<u64>,
    /// Where each key's server is in `all`.
    places: ByHash<u32>,
}

impl<T> Default for Servers<T> {
    fn default() -> Self {
        Self { all: Vec::new(), keys: Vec::new(), places: ByHash::default() }
    }
}

impl<T: Default> Servers<T> {
    /// What is remembered of a server; one that is new has the default.
    pub fn entry(&mut self, key: u64) -> &mut T {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let at = *self.places.entry(key).or_insert(next);
        if at == next {
            self.all.push(T::default());
            self.keys.push(key);
        }
        &mut self.all[at as usize]
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        self.all.get(*self.places.get(&key)? as usize)
    }

    /// Puts the servers of a network first, in its order. Costs next to nothing where they are.
    pub fn arrange(&mut self, network: &Network) {
        let count = network.servers.len();
        let known = self.keys.get(..count);
        if known
            .is_some_and(|known| network.servers.iter().zip(known).all(|(server, key)| server.key == *key))
        {
            return;
        }
        let mut before: Vec<Option<T>> = std::mem::take(&mut self.all).into_iter().map(Some).collect();
        let keys_before = std::mem::take(&mut self.keys);
        for server in &network.servers {
            let place = self.places.get(&server.key).and_then(|at| before.get_mut(*at as usize));
            self.all.push(place.and_then(Option::take).unwrap_or_default());
            self.keys.push(server.key);
        }
        // Those that are gone are kept until they are forgotten.
        for (key, left) in keys_before.into_iter().zip(before) {
            if let Some(left) = left {
                self.all.push(left);
                self.keys.push(key);
            }
        }
        self.places.clear();
        for (at, key) in (0..).zip(&self.keys) {
            self.places.entry(*key).or_insert(at);
        }
    }

    /// Forgets all but those.
    pub fn retain(&mut self, keep: impl Fn(u64, &T) -> bool) {
        let all = std::mem::take(&mut self.all);
        let keys = std::mem::take(&mut self.keys);
        self.places.clear();
        for (key, one) in keys.into_iter().zip(all).filter(|(key, one)| keep(*key, one)) {
            *self.entry(key) = one;
        }
    }

    /// Servers by position in the network that was arranged last.
    pub fn of(&self, servers: Range<u32>) -> &[T] {
        &self.all[servers.start as usize..servers.end as usize]
    }

    pub fn of_mut(&mut self, servers: Range<u32>) -> &mut [T] {
        &mut self.all[servers.start as usize..servers.end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Server, SiteId};

    fn network(keys: &[u64]) -> Network {
        let server = |key: &u64| Server {
            key: *key,
            site: SiteId(0),
            v4: None,
            v6: None,
            capacity: 1,
            rack: 0,
            features: 0,
        };
        Network { servers: keys.iter().map(server).collect(), ..Network::default() }
    }

    #[test]
    fn servers_keep_what_is_remembered_when_the_network_changes() {
        let mut servers = Servers::<u32>::default();
        *servers.entry(30) = 3;
        servers.arrange(&network(&[10, 20, 30]));
        *servers.entry(10) = 1;
        assert_eq!(servers.of(0..3), [1, 0, 3]);
        servers.arrange(&network(&[30, 40]));
        assert_eq!(servers.of(0..2), [3, 0]);
        assert_eq!(servers.get(10), Some(&1));
        servers.arrange(&network(&[40, 20, 10]));
        assert_eq!((servers.of(0..3), servers.get(30)), (&[0, 0, 1][..], Some(&3)));
        assert_eq!(servers.get(50), None);
    }
}
