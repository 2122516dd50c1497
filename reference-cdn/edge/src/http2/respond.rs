//! Sends a response on a stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Response, StatusCode, Version};
use tokio::time::timeout;

use super::head::without_connection_fields;
use crate::client::content::may_trail;
use crate::client::{ConnectionLimits, Downstream, Stop};
use crate::limits::Limit;

/// Octets of window that a stream asks for at a time. Small, so that streams take turns at the connection's window: a stream
/// that waits for its turn must not be taken for one whose client takes nothing.
const TURN: usize = 32 * 1024;

/// The sending half of a stream. Shared with whoever watches for its reset; both run in one task.
#[derive(Clone, Debug)]
pub struct Half(Arc<Mutex<Sending>>);

#[derive(Debug)]
struct Sending {
    response: SendResponse<Bytes>,
    /// Once the head of the final response is sent.
    content: Option<SendStream<Bytes>>,
}

impl Half {
    pub fn new(response: SendResponse<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(Sending { response, content: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Sending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the client resets the stream, or the connection ends.
    pub async fn gone(&self) {
        poll_fn(|context| {
            let sending = &mut *self.lock();
            let gone = match &mut sending.content {
                None => sending.response.poll_reset(context),
                Some(content) => content.poll_reset(context),
            };
            gone.map(|_| ())
        })
        .await;
    }

    /// Resets the stream, unless it has ended.
    pub fn reset(&self, reason: Reason) {
        let sending = &mut *self.lock();
        match &mut sending.content {
            None => sending.response.send_reset(reason),
            Some(content) => content.send_reset(reason),
        }
    }

    /// Sends a head. True: it ended the stream.
    fn send_head(&self, head: Response<()>, end: bool) -> Result<(), Stop> {
        let sending = &mut *self.lock();
        let content = sending.response.send_response(head, end).map_err(|_| Stop::Client)?;
        sending.content = Some(content);
        Ok(())
    }

    fn with_content<T>(
        &self,
        act: impl FnOnce(&mut SendStream<Bytes>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.lock().content.as_mut().map_or(Err(Stop::Content), act)
    }

    /// Octets that may be sent now, at most `wanted`, at least one.
    fn poll_room(&self, wanted: usize, context: &mut Context<'_>) -> Poll<Result<usize, Stop>> {
        let sending = &mut *self.lock();
        let Some(content) = &mut sending.content else { return Poll::Ready(Err(Stop::Content)) };
        loop {
            let room = content.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            match content.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Stop::Client)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub struct StreamResponder {
    half: Half,
    stall: Duration,
    time: Duration,
    head: Option<Response<()>>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Octets of content that may still be pushed; `announced`: that have to be.
    left: u64,
    announced: bool,
    started: bool,
    finished: bool,
    /// Why it stopped sending, if the client was too slow.
    reached: Option<Limit>,
}

impl StreamResponder {
    pub fn new(half: Half, limits: &ConnectionLimits) -> Self {
        Self {
            half,
            stall: limits.write_stall,
            time: limits.write_time,
            head: None,
            queue: VecDeque::new(),
            queued: 0,
            left: 0,
            announced: false,
            started: false,
            finished: false,
            reached: None,
        }
    }

    pub fn finished(&self) -> bool {
        self.finished
    }

    /// The limit that the client ran into by taking too little.
    pub fn reached(&self) -> Option<Limit> {
        self.reached
    }

    async fn send(&mut self, end: bool) -> Result<(), Stop> {
        let sent = timeout(self.time, self.send_all(end)).await;
        sent.unwrap_or_else(|_| {
            self.reached = Some(Limit::WriteTime);
            Err(Stop::Client)
        })
    }

    /// Sends the head and what is queued; with `end`, the last frame ends the stream.
    async fn send_all(&mut self, end: bool) -> Result<(), Stop> {
        if let Some(head) = self.head.take() {
            let ends = end && self.queue.is_empty();
            self.half.send_head(head, ends)?;
            if ends {
                return Ok(());
            }
        }
        if self.queue.is_empty() && end {
            return self
                .half
                .with_content(|content| content.send_data(Bytes::new(), true).map_err(|_| Stop::Client));
        }
        while let Some(mut data) = self.queue.pop_front() {
            while !data.is_empty() {
                let wanted = data.len().min(TURN);
                let room = self.room(wanted).await?;
                let part = data.split_to(room);
                self.queued -= part.len();
                let last = end && data.is_empty() && self.queue.is_empty();
                self.half.with_content(|content| content.send_data(part, last).map_err(|_| Stop::Client))?;
            }
        }
        Ok(())
    }

    /// Waits for the client to open its windows.
    async fn room(&mut self, wanted: usize) -> Result<usize, Stop> {
        self.half.with_content(|content| {
            content.reserve_capacity(wanted);
            Ok(())
        })?;
        let half = self.half.clone();
        let room = poll_fn(|context| half.poll_room(wanted, context));
        timeout(self.stall, room).await.unwrap_or_else(|_| {
            self.reached = Some(Limit::WriteStall);
            Err(Stop::Client)
        })
    }
}

impl Downstream for StreamResponder {
    async fn interim(&mut self, status: StatusCode, fields: &HeaderMap) -> Result<(), Stop> {
        // RFC 9113 section 8.6: HTTP/2 does not switch protocols.
        if self.started || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let mut response = response(status, fields.clone());
        response.headers_mut().remove(CONTENT_LENGTH);
        self.half.lock().response.send_informational(response).map_err(|_| Stop::Client)
    }

    /// The reason phrase has no place in HTTP/2.
    fn start(
        &mut self,
        status: StatusCode,
        _: Option<&[u8]>,
        fields: &HeaderMap,
        length: Option<u64>,
        has_content: bool,
    ) {
        let mut response = response(status, fields.clone());
        if has_content || status == StatusCode::NO_CONTENT {
            // A length is repeated only where it describes content that is not sent.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        if has_content && let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.left = if has_content { length.unwrap_or(u64::MAX) } else { 0 };
        self.announced = has_content && length.is_some();
        self.started = true;
        self.head = Some(response);
    }

    fn push(&mut self, data: Bytes) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        self.left = self.left.checked_sub(data.len() as u64).ok_or(Stop::Content)?;
        self.queued += data.len();
        self.queue.push_back(data);
        Ok(())
    }

    fn queued(&self) -> usize {
        self.queued
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        self.send(false).await
    }

    async fn finish(&mut self, trailers: &HeaderMap) -> Result<(), Stop> {
        if self.announced && self.left > 0 {
            return Err(Stop::Content);
        }
        let mut fields: HeaderMap = HeaderMap::new();
        for (name, value) in trailers.iter().filter(|(name, _)| may_trail(name)) {
            fields.append(name, value.clone());
        }
        without_connection_fields(&mut fields);
        if fields.is_empty() {
            self.send(true).await?;
        } else {
            self.send(false).await?;
            self.half.with_content(|content| content.send_trailers(fields).map_err(|_| Stop::Client))?;
        }
        self.finished = true;
        Ok(())
    }

    fn started(&self) -> bool {
        self.started
    }
}

fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = fields;
    without_connection_fields(response.headers_mut());
    response
}
