//! Opens a folder: which segments are there, what is in them, where writing goes on.
//!
//! A sealed segment is known by its index alone. One without an index (the process was killed, or its disk failed) is
//! scanned: each record's content is verified, what is torn at the end is cut off, what is damaged in the middle is
//! skipped. The entries of all segments are then put together in the order in which they were written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::{File, read_exact, read_most, write_all};
use super::index::IndexShard;
use super::layout::{
    ENTRY, EntriesSum, Found, IndexEntry, Kind, Met, Place, RECORD_HEADER, RecordHeader, SEGMENT_HEADER,
    Seed, SegmentHeader, TRAILER, Trailer, block_octets, encode_index, file_name, number_in, read_list,
    verify_block,
};
use super::shared::{DiskLimits, Segment, Shared};
use super::writer::Active;
use super::{DiskConfig, OpenError, OtherVersion};
use crate::store::block::BLOCK;

/// What opening a folder found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Responses that can be served.
    pub objects: u64,
    /// Octets of their records.
    pub octets: u64,
    pub segments: usize,
    /// Segments without an index, that were scanned.
    pub scanned: usize,
    /// Records that were damaged, and octets at the end of a segment that were no whole record.
    pub damaged_records: u64,
    pub cut_octets: u64,
    /// Files that were segments and could not be used, or were of another version: removed.
    pub removed_files: usize,
    /// Files that have a segment's name and nothing else of one: left alone.
    pub foreign_files: usize,
}

/// Everything that opening found, for whoever makes the store of it.
pub(super) struct Opened {
    pub store: [u64; 2],
    pub secret: [u64; 2],
    pub seed: Seed,
    pub segments: Vec<Arc<Segment>>,
    pub actives: [Option<Active>; 2],
    pub index: Vec<IndexShard>,
    pub next_number: u32,
    pub next_id: u64,
    pub next_sequence: u64,
    pub met: Met,
    /// A segment could not be read, and may be there the next time.
    pub left_out: bool,
    pub recovered: Recovered,
}

/// A segment as it was found.
struct Old {
    header: SegmentHeader,
    file: Arc<dyn File>,
    length: u64,
    entries: Entries,
}

/// Where the entries of a segment are.
enum Entries {
    /// In the file, so many from there.
    Indexed {
        offset: u64,
        count: u32,
    },
    Scanned(Vec<IndexEntry>),
}

