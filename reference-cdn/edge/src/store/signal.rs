//! Something that happens once, and that others wait for.

use std::sync::PoisonError;

use crate::sync::{Mutex, Notify};

/// See the module.
#[derive(Debug)]
pub struct Signal<T> {
    state: Mutex<Option<T>>,
    changed: Notify,
}

impl<T> Default for Signal<T> {
    fn default() -> Self {
        Self { state: Mutex::new(None), changed: Notify::new() }
    }
}

impl<T: Copy> Signal<T> {
    /// It happened. Only the first time counts.
    pub fn settle(&self, value: T) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(value);
        self.changed.notify_waiters();
    }

    pub fn get(&self) -> Option<T> {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn wait(&self) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(value) = self.get() {
                return value;
            }
            changed.await;
        }
    }
}
