//! Orders carried out: written, in force, shown, cancelled.

use std::io;
use std::sync::atomic::Ordering;

use http_cache::{Key, Time};
use serde_json::{Value, json};

use super::book::{Occurrence, Purge, Taken};
use super::generation::Mode;
use super::order::{self, Order};
use super::scope::What;
use super::tokens::Asker;
use super::{AtOnce, Purges, Refusal, locked};

/// What came of an order.
#[derive(Clone, Debug)]
pub struct Answer {
    pub value: Value,
    /// It comes into force later.
    pub scheduled: bool,
    /// It had come before.
    pub known: bool,
}

impl Purges {
    /// Carries an order out: once this returns, it is in force (or scheduled) and survives a crash, if there is a log for
    /// that. Waits for the disk.
    ///
    /// # Errors
    /// When it was not accepted.
    pub fn order(
        &self,
        order: Order,
        by: &Asker,
        now: Time,
        at_once: &dyn AtOnce,
    ) -> Result<Answer, Refusal> {
        let refused = |refusal| {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            refusal
        };
        let draft = order.draft(by).map_err(refused)?;
        let scheduled = draft.schedule.is_some();
        let taken = locked(&self.book).take(draft, now).map_err(refused)?;
        let (number, known) = match taken {
            Taken::New(number) => (number, false),
            Taken::Known(number) => (number, true),
        };
        self.flush(at_once).map_err(|error| refused(Refusal::Log(error)))?;
        if scheduled {
            // It may be due already.
            self.at(now);
        }
        let book = locked(&self.book);
        let Some(purge) = book.get(number) else {
            let error = io::Error::other("another purge failed to be written at the same time");
            return Err(refused(Refusal::Log(error)));
        };
        if !known {
            self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        }
        let value = order::answer(purge, self.durable);
        drop(book);
        self.work.notify_one();
        Ok(Answer { value, scheduled, known })
    }

    /// True if the log lacks something, or has to be made good.
    pub(super) fn has_to_write(&self) -> bool {
        // Whoever has the lock is writing.
        locked(&self.book).has_to_write() || self.log.try_lock().is_ok_and(|log| log.is_broken())
    }

    /// Writes what has to be written; purges among it are then in force.
    pub(super) fn flush(&self, at_once: &dyn AtOnce) -> io::Result<()> {
        let mut log = locked(&self.log);
        let (octets, batch, set_aside) = locked(&self.book).take_queue();
        let mut written = match (log.is_broken(), octets.is_empty()) {
            (true, _) => Err(io::Error::other("an earlier write failed")),
            (false, true) => Ok(()),
            (false, false) => log.append(&octets, true),
        };
        if written.is_err() {
            // A new file may do where the old one does not.
            let records = locked(&self.book).snapshot();
            written = log.rewrite(&records);
        }
        if let Err(error) = written {
            self.counters.log_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the purge log cannot be written; purges are refused until it can");
            let mut book = locked(&self.book);
            batch.iter().for_each(|number| book.fail(*number));
            self.publish(&book);
            return Err(error);
        }
        locked(&self.book).set_aside(set_aside);
        for number in batch {
            let occurrence = locked(&self.book).written(number);
            let purged = occurrence.as_ref().and_then(|it| self.bring_into_force(it, at_once));
            let mut book = locked(&self.book);
            book.settle(number, purged);
            self.publish(&book);
        }
        if log.is_worth_rewriting() {
            let records = locked(&self.book).snapshot();
            if let Err(error) = log.rewrite(&records) {
                tracing::error!(%error, "the purge log cannot be rewritten");
            }
        }
        Ok(())
    }

    fn bring_into_force(&self, it: &Occurrence, at_once: &dyn AtOnce) -> Option<u64> {
        let keys = match &it.scope.what {
            What::Url { keys, .. } => keys.iter().map(|key| Key::from_text(key)),
            _ => {
                self.raise(it);
                return None;
            }
        };
        let customer = it.scope.customer.as_deref();
        let reach = |mode| keys.map(|key| at_once.reach(customer, &key, mode)).sum();
        match it.mode {
            // Before look-ups drop the same responses, so that they are counted.
            Mode::Hard => {
                let count = reach(Mode::Hard);
                self.raise(it);
                Some(count)
            }
            Mode::Soft => {
                self.raise(it);
                Some(reach(Mode::Soft))
            }
        }
    }

    /// Writes what is left, and lets go of the folder: another edge may open it. Purges are refused from now on. Waits for
    /// the disk.
    pub fn close(&self, at_once: &dyn AtOnce) {
        // An error was counted and told; scheduled purges whose end is not written come into force once more.
        let _ = self.flush(at_once);
        locked(&self.log).close();
    }

    /// A purge by its id, as its owner may see it. The operator may name the owner.
    ///
    /// # Errors
    /// When there is none.
    pub fn show(&self, by: &Asker, owner: Option<&str>, id: &str) -> Result<Value, Refusal> {
        let book = locked(&self.book);
        let purge = book.find(by.owner(owner)?, id).and_then(|number| book.get(number));
        purge.map(|purge| order::answer(purge, self.durable)).ok_or(Refusal::Unknown)
    }

    /// Cancels a scheduled purge. Waits for the disk.
    ///
    /// # Errors
    /// When there is none, or it is in force.
    pub fn cancel(
        &self,
        by: &Asker,
        owner: Option<&str>,
        id: &str,
        now: Time,
        at_once: &dyn AtOnce,
    ) -> Result<Value, Refusal> {
        let owner = by.owner(owner)?;
        // One that is due at this moment is in force, and cannot be cancelled any more.
        self.at(now);
        let mut book = locked(&self.book);
        let number =
            book.find(owner, id).filter(|number| book.get(*number).is_some()).ok_or(Refusal::Unknown)?;
        book.cancel(number, &by.name, now)?;
        self.publish(&book);
        drop(book);
        self.flush(at_once).map_err(Refusal::Log)?;
        self.show(by, owner, id)
    }

    /// The newest purges, at most `limit`, with numbers below `before`.
    pub fn list(&self, by: &Asker, before: u64, limit: usize) -> Value {
        let book = locked(&self.book);
        let seen = |purge: &&Purge| by.customer.is_none() || purge.accepted.owner == by.customer;
        let mut purges = book.newest(before).filter(seen);
        let mut last = 0;
        let shown: Vec<Value> = (&mut purges)
            .take(limit)
            .map(|purge| {
                last = purge.accepted.number;
                order::answer(purge, self.durable)
            })
            .collect();
        let more = purges.next().is_some();
        json!({ "purges": shown, "before": more.then_some(last) })
    }
}
