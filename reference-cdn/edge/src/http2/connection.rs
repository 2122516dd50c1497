//! One client connection: takes its requests, has each answered in a task of its own, and decides when it ends.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::transport::{Sight, Transport};
use super::watch::{Breach, Watch};
use super::{Http2Limits, stream};
use crate::client::{Service, Shared};
use crate::limits::Limit;

/// Frames of the default size: larger ones hold up the other streams.
const FRAME: u32 = 16 * 1024;
/// Streams reset by us whose last frames may still come, and how long they may.
const RESET_STREAMS: usize = 64;
const RESET_TIME: Duration = Duration::from_secs(5);
/// Error streams of a connection's whole life, beyond which even a slow drip of them ends it.
const ERRORS_IN_ALL: usize = 10_000;

/// Serves one connection until it ends. `first` holds what was read of it already.
pub async fn serve<T, S>(
    io: T,
    first: BytesMut,
    peer: SocketAddr,
    shared: Shared,
    limits: Arc<Http2Limits>,
    service: Arc<S>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    shared.metrics.http2_connections.add(1);
    let sight = Sight::new(Watch::new(&limits));
    let client = &shared.limits;
    let transport = Transport::new(io, first, sight.clone(), client.write_stall, client.drain_time);
    let handshake = builder(&shared, &limits).handshake(transport);
    let connection = tokio::select! {
        biased;
        connection = timeout(client.head_time, handshake) => connection,
        // A preface that is long in coming makes room, as connections do that are idle.
        () = shared.make_room.notified() => return,
    };
    let connection = match connection {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no HTTP/2 connection"),
        Err(_) => return shared.metrics.reached(Limit::HeadTime),
    };
    let connection = Connection {
        h2: connection,
        sight,
        peer,
        shared: Arc::new(shared),
        service,
        requests: JoinSet::new(),
        accepted: 0,
        refused: 0,
        phase: Phase::Open,
        quiet_since: Instant::now(),
        idle: true,
        alarm: Box::pin(sleep_until(Instant::now())),
    };
    connection.run().await;
}

fn builder(shared: &Shared, limits: &Http2Limits) -> Builder {
    let per_stream = (limits.queue / limits.streams.max(1) as usize).clamp(FRAME as usize, u32::MAX as usize);
    let head = u32::try_from(shared.limits.head.bytes).unwrap_or(u32::MAX);
    let resets = limits.resets as usize;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_frame_size(FRAME)
        .max_header_list_size(head)
        .max_send_buffer_size(per_stream)
        .max_concurrent_reset_streams(RESET_STREAMS.max(resets))
        .reset_stream_duration(RESET_TIME)
        // These two are backstops: the watch counts both with a sense of time.
        .max_pending_accept_reset_streams(resets)
        .max_local_error_reset_streams(Some(ERRORS_IN_ALL));
    builder
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// GOAWAY is sent; what was asked before is still answered.
    Draining,
    /// Nothing more is answered. Since when.
    Closing(Instant),
}

struct Connection<T, S> {
    h2: h2::server::Connection<Transport<T>, Bytes>,
    sight: Sight,
    peer: SocketAddr,
    shared: Arc<Shared>,
    service: Arc<S>,
    requests: JoinSet<()>,
    /// Streams that became requests, and streams that did not.
    accepted: u64,
    refused: u64,
    phase: Phase,
    /// Since when no request is being answered, or nothing of an answer waits to be written either.
    quiet_since: Instant,
    /// Whether it was idle when last looked at.
    idle: bool,
    alarm: Pin<Box<Sleep>>,
}

/// What wakes a connection up.
enum Event {
    Request(Box<(http::Request<RecvStream>, SendResponse<Bytes>)>),
    /// The connection ended, with an error if it did not end well.
    Over(Option<h2::Error>),
    Breach(Breach),
    /// A request has been answered, or the last of an answer written.
    Quieter,
    Alarm,
    Stopping,
    MakeRoom,
}

