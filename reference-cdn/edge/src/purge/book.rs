//! All purges that are known: scheduled, in force, and for a while those that are over. Hands out the numbers, and says
//! what the log has to hold.
//!
//! Pure: it does no I/O and takes the time as an argument.

mod replay;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use http_cache::Time;

use super::generation::Mode;
use super::record::{self, Accepted, Record};
use super::scope::Scope;
use super::{Limits, Refusal};

/// How many numbers are set aside in the log at once. After a crash those that were not used are skipped, so that
/// numbers never go back, whatever was written last.
const CHUNK: u64 = 1 << 32;
/// How ids begin that the edge gives.
pub const OWN_ID: &str = "edge-";

/// A purge that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    pub accepted: Box<Accepted>,
    /// Responses that the purge of a URL reached at once.
    pub purged: Option<u64>,
    /// How many of its occurrences are over.
    pub fired: u64,
    pub force: Option<Force>,
    /// When, and by whom.
    pub cancelled: Option<(Time, String)>,
    /// Every response that it took has met it.
    pub complete: bool,
}

/// In force: the first purge of this order that is not complete, and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Force {
    first: (u64, Time),
    pub last: (u64, Time),
}

/// What became of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its next occurrence is then.
    Scheduled(Time),
    InForce,
    Cancelled,
    /// All that it took is gone or stale, and look-ups no longer ask for it.
    Compacted,
}

impl Purge {
    /// When it comes into force (again).
    pub fn next(&self) -> Option<Time> {
        self.accepted.schedule.filter(|_| self.cancelled.is_none())?.occurrence(self.fired)
    }

    pub fn state(&self) -> State {
        match self.next() {
            _ if self.cancelled.is_some() => State::Cancelled,
            Some(next) => State::Scheduled(next),
            None if self.complete => State::Compacted,
            None => State::InForce,
        }
    }

    /// It takes no room but that of its history.
    fn is_over(&self) -> bool {
        self.next().is_none() && (self.complete || self.force.is_none())
    }

    fn came_into_force(&mut self, number: u64, since: Time) {
        let first = self.force.filter(|_| !self.complete).map_or((number, since), |force| force.first);
        self.force = Some(Force { first, last: (number, since) });
        self.complete = false;
    }
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    New(u64),
    /// It came before: nothing is done twice.
    Known(u64),
}

/// An order, checked, with all but its number.
#[derive(Clone, Debug)]
pub struct Draft {
    pub by: String,
    pub owner: Option<String>,
    pub id: Option<String>,
    pub digest: String,
    pub scope: Scope,
    pub mode: Mode,
    pub schedule: Option<super::schedule::Schedule>,
    /// Without room a coarser scope will do.
    pub coarser: bool,
}

/// A purge that comes into force.
#[derive(Clone, Debug)]
pub struct Occurrence {
    pub number: u64,
    pub scope: Scope,
    pub mode: Mode,
    pub since: Time,
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    limits: Limits,
    purges: BTreeMap<u64, Purge>,
    ids: HashMap<(Option<String>, String), u64>,
    /// The last number given out.
    last: u64,
    /// Numbers up to this one are set aside in the log.
    set_aside: u64,
    /// Asked for in the queue, not yet written.
    asked: u64,
    /// Numbers of purges that are not in force because they are being written.
    writing: BTreeSet<u64>,
    queue: Vec<u8>,
    batch: Vec<u64>,
    schedules: BTreeSet<(Time, u64)>,
    subjects: usize,
    patterns: usize,
    /// Over, oldest first.
    over: VecDeque<u64>,
    /// Purges up to this number are complete; later ones came after the time.
    complete: (u64, Time),
}

impl Book {
    /// An empty one. `endless`: there is no log in which numbers would have to be set aside.
    pub fn new(limits: Limits, endless: bool) -> Self {
        let set_aside = if endless { u64::MAX } else { 0 };
        Self {
            limits,
            purges: BTreeMap::new(),
            ids: HashMap::new(),
            last: 0,
            set_aside,
            asked: set_aside,
            writing: BTreeSet::new(),
            queue: Vec::new(),
            batch: Vec::new(),
            schedules: BTreeSet::new(),
            subjects: 0,
            patterns: 0,
            over: VecDeque::new(),
            complete: (0, Time::default()),
        }
    }

    /// The highest number up to which every purge is in force, or was.
    pub fn now(&self) -> u64 {
        self.writing.first().map_or(self.last, |first| first - 1)
    }

    /// Has more numbers set aside if there are few.
    pub fn ask_for_numbers(&mut self) {
        if self.last.saturating_add(CHUNK / 2) > self.asked {
            self.asked = self.last.saturating_add(CHUNK);
            let record = Record::Numbers { to: self.asked };
            self.write(&record);
        }
    }

