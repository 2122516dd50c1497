//! A connection's stream, in clear text or in TLS, that notes what comes in: to tell "closed before any octet of the
//! answer" from "broke off", and a head that is slow from one that has not begun.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// A connection to an origin, as HTTP sees it.
#[derive(Debug)]
pub enum Plain {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What came in on a connection.
#[derive(Debug)]
pub struct Received {
    octets: AtomicU64,
    base: Instant,
    /// Nanoseconds from `base` to the first octet since [`Received::arm`]; 0 for none yet.
    first: AtomicU64,
    /// What TLS ended with, if it did not end well. Alerts of TLS 1.3 may come after the handshake.
    fault: OnceLock<rustls::Error>,
}

impl Received {
    pub fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    /// From now on the next octet is the first.
    pub fn arm(&self) {
        self.first.store(0, Ordering::Relaxed);
    }

    /// When the first octet came.
    pub fn first(&self) -> Option<Instant> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.base + Duration::from_nanos(nanos)),
        }
    }

    /// What TLS ended with.
    pub fn tls_fault(&self) -> Option<&rustls::Error> {
        self.fault.get()
    }

    fn failed(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            // The first is the cause.
            let _ = self.fault.set(error.clone());
        }
    }

    fn note(&self, octets: usize) {
        if octets > 0 {
            self.octets.fetch_add(octets as u64, Ordering::Relaxed);
            if self.first.load(Ordering::Relaxed) == 0 {
                let nanos = u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.first.store(nanos.max(1), Ordering::Relaxed);
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Watched {
    inner: Plain,
    received: Arc<Received>,
}

impl Watched {
    /// The connection, and the record of what comes in on it.
    pub fn new(inner: Plain) -> (Self, Arc<Received>) {
        let received = Received {
            octets: AtomicU64::new(0),
            base: Instant::now(),
            first: AtomicU64::new(0),
            fault: OnceLock::new(),
        };
        let received = Arc::new(received);
        (Self { inner, received: Arc::clone(&received) }, received)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.inner {
            Plain::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Plain::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        self.received.note(buffer.filled().len() - before);
        if let Poll::Ready(Err(error)) = &result {
            self.received.failed(error);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Plain::Clear(stream) => Pin::new(stream).poll_write(context, data),
            Plain::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Plain::Clear(stream) => Pin::new(stream).poll_flush(context),
            Plain::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Plain::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Plain::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Plain::Clear(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Plain::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }
}
