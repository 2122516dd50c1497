//! Which connections are open, and which of them has been idle for longest: of all, and of each client.

use std::collections::HashMap;
use std::net::IpAddr;

/// Stands for no slot.
const NONE: u32 = u32::MAX;

/// Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is what a host is given.
pub(crate) fn client(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6) >> 64 << 64,
    }
}

/// Names an open connection; names nothing once that is closed, even if another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

/// Two lists go through each slot: that of all connections, and that of its client's.
const ALL: usize = 0;
const OWN: usize = 1;

#[derive(Debug)]
struct Slot<H> {
    generation: u32,
    client: u128,
    links: [Link; 2],
    /// What closes the connection; `None` while the slot is free, or its connection is about to have one.
    handle: Option<H>,
}

/// A list from the one idle for longest to the one used last.
#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
    count: usize,
}

const EMPTY: List = List { oldest: NONE, newest: NONE, count: 0 };

/// Open connections, each with what closes it. Every step takes the same time, however many there are.
#[derive(Debug)]
pub(crate) struct Table<H> {
    slots: Vec<Slot<H>>,
    free: Vec<u32>,
    all: List,
    clients: HashMap<u128, List>,
}

impl<H> Default for Table<H> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), all: EMPTY, clients: HashMap::new() }
    }
}

impl<H> Table<H> {
    pub(crate) fn len(&self) -> usize {
        self.all.count
    }

    /// A connection that has to go before `client` may have one more: its own idlest, or everybody's. `None`: there is room.
    pub(crate) fn in_the_way(&self, client: u128, connections: usize, per_client: usize) -> Option<Key> {
        let own = self.clients.get(&client).copied().unwrap_or(EMPTY);
        let oldest = if own.count >= per_client.max(1) {
            own.oldest
        } else if self.all.count >= connections.max(1) {
            self.all.oldest
        } else {
            return None;
        };
        Some(Key { slot: oldest, generation: self.slots[oldest as usize].generation })
    }

    /// The one idle for longest.
    pub(crate) fn idlest(&self) -> Option<Key> {
        let slot = self.all.oldest;
        self.slots.get(slot as usize).map(|it| Key { slot, generation: it.generation })
    }

    /// One more connection, just used. Closing it is told how with [`set_handle`](Self::set_handle).
    pub(crate) fn open(&mut self, client: u128) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            let link = Link { older: NONE, newer: NONE };
            self.slots.push(Slot { generation: 0, client, links: [link; 2], handle: None });
            // A process has fewer descriptors than that.
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        });
        self.slots[slot as usize].client = client;
        self.append(slot);
        Key { slot, generation: self.slots[slot as usize].generation }
    }

    pub(crate) fn set_handle(&mut self, key: Key, handle: H) {
        if self.holds(key) {
            self.slots[key.slot as usize].handle = Some(handle);
        }
    }

    /// This connection was used.
    pub(crate) fn touch(&mut self, key: Key) {
        if self.holds(key) && self.all.newest != key.slot {
            self.take_out(key.slot);
            self.append(key.slot);
        }
    }

    /// Forgets a connection; gives what closes it. Of one that is forgotten already, nothing.
    pub(crate) fn close(&mut self, key: Key) -> Option<H> {
        if !self.holds(key) {
            return None;
        }
        self.take_out(key.slot);
        let slot = &mut self.slots[key.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        slot.handle.take()
    }

    fn holds(&self, key: Key) -> bool {
        self.slots.get(key.slot as usize).is_some_and(|slot| slot.generation == key.generation)
    }

    fn append(&mut self, at: u32) {
        let client = self.slots[at as usize].client;
        let own = self.clients.entry(client).or_insert(EMPTY);
        for (which, list) in [(ALL, &mut self.all), (OWN, own)] {
            self.slots[at as usize].links[which] = Link { older: list.newest, newer: NONE };
            match self.slots.get_mut(list.newest as usize) {
                Some(before) => before.links[which].newer = at,
                None => list.oldest = at,
            }
            list.newest = at;
            list.count += 1;
        }
    }

    fn take_out(&mut self, at: u32) {
        let client = self.slots[at as usize].client;
        let own = self.clients.entry(client).or_insert(EMPTY);
        for (which, list) in [(ALL, &mut self.all), (OWN, own)] {
            let Link { older, newer } = self.slots[at as usize].links[which];
            match self.slots.get_mut(older as usize) {
                Some(older) => older.links[which].newer = newer,
                None => list.oldest = newer,
            }
            match self.slots.get_mut(newer as usize) {
                Some(newer) => newer.links[which].older = older,
                None => list.newest = older,
            }
            list.count -= 1;
        }
        if self.clients.get(&client).is_some_and(|own| own.count == 0) {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, with a list that is searched.
    #[derive(Default)]
    struct Model(Vec<(u32, u128)>);

    impl Model {
        fn in_the_way(&self, client: u128, connections: usize, per_client: usize) -> Option<u32> {
            let mut own = self.0.iter().filter(|(_, of)| *of == client);
            if own.clone().count() >= per_client {
                return own.next().map(|(id, _)| *id);
            }
            self.0.first().filter(|_| self.0.len() >= connections).map(|(id, _)| *id)
        }
    }

    proptest! {
        #[test]
        fn whoever_has_been_idle_for_longest_makes_room(
            steps in proptest::collection::vec((0..4_u8, 0..5_u128, any::<prop::sample::Index>()), 1..300),
            connections in 1..12_usize,
            per_client in 1..5_usize,
        ) {
            let mut table = Table::default();
            let mut model = Model::default();
            let mut keys = HashMap::new();
            for (number, (what, client, which)) in steps.into_iter().enumerate() {
                let chosen = (!model.0.is_empty()).then(|| which.index(model.0.len()));
                match (what, chosen) {
                    (0, Some(at)) => {
                        let one = model.0.remove(at);
                        table.touch(keys[&one.0]);
                        model.0.push(one);
                    }
                    (1, Some(at)) => {
                        let (id, _) = model.0.remove(at);
                        prop_assert_eq!(table.close(keys[&id]), Some(id));
                        prop_assert_eq!(table.close(keys[&id]), None);
                    }
                    _ => {
                        let expected = model.in_the_way(client, connections, per_client);
                        let found = table.in_the_way(client, connections, per_client);
                        prop_assert_eq!(found.and_then(|key| table.close(key)), expected);
                        model.0.retain(|(id, _)| Some(*id) != expected);
                        prop_assert!(table.in_the_way(client, connections, per_client).is_none());
                        let id = u32::try_from(number).expect("small");
                        let key = table.open(client);
                        table.set_handle(key, id);
                        keys.insert(id, key);
                        model.0.push((id, client));
                    }
                }
                prop_assert_eq!(table.len(), model.0.len());
                let clients: std::collections::HashSet<_> = model.0.iter().map(|(_, client)| client).collect();
                prop_assert_eq!(table.clients.len(), clients.len());
                prop_assert_eq!(table.idlest(), model.0.first().map(|(id, _)| keys[id]));
            }
        }
    }

    #[test]
    fn clients_of_ipv6_are_networks() {
        let of = |text: &str| client(text.parse().expect("address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
