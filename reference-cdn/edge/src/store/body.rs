//! Content that is stored, or being received and read at the same time, or on disk and not yet read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError};

use http::HeaderMap;
use http_cache::Digest;

use super::HashedKey;
use super::accounts::Accounts;
use super::block::{BLOCK, Block, BlockId, charge_of};
use super::few::Few;
use super::filler::Filler;
use super::reader::Reader;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Notify};

/// How content ended.
#[derive(Clone, Debug)]
pub enum End {
    Complete(Arc<HeaderMap>),
    Truncated,
    /// It could not be read from disk.
    Failed(Fault),
}

/// Why a reader gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the origin's response ended early")]
    Truncated,
    #[error("a stored block failed its check")]
    BadBlock,
    #[error("the disk cannot be read now")]
    Unread,
    #[error("the reader fell behind content that is not kept")]
    Overrun,
}

/// Brings content from disk.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Begins to. Whoever reads the filler's body sees how it goes.
    fn load(&self, filler: Filler);
}

/// Octets, in blocks. One [`Filler`] appends, any number of [`Reader`]s follow.
#[derive(Debug)]
pub struct Body {
    key: HashedKey,
    /// Number of the stored response: no two share one while the store lives, on disk for longer.
    id: u64,
    /// Where the log of purges was when the response was asked for, or last confirmed.
    born: AtomicU64,
    pub(super) accounts: Arc<Accounts>,
    state: Mutex<State>,
    /// Octets that it has been charged with, times two; plus one while it is in the store, or on the way into it. In one
    /// number, as it may leave while content arrives.
    charged: AtomicU64,
    /// What it counts for in the eviction queue that it is in; 0 if it is in none. Changed under its shard's lock.
    pub(super) queued: AtomicU64,
    /// That queue is the main one.
    pub(super) in_main: AtomicBool,
    /// How often it was read lately, for eviction: 0 to 3.
    pub(super) frequency: AtomicU8,
    /// It was found on disk, and nobody read it since.
    from_disk: AtomicBool,
    /// Trailer fields come behind it; known once it was received, or found on disk.
    trailing: AtomicBool,
    /// Of all of it, once somebody wanted one.
    digest: OnceLock<Box<Digest>>,
}

#[derive(Debug)]
pub(super) enum State {
    /// On disk; the first reader has it brought.
    Cold {
        source: Arc<dyn Source>,
        octets: u64,
    },
    /// Being received, or passing through, or ended without being complete.
    Open(Box<Open>),
    Whole(Whole),
}

/// Complete content.
#[derive(Debug)]
pub(super) struct Whole {
    pub blocks: Few<Block>,
    pub received: u64,
    /// `None`: no trailer fields.
    pub trailers: Option<Arc<HeaderMap>>,
}

#[derive(Debug, Default)]
pub(super) struct Open {
    /// Blocks from number `dropped` on.
    pub blocks: VecDeque<Block>,
    pub dropped: u64,
    /// What is not a full block yet.
    pub tail: Vec<u8>,
    pub received: u64,
    pub end: Option<End>,
    /// Positions of those who read while content arrives.
    pub readers: Vec<Option<u64>>,
    /// Content is let go once read: too large, or no room.
    pub passing: bool,
    /// It comes from disk.
    pub loading: bool,
    pub progress: Arc<Progress>,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Rung for readers when there is more to read, or no more to come.
    pub arrived: Notify,
    /// Rung for the filler when a reader of content that is not kept moved or left.
    pub taken: Notify,
}

impl Open {
    /// Where a reader is, or that it left. What was whole and was taken from its readers knows none of them.
    pub fn place_of(&mut self, reader: usize, at: Option<u64>) {
        if let Some(place) = self.readers.get_mut(reader) {
            *place = at;
        }
    }

    /// Of the slowest and the fastest reader.
    pub fn positions(&self) -> Option<(u64, u64)> {
        let positions = self.readers.iter().flatten();
        Some((*positions.clone().min()?, *positions.max()?))
    }
}

/// What touching a body finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    FromDisk,
    /// In memory, for the first time in a while.
    First,
    Again,
}

/// In [`Body::charged`]: it is in the store, or on the way into it.
const HELD: u64 = 1;

