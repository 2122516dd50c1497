//! A stored response: its head, and everything about it that later decisions need, parsed once.

use http::{HeaderMap, StatusCode};

use crate::Time;

/// The head of a stored response. Its content is kept by the edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) extent: Extent,
    pub(crate) request_time: Time,
    pub(crate) response_time: Time,
}

/// Which octets of the representation are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first stored octet.
    pub first: u64,
    /// How many octets are stored; `None` while the content is being received and its length was not announced.
    pub length: Option<u64>,
    /// Length of the whole representation, when known.
    pub complete: Option<u64>,
    /// The response is a part (206) of the representation.
    pub partial: bool,
}

impl Stored {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields as stored: end-to-end ones only.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The same response, with the length of the content that was received.
    pub fn with_length(mut self, octets: u64) -> Self {
        self.extent.length = Some(octets);
        if !self.extent.partial {
            self.extent.complete = Some(octets);
        }
        self
    }
}
