//! The one thread that changes the files: it writes what waits, seals full segments, and makes room.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_cache::{Stored, encode_fields};

use super::files::write_all;
use super::layout::{
    Class, ENTRY, IndexEntry, Kind, Place, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader,
    TRAILER, Texts, encode_block, encode_index, file_name, padded,
};
use super::queue::Job;
use super::shared::{Pending, Segment, Shared, Sync};
use crate::store::ghosts::Ghosts;
use crate::store::reader::Next;

/// Records are gathered up to so many octets, and written in one call.
const BATCH: usize = 1 << 20;
/// Octets on disk for which a place among the ghosts is worth having.
const GHOST: u64 = 16 * 1024;
/// After so many failures in a row the writer rests.
const MOST_FAILURES: u32 = 3;
/// For how long, at first and at most.
pub(super) const REST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// A segment that is being written.
#[derive(Debug)]
pub struct Active {
    pub segment: Arc<Segment>,
    /// Octets written.
    pub length: u64,
    /// Of what was written.
    pub entries: Vec<IndexEntry>,
}

/// What a staged record means once it is written.
#[derive(Debug)]
pub enum Staged {
    /// What was pending is on disk, with this head.
    Object(Arc<Stored>),
    Head(Arc<Stored>),
    /// It was copied from there.
    Moved {
        from: Place,
        reads: u8,
    },
    HeadMoved {
        from: Place,
    },
    Removal,
    Met,
}

/// Records that go out in one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub octets: Vec<u8>,
    pub staged: Vec<(IndexEntry, Staged)>,
}

/// Writing failed, which was counted and told; what was to be written is not.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

