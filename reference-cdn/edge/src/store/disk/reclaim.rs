//! Room on disk: which segment goes, and what of it is worth keeping.
//!
//! This is S3-FIFO (Yang et al., SOSP 2023) over segments in place of objects. What comes in is written to *new*
//! segments. When there is no room, the oldest new segment goes, as long as new ones have more than a tenth of the
//! octets; else the oldest *kept* one. What was read since it was written, from disk or, while it is in memory, there, is
//! copied on to a kept segment; the rest is evicted. A scan over many URLs that are asked for once fills new segments
//! only, and these go first; what is asked for often is in kept ones. What comes back soon after it was evicted unread
//! goes to a kept segment at once (`ghosts.rs`).
//!
//! Heads whose content is elsewhere are copied as long as they are the newest. Removals are copied as long as there is
//! a segment that may hold what they removed: dropped before, they would let it come back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layout::{Class, IndexEntry, Kind, Place, Texts, file_name};
use super::queue::RemovalJob;
use super::read::{Record, Unreadable};
use super::recover::entries_of;
use super::shared::{Segment, Shared};
use super::writer::{About, Failed, Staged, Writer};

/// Share of the octets that new segments may have before they have to give, in per cent.
const NEW_SHARE: u64 = 10;

impl Writer {
    /// Sees to it that a segment can begin: room for it, and for one more that a reclaim may need.
    pub(super) fn make_room(&mut self) {
        if self.reclaiming {
            // The room that was spared for it.
            return;
        }
        self.reclaiming = true;
        let limits = self.shared.limits;
        // Each turn takes a segment away; what it copies on is never more.
        let turns = self.shared.segments().len();
        for _ in 0..turns {
            let full = self.shared.octets() + 2 * limits.segment > limits.size;
            if !full && self.shared.index_memory() <= limits.index {
                break;
            }
            let Some(victim) = self.victim() else { break };
            self.reclaim(&victim);
        }
        self.reclaiming = false;
    }

    fn is_active(&self, number: u32) -> bool {
        self.actives.iter().flatten().any(|active| active.segment.number == number)
    }

    /// The segment that should go.
    fn victim(&self) -> Option<Arc<Segment>> {
        let segments = self.shared.segments();
        let octets = |segment: &Segment| segment.octets.load(Ordering::Relaxed);
        let total: u64 = segments.values().map(|segment| octets(segment)).sum();
        let new: u64 =
            segments.values().filter(|it| it.class == Class::New).map(|segment| octets(segment)).sum();
        let class = if new * 100 > total * NEW_SHARE { Class::New } else { Class::Kept };
        let oldest = |class: Class| {
            segments.values().find(|it| it.class == class && !self.is_active(it.number)).map(Arc::clone)
        };
        let other = if class == Class::New { Class::Kept } else { Class::New };
        oldest(class).or_else(|| oldest(other))
    }

    /// Copies on what is worth it, and deletes the segment.
    fn reclaim(&mut self, victim: &Segment) {
        let Ok(entries) = entries_of(&self.shared, victim) else {
            // Unreadable: what it holds cannot be told, nor used.
            self.shared.counters.read_errors.fetch_add(1, Ordering::Relaxed);
            self.drop_segment(victim.number);
            return;
        };
        // What is copied must know of everything that was staged before.
        self.flush_all();
        // Removals and heads are copied to this segment, or later ones.
        let active = self.actives[Class::New as usize].as_ref();
        let first = active.map_or(self.next_number, |active| active.segment.number);
        let mut removals: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        let oldest = self.oldest_but(victim.number);
        for entry in &entries {
            match entry.kind {
                Kind::Object => self.reclaim_object(victim, entry),
                Kind::Head => self.reclaim_head(victim, entry),
                Kind::Removal if oldest.is_some_and(|oldest| oldest <= entry.newest) => {
                    removals.entry(entry.newest).or_default().push((entry.hash, entry.id));
                }
                // Later segments begin with what it says.
                Kind::Removal | Kind::Met => {}
            }
            // Copying takes a while; operators do not wait for it.
            self.removals();
        }
        let mut kept = true;
        for (newest, list) in &removals {
            kept &= self.removal(list, *newest).is_ok();
        }
        kept &= self.flush(Class::New).is_ok();
        // What could not be copied goes with the segment.
        let _ = self.flush(Class::Kept);
        let rests = |entry: &IndexEntry| matches!(entry.kind, Kind::Removal | Kind::Head);
        if entries.iter().any(rests) {
            // Without it, what is removed or stale would not be so after a loss of power. Failing, nothing is forgotten
            // that keeps it so.
            let _ = self.make_durable(first);
        }
        self.drop_segment(victim.number);
        if !kept && let Some((newest, _)) = removals.last_key_value() {
            self.drop_up_to(*newest);
        }
    }

