//! What a server is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most addresses that a server listens on: threads wait for this many sockets at most.
pub const MOST_LISTEN: usize = 64;
/// Most threads of either kind.
pub const MOST_THREADS: usize = 256;

#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for UDP and TCP. With port 0, one that is free for both.
    pub listen: Vec<SocketAddr>,
    pub tls: Option<TlsConfig>,
    pub udp: UdpConfig,
    pub streams: StreamConfig,
}

#[derive(Clone, Copy, Debug)]
pub struct UdpConfig {
    /// Threads, each with a socket of its own for each address; 0, one for each core that the process may use.
    pub threads: usize,
    /// Datagrams taken from the kernel at once, 1 to 64. More save calls under load and cost memory; they never wait for each
    /// other.
    pub batch: usize,
    /// Octets of a socket's receive buffer: what comes while its thread answers others waits there, and is lost when it is full. The system
    /// caps it (`net.core.rmem_max`), unless the process may administer the network.
    pub receive_buffer: usize,
    /// Octets of a socket's send buffer.
    pub send_buffer: usize,
    /// Keep each thread on a core of its own.
    pub pin: bool,
}

/// DNS over TLS (RFC 7858).
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub listen: Vec<SocketAddr>,
    /// PEM: the server's certificate first, then those that vouch for it.
    pub certificate: PathBuf,
    /// PEM; may be the same file.
    pub key: PathBuf,
    /// How long a handshake may take.
    pub handshake: Duration,
}

/// Limits on TCP and TLS. All connections count together.
#[derive(Clone, Copy, Debug)]
pub struct StreamConfig {
    /// Threads for all connections.
    pub threads: usize,
    /// Connections at once. When one more comes, the one that has been idle for longest is closed.
    pub connections: usize,
    /// Connections at once of one client (an IPv4 address, or an IPv6 network of 64 bits), likewise.
    pub per_client: usize,
    /// Queries on one connection; it is closed after the last answer.
    pub queries: u32,
    /// Longest query in octets.
    pub longest_query: usize,
    /// How long a connection may be without a query (RFC 7766 section 6.2.3).
    pub idle: Duration,
    /// How long one query may take from its first octet to its last.
    pub read: Duration,
    /// How long a client may take to accept answers that wait for it.
    pub write: Duration,
    /// How long a connection may last.
    pub total: Duration,
    /// Connections that the kernel may hold for us.
    pub backlog: i32,
    /// Octets of each connection's buffers in the kernel, either way.
    pub buffer: usize,
    /// Octets of answers that wait for slow readers, all connections together. Who would take more is closed.
    pub pending: usize,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self { threads: 0, batch: 64, receive_buffer: 4 << 20, send_buffer: 1 << 20, pin: false }
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            threads: 1,
            connections: 10_000,
            per_client: 100,
            queries: 100_000,
            longest_query: 4096,
            idle: Duration::from_secs(10),
            read: Duration::from_secs(5),
            write: Duration::from_secs(5),
            total: Duration::from_secs(3600),
            backlog: 1024,
            buffer: 64 << 10,
            pending: 64 << 20,
        }
    }
}

impl Config {
    /// Listens on these, and is as by default otherwise.
    pub fn listening(listen: Vec<SocketAddr>) -> Self {
        Self { listen, tls: None, udp: UdpConfig::default(), streams: StreamConfig::default() }
    }
}