pub(super) fn open(
    config: &DiskConfig,
    epoch: u64,
    new_store: [u64; 2],
    new_secret: [u64; 2],
) -> Result<Opened, OpenError> {
    let files = &config.files;
    let folder = || files.path().to_owned();
    let failed =
        |what: &'static str| move |source| OpenError::Io { what, folder: files.path().to_owned(), source };
    let mut recovered = Recovered::default();
    let mut left_out = false;
    let mut found = Vec::new();
    let mut next_number = 0;
    let mut unusable = Vec::new();
    let mut others = Vec::new();
    let mut names = files.list().map_err(failed("list"))?;
    names.sort_unstable();
    for name in names {
        let Some(number) = number_in(&name) else { continue };
        next_number = next_number.max(number.saturating_add(1));
        let opened = files.open(&name).and_then(|file| {
            let mut header = [0; SEGMENT_HEADER];
            let filled = read_most(&*file, &mut header, 0)?;
            Ok((file.length()?, SegmentHeader::find(&header[..filled]), file))
        });
        match opened {
            Ok((length, Found::Segment(header), file)) if header.number == number => {
                found.push((header, file, length));
            }
            Ok((_, Found::Version(version), _)) => others.push((name, version)),
            Ok((_, Found::Segment(_) | Found::Damaged, _)) => unusable.push(name),
            Ok((_, Found::Foreign, _)) => {
                recovered.foreign_files += 1;
                tracing::warn!(file = %folder().join(&name).display(), "not a segment of the disk store, in spite of its name; it is left alone");
            }
            Err(error) => {
                left_out = true;
                recovered.foreign_files += 1;
                tracing::error!(file = %folder().join(&name).display(), %error, "cannot open a segment of the disk store; it is left alone");
            }
        }
    }
    if let Some((_, version)) = others.first() {
        if config.other_version == OtherVersion::Refuse {
            return Err(OpenError::Version { folder: folder(), version: *version });
        }
        tracing::warn!(folder = %folder().display(), version, files = others.len(), "the disk store was written by another version; it begins anew, empty");
    }
    // The youngest segment says which store this is; what was put beside it from another is none of it.
    let identity = found.iter().map(|(header, ..)| *header).max_by_key(|header| header.number);
    let (store, secret) = identity.map_or((new_store, new_secret), |header| (header.store, header.secret));
    let seed = Seed::of(store, secret);
    let (found, strangers): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(header, ..)| (header.store, header.secret, header.epoch) == (store, secret, epoch));
    if identity.is_some_and(|header| header.epoch != epoch) {
        tracing::warn!(folder = %folder().display(), "the log of purges is not the one that the disk store was written with, so everything on disk counts as purged");
    }
    let strangers = strangers.into_iter().map(|(header, ..)| file_name(header.number));
    for name in unusable.into_iter().chain(others.into_iter().map(|(name, _)| name)).chain(strangers) {
        recovered.removed_files += 1;
        if let Err(error) = files.remove(&name) {
            tracing::error!(file = %folder().join(&name).display(), %error, "cannot remove a file of the disk store that is of no use");
        }
    }
    let mut opened = Opened {
        store,
        secret,
        seed,
        segments: Vec::new(),
        actives: [None, None],
        index: (0..Shared::shards().len()).map(|_| IndexShard::default()).collect(),
        next_number,
        next_id: 1,
        next_sequence: 1,
        met: Met::default(),
        left_out,
        recovered,
    };
    let mut olds = Vec::new();
    for (header, file, length) in found {
        opened.next_id = opened.next_id.max(header.next_id);
        opened.next_sequence = opened.next_sequence.max(header.next_sequence);
        opened.met = opened.met.max(header.met);
        match segment(&mut opened, &header, &file, length) {
            Ok((length, entries)) => olds.push(Old { header, file, length, entries }),
            Err(error) => {
                // It stays out of use, and its name is not used again.
                opened.left_out = true;
                opened.recovered.foreign_files += 1;
                let file = folder().join(file_name(header.number));
                tracing::error!(file = %file.display(), %error, "cannot read a segment of the disk store; it is left out");
            }
        }
    }
    let whole = merge(&mut opened, &olds);
    if !whole || opened.recovered.damaged_records > 0 {
        // Removals and heads may be among what is lost. What rests on them is not believed; each record for itself is.
        opened.met = Met::default();
    }
    go_on(&mut opened, olds, &config.limits);
    opened.recovered.segments = opened.segments.len();
    opened.recovered.objects = opened.index.iter().map(|shard| shard.len() as u64).sum();
    opened.recovered.octets = opened.index.iter().map(IndexShard::octets).sum();
    Ok(opened)
}

/// The entries of one segment, and where its records end.
fn segment(
    opened: &mut Opened,
    header: &SegmentHeader,
    file: &Arc<dyn File>,
    length: u64,
) -> io::Result<(u64, Entries)> {
    if let Some(trailer) = trailer(opened.seed, &**file, header.number, length)? {
        opened.next_id = opened.next_id.max(trailer.next_id);
        opened.next_sequence = opened.next_sequence.max(trailer.next_sequence);
        return Ok((length, Entries::Indexed { offset: trailer.offset.into(), count: trailer.entries }));
    }
    let scan = scan(opened.seed, &**file, header.number, length)?;
    opened.recovered.scanned += 1;
    opened.recovered.damaged_records += scan.damaged;
    opened.recovered.cut_octets += length.saturating_sub(scan.end);
    for entry in &scan.entries {
        opened.next_sequence = opened.next_sequence.max(entry.sequence + 1);
    }
    Ok((scan.end, Entries::Scanned(scan.entries)))
}

/// The trailer of a sealed segment, if it and the index it tells of are whole.
fn trailer(seed: Seed, file: &dyn File, number: u32, length: u64) -> io::Result<Option<Trailer>> {
    let Some(at) = length.checked_sub(TRAILER as u64) else { return Ok(None) };
    let mut octets = [0; TRAILER];
    read_exact(file, &mut octets, at)?;
    let Some(trailer) = Trailer::read(seed, &octets, number, length) else { return Ok(None) };
    let mut sum = EntriesSum::new(seed);
    let mut buffer = vec![0; 1024 * ENTRY];
    let mut offset = u64::from(trailer.offset);
    while offset < at {
        let take = buffer.len().min(usize::try_from(at - offset).unwrap_or(usize::MAX));
        read_exact(file, &mut buffer[..take], offset)?;
        sum.add(&buffer[..take]);
        offset += take as u64;
    }
    Ok((sum.sum() == trailer.sum).then_some(trailer))
}

/// What a scan found.
struct Scan {
    entries: Vec<IndexEntry>,
    /// Behind the last whole record.
    end: u64,
    damaged: u64,
}

