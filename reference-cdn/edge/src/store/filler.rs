//! Takes content in.

use std::sync::Arc;

use super::block::{BLOCK, Block};
use super::body::{Body, End, Fault, Open, Progress, State, Whole};

/// How far the origin may run ahead of the fastest reader of content that is not kept.
const LEAD: u64 = 1024 * 1024;

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
        Self { body, window, progress, broken }
    }

    pub fn body(&self) -> &Arc<Body> {
        &self.body
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
    /// When nobody reads it any more.
    pub async fn room(&mut self) -> Result<(), Deserted> {
        loop {
            let taken = self.progress.taken.notified();
            let room = self.with_open(|open| {
                if !open.passing {
                    return Ok(true);
                }
                let (_, fastest) = open.positions().ok_or(Deserted)?;
                Ok(open.received <= fastest + LEAD)
            });
            if room.unwrap_or(Ok(true))? {
                return Ok(());
            }
            taken.await;
        }
    }

    pub fn append(&mut self, data: &[u8]) {
        let body = &*self.body;
        let freed = self.with_open(|open| {
            let mut rest = data;
            while !rest.is_empty() {
                let take = (BLOCK - open.tail.len()).min(rest.len());
                if open.tail.capacity() == 0 {
                    // Grows with small content; full blocks are allocated in one piece.
                    open.tail.reserve_exact(if take == BLOCK { BLOCK } else { take });
                }
                open.tail.extend_from_slice(&rest[..take]);
                open.received += take as u64;
                rest = &rest[take..];
                if open.tail.len() == BLOCK {
                    seal(body, open);
                }
            }
            if open.passing { forget(open, self.window) } else { 0 }
        });
        body.charge(data.len() as u64);
        if let Some(freed @ 1..) = freed {
            body.discharge(freed);
        }
        self.progress.arrived.notify_waiters();
    }

    /// Marks the end. Content that was announced as longer is truncated, whatever `end` says, so say so.
    pub fn end(self, end: End) {
        self.finish(end);
    }

    pub(super) fn finish(&self, end: End) {
        let body = &*self.body;
        {
            let mut state = body.state();
            let State::Open(open) = &mut *state else { return };
            if open.end.is_some() {
                return;
            }
            if !open.tail.is_empty() {
                seal(body, open);
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
        self.progress.arrived.notify_waiters();
    }
}

fn seal(body: &Body, open: &mut Open) {
    let mut data = std::mem::take(&mut open.tail);
    data.shrink_to_fit();
    let position = open.dropped + open.blocks.len() as u64;
    open.blocks.push_back(Block::seal(body.block_id(position), data.into()));
}

/// Lets go of blocks that all have read, or that lie too far behind the fastest. Says how many octets that were.
fn forget(open: &mut Open, window: u64) -> u64 {
    let Some((slowest, fastest)) = open.positions() else { return 0 };
    let needed = slowest.max(fastest.saturating_sub(window));
    let mut freed = 0;
    while (open.dropped + 1) * BLOCK as u64 <= needed {
        let Some(block) = open.blocks.pop_front() else { break };
        open.dropped += 1;
        freed += block.len() as u64;
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
