//! Content that is stored, or being received and read at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http_cache::Digest;
use tokio::sync::Notify;

use super::accounts::Accounts;
use super::block::{BLOCK, Block, BlockId};

/// How far the origin may run ahead of the fastest reader of content that is not kept.
const LEAD: u64 = 1024 * 1024;

/// How content ended.
#[derive(Clone, Debug)]
pub enum End {
    Complete(Arc<HeaderMap>),
    Truncated,
}

/// Why a reader gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the origin's response ended early")]
    Truncated,
    #[error("a stored block failed its check")]
    BadBlock,
    #[error("the reader fell behind content that is not kept")]
    Overrun,
}

/// Octets, in blocks. One [`Filler`] appends, any number of [`Reader`]s follow.
#[derive(Debug)]
pub struct Body {
    key: u64,
    generation: u64,
    accounts: Arc<Accounts>,
    state: Mutex<State>,
    /// Rung for readers when there is more to read, or no more to come.
    arrived: Notify,
    /// Rung for the filler when a reader of content that is not kept moved or left.
    taken: Notify,
    charged: AtomicU64,
    /// In the store, or on the way into it.
    held: AtomicBool,
    /// How often it was read lately, for eviction: 0 to 3.
    pub(super) frequency: AtomicU8,
    /// Of all of it, once somebody wanted one.
    digest: OnceLock<Box<Digest>>,
}

#[derive(Debug, Default)]
struct State {
    /// Blocks from number `dropped` on.
    blocks: std::collections::VecDeque<Block>,
    dropped: u64,
    /// What is not a full block yet.
    tail: Vec<u8>,
    received: u64,
    end: Option<End>,
    /// Positions of those who read while content arrives.
    readers: Vec<Option<u64>>,
    /// Content is let go once read: too large, or no room.
    passing: bool,
}

impl State {
    fn positions(&self) -> Option<(u64, u64)> {
        let positions = self.readers.iter().flatten();
        Some((*positions.clone().min()?, *positions.max()?))
    }
}

impl Body {
    pub(super) fn new(key: u64, generation: u64, accounts: Arc<Accounts>) -> Self {
        Self {
            key,
            generation,
            accounts,
            state: Mutex::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
            charged: AtomicU64::new(0),
            held: AtomicBool::new(true),
            frequency: AtomicU8::new(0),
            digest: OnceLock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was between two steps; the checksums vouch for the content.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A digest of all of it that was computed before.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.get().map(|digest| &**digest)
    }

    /// Keeps a digest of all of it, the first that is given.
    pub fn keep_digest(&self, digest: &Digest) {
        self.digest.get_or_init(|| Box::new(digest.clone()));
    }

    /// Octets received so far.
    pub fn received(&self) -> u64 {
        self.state().received
    }

    /// Starts reading at `at`, counted from the first octet that is stored.
    pub fn read(self: &Arc<Self>, at: u64) -> Reader {
        let mut state = self.state();
        let slot = state.end.is_none().then(|| {
            let free = state.readers.iter().position(Option::is_none).unwrap_or(state.readers.len());
            if free == state.readers.len() {
                state.readers.push(None);
            }
            state.readers[free] = Some(at);
            free
        });
        drop(state);
        Reader { body: Arc::clone(self), at, slot }
    }

    /// Called by its filler while it is being received, and once as it enters the store; never at the same time.
    pub(super) fn charge(&self, octets: u64) {
        self.charged.fetch_add(octets, Ordering::Relaxed);
        self.accounts.charge(octets);
        if !self.held.load(Ordering::Relaxed) {
            self.accounts.let_go(octets);
        }
    }

    /// It is not, or no longer, in the store. True the first time.
    pub(super) fn let_go(&self) -> bool {
        let first = self.held.swap(false, Ordering::Relaxed);
        if first {
            self.accounts.let_go(self.charged.load(Ordering::Relaxed));
        }
        first
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn weight(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }

    pub(crate) fn touch(&self) {
        // Reads and writes may race: an approximate count is as good.
        let frequency = self.frequency.load(Ordering::Relaxed);
        if frequency < 3 {
            self.frequency.store(frequency + 1, Ordering::Relaxed);
        }
    }

    fn id(&self, position: u64) -> BlockId {
        BlockId { key: self.key, generation: self.generation, position }
    }

    /// Damages the block that holds octet `at`, for tests of what happens then.
    #[cfg(test)]
    pub fn spoil(&self, at: u64) {
        let mut state = self.state();
        let index = (at / BLOCK as u64 - state.dropped) as usize;
        if let Some(block) = state.blocks.get_mut(index) {
            block.spoil();
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.let_go();
        self.accounts.freed(*self.charged.get_mut());
    }
}

/// What a reader finds.
#[derive(Debug)]
pub enum Next {
    Data(Bytes),
    /// Nothing now; wait for [`Reader::arrival`].
    Wait,
    End(Arc<HeaderMap>),
}

/// A place in a [`Body`].
#[derive(Debug)]
pub struct Reader {
    body: Arc<Body>,
    at: u64,
    slot: Option<usize>,
}

impl Reader {
    /// Up to `most` of the octets that are there, verified.
    ///
    /// # Errors
    /// When no more come, or they cannot be trusted.
    pub fn next(&mut self, most: u64) -> Result<Next, Fault> {
        let mut state = self.body.state();
        let number = self.at / BLOCK as u64;
        let within = (self.at % BLOCK as u64) as usize;
        let index = number.checked_sub(state.dropped).ok_or_else(|| {
            self.body.accounts.counters.overrun_readers.fetch_add(1, Ordering::Relaxed);
            Fault::Overrun
        })?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let block = usize::try_from(index).ok().and_then(|index| state.blocks.get(index)).cloned();
        let Some(block) = block else {
            let end = within.saturating_add(most).min(state.tail.len());
            // A position before the tail is in a block; one behind it has nothing yet.
            let tail = if number * BLOCK as u64 + state.tail.len() as u64 == state.received {
                Bytes::copy_from_slice(&state.tail[within.min(end)..end])
            } else {
                Bytes::new()
            };
            if tail.is_empty() {
                return Self::nothing(&state);
            }
            self.at += tail.len() as u64;
            self.note(&mut state);
            return Ok(Next::Data(tail));
        };
        let data = within.min(block.len())..within.saturating_add(most).min(block.len());
        if data.is_empty() {
            return Self::nothing(&state);
        }
        self.at += data.len() as u64;
        self.note(&mut state);
        drop(state);
        // Outside the lock: verifying takes longer than all else.
        let Some(whole) = block.verified(self.body.id(number)) else {
            self.body.accounts.counters.bad_blocks.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::BadBlock);
        };
        Ok(Next::Data(whole.slice(data)))
    }

    fn nothing(state: &State) -> Result<Next, Fault> {
        match &state.end {
            None => Ok(Next::Wait),
            Some(End::Complete(trailers)) => Ok(Next::End(Arc::clone(trailers))),
            Some(End::Truncated) => Err(Fault::Truncated),
        }
    }

    /// Tells the filler how far this reader is.
    fn note(&self, state: &mut State) {
        if let Some(slot) = self.slot {
            state.readers[slot] = Some(self.at);
            if state.passing {
                self.body.taken.notify_one();
            }
        }
    }

    /// Waits until there is something new to find at the reader's place.
    pub async fn arrival(&self) {
        loop {
            let arrived = self.body.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let state = self.body.state();
                if state.received > self.at || state.end.is_some() {
                    return;
                }
            }
            arrived.await;
        }
    }

    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let mut state = self.body.state();
            state.readers[slot] = None;
            if state.passing {
                self.body.taken.notify_one();
            }
        }
    }
}

