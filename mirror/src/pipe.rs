//! One direction of a relayed connection: bytes in, the same bytes out, nothing else.

use crate::tap::End;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most bytes read at once. Also the most that a direction holds for a receiver that does not take them.
const READ: usize = 64 << 10;

/// The same where many receivers are slow: [`PLENTY`] is held already by the connections of this thread.
const READ_LITTLE: usize = 4 << 10;
const PLENTY: usize = 1 << 20;

/// Reads in a row before other connections get their turn.
const TURN: usize = 4;

thread_local! {
    /// One buffer for all connections of a thread: a connection without traffic needs none.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
    /// Bytes that all pipes of a thread hold.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeEnd {
    /// The sender closed or reset; all bytes before that have been passed on.
    Source(End),
    /// The receiver takes no more bytes: it has closed or reset.
    Refused,
}

/// State of one direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Bytes read that the receiver had no room for, from `at` on.
    pending: Vec<u8>,
    at: usize,
    ended: Option<PipeEnd>,
    passed: u64,
}

impl Pipe {
    pub(crate) fn ended(&self) -> Option<PipeEnd> {
        self.ended
    }

    /// Bytes that came in and were, or will be, passed on.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Moves bytes until one of the two has to be waited for, or the direction ends. `saw` gets the bytes once
    /// they are on their way.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        saw: impl FnMut(&[u8]),
    ) -> Poll<PipeEnd> {
        if let Some(end) = self.ended {
            return Poll::Ready(end);
        }
        let end = ready!(self.pump(cx, from, to, saw));
        self.ended = Some(end);
        self.release();
        Poll::Ready(end)
    }

    fn pump(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        mut saw: impl FnMut(&[u8]),
    ) -> Poll<PipeEnd> {
        if !ready!(self.flush(cx, to)) {
            return Poll::Ready(PipeEnd::Refused);
        }
        for _ in 0..TURN {
            let step = BUFFER.with_borrow_mut(|buffer| {
                let room = if HELD.get() < PLENTY { READ } else { READ_LITTLE };
                let mut read = ReadBuf::new(&mut buffer[..room]);
                match ready!(Pin::new(&mut *from).poll_read(cx, &mut read)) {
                    Err(_) => return Poll::Ready(Some(PipeEnd::Source(End::Reset))),
                    Ok(()) if read.filled().is_empty() => {
                        return Poll::Ready(Some(PipeEnd::Source(End::Fin)));
                    }
                    Ok(()) => {}
                }
                let bytes = read.filled();
                let took = match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(Ok(took)) => took,
                    Poll::Ready(Err(_)) => return Poll::Ready(Some(PipeEnd::Refused)),
                    Poll::Pending => 0,
                };
                self.passed += bytes.len() as u64;
                self.hold(&bytes[took..]);
                saw(bytes);
                Poll::Ready(None)
            });
            if let Some(end) = ready!(step) {
                return Poll::Ready(end);
            }
            if !ready!(self.flush(cx, to)) {
                return Poll::Ready(PipeEnd::Refused);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what is pending; false where the receiver takes nothing any more.
    fn flush(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<bool> {
        while self.at < self.pending.len() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.pending[self.at..])) {
                Ok(took) if took > 0 => self.at += took,
                _ => return Poll::Ready(false),
            }
        }
        if self.at > 0 {
            self.release();
        }
        Poll::Ready(true)
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        HELD.set(HELD.get() + bytes.len());
    }

    /// Frees what was held: connections that are not slow at the moment take no memory.
    fn release(&mut self) {
        // A pipe stays on its thread.
        HELD.set(HELD.get().saturating_sub(self.pending.len()));
        self.pending = Vec::new();
        self.at = 0;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // At the end of a thread nobody counts any more.
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(self.pending.len())));
    }
}
