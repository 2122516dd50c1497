//! Says that an origin fails when it begins to, and that it answers again with what failed between: in an outage every
//! request meets the same, and a log that says so each time says nothing else any more. Each failure is counted, and
//! logged at debug.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_cache::Time;

/// From one time that an origin is said to fail to the next: one that fails now and then is not worth two lines each time.
const QUIET: Duration = Duration::from_secs(10);

/// What is worth saying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It fails. `before`: failures that were not worth saying, since it was last said that it fails.
    Fails { before: u64 },
    /// It answers, after so many failures in so long.
    Answers { failed: u64, time: Duration },
}

/// Without clock and log.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When it began to fail, unless it answers.
    since: Option<Time>,
    /// That was said.
    said: bool,
    /// When it was last said that it fails.
    last: Option<Time>,
    /// Failures since then, or, while it is not said, before.
    failed: u64,
}

impl State {
    fn failed(&mut self, now: Time) -> Option<Word> {
        self.since.get_or_insert(now);
        // A clock that was set back says nothing about how long ago it was.
        let quiet = self.last.is_some_and(|last| now >= last && now.since(last) < QUIET);
        if self.said || quiet {
            self.failed += 1;
            return None;
        }
        let before = std::mem::replace(&mut self.failed, 1);
        (self.said, self.last) = (true, Some(now));
        Some(Word::Fails { before })
    }

    fn answered(&mut self, now: Time) -> Option<Word> {
        let since = self.since.take()?;
        std::mem::take(&mut self.said).then(|| {
            let failed = std::mem::take(&mut self.failed);
            Word::Answers { failed, time: now.since(since) }
        })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outage {
    /// It did not answer the last time. Answers are told apart from failures at the cost of one look at this.
    failing: AtomicBool,
    state: Mutex<State>,
}

impl Outage {
    pub fn failed(&self, now: Time) -> Option<Word> {
        let word = self.state.lock().unwrap_or_else(PoisonError::into_inner).failed(now);
        self.failing.store(true, Ordering::Release);
        word
    }

    pub fn answered(&self, now: Time) -> Option<Word> {
        if !self.failing.load(Ordering::Acquire) {
            return None;
        }
        self.failing.store(false, Ordering::Release);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answered(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(1000 + seconds)
    }

    #[test]
    fn an_outage_is_said_when_it_begins_and_when_it_ends() {
        let outage = Outage::default();
        assert_eq!(outage.answered(at(0)), None);
        assert_eq!(outage.failed(at(1)), Some(Word::Fails { before: 0 }));
        for second in 2..100 {
            assert_eq!(outage.failed(at(second)), None);
        }
        let time = Duration::from_secs(99);
        assert_eq!(outage.answered(at(100)), Some(Word::Answers { failed: 99, time }));
        assert_eq!(outage.answered(at(101)), None);
        assert_eq!(outage.failed(at(102)), Some(Word::Fails { before: 0 }));
    }

    #[test]
    fn one_that_fails_now_and_then_is_not_said_each_time() {
        let outage = Outage::default();
        assert!(outage.failed(at(0)).is_some() && outage.answered(at(0)).is_some());
        for second in 1..10 {
            assert_eq!((outage.failed(at(second)), outage.answered(at(second))), (None, None));
        }
        assert_eq!(outage.failed(at(10)), Some(Word::Fails { before: 9 }));
        // One that goes on is said as soon as it may be.
        assert!(outage.answered(at(10)).is_some());
        assert_eq!((outage.failed(at(11)), outage.failed(at(19))), (None, None));
        assert_eq!(outage.failed(at(20)), Some(Word::Fails { before: 2 }));
        let time = Duration::from_secs(10);
        assert_eq!(outage.answered(at(21)), Some(Word::Answers { failed: 1, time }));
    }

    proptest! {
        /// However answers and failures come, each failure is told in one sum, and what is said is bounded by time.
        #[test]
        fn every_failure_is_in_one_sum(steps in proptest::collection::vec((any::<bool>(), 0..4_u64), 0..200)) {
            let (mut state, mut now) = (State::default(), at(0));
            let (mut failures, mut told, mut said) = (0, 0, 0);
            for (fails, later) in steps {
                now = Time::from_millis(now.as_millis() + later * 1000);
                failures += u64::from(fails);
                let word = if fails { state.failed(now) } else { state.answered(now) };
                match word {
                    Some(Word::Fails { before }) => (told, said) = (told + before, said + 1),
                    Some(Word::Answers { failed, .. }) => told += failed,
                    None => {}
                }
            }
            prop_assert_eq!(told + state.failed, failures);
            prop_assert!(said <= now.since(at(0)).as_secs() / QUIET.as_secs() + 1);
        }
    }
}
