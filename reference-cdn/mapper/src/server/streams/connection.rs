//! One connection: queries in, answers out, in order and at once, and nobody's time wasted.
//!
//! A connection that waits holds no buffer. What has come is read into memory that all connections of the thread use in turn, answered
//! from there, and the answers written; only the beginning of a query, and answers that the client does not take, are kept.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::super::counters::Count;
use super::frames::Frames;
use super::{Desk, Place, Thread};
use crate::respond::{Asked, Respond, Transport};

/// Octets read at once.
pub(super) const INPUT: usize = 16 << 10;
/// Answers of this many octets are written before more queries are answered.
pub(super) const HIGH: usize = 16 << 10;
/// How long a connection that has asked enough may take to see the end, and what it may send until then.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 16;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Broken,
    Idle,
    Reading,
    Writing,
    Spent,
    Malformed,
}

impl End {
    pub(super) fn count(self) -> Count {
        match self {
            Self::Client => Count::ClosedByClient,
            Self::Broken => Count::ClosedBroken,
            Self::Idle => Count::ClosedIdle,
            Self::Reading => Count::ClosedReading,
            Self::Writing => Count::ClosedWriting,
            Self::Spent => Count::ClosedSpent,
            Self::Malformed => Count::ClosedMalformed,
        }
    }
}

/// What is being waited for, which has a time limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Reading,
    Writing,
}

pub(super) struct Connection<S, R> {
    stream: S,
    peer: SocketAddr,
    local: SocketAddr,
    transport: Transport,
    frames: Frames,
    /// Answers that the client has not taken, from `written` on.
    pending: Vec<u8>,
    written: usize,
    /// What was written may wait in a layer below.
    unflushed: bool,
    queries: u32,
    phase: Phase,
    since: Instant,
    born: Instant,
    /// An end that comes once all answers are written.
    end: Option<End>,
    place: Place,
    thread: Rc<Thread<R>>,
}

impl<S, R> Connection<S, R> {
    fn deadline(&self) -> Instant {
        let limits = &self.thread.shared.limits;
        let within = match self.phase {
            Phase::Idle => limits.idle,
            Phase::Reading => limits.read,
            Phase::Writing => limits.write,
        };
        (self.since + within).min(self.born + limits.total)
    }

    /// Gives back what was counted of answers that wait.
    fn forget_pending(&mut self) {
        if !self.pending.is_empty() {
            self.thread.shared.pending.fetch_sub(self.pending.len(), Ordering::Relaxed);
            self.pending = Vec::new();
            self.written = 0;
        }
    }
}

impl<S, R> Drop for Connection<S, R> {
    fn drop(&mut self) {
        self.forget_pending();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Respond> Connection<S, R> {
    pub(super) fn new(
        stream: S,
        (peer, local): (SocketAddr, SocketAddr),
        secured: bool,
        place: Place,
        thread: Rc<Thread<R>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            peer,
            local,
            transport: if secured { Transport::Tls } else { Transport::Tcp },
            frames: Frames::default(),
            pending: Vec::new(),
            written: 0,
            unflushed: false,
            queries: 0,
            phase: Phase::Idle,
            since: now,
            born: now,
            end: None,
            place,
            thread,
        }
    }

    /// Serves it to its end, and counts that.
    pub(super) async fn serve(mut self) {
        let end = {
            let mut timer = pin!(sleep_until(self.deadline()));
            poll_fn(|cx| self.poll(cx, timer.as_mut())).await
        };
        self.thread.counters.add(end.count(), 1);
        if end == End::Spent && self.pending.is_empty() {
            // Closed while there is something to read, TCP resets, and the last answers may be lost on their way.
            let _ = timeout(LINGER, self.linger()).await;
        }
    }

    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut rest = [0; 512];
        for _ in 0..LINGER_READS {
            if self.stream.read(&mut rest).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Goes on as far as it can. The timer is only set anew when the deadline comes nearer, or when it fires: most queries cost none.
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        // Others have their turn after this many.
        for _ in 0..16 {
            match self.step(cx) {
                Poll::Ready(ControlFlow::Continue(())) => {}
                Poll::Ready(ControlFlow::Break(end)) => return Poll::Ready(end),
                Poll::Pending => {
                    let deadline = self.deadline();
                    if deadline < timer.deadline() {
                        timer.as_mut().reset(deadline);
                    }
                    while timer.as_mut().poll(cx).is_ready() {
                        if deadline <= Instant::now() {
                            return Poll::Ready(self.late());
                        }
                        timer.as_mut().reset(deadline);
                    }
                    return Poll::Pending;
                }
            }
        }
        if self.born + self.thread.shared.limits.total <= Instant::now() {
            return Poll::Ready(End::Spent);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn late(&self) -> End {
        if self.deadline() == self.born + self.thread.shared.limits.total {
            return End::Spent;
        }
        match self.phase {
            Phase::Idle => End::Idle,
            Phase::Reading => End::Reading,
            Phase::Writing => End::Writing,
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = Instant::now();
        }
    }

    /// Writes what waits, or else answers what has come, or else reads.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<End>> {
        match ready!(self.drain(cx)) {
            Ok(()) => {}
            Err(_) => return Poll::Ready(ControlFlow::Break(End::Broken)),
        }
        if let Some(end) = self.end {
            return Poll::Ready(ControlFlow::Break(end));
        }
        let thread = Rc::clone(&self.thread);
        let mut desk = thread.desk.borrow_mut();
        let desk = &mut *desk;
        let count = if self.frames.has_message() {
            0
        } else {
            self.enter(if self.frames.is_empty() { Phase::Idle } else { Phase::Reading });
            let mut into = ReadBuf::new(&mut desk.input);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into)) {
                Ok(()) if into.filled().is_empty() => {
                    return Poll::Ready(ControlFlow::Break(End::Client));
                }
                Ok(()) => into.filled().len(),
                Err(_) => return Poll::Ready(ControlFlow::Break(End::Broken)),
            }
        };
        let length = self.answer(count, desk);
        Poll::Ready(match self.write(cx, &desk.output[..length]) {
            Ok(()) => ControlFlow::Continue(()),
            Err(end) => ControlFlow::Break(end),
        })
    }