    /// The oldest segment beside this one.
    fn oldest_but(&self, number: u32) -> Option<u32> {
        self.shared.segments().keys().copied().find(|other| *other != number)
    }

    fn reclaim_object(&mut self, victim: &Segment, entry: &IndexEntry) {
        let from = Place { segment: victim.number, offset: entry.offset };
        let (hash, id) = (entry.hash, entry.id);
        let located = self.shared.shard(hash).index.get(hash, id).filter(|located| located.content == from);
        let Some(located) = located else { return };
        let wanted = located.reads > 0 || located.resident;
        if wanted && self.copy_object(victim, entry, located.head, located.reads).is_ok() {
            return;
        }
        if victim.class == Class::New {
            self.ghosts.remember(hash);
        }
        let mut shard = self.shared.shard(hash);
        if shard.index.get(hash, id).is_some_and(|located| located.content == from) {
            shard.index.remove(hash, id);
            self.shared.counters.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn copy_object(
        &mut self,
        victim: &Segment,
        entry: &IndexEntry,
        head: Place,
        reads: u8,
    ) -> Result<(), Failed> {
        let from = Place { segment: victim.number, offset: entry.offset };
        let shared = Arc::clone(&self.shared);
        let noted = |error: Unreadable| {
            error.note(&shared, from);
            Failed
        };
        let record = Record::read(&shared, &victim.file, from, entry.octets).map_err(noted)?;
        if record.header.octets() > shared.most_octets() {
            // It was written under other limits.
            return Err(Failed);
        }
        let blocks = record.blocks(&shared).map_err(noted)?;
        let (texts, header) = (record.texts(), record.header);
        if (header.hash, header.id) != (entry.hash, entry.id) {
            return Err(Failed);
        }
        // From new to kept it begins anew; kept, it has to be read again in each round.
        let reads = if victim.class == Class::New { 0 } else { reads.saturating_sub(1) };
        let staged = Staged::Moved { from, reads };
        // Its newest head comes with it.
        let newer = if head == from {
            None
        } else {
            let newer = shared.segment(head.segment).ok_or(Failed)?;
            Some(Record::read(&shared, &newer.file, head, 0).map_err(noted)?)
        };
        let newest = newer.as_ref().unwrap_or(&record);
        let about = About { hash: entry.hash, id: entry.id, born: 0, content: header.content };
        self.ready(Class::Kept, about, Texts { head: newest.texts().head, ..texts })?;
        let (fresh, born) = judge(&shared, newest).map_err(noted)?;
        let about = About { born, ..about };
        self.object(Class::Kept, about, Texts { head: &fresh, ..texts }, &blocks, staged)
    }

    fn reclaim_head(&mut self, victim: &Segment, entry: &IndexEntry) {
        let from = Place { segment: victim.number, offset: entry.offset };
        let (hash, id) = (entry.hash, entry.id);
        let is_newest =
            |writer: &Self| writer.shared.shard(hash).index.get(hash, id).is_some_and(|it| it.head == from);
        if !is_newest(self) {
            return;
        }
        let record = Record::read(&self.shared, &victim.file, from, entry.octets);
        let shared = Arc::clone(&self.shared);
        let copied = record.map_err(|_| Failed).and_then(|record| {
            let about = About { hash, id, born: 0, content: 0 };
            self.ready(Class::New, about, record.texts())?;
            let (head, born) = judge(&shared, &record).map_err(|_| Failed)?;
            let about = About { born, ..about };
            self.new_head(about, Texts { head: &head, ..record.texts() }, Staged::HeadMoved { from })
        });
        if copied.is_err() && is_newest(self) {
            // Without its newest head it must not come back with an older one.
            let _ = self.shared.remove(hash, |found| found == id);
        }
    }

    /// Takes a segment away as it is. False if its file stays.
    pub(super) fn drop_segment(&mut self, number: u32) -> bool {
        self.discard_active(number);
        let Some(segment) = self.shared.segments().remove(&number) else { return true };
        let (mut left, mut headless) = (0, Vec::new());
        for (upper, mut shard) in (0..).zip(self.shared.each_shard()) {
            for (hash, located) in shard.index.remove_segment(number) {
                left += 1;
                if located.content.segment != number {
                    headless.push(((upper << 58) | u64::from(hash), located));
                }
            }
        }
        self.shared.counters.evicted.fetch_add(left, Ordering::Relaxed);
        if !headless.is_empty() {
            // Its newest head goes; with the older one, which is with its content, it must not come back.
            let list = headless.iter().map(|(hash, located)| (*hash, located.id)).collect();
            let segments = headless.iter().map(|(_, located)| located.content.segment).collect();
            let ticket = Arc::default();
            self.shared.queue.push_removal(RemovalJob { list, segments, anywhere: false, ticket });
            self.removals();
        }
        let gone = match self.shared.files.remove(&file_name(number)) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => {
                // Without its content it takes no room, and an empty file is no segment.
                let emptied = segment.file.truncate(0).is_ok();
                self.failed("remove", number, &error);
                emptied
            }
        };
        self.unwritten |= !gone;
        gone
    }

    /// The file system is full, whoever filled it: the oldest segment goes.
    pub(super) fn give_way(&mut self) {
        let oldest = {
            let segments = self.shared.segments();
            segments.keys().copied().find(|number| !self.is_active(*number))
        };
        let Some(number) = oldest else { return };
        let Some(victim) = self.shared.segment(number) else { return };
        let entries = entries_of(&self.shared, &victim).unwrap_or_default();
        self.drop_segment(number);
        // Its removals may concern younger segments. There is room for them now, or else these go too.
        let newest =
            entries.iter().filter(|entry| entry.kind == Kind::Removal).map(|entry| entry.newest).max();
        let Some(newest) = newest else { return };
        if self.oldest_but(number).is_none_or(|oldest| oldest > newest) {
            return;
        }
        let list: Vec<(u64, u64)> = entries
            .iter()
            .filter(|entry| entry.kind == Kind::Removal)
            .map(|entry| (entry.hash, entry.id))
            .collect();
        let staged = std::mem::replace(&mut self.reclaiming, true);
        let written = self.removal(&list, newest).is_ok() && self.flush(Class::New).is_ok();
        self.reclaiming = staged;
        if !written {
            self.drop_up_to(newest);
        }
    }

    fn drop_up_to(&mut self, newest: u32) {
        let numbers = self.shared.segments().range(..=newest).map(|(number, _)| *number).collect();
        self.drop_segments(numbers);
    }

    /// Takes segments away, and with them those that their removals concern: nothing else would keep what is in these from
    /// coming back. False if a file stays.
    pub(super) fn drop_segments(&mut self, mut numbers: BTreeSet<u32>) -> bool {
        let mut all = true;
        while let Some(number) = numbers.pop_first() {
            let newest = self.newest_removal(number);
            all &= self.drop_segment(number);
            if let Some(newest) = newest {
                numbers.extend(self.shared.segments().range(..=newest).map(|(number, _)| *number));
            }
        }
        all
    }

    /// The newest segment that the removals in a segment concern.
    fn newest_removal(&self, number: u32) -> Option<u32> {
        let newest = |entries: &mut dyn Iterator<Item = &IndexEntry>| {
            entries.filter(|entry| entry.kind == Kind::Removal).map(|entry| entry.newest).max()
        };
        let active = self.actives.iter().zip(&self.batches);
        let mut active = active.filter_map(|(active, batch)| Some((active.as_ref()?, batch)));
        if let Some((active, batch)) = active.find(|(active, _)| active.segment.number == number) {
            return newest(&mut active.entries.iter().chain(batch.staged.iter().map(|(entry, _)| entry)));
        }
        let segment = self.shared.segment(number)?;
        // Where it cannot be told it may be any.
        entries_of(&self.shared, &segment).map_or(Some(u32::MAX), |entries| newest(&mut entries.iter()))
    }
}

/// The head of a record as the purges leave it, and which of them it has met then.
fn judge<'a>(shared: &Shared, record: &'a Record) -> Result<(Cow<'a, [u8]>, u64), Unreadable> {
    let (texts, born) = (record.texts(), shared.born(&record.header));
    if born >= shared.purges.number() {
        return Ok((Cow::Borrowed(texts.head), born));
    }
    let (customer, key, stored) = record.response()?;
    let (expired, born) = shared.judge(customer, &key, &stored, born).ok_or(Unreadable::Purged)?;
    let head = expired.map_or(Cow::Borrowed(texts.head), |stored| {
        let mut head = Vec::new();
        stored.encode(&mut head);
        Cow::Owned(head)
    });
    Ok((head, born))
}
