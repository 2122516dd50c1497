//! The disk tier: stored responses in append-only segment files, found through an index in memory.
//!
//! ```text
//! keep ── offer ── queue ── writer (one thread) ── segment files
//!                                                      │
//! look-up ── index ── readers (some threads) ──────────┘
//! ```
//!
//! `layout.rs` draws the octets. Everything that is read is verified, and compared in full with what was asked for.
//! Nobody who serves waits for the writer; who waits for a reader has a time limit.

mod files;
mod index;
mod layout;
mod pool;
mod queue;
mod read;
mod reclaim;
mod recover;
mod removals;
mod shared;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::purge::Purges;
use crate::sync::Mutex;

pub use files::{File, Files, Folder};
pub(super) use index::Located;
pub(super) use layout::{Met, Place};
pub use queue::Removal;
pub(super) use read::{Record, Unreadable};
pub use recover::Recovered;
pub(super) use shared::{Candidate, HeadAt, Shared};
pub use shared::{DiskCounters, DiskLimits, Sync};
pub use writer::Writer;

/// What a segment has beside one record.
const SEGMENT_OVERHEAD: u64 = (layout::SEGMENT_HEADER + layout::ENTRY + layout::TRAILER) as u64;

/// Threads that read. A disk does several things at once, and one that is slow should not stop all.
const READERS: usize = 8;

/// Segments that a store has at least: one for each class being written, one spared, and some to choose from.
pub const LEAST_SEGMENTS: u64 = 8;

/// What is done with a folder that another version wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersion {
    /// Its segments are removed, and the store begins empty.
    Empty,
    Refuse,
}

/// What a disk store is opened with.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    pub files: Arc<dyn Files>,
    pub limits: DiskLimits,
    pub sync: Sync,
    pub other_version: OtherVersion,
    /// How long a request waits for the disk.
    pub patience: Duration,
    pub clock: Clock,
}

impl DiskLimits {
    /// The limits of a store of `size` octets, for responses of up to `object` octets, beside a memory of `memory`
    /// octets.
    pub fn new(size: u64, object: u64, memory: u64) -> Self {
        const MIB: u64 = 1 << 20;
        // Few enough that each may be an open file, many enough that one is a small part.
        let segment = (size / 64).clamp(4 * MIB, 1024 * MIB);
        // The largest response fits, with its head.
        let largest = layout::content_octets(object) + 256 * 1024;
        let segment = segment.max(largest).min(size / LEAST_SEGMENTS);
        Self { size, segment, queue: (memory / 8).clamp(MIB, 64 * MIB), index: memory / 2 }
    }

    /// Files that are open, if all segments are full: few are not.
    pub fn files(&self) -> u64 {
        self.size / self.segment.max(1) + 2 * LEAST_SEGMENTS
    }
}

/// Why a disk store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the folder {} is in use by another process; give each edge a folder of its own", .folder.display())]
    InUse { folder: PathBuf },
    #[error("cannot {what} the folder {}: {source}", .folder.display())]
    Io { what: &'static str, folder: PathBuf, source: io::Error },
    #[error("the folder {} holds a store of version {version}, and this program reads version {}; empty it, or let it be emptied", .folder.display(), layout::VERSION)]
    Version { folder: PathBuf, version: u32 },
    #[error(
        "a store of {size} octets on disk is too small: it needs {LEAST_SEGMENTS} times the largest response"
    )]
    TooSmall { size: u64 },
    #[error("cannot start a thread for the disk store: {0}")]
    Thread(io::Error),
}

/// A disk store that is open.
#[derive(Debug)]
pub struct Disk {
    pub(super) shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Opens a folder. Nothing is written before the writer runs: [`Disk::start`]. `next_id` numbers stored responses;
    /// it is set beyond all that are on disk.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub fn open(
        config: DiskConfig,
        purges: Arc<Purges>,
        readers: Option<usize>,
        next_id: &Arc<AtomicU64>,
    ) -> Result<(Self, Writer, Recovered), OpenError> {
        let folder = || config.files.path().to_owned();
        let taken = config.files.take().map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse { folder: folder() },
            _ => OpenError::Io { what: "use", folder: folder(), source },
        })?;
        if config.limits.size / config.limits.segment.max(1) < LEAST_SEGMENTS
            || config.limits.segment <= 2 * SEGMENT_OVERHEAD
        {
            return Err(OpenError::TooSmall { size: config.limits.size });
        }
        let random = super::hash::random;
        let opened = recover::open(&config, purges.epoch(), [random(), random()], [random(), random()])?;
        next_id.fetch_max(opened.next_id, Ordering::Relaxed);
        let shards = opened
            .index
            .into_iter()
            .map(|index| Mutex::new(shared::Shard { index, ..shared::Shard::default() }));
        let segments: BTreeMap<_, _> = opened.segments.into_iter().map(|one| (one.number, one)).collect();
        let shared = Arc::new(Shared {
            files: config.files,
            limits: config.limits,
            sync: config.sync,
            store: opened.store,
            secret: opened.secret,
            seed: opened.seed,
            shards: shards.collect(),
            segments: Mutex::new(segments),
            queue: queue::Queue::new(config.limits.queue),
            pool: pool::Pool::new(readers.unwrap_or(READERS)).map_err(OpenError::Thread)?,
            counters: DiskCounters::default(),
            clock: config.clock,
            purges,
            met: Mutex::new(opened.met),
            paused_until: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            taken: Mutex::new(Some(taken)),
        });
        shared.memory.store(shared.index_memory(), Ordering::Relaxed);
        let writer = Writer::new(
            Arc::clone(&shared),
            opened.actives,
            opened.next_number,
            opened.next_sequence,
            Arc::clone(next_id),
            opened.left_out,
        );
        Ok((Self { shared, writer: Mutex::new(None) }, writer, opened.recovered))
    }

    /// Has the writer run on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&self, writer: Writer) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new().name("disk-write".into());
        let thread = thread.spawn(move || writer.run()).map_err(OpenError::Thread)?;
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// How many responses are on disk, and how many octets the files have.
    pub fn size(&self) -> (u64, u64) {
        (self.shared.objects(), self.shared.octets())
    }

    pub fn limits(&self) -> &DiskLimits {
        &self.shared.limits
    }

    pub fn counters(&self) -> &DiskCounters {
        &self.shared.counters
    }

    /// Octets of responses that wait to be written.
    pub fn queued(&self) -> u64 {
        self.shared.queue.octets()
    }

    /// Nothing is written for now, because the disk failed again and again.
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// The key of the hash by which keys are found here.
    pub fn secret(&self) -> [u64; 2] {
        self.shared.secret
    }

    /// Writes what waits, seals what was begun, and lets go of the folder. Takes as long as the disk takes.
    pub fn close(&self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // One that panicked has said so.
            let _ = writer.join();
        }
        // Whoever still has a part of this store reads from its files, at most, and may hang there.
        drop(self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.pool.close();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The writer ends by itself when it has written what waits.
        self.shared.queue.close();
    }
}