    /// Answers the queries in what is held and `come` octets of the desk's input. Says how many octets of output that makes.
    fn answer(&mut self, come: usize, desk: &mut Desk<R>) -> usize {
        let Desk { responder, input, output } = desk;
        let (shared, counters) = (&self.thread.shared, &self.thread.counters);
        let limits = &shared.limits;
        let (now, started) = (shared.clock.now(), self.queries);
        let (peer, local, transport) = (self.peer, self.local.ip(), self.transport);
        let (mut length, mut answers) = (0, 0);
        responder.refresh(counters);
        let queries = &mut self.queries;
        let fed = self.frames.feed(&input[..come], limits.longest_query, |query| {
            *queries += 1;
            let asked = Asked { now, peer, local, transport, query };
            if let Some(octets) = responder.respond(counters, &asked, &mut output[length + 2..]) {
                // A message is no longer than its length can say: what is longer was written to nobody.
                if let Ok(prefix) = u16::try_from(octets) {
                    output[length..length + 2].copy_from_slice(&prefix.to_be_bytes());
                    length += 2 + octets;
                    answers += 1;
                }
            }
            if length >= HIGH || *queries >= limits.queries {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let asked = u64::from(self.queries - started);
        counters.add(Count::StreamQueries, asked);
        counters.add(Count::StreamAnswers, answers);
        counters.add(Count::StreamSilent, asked - answers);
        if fed.is_err() {
            self.end = Some(End::Malformed);
        } else if self.queries >= limits.queries {
            self.end = Some(End::Spent);
        }
        if asked > 0 {
            self.place.touch();
            // What follows, a wait or the rest of a query, begins now.
            self.since = Instant::now();
        }
        length
    }

    /// Writes answers, and keeps what the client does not take.
    fn write(&mut self, cx: &mut Context<'_>, mut answers: &[u8]) -> Result<(), End> {
        while !answers.is_empty() {
            self.unflushed = true;
            match Pin::new(&mut self.stream).poll_write(cx, answers) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Broken),
                Poll::Ready(Ok(count)) => answers = &answers[count..],
                Poll::Pending => {
                    let shared = &self.thread.shared;
                    let waiting = shared.pending.fetch_add(answers.len(), Ordering::Relaxed);
                    // Counted from here on, and given back with the connection.
                    self.pending = answers.to_vec();
                    self.written = 0;
                    if waiting + answers.len() > shared.limits.pending {
                        return Err(End::Writing);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes what waits, down to the last layer.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        if !self.pending.is_empty() {
            self.enter(Phase::Writing);
        }
        while self.written < self.pending.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending[self.written..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.written += count,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.forget_pending();
        if Pin::new(&mut self.stream).poll_flush(cx)?.is_pending() {
            self.enter(Phase::Writing);
            return Poll::Pending;
        }
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}
