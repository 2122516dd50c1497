//! HTTP/2 connections to one origin (RFC 9113), each carrying many requests.
//!
//! On the `h2` crate itself rather than hyper's client: that one relays no interim responses, cannot tell a refused stream
//! from a failed one, and takes a stream reset with NO_ERROR in the middle of content for its end, which would store
//! half a response as a whole one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep, timeout};

use super::config::OriginLimits;
use super::error::OriginError;
use super::stream::{Plain, Received, Watched};

/// What one stream may send before we have taken it: a client that reads slowly holds back its own stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Octets of request content that wait for an origin which takes them slowly, for each connection.
const SEND_BUFFER: usize = 256 * 1024;
/// Largest frame the origin may send.
const FRAME: u32 = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Multiplexed {
    sender: SendRequest<Bytes>,
    /// The name that its certificate was verified for; `None` in clear text.
    name: Option<Arc<str>>,
    shared: Arc<Shared>,
    opened: Instant,
    carried: AtomicU64,
    unused_since: Mutex<Instant>,
}

/// What the task that drives the connection knows too.
#[derive(Debug)]
struct Shared {
    streams: AtomicUsize,
    /// It takes no more requests.
    closed: AtomicBool,
    received: Arc<Received>,
}

/// A request's place on a connection.
#[derive(Debug)]
pub struct Place {
    connection: Arc<Multiplexed>,
    pub sender: SendRequest<Bytes>,
    /// It carried a request before.
    pub reused: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.connection.shared.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.connection.unused() = Instant::now();
        }
    }
}

impl Place {
    /// No more requests on this connection.
    pub fn retire(&self) {
        self.connection.retire();
    }

    pub fn octets_received(&self) -> u64 {
        self.connection.shared.received.octets()
    }

    /// What its TLS ended with, and the name it was for.
    pub fn tls_fault(&self) -> Option<(&str, &rustls::Error)> {
        let name = self.connection.name.as_deref()?;
        self.connection.shared.received.tls_fault().map(|error| (name, error))
    }
}

impl Multiplexed {
    /// Begins HTTP/2 on a fresh connection.
    pub async fn begin(
        origin: &str,
        stream: Plain,
        name: Option<Arc<str>>,
        limits: &OriginLimits,
    ) -> Result<Arc<Self>, OriginError> {
        let streams = u32::try_from(limits.streams).unwrap_or(u32::MAX).max(1);
        let (watched, received) = Watched::new(stream);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            // All streams together, so that one whose client reads nothing never holds up the others.
            .initial_connection_window_size(STREAM_WINDOW.saturating_mul(streams).min((1 << 31) - 1))
            .initial_window_size(STREAM_WINDOW)
            .initial_max_send_streams(limits.streams.clamp(1, 100))
            .max_frame_size(FRAME)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        let (sender, mut connection) = builder
            .handshake(watched)
            .await
            .map_err(|source| OriginError::Stream { origin: origin.to_owned(), source })?;
        let shared =
            Arc::new(Shared { streams: AtomicUsize::new(0), closed: AtomicBool::new(false), received });
        let pings = connection.ping_pong();
        let driven = Arc::clone(&shared);
        let (ping, pong, origin) = (limits.ping, limits.pong, origin.to_owned());
        tokio::spawn(async move {
            let dead = async {
                match pings {
                    Some(pings) => silence(pings, &driven, ping, pong).await,
                    None => std::future::pending().await,
                }
            };
            drive(connection, dead, &origin).await;
            driven.closed.store(true, Ordering::Release);
        });
        let now = Instant::now();
        Ok(Arc::new(Self {
            sender,
            name,
            shared,
            opened: now,
            carried: AtomicU64::new(0),
            unused_since: Mutex::new(now),
        }))
    }

    /// It carries no further requests.
    pub fn retire(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    fn unused(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.unused_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place for the request that it was opened for, before anybody else knows of it.
    pub fn first_place(self: &Arc<Self>) -> Place {
        self.shared.streams.fetch_add(1, Ordering::AcqRel);
        self.carried.fetch_add(1, Ordering::Relaxed);
        Place { connection: Arc::clone(self), sender: self.sender.clone(), reused: false }
    }

    /// A place for one more request as `name`, if there is one.
    pub fn place(
        self: &Arc<Self>,
        name: Option<&Arc<str>>,
        limits: &OriginLimits,
        now: Instant,
    ) -> Option<Place> {
        if self.name.as_ref() != name || !self.is_open(limits, now) {
            return None;
        }
        // As many as the origin allows (RFC 9113 section 5.1.2), and as we do.
        let most = limits.streams.min(self.sender.current_max_send_streams());
        let one_more = |streams: usize| (streams < most).then_some(streams + 1);
        self.shared.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        let reused = self.carried.fetch_add(1, Ordering::Relaxed) > 0;
        Some(Place { connection: Arc::clone(self), sender: self.sender.clone(), reused })
    }

    fn is_open(&self, limits: &OriginLimits, now: Instant) -> bool {
        !self.shared.closed.load(Ordering::Acquire)
            && self.carried.load(Ordering::Relaxed) < limits.requests
            && now.duration_since(self.opened) < limits.age
    }

    pub fn is_unused(&self) -> bool {
        self.shared.streams.load(Ordering::Acquire) == 0
    }

    /// Is it worth keeping? One that goes finishes the requests that it carries.
    pub fn is_worth_keeping(&self, limits: &OriginLimits, now: Instant) -> bool {
        self.is_open(limits, now) && (!self.is_unused() || now.duration_since(*self.unused()) <= limits.idle)
    }
}

async fn drive(connection: Connection<Watched, Bytes>, dead: impl Future<Output = ()>, origin: &str) {
    tokio::select! {
        // How it ended is told to whoever waits for something on it.
        _ = connection => {}
        () = dead => tracing::debug!(origin, "an HTTP/2 connection did not answer a ping in time and was closed"),
    }
}

/// Ends when the connection, in use and silent, does not answer a PING (RFC 9113 section 6.7) in time.
async fn silence(mut pings: PingPong, shared: &Shared, ping: Duration, pong: Duration) {
    let mut heard = 0;
    loop {
        sleep(ping).await;
        let received = shared.received.octets();
        let silent = received == std::mem::replace(&mut heard, received);
        if silent && shared.streams.load(Ordering::Acquire) > 0 {
            match timeout(pong, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                // The connection is over already, as its own future tells.
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}
