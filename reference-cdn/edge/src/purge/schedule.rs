//! When a purge comes into force: at a time, once or again and again.

use std::time::Duration;

use http_cache::Time;
use serde::{Deserialize, Serialize};

/// Shortest interval. Each occurrence is a purge of its own for every look-up that follows.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest interval.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(366 * 86_400);

/// Occurrence number n (from 0) is at `at + n * every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Milliseconds since 1970, as all numbers here.
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeats: Option<Repeats>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Repeats {
    every: u64,
    /// How many occurrences there are in all.
    times: u64,
}

/// When it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    After(u64),
    /// No occurrence is later than this.
    At(Time),
}

impl Schedule {
    pub fn once(at: Time) -> Self {
        Self { at: at.as_millis(), repeats: None }
    }

    /// `None`: it would never come into force.
    pub fn repeated(at: Time, every: Duration, end: End) -> Option<Self> {
        let at = at.as_millis();
        let every = u64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
        let times = match end {
            End::After(times) => times,
            End::At(until) => until.as_millis().checked_sub(at).map_or(0, |span| span / every + 1),
        };
        (times > 0).then_some(Self { at, repeats: Some(Repeats { every, times }) })
    }

    /// When occurrence `number` is; `None` if there is no such.
    pub fn occurrence(&self, number: u64) -> Option<Time> {
        let (every, times) = self.repeats.map_or((0, 1), |it| (it.every, it.times));
        let after = (number < times).then(|| every.saturating_mul(number))?;
        Some(Time::from_millis(self.at.saturating_add(after)))
    }

    /// How many occurrences are at `now` or before. What was missed (the edge was down, the clock jumped) is over all
    /// the same: the purge that comes into force at last does for all of them.
    pub fn due(&self, now: Time) -> u64 {
        let Some(passed) = now.as_millis().checked_sub(self.at) else { return 0 };
        self.repeats.map_or(1, |it| (passed / it.every.max(1)).saturating_add(1).min(it.times))
    }

    /// Interval, and number of occurrences in all, if it is repeated.
    pub fn repeats(&self) -> Option<(Duration, u64)> {
        self.repeats.map(|it| (Duration::from_millis(it.every), it.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    #[test]
    fn once_is_one_occurrence() {
        let once = Schedule::once(at(100));
        assert_eq!((once.occurrence(0), once.occurrence(1)), (Some(at(100)), None));
        assert_eq!([99, 100, 1000].map(|now| once.due(at(now))), [0, 1, 1]);
    }

    #[test]
    fn a_repeated_one_ends_by_count_or_time() {
        let every = Duration::from_secs(10);
        let thrice = Schedule::repeated(at(100), every, End::After(3)).unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|n| thrice.occurrence(n)),
            [Some(at(100)), Some(at(110)), Some(at(120)), None]
        );
        assert_eq!([99, 100, 109, 110, 125, 9999].map(|now| thrice.due(at(now))), [0, 1, 1, 2, 3, 3]);
        for (until, times) in [(99, 0), (100, 1), (109, 1), (110, 2), (135, 4)] {
            let schedule = Schedule::repeated(at(100), every, End::At(at(until)));
            assert_eq!(schedule.map_or(0, |it| it.due(at(99_999))), times, "{until}");
        }
        assert_eq!(Schedule::repeated(at(1), every, End::After(0)), None);
        assert_eq!(Schedule::repeated(at(1), Duration::ZERO, End::After(1)), None);
    }

    proptest! {
        #[test]
        fn what_is_due_is_what_has_occurred(start in 0..2000_u64, every in 1..500_u64, times in 1..20_u64, now in 0..9000_u64) {
            let millis = Time::from_millis;
            let schedule = Schedule::repeated(millis(start), Duration::from_millis(every), End::After(times)).unwrap();
            let occurred = (0..times).filter(|n| schedule.occurrence(*n).unwrap() <= millis(now)).count() as u64;
            prop_assert_eq!(schedule.due(millis(now)), occurred);
        }
    }
}
