//! The octets of the disk store: segment files, the records in them, and their index.
//!
//! ```text
//! file       NNNNNNNN.segment, NNNNNNNN its number in hexadecimal
//!            segment header, records, each at a multiple of 8; once sealed: index entries, trailer
//!
//! segment header, 128 octets          record, 88 octets before the texts
//!  0  8  "RCDNSEG\n"                    0  4  "RCRD"
//!  8  4  version                        4  1  kind: 1 object, 2 head, 3 removal, 4 met
//! 12  4  class: 0 new, 1 kept           5  1  zero
//! 16  4  number of the segment          6  2  length of the customer's name
//! 20  4  zero                           8  4  length of the key
//! 24 16  name of the store             12  4  length of the head; of a removal, of its list
//! 40 16  key of the hash               16  4  length of the trailer fields
//! 56  8  next id                       20  4  zero
//! 64  8  next sequence number          24  8  length of the content
//! 72  8  time, in milliseconds         32  8  id of the stored response; of a met, a sequence number
//! 80  8  epoch of the log of purges    40  8  hash of customer and key
//! 88  8  purges that had come          48  8  sequence number
//! 96 16  as a met: purges, sequence    56  8  born; of a removal, the newest segment there was
//! 112 12 zero                          64  8  time, in milliseconds
//! 124 4  checksum of the 124 before    72  4  number of the segment
//!                                      76  4  where in the segment the record is
//! index entry, 40 octets               80  4  checksum of the 80 before and of the texts
//!  0  1  kind                          84  4  zero
//!  1  3  zero                          88     customer, key, head, trailer fields; zeros up to a multiple of 8
//!  4  4  where the record is                  then, for an object, its blocks
//!  8  4  octets of the record
//! 12  4  newest segment (removal)      met
//! 16  8  hash; of a met, its born      All records with a lower sequence number than its id has have met the purges
//! 24  8  id                            up to its born. The others have met those up to their own.
//! 32  8  sequence number
//!                                      block
//!                                       0  4  "BLCK"
//! trailer, 64 octets                    4  4  length of the content in it
//!  0  8  "RCDNEND\n"                    8  4  position: 0, 1, …
//!  8  4  number of the segment         12  4  checksum of segment, place and checksum of the record,
//! 12  4  number of entries                    position, length and content
//! 16  4  where they begin              16     content, 64 KiB in all but the last; zeros up to a multiple of 8
//! 20  4  checksum of the entries
//! 24  8  next id                       removal's list, 16 octets for each response removed
//! 32  8  next sequence number           0  8  hash
//! 40 20  zero                           8  8  id
//! 60  4  checksum of the 60 before
//! ```
//!
//! Numbers are little endian. Checksums are CRC-32 and begin with a value that the name and the hash's key of the store
//! give: neither a segment of another store nor content that looks like a record passes for one of this store. A record
//! names the place where it is, so none passes for another; a block is bound to its record.

use super::super::block::BLOCK;

/// Changes with every change of the layout, and with every change of what http-cache encodes.
pub const VERSION: u32 = 1;

pub const SEGMENT_HEADER: usize = 128;
/// Where its checksum is.
const HEADER_SUM: usize = SEGMENT_HEADER - 4;
pub const RECORD_HEADER: usize = 88;
pub const BLOCK_HEADER: usize = 16;
pub const ENTRY: usize = 40;
pub const TRAILER: usize = 64;
pub const LISTED: usize = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"RCDNSEG\n";
const TRAILER_MAGIC: &[u8; 8] = b"RCDNEND\n";
const RECORD_MAGIC: &[u8; 4] = b"RCRD";
const BLOCK_MAGIC: &[u8; 4] = b"BLCK";

/// Ids and sequence numbers stay below this, however long a store lives; the index keeps no more bits of an id.
pub const MOST: u64 = 1 << 56;

/// Octets of the texts of one record. Heads are bounded where they are received; this bounds what is read.
const MOST_TEXT: usize = 4 << 20;

