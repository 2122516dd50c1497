//! Warnings that many requests would give at once.

use std::sync::atomic::{AtomicU64, Ordering};

use http_cache::Time;

/// From one such warning to the next, in milliseconds.
const QUIET: u64 = 10_000;

/// Says who may warn: one within some seconds, who also tells how many could not.
#[derive(Debug, Default)]
pub struct Rarely {
    /// When the next may; 0: at once.
    next: AtomicU64,
    unsaid: AtomicU64,
}

impl Rarely {
    /// `Some`: the caller warns, and says that so many before it did not.
    pub fn turn(&self, now: Time) -> Option<u64> {
        let now = now.as_millis();
        let free = |next: u64| (now >= next || next - now > QUIET).then(|| now.saturating_add(QUIET));
        if self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_err() {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.unsaid.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_speaks_for_all() {
        let rarely = Rarely::default();
        let turn = |millis: u64| rarely.turn(Time::from_millis(1_000_000 + millis));
        assert_eq!(turn(0), Some(0));
        assert_eq!((turn(1), turn(9_999)), (None, None));
        assert_eq!(turn(10_000), Some(2));
        // A clock that was set back does not silence it.
        assert_eq!(rarely.turn(Time::from_millis(5)), Some(0));
    }
}
