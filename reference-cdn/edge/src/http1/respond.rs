//! Sends responses on an HTTP/1.1 connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::encode::{self, Delimiter};
use crate::client::{ConnectionLimits, Downstream, Stop};
use crate::limits::Limit;

/// Buffers handed to the kernel in one call.
const SLICES: usize = 32;
/// A head and content that fit here together are copied into one buffer and sent by a plain write, which costs less than
/// naming two places to the kernel.
const LEAD: usize = 4096;

/// The writing side of a connection.
#[derive(Debug)]
pub struct Responder<W> {
    writer: W,
    stall: Duration,
    time: Duration,
    /// What is sent before all in `queue`: heads, and content as small as they are.
    lead: BytesMut,
    scratch: BytesMut,
    queue: VecDeque<Bytes>,
    queued: usize,
    sent: u64,
    /// Why it stopped writing, if the client was too slow.
    pub(super) reached: Option<Limit>,
    current: Exchange,
}

/// What a responder knows about the request it answers.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) http11: bool,
    pub(super) keep_alive: bool,
    /// The client waits for 100 (Continue), and has not got it.
    pub(super) awaits_continue: bool,
    pub(super) started: bool,
    pub(super) finished: bool,
    pub(super) delimiter: Option<Delimiter>,
    /// Octets of content that may still be pushed.
    pub(super) left: u64,
}

impl<W: AsyncWrite + Unpin + Send> Responder<W> {
    pub fn new(writer: W, limits: &ConnectionLimits) -> Self {
        Self {
            writer,
            stall: limits.write_stall,
            time: limits.write_time,
            lead: BytesMut::with_capacity(LEAD),
            scratch: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            reached: None,
            current: Exchange::default(),
        }
    }

    pub(super) fn begin(&mut self, exchange: Exchange) {
        self.current = exchange;
    }

    /// Whether the exchange ended properly and the connection may carry another.
    pub(super) fn reusable(&self) -> bool {
        self.current.finished && self.current.keep_alive
    }

    /// Octets written to the socket since the connection began.
    pub fn octets_sent(&self) -> u64 {
        self.sent
    }

    #[cfg(test)]
    pub(super) fn into_writer(self) -> W {
        self.writer
    }

    /// Tells the client that nothing more comes.
    pub(super) async fn shut_down(&mut self) {
        let _ = timeout(self.stall, self.writer.shutdown()).await;
    }

    fn queue(&mut self, data: Bytes) {
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// Queues what `encode` writes.
    fn encode(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        if self.queue.is_empty() {
            let before = self.lead.len();
            encode(&mut self.lead);
            self.queued += self.lead.len() - before;
        } else {
            encode(&mut self.scratch);
            let data = self.scratch.split().freeze();
            self.queue(data);
        }
    }

    async fn write_queue(&mut self) -> Result<(), Stop> {
        // What the kernel takes at once, as it nearly always does, needs no timer.
        if poll_fn(|context| Poll::Ready(self.write_at_once(context))).await? {
            return Ok(());
        }
        let Ok(written) = timeout(self.time, self.write_all()).await else {
            self.reached = Some(Limit::WriteTime);
            return Err(Stop::Client);
        };
        written
    }

    /// Writes without waiting. True when that was all.
    fn write_at_once(&mut self, context: &mut Context<'_>) -> Result<bool, Stop> {
        while self.queued > 0 {
            match self.poll_write(context) {
                Poll::Ready(written) => self.wrote(written?),
                Poll::Pending => return Ok(false),
            }
        }
        match Pin::new(&mut self.writer).poll_flush(context) {
            Poll::Ready(flushed) => flushed.map(|()| true).map_err(|_| Stop::Client),
            Poll::Pending => Ok(false),
        }
    }

    async fn write_all(&mut self) -> Result<(), Stop> {
        while self.queued > 0 {
            match timeout(self.stall, poll_fn(|context| self.poll_write(context))).await {
                Ok(written) => self.wrote(written?),
                Err(_) => {
                    self.reached = Some(Limit::WriteStall);
                    return Err(Stop::Client);
                }
            }
        }
        // TLS may hold back what the socket had no room for.
        match timeout(self.stall, self.writer.flush()).await {
            Ok(flushed) => flushed.map_err(|_| Stop::Client),
            Err(_) => {
                self.reached = Some(Limit::WriteStall);
                Err(Stop::Client)
            }
        }
    }

    /// Hands the kernel what is queued; says how much it took.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Stop>> {
        let writer = Pin::new(&mut self.writer);
        let written = if self.queue.is_empty() {
            writer.poll_write(context, &self.lead)
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let lead = Some(&self.lead[..]).filter(|lead| !lead.is_empty());
            let queue = self.queue.iter().map(|data| &data[..]);
            let mut count = 0;
            for (slice, data) in slices.iter_mut().zip(lead.into_iter().chain(queue)) {
                *slice = IoSlice::new(data);
                count += 1;
            }
            writer.poll_write_vectored(context, &slices[..count])
        };
        written.map(|written| written.ok().filter(|written| *written > 0).ok_or(Stop::Client))
    }