/// Which records a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What comes in.
    New,
    /// What was read since it came, or came back soon after it left.
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stored response, head and content.
    Object,
    /// A new head for one.
    Head,
    /// Responses that are gone.
    Removal,
    /// Everything before met the purges up to a number.
    Met,
}

impl Kind {
    fn of(octet: u8) -> Option<Self> {
        [Self::Object, Self::Head, Self::Removal, Self::Met].into_iter().find(|kind| *kind as u8 + 1 == octet)
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// What begins every checksum of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// Of a store by this name, whose hash has this key.
    pub fn of(store: [u64; 2], secret: [u64; 2]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        for number in store.iter().chain(&secret) {
            hasher.update(&number.to_le_bytes());
        }
        Self(hasher.finalize())
    }

    fn sum(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

/// Reads numbers at places that are known to be within the octets.
fn number32(octets: &[u8], at: usize) -> u32 {
    octets.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn number64(octets: &[u8], at: usize) -> u64 {
    octets.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn put(out: &mut [u8], at: usize, octets: &[u8]) {
    out[at..at + octets.len()].copy_from_slice(octets);
}

pub fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

/// Up to which purge everything that was written before something has met them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Met {
    /// The number of the last of these purges.
    pub number: u64,
    /// Records with lower sequence numbers have met them.
    pub sequence: u64,
}

impl Met {
    /// The purges that a record's response has met.
    pub fn born(self, header: &RecordHeader) -> u64 {
        if header.sequence < self.sequence { header.born.max(self.number) } else { header.born }
    }
}

/// What begins a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub class: Class,
    pub number: u32,
    pub store: [u64; 2],
    pub secret: [u64; 2],
    pub next_id: u64,
    pub next_sequence: u64,
    pub time: u64,
    /// The log of purges that `born`, `met` and the birth of each record are numbers of.
    pub epoch: u64,
    /// Purges that had come: what is in this segment met them, or is older than `met`.
    pub born: u64,
    pub met: Met,
}

/// What the first octets of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Segment(SegmentHeader),
    /// A segment of another version of this layout.
    Version(u32),
    /// It began as a segment, and is damaged or was never finished.
    Damaged,
    /// Nothing of ours.
    Foreign,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        put(&mut out, 0, SEGMENT_MAGIC);
        put(&mut out, 8, &VERSION.to_le_bytes());
        put(&mut out, 12, &(self.class as u32).to_le_bytes());
        put(&mut out, 16, &self.number.to_le_bytes());
        let long = [self.store[0], self.store[1], self.secret[0], self.secret[1]];
        let rest = [
            self.next_id,
            self.next_sequence,
            self.time,
            self.epoch,
            self.born,
            self.met.number,
            self.met.sequence,
        ];
        for (at, number) in long.into_iter().chain(rest).enumerate() {
            put(&mut out, 24 + 8 * at, &number.to_le_bytes());
        }
        let sum = crc32fast::hash(&out[..HEADER_SUM]);
        put(&mut out, HEADER_SUM, &sum.to_le_bytes());
        out
    }

    /// Judges the first octets of a file.
    pub fn find(octets: &[u8]) -> Found {
        // A crash may leave a file without content, or with zeros.
        if octets.iter().all(|octet| *octet == 0) {
            return Found::Damaged;
        }
        if !octets.starts_with(SEGMENT_MAGIC) {
            return if SEGMENT_MAGIC.starts_with(octets) { Found::Damaged } else { Found::Foreign };
        }
        let version = number32(octets, 8);
        // Another version may have another checksum: only that a version comes behind the magic octets never changes.
        if octets.len() >= 12 && version != VERSION {
            return Found::Version(version);
        }
        if octets.len() < SEGMENT_HEADER
            || number32(octets, HEADER_SUM) != crc32fast::hash(&octets[..HEADER_SUM])
        {
            return Found::Damaged;
        }
        let class = match number32(octets, 12) {
            0 => Class::New,
            1 => Class::Kept,
            _ => return Found::Damaged,
        };
        let long = |at: usize| number64(octets, 24 + 8 * at);
        if long(4) > MOST || long(5) > MOST || number32(octets, 16) == u32::MAX {
            return Found::Damaged;
        }
        Found::Segment(Self {
            class,
            number: number32(octets, 16),
            store: [long(0), long(1)],
            secret: [long(2), long(3)],
            next_id: long(4),
            next_sequence: long(5),
            time: long(6),
            epoch: long(7),
            born: long(8),
            met: Met { number: long(9), sequence: long(10) },
        })
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: Kind,
    pub customer: usize,
    pub key: usize,
    pub head: usize,
    pub trailers: usize,
    pub content: u64,
    pub id: u64,
    pub hash: u64,
    pub sequence: u64,
    /// Purges that it has met. Of a removal: the newest segment there was.
    pub born: u64,
    pub time: u64,
    pub place: Place,
    /// Of the header and the texts; binds the blocks to them.
    pub sum: u32,
}

/// The texts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Texts<'a> {
    pub customer: &'a [u8],
    pub key: &'a [u8],
    pub head: &'a [u8],
    pub trailers: &'a [u8],
}

impl RecordHeader {
    /// Octets of header and texts, up to the first block.
    pub fn head_octets(&self) -> usize {
        padded(RECORD_HEADER + self.customer + self.key + self.head + self.trailers)
    }

