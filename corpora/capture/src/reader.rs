//! Reads a native capture.

use crate::Error;
use crate::part::{LAST, PartHeader, Parts, RESTART, WINDOW_LOG};
use crate::record::{Record, decode, is_known};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Read;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Most bytes of one record, unless [`Reader::limit`] says otherwise: 1 GiB.
const LIMIT: u64 = 1 << 30;

/// Most bytes of a record's head: the fields of four messages fit many times over.
const MAX_HEAD: usize = 16 << 20;

/// What a [`Reader`] has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Whole records, understood or not.
    pub records: u64,
    /// Where the last whole record ended, in bytes from the start of the file.
    pub offset: u64,
    /// Records of kinds that this build does not know, which were skipped, by kind.
    pub unknown: BTreeMap<u8, u64>,
    /// Records longer than the limit, which were skipped.
    pub oversized: u64,
}

/// Reads a native capture record by record. Records of unknown kinds are skipped and counted.
///
/// After an error that is not [local](Error::is_local) the reader is at its end.
pub struct Reader<R> {
    parts: Parts<R>,
    decoder: Decoder<'static>,
    /// Whether the decoder stands inside a frame that it has seen from its start.
    in_frame: bool,
    progress: Progress,
    limit: u64,
    ended: bool,
    plain: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the file's header. A source that is slow in small reads should be a [`std::io::BufReader`].
    ///
    /// # Errors
    /// Where it is no capture of this version.
    pub fn new(source: R) -> Result<Self, Error> {
        let parts = Parts::new(source)?;
        let io = |source| Error::Io { offset: 0, source };
        let mut decoder = Decoder::new().map_err(io)?;
        // A hostile frame cannot ask for more memory than the writer's window.
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(io)?;
        let progress = Progress { offset: parts.offset, ..Progress::default() };
        Ok(Reader {
            parts,
            decoder,
            in_frame: false,
            progress,
            limit: LIMIT,
            ended: false,
            plain: Vec::new(),
        })
    }

    /// Sets how many bytes a record may have; longer ones are skipped and counted.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// What was seen so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The next record of a known kind; `None` at the end.
    ///
    /// # Errors
    /// See [`Error`]. After one that [is local](Error::is_local) this can be called again.
    pub fn read(&mut self) -> Result<Option<Record>, Error> {
        while !self.ended {
            let start = self.parts.offset;
            let read = self.read_record();
            match read {
                Ok(None) => self.ended = true,
                Ok(Some(Raw { kind, content })) => {
                    self.progress.records += 1;
                    self.progress.offset = self.parts.offset;
                    match content {
                        Content::Unknown => *self.progress.unknown.entry(kind).or_default() += 1,
                        Content::Oversized => self.progress.oversized += 1,
                        Content::Known(assembly) => {
                            return assembly.finish(kind).map(Some).map_err(|what| Error::Malformed {
                                offset: start,
                                kind,
                                what,
                            });
                        }
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Err(match error {
                        // A torn part tears the record that it belongs to, from its first part on.
                        Error::Torn { offset, lost } => {
                            Error::Torn { offset: start, lost: lost + (offset - start) }
                        }
                        other => other,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Reads all parts of the next record.
    fn read_record(&mut self) -> Result<Option<Raw>, Error> {
        let start = self.parts.offset;
        let Some(mut header) = self.parts.next()? else { return Ok(None) };
        let kind = header.kind;
        let mut content = if is_known(kind) { Content::Known(Assembly::default()) } else { Content::Unknown };
        let mut length = 0;
        let mut at = start;
        loop {
            // Also what is not wanted is decompressed: what comes later may refer to it.
            self.decompress(&header, at)?;
            length += u64::from(header.plain);
            if let Content::Known(assembly) = &mut content
                && (length > self.limit || !assembly.add(&self.plain))
            {
                content = Content::Oversized;
            }
            if header.flags & LAST != 0 {
                return Ok(Some(Raw { kind, content }));
            }
            at = self.parts.offset;
            header = match self.parts.next()? {
                Some(next) if next.kind == kind => next,
                Some(_) => {
                    let what = "another record starts before the last part of one";
                    return Err(Error::Damaged { offset: at, what });
                }
                None => return Err(Error::Torn { offset: start, lost: at - start }),
            };
        }
    }

    /// Decompresses the part read last into `plain`.
    fn decompress(&mut self, header: &PartHeader, offset: u64) -> Result<(), Error> {
        let damaged = |what| Error::Damaged { offset, what };
        if header.flags & RESTART != 0 {
            self.decoder.reinit().map_err(|source| Error::Io { offset, source })?;
            self.in_frame = true;
        } else if !self.in_frame {
            return Err(damaged("a part refers to a compression frame that never started"));
        }
        // One byte more than promised shows a part that holds more than it says.
        self.plain.resize(header.plain as usize + 1, 0);
        let mut input = InBuffer::around(&self.parts.stored);
        let mut output = OutBuffer::around(&mut self.plain[..]);
        loop {
            let before = (input.pos(), output.pos());
            self.decoder
                .run(&mut input, &mut output)
                .map_err(|_| damaged("the compressed data of a part cannot be read"))?;
            if (input.pos(), output.pos()) == before || output.pos() == header.plain as usize + 1 {
                break;
            }
        }
        if output.pos() != header.plain as usize || input.pos() != self.parts.stored.len() {
            return Err(damaged("a part does not have the length that its header promises"));
        }
        self.plain.truncate(header.plain as usize);
        Ok(())
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, Error>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

struct Raw {
    kind: u8,
    content: Content,
}

enum Content {
    Known(Assembly),
    Unknown,
    Oversized,
}

/// A record's head and what follows it, as the parts come in.
#[derive(Default)]
struct Assembly {
    prefix: Vec<u8>,
    head: Vec<u8>,
    attached: Vec<u8>,
}

impl Assembly {
    /// Takes the bytes of one part; false where the head is longer than allowed.
    fn add(&mut self, mut bytes: &[u8]) -> bool {
        take(&mut self.prefix, &mut bytes, 4);
        let Some(length) = self.head_length() else { return true };
        if length > MAX_HEAD {
            return false;
        }
        take(&mut self.head, &mut bytes, length);
        self.attached.extend_from_slice(bytes);
        true
    }

    fn head_length(&self) -> Option<usize> {
        <[u8; 4]>::try_from(&self.prefix[..]).ok().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn finish(self, kind: u8) -> Result<Record, String> {
        if self.head_length() != Some(self.head.len()) {
            return Err("the record is shorter than its head".to_owned());
        }
        decode(kind, &self.head, Bytes::from(self.attached))
    }
}

/// Moves bytes from the front of `from` until `to` holds `length`.
fn take(to: &mut Vec<u8>, from: &mut &[u8], length: usize) {
    let (now, later) = from.split_at(from.len().min(length - to.len()));
    to.extend_from_slice(now);
    *from = later;
}
