//! The ledger: each request that the relay saw begin ends in exactly one state.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the states of the ledger have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Both answers were seen whole and compared.
    Compared,
    /// Left out by `--sample`.
    SampledOut,
    /// Not sent to the candidate, by rule.
    HeldBack,
    /// Meant to be compared, but was not.
    Dropped,
    /// The client, the primary or the mirror went away before there was something to compare.
    Incomplete,
}

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident: $group:ident, $reason:literal;)*) => {
        /// How a request ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum State {
            $($(#[$doc])* #[serde(rename = $reason)] $state,)*
        }

        impl State {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[State] = &[$(State::$state),*];

            pub fn group(self) -> Group {
                match self { $(State::$state => Group::$group,)* }
            }

            /// Its name in ledgers, metrics and differences.
            pub fn reason(self) -> &'static str {
                match self { $(State::$state => $reason,)* }
            }
        }
    };
}

states! {
    /// The answers are the same in meaning.
    Same: Compared, "same";
    /// They are not.
    Different: Compared, "different";
    /// Left out by `--sample`.
    SampledOut: SampledOut, "sampled-out";
    /// Neither GET, HEAD nor OPTIONS, and `--unsafe-methods` was not given.
    UnsafeMethod: HeldBack, "unsafe-method";
    /// Asks to leave HTTP/1.1 (RFC 9110 section 7.8).
    Upgrade: HeldBack, "upgrade";
    /// Asks for a tunnel (RFC 9110 section 9.3.6).
    Connect: HeldBack, "connect";
    /// `--memory` had no room for its copy.
    Memory: Dropped, "memory";
    /// Too many earlier requests of the same client connection still wait for the candidate.
    Queue: Dropped, "queue";
    /// Comparing fell behind.
    Judge: Dropped, "judge";
    /// The client's bytes are no HTTP/1.1 request.
    RequestUnparsed: Dropped, "request-unparsed";
    /// The primary's bytes are no HTTP/1.1 response.
    PrimaryUnparsed: Dropped, "primary-unparsed";
    /// No connection to the candidate could be opened.
    CandidateUnreachable: Dropped, "candidate-unreachable";
    /// The candidate had not answered in full within `--candidate-timeout`.
    CandidateTimeout: Dropped, "candidate-timeout";
    /// The candidate took a request slower than the client sent it, and too much of it waited.
    CandidateBacklog: Dropped, "candidate-backlog";
    /// The candidate closed or reset the connection before a whole header section.
    CandidateClosed: Dropped, "candidate-closed";
    /// The candidate's bytes are no HTTP/1.1 response.
    CandidateGarbage: Dropped, "candidate-garbage";
    /// The candidate's answer went on long after the primary's had ended.
    CandidateTooLong: Dropped, "candidate-too-long";
    /// The client closed or reset before its answer was whole.
    ClientGone: Incomplete, "client-gone";
    /// The primary closed or reset before its answer was whole, or could not be reached.
    PrimaryGone: Incomplete, "primary-gone";
    /// The mirror was told to end.
    Shutdown: Incomplete, "shutdown";
}

impl State {
    /// Whether the candidate is at fault by what it sent (and not by being slow or away, which tells nothing about
    /// its answers). Such a request fails the verdict as a difference does.
    pub fn is_broken_answer(self) -> bool {
        matches!(self, State::CandidateClosed | State::CandidateGarbage | State::CandidateTooLong)
    }
}

/// Counts requests by the state they ended in. Counting never waits.
#[derive(Debug, Default)]
pub struct Ledger {
    requests: AtomicU64,
    ended: [AtomicU64; State::ALL.len()],
    lost: AtomicU64,
}

impl Ledger {
    /// Counts a request that begins; its ticket must be ended.
    pub fn begin(self: &Arc<Self>) -> Ticket {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ticket { ledger: Some(Arc::clone(self)) }
    }

    /// The counts now. While requests begin and end, the states are read before the total.
    pub fn totals(&self) -> Totals {
        let lost = self.lost.load(Ordering::Acquire);
        let states: BTreeMap<State, u64> =
            State::ALL.iter().map(|&s| (s, self.ended[s as usize].load(Ordering::Acquire))).collect();
        Totals { requests: self.requests.load(Ordering::Acquire), states, lost }
    }
}

/// A request that has begun and not ended. Dropping it without [`Ticket::end`] is a defect of the mirror, which the
/// ledger shows as `lost`.
#[derive(Debug)]
pub struct Ticket {
    ledger: Option<Arc<Ledger>>,
}

impl Ticket {
    pub fn end(mut self, state: State) {
        if let Some(ledger) = self.ledger.take() {
            ledger.ended[state as usize].fetch_add(1, Ordering::Release);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            ledger.lost.fetch_add(1, Ordering::Release);
        }
    }
}

/// The ledger at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that began.
    pub requests: u64,
    /// How they ended; each state is present.
    pub states: BTreeMap<State, u64>,
    /// Requests whose end nobody wrote down: always 0, or the mirror has a defect.
    pub lost: u64,
}

impl Totals {
    pub fn of(&self, state: State) -> u64 {
        self.states.get(&state).copied().unwrap_or(0)
    }

    pub fn of_group(&self, group: Group) -> u64 {
        self.states.iter().filter(|(s, _)| s.group() == group).map(|(_, n)| n).sum()
    }

    /// Requests that have not ended yet; 0 in the ledger of a mirror that has ended.
    pub fn open(&self) -> u64 {
        self.requests.saturating_sub(self.states.values().sum::<u64>() + self.lost)
    }

    /// Whether each request is open or ended in exactly one state. True at any moment, or the mirror has a defect.
    pub fn balances(&self) -> bool {
        self.lost == 0 && self.requests == self.open() + self.states.values().sum::<u64>()
    }

    /// Whether the ledger balances, and no request is open: what a mirror that has ended must show.
    pub fn is_settled(&self) -> bool {
        self.balances() && self.open() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balances_when_each_ticket_ends_once() {
        let ledger = Arc::new(Ledger::default());
        let (a, b) = (ledger.begin(), ledger.begin());
        a.end(State::Same);
        let totals = ledger.totals();
        assert_eq!((totals.open(), totals.balances(), totals.is_settled()), (1, true, false));
        b.end(State::Memory);
        let totals = ledger.totals();
        assert!(totals.balances() && totals.is_settled());
        assert_eq!((totals.of(State::Same), totals.of_group(Group::Dropped)), (1, 1));
    }

    #[test]
    fn a_ticket_nobody_ended_is_shown() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.begin());
        std::mem::forget(ledger.begin());
        let totals = ledger.totals();
        assert_eq!((totals.lost, totals.open(), totals.balances()), (1, 1, false));
    }

    #[test]
    fn more_ends_than_beginnings_do_not_balance() {
        let ledger = Arc::new(Ledger::default());
        ledger.begin().end(State::Same);
        let mut totals = ledger.totals();
        totals.requests = 0;
        assert_eq!((totals.open(), totals.balances(), totals.is_settled()), (0, false, false));
    }

    #[test]
    fn reasons_are_unique() {
        let reasons: std::collections::BTreeSet<_> = State::ALL.iter().map(|s| s.reason()).collect();
        assert_eq!(reasons.len(), State::ALL.len());
    }
}
