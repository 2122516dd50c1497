//! Connections to the candidate. Each is driven by a task of its own, one exchange after the other; whatever the
//! candidate does, nobody else waits for it.

use crate::budget::{Budget, Chunk, Permit};
use crate::clock;
use crate::ledger::State;
use crate::reading::Reading;
use bytes::{Bytes, BytesMut};
use exchange::{Response, Seen};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::Sleep;
use wire::{Close, Limits};

/// A candidate's body may be this much longer than the primary's before it is not read further.
const SLACK: u64 = 1 << 20;

/// Most bytes of a request that are sent a second time, where a kept connection turned out to be closed.
const RESEND: usize = 64 << 10;

/// Most bytes read at once.
const READ: usize = 64 << 10;

thread_local! {
    /// One buffer for all connections of a thread.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// How to talk to the candidate.
#[derive(Debug)]
pub(crate) struct Way {
    pub addresses: watch::Receiver<Vec<SocketAddr>>,
    /// How much later than the primary's answer the candidate's may be.
    pub timeout: Duration,
    /// A field line to add to each request, with its line end.
    pub tag: Option<Bytes>,
    pub budget: Arc<Budget>,
    pub limits: Limits,
    /// Most bytes of one request that wait for the candidate to take them.
    pub backlog: usize,
}

/// Identifies an exchange: its connection, and its number there.
pub(crate) type Key = (u64, u64);

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send a request, of which these bytes have come; the first chunk holds the whole head.
    Start { key: Key, chunks: Vec<Chunk>, ended: bool },
    /// More of the request.
    More { chunk: Option<Chunk>, ended: bool },
    /// The primary has answered with a body of this length; from now on time counts.
    Answered { length: u64 },
    /// Nobody wants the answer any more.
    Cancel,
}

/// What a worker tells.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub worker: usize,
    pub key: Key,
    pub answer: Result<Answer, State>,
}

/// A candidate's answer, and the room it takes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub response: Response,
    pub _room: Permit,
}

/// Drives one connection at a time until its orders end.
pub(crate) async fn work(
    worker: usize,
    way: Arc<Way>,
    mut orders: UnboundedReceiver<Order>,
    outcomes: UnboundedSender<Outcome>,
) {
    let mut kept = None;
    while let Some(order) = orders.recv().await {
        // Orders for an exchange that has ended meanwhile.
        let Order::Start { key, chunks, ended } = order else { continue };
        let mut exchange = Exchange::new(&way, key, chunks, ended);
        let answer = exchange.run(&mut orders, &mut kept).await;
        // Its memory is free once its outcome is known.
        drop(exchange);
        if outcomes.send(Outcome { worker, key, answer }).is_err() {
            return;
        }
    }
}

/// One request to the candidate.
struct Exchange<'a> {
    way: &'a Way,
    key: Key,
    method: Bytes,
    /// What is to be sent, from `next` and its `offset` on; what was sent is kept while it may be needed again.
    chunks: VecDeque<Chunk>,
    next: usize,
    offset: usize,
    waiting: usize,
    request_ended: bool,
    /// Length of the primary's body, once it is known.
    answered: Option<u64>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether bytes that were sent may have to be sent again.
    may_resend: bool,
}

/// Why an exchange over one connection ended without an answer.
enum Failed {
    /// The connection had been used before and gave nothing for this request.
    Stale,
    For(State),
}

impl<'a> Exchange<'a> {
    fn new(way: &'a Way, key: Key, chunks: Vec<Chunk>, ended: bool) -> Self {
        let mut chunks = VecDeque::from(chunks);
        let head = chunks.front().map(|c| c.bytes.clone()).unwrap_or_default();
        let method = head.slice(..memchr::memchr(b' ', &head).unwrap_or(0));
        if let (Some(tag), Some(first)) = (&way.tag, chunks.front_mut()) {
            // After the request line, which is there: the relay has read it.
            let at = memchr::memchr(b'\n', &head).map_or(0, |end| end + 1);
            let mut tagged = BytesMut::with_capacity(head.len() + tag.len());
            tagged.extend_from_slice(&head[..at]);
            tagged.extend_from_slice(tag);
            tagged.extend_from_slice(&head[at..]);
            first.bytes = tagged.freeze();
        }
        let waiting = chunks.iter().map(|c| c.bytes.len()).sum();
        Exchange {
            way,
            key,
            method,
            chunks,
            next: 0,
            offset: 0,
            waiting,
            request_ended: ended,
            answered: None,
            deadline: None,
            may_resend: false,
        }
    }

    async fn run(
        &mut self,
        orders: &mut UnboundedReceiver<Order>,
        kept: &mut Option<TcpStream>,
    ) -> Result<Answer, State> {
        if let Some(stream) = kept.take().filter(is_open) {
            self.may_resend = self.waiting <= RESEND;
            match self.over(stream, orders, kept).await {
                Err(Failed::Stale) if self.may_resend => {
                    (self.next, self.offset) = (0, 0);
                    self.waiting = self.chunks.iter().map(|c| c.bytes.len()).sum();
                    self.may_resend = false;
                }
                Err(Failed::Stale) => return Err(State::CandidateClosed),
                Err(Failed::For(state)) => return Err(state),
                Ok(answer) => return Ok(answer),
            }
        }
        let stream = self.connect(orders).await?;
        self.over(stream, orders, kept).await.map_err(|failed| match failed {
            Failed::Stale => State::CandidateClosed,
            Failed::For(state) => state,
        })
    }