    /// A number for a purge that comes into force at once. `None`: none is set aside, because the log cannot be written.
    pub fn number(&mut self) -> Option<u64> {
        self.ask_for_numbers();
        let next = self.last.checked_add(1).filter(|next| *next <= self.set_aside)?;
        self.last = next;
        Some(next)
    }

    fn write(&mut self, record: &Record) {
        record::write(record, &mut self.queue);
    }

    /// Takes an order, unless it is known.
    ///
    /// # Errors
    /// When there is no room for it, or its id was used for another one.
    pub fn take(&mut self, draft: Draft, now: Time) -> Result<Taken, Refusal> {
        if let Some(id) = &draft.id
            && let Some(number) = self.ids.get(&(draft.owner.clone(), id.clone()))
        {
            let known = self.purges.get(number).is_some_and(|purge| purge.accepted.digest == draft.digest);
            return if known {
                Ok(Taken::Known(*number))
            } else {
                Err(Refusal::Conflict(format!(
                    "id \"{id}\" was used for another purge; GET /purge/{id} shows it"
                )))
            };
        }
        if draft.schedule.is_some() && self.schedules.len() >= self.limits.schedules {
            return Err(Refusal::Full(format!(
                "{} purges are scheduled, which is all that may be (purge.schedules); cancel one, or wait",
                self.schedules.len()
            )));
        }
        let (scope, coarsened) = self.fitting(draft.scope, draft.coarser)?;
        let number = self.number().ok_or_else(|| {
            Refusal::Full("the purge log cannot be written; see the edge's own log for the reason".into())
        })?;
        let accepted = Box::new(Accepted {
            number,
            at: now.as_millis(),
            by: draft.by,
            id: draft.id.unwrap_or_else(|| format!("{OWN_ID}{number}")),
            owner: draft.owner,
            digest: draft.digest,
            scope,
            mode: draft.mode,
            schedule: draft.schedule,
            coarsened,
        });
        self.write(&Record::Purge(accepted.clone()));
        self.batch.push(number);
        self.writing.insert(number);
        self.enter(accepted);
        Ok(Taken::New(number))
    }

    /// The scope, or a coarser one that there is room for.
    fn fitting(&self, mut scope: Scope, coarser: bool) -> Result<(Scope, bool), Refusal> {
        let mut coarsened = false;
        loop {
            let (patterns, subjects) = (self.patterns + scope.patterns(), self.subjects + scope.subjects());
            let (full, limit) = if patterns > self.limits.patterns {
                ("patterns", "purge.patterns")
            } else if subjects > self.limits.outstanding {
                ("names", "purge.outstanding")
            } else {
                return Ok((scope, coarsened));
            };
            match scope.coarser().filter(|_| coarser) {
                Some(wider) => (scope, coarsened) = (wider, true),
                // A single generation: there is always room for it.
                None if coarser => return Ok((scope, coarsened)),
                None => {
                    return Err(Refusal::Full(format!(
                        "too many {full} are outstanding ({limit}); try again once they are compacted, or send \"coarser\": true"
                    )));
                }
            }
        }
    }

    fn enter(&mut self, accepted: Box<Accepted>) {
        let number = accepted.number;
        self.subjects += accepted.scope.subjects();
        self.patterns += accepted.scope.patterns();
        self.ids.insert((accepted.owner.clone(), accepted.id.clone()), number);
        let purge = Purge { accepted, purged: None, fired: 0, force: None, cancelled: None, complete: false };
        self.purges.insert(number, purge);
    }

    fn remove(&mut self, number: u64) {
        let Some(purge) = self.purges.remove(&number) else { return };
        let id = (purge.accepted.owner, purge.accepted.id);
        // The log may hold an order twice: once as it failed, once as it was tried again.
        if self.ids.get(&id) == Some(&number) {
            self.ids.remove(&id);
        }
    }

    /// It no longer counts against the limits.
    fn release(&mut self, number: u64) {
        if let Some(purge) = self.purges.get(&number) {
            self.subjects -= purge.accepted.scope.subjects();
            self.patterns -= purge.accepted.scope.patterns();
        }
    }

    /// Moves a purge that is over to the history, and forgets the oldest.
    fn retire(&mut self, number: u64) {
        if self.purges.get(&number).is_some_and(Purge::is_over) {
            self.release(number);
            self.over.push_back(number);
            while self.over.len() > self.limits.history {
                if let Some(oldest) = self.over.pop_front() {
                    self.remove(oldest);
                }
            }
        }
    }

    /// True if something waits to be written.
    pub fn has_to_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What is to be appended to the log, the purges that are in force once it is, and the numbers set aside by then.
    pub fn take_queue(&mut self) -> (Vec<u8>, Vec<u64>, u64) {
        (std::mem::take(&mut self.queue), std::mem::take(&mut self.batch), self.asked)
    }

    /// Numbers up to this one are set aside in the log.
    pub fn set_aside(&mut self, to: u64) {
        self.set_aside = self.set_aside.max(to);
    }

