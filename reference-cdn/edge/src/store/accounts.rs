//! Where the store's memory is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Octets in use, and how many may be.
#[derive(Debug)]
pub struct Accounts {
    limit: u64,
    /// In memory for any reason, also pinned by a reader after eviction.
    resident: AtomicU64,
    /// Of these, in the store or on the way into it.
    held: AtomicU64,
    /// What finding takes rather than keeping: the index of the disk store, and what its writer needs.
    index: AtomicU64,
    pub(super) counters: Counters,
}

/// Events in the store since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// From memory.
    pub evicted: AtomicU64,
    pub bad_blocks: AtomicU64,
    pub purged: AtomicU64,
    pub overrun_readers: AtomicU64,
    /// Responses that made room for another under their key.
    pub surplus_variants: AtomicU64,
    pub memory_hits: AtomicU64,
    pub disk_hits: AtomicU64,
}

impl Accounts {
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            resident: AtomicU64::new(0),
            held: AtomicU64::new(0),
            index: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn resident(&self) -> u64 {
        self.resident.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// True when something has to go before `more` octets come. Content that slow readers pin after its eviction counts
    /// once it exceeds a quarter of the limit, so that memory stays within one and a quarter of it.
    pub fn over(&self, more: u64) -> bool {
        let held = self.held() + self.index() + more;
        let pinned = self.resident().saturating_sub(self.held());
        held > self.limit.saturating_sub(pinned.saturating_sub(self.limit / 4))
    }

    pub(super) fn set_index(&self, octets: u64) {
        self.index.store(octets, Ordering::Relaxed);
    }

    pub(super) fn charge(&self, octets: u64) {
        self.resident.fetch_add(octets, Ordering::Relaxed);
        self.held.fetch_add(octets, Ordering::Relaxed);
    }

    /// What was let go is in the store again.
    pub(super) fn take_back(&self, octets: u64) {
        self.held.fetch_add(octets, Ordering::Relaxed);
    }

    pub(super) fn let_go(&self, octets: u64) {
        self.held.fetch_sub(octets, Ordering::Relaxed);
    }

    pub(super) fn freed(&self, octets: u64) {
        self.resident.fetch_sub(octets, Ordering::Relaxed);
    }
}
