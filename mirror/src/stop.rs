//! How connections learn that the mirror ends.

use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// What everybody is told about the mirror's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not yet.
    Run,
    /// Finish the message under way, and close.
    Drain,
    /// Close now.
    Now,
}

/// Tells the level to any number of tasks, of which each looks whenever it runs anyway.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    level: AtomicU8,
    changed: Notify,
}

impl Stop {
    pub(crate) fn level(&self) -> Level {
        match self.level.load(Ordering::Acquire) {
            0 => Level::Run,
            1 => Level::Drain,
            _ => Level::Now,
        }
    }

    /// Raises the level; it never falls.
    pub(crate) fn raise(&self, level: Level) {
        self.level.fetch_max(level as u8, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Hears of the next raise that comes after this call.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Waits for a level at least this high.
    pub(crate) async fn reached(&self, level: Level) {
        loop {
            let changed = self.changed();
            if self.level() >= level {
                return;
            }
            changed.await;
        }
    }
}
