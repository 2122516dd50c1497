//! Signatures that were made, found again by what was signed. One for each thread, of fixed size.

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::Hasher as _;

/// Octets of an ECDSA P-256 signature (RFC 6605 section 4).
pub const SIGNATURE: usize = 64;
const WAYS: usize = 8;

/// A signature and for when it holds, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub inception: u32,
    pub expiration: u32,
    pub octets: [u8; SIGNATURE],
}

#[derive(Clone, Copy)]
struct Entry {
    renew: u64,
    used: u32,
    signature: Signature,
}

const FREE: Entry =
    Entry { renew: 0, used: 0, signature: Signature { inception: 0, expiration: 0, octets: [0; SIGNATURE] } };

/// Keys stand together, so that looking through them touches little memory. Key 0 is free.
#[derive(Clone)]
struct Row {
    keys: [u128; WAYS],
    entries: [Entry; WAYS],
}

impl Row {
    fn find(&self, key: u128) -> Option<usize> {
        self.keys.iter().position(|other| *other == key)
    }

    /// Puts an entry in the place of the same one, of none, or of the one that was not used for longest.
    fn place(&mut self, turn: u32, key: u128, entry: Entry) {
        let at = self.find(key).or_else(|| self.find(0)).unwrap_or_else(|| {
            (0..WAYS).max_by_key(|at| turn.wrapping_sub(self.entries[*at].used)).unwrap_or(0)
        });
        self.keys[at] = key;
        self.entries[at] = Entry { used: turn, ..entry };
    }
}

struct Rows(Vec<Row>);

impl Rows {
    fn new(entries: usize) -> Self {
        let rows = entries.div_ceil(WAYS).clamp(1, 1 << 22).next_power_of_two();
        Self(vec![Row { keys: [0; WAYS], entries: [FREE; WAYS] }; rows])
    }

    fn row(&mut self, key: u128) -> &mut Row {
        let at = (key >> 1) as usize & (self.0.len() - 1);
        &mut self.0[at]
    }
}

/// The signatures of one thread.
///
/// When there is no room, a new one is on trial, and stays when it is asked for again: names that somebody makes up are asked for once, and
/// displace none but each other.
pub struct Cache {
    steady: Rows,
    trial: Rows,
    hasher: SipHasher13,
    turn: u32,
    /// What is being signed.
    pub(super) message: Vec<u8>,
    /// The data of an RRSIG record.
    pub(super) rdata: Vec<u8>,
}

impl Cache {
    /// Room for `entries` signatures, some 120 octets each, and a quarter as many on trial. `secret` is random: who
    /// does not know it cannot make two things that are taken for the same.
    pub fn new(entries: usize, secret: [u8; 16]) -> Self {
        Self {
            steady: Rows::new(entries),
            trial: Rows::new(entries / 4),
            hasher: SipHasher13::new_with_key(&secret),
            turn: 0,
            message: Vec::with_capacity(1024),
            rdata: Vec::with_capacity(512),
        }
    }

    /// The key of what is signed: parts one after another, each of known length or at the end.
    pub(super) fn key(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = self.hasher;
        for part in parts {
            hasher.write(part);
        }
        hasher.finish128().as_u128() | 1
    }

    pub(super) fn find(&mut self, key: u128, now: u64) -> Option<Signature> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        // A clock that was set back makes a signature that is not good yet.
        let good = |entry: &Entry| now < entry.renew && now >= u64::from(entry.signature.inception);
        let row = self.steady.row(key);
        if let Some(at) = row.find(key) {
            let entry = &mut row.entries[at];
            entry.used = turn;
            return good(entry).then_some(entry.signature);
        }
        let row = self.trial.row(key);
        let at = row.find(key)?;
        let found = row.entries[at];
        if !good(&found) {
            return None;
        }
        row.keys[at] = 0;
        self.steady.row(key).place(turn, key, found);
        Some(found.signature)
    }

    /// Keeps a signature until `renew`. As long as there is room nobody is put to the trial.
    pub(super) fn keep(&mut self, key: u128, renew: u64, signature: Signature) {
        let (turn, entry) = (self.turn, Entry { renew, used: self.turn, signature });
        let row = self.steady.row(key);
        if row.find(key).is_some() || row.find(0).is_some() {
            row.place(turn, key, entry);
        } else {
            self.trial.row(key).place(turn, key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Signature = Signature { inception: 100, expiration: 900, octets: [3; SIGNATURE] };

    #[test]
    fn signatures_are_found_until_they_are_due() {
        let mut cache = Cache::new(8, [1; 16]);
        let key = cache.key(&[b"a", b"b"]);
        assert_ne!(key, Cache::new(8, [2; 16]).key(&[b"a", b"b"]));
        cache.keep(key, 500, SOME);
        for _ in 0..2 {
            assert!(cache.find(key, 500).is_none());
            assert!(cache.find(key, 99).is_none());
            assert_eq!(cache.find(key, 499).map(|it| it.expiration), Some(900));
        }
        cache.keep(key, 600, SOME);
        assert!(cache.find(key, 599).is_some());
    }

    #[test]
    fn what_is_asked_for_once_displaces_nothing_that_is_asked_for_again() {
        let mut cache = Cache::new(8, [1; 16]);
        let keys: Vec<_> = (0..200_u8).map(|at| cache.key(&[&[at]])).collect();
        for key in &keys[..8] {
            cache.keep(*key, 500, SOME);
            assert!(cache.find(*key, 100).is_some());
        }
        for key in &keys[8..] {
            cache.keep(*key, 500, SOME);
        }
        let left = keys[..8].iter().filter(|key| cache.find(**key, 100).is_some()).count();
        assert_eq!(left, 8);
        // There is room for the last of the others alone.
        assert!(cache.find(keys[199], 100).is_some());
        assert!(cache.find(keys[100], 100).is_none());
    }
}
