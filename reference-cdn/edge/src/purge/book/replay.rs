//! The book as a log tells it, and the log as the book would have it.

use http_cache::Time;

use super::super::Limits;
use super::super::generation::Mode;
use super::super::record::Record;
use super::super::scope::{Scope, What};
use super::{Book, Force, Occurrence};

impl Book {
    /// The book that was logged, and the purges that are in force, by their numbers. A record that cannot be understood
    /// counts as a purge of everything.
    pub fn replay(limits: Limits, records: &[Option<Record>]) -> (Self, Vec<Occurrence>) {
        let mut book = Self::new(limits, false);
        let mut unknown = false;
        for record in records {
            match record {
                None => unknown = true,
                Some(record) => book.note(record),
            }
        }
        let (to, at) = book.complete;
        let mut in_force = Vec::new();
        let mut over = Vec::new();
        for (&number, purge) in &mut book.purges {
            if let Some(force) = &mut purge.force {
                purge.complete = force.last.0 <= to;
                if force.first.0 <= to {
                    force.first = (to + 1, at);
                }
                if !purge.complete {
                    in_force.extend(occurrences(&purge.accepted.scope, purge.accepted.mode, *force));
                }
            }
            match purge.next() {
                Some(next) => {
                    book.schedules.insert((next, number));
                }
                None if purge.is_over() => over.push(number),
                None => {}
            }
        }
        for number in over {
            book.retire(number);
        }
        in_force.sort_by_key(|occurrence| occurrence.number);
        book.last = book.last.max(book.set_aside);
        book.asked = book.last;
        if unknown {
            // Its number is that of the last response that can have been stored before.
            book.last += 1;
            let scope = Scope { customer: None, what: What::Everything };
            in_force.push(Occurrence { number: book.last, scope, mode: Mode::Hard, since: Time::default() });
        }
        (book, in_force)
    }

    /// All that the log has to hold.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.purges.len() * 2 + 2);
        records.push(Record::Numbers { to: self.asked.max(self.last) });
        for (&number, purge) in &self.purges {
            records.push(Record::Purge(purge.accepted.clone()));
            if purge.accepted.schedule.is_some()
                && let Some(force) = purge.force
            {
                let fired = |(force, since): (u64, Time)| Record::Fired {
                    number,
                    force,
                    since: since.as_millis(),
                    fired: purge.fired,
                };
                if force.first != force.last {
                    records.push(fired(force.first));
                }
                records.push(fired(force.last));
            }
            if let Some(purged) = purge.purged {
                records.push(Record::Result { number, purged });
            }
            if let Some((at, by)) = &purge.cancelled {
                records.push(Record::Cancelled { number, at: at.as_millis(), by: by.clone() });
            }
        }
        let (to, at) = self.complete;
        records.push(Record::Complete { to, at: at.as_millis() });
        records
    }

    fn note(&mut self, record: &Record) {
        let time = Time::from_millis;
        match record {
            Record::Numbers { to } => self.set_aside = self.set_aside.max(*to),
            Record::Purge(accepted) => {
                self.last = self.last.max(accepted.number);
                if self.purges.contains_key(&accepted.number) {
                    return;
                }
                self.enter(accepted.clone());
                if accepted.schedule.is_none()
                    && let Some(purge) = self.purges.get_mut(&accepted.number)
                {
                    purge.came_into_force(accepted.number, accepted.time());
                }
            }
            Record::Fired { number, force, since, fired } => {
                self.last = self.last.max(*force);
                if let Some(purge) = self.purges.get_mut(number) {
                    purge.came_into_force(*force, time(*since));
                    purge.fired = purge.fired.max(*fired);
                }
            }
            Record::Result { number, purged } => {
                if let Some(purge) = self.purges.get_mut(number) {
                    purge.purged = Some(*purged);
                }
            }
            Record::Cancelled { number, at, by } => {
                if let Some(purge) = self.purges.get_mut(number) {
                    purge.cancelled = Some((time(*at), by.clone()));
                }
            }
            Record::Complete { to, at } => {
                if *to >= self.complete.0 {
                    self.complete = (*to, time(*at));
                }
            }
        }
    }
}

/// One, or the first and the last of several.
fn occurrences(scope: &Scope, mode: Mode, force: Force) -> impl Iterator<Item = Occurrence> {
    let first = (force.first.0 != force.last.0).then_some(force.first);
    first.into_iter().chain([force.last]).map(move |(number, since)| Occurrence {
        number,
        scope: scope.clone(),
        mode,
        since,
    })
}
