//! What a parser finds, and what it is told.

use crate::{Anomaly, Error, Head};
use bytes::Bytes;
use exchange::{Ending, Fields, Time};

/// How a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// The sender closed it (TCP FIN).
    Fin,
    /// It was reset (TCP RST).
    Reset,
    /// The capture stopped, or bytes are missing from it.
    Lost,
}

/// What a [`crate::Parser`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins. Interim responses have a head and an end of their own.
    Head(Box<Head>),
    /// Bytes of the body, transfer coding removed.
    Body { bytes: Bytes, time: Time },
    /// The trailer section, where there is one that is not empty.
    Trailers(Trailers),
    /// The message ended, as promised or not. Each head has exactly one.
    End(MessageEnd),
    /// Bytes of another protocol, after a message with [`crate::Framing::Tunnel`].
    Tunnel { bytes: Bytes, time: Time },
    /// The direction ended, or bytes are missing, inside a head; these are its bytes.
    PartialHead { raw: Bytes, start: Time, time: Time },
    /// After [`crate::Parser::resync`], what looks like the start of a message; `skipped` bytes lay before it.
    Resumed { skipped: u64, time: Time },
}

/// A trailer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailers {
    pub fields: Fields,
    /// The exact bytes, the empty line at the end included.
    pub raw: Bytes,
}

/// The end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEnd {
    pub ending: Ending,
    /// When its last byte was seen, or what cut it short.
    pub time: Time,
    /// What was odd after the head.
    pub anomalies: Vec<Anomaly>,
    /// Chunks with data.
    pub chunks: u64,
    pub extensions: Vec<Extension>,
    /// All bytes of the message: head, body with its chunk framing, trailers.
    pub wire_length: u64,
    /// How the direction ended, where that is what ended the message.
    pub closed: Option<Close>,
    /// What has no meaning, where that is what ended the message.
    pub error: Option<Error>,
}

/// Chunk extensions (RFC 9112 section 7.1.1) of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Body bytes before this chunk.
    pub at: u64,
    /// From the semicolon to the line's end, which is left out.
    pub raw: Bytes,
}

/// What a response parser must know about a request to tell where its response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Asked {
    /// HEAD: the response has no body.
    pub head: bool,
    /// CONNECT: after a 2xx response comes a tunnel.
    pub connect: bool,
    /// HTTP/0.9: the response is a body and nothing else.
    pub http09: bool,
}

impl Asked {
    pub fn by(head: &Head) -> Self {
        Asked { http09: head.version == exchange::Version::Http09, ..Asked::with_method(head.method()) }
    }

    /// By an HTTP/1 request with this method; methods are case-sensitive.
    pub fn with_method(method: &[u8]) -> Self {
        Asked { head: method == b"HEAD", connect: method == b"CONNECT", http09: false }
    }
}

/// Where each pushed byte went; `pushed` is the sum of all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    pub pushed: u64,
    /// Heads and the blank lines before them.
    pub heads: u64,
    /// Body bytes after transfer decoding.
    pub bodies: u64,
    /// Chunk framing and trailers.
    pub framing: u64,
    pub tunnel: u64,
    /// In or after what has no meaning, in heads cut short, before a start was found when looking for one.
    pub discarded: u64,
    /// Not parsed yet.
    pub waiting: u64,
}

impl Counts {
    /// Whether every byte is accounted for.
    pub fn balance(&self) -> bool {
        self.pushed == self.heads + self.bodies + self.framing + self.tunnel + self.discarded + self.waiting
    }
}