    async fn connect(&mut self, orders: &mut UnboundedReceiver<Order>) -> Result<TcpStream, State> {
        let addresses = self.way.addresses.borrow().clone();
        let mut connect =
            std::pin::pin!(tokio::time::timeout(self.way.timeout, TcpStream::connect(&addresses[..])));
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => self.hear(order)?,
                connected = &mut connect => {
                    return match connected {
                        Ok(Ok(stream)) => {
                            let _ = stream.set_nodelay(true);
                            Ok(stream)
                        }
                        Ok(Err(_)) | Err(_) => Err(State::CandidateUnreachable),
                    };
                }
            }
        }
    }

    /// Takes an order in.
    fn hear(&mut self, order: Option<Order>) -> Result<(), State> {
        match order {
            Some(Order::More { chunk, ended }) => {
                if let Some(chunk) = chunk {
                    self.waiting += chunk.bytes.len();
                    self.chunks.push_back(chunk);
                }
                self.request_ended |= ended;
                if self.waiting > self.way.backlog {
                    return Err(State::CandidateBacklog);
                }
            }
            Some(Order::Answered { length }) => self.answered = Some(length),
            // One exchange at a time: there is no second start.
            Some(Order::Cancel | Order::Start { .. }) | None => return Err(State::Shutdown),
        }
        if self.request_ended && self.answered.is_some() && self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.way.timeout)));
        }
        Ok(())
    }

    /// Sends the request over this connection and reads the answer.
    async fn over(
        &mut self,
        mut stream: TcpStream,
        orders: &mut UnboundedReceiver<Order>,
        kept: &mut Option<TcpStream>,
    ) -> Result<Answer, Failed> {
        let way = self.way;
        let mut reading =
            Reading::response(&way.budget, &way.limits, &self.method).ok_or(Failed::For(State::Memory))?;
        // Where the candidate takes no more of the request, its answer may still come.
        let mut sends = true;
        let (mut source, sink) = stream.split();
        loop {
            let to_send = sends && self.waiting > 0;
            let deadline = self.deadline.as_mut().map(|d| d.as_mut());
            tokio::select! {
                biased;
                order = orders.recv() => self.hear(order).map_err(Failed::For)?,
                () = elapsed(deadline) => return Err(Failed::For(State::CandidateTimeout)),
                bytes = read(&mut source) => {
                    if self.take_in(bytes, &mut reading)? {
                        break;
                    }
                }
                _ = sink.writable(), if to_send => sends = self.send(&sink),
            }
        }
        if !reading.has_head() {
            return Err(if self.may_resend { Failed::Stale } else { Failed::For(State::CandidateClosed) });
        }
        if sends && self.waiting == 0 && self.request_ended && reading.keeps_alive() {
            *kept = Some(stream);
        }
        let seen = Seen { connection: self.key.0, stream: self.key.1, ..Seen::default() };
        let (response, _room) = reading.into_response(seen).ok_or(Failed::For(State::CandidateClosed))?;
        Ok(Answer { response, _room })
    }

    /// Sends what the socket takes; false where it takes nothing any more.
    fn send(&mut self, stream: &WriteHalf<'_>) -> bool {
        while let Some(chunk) = self.chunks.get(self.next) {
            match stream.try_write(&chunk.bytes[self.offset..]) {
                Ok(sent) => {
                    self.offset += sent;
                    self.waiting -= sent;
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            if self.offset < chunk.bytes.len() {
                continue;
            }
            self.offset = 0;
            if self.may_resend {
                self.next += 1;
            } else {
                self.chunks.pop_front();
            }
        }
        true
    }

    /// Takes in what was read; true where the answer has ended.
    fn take_in(&mut self, bytes: io::Result<Bytes>, reading: &mut Reading) -> Result<bool, Failed> {
        let now = clock::now();
        let close = match bytes {
            Ok(bytes) if !bytes.is_empty() => {
                self.forget_sent();
                reading
                    .push(now, bytes)
                    .map_err(|stuck| Failed::For(stuck.state(State::CandidateGarbage)))?;
                let too_long = |length| reading.length() > length + SLACK;
                if !reading.is_complete() && self.answered.is_some_and(too_long) {
                    return Err(Failed::For(State::CandidateTooLong));
                }
                return Ok(reading.is_complete());
            }
            Ok(_) => Close::Fin,
            Err(_) => Close::Reset,
        };
        reading.finish(now, close);
        Ok(true)
    }

    /// The connection is alive: nothing will have to be sent again.
    fn forget_sent(&mut self) {
        if self.may_resend {
            self.may_resend = false;
            self.chunks.drain(..self.next);
            self.next = 0;
        }
    }
}

/// The next bytes, in a copy of their own size: what is kept of it should not keep a whole buffer. None at the end.
async fn read(source: &mut ReadHalf<'_>) -> io::Result<Bytes> {
    std::future::poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *source).poll_read(cx, &mut read))?;
            Poll::Ready(Ok(Bytes::copy_from_slice(read.filled())))
        })
    })
    .await
}

/// Ends at the deadline, or never where there is none.
async fn elapsed(deadline: Option<Pin<&mut Sleep>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}

/// Whether an idle connection can still be used: no end, no bytes nobody asked for.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