    /// The purge with this number as it comes into force now that it is written; `None` if it is scheduled for later.
    pub fn written(&self, number: u64) -> Option<Occurrence> {
        let accepted = &self.purges.get(&number)?.accepted;
        accepted.schedule.is_none().then(|| Occurrence {
            number,
            scope: accepted.scope.clone(),
            mode: accepted.mode,
            since: accepted.time(),
        })
    }

    /// A purge was written: it is in force, or waits for its time. `purged`: what it reached at once.
    pub fn settle(&mut self, number: u64, purged: Option<u64>) {
        self.writing.remove(&number);
        let Some(purge) = self.purges.get_mut(&number) else { return };
        match purge.next() {
            Some(next) => {
                self.schedules.insert((next, number));
            }
            None => purge.came_into_force(number, purge.accepted.time()),
        }
        if let Some(purged) = purged {
            purge.purged = Some(purged);
            self.write(&Record::Result { number, purged });
        }
    }

    /// A purge could not be written: it was never accepted.
    pub fn fail(&mut self, number: u64) {
        self.writing.remove(&number);
        self.release(number);
        self.remove(number);
    }

    /// When the next scheduled purge is due.
    pub fn next_due(&self) -> Option<Time> {
        self.schedules.first().map(|(at, _)| *at)
    }

    /// Brings the first of the scheduled purges that are due into force. `None`: none is.
    pub fn fire(&mut self, now: Time) -> Option<Occurrence> {
        let (since, number) = *self.schedules.first().filter(|(at, _)| *at <= now)?;
        let force = self.number()?;
        self.schedules.remove(&(since, number));
        let purge = self.purges.get_mut(&number)?;
        let schedule = purge.accepted.schedule?;
        purge.fired = schedule.due(now).max(purge.fired + 1);
        purge.came_into_force(force, since);
        let next = purge.next();
        let record = Record::Fired { number, force, since: since.as_millis(), fired: purge.fired };
        let occurrence = Occurrence {
            number: force,
            scope: purge.accepted.scope.clone(),
            mode: purge.accepted.mode,
            since,
        };
        if let Some(next) = next {
            self.schedules.insert((next, number));
        }
        self.write(&record);
        Some(occurrence)
    }

    /// Cancels what is left of a scheduled purge; to do so again changes nothing.
    ///
    /// # Errors
    /// When nothing is left of it.
    pub fn cancel(&mut self, number: u64, by: &str, now: Time) -> Result<(), Refusal> {
        let Some(purge) = self.purges.get_mut(&number) else { return Err(Refusal::Unknown) };
        if purge.cancelled.is_some() {
            return Ok(());
        }
        let Some(next) = purge.next() else {
            return Err(Refusal::Conflict("it is in force already, which cannot be taken back".into()));
        };
        purge.cancelled = Some((now, by.to_owned()));
        self.schedules.remove(&(next, number));
        self.write(&Record::Cancelled { number, at: now.as_millis(), by: by.to_owned() });
        self.retire(number);
        Ok(())
    }

    /// Purges up to number `to` are complete; later ones came after `at`.
    pub fn complete(&mut self, to: u64, at: Time) {
        if to <= self.complete.0 {
            return;
        }
        self.complete = (to, at);
        self.write(&Record::Complete { to, at: at.as_millis() });
        let mut over = Vec::new();
        for (number, purge) in &mut self.purges {
            let Some(force) = purge.force.as_mut().filter(|_| !purge.complete) else { continue };
            if force.last.0 <= to {
                purge.complete = true;
                if purge.is_over() {
                    over.push(*number);
                }
            } else if force.first.0 <= to {
                force.first = (to + 1, force.first.1.max(at));
            }
        }
        for number in over {
            self.retire(number);
        }
    }

    /// Purges up to this number are complete; later ones came after the time.
    pub fn completed(&self) -> (u64, Time) {
        self.complete
    }

    /// A purge that was accepted.
    pub fn get(&self, number: u64) -> Option<&Purge> {
        self.purges.get(&number).filter(|_| !self.writing.contains(&number))
    }

    /// The purge of this owner with this id.
    pub fn find(&self, owner: Option<&str>, id: &str) -> Option<u64> {
        self.ids.get(&(owner.map(str::to_owned), id.to_owned())).copied()
    }

    /// Purges with numbers below `before`, newest first.
    pub fn newest(&self, before: u64) -> impl Iterator<Item = &Purge> {
        let known = self.purges.range(..before).rev();
        known.filter(|(number, _)| !self.writing.contains(number)).map(|(_, purge)| purge)
    }

    /// Names that count against the limits, and how many of them are patterns.
    pub fn outstanding(&self) -> (usize, usize) {
        (self.subjects, self.patterns)
    }

    /// Purges that wait for their time.
    pub fn scheduled(&self) -> usize {
        self.schedules.len()
    }
}
