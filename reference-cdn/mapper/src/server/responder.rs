//! A thread's responder, and what happens when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::counters::{Count, Counters};
use crate::respond::{Asked, Respond};

/// Makes the responder of a thread, of which it gets the number.
pub(super) type Make<R> = Arc<dyn Fn(usize) -> R + Send + Sync>;

/// The responder of one thread. One that panics has lost the query that made it do so, and nothing more: another one is made
/// in its place, since nobody knows what state it is in.
pub(super) struct Responder<R> {
    current: R,
    make: Make<R>,
    thread: usize,
}

impl<R: Respond> Responder<R> {
    pub(super) fn new(make: Make<R>, thread: usize) -> Self {
        Self { current: make(thread), make, thread }
    }

    pub(super) fn refresh(&mut self, counters: &Counters) {
        if catch_unwind(AssertUnwindSafe(|| self.current.refresh())).is_err() {
            self.replace(counters, "taking a new map");
        }
    }

    pub(super) fn respond(
        &mut self,
        counters: &Counters,
        asked: &Asked<'_>,
        response: &mut [u8],
    ) -> Option<usize> {
        match catch_unwind(AssertUnwindSafe(|| self.current.respond(asked, response))) {
            Ok(Some(length)) if length > response.len() => {
                tracing::error!(
                    length,
                    room = response.len(),
                    "a response is longer than the room for it; not sent, this is a fault in the mapper"
                );
                counters.add(Count::Faults, 1);
                None
            }
            Ok(length) => length,
            Err(_) => {
                self.replace(counters, "answering");
                None
            }
        }
    }

    fn replace(&mut self, counters: &Counters, doing: &str) {
        tracing::error!(
            doing,
            thread = self.thread,
            "answering a query failed; the thread begins anew, this is a fault in the mapper"
        );
        counters.add(Count::Faults, 1);
        self.current = (self.make)(self.thread);
    }
}