    /// Octets of the whole record.
    pub fn octets(&self) -> u64 {
        self.head_octets() as u64 + content_octets(self.content)
    }

    /// Appends header and texts. Lengths of texts and the checksum in `self` become those of what was written.
    pub fn encode(&mut self, seed: Seed, texts: Texts<'_>, out: &mut Vec<u8>) {
        (self.customer, self.key) = (texts.customer.len(), texts.key.len());
        (self.head, self.trailers) = (texts.head.len(), texts.trailers.len());
        let mut header = [0; RECORD_HEADER];
        put(&mut header, 0, RECORD_MAGIC);
        header[4] = self.kind as u8 + 1;
        put(&mut header, 6, &(texts.customer.len() as u16).to_le_bytes());
        for (at, text) in [(8, texts.key), (12, texts.head), (16, texts.trailers)] {
            put(&mut header, at, &(text.len() as u32).to_le_bytes());
        }
        let long = [self.content, self.id, self.hash, self.sequence, self.born, self.time];
        for (at, number) in long.into_iter().enumerate() {
            put(&mut header, 24 + 8 * at, &number.to_le_bytes());
        }
        put(&mut header, 72, &self.place.segment.to_le_bytes());
        put(&mut header, 76, &self.place.offset.to_le_bytes());
        self.sum = seed.sum(&[&header[..80], texts.customer, texts.key, texts.head, texts.trailers]);
        put(&mut header, 80, &self.sum.to_le_bytes());
        let start = out.len();
        out.extend_from_slice(&header);
        for text in [texts.customer, texts.key, texts.head, texts.trailers] {
            out.extend_from_slice(text);
        }
        out.resize(start + padded(out.len() - start), 0);
    }

    /// The fixed part, if the octets begin with one that could be at `place`. Not checked yet: [`Self::verify`].
    pub fn read(octets: &[u8], place: Place) -> Option<Self> {
        let header = octets.get(..RECORD_HEADER)?;
        if !header.starts_with(RECORD_MAGIC) {
            return None;
        }
        let length = |at: usize| number32(header, at) as usize;
        let read = Self {
            kind: Kind::of(header[4])?,
            customer: usize::from(u16::from_le_bytes([header[6], header[7]])),
            key: length(8),
            head: length(12),
            trailers: length(16),
            content: number64(header, 24),
            id: number64(header, 32),
            hash: number64(header, 40),
            sequence: number64(header, 48),
            born: number64(header, 56),
            time: number64(header, 64),
            place: Place { segment: number32(header, 72), offset: number32(header, 76) },
            sum: number32(header, 80),
        };
        let text = read.customer.checked_add(read.key)?.checked_add(read.head)?.checked_add(read.trailers)?;
        let sound = header[5] == 0
            && number32(header, 20) == 0
            && number32(header, 84) == 0
            && read.place == place
            && text <= MOST_TEXT
            && read.content <= u64::from(u32::MAX)
            && read.id < MOST
            && read.sequence < MOST
            && (read.kind == Kind::Object || read.content == 0);
        sound.then_some(read)
    }

