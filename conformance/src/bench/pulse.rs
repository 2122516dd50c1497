//! Whether this machine kept up: a task that wants to run at short intervals and notes when it could not.

use endpoint::Clock;
use exchange::Time;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const BEAT: Duration = Duration::from_millis(50);
/// Delays below this are ordinary.
const NOTED: Duration = Duration::from_millis(500);

/// Measures how long the runtime stood still. Stops beating when the last clone goes.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Vec<(Time, Duration)>>>);

impl Pulse {
    /// Starts beating on the current runtime.
    pub fn start(clock: Clock) -> Self {
        let missed: Arc<Mutex<Vec<(Time, Duration)>>> = Arc::default();
        let weak = Arc::downgrade(&missed);
        tokio::spawn(async move {
            let mut last = clock.now();
            loop {
                tokio::time::sleep(BEAT).await;
                let Some(missed) = weak.upgrade() else { return };
                let now = clock.now();
                let late = now.since(last).saturating_sub(BEAT);
                if late >= NOTED {
                    missed.lock().unwrap_or_else(PoisonError::into_inner).push((now, late));
                }
                last = now;
            }
        });
        Pulse(missed)
    }

    /// The longest standstill since `start`; zero where there was none worth noting.
    pub fn longest_since(&self, start: Time) -> Duration {
        let missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        missed.iter().filter(|(at, _)| *at >= start).map(|(_, late)| *late).max().unwrap_or_default()
    }
}
