//! The octets of a connection on their way to and from `h2`: each frame is shown to the [`Watch`], a client that takes
//! nothing is noticed, and closing waits until the client has read why.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::PREFACE;
use super::frames::{Found, FrameScan};
use super::watch::{Breach, Watch};

/// What the transport tells the connection about itself; `h2` owns the transport, so this is shared. Both run in one
/// task: nobody waits for the lock.
#[derive(Debug)]
pub struct Seen {
    pub watch: Watch,
    /// Why the connection has to end.
    pub breach: Option<Breach>,
    /// Whether closing waits for the client to read what was sent last.
    pub linger: bool,
}

/// A handle to what was seen.
#[derive(Clone, Debug)]
pub struct Sight(Arc<Mutex<Seen>>);

impl Sight {
    pub fn new(watch: Watch) -> Self {
        Self(Arc::new(Mutex::new(Seen { watch, breach: None, linger: true })))
    }

    pub fn look(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection as `h2` sees it.
#[derive(Debug)]
pub struct Transport<T> {
    io: T,
    /// Octets that were read before it was known that they are HTTP/2.
    first: BytesMut,
    /// Octets of the preface still to come.
    preface: usize,
    incoming: FrameScan,
    outgoing: FrameScan,
    sight: Sight,
    /// How long a client may take nothing.
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// How long closing may take.
    drain_time: Duration,
    closing: Option<Pin<Box<Sleep>>>,
    shut_down: bool,
}

impl<T> Transport<T> {
    pub fn new(io: T, first: BytesMut, sight: Sight, stall: Duration, drain_time: Duration) -> Self {
        Self {
            io,
            first,
            preface: PREFACE.len(),
            incoming: FrameScan::default(),
            outgoing: FrameScan::default(),
            sight,
            stall,
            stalled: None,
            drain_time,
            closing: None,
            shut_down: false,
        }
    }

    /// Looks at octets that came in. How many of them `h2` may have.
    fn came(&mut self, octets: &[u8]) -> usize {
        let mut at = self.preface.min(octets.len());
        self.preface -= at;
        let now = Instant::now();
        let seen = &mut *self.sight.look();
        self.incoming.piece();
        while let Some(found) = self.incoming.next(octets, &mut at) {
            match found {
                Found::Head { head, at } => {
                    if let Err(breach) = seen.watch.coming(&head, now) {
                        seen.breach = Some(breach);
                        return at;
                    }
                }
                Found::Setting { id, value, at } => {
                    if let Err(breach) = seen.watch.setting(id, value) {
                        seen.breach = Some(breach);
                        // Without its last octet the frame means nothing.
                        return at;
                    }
                }
                Found::End { head, .. } => seen.watch.came(&head),
            }
        }
        octets.len()
    }

    fn went(&mut self, octets: &[u8], seen: &mut Seen, now: Instant) {
        let mut at = 0;
        while let Some(found) = self.outgoing.next(octets, &mut at) {
            if let Found::End { head, word } = found
                && let Err(breach) = seen.watch.sent(&head, word, now)
            {
                seen.breach.get_or_insert(breach);
            }
        }
    }

    /// What becomes of a write; `taken` looks at what the client's side took of it.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
        taken: impl FnOnce(&mut Self, usize),
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(result) => {
                self.stalled = None;
                if let Ok(written) = result {
                    taken(self, written);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                let stall = self.stall;
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
                ready!(stalled.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Transport<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.sight.look().breach.is_some() {
            // The connection is about to be told; nothing more is read.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if this.first.is_empty() {
            ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        } else {
            let take = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..take]);
            this.first.advance(take);
        }
        let came = buffer.filled().len() - before;
        if came == 0 {
            return Poll::Ready(Ok(()));
        }
        let good = this.came(&buffer.filled()[before..]);
        if good < came {
            buffer.set_filled(before + good);
            if good == 0 {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.io).poll_write(context, octets);
        this.written(context, result, |this, written| {
            let sight = this.sight.clone();
            this.went(&octets[..written], &mut sight.look(), Instant::now());
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        this.written(context, result, |this, mut written| {
            let (sight, now) = (this.sight.clone(), Instant::now());
            let seen = &mut *sight.look();
            for slice in slices {
                let take = written.min(slice.len());
                this.went(&slice[..take], seen, now);
                written -= take;
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// Closes the sending side and reads on for a while: closing with octets unread makes the kernel reset the connection,
    /// and the client might lose the GOAWAY that tells it why (as with HTTP/1.1, RFC 9112 section 9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let drain_time = this.drain_time;
        let closing = this.closing.get_or_insert_with(|| Box::pin(sleep(drain_time)));
        if closing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !this.shut_down {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
            this.shut_down = true;
        }
        if !this.sight.look().linger {
            return Poll::Ready(Ok(()));
        }
        let mut sink = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut this.io).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