    /// The texts, if header and texts are what was written.
    pub fn verify<'a>(&self, seed: Seed, octets: &'a [u8]) -> Option<Texts<'a>> {
        let (header, texts) = octets.get(..self.head_octets())?.split_at_checked(RECORD_HEADER)?;
        let (customer, rest) = texts.split_at_checked(self.customer)?;
        let (key, rest) = rest.split_at_checked(self.key)?;
        let (head, rest) = rest.split_at_checked(self.head)?;
        let (trailers, padding) = rest.split_at_checked(self.trailers)?;
        let sum = seed.sum(&[&header[..80], customer, key, head, trailers]);
        let sound = sum == self.sum && padding.iter().all(|octet| *octet == 0);
        sound.then_some(Texts { customer, key, head, trailers })
    }
}

/// Octets that so much content takes in blocks.
pub fn content_octets(content: u64) -> u64 {
    let full = content / BLOCK as u64;
    let rest = (content % BLOCK as u64) as usize;
    let last = if rest > 0 { BLOCK_HEADER + padded(rest) } else { 0 };
    full * (BLOCK_HEADER + BLOCK) as u64 + last as u64
}

/// Octets of content in block `position` of `content` octets.
fn block_length(content: u64, position: u64) -> usize {
    content.saturating_sub(position * BLOCK as u64).min(BLOCK as u64) as usize
}

/// Octets that block `position` takes.
pub fn block_octets(content: u64, position: u64) -> usize {
    BLOCK_HEADER + padded(block_length(content, position))
}

fn block_sum(seed: Seed, record: &RecordHeader, position: u32, content: &[u8]) -> u32 {
    let mut bound = [0; 20];
    let numbers = [record.place.segment, record.place.offset, record.sum, position, content.len() as u32];
    for (at, number) in numbers.into_iter().enumerate() {
        put(&mut bound, 4 * at, &number.to_le_bytes());
    }
    seed.sum(&[&bound, content])
}

/// Appends block `position` of a record.
pub fn encode_block(seed: Seed, record: &RecordHeader, position: u32, content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BLOCK_MAGIC);
    for number in [content.len() as u32, position, block_sum(seed, record, position, content)] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(content);
    out.resize(out.len() + padded(content.len()) - content.len(), 0);
}

/// The content of block `position`, if the octets are that block of that record.
pub fn verify_block<'a>(
    seed: Seed,
    record: &RecordHeader,
    position: u64,
    octets: &'a [u8],
) -> Option<&'a [u8]> {
    let position32 = u32::try_from(position).ok()?;
    let length = block_length(record.content, position);
    let (header, rest) = octets.split_at_checked(BLOCK_HEADER)?;
    let (content, padding) = rest.split_at_checked(length)?;
    let sound = header.starts_with(BLOCK_MAGIC)
        && number32(header, 4) as usize == length
        && number32(header, 8) == position32
        && number32(header, 12) == block_sum(seed, record, position32, content)
        && padding.iter().all(|octet| *octet == 0);
    sound.then_some(content)
}

/// One line of a segment's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub kind: Kind,
    pub offset: u32,
    pub octets: u32,
    /// Of a removal: the newest segment there was.
    pub newest: u32,
    pub hash: u64,
    pub id: u64,
    pub sequence: u64,
}

