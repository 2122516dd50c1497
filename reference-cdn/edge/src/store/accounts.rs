//! Where the store's memory is.
//!
//! The limit is one on what the process has resident. Three things stand between the octets that are stored and that:
//! what an allocator rounds up ([`taken`], charged like content), what it keeps between allocations in use, and what the
//! rest of the process takes. The last two cannot be known beforehand: where the process can be asked for its size, a
//! reserve grows while it is too large ([`reserve`]), and the store makes do with what is left.

use std::sync::atomic::{AtomicU64, Ordering};

/// Octets that an allocation of so many takes. Allocators have a few sizes between a power of two and the next, so that
/// what comes fits where something went: jemalloc has four, and steps of 16 octets at the beginning.
pub const fn taken(octets: usize) -> u64 {
    if octets == 0 {
        return 0;
    }
    let largest = octets as u64 - 1;
    let step = if largest < 128 { 16 } else { 1 << (largest.ilog2() - 2) };
    (largest / step + 1) * step
}

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
    /// What the store leaves of its limit to the allocator and the rest of the process.
    reserve: AtomicU64,
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
            reserve: AtomicU64::new(0),
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

    pub fn reserve(&self) -> u64 {
        self.reserve.load(Ordering::Relaxed)
    }

    /// In memory for those who read it and nobody else: evicted, purged, replaced, or passing through.
    pub fn pinned(&self) -> u64 {
        self.resident().saturating_sub(self.held())
    }

    /// True when something has to go before `more` octets come. What readers pin counts like what is stored.
    pub fn over(&self, more: u64) -> bool {
        self.resident() + self.index() + more > self.limit.saturating_sub(self.reserve())
    }

    /// What only readers have takes so much that more of it should not come before it has to.
    pub fn is_crowded(&self) -> bool {
        self.pinned() > self.limit / 8
    }

    /// The process has so many octets resident: the reserve follows.
    pub(super) fn observe(&self, process: u64) {
        self.reserve.store(reserve(self.limit, self.reserve(), process), Ordering::Relaxed);
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

    /// In memory for somebody who is not asked any more when it can go.
    pub(super) fn pinned_elsewhere(&self, octets: u64) {
        self.resident.fetch_add(octets, Ordering::Relaxed);
    }

    pub(super) fn freed(&self, octets: u64) {
        self.resident.fetch_sub(octets, Ordering::Relaxed);
    }
}

/// Octets that the program has beside its limit and a twentieth of it: its code, and some connections. It matters where
/// the limit is small.
const PROGRAM: u64 = 16 << 20;

/// The reserve after a look at the process. It rises by a quarter of what the process has too much, since what is let go
/// now is given back to the system a little later; it falls slowly, as far as there is room; and it never takes more
/// than half of the limit, however large the rest of the process is.
fn reserve(limit: u64, reserve: u64, process: u64) -> u64 {
    let aim = limit + limit / 20 + PROGRAM;
    let changed = match process.checked_sub(aim) {
        Some(excess) => reserve + excess / 4,
        None => reserve.saturating_sub((aim - process) / 16),
    };
    changed.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn allocations_take_what_jemalloc_gives() {
        // The classes of its manual (jemalloc(3), "size classes"), with 4 KiB pages and 16 octets as the smallest step.
        let classes = [
            16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
            1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336,
            16384, 20480, 24576, 28672, 32768, 40960, 49152, 57344, 65536,
        ];
        assert_eq!(taken(0), 0);
        for octets in 1..=65536 {
            let class = classes.into_iter().find(|class| *class >= octets).expect("one that is large enough");
            assert_eq!(taken(octets), class as u64, "{octets}");
        }
    }

    proptest! {
        /// Whatever share of what is let go comes back, and however late, the process gets to its aim and stays there.
        #[test]
        fn the_reserve_finds_its_level(
            limit in (1_u64 << 26)..(1 << 36),
            spread in 0_u64..40,
            late in 0_usize..3,
            rest in 0_u64..100 << 20,
        ) {
            // An allocator that keeps a share of what is in use, and gives pages back some looks later.
            let mut sizes = vec![0; late + 1];
            let mut now = 0;
            let mut last = Vec::new();
            for look in 0..400 {
                let used = limit - now;
                sizes.push(used + used * spread / 100 + rest);
                now = reserve(limit, now, sizes[look + 1]);
                if look >= 350 {
                    last.push(sizes[look + 1]);
                }
            }
            let aim = limit + limit / 20 + PROGRAM;
            let most = last.iter().max().copied().unwrap_or_default();
            prop_assert!(now == limit / 2 || most <= aim + aim / 100, "{most} of {aim}, reserve {now}");
            if limit + limit * spread / 100 + rest < aim {
                prop_assert_eq!(now, 0);
            }
        }
    }
}
