//! Why a server did not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address} ({what}): {source}{}", hint(.source))]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("there is no address to listen on: name at least one")]
    NoListener,
    #[error("{given} addresses to listen on, {most} at most: listen on all with 0.0.0.0 and [::]")]
    TooManyListeners { given: usize, most: usize },
    #[error("{given} threads for {what}, {most} at most")]
    TooManyThreads { what: &'static str, given: usize, most: usize },
    #[error("cannot start a thread: {0}; raise the limit of processes, or lower the number of threads")]
    Thread(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl StartError {
    /// Somebody else listens there.
    pub fn in_use(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE: give it to the program, or choose a higher port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: add it first, or listen on all"
        }
        _ => "",
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("DNS over TLS is not configured: there is no certificate to replace")]
    NotConfigured,
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than 1 MiB: is it a certificate or key?", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds no certificate in PEM form (BEGIN CERTIFICATE)", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds a certificate that cannot be read: {why}", .path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("{} holds no private key in PEM form (BEGIN PRIVATE KEY): {why}", .path.display())]
    NoKey { path: PathBuf, why: String },
    #[error("the certificate in {} cannot be used with the key in {}: {source}", .certificate.display(), .key.display())]
    Unfit { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}