    /// So many octets of what is queued are on their way.
    fn wrote(&mut self, mut written: usize) {
        self.sent += written as u64;
        self.queued -= written;
        let of_lead = written.min(self.lead.len());
        if of_lead == self.lead.len() {
            // Keeps its memory, unless a head was very large.
            self.lead.clear();
            if self.lead.capacity() > 4 * LEAD {
                self.lead = BytesMut::with_capacity(LEAD);
            }
        } else {
            self.lead.advance(of_lead);
        }
        written -= of_lead;
        while let Some(front) = self.queue.front_mut() {
            if written < front.len() {
                front.advance(written);
                break;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }
}

impl<W: AsyncWrite + Unpin + Send> Downstream for Responder<W> {
    async fn interim(&mut self, status: StatusCode, fields: &HeaderMap) -> Result<(), Stop> {
        if !self.current.http11 || self.current.started {
            return Ok(());
        }
        if status == StatusCode::CONTINUE {
            self.current.awaits_continue = false;
        }
        self.encode(|out| encode::interim(out, status, fields));
        self.write_queue().await
    }

    fn start(
        &mut self,
        status: StatusCode,
        reason: Option<&[u8]>,
        fields: &HeaderMap,
        length: Option<u64>,
        has_content: bool,
    ) {
        let current = &mut self.current;
        let delimiter = match length {
            _ if !has_content => Delimiter::Nothing,
            Some(length) => Delimiter::Length(length),
            None if current.http11 => Delimiter::Chunked,
            None => Delimiter::Close,
        };
        // A client that waits for 100 and gets a final response may or may not send its content now: only closing
        // makes clear where the next request begins (RFC 9110 section 10.1.1).
        if delimiter == Delimiter::Close || current.awaits_continue {
            current.keep_alive = false;
        }
        current.started = true;
        current.left = match delimiter {
            Delimiter::Length(length) => length,
            Delimiter::Nothing => 0,
            Delimiter::Chunked | Delimiter::Close => u64::MAX,
        };
        current.delimiter = Some(delimiter);
        let connection = match (current.keep_alive, current.http11) {
            (false, _) => Some("close"),
            (true, false) => Some("keep-alive"),
            (true, true) => None,
        };
        self.encode(|out| encode::head(out, status, reason, fields, delimiter, connection));
    }

    fn push(&mut self, data: Bytes) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        let octets = data.len() as u64;
        self.current.left = self.current.left.checked_sub(octets).ok_or(Stop::Content)?;
        let chunked = self.current.delimiter == Some(Delimiter::Chunked);
        if chunked {
            self.encode(|out| encode::chunk_size(out, data.len()));
        }
        if self.queue.is_empty() && self.lead.len() + data.len() <= LEAD {
            self.queued += data.len();
            self.lead.extend_from_slice(&data);
        } else {
            self.queue(data);
        }
        if chunked {
            self.encode(|out| out.extend_from_slice(b"\r\n"));
        }
        Ok(())
    }

    fn queued(&self) -> usize {
        self.queued
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        self.write_queue().await
    }

    async fn finish(&mut self, trailers: &HeaderMap) -> Result<(), Stop> {
        match self.current.delimiter {
            Some(Delimiter::Chunked) => {
                self.encode(|out| encode::last_chunk(out, trailers));
            }
            Some(Delimiter::Length(_)) if self.current.left > 0 => return Err(Stop::Content),
            _ => {}
        }
        self.write_queue().await?;
        self.current.finished = true;
        Ok(())
    }

    fn started(&self) -> bool {
        self.current.started
    }
}
