//! A fetch that others may wait for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use http::{HeaderMap, StatusCode};
use http_cache::{Failure, ProxyError};

use super::Object;
use crate::sync::{AtomicBool, Mutex, Notify};

/// Interim responses passed on to those who wait; a client needs no more to start on its hints.
const MOST_INTERIM: usize = 16;

/// What a fetch came to.
#[derive(Clone, Debug)]
pub enum Landing {
    /// A response that is being stored, or was freshened.
    Share(Object),
    /// The origin failed; this stored response is served stale.
    Stale(Object),
    /// Its response is for one client only: everybody else asks the origin on their own.
    Alone,
    /// No response came, for this reason in the words of RFC 9209.
    Failed(Failure, ProxyError),
}

/// A fetch under way.
#[derive(Debug, Default)]
pub struct Flight {
    state: Mutex<State>,
    changed: Notify,
    purged: AtomicBool,
    /// How many purges had come when it began.
    born: u64,
    /// The version of the purges at which it was last found to be after all that concern it.
    pub(super) checked: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    interim: Vec<(StatusCode, Arc<HeaderMap>)>,
    landing: Option<Landing>,
}

/// What one who waits sees next.
#[derive(Debug)]
pub enum Sight {
    Interim(StatusCode, Arc<HeaderMap>),
    Landed(Landing),
}

impl Flight {
    pub(super) fn new(born: u64) -> Self {
        Self { born, ..Self::default() }
    }

    /// How many purges had come when it began.
    pub(super) fn born(&self) -> u64 {
        self.born
    }

    /// A purge of the key came after the fetch began: what it brings must not be kept.
    pub fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Acquire)
    }

    pub(super) fn purge(&self) {
        self.purged.store(true, Ordering::Release);
    }

    pub fn interim(&self, status: StatusCode, fields: HeaderMap) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.interim.len() < MOST_INTERIM {
            state.interim.push((status, Arc::new(fields)));
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Says what it came to; only the first time counts.
    pub fn land(&self, landing: Landing) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).landing.get_or_insert(landing);
        self.changed.notify_waiters();
    }

    /// What it came to, if it has.
    pub fn landing(&self) -> Option<Landing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).landing.clone()
    }

    /// The next interim response that has come, for one who has seen `interims` of them.
    pub fn next_interim(&self, interims: &mut usize) -> Option<(StatusCode, Arc<HeaderMap>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.interim.get(*interims).map(|(status, fields)| (*status, Arc::clone(fields)));
        *interims += usize::from(next.is_some());
        next
    }

    /// The next thing to see for one who has seen `interims` interim responses.
    pub async fn watch(&self, interims: &mut usize) -> Sight {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((status, fields)) = state.interim.get(*interims) {
                    *interims += 1;
                    return Sight::Interim(*status, Arc::clone(fields));
                }
                if let Some(landing) = &state.landing {
                    return Sight::Landed(landing.clone());
                }
            }
            changed.await;
        }
    }
}
