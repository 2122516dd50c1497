//! What clients and origins are bounded by.

use crate::Clock;
use std::time::Duration;

/// Bounds and clock of a [`crate::Client`] or an [`crate::Origin`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a step may take, connecting, waiting for an event or for a message's next bytes; then it fails.
    /// Default 30 s.
    pub deadline: Duration,
    /// Bounds on what a peer sends. [`wire::Limits::keep_body`] says how much of each body is kept.
    pub limits: wire::Limits,
    /// First bytes of each direction of a client's connection kept as they came. Default 1 MiB.
    pub keep_raw: usize,
    /// Requests an origin remembers for each route; the oldest are forgotten. Default 10 000.
    pub records: usize,
    /// Body bytes an origin remembers for each route; over it only lengths and digests are. Default 64 MiB.
    pub record_bytes: usize,
    /// Connections an origin serves at once; further ones wait. Default 4096.
    pub connections: usize,
    /// Requests of one connection that may wait for an answer before the origin reads on. Default 256.
    pub pipelined: usize,
    /// How long an origin lets a connection without a request live. Default 5 minutes.
    pub idle: Duration,
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            deadline: Duration::from_secs(30),
            limits: wire::Limits::default(),
            keep_raw: 1 << 20,
            records: 10_000,
            record_bytes: 64 << 20,
            connections: 4096,
            pipelined: 256,
            idle: Duration::from_secs(300),
            clock: Clock::default(),
        }
    }
}

impl Settings {
    /// The defaults with another deadline.
    pub fn with_deadline(deadline: Duration) -> Self {
        Settings { deadline, ..Settings::default() }
    }
}
