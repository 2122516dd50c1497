//! The one place of the mapper's servers that reads real time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::respond::Now;

/// Tells the time of day, and how much time has passed since the clock was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a server's shell reads the real clock, here and below")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Read once for each batch of queries. A time of day before 1970 is 1970.
    #[expect(clippy::disallowed_methods, reason = "as above")]
    pub(super) fn now(&self) -> Now {
        Now {
            unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            monotonic: u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
