//! Which handler answers a request, and what each was asked.

use crate::{Error, Script};
use exchange::Request;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use wire::Notes;

/// A request that an [`crate::Origin`] got.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// From 0 among the requests of its route, in the order of their heads.
    pub number: u64,
    /// `request.seen.connection` is the connection's number at this origin.
    pub request: Request,
    pub notes: Notes,
}

pub(crate) type Handler = dyn Fn(&Received) -> Script + Send + Sync;

/// A route of an [`crate::Origin`] and the requests it got. Clones share it; when the last one goes, the route ends.
#[derive(Clone, Debug)]
pub struct Route(pub(crate) Arc<Table>);

impl Route {
    /// The requests that ended so far, in the order of their ends. At most [`crate::Settings::records`], the last
    /// ones.
    pub fn requests(&self) -> Vec<Received> {
        self.0.log().ended.iter().cloned().collect()
    }

    /// How many heads of requests came so far.
    pub fn heads(&self) -> u64 {
        self.0.log().heads
    }

    /// How many requests have ended so far.
    pub fn count(&self) -> u64 {
        self.0.log().count
    }

    /// Waits until `count` requests have ended, and returns all that did.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Received>, Error> {
        self.0.wait("requests", count as u64, |log| log.count).await?;
        Ok(self.requests())
    }

    /// Waits until the heads of `count` requests have come.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait_for_heads(&self, count: u64) -> Result<(), Error> {
        self.0.wait("request heads", count, |log| log.heads).await
    }
}

/// What a route is made of.
pub(crate) struct Table {
    pub prefix: Vec<u8>,
    pub at_head: bool,
    handler: Mutex<Arc<Handler>>,
    log: Mutex<Log>,
    changed: Notify,
    records: usize,
    record_bytes: usize,
    deadline: Duration,
}

#[derive(Debug, Default)]
struct Log {
    heads: u64,
    count: u64,
    ended: VecDeque<Received>,
    /// Body bytes in `ended`.
    bytes: usize,
}

impl Table {
    pub fn new(prefix: Vec<u8>, at_head: bool, handler: Arc<Handler>, settings: &crate::Settings) -> Self {
        Table {
            prefix,
            at_head,
            handler: Mutex::new(handler),
            log: Mutex::default(),
            changed: Notify::new(),
            records: settings.records,
            record_bytes: settings.record_bytes,
            deadline: settings.deadline,
        }
    }

    pub fn handler(&self) -> Arc<Handler> {
        lock(&self.handler).clone()
    }

    pub fn set_handler(&self, handler: Arc<Handler>) {
        *lock(&self.handler) = handler;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub fn ended(&self) -> Vec<Received> {
        self.log().ended.iter().cloned().collect()
    }

    /// A request's head has come; its number.
    pub fn begin(&self) -> u64 {
        let number = {
            let mut log = self.log();
            log.heads += 1;
            log.heads - 1
        };
        self.changed.notify_waiters();
        number
    }

    /// A request has ended.
    pub fn end(&self, mut received: Received) {
        {
            let mut log = self.log();
            let length = received.request.body.bytes.as_ref().map_or(0, bytes::Bytes::len);
            if log.bytes + length > self.record_bytes {
                received.request.body.bytes = None;
            } else {
                log.bytes += length;
            }
            log.count += 1;
            log.ended.push_back(received);
            if log.ended.len() > self.records
                && let Some(oldest) = log.ended.pop_front()
            {
                log.bytes -= oldest.request.body.bytes.as_ref().map_or(0, bytes::Bytes::len);
            }
        }
        self.changed.notify_waiters();
    }

    async fn wait(&self, what: &str, count: u64, now: impl Fn(&Log) -> u64) -> Result<(), Error> {
        let reached = async {
            loop {
                // Registered before the count is read, so that no change between the two is missed.
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if now(&self.log()) >= count {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(self.deadline, reached).await.map_err(|_| Error::Deadline {
            who: format!("origin route {:?}", exchange::escape(&self.prefix)),
            step: format!("wait for {count} {what}, got {}", now(&self.log())),
            after: self.deadline,
        })
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({:?}, {} heads)", exchange::escape(&self.prefix), self.log().heads)
    }
}

/// Locks; what a panic left behind is still a whole value in all our uses.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