#[derive(Debug)]
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) actives: [Option<Active>; 2],
    pub(super) batches: [Batch; 2],
    pub(super) next_number: u32,
    pub(super) next_sequence: u64,
    pub(super) next_id: Arc<AtomicU64>,
    pub(super) ghosts: Ghosts,
    failures: u32,
    /// A reclaim is under way: what it writes may use the room that is spared for it.
    pub(super) reclaiming: bool,
    /// A removal is neither written nor are the files gone that hold what was removed: a restart may bring it back, where
    /// no purge takes it.
    pub(super) unwritten: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        actives: [Option<Active>; 2],
        next_number: u32,
        next_sequence: u64,
        next_id: Arc<AtomicU64>,
        unwritten: bool,
    ) -> Self {
        let ghosts = Ghosts::new(shared.limits.size / GHOST);
        Self {
            shared,
            actives,
            batches: Default::default(),
            next_number,
            next_sequence,
            next_id,
            ghosts,
            failures: 0,
            reclaiming: false,
            unwritten,
        }
    }

    /// Writes what comes until the queue is closed and empty; then seals what it has begun.
    pub fn run(mut self) {
        let abandoned = Abandon(Arc::clone(&self.shared));
        // The folder may have been filled under other limits.
        self.make_room();
        self.note_memory();
        while self.shared.queue.wait() {
            self.work();
        }
        for class in [Class::New, Class::Kept] {
            self.seal(class, true);
        }
        drop(abandoned);
    }

    /// Writes what waits now.
    pub fn work(&mut self) {
        loop {
            self.removals();
            self.marks();
            let jobs = self.shared.queue.jobs();
            if jobs.is_empty() {
                self.note_memory();
                return;
            }
            for job in jobs {
                self.job(job);
            }
            self.flush_all();
        }
    }

    fn note_memory(&self) {
        let entries: usize = self.actives.iter().flatten().map(|active| active.entries.capacity()).sum();
        let batches: usize = self.batches.iter().map(|batch| batch.octets.capacity()).sum();
        let own = self.ghosts.memory() + (entries * size_of::<IndexEntry>() + batches) as u64;
        self.shared.memory.store(own + self.shared.index_memory(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.shared.clock.now().as_millis()
    }

    pub(super) fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    pub(super) fn record(&mut self, kind: Kind, place: Place) -> RecordHeader {
        RecordHeader {
            kind,
            customer: 0,
            key: 0,
            head: 0,
            trailers: 0,
            content: 0,
            id: 0,
            hash: 0,
            sequence: self.sequence(),
            born: 0,
            time: self.now(),
            place,
            sum: 0,
        }
    }

    /// Stages what is pending.
    fn job(&mut self, job: Job) {
        let Job { hash, id, .. } = job;
        let pending = match self.shared.shard(hash).pending(hash, id) {
            // It was removed meanwhile.
            None => return,
            Some(pending) => {
                pending.writing = true;
                pending.clone()
            }
        };
        if self.shared.is_paused() || self.pending(hash, &pending).is_err() {
            self.shared.counters.dropped_failing.fetch_add(1, Ordering::Relaxed);
            self.drop_pending(hash, id);
        }
    }

    /// What was pending is not written.
    fn drop_pending(&mut self, hash: u64, id: u64) {
        self.shared.drop_pending(hash, id);
    }

    fn pending(&mut self, hash: u64, pending: &Pending) -> Result<(), Failed> {
        let mut head = Vec::with_capacity(512);
        pending.stored.encode(&mut head);
        let (customer, key) = (pending.key.customer().as_bytes(), pending.key.key.as_str().as_bytes());
        let texts = Texts { customer, key, head: &head, trailers: &[] };
        let about = About { hash, id: pending.id, born: pending.born, content: 0 };
        let Some(body) = &pending.body else {
            self.ready(Class::New, about, texts)?;
            let Some(born) = self.meet(pending, &mut head) else { return Ok(()) };
            let texts = Texts { customer, key, head: &head, trailers: &[] };
            let staged = Staged::Head(Arc::clone(&pending.stored));
            return self.new_head(About { born, ..about }, texts, staged);
        };
        let mut trailers = Vec::new();
        // In memory it is verified as it is read, so that damage there does not become the truth here.
        let mut reader = body.read(0);
        let mut blocks = Vec::new();
        loop {
            match reader.next(u64::MAX) {
                Ok(Next::Data(data)) => blocks.push(data),
                Ok(Next::End(fields)) => {
                    encode_fields(&fields, &mut trailers);
                    break;
                }
                // What is offered is whole; a bad block was counted.
                Ok(Next::Wait) | Err(_) => return Err(Failed),
            }
        }
        let class = if self.ghosts.recall(hash) { Class::Kept } else { Class::New };
        let about = About { content: body.received(), ..about };
        self.ready(class, about, Texts { trailers: &trailers, ..texts })?;
        let Some(born) = self.meet(pending, &mut head) else { return Ok(()) };
        let texts = Texts { customer, key, head: &head, trailers: &trailers };
        let staged = Staged::Object(Arc::clone(&pending.stored));
        self.object(class, About { born, ..about }, texts, &blocks, staged)
    }

    /// Sees to it that there is a segment with room: what is judged after that is no older than its segment says.
    pub(super) fn ready(&mut self, class: Class, about: About, texts: Texts<'_>) -> Result<(), Failed> {
        self.stage(class, record_octets(about, texts) + EXPIRY, 1).map(drop)
    }

    /// The purges that it has met now; a soft one may change its head. `None`: it is gone, and dropped.
    fn meet(&self, pending: &Pending, head: &mut Vec<u8>) -> Option<u64> {
        let key = &pending.key;
        let judged = self.shared.judge(key.customer(), &key.key, &pending.stored, pending.born);
        let Some((expired, born)) = judged else {
            self.shared.drop_pending(key.hash, pending.id);
            return None;
        };
        if let Some(expired) = expired {
            head.clear();
            expired.encode(head);
        }
        Some(born)
    }

    /// Is it as old as its segment says at the most? What is not is not written: see [`Self::ready`].
    fn is_young(&self, class: Class, born: u64) -> Result<(), Failed> {
        let segment = self.actives[class as usize].as_ref().map(|active| active.segment.born);
        if segment.is_some_and(|segment| born >= segment) { Ok(()) } else { Err(Failed) }
    }

    /// Stages an object.
    pub(super) fn object(
        &mut self,
        class: Class,
        about: About,
        texts: Texts<'_>,
        blocks: &[impl AsRef<[u8]>],
        staged: Staged,
    ) -> Result<(), Failed> {
        let octets = record_octets(about, texts);
        let place = self.stage(class, octets, 1)?;
        self.is_young(class, about.born)?;
        let About { hash, id, born, content } = about;
        // Making room takes a while, and writes the removals that come meanwhile: what is gone must not follow its removal.
        if matches!(staged, Staged::Object(_)) && self.shared.shard(hash).pending(hash, id).is_none() {
            return Ok(());
        }
        let mut record = RecordHeader { hash, id, born, content, ..self.record(Kind::Object, place) };
        let (seed, batch) = (self.shared.seed, &mut self.batches[class as usize]);
        record.encode(seed, texts, &mut batch.octets);
        for (position, block) in (0..).zip(blocks) {
            encode_block(seed, &record, position, block.as_ref(), &mut batch.octets);
        }
        batch.staged.push((IndexEntry { octets: octets as u32, ..entry(&record) }, staged));
        if batch.octets.len() >= BATCH { self.flush(class) } else { Ok(()) }
    }

    /// Stages a new head.
    pub(super) fn new_head(&mut self, about: About, texts: Texts<'_>, staged: Staged) -> Result<(), Failed> {
        let octets = record_octets(about, texts);
        let place = self.stage(Class::New, octets, 1)?;
        self.is_young(Class::New, about.born)?;
        let About { hash, id, born, .. } = about;
        let mut record = RecordHeader { hash, id, born, ..self.record(Kind::Head, place) };
        let (seed, batch) = (self.shared.seed, &mut self.batches[Class::New as usize]);
        record.encode(seed, texts, &mut batch.octets);
        batch.staged.push((IndexEntry { octets: octets as u32, ..entry(&record) }, staged));
        Ok(())
    }

    /// Where a record of so many octets, with so many index entries, goes.
    pub(super) fn stage(&mut self, class: Class, octets: u64, entries: usize) -> Result<Place, Failed> {
        if self.batches[class as usize].octets.len() >= BATCH {
            self.flush(class)?;
        }
        if octets > self.shared.most_octets() {
            return Err(Failed);
        }
        for _ in 0..2 {
            let batch = &self.batches[class as usize];
            if let Some(active) = &self.actives[class as usize] {
                let offset = active.length + batch.octets.len() as u64;
                let index = (active.entries.len() + batch.staged.len() + entries) * ENTRY + TRAILER;
                if offset + octets + index as u64 <= self.shared.limits.segment {
                    let offset = u32::try_from(offset).map_err(|_| Failed)?;
                    return Ok(Place { segment: active.segment.number, offset });
                }
                self.flush(class)?;
                self.seal(class, false);
            }
            self.begin(class)?;
        }
        Err(Failed)
    }

    pub(super) fn flush_all(&mut self) {
        for class in [Class::New, Class::Kept] {
            // Failures were counted and told; each staged record was dealt with.
            let _ = self.flush(class);
            if self.shared.sync == Sync::Always {
                self.sync_active(class);
            }
        }
    }

    /// Writes what is staged, and then lets others know of it.
    pub(super) fn flush(&mut self, class: Class) -> Result<(), Failed> {
        let batch = std::mem::take(&mut self.batches[class as usize]);
        if batch.staged.is_empty() {
            return Ok(());
        }
        let Some(active) = &mut self.actives[class as usize] else {
            batch.staged.iter().for_each(|(entry, staged)| self.not_written(entry, staged));
            return Err(Failed);
        };
        let (segment, offset) = (Arc::clone(&active.segment), active.length);
        match write_all(&*segment.file, &batch.octets, offset) {
            Ok(()) => {
                active.length += batch.octets.len() as u64;
                active.entries.extend(batch.staged.iter().map(|(entry, _)| *entry));
                self.failures = 0;
                for (entry, staged) in batch.staged {
                    self.written(&segment, &entry, staged);
                }
                // Kept for the next batch, unless a large object made it large.
                let mut octets = batch.octets;
                octets.clear();
                octets.shrink_to(2 * BATCH);
                self.batches[class as usize].octets = octets;
                Ok(())
            }
            Err(error) => {
                self.failed("write to", segment.number, &error);
                self.abandon(class);
                for (entry, staged) in batch.staged {
                    self.not_written(&entry, &staged);
                }
                if is_full(&error) {
                    self.give_way();
                }
                Err(Failed)
            }
        }
    }

    fn written(&self, segment: &Segment, entry: &IndexEntry, staged: Staged) {
        let shared = &self.shared;
        let place = Place { segment: segment.number, offset: entry.offset };
        let (hash, id) = (entry.hash, entry.id);
        let mut shard = shared.shard(hash);
        match staged {
            Staged::Object(head) => {
                // Gone if it was removed meanwhile: then that is written next.
                let Some(pending) = shard.take_pending(hash, id) else { return };
                shard.index.insert(hash, id, place, entry.octets);
                if pending.body.as_ref().is_some_and(|body| body.is_held() && body.was_read()) {
                    shard.index.set_resident(hash, id, true);
                }
                shared.counters.written.fetch_add(1, Ordering::Relaxed);
                shared.counters.written_octets.fetch_add(entry.octets.into(), Ordering::Relaxed);
                again(shared, &mut shard, hash, pending, &head);
            }
            Staged::Head(head) => {
                let Some(pending) = shard.take_pending(hash, id) else { return };
                shard.index.set_head(hash, id, place);
                again(shared, &mut shard, hash, pending, &head);
            }
            Staged::Moved { from, reads } => {
                if shard.index.get(hash, id).is_some_and(|located| located.content == from) {
                    shard.index.insert(hash, id, place, entry.octets);
                    shard.index.set_reads(hash, id, reads);
                    shared.counters.copied.fetch_add(1, Ordering::Relaxed);
                }
            }
            Staged::HeadMoved { from } => {
                if shard.index.get(hash, id).is_some_and(|located| located.head == from) {
                    shard.index.set_head(hash, id, place);
                }
            }
            Staged::Removal | Staged::Met => {}
        }
    }

    fn not_written(&mut self, entry: &IndexEntry, staged: &Staged) {
        match staged {
            Staged::Object(_) | Staged::Head(_) => {
                self.shared.counters.dropped_failing.fetch_add(1, Ordering::Relaxed);
                self.drop_pending(entry.hash, entry.id);
            }
            // What could not be copied goes with its segment; whoever removes looks at the result.
            Staged::Moved { .. } | Staged::HeadMoved { .. } | Staged::Removal | Staged::Met => {}
        }
    }

    /// Counts and tells a failure; after several in a row the writer rests.
    pub(super) fn failed(&mut self, what: &str, segment: u32, error: &io::Error) {
        self.shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
        self.failures += 1;
        let file = self.shared.files.path().join(file_name(segment));
        let often = self.failures.saturating_sub(MOST_FAILURES);
        let rest = REST.0.saturating_mul(1 << often.min(16)).min(REST.1);
        if self.failures >= MOST_FAILURES {
            let until = self.shared.clock.now().after(rest);
            self.shared.paused_until.store(until.as_millis(), Ordering::Relaxed);
        }
        // The first of a row is told, then each time that it rests.
        if self.failures == 1 {
            tracing::error!(file = %file.display(), %error, "the disk store cannot {what} a segment; the edge goes on without it");
        } else if self.failures >= MOST_FAILURES {
            let seconds = rest.as_secs();
            tracing::error!(file = %file.display(), %error, "the disk store fails again and again, and rests for {seconds} s");
        }
    }

    /// Writes no more to a segment. What is in it can be read still; what was written behind that in part, and that nobody
    /// knows of, must not be found there by the next process.
    fn abandon(&mut self, class: Class) {
        let Some(active) = self.actives[class as usize].take() else { return };
        active.segment.octets.store(active.length, Ordering::Relaxed);
        if let Err(error) = active.segment.file.truncate(active.length) {
            let number = active.segment.number;
            self.failed("cut", number, &error);
            self.drop_segments(BTreeSet::from([number]));
        }
    }

    /// A segment is taken away while it is being written.
    pub(super) fn discard_active(&mut self, number: u32) {
        for class in [Class::New, Class::Kept] {
            if self.actives[class as usize].as_ref().is_some_and(|active| active.segment.number == number) {
                self.actives[class as usize] = None;
                let batch = std::mem::take(&mut self.batches[class as usize]);
                for (entry, staged) in batch.staged {
                    self.not_written(&entry, &staged);
                }
            }
        }
    }

    /// Ends a segment with its index, so that opening it is fast. `last`: this process ends.
    pub(super) fn seal(&mut self, class: Class, last: bool) {
        let _ = self.flush(class);
        let Some(active) = self.actives[class as usize].take() else { return };
        let Active { segment, length, entries } = active;
        let next_id = self.next_id.load(Ordering::Relaxed);
        let octets =
            encode_index(self.shared.seed, segment.number, length, &entries, next_id, self.next_sequence);
        let mut end = length;
        match write_all(&*segment.file, &octets, length) {
            Ok(()) => end += octets.len() as u64,
            // Without an index it is scanned when it is opened.
            Err(error) => self.failed("seal", segment.number, &error),
        }
        segment.octets.store(end, Ordering::Relaxed);
        if self.shared.sync == Sync::Never {
            return;
        }
        let (shared, file) = (Arc::clone(&self.shared), Arc::clone(&segment.file));
        let sync = move || {
            if let Err(error) = file.sync().and_then(|()| shared.files.sync()) {
                shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!(folder = %shared.files.path().display(), %error, "the disk store cannot make a segment durable");
            }
        };
        // Not here, where removals would wait for it; but before the process ends.
        if last {
            sync();
        } else {
            self.shared.pool.run(sync);
        }
    }

    pub(super) fn sync_active(&mut self, class: Class) -> bool {
        let Some(active) = &self.actives[class as usize] else { return true };
        let segment = Arc::clone(&active.segment);
        match segment.file.sync() {
            Ok(()) => true,
            Err(error) => {
                self.failed("make durable", segment.number, &error);
                false
            }
        }
    }

    /// Begins a segment.
    fn begin(&mut self, class: Class) -> Result<(), Failed> {
        self.make_room();
        if self.actives[class as usize].is_some() {
            // Making room began one.
            return Ok(());
        }
        let number = self.next_number;
        self.next_number = number.checked_add(1).ok_or(Failed)?;
        let header = SegmentHeader {
            class,
            number,
            store: self.shared.store,
            secret: self.shared.secret,
            next_id: self.next_id.load(Ordering::Relaxed),
            next_sequence: self.next_sequence,
            time: self.now(),
            epoch: self.shared.purges.epoch(),
            born: self.shared.purges.number(),
            met: self.shared.met(),
        };
        let name = file_name(number);
        let made = self.shared.files.create(&name).and_then(|file| {
            write_all(&*file, &header.encode(), 0)?;
            if self.shared.sync == Sync::Always {
                self.shared.files.sync()?;
            }
            Ok(file)
        });
        match made {
            Ok(file) => {
                // Counted whole while it is written: there has to be room for it.
                let octets = AtomicU64::new(self.shared.limits.segment);
                let segment = Arc::new(Segment { number, class, file, born: header.born, octets });
                self.shared.segments().insert(number, Arc::clone(&segment));
                let length = SEGMENT_HEADER as u64;
                self.actives[class as usize] = Some(Active { segment, length, entries: Vec::new() });
                Ok(())
            }
            Err(error) => {
                self.failed("begin", number, &error);
                // Nothing is in it.
                let _ = self.shared.files.remove(&name);
                if is_full(&error) {
                    self.give_way();
                }
                Err(Failed)
            }
        }
    }
}

/// The file system has no room, for this process at least.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Which response a record is of.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub hash: u64,
    pub id: u64,
    pub born: u64,
    pub content: u64,
}

