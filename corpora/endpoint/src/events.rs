//! Named events that clients, origins and tests wait for.

use crate::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Named events, shared by cloning. An event that was signalled stays signalled; each signal is counted.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<HashMap<String, u64>>,
    changed: Notify,
}

impl Events {
    /// `deadline`: how long each wait may take.
    pub fn new(deadline: Duration) -> Self {
        Events { shared: Arc::default(), deadline }
    }

    /// Signals the event `name` once more.
    pub fn signal(&self, name: &str) {
        *self.lock().entry(name.to_owned()).or_default() += 1;
        self.shared.changed.notify_waiters();
    }

    /// How often `name` was signalled.
    pub fn count(&self, name: &str) -> u64 {
        self.lock().get(name).copied().unwrap_or_default()
    }

    /// Waits until `name` was signalled; returns at once where it was.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait(&self, name: &str) -> Result<(), Error> {
        self.wait_count(name, 1).await
    }

    /// Waits until `name` was signalled `count` times.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait_count(&self, name: &str, count: u64) -> Result<(), Error> {
        let reached = async {
            loop {
                // Registered before the count is read, so that no signal between the two is missed.
                let mut changed = std::pin::pin!(self.shared.changed.notified());
                changed.as_mut().enable();
                if self.count(name) >= count {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(self.deadline, reached).await.map_err(|_| Error::Deadline {
            who: "events".to_owned(),
            step: format!("wait for {name:?} to be signalled {count} time(s), was {}", self.count(name)),
            after: self.deadline,
        })
    }

    /// Forgets how often `name` was signalled.
    pub fn clear(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        // A count is never half changed, so a panic elsewhere leaves it usable.
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
