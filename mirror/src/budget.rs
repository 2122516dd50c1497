//! The bound on memory that copies of traffic may hold.

use crate::slab::{BLOCK, Slab};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes all copies together may hold. Taking from it never waits: there is room, or there is not.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    /// Of what is allocated piece by piece: all but the slab.
    pieces: usize,
    used: AtomicUsize,
    /// Half of it all. Neither half lends to the other: memory that was in use once stays with the process.
    slab: Arc<Slab>,
    peak: AtomicUsize,
}

impl Budget {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Budget {
            limit,
            pieces: limit - limit / 2,
            used: AtomicUsize::new(0),
            slab: Slab::new(limit / 2),
            peak: AtomicUsize::new(0),
        })
    }

    /// Room for `bytes`, or `None` where the bound would be passed.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        self.add(bytes).then(|| Permit { budget: Arc::clone(self), bytes })
    }

    fn add(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.pieces {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.note_peak(used + self.slab.used());
        true
    }

    fn note_peak(&self, used: usize) {
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed) + self.slab.used()
    }

    /// The most that was held at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Asks for `bytes` more; where there is no room, what is held stays as it is.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let room = self.budget.add(bytes);
        if room {
            self.bytes += bytes;
        }
        room
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What a copied piece costs beside its bytes: its place in a queue and its reference count.
const CHUNK_OVERHEAD: usize = 192;

/// Copies up to this length are allocated by themselves: a block of the slab would be mostly empty.
const SMALL: usize = BLOCK / 4;

/// A copy of some traffic, counted in the budget as long as it lives.
#[derive(Debug)]
pub struct Chunk {
    pub bytes: Bytes,
    _permit: Permit,
}

impl Chunk {
    /// Copies `bytes`, where the budget has room for them.
    pub fn copy(budget: &Arc<Budget>, bytes: &[u8]) -> Option<Self> {
        let permit = budget.take(bytes.len() + CHUNK_OVERHEAD)?;
        Some(Chunk { bytes: Bytes::copy_from_slice(bytes), _permit: permit })
    }

    /// Copies at most [`Chunk::PART`] bytes, in memory that long bodies share.
    pub fn copy_part(budget: &Arc<Budget>, bytes: &[u8]) -> Option<Self> {
        if bytes.len() <= SMALL {
            return Chunk::copy(budget, bytes);
        }
        let permit = budget.take(CHUNK_OVERHEAD)?;
        let bytes = budget.slab.copy(bytes)?;
        budget.note_peak(budget.used());
        Some(Chunk { bytes, _permit: permit })
    }

    /// Most bytes that [`Chunk::copy_part`] takes.
    pub const PART: usize = BLOCK;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_limit() {
        let budget = Budget::new(2000);
        let mut first = budget.take(600).unwrap();
        assert!(budget.take(401).is_none());
        assert!(!first.grow(401));
        assert!(first.grow(400));
        assert_eq!((budget.used(), budget.peak()), (1000, 1000));
        drop(first);
        let chunk = Chunk::copy(&budget, &[0; 800]).unwrap();
        assert!(Chunk::copy(&budget, &[0; 9]).is_none());
        drop(chunk);
        assert_eq!(budget.used(), 0);
    }
}
