//! The keyed hash by which keys are found, in memory and on disk: SipHash-1-3 (Aumasson and Bernstein, 2012).
//!
//! The standard library's has no key of one's own choice, and an index on disk must find its keys after a restart. The
//! key of the hash is random and is told to nobody, so that no client can choose keys that collide.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers with one key.
#[derive(Clone, Debug)]
pub struct KeyHasher(Kind);

#[derive(Clone)]
enum Kind {
    Keyed([u64; 2]),
    /// Whatever is hashed, this comes out: for tests of what collisions do.
    #[cfg(test)]
    Constant(u64),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl KeyHasher {
    pub fn new(secret: [u64; 2]) -> Self {
        Self(Kind::Keyed(secret))
    }

    /// With a new key from the system's randomness.
    pub fn random() -> Self {
        Self::new([random(), random()])
    }

    #[cfg(test)]
    pub fn constant(hash: u64) -> Self {
        Self(Kind::Constant(hash))
    }

    /// The key, to keep it.
    pub fn secret(&self) -> [u64; 2] {
        match self.0 {
            Kind::Keyed(secret) => secret,
            #[cfg(test)]
            Kind::Constant(hash) => [hash, hash],
        }
    }
}

/// 64 bits from the system's randomness.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl BuildHasher for KeyHasher {
    type Hasher = Sip13;

    fn build_hasher(&self) -> Sip13 {
        match self.0 {
            Kind::Keyed([k0, k1]) => Sip13::new(k0, k1),
            #[cfg(test)]
            Kind::Constant(hash) => Sip13 { constant: Some(hash), ..Sip13::new(0, 0) },
        }
    }
}

/// The state of the hash.
#[derive(Clone, Debug)]
pub struct Sip13 {
    v: [u64; 4],
    /// Octets that fill no word yet, the first lowest.
    tail: u64,
    length: usize,
    #[cfg(test)]
    constant: Option<u64>,
}

impl Sip13 {
    fn new(k0: u64, k1: u64) -> Self {
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            length: 0,
            #[cfg(test)]
            constant: None,
        }
    }

    #[inline]
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.v;
        *v0 = v0.wrapping_add(*v1);
        *v2 = v2.wrapping_add(*v3);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v1);
        *v0 = v0.wrapping_add(*v3);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.rotate_left(32);
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
    }
}

impl Hasher for Sip13 {
    #[inline]
    fn write(&mut self, mut octets: &[u8]) {
        let filled = self.length % 8;
        self.length += octets.len();
        if filled > 0 {
            let (first, rest) = octets.split_at((8 - filled).min(octets.len()));
            for (at, octet) in first.iter().enumerate() {
                self.tail |= u64::from(*octet) << (8 * (filled + at));
            }
            if filled + first.len() < 8 {
                return;
            }
            self.word(self.tail);
            self.tail = 0;
            octets = rest;
        }
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for (at, octet) in rest.iter().enumerate() {
            self.tail |= u64::from(*octet) << (8 * at);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        #[cfg(test)]
        if let Some(constant) = self.constant {
            return constant;
        }
        let mut state = self.clone();
        let last = state.tail | ((self.length as u64 & 0xff) << 56);
        state.word(last);
        state.v[2] ^= 0xff;
        for _ in 0..3 {
            state.round();
        }
        state.v.into_iter().fold(0, |all, one| all ^ one)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn it_is_siphash() {
        for length in 0..100 {
            let octets: Vec<u8> = (0..length).map(|n| (n * 37 + 11) as u8).collect();
            for cut in [0, length / 3, length / 2, length] {
                let mut theirs = DefaultHasher::new();
                let mut ours = KeyHasher::new([0, 0]).build_hasher();
                for part in [&octets[..cut], &octets[cut..]] {
                    theirs.write(part);
                    ours.write(part);
                }
                assert_eq!(ours.finish(), theirs.finish(), "{length} octets cut at {cut}");
            }
        }
    }

    #[test]
    fn the_key_matters() {
        let hash = |hasher: &KeyHasher| hasher.hash_one("http://a/");
        assert_ne!(hash(&KeyHasher::new([0, 1])), hash(&KeyHasher::new([1, 0])));
        assert_ne!(hash(&KeyHasher::random()), hash(&KeyHasher::random()));
        let random = KeyHasher::random();
        assert_eq!(hash(&random), hash(&KeyHasher::new(random.secret())));
    }
}
