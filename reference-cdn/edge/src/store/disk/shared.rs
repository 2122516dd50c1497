//! What the writer, the readers and the store share of the disk store: the index, what waits to be written, the files.
//!
//! Every change of the index and of what is pending is one step under the lock of a shard. A removal takes a response
//! out of both in that step, and is then written behind everything that the writer had begun; so nothing can bring it
//! back, not in this process and not after a restart.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use http_cache::{Key, Stored, Time};

use super::files::{File, Files};
use super::index::{IndexShard, Located};
use super::layout::{Class, Met, Place, RecordHeader, Seed};
use super::pool::Pool;
use super::queue::{Job, Queue, Removal, RemovalJob, Ticket};
use super::writer::REST;
use crate::clock::Clock;
use crate::purge::{Identity, Purges, Verdict};
use crate::store::HashedKey;
use crate::store::body::Body;
use crate::sync::{Mutex, MutexGuard};

/// Parts of the index. Enough that threads rarely meet.
const SHARDS: usize = 64;

/// Bounds of the disk store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// Octets of all files.
    pub size: u64,
    /// Octets of one segment.
    pub segment: u64,
    /// Octets of memory that may wait to be written.
    pub queue: u64,
    /// Octets of memory for the index.
    pub index: u64,
}

/// When what was written is on the disk for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When the system likes. A process that is killed loses nothing by that; a machine that loses power may.
    Never,
    /// When a segment is full.
    Sealed,
    /// Before a removal is confirmed and with each batch.
    Always,
}

/// Events since the start.
#[derive(Debug, Default)]
pub struct DiskCounters {
    pub written: AtomicU64,
    pub written_octets: AtomicU64,
    pub write_errors: AtomicU64,
    pub read_errors: AtomicU64,
    /// Records that were not what was written.
    pub bad_records: AtomicU64,
    /// Not written: no room in the queue.
    pub dropped_queue: AtomicU64,
    /// Not written: the disk failed lately, or now.
    pub dropped_failing: AtomicU64,
    /// Not written: larger than a segment takes.
    pub dropped_large: AtomicU64,
    /// Not read: the disk was too slow, or too much waited for it.
    pub reads_refused: AtomicU64,
    /// Responses that left with their segment.
    pub evicted: AtomicU64,
    /// Responses that were copied on because they had been read.
    pub copied: AtomicU64,
}

/// A response, or a new head of one, on its way to the disk.
#[derive(Clone, Debug)]
pub struct Pending {
    pub key: HashedKey,
    pub id: u64,
    pub stored: Arc<Stored>,
    /// Purges that it has met.
    pub born: u64,
    /// `None`: only the head is new.
    pub body: Option<Arc<Body>>,
    /// The writer has taken it up: it may be in a file.
    pub writing: bool,
}

#[derive(Debug, Default)]
pub struct Shard {
    pub index: IndexShard,
    pub pending: HashMap<u64, Vec<Pending>>,
}

impl Shard {
    pub fn pending(&mut self, hash: u64, id: u64) -> Option<&mut Pending> {
        self.pending.get_mut(&hash)?.iter_mut().find(|pending| pending.id == id)
    }

    pub fn take_pending(&mut self, hash: u64, id: u64) -> Option<Pending> {
        let list = self.pending.get_mut(&hash)?;
        let at = list.iter().position(|pending| pending.id == id)?;
        let taken = list.swap_remove(at);
        if list.is_empty() {
            self.pending.remove(&hash);
        }
        Some(taken)
    }
}

/// A file of records.
#[derive(Debug)]
pub struct Segment {
    pub number: u32,
    pub class: Class,
    pub file: Arc<dyn File>,
    /// Purges that had come when it was begun.
    pub born: u64,
    /// Octets of the file, or those that it may come to have while it is written to.
    pub octets: AtomicU64,
}

/// What is found under a hash.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// Not written yet.
    Pending {
        id: u64,
        stored: Arc<Stored>,
        born: u64,
        body: Arc<Body>,
    },
    Written {
        located: Located,
        newer: Option<(Arc<Stored>, u64)>,
    },
}

impl Candidate {
    pub fn id(&self) -> u64 {
        match self {
            Self::Pending { id, .. } => *id,
            Self::Written { located, .. } => located.id,
        }
    }
}

/// The head that a response was found with.
#[derive(Clone, Debug)]
pub enum HeadAt {
    Place(Place),
    /// It is not written yet.
    Pending(Arc<Stored>),
}