/// Goes through a segment without an index, record by record.
fn scan(seed: Seed, file: &dyn File, number: u32, length: u64) -> io::Result<Scan> {
    let mut scan = Scan { entries: Vec::new(), end: SEGMENT_HEADER as u64, damaged: 0 };
    let mut at = SEGMENT_HEADER as u64;
    let mut window = Window { file, octets: Vec::new(), at: 0, length };
    let mut lost = false;
    while at + RECORD_HEADER as u64 <= length {
        let offset = u32::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let place = Place { segment: number, offset };
        let header = RecordHeader::read(window.get(at, RECORD_HEADER)?, place);
        let whole = header.filter(|header| at + header.octets() <= length);
        let verified = match whole {
            None => None,
            Some(header) => {
                let octets = window.get(at, header.head_octets())?;
                header.verify(seed, octets).map(|texts| (header, texts.head.to_vec()))
            }
        };
        let Some((header, head)) = verified else {
            // Damage, or the end. Records begin at multiples of 8: the next one names its own place.
            scan.damaged += u64::from(!lost);
            lost = true;
            at += 8;
            continue;
        };
        lost = false;
        if contents_are_whole(seed, &mut window, &header)? {
            let octets = header.octets() as u32;
            let (hash, id, sequence) = (header.hash, header.id, header.sequence);
            let entry = IndexEntry { kind: header.kind, offset, octets, newest: 0, hash, id, sequence };
            match header.kind {
                Kind::Object | Kind::Head => scan.entries.push(entry),
                Kind::Removal => {
                    let newest = header.born as u32;
                    let list = read_list(&head);
                    scan.entries.extend(list.map(|(hash, id)| IndexEntry { hash, id, newest, ..entry }));
                }
                Kind::Met => scan.entries.push(IndexEntry { hash: header.born, ..entry }),
            }
        } else {
            scan.damaged += 1;
        }
        at += header.octets();
        scan.end = at;
    }
    // What is lost behind the last record is a torn end, not a record.
    scan.damaged -= u64::from(lost);
    Ok(scan)
}

fn contents_are_whole(seed: Seed, window: &mut Window<'_>, header: &RecordHeader) -> io::Result<bool> {
    let mut at = u64::from(header.place.offset) + header.head_octets() as u64;
    for position in 0..header.content.div_ceil(BLOCK as u64) {
        let octets = block_octets(header.content, position);
        if verify_block(seed, header, position, window.get(at, octets)?).is_none() {
            return Ok(false);
        }
        at += octets as u64;
    }
    Ok(true)
}

/// Reads a file from its front to its end, in large pieces.
struct Window<'a> {
    file: &'a dyn File,
    octets: Vec<u8>,
    at: u64,
    length: u64,
}

impl Window<'_> {
    /// So many octets from `at`, or as many as there are.
    fn get(&mut self, at: u64, octets: usize) -> io::Result<&[u8]> {
        const PIECE: usize = 1 << 20;
        let end = self.at + self.octets.len() as u64;
        if at < self.at || at + octets as u64 > end {
            let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
            self.octets.resize(octets.max(PIECE).min(left), 0);
            let filled = read_most(self.file, &mut self.octets, at)?;
            self.octets.truncate(filled);
            self.at = at;
        }
        let start = (at - self.at) as usize;
        Ok(&self.octets[start..(start + octets).min(self.octets.len())])
    }
}

/// Reads the entries of a segment in pieces.
struct Cursor<'a> {
    old: &'a Old,
    place: u32,
    buffer: Vec<IndexEntry>,
    next: usize,
    broken: bool,
}

impl Cursor<'_> {
    const PIECE: u32 = 512;

    fn next(&mut self) -> Option<IndexEntry> {
        match &self.old.entries {
            Entries::Scanned(entries) => {
                let entry = entries.get(self.next).copied();
                self.next += 1;
                entry
            }
            Entries::Indexed { offset, count } => {
                if self.next == self.buffer.len() {
                    let take = Self::PIECE.min(count - self.place);
                    let mut octets = vec![0; take as usize * ENTRY];
                    let from = offset + u64::from(self.place) * ENTRY as u64;
                    // It was read and found whole a moment ago; if it cannot be read now, the rest is lost.
                    if read_exact(&*self.old.file, &mut octets, from).is_err() {
                        self.broken = true;
                        return None;
                    }
                    self.buffer = octets.chunks_exact(ENTRY).filter_map(IndexEntry::read).collect();
                    self.place += take;
                    self.next = 0;
                }
                let entry = self.buffer.get(self.next).copied();
                self.next += 1;
                entry
            }
        }
    }
}

