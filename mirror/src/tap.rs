//! What the relay tells the observer, and when it tells nothing.
//!
//! A [`Tap`] sees the bytes of one connection after the relay has passed them on. It follows where messages begin
//! and end, enters each request in the ledger, and hands copies of what is to be compared to the observer. Handing
//! over never waits: where there is no room, that transaction's copy is given up and the ledger says so. Whatever
//! the bytes are, they have been relayed already.

use crate::budget::{Budget, Chunk, Permit};
use crate::framing::{Delimiter, Framer, HeadStep, Lost, RequestHead, ResponseHead};
use crate::ledger::{Ledger, State, Ticket};
use crate::outbox::Outbox;
use crate::sample::{Candidate, Sampler};
use crate::status::Connections;
use exchange::Time;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most requests of a connection that wait for their response before the connection is no longer followed.
const MAX_OPEN: usize = 10_000;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// How one direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// What a connection's tap tells its observer. Transactions are numbered within their connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// A request begins: its first bytes.
    Begin { begin: Begin, number: u64, piece: Piece },
    /// More of a message.
    More { number: u64, side: Side, piece: Piece },
    /// There will be no more of this transaction.
    Abandon { number: u64, state: State },
    /// There will be no more of any transaction of this connection.
    Closed { state: State },
}

/// Why a request is copied.
#[derive(Debug)]
pub(crate) enum Begin {
    Compare(Ticket),
    /// For the record only; it is in the ledger already.
    Record,
}

/// Part of a message.
#[derive(Debug)]
pub(crate) struct Piece {
    pub at: Time,
    /// `None` where only the end is told.
    pub chunk: Option<Chunk>,
    /// Whether the message ends here.
    pub ends: bool,
}

/// An event and the connection it belongs to.
#[derive(Debug)]
pub(crate) struct Told {
    pub connection: u64,
    pub client: SocketAddr,
    pub event: Event,
}

/// What all taps share.
#[derive(Debug)]
pub(crate) struct Rules {
    pub ledger: Arc<Ledger>,
    pub budget: Arc<Budget>,
    pub connections: Arc<Connections>,
    pub sampler: Sampler,
    /// Whether unsafe methods are compared too.
    pub unsafe_methods: bool,
    /// Whether held-back requests are copied for the record.
    pub recording: bool,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u64,
    copied: bool,
    asked: Asked,
    /// The request has ended.
    ended: bool,
    /// The response has ended.
    answered: bool,
}

/// What of a request matters to its response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// Follows one connection.
#[derive(Debug)]
pub(crate) struct Tap {
    rules: Arc<Rules>,
    outbox: Arc<Outbox>,
    connection: u64,
    client: SocketAddr,
    requests: Framer,
    responses: Framer,
    /// For heads that framers keep.
    kept: Option<Permit>,
    /// The request whose head is not whole yet.
    arriving: Option<Ticket>,
    open: VecDeque<Open>,
    next: u64,
    /// Whether messages are still told apart.
    following: bool,
    /// Whether the observer knows this connection.
    known: bool,
}

enum Decision {
    Compare,
    Leave(State),
}

impl Rules {
    fn decide(&self, head: &RequestHead<'_>, client: SocketAddr, connection: u64, number: u64) -> Decision {
        let request =
            Candidate { client: client.ip(), connection, number, host: head.host, target: head.target };
        match head.method {
            b"CONNECT" => Decision::Leave(State::Connect),
            _ if head.upgrade => Decision::Leave(State::Upgrade),
            method if !self.unsafe_methods && !is_safe(method) => Decision::Leave(State::UnsafeMethod),
            _ if self.sampler.takes(&request) => Decision::Compare,
            _ => Decision::Leave(State::SampledOut),
        }
    }
}

/// RFC 9110 section 9.2.1, the safe methods of WebDAV (RFC 3253, 4918, 5323), and QUERY.
fn is_safe(method: &[u8]) -> bool {
    matches!(
        method,
        b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PROPFIND" | b"REPORT" | b"SEARCH" | b"QUERY"
    )
}

impl Tap {
    pub(crate) fn new(rules: Arc<Rules>, outbox: Arc<Outbox>, connection: u64, client: SocketAddr) -> Self {
        Tap {
            rules,
            outbox,
            connection,
            client,
            requests: Framer::new(),
            responses: Framer::new(),
            kept: None,
            arriving: None,
            open: VecDeque::new(),
            next: 0,
            following: true,
            known: false,
        }
    }

    /// Whether no message is under way, as far as can be told: the connection may be closed without cutting one.
    pub(crate) fn is_idle(&self) -> bool {
        self.following && self.open.is_empty() && !self.requests.in_message() && !self.responses.in_message()
    }

