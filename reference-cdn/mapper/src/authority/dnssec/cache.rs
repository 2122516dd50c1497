//! Signatures that were made, found again by what was signed. One for each thread, of fixed size.

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::Hasher as _;

/// Octets of an ECDSA P-256 signature (RFC 6605 section 4).
pub const SIGNATURE: usize = 64;
const WAYS: usize = 4;

/// A signature and for when it holds, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub inception: u32,
    pub expiration: u32,
    pub octets: [u8; SIGNATURE],
}

#[derive(Clone, Copy)]
struct Entry {
    /// 0 is free.
    key: u128,
    renew: u64,
    used: u32,
    signature: Signature,
}

const FREE: Entry = Entry {
    key: 0,
    renew: 0,
    used: 0,
    signature: Signature { inception: 0, expiration: 0, octets: [0; SIGNATURE] },
};

struct Rows(Vec<[Entry; WAYS]>);

impl Rows {
    fn new(entries: usize) -> Self {
        Self(vec![[FREE; WAYS]; entries.div_ceil(WAYS).clamp(1, 1 << 22).next_power_of_two()])
    }

    fn row(&mut self, key: u128) -> &mut [Entry; WAYS] {
        let at = key as usize & (self.0.len() - 1);
        &mut self.0[at]
    }
}

/// The signatures of one thread.
///
/// A new one is on trial, and stays when it is asked for again: names that somebody makes up are asked for once, and displace none but each
/// other.
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
        if let Some(entry) = self.steady.row(key).iter_mut().find(|entry| entry.key == key) {
            entry.used = turn;
            return good(entry).then_some(entry.signature);
        }
        let entry = self.trial.row(key).iter_mut().find(|entry| entry.key == key)?;
        if !good(entry) {
            return None;
        }
        let found = std::mem::replace(entry, FREE);
        place(self.steady.row(key), turn, found);
        Some(found.signature)
    }

    /// Keeps a signature until `renew`.
    pub(super) fn keep(&mut self, key: u128, renew: u64, signature: Signature) {
        let entry = Entry { key, renew, used: self.turn, signature };
        match self.steady.row(key).iter_mut().find(|entry| entry.key == key) {
            Some(old) => *old = entry,
            None => place(self.trial.row(key), self.turn, entry),
        }
    }
}

/// Puts an entry in the place of the same one, or of the one that was not used for longest.
fn place(row: &mut [Entry; WAYS], turn: u32, entry: Entry) {
    let at = row.iter().position(|old| old.key == entry.key).unwrap_or_else(|| {
        let age = |entry: &Entry| if entry.key == 0 { u32::MAX } else { turn.wrapping_sub(entry.used) };
        (0..WAYS).max_by_key(|at| age(&row[*at])).unwrap_or(0)
    });
    row[at] = Entry { used: turn, ..entry };
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
        let mut cache = Cache::new(4, [1; 16]);
        let keys: Vec<_> = (0..200_u8).map(|at| cache.key(&[&[at]])).collect();
        for key in &keys[..4] {
            cache.keep(*key, 500, SOME);
            assert!(cache.find(*key, 100).is_some());
        }
        for key in &keys[4..] {
            cache.keep(*key, 500, SOME);
        }
        let left = keys[..4].iter().filter(|key| cache.find(**key, 100).is_some()).count();
        assert_eq!(left, 4);
        // There is room for the last of the others alone.
        assert!(cache.find(keys[199], 100).is_some());
        assert!(cache.find(keys[100], 100).is_none());
    }
}
