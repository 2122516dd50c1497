//! What went wrong, with whom, at which step.

use std::net::SocketAddr;
use std::time::Duration;

/// Why a step of a client, an origin or a wait failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Ours: the address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    /// The peer's: nobody there, or refused.
    #[error("cannot connect to {peer}: {source}")]
    Connect { peer: SocketAddr, source: std::io::Error },
    /// A step was not done in time.
    #[error("{who}: {step}: not done after {} ms", .after.as_millis())]
    Deadline {
        /// A peer's address, or `events`, or an origin's route.
        who: String,
        step: String,
        after: Duration,
    },
    /// The peer ended the connection before this step was done.
    #[error("{peer}: {step}: the peer {} the connection", verb(.how))]
    Closed { peer: SocketAddr, step: String, how: wire::Close },
    /// The response ended with fewer body bytes than were waited for.
    #[error("{peer}: {step}: the body ended after {got} bytes, {wanted} were waited for")]
    Short { peer: SocketAddr, step: String, got: u64, wanted: u64 },
    /// The connection failed in another way.
    #[error("{peer}: {step}: {source}")]
    Io { peer: SocketAddr, step: String, source: std::io::Error },
    /// The peer's bytes have no meaning as HTTP/1.
    #[error("{peer}: {step}: {source}")]
    Meaningless { peer: SocketAddr, step: String, source: wire::Error },
}

fn verb(how: &wire::Close) -> &'static str {
    match how {
        wire::Close::Fin => "closed",
        wire::Close::Reset => "reset",
        wire::Close::Lost => "lost",
    }
}
