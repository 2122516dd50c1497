//! Sends responses on an HTTP/1.1 connection.

use std::collections::VecDeque;
use std::io::IoSlice;
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
/// The writing side of a connection.
#[derive(Debug)]
pub struct Responder<W> {
    writer: W,
    stall: Duration,
    time: Duration,
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
            scratch: BytesMut::with_capacity(4096),
            queue: VecDeque::with_capacity(SLICES),
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

    /// Tells the client that nothing more comes.
    pub(super) async fn shut_down(&mut self) {
        let _ = timeout(self.stall, self.writer.shutdown()).await;
    }

    fn queue(&mut self, data: Bytes) {
        self.queued += data.len();
        self.queue.push_back(data);
    }

    fn queue_scratch(&mut self) {
        let data = self.scratch.split().freeze();
        self.queue(data);
    }

    async fn write_queue(&mut self) -> Result<(), Stop> {
        let Ok(written) = timeout(self.time, self.write_all()).await else {
            self.reached = Some(Limit::WriteTime);
            return Err(Stop::Client);
        };
        written
    }

    async fn write_all(&mut self) -> Result<(), Stop> {
        while self.queued > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, data) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(data);
                count += 1;
            }
            let write = self.writer.write_vectored(&slices[..count]);
            let mut written = match timeout(self.stall, write).await {
                Ok(Ok(written)) if written > 0 => written,
                Ok(_) => return Err(Stop::Client),
                Err(_) => {
                    self.reached = Some(Limit::WriteStall);
                    return Err(Stop::Client);
                }
            };
            self.sent += written as u64;
            self.queued -= written;
            while let Some(front) = self.queue.front_mut() {
                if written < front.len() {
                    front.advance(written);
                    break;
                }
                written -= front.len();
                self.queue.pop_front();
            }
        }
        self.queue.clear();
        // TLS may hold back what the socket had no room for.
        match timeout(self.stall, self.writer.flush()).await {
            Ok(flushed) => flushed.map_err(|_| Stop::Client),
            Err(_) => {
                self.reached = Some(Limit::WriteStall);
                Err(Stop::Client)
            }
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
        encode::interim(&mut self.scratch, status, fields);
        self.queue_scratch();
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
        encode::head(&mut self.scratch, status, reason, fields, delimiter, connection);
        self.queue_scratch();
    }

    fn push(&mut self, data: Bytes) -> Result<(), Stop> {
        if data.is_empty() {
            return Ok(());
        }
        let octets = data.len() as u64;
        self.current.left = self.current.left.checked_sub(octets).ok_or(Stop::Content)?;
        if self.current.delimiter == Some(Delimiter::Chunked) {
            encode::chunk_size(&mut self.scratch, data.len());
            self.queue_scratch();
            self.queue(data);
            self.queue(Bytes::from_static(b"\r\n"));
        } else {
            self.queue(data);
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
                encode::last_chunk(&mut self.scratch, trailers);
                self.queue_scratch();
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