/// Puts the entries of all segments in the index, in the order in which they were written. False if some could not be
/// read any more.
fn merge(opened: &mut Opened, olds: &[Old]) -> bool {
    let mut cursors: Vec<Cursor<'_>> =
        olds.iter().map(|old| Cursor { old, place: 0, buffer: Vec::new(), next: 0, broken: false }).collect();
    let mut heap = BinaryHeap::new();
    for (at, cursor) in cursors.iter_mut().enumerate() {
        if let Some(entry) = cursor.next() {
            heap.push(Reverse((entry.sequence, at, Ordered(entry))));
        }
    }
    while let Some(Reverse((_, at, Ordered(entry)))) = heap.pop() {
        let place = Place { segment: olds[at].header.number, offset: entry.offset };
        let shards = opened.index.len();
        let index = &mut opened.index[(entry.hash >> 58) as usize % shards];
        if entry.kind != Kind::Met {
            opened.next_id = opened.next_id.max(entry.id + 1);
        }
        match entry.kind {
            Kind::Object => index.insert(entry.hash, entry.id, place, entry.octets),
            // A head without content is no use.
            Kind::Head => drop(index.set_head(entry.hash, entry.id, place)),
            Kind::Removal => drop(index.remove(entry.hash, entry.id)),
            Kind::Met => opened.met = opened.met.max(Met { number: entry.hash, sequence: entry.id }),
        }
        if let Some(next) = cursors[at].next() {
            heap.push(Reverse((next.sequence, at, Ordered(next))));
        }
    }
    cursors.iter().all(|cursor| !cursor.broken)
}

/// An entry that takes no part in comparisons.
struct Ordered(IndexEntry);

impl PartialEq for Ordered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Goes on with the youngest segment of each class that has room, and seals the others that have no index.
fn go_on(opened: &mut Opened, olds: Vec<Old>, limits: &DiskLimits) {
    let room = limits.segment / 8 * 7;
    // By class, as they come in the order of their numbers: the last with room.
    let mut youngest = [None; 2];
    for old in &olds {
        let end = match old.entries {
            Entries::Indexed { offset, .. } => offset,
            Entries::Scanned(_) => old.length,
        };
        if end < room {
            youngest[old.header.class as usize] = Some((old.header.number, end));
        }
    }
    for old in olds {
        let Old { header, file, length, entries } = old;
        let (number, class) = (header.number, header.class);
        let octets = AtomicU64::new(length);
        let born = header.born;
        let segment = Arc::new(Segment { number, class, file: Arc::clone(&file), born, octets });
        opened.segments.push(Arc::clone(&segment));
        let go_on = youngest[class as usize].filter(|(youngest, _)| *youngest == number);
        match (go_on, entries) {
            (None, Entries::Indexed { .. }) => {}
            (None, Entries::Scanned(entries)) => {
                let index =
                    encode_index(opened.seed, number, length, &entries, opened.next_id, opened.next_sequence);
                // Failing, it is scanned again the next time.
                if file.truncate(length).and_then(|()| write_all(&*file, &index, length)).is_ok() {
                    segment.octets.store(length + index.len() as u64, Ordering::Relaxed);
                }
            }
            (Some((_, end)), entries) => {
                let listed = match entries {
                    Entries::Scanned(entries) => Ok(entries),
                    // Its index is written anew, behind what comes.
                    Entries::Indexed { .. } => read_entries(&*file, end, length),
                };
                let Ok(entries) = listed.and_then(|entries| file.truncate(end).map(|()| entries)) else {
                    continue;
                };
                segment.octets.store(limits.segment, Ordering::Relaxed);
                opened.actives[class as usize] = Some(Active { segment, length: end, entries });
            }
        }
    }
}

/// Entries between `from` and the trailer.
fn read_entries(file: &dyn File, from: u64, length: u64) -> io::Result<Vec<IndexEntry>> {
    let octets = usize::try_from(length.saturating_sub(from + TRAILER as u64)).unwrap_or(0);
    let mut buffer = vec![0; octets];
    read_exact(file, &mut buffer, from)?;
    Ok(buffer.chunks_exact(ENTRY).filter_map(IndexEntry::read).collect())
}

/// The entries of a segment that is not being written.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn entries_of(shared: &Shared, segment: &Segment) -> io::Result<Vec<IndexEntry>> {
    let length = segment.file.length()?;
    match trailer(shared.seed, &*segment.file, segment.number, length)? {
        Some(trailer) => read_entries(&*segment.file, trailer.offset.into(), length),
        None => Ok(scan(shared.seed, &*segment.file, segment.number, length)?.entries),
    }
}
