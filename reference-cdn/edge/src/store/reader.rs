//! Reads content, whole or arriving.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::HeaderMap;

use super::body::{Body, End, Fault, NO_TRAILERS, Open, Progress, State, place};

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
    /// While content arrives: where its position is noted, and who rings when there is more.
    following: Option<(usize, Arc<Progress>)>,
}

impl Reader {
    pub(super) fn new(body: &Arc<Body>, state: &mut State, at: u64) -> Self {
        let following = match state {
            State::Open(open) if open.end.is_none() => {
                let free = open.readers.iter().position(Option::is_none).unwrap_or(open.readers.len());
                if free == open.readers.len() {
                    open.readers.push(None);
                }
                open.readers[free] = Some(at);
                if open.passing {
                    open.progress.taken.notify_one();
                }
                Some((free, Arc::clone(&open.progress)))
            }
            _ => None,
        };
        Self { body: Arc::clone(body), at, following }
    }

    pub fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// Up to `most` of the octets that are there, verified.
    ///
    /// # Errors
    /// When no more come, or they cannot be trusted.
    pub fn next(&mut self, most: u64) -> Result<Next, Fault> {
        let body = Arc::clone(&self.body);
        let mut state = body.state();
        let (number, within) = place(self.at);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let dropped = if let State::Open(open) = &*state { open.dropped } else { 0 };
        let index = number.checked_sub(dropped).ok_or_else(|| {
            body.accounts.counters.overrun_readers.fetch_add(1, Ordering::Relaxed);
            Fault::Overrun
        })?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let block = match &*state {
            State::Cold { .. } => None,
            State::Open(open) => open.blocks.get(index).cloned(),
            State::Whole(whole) => whole.blocks.get(index).cloned(),
        };
        let Some(block) = block else {
            let tail = match &*state {
                State::Open(open) => tail(open, self.at, most),
                _ => Bytes::new(),
            };
            if tail.is_empty() {
                return nothing(&state);
            }
            self.at += tail.len() as u64;
            self.note(&mut state);
            return Ok(Next::Data(tail));
        };
        let data = within.min(block.len())..within.saturating_add(most).min(block.len());
        if data.is_empty() {
            return nothing(&state);
        }
        self.at += data.len() as u64;
        self.note(&mut state);
        drop(state);
        // Outside the lock: verifying takes longer than all else.
        let Some(whole) = block.verified(body.block_id(number)) else {
            body.accounts.counters.bad_blocks.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::BadBlock);
        };
        Ok(Next::Data(whole.slice(data)))
    }

    /// Tells the filler how far this reader is.
    fn note(&self, state: &mut State) {
        if let (Some((slot, progress)), State::Open(open)) = (&self.following, state) {
            open.place_of(*slot, Some(self.at));
            if open.passing {
                progress.taken.notify_one();
            }
        }
    }

    /// Waits until there is something new to find at the reader's place.
    pub async fn arrival(&self) {
        let Some((_, progress)) = &self.following else { return };
        loop {
            let arrived = progress.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            match &*self.body.state() {
                State::Open(open) if open.received <= self.at && open.end.is_none() => {}
                _ => return,
            }
            arrived.await;
        }
    }
}

/// Octets from `at` on that fill no block yet.
fn tail(open: &Open, at: u64, most: usize) -> Bytes {
    let start = open.received - open.tail.len() as u64;
    // A position before the tail is in a block; one behind it has nothing yet.
    let Some(within) = at.checked_sub(start) else { return Bytes::new() };
    let within = usize::try_from(within).unwrap_or(usize::MAX).min(open.tail.len());
    let end = within.saturating_add(most).min(open.tail.len());
    Bytes::copy_from_slice(&open.tail[within..end])
}

fn nothing(state: &State) -> Result<Next, Fault> {
    match state {
        // Reading began, so it is not cold; an Open without an end has more to come.
        State::Cold { .. } => Ok(Next::Wait),
        State::Open(open) => match &open.end {
            None => Ok(Next::Wait),
            Some(End::Complete(trailers)) => Ok(Next::End(Arc::clone(trailers))),
            Some(End::Truncated) => Err(Fault::Truncated),
            Some(End::Failed(fault)) => Err(*fault),
        },
        State::Whole(whole) => {
            Ok(Next::End(Arc::clone(whole.trailers.as_ref().unwrap_or_else(|| &NO_TRAILERS))))
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let (Some((slot, progress)), State::Open(open)) = (&self.following, &mut *self.body.state()) {
            open.place_of(*slot, None);
            if open.passing {
                progress.taken.notify_one();
            }
        }
    }
}
