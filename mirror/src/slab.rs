//! Memory for copied bodies: blocks of one size that are used again and again.
//!
//! Copies are made by one thread and freed by another, a few connections' worth at a time. A general allocator answers
//! that with a heap for each thread, each as large as it ever had to be; what blocks take is never more than their limit.

use bytes::{Bytes, BytesMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes that one block holds.
pub(crate) const BLOCK: usize = 16 << 10;

/// Blocks asked of the system at once. It gives an allocation of this size pages of its own, as they are first used.
const REGION: usize = 64;

/// A bounded number of blocks.
#[derive(Debug)]
pub(crate) struct Slab {
    limit: usize,
    used: AtomicUsize,
    store: Mutex<Store>,
}

/// Its lock is held for a few instructions, as an allocator's is.
#[derive(Debug, Default)]
struct Store {
    /// The one used last at the end: its pages are there.
    free: Vec<BytesMut>,
    /// Blocks never used.
    fresh: BytesMut,
    /// Blocks that exist.
    made: usize,
}

impl Slab {
    /// A slab of at most `bytes`. It takes none of them before they are needed.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Slab { limit: bytes / BLOCK, used: AtomicUsize::new(0), store: Mutex::default() })
    }

    /// Bytes of the blocks in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed) * BLOCK
    }

    /// A copy of at most [`BLOCK`] bytes, or `None` where all blocks are in use.
    pub(crate) fn copy(self: &Arc<Self>, bytes: &[u8]) -> Option<Bytes> {
        let mut block = self.take()?;
        let Some(room) = block.get_mut(..bytes.len()) else {
            self.give_back(block);
            return None;
        };
        room.copy_from_slice(bytes);
        Some(Bytes::from_owner(Block { bytes: block, length: bytes.len(), slab: Arc::clone(self) }))
    }

    fn take(&self) -> Option<BytesMut> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let block = match store.free.pop() {
            Some(block) => block,
            None => {
                if store.fresh.is_empty() {
                    let blocks = REGION.min(self.limit - store.made);
                    store.fresh = BytesMut::zeroed(blocks * BLOCK);
                    store.made += blocks;
                }
                if store.fresh.is_empty() {
                    return None;
                }
                store.fresh.split_to(BLOCK)
            }
        };
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(block)
    }

    fn give_back(&self, block: BytesMut) {
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.store.lock().unwrap_or_else(PoisonError::into_inner).free.push(block);
    }
}

/// A block in use; it goes back when the last slice of it is dropped.
#[derive(Debug)]
struct Block {
    bytes: BytesMut,
    length: usize,
    slab: Arc<Slab>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.slab.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_its_blocks_again() {
        let slab = Slab::new(3 * BLOCK + 1);
        let full: Vec<u8> = (0..BLOCK).map(|i| i as u8).collect();
        for _ in 0..100 {
            let copies: Vec<_> = [&full[..], b"", b"short"].map(|b| slab.copy(b).unwrap()).into();
            assert_eq!(copies, [&full[..], b"", b"short"]);
            assert!(slab.copy(b"no room").is_none());
            assert_eq!(slab.used(), 3 * BLOCK);
            let slice = copies[0].slice(7..9);
            drop(copies);
            assert_eq!((slab.used(), &slice[..]), (BLOCK, &full[7..9]), "a slice keeps its block");
        }
        assert_eq!(slab.used(), 0);
        assert!(slab.copy(&vec![0; BLOCK + 1]).is_none());
        assert_eq!(slab.used(), 0);
    }
}
