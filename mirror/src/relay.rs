//! The service's path: a client's connection and the primary's, byte for byte, both ways.
//!
//! A direction waits only for its sender and its receiver, as without the mirror. What the tap does with the bytes
//! happens after they were passed on, waits for nothing that depends on a candidate or a disk (the longest it can
//! meet is the push onto the run queue of the observer's thread), and cannot fail the relay.
//!
//! Ends are passed on as they come: a close as a close, a reset as a reset. After a reset, bytes that the kernel
//! had not sent yet may be lost to the receiver, as they may be without the mirror.

use crate::clock;
use crate::ledger::State;
use crate::pipe::{Pipe, PipeEnd};
use crate::stop::{Level, Stop};
use crate::tap::{End, Side, Tap};
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a client may keep its side open without sending anything, once the primary has closed: what Linux
/// grants a socket that its program has closed (`tcp_fin_timeout`).
const ORPHAN: Duration = Duration::from_secs(60);

/// A relayed connection.
pub(crate) struct Relay {
    client: TcpStream,
    primary: TcpStream,
    up: Direction,
    down: Direction,
    tap: Tap,
    /// Runs where the primary has closed and the client has not, with the bytes that had come from it by then.
    orphan: Option<(Pin<Box<Sleep>>, u64)>,
}

/// A direction, and whether its end was passed on.
#[derive(Default)]
struct Direction {
    pipe: Pipe,
    told: bool,
}

impl Direction {
    /// Its end, the first time it is asked for.
    fn new_end(&mut self) -> Option<PipeEnd> {
        let end = self.pipe.ended().filter(|_| !self.told)?;
        self.told = true;
        Some(end)
    }
}

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// Bytes from the client to the primary.
    pub up: u64,
    /// Bytes from the primary to the client.
    pub down: u64,
    /// The mirror ended with a message under way.
    pub cut: bool,
}

/// What is left to do with the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Close both in order.
    Close,
    ResetClient,
    ResetPrimary,
    /// Reset both, because the mirror ends.
    Cut,
}

impl Relay {
    pub(crate) fn new(client: TcpStream, primary: TcpStream, tap: Tap) -> Self {
        Relay { client, primary, up: Direction::default(), down: Direction::default(), tap, orphan: None }
    }

    /// Relays until both directions have ended, or the mirror does.
    pub(crate) async fn run(mut self, stop: &Stop) -> Relayed {
        let finish = {
            let mut changed = pin!(stop.changed());
            // The task's waker stays the same, so that a notification needs to be polled once to be heard.
            let mut listens = false;
            std::future::poll_fn(|cx| {
                while !listens {
                    if changed.as_mut().poll(cx).is_ready() {
                        changed.set(stop.changed());
                    } else {
                        listens = true;
                    }
                }
                let level = stop.level();
                if let Poll::Ready(finish) = self.poll(cx) {
                    return Poll::Ready(finish);
                }
                if level == Level::Run {
                    return Poll::Pending;
                }
                if self.tap.is_idle() && self.up.pipe.is_empty() && self.down.pipe.is_empty() {
                    return Poll::Ready(Finish::Close);
                }
                if level == Level::Now {
                    return Poll::Ready(Finish::Cut);
                }
                // Hear of the next level too.
                if changed.as_mut().poll(cx).is_ready() {
                    changed.set(stop.changed());
                    listens = false;
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await
        };
        self.finish(finish)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        let Relay { client, primary, up, down, tap, .. } = self;
        let _ = up.pipe.poll(cx, client, primary, |bytes| tap.saw(Side::Request, clock::now(), bytes));
        match up.new_end() {
            Some(PipeEnd::Source(End::Fin)) => {
                tap.ended(Side::Request, clock::now(), End::Fin);
                // Where the primary is gone already, the other direction tells.
                let _ = Pin::new(&mut *primary).poll_shutdown(cx);
            }
            Some(PipeEnd::Source(End::Reset)) => {
                tap.ended(Side::Request, clock::now(), End::Reset);
                return Poll::Ready(Finish::ResetPrimary);
            }
            // The primary takes no more, but what it has sent before is still to be read.
            Some(PipeEnd::Refused) | None => {}
        }
        let _ = down.pipe.poll(cx, primary, client, |bytes| tap.saw(Side::Response, clock::now(), bytes));
        match down.new_end() {
            // A failed write has taken the socket's error, so that reading shows a reset as an end.
            Some(PipeEnd::Source(End::Fin)) if up.pipe.ended() != Some(PipeEnd::Refused) => {
                tap.ended(Side::Response, clock::now(), End::Fin);
                let _ = Pin::new(&mut *client).poll_shutdown(cx);
            }
            Some(PipeEnd::Source(_)) => {
                tap.ended(Side::Response, clock::now(), End::Reset);
                return Poll::Ready(Finish::ResetClient);
            }
            Some(PipeEnd::Refused) => {
                tap.ended(Side::Request, clock::now(), End::Reset);
                return Poll::Ready(Finish::ResetPrimary);
            }
            None => {}
        }
        match (up.pipe.ended(), down.pipe.ended()) {
            (Some(PipeEnd::Refused), Some(_)) => Poll::Ready(Finish::ResetClient),
            (Some(_), Some(_)) => Poll::Ready(Finish::Close),
            (None, Some(_)) => self.poll_orphan(cx),
            _ => Poll::Pending,
        }
    }

    /// Waits for a client whose primary has closed.
    fn poll_orphan(&mut self, cx: &mut Context<'_>) -> Poll<Finish> {
        let passed = self.up.pipe.passed();
        loop {
            let (timer, before) = self.orphan.get_or_insert_with(|| (Box::pin(sleep(ORPHAN)), passed));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if *before == passed {
                return Poll::Ready(Finish::Close);
            }
            self.orphan = None;
        }
    }

    fn finish(mut self, finish: Finish) -> Relayed {
        let (client, primary) = match finish {
            Finish::Close => (false, false),
            Finish::ResetClient => (true, false),
            Finish::ResetPrimary => (false, true),
            Finish::Cut => (true, true),
        };
        // A socket that cannot be told to reset closes in order instead.
        if client {
            let _ = self.client.set_zero_linger();
        }
        if primary {
            let _ = self.primary.set_zero_linger();
        }
        // What is open now has no answer: ends that came before have been told.
        self.tap.close(if finish == Finish::Cut { State::Shutdown } else { State::PrimaryGone });
        Relayed { up: self.up.pipe.passed(), down: self.down.pipe.passed(), cut: finish == Finish::Cut }
    }
}
