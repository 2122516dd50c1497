//! The time that messages are marked with.

use exchange::Time;
use std::fmt;
use std::sync::Arc;

/// Says what time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// Any source of time, for tests.
    pub fn new(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// The computer's clock, read once; from then on time goes by steadily, whatever happens to that clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "sockets live here; everything else gets the time from here"
    )]
    pub fn system() -> Self {
        let start = std::time::Instant::now();
        let epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Time(0), |since| Time(0).plus(since));
        Clock::new(move || epoch.plus(start.elapsed()))
    }

    pub fn now(&self) -> Time {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
