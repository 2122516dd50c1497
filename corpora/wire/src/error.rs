//! Why bytes have no meaning as HTTP/1.

use bytes::Bytes;

/// Why a direction could not be parsed further, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}{}", quoted(.near))]
pub struct Error {
    pub kind: ErrorKind,
    /// Offset from the first byte pushed in this direction.
    pub offset: u64,
    /// The bytes in question, at most [`Error::NEAR`] of them.
    pub near: Bytes,
}

impl Error {
    /// How many bytes [`Error::near`] has at most.
    pub const NEAR: usize = 80;
}

fn quoted(bytes: &Bytes) -> String {
    if bytes.is_empty() {
        String::new()
    } else {
        format!(", near {:?}", exchange::escape(&exchange::Secrets::Withheld.text(bytes)))
    }
}

/// What has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    #[error("this is no HTTP/1 request line")]
    RequestLine,
    #[error("this is no HTTP/1 status line")]
    StatusLine,
    #[error("this is an HTTP/2 connection preface (RFC 9113 section 3.4)")]
    Http2,
    #[error("Content-Length lines that differ (RFC 9112 section 6.3)")]
    DifferingContentLength,
    #[error("a Content-Length that is no number, or too large (RFC 9112 section 6.3)")]
    BadContentLength,
    #[error("a request whose Transfer-Encoding does not end in chunked (RFC 9112 section 6.3)")]
    RequestNotChunked,
    #[error("this is no chunk size (RFC 9112 section 7.1)")]
    BadChunkSize,
    #[error("a chunk longer than its size (RFC 9112 section 7.1)")]
    BadChunkEnd,
    /// A bound of [`crate::Limits`] was passed; the name says which field.
    #[error("over the limit `{0}`")]
    Limit(&'static str),
}
