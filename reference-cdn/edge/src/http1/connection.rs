//! One client connection: reads requests, has them answered, and decides whether another may follow.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::body::{BodyError, Intake, RequestBody, content};
use super::chunked::ChunkError;
use super::head::{Framing, HeadError, HeadLimits, HeadScan, RequestHead, parse, skip_empty_lines};
use super::respond::{Downstream, Exchange, Responder, Stop};
use crate::limits::Limit;
use crate::metrics::Metrics;

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
    pub scheme: Scheme,
    /// Turns true when the edge stops: idle connections close, busy ones after their exchange.
    pub stopping: watch::Receiver<bool>,
    /// A permit closes the connection that has been idle for longest, to make room.
    pub make_room: Arc<Notify>,
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// For a listener in the clear.
    pub fn new(limits: ConnectionLimits, stopping: watch::Receiver<bool>) -> Self {
        Self {
            limits: Arc::new(limits),
            scheme: Scheme::HTTP,
            stopping,
            make_room: Arc::new(Notify::new()),
            metrics: Arc::default(),
        }
    }
}

/// A request, its head read and its content on the way.
#[derive(Debug)]
pub struct Request {
    pub head: RequestHead,
    pub content: Option<RequestBody>,
    pub peer: SocketAddr,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request: interim responses, then one final response, finished. On an error the connection is
    /// closed; whoever leaves without having finished the response closes it as well.
    fn call<D: Downstream>(
        &self,
        request: Request,
        downstream: &mut D,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    /// A head was refused; it is answered by the connection itself.
    fn refused(&self, peer: SocketAddr, error: HeadError);
}

/// Serves one connection until it ends.
pub async fn serve<R, W, S>(reader: R, writer: W, peer: SocketAddr, shared: Shared, service: &S)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
    S: Service,
{
    let responder = Responder::new(writer, &shared.limits);
    let buffer = BytesMut::with_capacity(8 * 1024);
    let mut connection = Connection { reader, responder, buffer, peer, shared };
    connection.run(service).await;
}

struct Connection<R, W> {
    reader: R,
    responder: Responder<W>,
    buffer: BytesMut,
    peer: SocketAddr,
    shared: Shared,
}

/// Why no further request is read.
enum NoRequest {
    /// The client left, or stayed silent, or the edge stops.
    Over,
    /// What came is no acceptable head.
    Refused(HeadError),
    /// The head did not come to its end in time.
    Late,
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    async fn run<S: Service>(&mut self, service: &S) {
        loop {
            let head = match self.read_head().await {
                Ok(head) => head,
                Err(NoRequest::Over) => return,
                Err(NoRequest::Late) => {
                    self.shared.metrics.reached(Limit::HeadTime);
                    return self
                        .refuse(http::StatusCode::REQUEST_TIMEOUT, "request head not complete in time")
                        .await;
                }
                Err(NoRequest::Refused(error)) => {
                    service.refused(self.peer, error);
                    return self.refuse(error.status(), &error.to_string()).await;
                }
            };
            if !self.exchange(service, head).await {
                return;
            }
        }
    }

    async fn read_head(&mut self) -> Result<RequestHead, NoRequest> {
        self.wait_for_octets().await?;
        let limits = Arc::clone(&self.shared.limits);
        let mut scan = HeadScan::default();
        let whole = async {
            loop {
                if let Some(end) = scan.find_end(&self.buffer, &limits.head).map_err(NoRequest::Refused)? {
                    return Ok(end);
                }
                self.buffer.reserve(4096);
                if !matches!(self.reader.read_buf(&mut self.buffer).await, Ok(read) if read > 0) {
                    return Err(NoRequest::Over);
                }
            }
        };
        let end = tokio::select! {
            biased;
            end = timeout(limits.head_time, whole) => end.map_err(|_| NoRequest::Late)??,
            // Heads that are long in coming make room like connections that are idle: they may be all there are.
            () = self.shared.make_room.notified() => return Err(NoRequest::Over),
        };
        let head = self.buffer.split_to(end).freeze();
        parse(head, &self.shared.scheme, &limits.head).map_err(NoRequest::Refused)
    }

    /// Until the first octet of a request is there.
    async fn wait_for_octets(&mut self) -> Result<(), NoRequest> {
        // Bounded: each turn takes octets from a client that may send only so many empty lines.
        for _ in 0..8 {
            skip_empty_lines(&mut self.buffer);
            if !self.buffer.is_empty() && self.buffer[..] != b"\r"[..] {
                return Ok(());
            }
            self.buffer.reserve(4096);
            let idle = self.shared.limits.idle;
            let Shared { stopping, make_room, metrics, .. } = &mut self.shared;
            let read = tokio::select! {
                biased;
                read = timeout(idle, self.reader.read_buf(&mut self.buffer)) => read,
                _ = stopping.wait_for(|stopping| *stopping) => return Err(NoRequest::Over),
                () = make_room.notified() => return Err(NoRequest::Over),
            };
            if read.is_err() {
                metrics.reached(Limit::Idle);
            }
            if !matches!(read, Ok(Ok(octets)) if octets > 0) {
                return Err(NoRequest::Over);
            }
        }
        Err(NoRequest::Refused(HeadError::RequestLine))
    }

