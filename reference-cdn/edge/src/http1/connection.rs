//! One client connection: reads requests, has them answered, and decides whether another may follow.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::body::{Intake, content};
use super::chunked::ChunkError;
use super::head::{HeadScan, parse, resembles_request, skip_empty_lines};
use super::respond::{Exchange, Responder};
use crate::client::{
    BodyError, ConnectionLimits, Downstream, Framing, HeadError, Request, RequestHead, Service, Shared, Stop,
};
use crate::http2::PREFACE;
use crate::limits::Limit;
use crate::tls;

/// Serves one connection until it ends. Where it turns out to speak HTTP/2, and the listener does, gives back what was
/// read: the client's preface and what came with it (RFC 9113 section 3.3).
pub async fn serve<R, W, S>(
    reader: R,
    writer: W,
    peer: SocketAddr,
    shared: Shared,
    service: &S,
) -> Option<BytesMut>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
    S: Service,
{
    let responder = Responder::new(writer, &shared.limits);
    let buffer = BytesMut::with_capacity(8 * 1024);
    // Over TLS the version is agreed on with ALPN, and a preface that was not agreed on is an error.
    let may_be_http2 = shared.http2.is_some() && shared.secured.is_none();
    let mut connection =
        Connection { reader, responder, buffer, peer, shared, undecided: may_be_http2, may_be_http2 };
    connection.run(service).await
}

struct Connection<R, W> {
    reader: R,
    responder: Responder<W>,
    buffer: BytesMut,
    peer: SocketAddr,
    shared: Shared,
    /// The client did not choose HTTP/1.1 by any agreement, and nothing shows yet that it did: as long as that is so,
    /// octets may be those of an HTTP/2 connection, or of something else that is owed no answer.
    undecided: bool,
    /// Nothing was read yet that could not begin an HTTP/2 connection.
    may_be_http2: bool,
}

/// Why no further request is read.
enum NoRequest {
    /// The client left, or stayed silent, or the edge stops.
    Over,
    /// What came is no acceptable head.
    Refused(HeadError),
    /// The head did not come to its end in time.
    Late,
    /// It is an HTTP/2 connection.
    Http2,
    /// What came is no HTTP at all, and is owed no answer.
    Strange,
}

impl<R, W> Connection<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    async fn run<S: Service>(&mut self, service: &S) -> Option<BytesMut> {
        loop {
            match self.read_head().await {
                Ok(head) => {
                    if !self.exchange(service, head).await {
                        return None;
                    }
                }
                Err(NoRequest::Strange) => {
                    service.refused(self.peer, HeadError::RequestLine);
                    return None;
                }
                Err(NoRequest::Http2) => return Some(std::mem::take(&mut self.buffer)),
                Err(NoRequest::Over) => {
                    if self.shared.secured.is_some() {
                        // RFC 8446 section 6.1: without close_notify this end looks like an attack.
                        self.responder.shut_down().await;
                    }
                    return None;
                }
                Err(NoRequest::Late) => {
                    self.shared.metrics.reached(Limit::HeadTime);
                    self.refuse(
                        service,
                        http::StatusCode::REQUEST_TIMEOUT,
                        "request head not complete in time",
                    )
                    .await;
                    return None;
                }
                Err(NoRequest::Refused(error)) => {
                    service.refused(self.peer, error);
                    self.refuse(service, error.status(), &error.to_string()).await;
                    return None;
                }
            }
        }
    }

    async fn read_head(&mut self) -> Result<RequestHead, NoRequest> {
        self.wait_for_octets().await?;
        let limits = Arc::clone(&self.shared.limits);
        let mut scan = HeadScan::default();
        let whole = async {
            loop {
                if self.may_be_http2 && self.buffer.starts_with(PREFACE) {
                    return Err(NoRequest::Http2);
                }
                // As long as the preface may become whole, what is there is no request.
                self.may_be_http2 &= PREFACE.starts_with(&self.buffer);
                if !self.may_be_http2
                    && let Some(end) =
                        scan.find_end(&self.buffer, &limits.head).map_err(NoRequest::Refused)?
                {
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
        if std::mem::take(&mut self.undecided) && !resembles_request(&head) {
            return Err(NoRequest::Strange);
        }
        let head = parse(head, &self.shared.scheme, &limits.head).map_err(NoRequest::Refused)?;
        tls::admit(&head, self.shared.secured.as_deref()).map_err(NoRequest::Refused)?;
        Ok(head)
    }

    /// Until the first octet of a request is there.
    async fn wait_for_octets(&mut self) -> Result<(), NoRequest> {
        // Bounded: each turn takes octets from a client that may send only so many empty lines.
        for _ in 0..8 {
            self.may_be_http2 &= !self.buffer.starts_with(b"\r");
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
            self.refuse(
                service,
                http::StatusCode::PAYLOAD_TOO_LARGE,
                "request content larger than the limit",
            )
            .await;
            return false;
        }
        self.responder.begin(Exchange {
            http11: head.version >= http::Version::HTTP_11,
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
            self.refuse(service, error.status(), &error.to_string()).await;
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
    async fn refuse<S: Service>(&mut self, service: &S, status: http::StatusCode, why: &str) {
        let mut fields = service.refusal(status);
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
