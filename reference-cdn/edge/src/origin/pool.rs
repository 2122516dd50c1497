//! Connections to one origin: few, long-lived, and bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap};
use http::uri::Authority;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::content::OutboundContent;
use super::watched::Watched;
use super::{OriginError, OriginLimits};
use crate::client::request::has_token;

/// How long to wait for a kept connection whose last response has just been read to become ready.
const SETTLE: Duration = Duration::from_millis(20);

/// Octets of a response that are read at once. Bounds the memory of connections whose clients read slowly.
const BUFFER: usize = 128 * 1024;

/// A connection in use.
#[derive(Debug)]
pub struct Connection {
    pub sender: SendRequest<OutboundContent>,
    /// It carried a request before.
    pub reused: bool,
    received: Arc<AtomicU64>,
    /// One of the connections that may be in use at once.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub fn octets_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// An HTTP/1.0 origin keeps the connection only when it says so.
    pub fn keeps_http10(&self, fields: &HeaderMap) -> bool {
        has_token(fields, &CONNECTION, "keep-alive")
    }
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<OutboundContent>,
    received: Arc<AtomicU64>,
    since: Instant,
}

#[derive(Debug)]
pub struct Pool {
    origin: String,
    host: String,
    port: u16,
    limits: OriginLimits,
    /// The most recently used last.
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    opened: AtomicU64,
}

impl Pool {
    pub fn new(authority: &Authority, limits: OriginLimits) -> Self {
        Self {
            origin: authority.to_string(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            limits,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            opened: AtomicU64::new(0),
        }
    }

    pub fn idle(&self) -> usize {
        self.list().len()
    }

    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection if one is usable, else a new one.
    pub async fn connection(&self) -> Result<Connection, OriginError> {
        let permit = self.permit().await?;
        loop {
            let Some(mut idle) = self.list().pop() else { return self.open_with(permit).await };
            if idle.sender.is_closed() || idle.since.elapsed() > self.limits.idle {
                continue;
            }
            let ready =
                idle.sender.is_ready() || matches!(timeout(SETTLE, idle.sender.ready()).await, Ok(Ok(())));
            if ready {
                let Idle { sender, received, .. } = idle;
                return Ok(Connection { sender, reused: true, received, _permit: Some(permit) });
            }
        }
    }

    /// A new connection.
    pub async fn open(&self) -> Result<Connection, OriginError> {
        let permit = self.permit().await?;
        self.open_with(permit).await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        let limit = self.limits.connect;
        let busy = || OriginError::Busy { origin: self.origin.clone(), most: self.limits.connections, limit };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let turn = Arc::clone(&self.permits).acquire_owned();
        timeout(limit, turn).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    async fn open_with(&self, permit: OwnedSemaphorePermit) -> Result<Connection, OriginError> {
        let limit = self.limits.connect;
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match timeout(limit, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(OriginError::Connect { origin: self.origin.clone(), source }),
            Err(_) => return Err(OriginError::ConnectTimeout { origin: self.origin.clone(), limit }),
        };
        // Without it, small requests wait for acknowledgements; failing to set it costs only time.
        let _ = stream.set_nodelay(true);
        let (watched, received) = Watched::new(stream);
        let (sender, connection) = Builder::new()
            .title_case_headers(true)
            .max_headers(self.limits.fields)
            .max_header_size(self.limits.head_bytes)
            .max_buf_size(self.limits.head_bytes.max(BUFFER))
            .handshake(TokioIo::new(watched))
            .await
            .map_err(|source| OriginError::Response { origin: self.origin.clone(), source })?;
        tokio::spawn(async move {
            // How it ended is told to whoever waits for a response on it.
            let _ = connection.await;
        });
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { sender, reused: false, received, _permit: Some(permit) })
    }

    /// Takes back a connection whose response has been read to its end.
    pub fn give_back(&self, connection: Connection) {
        let Connection { sender, received, .. } = connection;
        if sender.is_closed() {
            return;
        }
        let mut list = self.list();
        if list.len() >= self.limits.idle_connections && !list.is_empty() {
            list.remove(0);
        }
        if self.limits.idle_connections > 0 {
            list.push(Idle { sender, received, since: Instant::now() });
        }
    }

    /// Closes connections that have been idle for too long, and forgets closed ones.
    pub fn sweep(&self) {
        let most = self.limits.idle;
        self.list().retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() <= most);
    }
}
