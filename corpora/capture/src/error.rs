//! What can be wrong with a native capture.

use std::io;
use thiserror::Error;

/// Why a native capture, or a record of it, could not be read. Offsets are in bytes from the start of the file.
#[derive(Debug, Error)]
pub enum Error {
    #[error("reading the capture failed at byte {offset}: {source}")]
    Io { offset: u64, source: io::Error },

    #[error("the file is empty: a capture starts with a header of 16 bytes; was its recording ended early?")]
    Empty,

    #[error("not a native capture: it starts with {found:02x?}")]
    NotCapture { found: Vec<u8> },

    #[error(
        "the capture has format version {found}; this build reads version {}: use a newer build",
        crate::VERSION
    )]
    Version { found: u16 },

    /// The file ends inside a record: its recording was cut short. All records before were read.
    #[error(
        "the capture ends within a record: what comes before byte {offset} is whole, the rest ({lost} bytes) is lost"
    )]
    Torn { offset: u64, lost: u64 },

    /// Bytes were changed since they were written. What follows cannot be trusted and is not read.
    #[error("the capture is damaged at byte {offset}: {what}; what comes before is whole")]
    Damaged { offset: u64, what: &'static str },

    /// A whole record that does not hold what its kind says. Reading can go on with the next one.
    #[error("the record of kind {kind} at byte {offset} cannot be understood: {what}")]
    Malformed { offset: u64, kind: u8, what: String },
}

impl Error {
    /// Whether reading can go on after this error.
    pub fn is_local(&self) -> bool {
        matches!(self, Error::Malformed { .. })
    }
}
