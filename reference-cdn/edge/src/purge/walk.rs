//! What holds purges in memory: fetches that began before them, and responses that have not met them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use http_cache::Time;

use super::{Purges, locked};

/// A fetch under way, until this is dropped: purges that came since it began are not forgotten before, within reason.
#[derive(Debug)]
pub struct Ticket {
    purges: Arc<Purges>,
    born: u64,
}

impl Ticket {
    /// How many purges had come when the fetch began.
    pub fn born(&self) -> u64 {
        self.born
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut fetches = locked(&self.purges.fetches);
        if let Some(count) = fetches.get_mut(&self.born) {
            *count -= 1;
            if *count == 0 {
                fetches.remove(&self.born);
            }
        }
    }
}

/// A walk through the store: purges up to a number meet all that is there.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    to: u64,
    at: Time,
}

impl Purges {
    /// Announces a fetch by a request that asked [`at`](Self::at) and got `born`. `None`: so much has happened since that
    /// what it found stored may have been purged; look it up again.
    pub fn ticket(self: &Arc<Self>, born: u64) -> Option<Ticket> {
        *locked(&self.fetches).entry(born).or_default() += 1;
        let ticket = Ticket { purges: Arc::clone(self), born };
        (born >= self.tables().horizon()).then_some(ticket)
    }

    /// Begins a walk: whatever is in the store now and is judged from now on meets every purge up to this moment.
    /// `None`: no purge is outstanding.
    pub fn begin_walk(&self, now: Time) -> Option<Walk> {
        let to = self.at(now);
        (!self.tables().is_empty()).then_some(Walk { to, at: now })
    }

    /// The walk is over, and what it removed stays removed after a crash: forgets the purges that all have met. False if
    /// fetches are under way that have yet to meet them. With `anyway`, these fetches are not stored.
    pub fn end_walk(&self, walk: Walk, anyway: bool) -> bool {
        let oldest = locked(&self.fetches).keys().next().copied();
        if !anyway && oldest.is_some_and(|oldest| oldest < walk.to) {
            return false;
        }
        let mut book = locked(&self.book);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.forget(walk.to, walk.at);
        drop(tables);
        book.complete(walk.to, walk.at);
        drop(book);
        self.counters.walks.fetch_add(1, Ordering::Relaxed);
        true
    }
}