    /// Bytes that were relayed.
    pub(crate) fn saw(&mut self, side: Side, at: Time, bytes: &[u8]) {
        let mut rest = bytes;
        while self.following && !rest.is_empty() {
            let step = match side {
                Side::Request => self.request(at, rest),
                Side::Response => self.response(at, rest),
            };
            match step {
                Ok(used) => rest = &rest[used..],
                Err(state) => self.lose(state),
            }
        }
    }

    /// One step through what the client sent: how many bytes it used.
    fn request(&mut self, at: Time, input: &[u8]) -> Result<usize, State> {
        let lost = |Lost| State::RequestUnparsed;
        if self.requests.in_body() {
            let (used, ends) = self.requests.span(input).map_err(lost)?;
            self.pass(Side::Request, at, &input[..used], ends);
            return Ok(used);
        }
        let (used, skipped, early) = match self.requests.head(input).map_err(lost)? {
            HeadStep::Whole { used, skipped, early } => (used, skipped, early),
            HeadStep::More => {
                if self.arriving.is_none() && self.requests.in_message() {
                    self.arriving = Some(self.rules.ledger.begin());
                }
                if !RequestHead::may_begin(self.requests.partial()) {
                    return Err(State::RequestUnparsed);
                }
                self.keep()?;
                return Ok(input.len());
            }
        };
        let ticket = self.arriving.take().unwrap_or_else(|| self.rules.ledger.begin());
        let bytes = early.unwrap_or(&input[skipped..used]);
        let Ok(head) = RequestHead::read(bytes) else {
            ticket.end(State::RequestUnparsed);
            return Err(State::RequestUnparsed);
        };
        let number = self.next;
        let asked = match head.method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        };
        let decision = self.rules.decide(&head, self.client, self.connection, number);
        let delimiter = head.body;
        // A head that came in pieces is copied from where the pieces were put together, and then its body by the
        // next step; one that came whole is copied with as much of its body as came with it.
        let early_copy = early.map(|early| Chunk::copy(&self.rules.budget, early));
        let mut ends = self.requests.body(delimiter);
        self.kept = None;
        let (mut used, mut lost_in_body) = (used, false);
        if early_copy.is_none() && !ends {
            match self.requests.span(&input[used..]) {
                Ok((more, ended)) => (used, ends) = (used + more, ended),
                Err(Lost) => lost_in_body = true,
            }
        }
        let begin = match decision {
            Decision::Compare => Some(Begin::Compare(ticket)),
            Decision::Leave(state) => {
                ticket.end(state);
                (self.rules.recording && state != State::SampledOut && asked != Asked::Connect)
                    .then_some(Begin::Record)
            }
        };
        let mut copied = false;
        if let Some(begin) = begin {
            let chunk = early_copy.unwrap_or_else(|| Chunk::copy(&self.rules.budget, &input[skipped..used]));
            match (chunk, begin) {
                (Some(chunk), begin) => {
                    copied = true;
                    let piece = Piece { at, chunk: Some(chunk), ends };
                    self.tell(Event::Begin { begin, number, piece });
                }
                (None, Begin::Compare(ticket)) => ticket.end(State::Memory),
                (None, Begin::Record) => {
                    self.rules.connections.unrecorded.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.next += 1;
        self.open.push_back(Open { number, copied, asked, ended: ends, answered: false });
        if lost_in_body || self.open.len() > MAX_OPEN {
            return Err(State::RequestUnparsed);
        }
        Ok(used)
    }

    /// One step through what the primary sent: how many bytes it used.
    fn response(&mut self, at: Time, input: &[u8]) -> Result<usize, State> {
        let lost = |Lost| State::PrimaryUnparsed;
        // An answer nobody asked for, such as 408 on an idle connection: it cannot be paired with anything.
        let Some(open) = self.open.front().filter(|open| !open.answered).copied() else {
            return Err(State::PrimaryUnparsed);
        };
        if self.responses.in_body() {
            let (used, ends) = self.responses.span(input).map_err(lost)?;
            self.pass(Side::Response, at, &input[..used], ends);
            return Ok(used);
        }
        let (used, skipped, early) = match self.responses.head(input).map_err(lost)? {
            HeadStep::Whole { used, skipped, early } => (used, skipped, early),
            HeadStep::More => {
                if !ResponseHead::may_begin(self.responses.partial()) {
                    return Err(State::PrimaryUnparsed);
                }
                self.keep()?;
                return Ok(input.len());
            }
        };
        let head = ResponseHead::read(early.unwrap_or(&input[skipped..used])).map_err(lost)?;
        let switches =
            head.status == 101 || open.asked == Asked::Connect && (200..300).contains(&head.status);
        let interim = (100..200).contains(&head.status);
        let delimiter = match head.status {
            100..=199 | 204 | 304 => Delimiter::Length(0),
            _ if open.asked == Asked::Head || switches => Delimiter::Length(0),
            _ => head.body,
        };
        let early_copy = match early {
            Some(early) if open.copied => Some(Chunk::copy(&self.rules.budget, early)),
            _ => None,
        };
        let whole = early.is_none();
        let bodiless = self.responses.body(delimiter);
        self.kept = None;
        if let Some(chunk) = early_copy {
            self.hand_over(Side::Response, at, chunk, bodiless && !interim);
        }
        let (mut used, mut ends) = (used, bodiless && !interim);
        if whole {
            if !bodiless {
                let (more, ended) = self.responses.span(&input[used..]).map_err(lost)?;
                (used, ends) = (used + more, ended);
            }
            self.pass(Side::Response, at, &input[skipped..used], ends);
        } else if ends {
            self.message_ended(Side::Response);
        }
        if switches {
            self.rules.connections.tunnelled.fetch_add(1, Ordering::Relaxed);
            self.stop_following(if open.asked == Asked::Connect { State::Connect } else { State::Upgrade });
        }
        Ok(used)
    }

    /// Hands on a part of the message under way.
    fn pass(&mut self, side: Side, at: Time, bytes: &[u8], ends: bool) {
        let mut rest = bytes;
        while self.under_way(side).is_some_and(|open| open.copied) {
            let (part, more) = rest.split_at(rest.len().min(Chunk::PART));
            let chunk = Chunk::copy_part(&self.rules.budget, part);
            self.hand_over(side, at, chunk, ends && more.is_empty());
            if more.is_empty() {
                break;
            }
            rest = more;
        }
        if ends {
            self.message_ended(side);
        }
    }

    fn hand_over(&mut self, side: Side, at: Time, chunk: Option<Chunk>, ends: bool) {
        let Some(open) = self.under_way(side) else { return };
        let number = open.number;
        if chunk.is_none() {
            open.copied = false;
            return self.tell(Event::Abandon { number, state: State::Memory });
        }
        self.tell(Event::More { number, side, piece: Piece { at, chunk, ends } });
    }

    /// Requests come in one after the other, responses answer the oldest.
    fn under_way(&mut self, side: Side) -> Option<&mut Open> {
        match side {
            Side::Request => self.open.iter_mut().rev().find(|open| !open.ended),
            Side::Response => self.open.front_mut(),
        }
    }

    fn message_ended(&mut self, side: Side) {
        if let Some(open) = self.under_way(side) {
            match side {
                Side::Request => open.ended = true,
                Side::Response => open.answered = true,
            }
        }
        while self.open.front().is_some_and(|open| open.ended && open.answered) {
            self.open.pop_front();
        }
    }

    /// Counts what the framers keep.
    fn keep(&mut self) -> Result<(), State> {
        let bytes = self.requests.kept() + self.responses.kept();
        self.kept = None;
        self.kept = Some(self.rules.budget.take(bytes).ok_or(State::Memory)?);
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        self.known = true;
        self.outbox.put(Told { connection: self.connection, client: self.client, event });
    }

    /// One direction has ended.
    pub(crate) fn ended(&mut self, side: Side, at: Time, how: End) {
        if !self.following {
            return;
        }
        match (side, how) {
            (Side::Request, End::Fin) => {
                if let Some(ticket) = self.arriving.take() {
                    ticket.end(State::ClientGone);
                } else if self.requests.in_body() {
                    self.abandon_last(State::ClientGone);
                }
            }
            (Side::Request, End::Reset) => self.stop_following(State::ClientGone),
            (Side::Response, End::Fin) if self.responses.ends_with_connection() => {
                if let Some(open) = self.open.front().filter(|open| open.copied) {
                    let number = open.number;
                    let piece = Piece { at, chunk: None, ends: true };
                    self.tell(Event::More { number, side, piece });
                }
                self.message_ended(side);
                self.stop_following(State::PrimaryGone);
            }
            (Side::Response, _) => self.stop_following(State::PrimaryGone),
        }
    }

    /// The client stopped in the middle of a request; its answer, if one comes, is of no use.
    fn abandon_last(&mut self, state: State) {
        let abandoned = self.under_way(Side::Request).filter(|open| open.copied).map(|open| {
            open.copied = false;
            open.number
        });
        if let Some(number) = abandoned {
            self.tell(Event::Abandon { number, state });
        }
    }

    /// Where messages end cannot be told any more.
    fn lose(&mut self, state: State) {
        if self.following {
            self.rules.connections.unfollowed.fetch_add(1, Ordering::Relaxed);
            self.stop_following(state);
        }
    }

    /// Ends all that is open. Bytes that come now are relayed and not looked at.
    fn stop_following(&mut self, state: State) {
        self.following = false;
        self.kept = None;
        if let Some(ticket) = self.arriving.take() {
            ticket.end(state);
        }
        if self.known {
            self.tell(Event::Closed { state });
        }
        self.open = VecDeque::new();
        self.requests = Framer::new();
        self.responses = Framer::new();
    }

    /// The connection has ended.
    pub(crate) fn close(&mut self, state: State) {
        if self.following {
            self.stop_following(state);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.close(State::Shutdown);
    }
}

#[cfg(test)]
mod tests;