/// Everybody who read content that is not kept has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deserted;

/// Appends to a [`Body`]. Dropped before [`end`](Self::end), it marks the content as truncated.
#[derive(Debug)]
pub struct Filler {
    body: Arc<Body>,
    /// How much of content that is not kept stays for readers behind the fastest.
    window: u64,
}

impl Filler {
    pub(super) fn new(body: Arc<Body>, window: u64) -> Self {
        Self { body, window }
    }

    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// It may still go into the store.
    pub fn is_kept(&self) -> bool {
        self.body.is_held()
    }

    /// From now on, octets are let go once they were read, and the origin waits for the fastest reader. A reader that
    /// falls behind the window sees its response end early rather than hold up the others.
    pub fn pass_on(&mut self) {
        self.body.let_go();
        self.body.state().passing = true;
    }

    /// Waits, if the content is not kept, until the fastest reader is near.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub async fn room(&mut self) -> Result<(), Deserted> {
        loop {
            let taken = self.body.taken.notified();
            {
                let state = self.body.state();
                if !state.passing {
                    return Ok(());
                }
                let (_, fastest) = state.positions().ok_or(Deserted)?;
                if state.received <= fastest + LEAD {
                    return Ok(());
                }
            }
            taken.await;
        }
    }

    pub fn append(&mut self, mut data: &[u8]) {
        let mut charge = 0;
        let mut state = self.body.state();
        while !data.is_empty() {
            let take = (BLOCK - state.tail.len()).min(data.len());
            if state.tail.capacity() == 0 {
                // Grows with small content; full blocks are allocated in one piece.
                state.tail.reserve_exact(if take == BLOCK { BLOCK } else { take });
            }
            state.tail.extend_from_slice(&data[..take]);
            state.received += take as u64;
            charge += take as u64;
            data = &data[take..];
            if state.tail.len() == BLOCK {
                self.seal(&mut state);
            }
        }
        if state.passing {
            self.forget(&mut state);
        }
        drop(state);
        self.body.charge(charge);
        self.body.arrived.notify_waiters();
    }

    /// Marks the end. Content that was announced as longer is truncated, whatever `end` says, so say so.
    pub fn end(self, end: End) {
        self.finish(end);
    }

    fn finish(&self, end: End) {
        let mut state = self.body.state();
        if state.end.is_some() {
            return;
        }
        if !state.tail.is_empty() {
            self.seal(&mut state);
        }
        state.end = Some(end);
        drop(state);
        self.body.arrived.notify_waiters();
    }

    fn seal(&self, state: &mut State) {
        let mut data = std::mem::take(&mut state.tail);
        data.shrink_to_fit();
        let position = state.dropped + state.blocks.len() as u64;
        state.blocks.push_back(Block::seal(self.body.id(position), data.into()));
    }

    /// Lets go of blocks that all have read, or that lie too far behind the fastest.
    fn forget(&self, state: &mut State) {
        let Some((slowest, fastest)) = state.positions() else { return };
        let needed = slowest.max(fastest.saturating_sub(self.window));
        let mut freed = 0;
        while (state.dropped + 1) * BLOCK as u64 <= needed {
            let Some(block) = state.blocks.pop_front() else { break };
            state.dropped += 1;
            freed += block.len() as u64;
        }
        if freed > 0 {
            self.body.charged.fetch_sub(freed, Ordering::Relaxed);
            self.body.accounts.freed(freed);
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.finish(End::Truncated);
    }
}
