//! Which stored responses are on disk, and where: the one part of the disk store that takes memory for each of them.
//!
//! An entry has 32 octets, and the table that finds it takes 5 to 10 more. It knows of a key no more than 38 bits of its
//! hash; whether a record is the one that was asked for is decided when it was read, by comparing all of the identity.

use super::layout::Place;

/// One stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// The lower half of the hash; the upper bits choose the shard.
    hash: u32,
    octets: u32,
    /// Where the record with the content is.
    content: Place,
    /// Where the record with the newest head is: the same place, unless it was freshened.
    head: Place,
    /// The id in the lower 56 bits, what is known of its use above them.
    id: u64,
}

const ID: u64 = (1 << 56) - 1;
/// How often it was read: two bits.
const READS: u64 = 3;
const READS_SHIFT: u32 = 56;
/// It is in memory too, and was read there.
const RESIDENT: u64 = 1 << 58;

/// What is known of a stored response without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    pub id: u64,
    pub content: Place,
    pub head: Place,
    /// Octets of the record with the content.
    pub octets: u32,
    /// How often it was read since it was written: 0 to 3.
    pub reads: u8,
    pub resident: bool,
}

impl Entry {
    fn located(&self) -> Located {
        Located {
            id: self.id & ID,
            content: self.content,
            head: self.head,
            octets: self.octets,
            reads: (self.id >> READS_SHIFT & READS) as u8,
            resident: self.id & RESIDENT != 0,
        }
    }
}

/// A part of the index, under one lock of its owner's.
#[derive(Debug, Default)]
pub struct IndexShard {
    entries: Vec<Entry>,
    /// Entries that are free.
    free: Vec<u32>,
    /// Open addressing: the number of an entry plus one, or 0. Its length is a power of two, or 0.
    table: Vec<u32>,
    used: usize,
    /// Octets of the records that the entries stand for.
    octets: u64,
}

impl IndexShard {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Octets of their records.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets of memory.
    pub fn memory(&self) -> u64 {
        let entries = self.entries.capacity() * size_of::<Entry>();
        (entries + (self.table.capacity() + self.free.capacity()) * size_of::<u32>()) as u64
    }

    fn home(&self, hash: u32) -> usize {
        // Hashes in one shard share none of these bits by design.
        hash as usize & (self.table.len() - 1)
    }

    /// Places in the table that hold entries with this hash.
    fn slots(&self, hash: u32) -> impl Iterator<Item = usize> {
        let mask = self.table.len().wrapping_sub(1);
        let start = if self.table.is_empty() { 0 } else { self.home(hash) };
        (0..self.table.len())
            .map(move |step| (start + step) & mask)
            .take_while(|slot| self.table[*slot] != 0)
            .filter(move |slot| self.entry(*slot).hash == hash)
    }

    fn entry(&self, slot: usize) -> &Entry {
        &self.entries[self.table[slot] as usize - 1]
    }

    fn slot_of(&self, hash: u64, id: u64) -> Option<usize> {
        self.slots(hash as u32).find(|slot| self.entry(*slot).id & ID == id & ID)
    }

    fn entry_mut(&mut self, hash: u64, id: u64) -> Option<&mut Entry> {
        let slot = self.slot_of(hash, id)?;
        self.entries.get_mut(self.table[slot] as usize - 1)
    }

    /// All that may be under a hash, oldest first.
    pub fn find(&self, hash: u64) -> Vec<Located> {
        let mut found: Vec<_> = self.slots(hash as u32).map(|slot| self.entry(slot).located()).collect();
        found.sort_unstable_by_key(|located| located.id);
        found
    }

    pub fn get(&self, hash: u64, id: u64) -> Option<Located> {
        self.slot_of(hash, id).map(|slot| self.entry(slot).located())
    }

