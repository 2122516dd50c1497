//! The one place of the edge that reads real time.
//!
//! Everything else takes a [`Clock`], so that a test decides what time it is. Timers (time-outs, idle limits) are
//! tokio's and follow tokio's paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_cache::Time;

/// Tells the time of day and how much of it passed.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`advance`](Self::advance) moves it. Copies move together.
    pub fn manual(start: Time) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(start.as_millis()))))
    }

    /// Moves a manual clock; the machine's clock is not ours to move and stays.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, forward or back, as those do who correct a clock; the machine's stays.
    pub fn set(&self, to: Time) {
        if let Source::Manual(millis) = &self.0 {
            millis.store(to.as_millis(), Ordering::SeqCst);
        }
    }

    /// The time of day.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => Time::from(system_time()),
            Source::Manual(millis) => Time::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge's one reading of the real clock")]
fn system_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