/// Octets by which a head may grow when a purge makes it stale.
const EXPIRY: u64 = 64;

/// Octets of a record.
fn record_octets(about: About, texts: Texts<'_>) -> u64 {
    let text = texts.customer.len() + texts.key.len() + texts.head.len() + texts.trailers.len();
    padded(RECORD_HEADER + text) as u64 + super::layout::content_octets(about.content)
}

pub(super) fn entry(record: &RecordHeader) -> IndexEntry {
    IndexEntry {
        kind: record.kind,
        offset: record.place.offset,
        octets: 0,
        newest: 0,
        hash: record.hash,
        id: record.id,
        sequence: record.sequence,
    }
}

/// It was given another head while it was written.
fn again(
    shared: &Shared,
    shard: &mut super::shared::Shard,
    hash: u64,
    pending: Pending,
    written: &Arc<Stored>,
) {
    if Arc::ptr_eq(&pending.stored, written) {
        return;
    }
    let job = Job { hash, id: pending.id, octets: pending.stored.weight() as u64 };
    shard.pending.entry(hash).or_default().push(Pending { body: None, writing: false, ..pending });
    shared.queue.push_again(job);
}

/// Whoever waits for the writer is told when it is no more, however it ended.
struct Abandon(Arc<Shared>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.queue.abandon();
        for mut shard in self.0.each_shard() {
            shard.pending.clear();
        }
    }
}
