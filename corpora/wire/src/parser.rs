//! One direction of an HTTP/1 connection.

use crate::{Anomaly, Error, Head, Limits};
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

/// What a [`Parser`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins. Interim responses have a head and an end of their own.
    Head(Box<Head>),
    /// Bytes of the body, transfer coding removed.
    Body { bytes: Bytes, time: Time },
    /// The trailer section, where there is one that is not empty.
    Trailers(Trailers),
    /// The message ended, as promised or not.
    End(MessageEnd),
    /// Bytes of another protocol, after a message with [`crate::Framing::Tunnel`].
    Tunnel { bytes: Bytes, time: Time },
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
    /// After an error, or before a start was found when looking for one.
    pub discarded: u64,
    /// Not parsed yet.
    pub waiting: u64,
}

/// Parses one direction of a connection: push bytes, take events until there are none.
///
/// Cutting the same bytes differently gives the same events, except for the boundaries between
/// [`Event::Body`]s and the times.
///
/// After a request with CONNECT or Upgrade a request parser cannot know whether HTTP goes on. It then waits, see
/// [`Parser::awaits_switch`].
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
}

impl Parser {
    /// A parser for what a client sends.
    pub fn requests(limits: Limits) -> Self {
        Parser { limits }
    }

    /// A parser for what a server sends. Tell it of each request with [`Parser::expect`].
    pub fn responses(limits: Limits) -> Self {
        Parser { limits }
    }

    /// The next response that nothing was said about yet answers this request. Where nothing is said, a response
    /// is read as the answer to a GET, with [`Anomaly::Unsolicited`].
    pub fn expect(&mut self, _asked: Asked) {}

    /// Bytes have come. Take all events before pushing more, else they pile up.
    pub fn push(&mut self, _now: Time, _bytes: impl Into<Bytes>) {}

    /// The direction has ended: what is unfinished ends now. Later pushes are ignored.
    pub fn finish(&mut self, _now: Time, _how: Close) {}

    /// Bytes are missing here, or before here: ends what is unfinished as [`Ending::Truncated`], then discards
    /// bytes until something looks like the start of a message.
    pub fn resync(&mut self, _now: Time) {}

    /// Whether a request that may end HTTP on this connection has ended, and bytes after it wait for
    /// [`Parser::switch`].
    pub fn awaits_switch(&self) -> bool {
        false
    }

    /// Says what follows a request with CONNECT or Upgrade: another protocol, or further requests.
    pub fn switch(&mut self, _to_tunnel: bool) {}

    /// The next event, if the bytes so far give one. After an error there are no more.
    ///
    /// # Errors
    /// The bytes have no meaning; a message under way has got its [`Event::End`] before.
    pub fn next_event(&mut self) -> Option<Result<Event, Error>> {
        let _ = &self.limits;
        None
    }

    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
