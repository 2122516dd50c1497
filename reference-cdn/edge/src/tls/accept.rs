//! Makes a TLS connection of a TCP connection.

use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Certificates, Secured, TlsLimits};
use crate::limits::Limit;
use crate::metrics::Metrics;

/// What all handshakes of a listener share.
#[derive(Clone, Debug)]
pub struct Handshakes {
    certificates: Arc<Certificates>,
    limits: TlsLimits,
    under_way: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A connection that has made its handshake.
#[derive(Debug)]
pub struct Accepted {
    pub stream: TlsStream<TcpStream>,
    pub secured: Secured,
    /// The client chose HTTP/2 with ALPN; otherwise it speaks HTTP/1.1 (RFC 9113 section 3.2).
    pub http2: bool,
}

/// How a handshake ended, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Made,
    /// What came was no TLS, or no TLS that both sides speak.
    Failed,
    /// It did not end in time, or did not even begin because too many others were under way.
    Late,
}

impl Handshake {
    pub const ALL: [Self; 3] = [Self::Made, Self::Failed, Self::Late];

    pub fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

impl Handshakes {
    pub fn new(certificates: Arc<Certificates>, limits: TlsLimits, metrics: Arc<Metrics>) -> Self {
        Self { certificates, limits, under_way: Arc::new(Semaphore::new(limits.handshakes)), metrics }
    }

    /// Makes the handshake. `None` when there is no connection to go on with; the client has been told where TLS has a word
    /// for it.
    pub async fn accept(&self, stream: TcpStream) -> Option<Accepted> {
        let made = timeout(self.limits.handshake_time, self.handshake(stream)).await;
        let (outcome, accepted) = match made {
            Ok(Ok(accepted)) => (Handshake::Made, Some(accepted)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                (Handshake::Failed, None)
            }
            Err(_) => {
                self.metrics.reached(Limit::TlsHandshakeTime);
                (Handshake::Late, None)
            }
        };
        self.metrics.tls_handshakes[outcome as usize].add(1);
        accepted
    }

    async fn handshake(&self, stream: TcpStream) -> std::io::Result<Accepted> {
        // The semaphore is never closed.
        let _under_way = self.under_way.acquire().await.map_err(std::io::Error::other)?;
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let (config, secured) = self.certificates.current().choose(&start.client_hello());
        let stream = start.into_stream(config).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Accepted { stream, secured, http2 })
    }
}