impl<T, S> Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    async fn run(mut self) {
        let mut stopping = self.shared.stopping.clone();
        loop {
            match self.next(&mut stopping).await {
                Event::Request(request) => self.begin(*request),
                Event::Over(error) => {
                    self.count_refused();
                    return self.over(error);
                }
                Event::Breach(breach) => {
                    tracing::debug!(peer = %self.peer, %breach, "HTTP/2 connection ended");
                    match breach {
                        Breach::Limit(limit) => self.shared.metrics.reached(limit),
                        _ => self.shared.metrics.http2_protocol_errors.add(1),
                    }
                    self.close(breach.reason());
                }
                Event::Quieter => {
                    if self.requests.is_empty() {
                        self.quiet_since = Instant::now();
                    }
                }
                Event::Alarm => {
                    if !self.ring() {
                        return;
                    }
                }
                Event::Stopping => {
                    self.phase = Phase::Draining;
                    self.quiet_since = Instant::now();
                    self.h2.graceful_shutdown();
                }
                Event::MakeRoom => {
                    // Whoever waits for the place does not wait for this client.
                    self.sight.look().linger = false;
                    self.close(Reason::NO_ERROR);
                }
            }
        }
    }

    async fn next(&mut self, stopping: &mut watch::Receiver<bool>) -> Event {
        let shared = Arc::clone(&self.shared);
        let open = self.phase == Phase::Open;
        let is_idle = open && self.idle;
        tokio::select! {
            biased;
            event = poll_fn(|context| self.poll(context)) => event,
            _ = stopping.wait_for(|stopping| *stopping), if open => Event::Stopping,
            () = shared.make_room.notified(), if is_idle => Event::MakeRoom,
        }
    }

    /// Everything that one wake-up may bring, in the order of what matters.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match self.h2.poll_accept(context) {
            Poll::Ready(Some(Ok(request))) => return Poll::Ready(Event::Request(Box::new(request))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Over(Some(error))),
            Poll::Ready(None) => return Poll::Ready(Event::Over(None)),
            Poll::Pending => {}
        }
        self.count_refused();
        let breach = self.sight.look().breach;
        if let Some(breach) = breach
            && !matches!(self.phase, Phase::Closing(_))
        {
            return Poll::Ready(Event::Breach(breach));
        }
        if let Poll::Ready(Some(_)) = self.requests.poll_join_next(context) {
            return Poll::Ready(Event::Quieter);
        }
        if self.idle != self.is_idle() {
            self.idle = !self.idle;
            return Poll::Ready(Event::Quieter);
        }
        if let Some(at) = self.alarm_at() {
            if at != self.alarm.deadline() {
                self.alarm.as_mut().reset(at);
            }
            return self.alarm.as_mut().poll(context).map(|()| Event::Alarm);
        }
        Poll::Pending
    }

    fn begin(&mut self, (request, response): (http::Request<RecvStream>, SendResponse<Bytes>)) {
        self.accepted += 1;
        let task =
            stream::run(request, response, self.peer, Arc::clone(&self.shared), Arc::clone(&self.service));
        self.requests.spawn(task);
    }

    /// No request is being answered, and nothing of an answer waits to be written.
    fn is_idle(&self) -> bool {
        self.requests.is_empty() && !self.h2.has_streams()
    }

    /// When the connection has to be looked at again if nothing happens until then.
    fn alarm_at(&self) -> Option<Instant> {
        let limits = &self.shared.limits;
        if let Phase::Closing(since) = self.phase {
            return Some(since + limits.drain_time);
        }
        let quiet = match self.phase {
            _ if !self.requests.is_empty() => None,
            // The last of the answers are on their way; a client that takes them an octet at a time may not for ever.
            _ if !self.idle => Some(limits.write_time),
            Phase::Draining => Some(limits.drain_time),
            _ => Some(limits.idle),
        };
        let quiet = quiet.map(|time| self.quiet_since + time);
        // A header block sent an octet at a time holds up everything behind it (Slowloris).
        let block = self.sight.look().watch.block_since().map(|since| since + limits.head_time);
        quiet.into_iter().chain(block).min()
    }

    /// The alarm went off. False: the connection is given up.
    fn ring(&mut self) -> bool {
        let metrics = Arc::clone(&self.shared.metrics);
        if matches!(self.phase, Phase::Closing(_)) {
            metrics.reached(Limit::DrainTime);
            return false;
        }
        let block = self.sight.look().watch.block_since();
        if block.is_some_and(|since| Instant::now() >= since + self.shared.limits.head_time) {
            metrics.reached(Limit::HeadTime);
            self.close(Reason::ENHANCE_YOUR_CALM);
        } else if self.idle {
            if self.phase == Phase::Open {
                metrics.reached(Limit::Idle);
            }
            self.close(Reason::NO_ERROR);
        } else {
            metrics.reached(Limit::WriteTime);
            self.close(Reason::CANCEL);
        }
        true
    }

    /// Ends the connection. What is in flight is lost; the client learns from GOAWAY what was not begun.
    fn close(&mut self, reason: Reason) {
        self.phase = Phase::Closing(Instant::now());
        self.requests.abort_all();
        self.h2.abrupt_shutdown(reason);
    }

    /// Once all that came has been looked at, a stream that was opened and not accepted is one that was refused.
    fn count_refused(&mut self) {
        let opened = self.sight.look().watch.opened();
        let refused = opened.saturating_sub(self.accepted);
        self.shared.metrics.http2_streams_refused.add(refused.saturating_sub(self.refused));
        self.refused = self.refused.max(refused);
    }

    fn over(&self, error: Option<h2::Error>) {
        let Some(error) = error else { return };
        let metrics = &self.shared.metrics;
        match error.reason() {
            _ if matches!(self.phase, Phase::Closing(_)) || error.is_remote() => {}
            _ if error.get_io().is_some_and(|io| io.kind() == ErrorKind::TimedOut) => {
                metrics.reached(Limit::WriteStall);
            }
            _ if error.is_io() => {}
            Some(Reason::ENHANCE_YOUR_CALM) => metrics.reached(Limit::Http2Excess),
            _ => metrics.http2_protocol_errors.add(1),
        }
        tracing::debug!(peer = %self.peer, %error, "HTTP/2 connection ended");
    }
}