/// What most trailer sections are.
pub(super) static NO_TRAILERS: LazyLock<Arc<HeaderMap>> = LazyLock::new(Arc::default);

impl Body {
    fn with(key: HashedKey, id: u64, born: u64, accounts: Arc<Accounts>, state: State) -> Self {
        Self {
            key,
            id,
            born: AtomicU64::new(born),
            accounts,
            state: Mutex::new(state),
            charged: AtomicU64::new(HELD),
            queued: AtomicU64::new(0),
            in_main: AtomicBool::new(false),
            frequency: AtomicU8::new(0),
            from_disk: AtomicBool::new(false),
            trailing: AtomicBool::new(false),
            digest: OnceLock::new(),
        }
    }

    /// Content about to be received.
    pub(super) fn open(key: HashedKey, id: u64, born: u64, accounts: Arc<Accounts>) -> Self {
        Self::with(key, id, born, accounts, State::Open(Box::default()))
    }

    /// Content on disk.
    pub(super) fn cold(
        key: HashedKey,
        id: u64,
        born: u64,
        octets: u64,
        source: Arc<dyn Source>,
        accounts: Arc<Accounts>,
    ) -> Self {
        let body = Self::with(key, id, born, accounts, State::Cold { source, octets });
        body.found_on_disk();
        body
    }

