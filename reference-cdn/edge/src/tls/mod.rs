//! TLS towards clients (RFC 8446, RFC 5246), with `rustls`: certificates chosen by name and replaced while serving, ALPN
//! for HTTP/2 and HTTP/1.1, a bound on handshakes under way and on how long each takes. No early data (0-RTT): what a
//! replayed request does is not ours to know.

pub mod accept;
pub mod certificates;
mod names;
mod validity;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{HeadError, RequestHead};
pub use certificates::{Certificates, TlsError};
pub use names::Names;

/// A TLS listener.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub listen: SocketAddr,
    /// The first is shown to clients that name no host, or one that none of them covers.
    pub certificates: Vec<CertificateFiles>,
    pub limits: TlsLimits,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// PEM: its private key; `None` if that is in the same file.
    pub key: Option<PathBuf>,
}

/// What a client may cost before it is known to speak TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsLimits {
    /// Handshakes under way at once; further connections wait within `handshake_time`.
    pub handshakes: usize,
    /// How long a handshake may take, waiting included.
    pub handshake_time: Duration,
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self { handshakes: 256, handshake_time: Duration::from_secs(10) }
    }
}

/// What a handshake proved to the client: whom the certificate it was shown speaks for.
#[derive(Clone, Debug)]
pub struct Secured(pub Arc<Names>);

/// RFC 9110 section 7.4: a request for an https URI is answered only where the connection's certificate is for its host.
/// HTTP/2 clients send requests for several hosts on one connection (RFC 9113 section 9.1.1), and are told with 421
/// which of them they have to ask elsewhere.
///
/// # Errors
/// Where it is not, or (in HTTP/1.0) no host is named.
pub fn admit(head: &RequestHead, secured: Option<&Secured>) -> Result<(), HeadError> {
    let Some(Secured(names)) = secured else { return Ok(()) };
    let authority = head.target.authority().ok_or(HeadError::HostMissing)?;
    if names.cover(authority.host()) { Ok(()) } else { Err(HeadError::Misdirected) }
}
