//! Between the sockets and what answers: one query in, at most one response out.

use std::net::{IpAddr, SocketAddr};

/// Longest DNS message (RFC 1035 section 4.2.2).
pub const LONGEST_MESSAGE: usize = 65_535;

/// What time it is, as a shell read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970, for cookies and signatures.
    pub unix: u64,
    /// Milliseconds of a clock that never goes back, for rates.
    pub monotonic: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
}

/// A query as it came from the network.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub now: Now,
    pub peer: SocketAddr,
    /// The address that was asked.
    pub local: IpAddr,
    pub transport: Transport,
    /// The message, without the length that comes before it on a stream.
    pub query: &'a [u8],
}

/// Answers queries. Each thread has its own, so nothing is shared on the way of a query.
pub trait Respond: Send {
    /// Writes the response into `response` and returns its length; `None` when there must be none. `response` has room for
    /// the longest UDP response at least, and for [`LONGEST_MESSAGE`] on a stream.
    fn respond(&mut self, asked: &Asked<'_>, response: &mut [u8]) -> Option<usize>;

    /// Takes what is new, such as a newer map. Called before each batch of queries, on the thread that answers them: it must
    /// not wait for anybody.
    fn refresh(&mut self) {}
}