    /// Has one request answered. True when the connection may carry another.
    async fn exchange<S: Service>(&mut self, service: &S, head: RequestHead) -> bool {
        let limits = Arc::clone(&self.shared.limits);
        let too_large = matches!(head.framing, Framing::Length(length) if length > limits.request_content);
        if too_large {
            self.shared.metrics.reached(Limit::Content);
            self.refuse(http::StatusCode::PAYLOAD_TOO_LARGE, "request content larger than the limit").await;
            return false;
        }
        self.responder.begin(Exchange {
            http11: head.http11,
            keep_alive: head.keep_alive && !*self.shared.stopping.borrow(),
            awaits_continue: head.expects_continue && head.framing != Framing::None,
            ..Exchange::default()
        });
        let (mut intake, body) = match content(head.framing, &limits) {
            Some((intake, body)) => (Some(intake), Some(body)),
            None => (None, None),
        };
        let request = Request { head, content: body, peer: self.peer };
        let mut spoiled = None;
        let answered = {
            let answer = service.call(request, &mut self.responder);
            let receive = receive(intake.as_mut(), &mut self.reader, &mut self.buffer, &limits);
            tokio::pin!(answer, receive);
            let mut receiving = true;
            loop {
                tokio::select! {
                    biased;
                    answered = &mut answer => break answered,
                    received = &mut receive, if receiving => match received {
                        Ok(()) => receiving = false,
                        Err(Received::Left) => break Err(Stop::Client),
                        Err(Received::Spoiled(error)) => {
                            spoiled = Some(error);
                            break Err(Stop::Content);
                        }
                    },
                }
            }
        };
        let limit = match spoiled {
            Some(BodyError::Stalled) => Some(Limit::ContentStall),
            Some(BodyError::TooLarge) => Some(Limit::Content),
            Some(BodyError::Chunk(ChunkError::TrailersTooLarge)) => Some(Limit::Head),
            _ => self.responder.reached.take(),
        };
        if let Some(limit) = limit {
            self.shared.metrics.reached(limit);
        }
        if let Some(error) = spoiled
            && !self.responder.started()
        {
            self.refuse(error.status(), &error.to_string()).await;
            return false;
        }
        if answered.is_err() || !self.responder.reusable() {
            if answered.is_ok() {
                self.linger().await;
            }
            return false;
        }
        if let Some(mut intake) = intake
            && !intake.finished
            && !intake.drain(&mut self.reader, &mut self.buffer, &limits).await
        {
            self.shared.metrics.reached(Limit::UnreadContent);
            self.linger().await;
            return false;
        }
        true
    }

    /// Answers what cannot be handled further, and closes.
    async fn refuse(&mut self, status: http::StatusCode, why: &str) {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let text = Bytes::from(format!("{} {why}\n", status.as_str()));
        self.responder.begin(Exchange { http11: true, ..Exchange::default() });
        self.responder.start(status, None, &fields, Some(text.len() as u64), true);
        let sent = self.responder.push(text);
        if sent.is_ok() && self.responder.finish(&HeaderMap::new()).await.is_ok() {
            self.linger().await;
        }
    }

    /// Closes the sending side and reads on for a while: closing with octets unread makes the kernel reset the
    /// connection, and the client might lose the answer (RFC 9112 section 9.6).
    async fn linger(&mut self) {
        self.responder.shut_down().await;
        let read_on = async {
            loop {
                self.buffer.clear();
                self.buffer.reserve(16 * 1024);
                if !matches!(self.reader.read_buf(&mut self.buffer).await, Ok(read) if read > 0) {
                    return;
                }
            }
        };
        if timeout(self.shared.limits.drain_time, read_on).await.is_err() {
            self.shared.metrics.reached(Limit::DrainTime);
        }
    }
}

/// What the client's side of a connection did while its request was being answered.
enum Received {
    /// Its content is not what it announced: there is nothing to answer but that.
    Spoiled(BodyError),
    /// It reset the connection.
    Left,
}

async fn receive<R: AsyncRead + Unpin>(
    intake: Option<&mut Intake>,
    reader: &mut R,
    buffer: &mut BytesMut,
    limits: &ConnectionLimits,
) -> Result<(), Received> {
    if let Some(intake) = intake {
        return match intake.pump(reader, buffer, limits).await {
            Ok(()) => Ok(()),
            Err(BodyError::Incomplete) => Err(Received::Left),
            Err(error) => Err(Received::Spoiled(error)),
        };
    }
    // Pipelined requests wait in the buffer. An end of file is a client that has only finished sending; a reset is one
    // that has gone.
    while buffer.len() < limits.head.bytes {
        buffer.reserve(4096);
        match reader.read_buf(buffer).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(_) => return Err(Received::Left),
        }
    }
    Ok(())
}
