//! Where a message ends (RFC 9112 section 6.3).

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body.
    None,
    /// Content-Length, this many bytes.
    Length(u64),
    /// The chunked transfer coding is the last one.
    Chunked,
    /// The body of a response ends with the connection.
    UntilClose,
    /// No HTTP after this head: a 101 response or a 2xx answer to CONNECT.
    Tunnel,
    /// The fields contradict each other: nobody can tell. An [`crate::Error`] follows.
    Undefined,
}
