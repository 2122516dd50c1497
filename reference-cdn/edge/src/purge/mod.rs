//! Purging: content is gone, or stale, by order of an operator.
//!
//! A purge touches no stored response. It gets a number; every response remembers how many purges had come when its
//! fetch began ([`Purges::at`]); and each look-up asks whether a later purge takes the response
//! ([`Purges::judge`]). So a purge costs the same for one response and for a million, and a fetch under way when it comes
//! cannot bring the old content back: it was born before.
//!
//! - [`scope`] says what a purge takes, [`order`] reads it from JSON, [`schedule`] says when it comes into force.
//! - [`tables`] holds the purges in force, by what they take, and judges responses.
//! - [`book`] holds all purges that are known and hands out the numbers; [`record`] and [`log`] make it survive crashes.
//! - [`walk`] and [`sweep`] walk the store in the background. After a full walk everything that was in the store has met the
//!   purges that were in force when it began, so they are dropped from tables and log: memory is bounded by what comes
//!   between two walks.
//! - [`tokens`] and [`rate`] say who may purge what, and how often.
//!
//! # For stores
//! A store judges a response when it puts it in or changes its head ([`Purges::judge_arriving`]), and when it finds it and
//! [`Purges::version`] is not the one at which it was last judged. A request asks [`Purges::at`] *before* it looks
//! anything up, and what it fetches is born then. A store that survives a restart keeps [`Purges::epoch`] and the birth
//! with each response: under another epoch, everything counts as purged. A walk reads all that is in memory, and must not
//! read a disk each time: see [`Walked::met`].

mod book;
mod carry_out;
mod generation;
mod log;
mod order;
mod pattern;
mod rate;
mod record;
mod schedule;
mod scope;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use http_cache::{Key, Time};

use book::{Book, Occurrence};
pub use carry_out::Answer;
pub use generation::{Mode, Verdict};
pub use log::LogError;
use log::{Folder, Log, Nowhere};
pub use order::{MOST_NAMES, Order};
pub use rate::Rates;
use record::Ending;
pub use scope::Scope;
pub use sweep::{Walked, keep};
pub use tables::Identity;
use tables::Tables;
pub use tokens::{Asker, Keyring, PurgeToken, TokenFileError};
pub use walk::{Rest, Ticket, Walk};

/// How purging is set up.
#[derive(Clone, Debug, Default)]
pub struct PurgeConfig {
    /// Where the log is. `None`: purges do not survive the process.
    pub folder: Option<PathBuf>,
    pub limits: Limits,
    /// Who may purge beside the operator.
    pub tokens: Vec<PurgeToken>,
    /// Where these were read, to be read again. `None`: they stay.
    pub token_file: Option<PathBuf>,
}

/// Bounds of memory and work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names (URLs, tags, …) of purges that are scheduled, or in force and not compacted.
    pub outstanding: usize,
    /// Patterns among them: each costs every look-up.
    pub patterns: usize,
    /// Purges that wait for their time.
    pub schedules: usize,
    /// Purges that are over and still known by their ids.
    pub history: usize,
    /// Names that one token may purge in a second.
    pub rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { outstanding: 100_000, patterns: 10_000, schedules: 1000, history: 10_000, rate: 1000 }
    }
}

/// Why a purge is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Order(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("no such purge, or it is over and forgotten")]
    Unknown,
    #[error("{0}")]
    Conflict(String),
    #[error("too many purges; try again in {} s", .0.as_secs_f64().ceil())]
    TooOften(Duration),
    #[error("{0}")]
    Full(String),
    #[error(
        "the purge log cannot be written ({0}), so the purge was not accepted; see to the disk and try again"
    )]
    Log(io::Error),
}

/// What the purge of a URL reaches at once, in the store of this edge.
pub trait AtOnce {
    /// Forgets, or with [`Mode::Soft`] makes stale, what is stored under a key, and says how many responses that were.
    /// `customer`: `None` for all.
    fn reach(&self, customer: Option<&str>, key: &Key, mode: Mode) -> u64;
}