    pub(super) fn found_on_disk(&self) {
        self.from_disk.store(true, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was between two steps; the checksums vouch for the content.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn key(&self) -> &HashedKey {
        &self.key
    }

    /// A digest of all of it that was computed before.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.get().map(|digest| &**digest)
    }

    /// Keeps a digest of all of it, the first that is given.
    pub fn keep_digest(&self, digest: &Digest) {
        self.digest.get_or_init(|| Box::new(digest.clone()));
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// Trailer fields are stored with it.
    pub fn has_trailers(&self) -> bool {
        self.trailing.load(Ordering::Acquire)
    }

    pub(super) fn note_trailers(&self, trailers: bool) {
        self.trailing.store(trailers, Ordering::Release);
    }

    /// Where the log of purges was when the response was asked for, or last confirmed: what was purged later concerns
    /// it.
    pub fn born(&self) -> u64 {
        self.born.load(Ordering::Acquire)
    }

    pub(super) fn confirmed_at(&self, born: u64) {
        self.born.store(born, Ordering::Release);
    }

    /// Octets received so far, or on disk.
    pub fn received(&self) -> u64 {
        match &*self.state() {
            State::Cold { octets, .. } => *octets,
            State::Open(open) => open.received,
            State::Whole(whole) => whole.received,
        }
    }

    /// It is being read from disk: who waits for it waits for this machine only.
    pub fn is_loading(&self) -> bool {
        matches!(&*self.state(), State::Open(open) if open.loading && open.end.is_none())
    }

    /// Starts reading at `at`, counted from the first octet that is stored. The first reader of content on disk has it
    /// brought.
    pub fn read(self: &Arc<Self>, at: u64) -> Reader {
        let mut state = self.state();
        let mut load = None;
        if let State::Cold { source, .. } = &*state {
            load = Some(Arc::clone(source));
            *state = State::Open(Box::new(Open { loading: true, ..Open::default() }));
        }
        let reader = Reader::new(self, &mut state, at);
        drop(state);
        if let Some(source) = load {
            source.load(Filler::of_load(Arc::clone(self)));
        }
        reader
    }

    /// It takes so many octets more.
    pub(super) fn charge(&self, octets: u64) {
        // First, so that never more is let go than was charged.
        self.accounts.charge(octets);
        if self.charged.fetch_add(octets << 1, Ordering::AcqRel) & HELD == 0 {
            self.accounts.let_go(octets);
        }
    }

    /// The inverse of [`Self::charge`].
    pub(super) fn discharge(&self, octets: u64) {
        let before = self.charged.fetch_sub(octets << 1, Ordering::AcqRel);
        if before & HELD != 0 {
            self.accounts.let_go(octets);
        }
        self.accounts.freed(octets);
    }

    /// Takes content that is not in the store from those who read it: they find that they fell behind. What somebody else has of it, on its way
    /// to a client, is given back with what it is charged for.
    pub(super) fn take_from_readers(&self) -> Vec<Block> {
        let mut state = self.state();
        if self.is_held() {
            // It came back: see `is_usable`.
            return Vec::new();
        }
        let blocks = match &mut *state {
            // The disk store takes this memory back.
            State::Cold { .. } => return Vec::new(),
            State::Open(open) if open.loading => return Vec::new(),
            State::Open(open) => {
                open.dropped += open.blocks.len() as u64;
                std::mem::take(&mut open.blocks).into()
            }
            State::Whole(whole) => {
                let blocks = std::mem::take(&mut whole.blocks).to_vec();
                let open = Open {
                    dropped: blocks.len() as u64,
                    received: whole.received,
                    end: Some(End::Failed(Fault::Overrun)),
                    ..Open::default()
                };
                *state = State::Open(Box::new(open));
                blocks
            }
        };
        drop(state);
        let charge = |blocks: &[Block]| blocks.iter().map(|block| charge_of(block.len())).sum::<u64>();
        self.discharge(charge(&blocks));
        let sending: Vec<Block> = blocks.into_iter().filter(|block| !block.is_unique()).collect();
        // Still in memory, though not this body's any more.
        self.accounts.pinned_elsewhere(charge(&sending));
        sending
    }

    /// It has all its content, or can have it brought. Asked of what was taken back, it stays so.
    pub(super) fn is_usable(&self) -> bool {
        !matches!(&*self.state(), State::Open(_))
    }

    /// It is in the store again, having been let go.
    pub(super) fn take_back(&self) {
        let before = self.charged.fetch_or(HELD, Ordering::AcqRel);
        if before & HELD == 0 {
            self.accounts.take_back(before >> 1);
        }
    }

    /// It is not, or no longer, in the store. True the first time.
    pub(super) fn let_go(&self) -> bool {
        let before = self.charged.fetch_and(!HELD, Ordering::AcqRel);
        let first = before & HELD != 0;
        if first {
            self.accounts.let_go(before >> 1);
        }
        first
    }

    pub(super) fn is_held(&self) -> bool {
        self.charged.load(Ordering::Relaxed) & HELD != 0
    }

    pub(super) fn weight(&self) -> u64 {
        self.charged.load(Ordering::Relaxed) >> 1
    }

    /// It was read since it came into memory, or since eviction passed it by.
    pub(super) fn was_read(&self) -> bool {
        self.frequency.load(Ordering::Relaxed) > 0 || self.in_main.load(Ordering::Relaxed)
    }

    /// It is read: remembered for eviction, and counted by where it was found.
    pub(super) fn touch(&self) -> Touch {
        // Reads and writes may race: an approximate count is as good.
        let frequency = self.frequency.load(Ordering::Relaxed);
        if frequency < 3 {
            self.frequency.store(frequency + 1, Ordering::Relaxed);
        }
        let counters = &self.accounts.counters;
        if self.from_disk.load(Ordering::Relaxed) && self.from_disk.swap(false, Ordering::Relaxed) {
            counters.disk_hits.fetch_add(1, Ordering::Relaxed);
            return Touch::FromDisk;
        }
        counters.memory_hits.fetch_add(1, Ordering::Relaxed);
        if frequency == 0 { Touch::First } else { Touch::Again }
    }

    pub(super) fn block_id(&self, position: u64) -> BlockId {
        BlockId { key: self.key.hash, response: self.id, position }
    }

    /// Damages the block that holds octet `at`, for tests of what happens then.
    #[cfg(test)]
    pub fn spoil(&self, at: u64) {
        let index = (at / BLOCK as u64) as usize;
        match &mut *self.state() {
            State::Cold { .. } => {}
            State::Open(open) => {
                if let Some(block) = open.blocks.get_mut(index - open.dropped as usize) {
                    block.spoil();
                }
            }
            State::Whole(whole) => {
                let mut blocks = whole.blocks.to_vec();
                if let Some(block) = blocks.get_mut(index) {
                    block.spoil();
                }
                whole.blocks = blocks.into();
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.let_go();
        self.accounts.freed(self.weight());
    }
}

/// Number of the block that holds octet `at`, and where in it that is.
pub(super) fn place(at: u64) -> (u64, usize) {
    (at / BLOCK as u64, (at % BLOCK as u64) as usize)
}