impl IndexEntry {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind as u8 + 1, 0, 0, 0]);
        for number in [self.offset, self.octets, self.newest] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.hash, self.id, self.sequence] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub fn read(octets: &[u8]) -> Option<Self> {
        let octets = octets.get(..ENTRY)?;
        let read = Self {
            kind: Kind::of(octets[0])?,
            offset: number32(octets, 4),
            octets: number32(octets, 8),
            newest: number32(octets, 12),
            hash: number64(octets, 16),
            id: number64(octets, 24),
            sequence: number64(octets, 32),
        };
        (read.id < MOST && read.sequence < MOST).then_some(read)
    }
}

/// What ends a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    pub number: u32,
    pub entries: u32,
    pub offset: u32,
    pub sum: u32,
    pub next_id: u64,
    pub next_sequence: u64,
}

impl Trailer {
    pub fn encode(&self, seed: Seed) -> [u8; TRAILER] {
        let mut out = [0; TRAILER];
        put(&mut out, 0, TRAILER_MAGIC);
        for (at, number) in [self.number, self.entries, self.offset, self.sum].into_iter().enumerate() {
            put(&mut out, 8 + 4 * at, &number.to_le_bytes());
        }
        put(&mut out, 24, &self.next_id.to_le_bytes());
        put(&mut out, 32, &self.next_sequence.to_le_bytes());
        let sum = seed.sum(&[&out[..60]]);
        put(&mut out, 60, &sum.to_le_bytes());
        out
    }

    /// The trailer of segment `number`, whose file has `length` octets.
    pub fn read(seed: Seed, octets: &[u8; TRAILER], number: u32, length: u64) -> Option<Self> {
        let read = Self {
            number: number32(octets, 8),
            entries: number32(octets, 12),
            offset: number32(octets, 16),
            sum: number32(octets, 20),
            next_id: number64(octets, 24),
            next_sequence: number64(octets, 32),
        };
        let end = u64::from(read.offset) + u64::from(read.entries) * ENTRY as u64 + TRAILER as u64;
        let sound = octets.starts_with(TRAILER_MAGIC)
            && number32(octets, 60) == seed.sum(&[&octets[..60]])
            && read.number == number
            && read.next_id <= MOST
            && read.next_sequence <= MOST
            && read.offset as usize >= SEGMENT_HEADER
            && end == length;
        sound.then_some(read)
    }
}

/// What seals a segment whose records end at `length`: its index and trailer.
pub fn encode_index(
    seed: Seed,
    number: u32,
    length: u64,
    entries: &[IndexEntry],
    next_id: u64,
    next_sequence: u64,
) -> Vec<u8> {
    let mut octets = Vec::with_capacity(entries.len() * ENTRY + TRAILER);
    entries.iter().for_each(|entry| entry.encode(&mut octets));
    let sum = seed.sum(&[&octets]);
    let (entries, offset) = (entries.len() as u32, length as u32);
    let trailer = Trailer { number, entries, offset, sum, next_id, next_sequence };
    octets.extend_from_slice(&trailer.encode(seed));
    octets
}

/// Adds index entries up to their checksum.
#[derive(Debug)]
pub struct EntriesSum(crc32fast::Hasher);

impl EntriesSum {
    pub fn new(seed: Seed) -> Self {
        Self(crc32fast::Hasher::new_with_initial(seed.0))
    }

    pub fn add(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    pub fn sum(self) -> u32 {
        self.0.finalize()
    }
}

/// The list of a removal.
pub fn encode_list(list: &[(u64, u64)]) -> Vec<u8> {
    list.iter().flat_map(|(hash, id)| [hash.to_le_bytes(), id.to_le_bytes()]).flatten().collect()
}

pub fn read_list(octets: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let pairs = octets.chunks_exact(LISTED).map(|pair| (number64(pair, 0), number64(pair, 8)));
    pairs.filter(|(_, id)| *id < MOST)
}

/// The name of a segment's file.
pub fn file_name(number: u32) -> String {
    format!("{number:08x}.segment")
}

/// The number in a name that a segment's file could have.
pub fn number_in(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segment")?;
    let exact = digits.len() == 8 && digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    exact.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}