/// All about the purges of one edge. See the module.
#[derive(Debug)]
pub struct Purges {
    epoch: u64,
    limits: Limits,
    durable: bool,
    /// [`Book::now`], without its lock.
    now: AtomicU64,
    /// [`Tables::version`], without its lock.
    version: AtomicU64,
    /// When the next scheduled purge is due, in milliseconds.
    due: AtomicU64,
    /// Locked after `log`, before `tables`; never while a file is written.
    book: Mutex<Book>,
    tables: RwLock<Tables>,
    log: Mutex<Log>,
    /// How many fetches are under way, by their birth.
    fetches: Mutex<BTreeMap<u64, usize>>,
    counters: Counters,
    /// Rung when there is something for [`keep`] to do.
    work: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    fired: AtomicU64,
    refused: AtomicU64,
    groups: AtomicU64,
    walks: AtomicU64,
    log_failures: AtomicU64,
}

/// A panic elsewhere leaves what these locks guard as it was between two steps.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Purges {
    /// Purges without a log: they end with the process. `epoch`: a number that no other start has.
    pub fn in_memory(limits: Limits, epoch: u64) -> Arc<Self> {
        let log = Log::new(Box::new(Nowhere), epoch, Some(0));
        Self::start(limits, Book::new(limits, true), Vec::new(), log, epoch)
    }

    /// Purges as `config` says. What was logged is in force when this returns. `epoch`: a number that no other start has,
    /// for a log that is begun.
    ///
    /// # Errors
    /// When there is a folder for the log and it cannot be used.
    pub fn open(config: &PurgeConfig, epoch: u64) -> Result<Arc<Self>, LogError> {
        let Some(folder) = &config.folder else { return Ok(Self::in_memory(config.limits, epoch)) };
        let (medium, reading) = Folder::open(folder)?;
        Self::replay(config.limits, Box::new(medium), reading, epoch)
            .map_err(|source| LogError::Io { path: folder.clone(), source })
    }

    fn replay(
        limits: Limits,
        medium: Box<dyn log::Medium>,
        reading: Option<record::Reading>,
        fresh: u64,
    ) -> io::Result<Arc<Self>> {
        let reading = reading.unwrap_or_else(|| record::Reading { epoch: fresh, ..Default::default() });
        // An epoch of 0 is that of a log that is begun.
        let (epoch, octets) = match reading.end {
            Ending::Damaged => {
                tracing::error!(
                    "the purge log is damaged: purges may be missing, so everything stored before counts as purged"
                );
                (fresh, None)
            }
            _ if reading.good == 0 => (fresh, None),
            Ending::Torn => {
                tracing::warn!(
                    "the last record of the purge log was not written to its end; nobody was told that it was"
                );
                (reading.epoch, Some(reading.good as u64))
            }
            Ending::Whole => (reading.epoch, Some(reading.good as u64)),
        };
        let (mut book, in_force) = Book::replay(limits, &reading.records);
        book.ask_for_numbers();
        let purges = Self::start(limits, book, in_force, Log::new(medium, epoch, octets), epoch);
        // Failing, it was told: what was logged holds, and purges are refused until the log can be written. An edge that
        // did not start on a full disk could not be started where it is needed most.
        let _ = purges.flush(&NothingStored);
        Ok(purges)
    }

    fn start(limits: Limits, book: Book, in_force: Vec<Occurrence>, log: Log, epoch: u64) -> Arc<Self> {
        let mut tables = Tables::default();
        let (to, at) = book.completed();
        tables.forget(to, at);
        for it in in_force {
            tables.raise(&it.scope, it.number, it.mode, it.since);
        }
        let purges = Self {
            epoch,
            limits,
            durable: log.is_durable(),
            now: AtomicU64::new(book.now()),
            version: AtomicU64::new(tables.version()),
            due: AtomicU64::new(millis(book.next_due())),
            book: Mutex::new(book),
            tables: RwLock::new(tables),
            log: Mutex::new(log),
            fetches: Mutex::default(),
            counters: Counters::default(),
            work: tokio::sync::Notify::new(),
        };
        Arc::new(purges)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// An accepted purge survives a crash.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Names the log: responses stored under another epoch count as purged.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many purges have come by `now`, scheduled ones that are due included. Ask before a look-up: what is fetched
    /// because of it is born with this number.
    pub fn at(&self, now: Time) -> u64 {
        if now.as_millis() >= self.due.load(Ordering::Acquire) {
            self.fire(now);
        }
        self.now.load(Ordering::Acquire)
    }

    /// How many purges have come, but for scheduled ones that are due and that nobody met yet.
    pub fn number(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Changes with every purge that comes into force. A response judged at this version needs not be judged again.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn tables(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the purges mean for a stored response born with `born`, which was judged before at version `checked` (0:
    /// never); and the version of this judgement.
    pub fn judge(&self, it: &Identity<'_>, born: u64, checked: u64) -> (Verdict, u64) {
        let tables = self.tables();
        (tables.judge(it, born, checked), tables.version())
    }

    /// The same for a response that is on its way into the store, or changes there.
    pub fn judge_arriving(&self, it: &Identity<'_>, born: u64) -> (Verdict, u64) {
        let tables = self.tables();
        (tables.judge_arriving(it, born), tables.version())
    }

    fn raise(&self, it: &Occurrence) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.raise(&it.scope, it.number, it.mode, it.since);
        self.version.store(tables.version(), Ordering::Release);
    }

    /// Makes known what the book says, whose lock is held.
    fn publish(&self, book: &Book) {
        self.now.store(book.now(), Ordering::Release);
        self.due.store(millis(book.next_due()), Ordering::Release);
    }

    /// Brings scheduled purges that are due into force. They were accepted, so this waits for no disk: should the log
    /// miss it, they come into force again after a restart.
    fn fire(&self, now: Time) {
        let mut book = locked(&self.book);
        while let Some(it) = book.fire(now) {
            tracing::info!(number = it.number, scope = ?it.scope, mode = ?it.mode, "a scheduled purge is in force");
            self.raise(&it);
            self.counters.fired.fetch_add(1, Ordering::Relaxed);
        }
        self.publish(&book);
        self.work.notify_one();
    }

    /// The groups of an origin are invalid from now on (RFC 9875 section 3), by word of the origin itself. Not logged: the
    /// RFC allows to ignore it, and who sends it expects no more than from any invalidation.
    pub fn invalidate_groups(&self, customer: &str, origin: &str, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let mut book = locked(&self.book);
        let Some(number) = book.number() else {
            tracing::error!(
                origin,
                "groups are not invalidated: no number for it is left, because the purge log cannot be written"
            );
            return;
        };
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.invalidate_groups((customer, origin), names, number, self.limits.outstanding);
        self.version.store(tables.version(), Ordering::Release);
        drop(tables);
        self.publish(&book);
        drop(book);
        self.counters.groups.fetch_add(names.len() as u64, Ordering::Relaxed);
        self.work.notify_one();
    }

    /// Everything that is counted.
    pub fn samples(&self) -> Vec<crate::metrics::Sample> {
        use crate::metrics::Sample;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (names, patterns, scheduled) = {
            let book = locked(&self.book);
            let (names, patterns) = book.outstanding();
            (names as u64, patterns as u64, book.scheduled() as u64)
        };
        let Counters { accepted, fired, refused, groups, walks, log_failures } = &self.counters;
        vec![
            Sample::counter("edge_purges_accepted_total", "Purges accepted.", count(accepted)),
            Sample::counter("edge_purges_refused_total", "Purges refused.", count(refused)),
            Sample::counter(
                "edge_purges_fired_total",
                "Scheduled purges that came into force.",
                count(fired),
            ),
            Sample::counter(
                "edge_purge_groups_total",
                "Groups invalidated by responses of the origin (RFC 9875).",
                count(groups),
            ),
            Sample::gauge("edge_purge_names", "Names of purges that are not compacted.", names),
            Sample::gauge("edge_purge_patterns", "Patterns among them.", patterns),
            Sample::gauge("edge_purges_scheduled", "Purges that wait for their time.", scheduled),
            Sample::counter("edge_purge_walks_total", "Walks through the store.", count(walks)),
            Sample::counter(
                "edge_purge_log_failures_total",
                "Writes of the purge log that failed.",
                count(log_failures),
            ),
        ]
    }
}

/// There is no store yet.
struct NothingStored;

impl AtOnce for NothingStored {
    fn reach(&self, _: Option<&str>, _: &Key, _: Mode) -> u64 {
        0
    }
}

fn millis(time: Option<Time>) -> u64 {
    time.map_or(u64::MAX, Time::as_millis)
}
