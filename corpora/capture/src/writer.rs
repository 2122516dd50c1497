//! Appends records to a native capture.

use crate::part::{FILE_HEADER, LAST, MAX_PART, PART_HEADER, PartHeader, Parts, RESTART, WINDOW_LOG};
use crate::record::{Record, encode};
use crate::{Error, part};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

/// After this many bytes a new compression frame starts, so that damage costs no more than what depends on it.
const FRAME: u64 = 4 << 20;

/// Fast enough to keep up with live traffic.
const LEVEL: i32 = 3;

/// Writes a native capture. Each record is handed to the destination as a whole when [`Writer::write`] returns:
/// a destination that does not buffer can be cut at any moment and read up to the last record.
pub struct Writer<W> {
    destination: W,
    encoder: Encoder<'static>,
    /// Bytes in the present compression frame; `None` where the next part must start one.
    in_frame: Option<u64>,
    plain: Vec<u8>,
    out: Vec<u8>,
    offset: u64,
    failed: bool,
}

/// What [`Writer::append`] found at the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Whole records that the file held.
    pub records: u64,
    /// Bytes of a torn record that were cut off its end.
    pub cut: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a capture: writes the file's header.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn new(mut destination: W) -> io::Result<Self> {
        destination.write_all(&part::file_header())?;
        Self::after(destination, FILE_HEADER as u64)
    }

    fn after(destination: W, offset: u64) -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Writer {
            destination,
            encoder,
            in_frame: None,
            plain: Vec::with_capacity(MAX_PART),
            out: Vec::new(),
            offset,
            failed: false,
        })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// Those of the destination. After one, nothing more can be written: the file may hold half a record, which
    /// [`Writer::append`] cuts off.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write to this capture failed"));
        }
        let (head, attached) = encode(record).map_err(io::Error::other)?;
        self.write_pieces(record.kind(), &head, &attached).inspect_err(|_| self.failed = true)
    }

    fn write_pieces(&mut self, kind: u8, head: &[u8], attached: &[bytes::Bytes]) -> io::Result<()> {
        let length =
            u32::try_from(head.len()).map_err(|_| io::Error::other("a record's head is too long"))?;
        let length = length.to_le_bytes();
        self.plain.clear();
        for piece in [&length[..], head].into_iter().chain(attached.iter().map(|b| &b[..])) {
            let mut piece = piece;
            while !piece.is_empty() {
                if self.plain.len() == MAX_PART {
                    self.write_part(kind, 0)?;
                }
                let (now, later) = piece.split_at(piece.len().min(MAX_PART - self.plain.len()));
                self.plain.extend_from_slice(now);
                piece = later;
            }
        }
        self.write_part(kind, LAST)
    }

    fn write_part(&mut self, kind: u8, mut flags: u8) -> io::Result<()> {
        if self.in_frame.is_none_or(|bytes| bytes > FRAME) {
            self.encoder.reinit()?;
            self.in_frame = Some(0);
            flags |= RESTART;
        }
        self.in_frame = self.in_frame.map(|bytes| bytes + self.plain.len() as u64);
        self.out.clear();
        self.out.resize(PART_HEADER, 0);
        self.compress()?;
        let stored = &self.out[PART_HEADER..];
        let header = PartHeader {
            kind,
            flags,
            // Both are at most MAX_STORED.
            stored: stored.len() as u32,
            plain: self.plain.len() as u32,
            crc: crc32fast::hash(stored),
        };
        self.out[..PART_HEADER].copy_from_slice(&header.to_bytes());
        self.destination.write_all(&self.out)?;
        self.offset += self.out.len() as u64;
        self.plain.clear();
        Ok(())
    }

    /// Appends `plain`, compressed and flushed, to `out`.
    fn compress(&mut self) -> io::Result<()> {
        self.out.reserve(zstd::zstd_safe::compress_bound(self.plain.len()) + 64);
        let mut input = InBuffer::around(&self.plain);
        while input.pos() < self.plain.len() {
            let at = self.out.len();
            if at == self.out.capacity() {
                self.out.reserve(4096);
            }
            let mut output = OutBuffer::around_pos(&mut self.out, at);
            self.encoder.run(&mut input, &mut output)?;
        }
        loop {
            let at = self.out.len();
            if at == self.out.capacity() {
                self.out.reserve(4096);
            }
            let mut output = OutBuffer::around_pos(&mut self.out, at);
            if self.encoder.flush(&mut output)? == 0 {
                return Ok(());
            }
        }
    }

    /// Bytes written so far, the file's header included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Flushes the destination.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }

    /// Flushes, and gives the destination back.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish(mut self) -> io::Result<W> {
        self.destination.flush()?;
        Ok(self.destination)
    }
}

impl Writer<File> {
    /// Opens a capture to add to it, or starts one where there is no file or an empty one. A record that was torn
    /// at the end by a crash is cut off.
    ///
    /// # Errors
    /// Where the file cannot be opened, is no capture, or is damaged elsewhere than at its end: cutting it there
    /// would throw whole records away.
    pub fn append(path: &Path) -> Result<(Self, Recovery), Error> {
        let io = |source| Error::Io { offset: 0, source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let (records, end) = match whole(&file) {
            Err(Error::Empty) => (0, 0),
            Err(Error::Torn { offset: 0, .. }) => (0, 0),
            other => other?,
        };
        let length = file.metadata().map_err(io)?.len();
        file.set_len(end).map_err(io)?;
        file.seek(SeekFrom::Start(end)).map_err(io)?;
        let writer = if end == 0 { Writer::new(file) } else { Writer::after(file, end) };
        Ok((writer.map_err(io)?, Recovery { records, cut: length - end }))
    }

    /// Makes sure that what was written is on the disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.destination.sync_data()
    }
}

/// How many whole records a file holds, and where the last of them ends.
fn whole(file: &File) -> Result<(u64, u64), Error> {
    let mut parts = Parts::new(BufReader::new(file))?;
    let (mut records, mut end) = (0, parts.offset);
    loop {
        match parts.next() {
            Ok(Some(header)) if header.flags & LAST != 0 => (records, end) = (records + 1, parts.offset),
            Ok(Some(_)) => {}
            Ok(None) | Err(Error::Torn { .. }) => return Ok((records, end)),
            Err(error) => return Err(error),
        }
    }
}
