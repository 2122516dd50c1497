//! The answer to a client.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// Head of a response to a client, and the part of the content that goes with it. Content-Length is among the
/// fields when it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Selection,
}

/// Which octets of a representation are sent. Offsets count from the start of the representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No content (HEAD, 204, 304, 416).
    None,
    /// All the content there is.
    Whole,
    /// These octets.
    Range(Range<u64>),
    /// multipart/byteranges: each part's head, then its octets; at the end `close`.
    Multipart { parts: Vec<Part>, close: Bytes },
}

/// One part of a multipart/byteranges response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Delimiter and fields up to and including the empty line.
    pub head: Bytes,
    pub range: Range<u64>,
}
