//! Remembers for a while which keys bring responses that cannot be shared, so that requests for them do not wait for
//! each other in vain.

use std::sync::atomic::{AtomicU64, Ordering};

use http_cache::Time;

/// How long that is remembered, in seconds. After it, one request in a crowd waits once more.
const SECONDS: u64 = 30;
const SLOTS: usize = 4096;

/// A table of fixed size. A key pushes out another with the same slot; two keys with the same 32 bits in one slot are
/// taken for each other, which costs a fetch at worst.
#[derive(Debug)]
pub struct Lonely(Box<[AtomicU64]>);

impl Lonely {
    pub fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    pub fn note(&self, hash: u64, now: Time) {
        self.slot(hash).store(tag(hash) | ((now.as_secs() + SECONDS) & 0xffff_ffff), Ordering::Relaxed);
    }

    /// The key's response was shareable after all.
    pub fn clear(&self, hash: u64) {
        let slot = self.slot(hash);
        if slot.load(Ordering::Relaxed) & !0xffff_ffff == tag(hash) {
            slot.store(0, Ordering::Relaxed);
        }
    }

    pub fn is_noted(&self, hash: u64, now: Time) -> bool {
        let value = self.slot(hash).load(Ordering::Relaxed);
        value != 0 && value & !0xffff_ffff == tag(hash) && value & 0xffff_ffff > now.as_secs() & 0xffff_ffff
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        &self.0[hash as usize % SLOTS]
    }
}

fn tag(hash: u64) -> u64 {
    hash & !0xffff_ffff
}
