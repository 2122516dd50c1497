//! What waits for the writer. Objects are refused when there is no room; removals never are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};

use super::layout::Met;
use crate::store::signal::Signal;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Something to write: the response with this hash and id, as it is among the pending ones then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub hash: u64,
    pub id: u64,
    /// What it counts for.
    pub octets: u64,
}

/// Responses that are gone, and that no restart may bring back.
#[derive(Debug)]
pub struct RemovalJob {
    /// Hash and id of each.
    pub list: Vec<(u64, u64)>,
    /// The segments that their records are in.
    pub segments: Vec<u32>,
    /// The writer had begun one of them: its record may be in any segment.
    pub anywhere: bool,
    pub ticket: Arc<Ticket>,
}

/// How far a removal is: true when it is in the file, false when it is not and will not be.
pub type Ticket = Signal<bool>;

/// The promise that something removed stays so.
#[derive(Clone, Debug, Default)]
#[must_use = "who asked for a removal is answered when it is written"]
pub struct Removal(Vec<Arc<Ticket>>);

impl Removal {
    pub(super) fn of(ticket: Arc<Ticket>) -> Self {
        Self(vec![ticket])
    }

    /// Both.
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// Waits until it was handed to the file system, so that it outlasts this process. False if that failed: it holds
    /// in this process only.
    pub async fn written(&self) -> bool {
        let mut all = true;
        for ticket in &self.0 {
            all &= ticket.wait().await;
        }
        all
    }

    /// Whether it is written; `None` while that is open.
    pub fn is_written(&self) -> Option<bool> {
        self.0.iter().try_fold(true, |all, ticket| ticket.get().map(|written| all & written))
    }
}

/// Something to do when everything has been written that came before it.
#[derive(Debug)]
pub struct Mark {
    /// Jobs that had come.
    after: u64,
    /// To be written down, and made durable with all removals.
    pub met: Option<Met>,
    /// The sequence number of the next record; `None`: it failed.
    pub done: Arc<Signal<Option<u64>>>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    removals: VecDeque<RemovalJob>,
    marks: VecDeque<Mark>,
    /// Jobs that came, and that were taken.
    pushed: u64,
    taken: u64,
    octets: u64,
    closed: bool,
    /// Of the last removal under each hash, unless it is known to be written.
    outstanding: HashMap<u64, Arc<Ticket>>,
    /// How many of them are looked through for those that are written by now.
    sweep_at: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    bell: Condvar,
    /// Octets of objects that may wait.
    limit: u64,
}

/// Removals that are not looked through for those that are written.
const FEW_OUTSTANDING: usize = 1024;
/// Jobs that may wait, however small.
const MOST_JOBS: usize = 16_384;
/// Jobs taken at once, and their octets.
const BATCH: (usize, u64) = (512, 1 << 20);

impl Queue {
    pub fn new(limit: u64) -> Self {
        Self { state: Mutex::default(), bell: Condvar::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets that wait.
    pub fn octets(&self) -> u64 {
        self.state().octets
    }

    /// False when there is no room, or nobody writes any more. `before` is called while there is room for sure.
    pub fn push(&self, job: Job, before: impl FnOnce()) -> bool {
        let mut state = self.state();
        let room =
            state.jobs.len() < MOST_JOBS && (state.octets == 0 || state.octets + job.octets <= self.limit);
        if !room || state.closed {
            return false;
        }
        before();
        state.pushed += 1;
        state.octets += job.octets;
        state.jobs.push_back(job);
        drop(state);
        self.bell.notify_one();
        true
    }

    /// Always room: what was accepted has changed meanwhile.
    pub fn push_again(&self, job: Job) {
        let mut state = self.state();
        state.pushed += 1;
        state.octets += job.octets;
        state.jobs.push_back(job);
    }

    /// Removals come before objects.
    pub fn push_removal(&self, removal: RemovalJob) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            removal.ticket.settle(false);
            return;
        }
        if state.outstanding.len() >= state.sweep_at {
            state.outstanding.retain(|_, ticket| ticket.get() != Some(true));
            state.sweep_at = (2 * state.outstanding.len()).max(FEW_OUTSTANDING);
        }
        for (hash, _) in &removal.list {
            state.outstanding.insert(*hash, Arc::clone(&removal.ticket));
        }
        state.removals.push_back(removal);
        drop(state);
        self.bell.notify_one();
    }

    /// The promise of what was removed under a hash before: removals are written in their order.
    pub fn outstanding(&self, hash: u64) -> Removal {
        let mut state = self.state();
        if state.outstanding.get(&hash).is_some_and(|ticket| ticket.get() == Some(true)) {
            state.outstanding.remove(&hash);
        }
        Removal(state.outstanding.get(&hash).into_iter().map(Arc::clone).collect())
    }

    /// Has the writer come by here.
    pub fn mark(&self, met: Option<Met>) -> Arc<Signal<Option<u64>>> {
        let done: Arc<Signal<Option<u64>>> = Arc::default();
        let mut state = self.state();
        if state.closed {
            done.settle(None);
        } else {
            let after = state.pushed;
            state.marks.push_back(Mark { after, met, done: Arc::clone(&done) });
            self.bell.notify_one();
        }
        done
    }

    /// The marks that nothing is before any more but removals.
    pub fn marks(&self) -> Vec<Mark> {
        let mut state = self.state();
        let ready = state.marks.iter().take_while(|mark| mark.after <= state.taken).count();
        state.marks.drain(..ready).collect()
    }

    /// The removals that wait.
    pub fn removals(&self) -> Vec<RemovalJob> {
        self.state().removals.drain(..).collect()
    }

    /// The next jobs; none if there is none.
    pub fn jobs(&self) -> Vec<Job> {
        let mut state = self.state();
        let mut octets = 0;
        let mut count = 0;
        for job in state.jobs.iter().take(BATCH.0) {
            octets += job.octets;
            count += 1;
            if octets >= BATCH.1 {
                break;
            }
        }
        let jobs: Vec<Job> = state.jobs.drain(..count).collect();
        state.octets -= octets;
        state.taken += count as u64;
        jobs
    }

    /// Waits until there is something to do. False when there is not and never will be.
    pub fn wait(&self) -> bool {
        let mut state = self.state();
        loop {
            if !state.jobs.is_empty() || !state.removals.is_empty() || !state.marks.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes nothing more; what waits is written still.
    pub fn close(&self) {
        self.state().closed = true;
        self.bell.notify_all();
    }

    /// Nobody writes any more: whoever waits is told.
    pub fn abandon(&self) {
        self.close();
        let (removals, marks) = {
            let mut state = self.state();
            state.jobs.clear();
            state.octets = 0;
            (std::mem::take(&mut state.removals), std::mem::take(&mut state.marks))
        };
        marks.iter().for_each(|mark| mark.done.settle(None));
        removals.iter().for_each(|removal| removal.ticket.settle(false));
    }
}