    /// Adds a response, or gives it a new place: then head and content are there.
    pub fn insert(&mut self, hash: u64, id: u64, place: Place, octets: u32) {
        if let Some(entry) = self.entry_mut(hash, id) {
            let before = std::mem::replace(&mut entry.octets, octets);
            (entry.content, entry.head) = (place, place);
            self.octets = self.octets - u64::from(before) + u64::from(octets);
            return;
        }
        if (self.used + 1) * 5 > self.table.len() * 4 {
            self.grow();
        }
        let entry = Entry { hash: hash as u32, octets, content: place, head: place, id: id & ID };
        let number = match self.free.pop() {
            Some(free) => {
                self.entries[free as usize] = entry;
                free
            }
            None => {
                if self.entries.len() == self.entries.capacity() {
                    // By an eighth: doubling would take as much again for nothing.
                    self.entries.reserve_exact((self.entries.len() / 8).max(8));
                }
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.put(number);
        self.used += 1;
        self.octets += u64::from(octets);
    }

    fn put(&mut self, number: u32) {
        let mut slot = self.home(self.entries[number as usize].hash);
        while self.table[slot] != 0 {
            slot = (slot + 1) & (self.table.len() - 1);
        }
        self.table[slot] = number + 1;
    }

    fn grow(&mut self) {
        let length = (self.table.len() * 2).max(16);
        let old = std::mem::replace(&mut self.table, vec![0; length]);
        for number in old.into_iter().filter(|number| *number != 0) {
            self.put(number - 1);
        }
    }

    /// Gives a response a new head. False if it is not there.
    pub fn set_head(&mut self, hash: u64, id: u64, place: Place) -> bool {
        self.entry_mut(hash, id).map(|entry| entry.head = place).is_some()
    }

    /// It was read.
    pub fn touch(&mut self, hash: u64, id: u64) {
        if let Some(entry) = self.entry_mut(hash, id)
            && entry.id >> READS_SHIFT & READS < READS
        {
            entry.id += 1 << READS_SHIFT;
        }
    }

    pub fn set_resident(&mut self, hash: u64, id: u64, resident: bool) {
        if let Some(entry) = self.entry_mut(hash, id) {
            entry.id = (entry.id & !RESIDENT) | if resident { RESIDENT } else { 0 };
        }
    }

    /// Forgets that it was read, but for so many times.
    pub fn set_reads(&mut self, hash: u64, id: u64, reads: u8) {
        if let Some(entry) = self.entry_mut(hash, id) {
            entry.id = (entry.id & !(READS << READS_SHIFT)) | (u64::from(reads).min(READS) << READS_SHIFT);
        }
    }

    pub fn remove(&mut self, hash: u64, id: u64) -> Option<Located> {
        let slot = self.slot_of(hash, id)?;
        Some(self.remove_slot(slot))
    }

    /// Removes all whose content or head is in a segment that is no more. Tells the lower half of the hash of each.
    pub fn remove_segment(&mut self, segment: u32) -> Vec<(u32, Located)> {
        let gone: Vec<(u32, u64)> = self
            .table
            .iter()
            .filter(|number| **number != 0)
            .map(|number| &self.entries[*number as usize - 1])
            .filter(|entry| entry.content.segment == segment || entry.head.segment == segment)
            .map(|entry| (entry.hash, entry.id))
            .collect();
        let removed = |(hash, id)| self.remove(u64::from(hash), id).map(|located| (hash, located));
        gone.into_iter().filter_map(removed).collect()
    }

    /// Hash (its lower half), id and place of all whose head is in a segment.
    pub fn heads_in(&self, segment: u32) -> impl Iterator<Item = (u32, u64, Place)> {
        let used = self.table.iter().filter(|number| **number != 0);
        used.map(|number| &self.entries[*number as usize - 1])
            .filter(move |entry| entry.head.segment == segment)
            .map(|entry| (entry.hash, entry.id & ID, entry.head))
    }

    fn remove_slot(&mut self, mut slot: usize) -> Located {
        let number = self.table[slot] - 1;
        let located = self.entries[number as usize].located();
        self.free.push(number);
        self.used -= 1;
        self.octets -= u64::from(located.octets);
        // What lies behind moves up, unless it is nearer to its home than to the gap.
        let mask = self.table.len() - 1;
        let mut next = slot;
        loop {
            next = (next + 1) & mask;
            if self.table[next] == 0 {
                break;
            }
            let home = self.home(self.entry(next).hash);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(slot) & mask) {
                self.table[slot] = self.table[next];
                slot = next;
            }
        }
        self.table[slot] = 0;
        located
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(n: u32) -> Place {
        Place { segment: n, offset: n * 8 }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 32);
        let mut shard = IndexShard::default();
        let mut most: f64 = 0.0;
        for n in 0..200_000_u64 {
            // Spread as hashes are.
            shard.insert(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n, at(1), 1000);
            if n > 1000 {
                most = most.max(shard.memory() as f64 / (n + 1) as f64);
            }
        }
        assert!(most <= 48.0, "{most} octets for each entry");
    }

    proptest! {
        /// It says what a map would say.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..7_u8, 0..4_u64, 0..24_u64, 1..5_u32), 1..300)) {
            let mut shard = IndexShard::default();
            let mut model: BTreeMap<(u64, u64), Located> = BTreeMap::new();
            for (step, hash, id, n) in steps {
                // Neighbours, so that probing runs into one another; the upper half means nothing.
                let hash = 0xabcd_0000_0000 + hash;
                match step {
                    0..=2 => {
                        shard.insert(hash, id, at(n), n);
                        let reads = model.get(&(hash, id)).map_or(0, |located| located.reads);
                        model.insert((hash, id), Located { id, content: at(n), head: at(n), octets: n, reads, resident: false });
                    }
                    3 => {
                        let known = model.get_mut(&(hash, id));
                        prop_assert_eq!(shard.set_head(hash, id, at(n)), known.is_some());
                        if let Some(located) = known { located.head = at(n) }
                    }
                    4 => {
                        shard.touch(hash, id);
                        if let Some(located) = model.get_mut(&(hash, id)) {
                            located.reads = (located.reads + 1).min(3);
                        }
                    }
                    5 => prop_assert_eq!(shard.remove(hash, id), model.remove(&(hash, id))),
                    _ => {
                        let mut removed = shard.remove_segment(n);
                        removed.sort_by_key(|(_, located)| located.id);
                        let gone = |located: &Located| located.content.segment == n || located.head.segment == n;
                        let mut expected: Vec<_> = model.values().copied().filter(gone).collect();
                        expected.sort_by_key(|located| located.id);
                        prop_assert_eq!(removed.len(), expected.len());
                        model.retain(|_, located| !gone(located));
                    }
                }
                prop_assert_eq!(shard.len(), model.len());
                prop_assert_eq!(shard.octets(), model.values().map(|located| u64::from(located.octets)).sum::<u64>());
                for hash in 0..5 {
                    let hash = 0xabcd_0000_0000 + hash;
                    let expected: Vec<_> = model.range((hash, 0)..=(hash, u64::MAX)).map(|(_, it)| *it).collect();
                    prop_assert_eq!(shard.find(hash), expected);
                }
            }
        }
    }
}
