//! Takes content in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::accounts::taken;
use super::block::{BLOCK, Block, charge_of};
use super::body::{Body, End, Fault, Open, Progress, State, Whole};

/// How far the origin may run ahead of the fastest reader of content that is not kept.
const LEAD: u64 = 1024 * 1024;

/// The same where memory is short.
const SHORT_LEAD: u64 = 2 * BLOCK as u64;

/// How long content that is not kept waits for its first reader.
const GRACE: Duration = Duration::from_secs(10);

/// Whether more may come.
enum Room {
    Here,
    Later,
    /// When somebody begins to read.
    Unread,
    Deserted,
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
    progress: Arc<Progress>,
    /// Octets that were announced in all.
    announced: Option<u64>,
    /// What it means when this is dropped before the end.
    broken: Fault,
}

impl Filler {
    pub(super) fn new(body: Arc<Body>, window: u64) -> Self {
        Self::breaking(body, window, Fault::Truncated)
    }

    /// For content that comes from disk.
    pub(super) fn of_load(body: Arc<Body>) -> Self {
        Self::breaking(body, u64::MAX, Fault::Unread)
    }

    fn breaking(body: Arc<Body>, window: u64, broken: Fault) -> Self {
        let progress = match &*body.state() {
            State::Open(open) => Arc::clone(&open.progress),
            State::Cold { .. } | State::Whole(_) => Arc::default(),
        };
        Self { body, window, progress, announced: None, broken }
    }

    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// So many octets are announced in all: memory for them is asked for in pieces of the right size.
    pub fn announce(&mut self, octets: u64) {
        self.announced = Some(octets);
    }

    /// It may still go into the store.
    pub fn is_kept(&self) -> bool {
        self.body.is_held()
    }

    fn with_open<T>(&self, act: impl FnOnce(&mut Open) -> T) -> Option<T> {
        match &mut *self.body.state() {
            State::Open(open) => Some(act(open)),
            // Only its filler ends content.
            State::Cold { .. } | State::Whole(_) => None,
        }
    }

    /// From now on, octets are let go once they were read, and the origin waits for the fastest reader. A reader that
    /// falls behind the window sees its response end early rather than hold up the others.
    pub fn pass_on(&mut self) {
        self.body.let_go();
        self.with_open(|open| open.passing = true);
    }

    /// Waits, if the content is not kept, until the fastest reader is near.
    ///
    /// # Errors
    /// When nobody reads it any more, or nobody has begun to for a while.
    pub async fn room(&mut self) -> Result<(), Deserted> {
        loop {
            let taken = self.progress.taken.notified();
            let lead = if self.body.accounts.is_crowded() { SHORT_LEAD } else { LEAD };
            let room = self.with_open(|open| {
                if !open.passing {
                    return Room::Here;
                }
                match open.positions() {
                    Some((_, fastest)) if open.received <= fastest + lead => Room::Here,
                    Some(_) => Room::Later,
                    // Who asked for it may not have come to reading yet.
                    None if open.readers.is_empty() && open.received <= lead => Room::Here,
                    None if open.readers.is_empty() => Room::Unread,
                    None => Room::Deserted,
                }
            });
            match room.unwrap_or(Room::Here) {
                Room::Here => return Ok(()),
                Room::Later => taken.await,
                Room::Unread => timeout(GRACE, taken).await.map_err(|_| Deserted)?,
                Room::Deserted => return Err(Deserted),
            }
        }
    }

    pub fn append(&mut self, data: &[u8]) {
        let body = &*self.body;
        let changed = self.with_open(|open| {
            let before = taken(open.tail.capacity());
            let mut sealed = 0;
            let mut rest = data;
            while !rest.is_empty() {
                let take = (BLOCK - open.tail.len()).min(rest.len());
                if open.tail.capacity() - open.tail.len() < take {
                    grow(&mut open.tail, take, self.announced.map(|all| all.saturating_sub(open.received)));
                }
                open.tail.extend_from_slice(&rest[..take]);
                open.received += take as u64;
                rest = &rest[take..];
                if open.tail.len() == BLOCK {
                    sealed += seal(body, open);
                }
            }
            let freed = if open.passing { forget(open, self.window) } else { 0 };
            (sealed + taken(open.tail.capacity()), before + freed)
        });
        let (more, less) = changed.unwrap_or_default();
        match more.checked_sub(less) {
            Some(more) => body.charge(more),
            None => body.discharge(less - more),
        }
        self.progress.arrived.notify_waiters();
    }

    /// Marks the end. Content that was announced as longer is truncated, whatever `end` says, so say so.
    pub fn end(self, end: End) {
        self.finish(end);
    }

    pub(super) fn finish(&self, end: End) {
        let body = &*self.body;
        let (mut before, mut sealed) = (0, 0);
        {
            let mut state = body.state();
            let State::Open(open) = &mut *state else { return };
            if open.end.is_some() {
                return;
            }
            if !open.tail.is_empty() {
                before = taken(open.tail.capacity());
                sealed = seal(body, open);
            }
            if let End::Complete(trailers) = &end {
                body.note_trailers(!trailers.is_empty());
            }
            match end {
                // Those who still follow content that is not kept need to know how much of it is gone.
                End::Complete(trailers) if !open.passing => {
                    let whole = Whole {
                        blocks: open.blocks.drain(..).collect(),
                        received: open.received,
                        trailers: Some(trailers).filter(|trailers| !trailers.is_empty()),
                    };
                    *state = State::Whole(whole);
                }
                end => open.end = Some(end),
            }
        }
        match sealed.checked_sub(before) {
            Some(more) => body.charge(more),
            None => body.discharge(before - sealed),
        }
        self.progress.arrived.notify_waiters();
    }
}

/// Makes room for `more` octets in a block that is being filled, and for what else of it will come: all that is announced,
/// or as much again as is there.
fn grow(tail: &mut Vec<u8>, more: usize, announced: Option<u64>) {
    let coming = match announced {
        Some(left) => usize::try_from(left).unwrap_or(usize::MAX),
        None => tail.len(),
    };
    tail.reserve_exact(coming.min(BLOCK - tail.len()).max(more));
}

/// Makes what was filled a block; says what that takes.
fn seal(body: &Body, open: &mut Open) -> u64 {
    let mut data = std::mem::take(&mut open.tail);
    data.shrink_to_fit();
    let octets = charge_of(data.len());
    let position = open.dropped + open.blocks.len() as u64;
    open.blocks.push_back(Block::seal(body.block_id(position), data.into()));
    octets
}

/// Lets go of blocks that all have read, or that lie too far behind the fastest. Says how many octets that were.
fn forget(open: &mut Open, window: u64) -> u64 {
    let Some((slowest, fastest)) = open.positions() else { return 0 };
    let needed = slowest.max(fastest.saturating_sub(window));
    let mut freed = 0;
    while (open.dropped + 1) * BLOCK as u64 <= needed {
        let Some(block) = open.blocks.pop_front() else { break };
        open.dropped += 1;
        freed += charge_of(block.len());
    }
    freed
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.finish(match self.broken {
            Fault::Truncated => End::Truncated,
            fault => End::Failed(fault),
        });
    }
}