#[derive(Debug)]
pub struct Shared {
    pub files: Arc<dyn Files>,
    pub limits: DiskLimits,
    pub sync: Sync,
    pub store: [u64; 2],
    pub secret: [u64; 2],
    pub seed: Seed,
    pub shards: Box<[Mutex<Shard>]>,
    pub segments: Mutex<BTreeMap<u32, Arc<Segment>>>,
    pub queue: Queue,
    pub pool: Pool,
    pub counters: DiskCounters,
    pub clock: Clock,
    pub purges: Arc<Purges>,
    /// Under no other lock but that of a removal.
    pub met: Mutex<Met>,
    /// Nothing is written before this time, in milliseconds: the disk failed.
    pub paused_until: AtomicU64,
    /// Octets of memory for the index, and for what the writer has, as of its last batch.
    pub memory: AtomicU64,
    /// Dropped when nothing is written any more: then another process may have the folder.
    pub taken: Mutex<Option<Box<dyn Send + std::marker::Sync + std::fmt::Debug>>>,
}

impl Shared {
    pub fn shards() -> Box<[Mutex<Shard>]> {
        (0..SHARDS).map(|_| Mutex::default()).collect()
    }

    pub fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // By bits that the index within a shard does not use. No step under the lock can panic halfway.
        self.shards[(hash >> 58) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn each_shard(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn segments(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        self.segments().get(&number).map(Arc::clone)
    }

    /// Octets of the files.
    pub fn octets(&self) -> u64 {
        self.segments().values().map(|segment| segment.octets.load(Ordering::Relaxed)).sum()
    }

    /// Responses on disk.
    pub fn objects(&self) -> u64 {
        self.each_shard().map(|shard| shard.index.len() as u64).sum()
    }

    /// Octets of memory that the index takes.
    pub fn index_memory(&self) -> u64 {
        self.each_shard().map(|shard| shard.index.memory()).sum()
    }

    pub fn met(&self) -> Met {
        *self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_met(&self, met: Met) {
        *self.met.lock().unwrap_or_else(PoisonError::into_inner) = met;
    }

    /// The purges that a record's response has met.
    pub fn born(&self, header: &RecordHeader) -> u64 {
        self.met().born(header)
    }

    /// The purges that everything on disk has met.
    pub fn met_by_all(&self) -> u64 {
        // Beyond the last mark each record met those that had come when its segment began.
        let oldest = self.segments().values().map(|segment| segment.born).min();
        oldest.map_or(u64::MAX, |oldest| oldest.max(self.met().number))
    }

    /// What the purges make of a response that has met those up to `born`: its head (`None`: the same), and up to which
    /// it has met them now. `None`: it is gone.
    pub fn judge(
        &self,
        customer: &str,
        key: &Key,
        stored: &Stored,
        born: u64,
    ) -> Option<(Option<Stored>, u64)> {
        let number = self.purges.number();
        if born >= number {
            return Some((None, born));
        }
        let fields = stored.headers();
        let it = Identity { customer, key, fields: Some(&fields) };
        match self.purges.judge_arriving(&it, born).0 {
            Verdict::Alive => Some((None, number)),
            Verdict::Soft { since } => Some((stored.expired_at(since), number)),
            Verdict::Gone => None,
        }
    }

    /// Hash (as far as this store knows it) and id of all whose newest head is in a segment, in the order of the file.
    pub fn heads_in(&self, segment: u32) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        for (upper, shard) in (0..).zip(self.each_shard()) {
            let heads = shard.index.heads_in(segment);
            found.extend(heads.map(|(hash, id, place)| (place, (upper << 58) | u64::from(hash), id)));
        }
        found.sort_unstable();
        found.into_iter().map(|(_, hash, id)| (hash, id)).collect()
    }

    pub fn is_paused(&self) -> bool {
        let left = Time::from_millis(self.paused_until.load(Ordering::Relaxed)).since(self.clock.now());
        // Nobody rests for longer than that: the clock was set back meanwhile.
        !left.is_zero() && left <= REST.1
    }

    /// The largest record that a segment takes.
    pub fn most_octets(&self) -> u64 {
        self.limits.segment - super::SEGMENT_OVERHEAD
    }

    /// Takes a complete response to be written. False if it stays in memory only, which is counted.
    /// `born`: the purges that it has met.
    pub fn offer(&self, stored: &Arc<Stored>, body: &Arc<Body>, born: u64) -> bool {
        let counters = &self.counters;
        let refuse = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        if self.is_paused() {
            return refuse(&counters.dropped_failing);
        }
        let octets = body.received() + stored.weight() as u64;
        let key = body.key();
        let texts = key.customer().len().max(key.key.as_str().len() / 16);
        if super::layout::content_octets(body.received()) + (64 << 10) > self.most_octets()
            || texts > usize::from(u16::MAX)
        {
            return refuse(&counters.dropped_large);
        }
        let (hash, id) = (key.hash, body.id());
        let pending = Pending {
            key: key.clone(),
            id,
            stored: Arc::clone(stored),
            born,
            body: Some(Arc::clone(body)),
            writing: false,
        };
        let mut shard = self.shard(hash);
        let list = &mut shard.pending;
        if self.queue.push(Job { hash, id, octets }, || list.entry(hash).or_default().push(pending)) {
            return true;
        }
        drop(shard);
        refuse(&counters.dropped_queue)
    }

    /// Gives a response on disk, or on its way there, a new head. If it cannot be written, the response is removed: its
    /// old head must not come back.
    pub fn freshen(&self, key: &HashedKey, id: u64, stored: &Arc<Stored>, born: u64) {
        self.freshen_in(&mut self.shard(key.hash), key, id, stored, born);
    }

    fn freshen_in(&self, shard: &mut Shard, key: &HashedKey, id: u64, stored: &Arc<Stored>, born: u64) {
        let hash = key.hash;
        if let Some(pending) = shard.pending(hash, id) {
            (pending.stored, pending.born) = (Arc::clone(stored), born);
            return;
        }
        if shard.index.get(hash, id).is_none() {
            return;
        }
        let (key, stored) = (key.clone(), Arc::clone(stored));
        let job = Job { hash, id, octets: stored.weight() as u64 };
        let pending = Pending { key, id, stored, born, body: None, writing: false };
        let list = &mut shard.pending;
        if !self.is_paused() && self.queue.push(job, || list.entry(hash).or_default().push(pending)) {
            return;
        }
        self.counters.dropped_queue.fetch_add(1, Ordering::Relaxed);
        // Nobody waits for it.
        let _ = self.remove_from(shard, hash, |found| found == id);
    }

    /// Removes a response whose head was read at `place`, unless it has another head by now.
    pub fn remove_read(&self, hash: u64, id: u64, place: Place) {
        let mut shard = self.shard(hash);
        let newer = shard.pending(hash, id).is_some();
        if newer || shard.index.get(hash, id).is_none_or(|located| located.head != place) {
            return;
        }
        // Nobody waits for it.
        let _ = self.remove_from(&mut shard, hash, |found| found == id);
    }

    /// What was pending is not written.
    pub fn drop_pending(&self, hash: u64, id: u64) {
        let mut shard = self.shard(hash);
        if shard.take_pending(hash, id).is_some_and(|pending| pending.body.is_none()) {
            // Its old head must not come back. Nobody waits for it.
            let _ = self.remove_from(&mut shard, hash, |found| found == id);
        }
    }

    /// A purge made a response stale whose head was read at `place`: unless it has another head by now, it gets this one.
    pub fn expire(&self, key: &HashedKey, id: u64, stored: &Arc<Stored>, born: u64, place: Place) {
        let mut shard = self.shard(key.hash);
        let newer = shard.pending(key.hash, id).is_some();
        if !newer && shard.index.get(key.hash, id).is_some_and(|located| located.head == place) {
            self.freshen_in(&mut shard, key, id, stored, born);
        }
    }

    /// Removes the responses under a hash that `gone` says. Tells their ids, and promises that they stay removed.
    pub fn remove(&self, hash: u64, gone: impl Fn(u64) -> bool) -> (Vec<u64>, Removal) {
        self.remove_from(&mut self.shard(hash), hash, gone)
    }

    /// In one step: who finds that another has removed something waits for that one's removal.
    fn remove_from(&self, shard: &mut Shard, hash: u64, gone: impl Fn(u64) -> bool) -> (Vec<u64>, Removal) {
        let taken = Self::take_out(shard, hash, gone);
        let ids = taken.ids.clone();
        (ids, self.remove_taken(hash, taken))
    }

    fn take_out(shard: &mut Shard, hash: u64, gone: impl Fn(u64) -> bool) -> Taken {
        let mut taken = Taken::default();
        for located in shard.index.find(hash) {
            if gone(located.id) {
                shard.index.remove(hash, located.id);
                taken.ids.push(located.id);
                taken.written.push(located.id);
                taken.segments.extend([located.content.segment, located.head.segment]);
            }
        }
        let waiting: Vec<u64> =
            shard.pending.get(&hash).into_iter().flatten().map(|pending| pending.id).collect();
        for id in waiting.into_iter().filter(|id| gone(*id)) {
            let Some(pending) = shard.take_pending(hash, id) else { continue };
            if pending.body.is_some() {
                taken.ids.push(id);
                // What the writer has begun may be in a file; what it has not is not, and will not be.
                if pending.writing {
                    taken.written.push(id);
                    taken.anywhere = true;
                }
            }
        }
        taken
    }

    fn remove_taken(&self, hash: u64, taken: Taken) -> Removal {
        // What was removed under the same key before may not be written yet.
        let before = self.queue.outstanding(hash);
        if taken.written.is_empty() {
            return before;
        }
        let ticket: Arc<Ticket> = Arc::default();
        let list = taken.written.into_iter().map(|id| (hash, id)).collect();
        let Taken { segments, anywhere, .. } = taken;
        self.queue.push_removal(RemovalJob { list, segments, anywhere, ticket: Arc::clone(&ticket) });
        before.and(Removal::of(ticket))
    }

    /// All that may be under a hash, oldest first.
    pub fn find(&self, hash: u64) -> Vec<Candidate> {
        let mut shard = self.shard(hash);
        let mut found = Vec::new();
        for located in shard.index.find(hash) {
            let newer = shard.pending(hash, located.id).map(|it| (Arc::clone(&it.stored), it.born));
            found.push(Candidate::Written { located, newer });
        }
        for pending in shard.pending.get(&hash).into_iter().flatten() {
            if let Some(body) = &pending.body {
                let (id, born) = (pending.id, pending.born);
                let (stored, body) = (Arc::clone(&pending.stored), Arc::clone(body));
                found.push(Candidate::Pending { id, stored, born, body });
            }
        }
        found.sort_by_key(Candidate::id);
        found
    }

    /// There may be something under a hash that `known` does not have.
    pub fn has_more(&self, hash: u64, known: impl Fn(u64) -> bool) -> bool {
        let shard = self.shard(hash);
        shard.index.find(hash).iter().any(|located| !known(located.id))
            || shard.pending.get(&hash).into_iter().flatten().any(|it| it.body.is_some() && !known(it.id))
    }

    /// Whether it still is on disk or on its way there, with this head.
    pub fn is_newest(&self, hash: u64, id: u64, head: &HeadAt) -> bool {
        let mut shard = self.shard(hash);
        let located = shard.index.get(hash, id);
        match (shard.pending(hash, id), head) {
            (Some(pending), HeadAt::Pending(stored)) => {
                Arc::ptr_eq(&pending.stored, stored) && (pending.body.is_some() || located.is_some())
            }
            (None, HeadAt::Place(place)) => located.is_some_and(|located| located.head == *place),
            (Some(_), HeadAt::Place(_)) | (None, HeadAt::Pending(_)) => false,
        }
    }

    /// It is read from disk.
    pub fn touch(&self, hash: u64, id: u64) {
        self.shard(hash).index.touch(hash, id);
    }

    /// It was read in memory, and stays there for now: not worth evicting from disk.
    pub fn set_resident(&self, hash: u64, id: u64) {
        self.shard(hash).index.set_resident(hash, id, true);
    }

    /// It left memory. `was_read`: more than once in its time there.
    pub fn left_memory(&self, hash: u64, id: u64, was_read: bool) {
        let mut shard = self.shard(hash);
        shard.index.set_resident(hash, id, false);
        if was_read {
            shard.index.touch(hash, id);
        }
    }

    pub fn locate(&self, hash: u64, id: u64) -> Option<Located> {
        self.shard(hash).index.get(hash, id)
    }
}

/// What was taken out of the index and of what is pending.
#[derive(Debug, Default)]
struct Taken {
    ids: Vec<u64>,
    /// Of these, what may be in a file.
    written: Vec<u64>,
    segments: Vec<u32>,
    anywhere: bool,
}
