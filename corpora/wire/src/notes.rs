//! From events to whole messages.

use crate::{Anomaly, Close, Error, Event, Extension, Framing, Head, Limits};
use bytes::Bytes;
use exchange::{Request, Response, Seen};

/// What an [`exchange`] message has no place for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Notes {
    /// The head's exact bytes.
    pub raw_head: Bytes,
    /// Exact bytes of the heads of the interim responses before it.
    pub raw_interim: Vec<Bytes>,
    /// The trailer section's exact bytes; empty where there is none.
    pub raw_trailers: Bytes,
    /// `None` where there was no head.
    pub framing: Option<Framing>,
    /// Of head, interim heads, body and trailers, without repetition.
    pub anomalies: Vec<Anomaly>,
    /// Chunks with data.
    pub chunks: u64,
    pub extensions: Vec<Extension>,
    /// All bytes of the message, interim responses included.
    pub wire_length: u64,
    /// Bytes of another protocol that followed it.
    pub tunnel: u64,
    /// Why its direction could not be parsed further.
    pub error: Option<Error>,
    /// How its direction ended, where that is what ended this message, or kept it from coming.
    pub closed: Option<Close>,
}

/// A message assembled from the [`Event`]s of one direction, its body hashed and kept up to `keep_body`.
#[derive(Debug)]
pub struct Assembler {
    _limits: Limits,
}

impl Assembler {
    pub fn new(limits: &Limits) -> Self {
        Assembler { _limits: limits.clone() }
    }

    /// Takes in an event.
    pub fn add(&mut self, _event: &Event) {}

    /// The head of the final message, once it is here.
    pub fn head(&self) -> Option<&Head> {
        None
    }

    /// Whether the final message has ended.
    pub fn is_complete(&self) -> bool {
        false
    }

    /// The message so far as a request; `None` where no request head was seen.
    pub fn into_request(self, _seen: Seen) -> (Option<Request>, Notes) {
        (None, Notes::default())
    }

    /// The message so far as a response with its interim ones; `None` where no final response head was seen.
    pub fn into_response(self, _seen: Seen) -> (Option<Response>, Notes) {
        (None, Notes::default())
    }
}
