//! From a relay thread to an observer: events are put together, and handed over once all connections that had
//! something to do have done it. One wake-up then serves many of them.

use crate::ledger::State;
use crate::tap::{Begin, Event, Told};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// The events of one relay thread for one observer. Only that thread touches it, so that its lock is never waited
/// for; how much can be in it is bounded by the memory for copies.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Vec<Told>>,
    filled: Notify,
    observer: UnboundedSender<Vec<Told>>,
}

impl Outbox {
    pub(crate) fn new(observer: UnboundedSender<Vec<Told>>) -> Self {
        Outbox { waiting: Mutex::default(), filled: Notify::new(), observer }
    }

    pub(crate) fn put(&self, told: Told) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(told);
        if waiting.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Hands over what is in it. It runs behind the connections that are ready now, which is the point of it.
    pub(crate) async fn run(&self) {
        loop {
            self.filled.notified().await;
            self.flush();
        }
    }

    pub(crate) fn flush(&self) {
        let told = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if told.is_empty() {
            return;
        }
        if let Err(unsent) = self.observer.send(told) {
            // The observer has ended before the relay: only in a shutdown that ran out of time.
            for told in unsent.0 {
                if let Event::Begin { begin: Begin::Compare(ticket), .. } = told.event {
                    ticket.end(State::Shutdown);
                }
            }
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.flush();
    }
}
