//! Byte layout of the native format: the file's header, and the parts that records are cut into.
//!
//! ```text
//!  file    0        8       10      12       16
//!          | magic  | version | zero  | crc32  | parts…
//!
//!  part    0      1       2      4        8       12      16       20
//!          | kind | flags | zero | stored | plain | crc32 | crc32  | stored bytes…
//!                                  length  length  of data of 0..16
//! ```
//! All integers are little-endian. `FORMAT.md` says what they mean.

use crate::Error;
use std::io::{self, Read};

/// The first eight bytes of a native capture. The first is no ASCII and the line ends show a transfer in text mode.
pub const MAGIC: [u8; 8] = *b"\x93EXCH\r\n\x1a";

/// The format version that this crate reads and writes.
pub const VERSION: u16 = 1;

/// Most bytes that one part holds before compression. A longer record has several parts.
pub const MAX_PART: usize = 1 << 20;

/// Most bytes that one part holds after compression: data that cannot be compressed grows a little.
pub(crate) const MAX_STORED: usize = MAX_PART + (MAX_PART >> 6);

/// Base-two logarithm of the compressor's window: what a reader must keep in memory.
pub(crate) const WINDOW_LOG: u32 = 20;

pub(crate) const FILE_HEADER: usize = 16;
pub(crate) const PART_HEADER: usize = 20;

/// A compression frame starts with this part: nothing before it is needed to read it.
pub(crate) const RESTART: u8 = 1;
/// The record ends with this part.
pub(crate) const LAST: u8 = 2;

/// The header of a file of this version.
pub(crate) fn file_header() -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The header of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartHeader {
    pub kind: u8,
    pub flags: u8,
    pub stored: u32,
    pub plain: u32,
    pub crc: u32,
}

impl PartHeader {
    pub fn to_bytes(self) -> [u8; PART_HEADER] {
        let mut bytes = [0; PART_HEADER];
        bytes[0] = self.kind;
        bytes[1] = self.flags;
        bytes[4..8].copy_from_slice(&self.stored.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.plain.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; PART_HEADER]) -> Result<Self, &'static str> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(16) != crc32fast::hash(&bytes[..16]) {
            return Err("the header's checksum is wrong");
        }
        let header =
            PartHeader { kind: bytes[0], flags: bytes[1], stored: word(4), plain: word(8), crc: word(12) };
        if header.stored as usize > MAX_STORED || header.plain as usize > MAX_PART {
            return Err("a part is longer than the format allows");
        }
        Ok(header)
    }
}

/// Reads the parts of a capture one after the other and verifies their checksums.
pub(crate) struct Parts<R> {
    source: R,
    /// Where the next part starts.
    pub offset: u64,
    /// The stored bytes of the part read last.
    pub stored: Vec<u8>,
}

impl<R: Read> Parts<R> {
    /// Reads the file's header.
    pub fn new(mut source: R) -> Result<Self, Error> {
        let mut header = [0; FILE_HEADER];
        let got = fill(&mut source, &mut header).map_err(|source| Error::Io { offset: 0, source })?;
        if got == 0 {
            return Err(Error::Empty);
        }
        let magic = got.min(MAGIC.len());
        if header[..magic] != MAGIC[..magic] {
            return Err(Error::NotCapture { found: header[..magic].to_vec() });
        }
        if got < FILE_HEADER {
            return Err(Error::Torn { offset: 0, lost: got as u64 });
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if header[12..] != crc32fast::hash(&header[..12]).to_le_bytes() {
            return Err(Error::Damaged { offset: 0, what: "the file header's checksum is wrong" });
        }
        if version != VERSION {
            return Err(Error::Version { found: version });
        }
        Ok(Parts { source, offset: FILE_HEADER as u64, stored: Vec::new() })
    }

    /// The next part's header, with its bytes in `self.stored`; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<PartHeader>, Error> {
        let io = |offset| move |source| Error::Io { offset, source };
        let mut header = [0; PART_HEADER];
        let got = fill(&mut self.source, &mut header).map_err(io(self.offset))?;
        if got == 0 {
            return Ok(None);
        }
        if header == [0; PART_HEADER] {
            // Some file systems leave zeros where a crash kept data from being written.
            let zeros = self.zeros_to_the_end().map_err(io(self.offset))?;
            return Err(match zeros {
                Some(more) => Error::Torn { offset: self.offset, lost: got as u64 + more },
                None => Error::Damaged { offset: self.offset, what: "zeros stand where a part should start" },
            });
        }
        if got < PART_HEADER {
            return Err(Error::Torn { offset: self.offset, lost: got as u64 });
        }
        let damaged = |what| Error::Damaged { offset: self.offset, what };
        let header = PartHeader::from_bytes(&header).map_err(damaged)?;
        // At most MAX_STORED, and the checksum held: not the word of a stray byte.
        self.stored.resize(header.stored as usize, 0);
        let got = fill(&mut self.source, &mut self.stored).map_err(io(self.offset))?;
        if got < self.stored.len() {
            return Err(Error::Torn { offset: self.offset, lost: (PART_HEADER + got) as u64 });
        }
        if crc32fast::hash(&self.stored) != header.crc {
            return Err(damaged("the checksum of a part's data is wrong"));
        }
        self.offset += (PART_HEADER + self.stored.len()) as u64;
        Ok(Some(header))
    }

    /// How many bytes are left, where all of them are zero.
    fn zeros_to_the_end(&mut self) -> io::Result<Option<u64>> {
        let mut buffer = [0; 4096];
        let mut count = 0;
        loop {
            match fill(&mut self.source, &mut buffer)? {
                0 => return Ok(Some(count)),
                got if buffer[..got].iter().all(|&b| b == 0) => count += got as u64,
                _ => return Ok(None),
            }
        }
    }
}

/// Reads until `buffer` is full or the source ends; says how many bytes there were.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
