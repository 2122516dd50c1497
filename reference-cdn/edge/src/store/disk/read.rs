//! Reads records, and believes nothing that its checksum does not vouch for.

use std::io;
use std::sync::Arc;

use http_cache::{Key, Stored};

use super::files::{File, read_exact, read_most};
use super::layout::{Place, RecordHeader, Texts, block_octets, verify_block};
use super::shared::Shared;
use crate::store::block::BLOCK;

/// Read at first: header and texts of nearly all records, and all of the small ones.
const FIRST: usize = 8 * 1024;
/// Blocks read at once.
const BLOCKS: u64 = 4;

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a record on disk is not what was written")]
    Bad,
    #[error("the segment is no more")]
    Moved,
    #[error("the record is another key's")]
    Other,
    #[error("a purge may have taken it")]
    Purged,
}

impl Unreadable {
    /// Counts and tells it, if it is a fault.
    pub fn note(&self, shared: &Shared, place: Place) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = &shared.counters;
        let counter = match self {
            Self::Io(_) => &counters.read_errors,
            Self::Bad => &counters.bad_records,
            Self::Moved | Self::Other | Self::Purged => return,
        };
        // A disk that fails, fails often: powers of two are told.
        if (counter.fetch_add(1, Relaxed) + 1).is_power_of_two() {
            let file = shared.files.path().join(super::layout::file_name(place.segment));
            tracing::error!(file = %file.display(), offset = place.offset, error = %self, "a stored response cannot be used; it is dropped");
        }
    }
}

/// A record: its header and texts, verified, and the beginning of its content, which is not yet.
#[derive(Debug)]
pub struct Record {
    pub header: RecordHeader,
    file: Arc<dyn File>,
    /// From the beginning of the record on; at least header and texts.
    octets: Vec<u8>,
}

impl Record {
    /// Reads a record. `octets`: how many it has, if that is known; else 0.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written there.
    pub fn read(
        shared: &Shared,
        file: &Arc<dyn File>,
        place: Place,
        octets: u32,
    ) -> Result<Self, Unreadable> {
        let first = if octets == 0 { FIRST } else { FIRST.min(octets as usize) };
        let mut buffer = vec![0; first];
        let filled = read_most(&**file, &mut buffer, place.offset.into())?;
        buffer.truncate(filled);
        let header = RecordHeader::read(&buffer, place).ok_or(Unreadable::Bad)?;
        if octets != 0 && header.octets() != u64::from(octets) {
            return Err(Unreadable::Bad);
        }
        let head = header.head_octets();
        if buffer.len() < head {
            let start = buffer.len();
            buffer.resize(head, 0);
            read_exact(&**file, &mut buffer[start..], u64::from(place.offset) + start as u64)?;
        }
        header.verify(shared.seed, &buffer).ok_or(Unreadable::Bad)?;
        Ok(Self { header, file: Arc::clone(file), octets: buffer })
    }

    pub fn texts(&self) -> Texts<'_> {
        let at = super::layout::RECORD_HEADER;
        let piece = |start: usize, length: usize| self.octets.get(start..start + length).unwrap_or_default();
        let header = &self.header;
        let (key, head) = (at + header.customer, at + header.customer + header.key);
        Texts {
            customer: piece(at, header.customer),
            key: piece(key, header.key),
            head: piece(head, header.head),
            trailers: piece(head + header.head, header.trailers),
        }
    }

    /// Whose response it is, under which key, with which head.
    ///
    /// # Errors
    /// When these are not what anybody wrote.
    pub fn response(&self) -> Result<(&str, Key, Stored), Unreadable> {
        let texts = self.texts();
        let text = |octets| std::str::from_utf8(octets).map_err(|_| Unreadable::Bad);
        let stored = Stored::decode(texts.head).map_err(|_| Unreadable::Bad)?;
        Ok((text(texts.customer)?, Key::from_text(text(texts.key)?), stored))
    }

    /// The whole of it was read with its beginning.
    pub fn is_whole(&self) -> bool {
        self.octets.len() as u64 >= self.header.octets()
    }

    /// Gives the content, block by block, each verified; `false` from `take` ends it.
    ///
    /// # Errors
    /// When a block cannot be read, or is not what was written.
    pub fn each_block(&self, shared: &Shared, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Unreadable> {
        let header = &self.header;
        let count = header.content.div_ceil(BLOCK as u64);
        let mut at = header.head_octets();
        let mut position = 0;
        let mut buffer = Vec::new();
        while position < count {
            let many = BLOCKS.min(count - position);
            let octets: usize =
                (position..position + many).map(|one| block_octets(header.content, one)).sum();
            let read = match self.octets.get(at..at + octets) {
                Some(read) => read,
                None => {
                    buffer.resize(octets, 0);
                    read_exact(&*self.file, &mut buffer, u64::from(header.place.offset) + at as u64)?;
                    &buffer[..]
                }
            };
            let mut from = 0;
            for one in position..position + many {
                let length = block_octets(header.content, one);
                let block = read.get(from..from + length).unwrap_or_default();
                let content = verify_block(shared.seed, header, one, block).ok_or(Unreadable::Bad)?;
                if !take(content) {
                    return Ok(());
                }
                from += length;
            }
            at += octets;
            position += many;
        }
        Ok(())
    }

    /// All blocks.
    ///
    /// # Errors
    /// As [`Self::each_block`].
    pub fn blocks(&self, shared: &Shared) -> Result<Vec<Vec<u8>>, Unreadable> {
        let mut blocks = Vec::new();
        self.each_block(shared, |content| {
            blocks.push(content.to_vec());
            true
        })?;
        Ok(blocks)
    }
}
