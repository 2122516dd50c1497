//! When to stop waiting for a build that hangs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// After so many time-outs one after another, without an answer in between, a build hangs.
const IN_A_ROW: u32 = 3;

/// After so many time-outs one after another in all, whatever is answered in between, no more time is given.
const IN_ALL: u32 = 20;

/// How failures begin of what was not tried any more.
pub(super) const GIVEN_UP: &str = "given up: ";

/// How long a build has kept its clients waiting for nothing.
///
/// Time-outs on several connections at the same time say no more than one: a time-out counts where its wait began
/// after the one that was counted before it ended. A run thus waits for at most [`IN_ALL`] time-outs, however many
/// requests there are.
#[derive(Debug)]
pub(super) struct Silence {
    state: Mutex<State>,
    given_up: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    in_all: u32,
    /// When the last one that counted ended.
    last: Option<Duration>,
}

impl Default for Silence {
    fn default() -> Self {
        Silence { state: Mutex::default(), given_up: watch::Sender::new(None) }
    }
}

impl Silence {
    /// The build gave an answer, on any connection.
    pub fn answered(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).in_a_row = 0;
    }

    /// A wait from `begun` to `ended`, counted from the start of the run, was for nothing.
    pub fn timed_out(&self, begun: Duration, ended: Duration) {
        // Each update is complete by itself, also where a task panicked in between.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| begun < last) {
            return;
        }
        state.last = Some(ended);
        state.in_a_row += 1;
        state.in_all += 1;
        let why = match (state.in_a_row, state.in_all) {
            (IN_A_ROW.., _) => {
                format!("{GIVEN_UP}{IN_A_ROW} time-outs one after another, and no answer in between")
            }
            (_, IN_ALL..) => format!("{GIVEN_UP}{IN_ALL} time-outs one after another in all"),
            _ => return,
        };
        self.given_up
            .send_if_modified(|given_up| given_up.is_none().then(|| *given_up = Some(why)).is_some());
    }

    /// Waits until the build is given up, and says why.
    pub async fn given_up(&self) -> String {
        match self.given_up.subscribe().wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            // The sender lives as long as this.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Seen {
        Answer,
        /// From, to.
        TimeOut(u64, u64),
    }
    use Seen::{Answer, TimeOut};

    fn given_up(seen: impl IntoIterator<Item = Seen>) -> Option<String> {
        let silence = Silence::default();
        for one in seen {
            match one {
                Answer => silence.answered(),
                TimeOut(from, to) => silence.timed_out(Duration::from_secs(from), Duration::from_secs(to)),
            }
        }
        silence.given_up.borrow().clone()
    }

    #[test]
    fn time_outs_one_after_another_count() {
        let row = || (0..3).map(|n| TimeOut(n, n + 1));
        assert!(given_up(row()).is_some_and(|why| why.starts_with(GIVEN_UP) && why.contains("3 time-outs")));
        assert_eq!(given_up(row().take(2)), None);
    }

    #[test]
    fn time_outs_at_the_same_time_are_one() {
        assert_eq!(given_up((0..100).map(|n| TimeOut(n, 100 + n))), None);
    }

    #[test]
    fn an_answer_ends_a_row_and_not_the_patience() {
        let hiccups = |count| (0..count).flat_map(|n| [TimeOut(n, n + 1), Answer]);
        assert_eq!(given_up(hiccups(19)), None);
        assert!(given_up(hiccups(20)).is_some_and(|why| why.contains("20 time-outs")));
    }
}
