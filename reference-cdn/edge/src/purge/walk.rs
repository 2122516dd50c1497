//! What holds purges in memory: fetches that began before them, and responses that have not met them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use http_cache::{Key, Time};

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
#[derive(Clone, Debug)]
pub struct Walk {
    to: u64,
    at: Time,
    rest: Rest,
}

impl Walk {
    /// The number of the last purge that all will have met.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// What else there is to do.
    pub fn rest(&self) -> &Rest {
        &self.rest
    }
}

/// What has to be done where the walk itself does not come by ([`super::Walked::met`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It has met all the purges.
    Nothing,
    /// It has met all but purges of these URLs, of these customers (`None`: all).
    Urls(Vec<(Option<Box<str>>, Key)>),
    /// All of it has to be judged.
    All,
}

impl Purges {
    /// Announces a fetch by a request that asked [`at`](Self::at) and got `born`. `None`: so much has happened since that
    /// what it found stored may have been purged; look it up again.
    pub fn ticket(self: &Arc<Self>, born: u64) -> Option<Ticket> {
        *locked(&self.fetches).entry(born).or_default() += 1;
        let ticket = Ticket { purges: Arc::clone(self), born };
        (born >= self.tables().horizon()).then_some(ticket)
    }

    /// Begins a walk: whatever is in the store now and is judged from now on meets every purge up to this moment, or
    /// those up to `met` if it costs too much to show later ones to what has met these only ([`super::Walked::met`]).
    /// `None`: no purge would be forgotten.
    pub fn begin_walk(&self, now: Time, met: u64) -> Option<Walk> {
        let to = self.at(now);
        let pressed = self.is_pressed();
        let tables = self.tables();
        if tables.is_empty() {
            return None;
        }
        let walk = if met >= to {
            Walk { to, at: now, rest: Rest::Nothing }
        } else if tables.wide() <= met && tables.horizon() <= met {
            let urls = tables.urls().map(|(customer, key)| (customer.map(Box::from), Key::from_text(key)));
            Walk { to, at: now, rest: Rest::Urls(urls.collect()) }
        } else if pressed {
            Walk { to, at: now, rest: Rest::All }
        } else {
            // When later ones came is not known: at the earliest, ever.
            Walk { to: met, at: Time::default(), rest: Rest::Nothing }
        };
        (walk.to > tables.horizon()).then_some(walk)
    }

    /// So many purges are outstanding that soon there may be no room for more.
    fn is_pressed(&self) -> bool {
        let (names, patterns) = locked(&self.book).outstanding();
        let names = names + self.tables().group_names();
        names > self.limits.outstanding / 2 || patterns > self.limits.patterns / 2
    }

    /// The walk is over, and what it removed stays removed after a crash: forgets the purges that all have met. False if
    /// fetches are under way that have yet to meet them. With `anyway`, these fetches are not stored.
    pub fn end_walk(&self, walk: &Walk, anyway: bool) -> bool {
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
