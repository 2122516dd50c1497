//! What one client connection may cost, and what it shares with the others of its listener.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::sync::{Notify, watch};

use super::request::HeadLimits;
use crate::http2::Http2Limits;
use crate::metrics::Metrics;
use crate::tls::Secured;

/// What one client connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    pub head: HeadLimits,
    /// How long a connection may wait for the first octet of a request.
    pub idle: Duration,
    /// How long a request head may take, from its first octet.
    pub head_time: Duration,
    /// How long a client may send no octet of the content it announced.
    pub content_stall: Duration,
    /// How long a client may take no octet of a response.
    pub write_stall: Duration,
    /// How long a client may take for what is sent at once: up to 256 KiB of content and a head.
    pub write_time: Duration,
    /// Octets of content in one request.
    pub request_content: u64,
    /// Octets of content nobody read that are read and dropped to keep the connection; more closes it, after
    /// `drain_time`.
    pub unread_content: u64,
    /// How long that, and waiting for a refused client to read its refusal, may take.
    pub drain_time: Duration,
}

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub limits: Arc<ConnectionLimits>,
    /// `None`: the listener speaks HTTP/1.1 only.
    pub http2: Option<Arc<Http2Limits>>,
    pub scheme: Scheme,
    /// What TLS proved about the one connection that holds this; `None` in the clear.
    pub secured: Option<Arc<Secured>>,
    /// Turns true when the edge stops: idle connections close, busy ones after their exchange.
    pub stopping: watch::Receiver<bool>,
    /// A permit closes the connection that has been idle for longest, to make room.
    pub make_room: Arc<Notify>,
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// For a listener in the clear that speaks HTTP/1.1 only.
    pub fn new(limits: ConnectionLimits, stopping: watch::Receiver<bool>) -> Self {
        Self {
            limits: Arc::new(limits),
            http2: None,
            scheme: Scheme::HTTP,
            secured: None,
            stopping,
            make_room: Arc::new(Notify::new()),
            metrics: Arc::new(Metrics::default()),
        }
    }
}
