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

/// How long what is signed will be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Names of the zone and of the map: as many as there are.
    Steady,
    /// Names that anybody can make up: they must not displace the others.
    Fleeting,
}

/// The signatures of one thread.
pub struct Cache {
    steady: Rows,
    fleeting: Rows,
    hasher: SipHasher13,
    turn: u32,
    /// What is being signed.
    pub(super) message: Vec<u8>,
    /// The data of an RRSIG record.
    pub(super) rdata: Vec<u8>,
}

impl Cache {
    /// Room for `entries` signatures, some 120 octets each, and a quarter as many for names that do not exist. `secret` is random: who
    /// does not know it cannot make two things that are taken for the same.
    pub fn new(entries: usize, secret: [u8; 16]) -> Self {
        Self {
            steady: Rows::new(entries),
            fleeting: Rows::new(entries / 4),
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

    pub(super) fn find(&mut self, kind: Kind, key: u128, now: u64) -> Option<Signature> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let rows = if kind == Kind::Steady { &mut self.steady } else { &mut self.fleeting };
        let entry = rows.row(key).iter_mut().find(|entry| entry.key == key)?;
        // A clock that was set back makes a signature that is not good yet.
        if now >= entry.renew || now < u64::from(entry.signature.inception) {
            return None;
        }
        entry.used = turn;
        Some(entry.signature)
    }

    /// Keeps a signature until `renew`, in the place of the same one or of the one that was not used for longest.
    pub(super) fn keep(&mut self, kind: Kind, key: u128, renew: u64, signature: Signature) {
        let turn = self.turn;
        let rows = if kind == Kind::Steady { &mut self.steady } else { &mut self.fleeting };
        let row = rows.row(key);
        let at = row.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let age = |entry: &Entry| if entry.key == 0 { u32::MAX } else { turn.wrapping_sub(entry.used) };
            (0..WAYS).max_by_key(|at| age(&row[*at])).unwrap_or(0)
        });
        row[at] = Entry { key, renew, used: turn, signature };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_found_until_they_are_due() {
        let mut cache = Cache::new(8, [1; 16]);
        let signature = Signature { inception: 100, expiration: 900, octets: [3; SIGNATURE] };
        let key = cache.key(&[b"a", b"b"]);
        assert_ne!(key, Cache::new(8, [2; 16]).key(&[b"a", b"b"]));
        cache.keep(Kind::Steady, key, 500, signature);
        assert_eq!(cache.find(Kind::Steady, key, 499).map(|it| it.expiration), Some(900));
        assert!(cache.find(Kind::Steady, key, 500).is_none());
        assert!(cache.find(Kind::Steady, key, 99).is_none());
        assert!(cache.find(Kind::Fleeting, key, 499).is_none());
    }

    #[test]
    fn what_is_used_stays() {
        let mut cache = Cache::new(4, [1; 16]);
        let signature = Signature { inception: 0, expiration: 900, octets: [3; SIGNATURE] };
        let keys: Vec<_> = (0..200_u8).map(|at| cache.key(&[&[at]])).collect();
        for key in &keys {
            cache.keep(Kind::Steady, *key, 500, signature);
            assert!(cache.find(Kind::Steady, keys[0], 1).is_some());
        }
        let left = keys.iter().filter(|key| cache.find(Kind::Steady, **key, 1).is_some()).count();
        assert_eq!(left, 4);
    }
}
