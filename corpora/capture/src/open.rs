//! Tells by a file's first bytes what it is.

use crate::{Error, MAGIC, PacketError, Packets, Reader};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

type Source = Box<dyn Read + Send>;

/// A capture of one of the formats that are known here.
pub enum Input {
    Records(Box<Reader<Source>>),
    Packets(Box<Packets<Source>>),
}

/// Why a capture could not be opened; names the file.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is empty: was its recording ended early?", path.display())]
    Empty { path: PathBuf },
    #[error(
        "{} is no capture that can be read: it starts with {start:02x?}. Give a pcap or pcapng file, or a capture \
         written by --record", path.display()
    )]
    Unknown { path: PathBuf, start: Vec<u8> },
    #[error("{} is compressed with gzip: run gunzip on it first, or compress it with zstd", path.display())]
    Gzip { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Packets { path: PathBuf, source: PacketError },
    #[error("{}: {source}", path.display())]
    Records { path: PathBuf, source: Error },
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Opens a capture: pcap, pcapng (both also when compressed with zstd) or the native format.
///
/// # Errors
/// Says which file, and what is wrong with it.
pub fn open(path: &Path) -> Result<Input, OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut source = BufReader::with_capacity(1 << 18, file);
    let start = source.fill_buf().map_err(unreadable)?;
    let is_zstd = start.starts_with(&ZSTD);
    if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(source).map_err(unreadable)?;
        decoder.window_log_max(27).map_err(unreadable)?;
        read(path, BufReader::with_capacity(1 << 18, decoder))
    } else {
        read(path, source)
    }
}

fn read(path: &Path, mut source: impl BufRead + Send + 'static) -> Result<Input, OpenError> {
    let path = || path.to_owned();
    let start = source.fill_buf().map_err(|source| OpenError::Unreadable { path: path(), source })?;
    if start.is_empty() {
        return Err(OpenError::Empty { path: path() });
    }
    let start = start[..start.len().min(8)].to_vec();
    if Packets::<Source>::recognises(&start) {
        let source: Source = Box::new(source);
        let packets = Packets::new(source).map_err(|source| OpenError::Packets { path: path(), source })?;
        return Ok(Input::Packets(Box::new(packets)));
    }
    if MAGIC.starts_with(&start) || start.starts_with(&MAGIC) {
        let source: Source = Box::new(source);
        let records = Reader::new(source).map_err(|source| OpenError::Records { path: path(), source })?;
        return Ok(Input::Records(Box::new(records)));
    }
    if start.starts_with(&GZIP) {
        return Err(OpenError::Gzip { path: path() });
    }
    Err(OpenError::Unknown { path: path(), start })
}
