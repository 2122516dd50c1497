//! Both directions of a connection: responses paired with their requests.

use crate::{Anomaly, Asked, Assembler, Close, Counts, Error, ErrorKind, Event, Limits, Notes, Parser};
use bytes::Bytes;
use exchange::{Request, Response, Seen, Source, Time, Transaction};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From client to server: requests.
    ToServer,
    /// From server to client: responses.
    ToClient,
}

/// What a [`Connection`] found.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// A piece of a message as it streams by. `number`: the request's number on this connection, from 0; an
    /// interim or final response has that of its request.
    Message { number: u64, direction: Direction, event: Event },
    /// A request and its response have both ended; they come in the order of the requests.
    Exchanged(Box<Exchanged>),
    /// A direction could not be parsed further; its other bytes are counted as discarded.
    Failed { direction: Direction, error: Error },
}

/// A request with its response; either may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchanged {
    /// From 0 on its connection; also `seen.stream` of both.
    pub number: u64,
    /// Missing for a response nobody asked for, or whose request was lost or has no meaning.
    pub request: Option<Request>,
    pub request_notes: Notes,
    /// Missing where no final head came. Interim ones that came are then in the notes only.
    pub response: Option<Response>,
    pub response_notes: Notes,
}

impl Exchanged {
    /// As seen between client and cache.
    pub fn into_client_side(self, source: Source) -> Transaction {
        Transaction {
            source,
            client_request: self.request,
            client_response: self.response,
            ..Transaction::default()
        }
    }

    /// As seen between cache and origin.
    pub fn into_origin_side(self, source: Source) -> Transaction {
        Transaction {
            source,
            origin_request: self.request,
            origin_response: self.response,
            ..Transaction::default()
        }
    }
}

/// Both directions of one connection, with the time each byte was seen.
///
/// Works on live traffic and on reassembled captures. Bodies are hashed and kept up to [`Limits::keep_body`], not
/// buffered. Directions may be pushed in about the order of their times; where a response comes first, it is held
/// until its request is here, or until the bound [`Limits::held`], or the end.
///
/// After a gap in either direction responses are paired by time: the next one found answers the last request that
/// began before it, and those before that one stay without answer.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
    limits: Limits,
    /// Whether to give [`ConnectionEvent::Message`].
    streams: bool,
    requests: Lane,
    responses: Lane,
    /// Exchanges that have not ended, in the order of their requests.
    slots: VecDeque<Slot>,
    /// The number of the next slot.
    next: u64,
    /// The slot whose request is under way or ended last.
    asking: Option<u64>,
    /// The slot whose response is under way: from its first head, interim or not, to its end.
    answering: Option<u64>,
    /// Bytes of bodies that open slots keep.
    kept: usize,
    /// The exchange after which HTTP ended.
    tunnel: Option<u64>,
    out: VecDeque<ConnectionEvent>,
}

#[derive(Debug)]
struct Lane {
    parser: Parser,
    /// A gap was seen.
    gapped: bool,
    /// A gap was seen and no start after it.
    lost: bool,
    /// No message will come any more.
    over: Option<Option<Close>>,
    /// The last end that was pushed.
    closing: Option<Close>,
}

impl Lane {
    fn new(parser: Parser) -> Self {
        Lane { parser, gapped: false, lost: false, over: None, closing: None }
    }
}

#[derive(Debug)]
struct Slot {
    number: u64,
    request: Assembler,
    response: Assembler,
    /// When the request began.
    start: Time,
    asked: Asked,
    /// CONNECT or Upgrade: its final response says what follows.
    switches: bool,
    request_done: bool,
    response_done: bool,
}

impl Connection {
    /// `number`: `seen.connection` of all messages.
    pub fn new(number: u64, limits: Limits) -> Self {
        Connection {
            number,
            client: None,
            server: None,
            streams: true,
            requests: Lane::new(Parser::requests(limits.clone())),
            responses: Lane::new(Parser::responses(limits.clone())),
            limits,
            slots: VecDeque::new(),
            next: 0,
            asking: None,
            answering: None,
            kept: 0,
            tunnel: None,
            out: VecDeque::new(),
        }
    }

    /// The addresses that `seen` of each message shall tell.
    #[must_use]
    pub fn between(mut self, client: SocketAddr, server: SocketAddr) -> Self {
        (self.client, self.server) = (Some(client), Some(server));
        self
    }

    /// Gives no [`ConnectionEvent::Message`]: for those who want whole messages only.
    #[must_use]
    pub fn whole_messages(mut self) -> Self {
        self.streams = false;
        self
    }

    /// Bytes have come. Take all events before pushing more, else they pile up.
    pub fn push(&mut self, direction: Direction, now: Time, bytes: impl Into<Bytes>) {
        self.lane(direction).parser.push(now, bytes);
    }

    /// Bytes are missing here, or the start was not seen: ends what is unfinished in this direction and looks for
    /// the next start of a message.
    pub fn gap(&mut self, direction: Direction, now: Time) {
        let lane = self.lane(direction);
        lane.parser.resync(now);
        (lane.gapped, lane.lost) = (true, true);
    }

    /// A direction has ended.
    pub fn finish(&mut self, direction: Direction, now: Time, how: Close) {
        let lane = self.lane(direction);
        lane.parser.finish(now, how);
        lane.closing.get_or_insert(how);
    }

    /// Whether HTTP has ended here: a 101 response or a 2xx answer to CONNECT came.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.is_some()
    }

    /// Where each byte of a direction went so far.
    pub fn counts(&self, direction: Direction) -> Counts {
        match direction {
            Direction::ToServer => self.requests.parser.counts(),
            Direction::ToClient => self.responses.parser.counts(),
        }
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.requests,
            Direction::ToClient => &mut self.responses,
        }
    }

    /// The next event, if the bytes so far give one.
    pub fn next_event(&mut self) -> Option<ConnectionEvent> {
        loop {
            if let Some(event) = self.out.pop_front() {
                return Some(event);
            }
            let moved =
                self.read_request() || self.read_response() || self.give_up_waiting() || self.settle();
            if !moved && self.out.is_empty() {
                return None;
            }
        }
    }

    fn read_request(&mut self) -> bool {
        if self.requests.over.is_some() {
            // Later bytes are read for the counts alone.
            return self.requests.parser.next_event().is_some();
        }
        let parser = &self.requests.parser;
        if self.slots.len() >= self.limits.outstanding
            && !parser.in_message()
            && parser.next_start().is_some()
        {
            if self.responses.parser.counts().pushed == 0 {
                self.do_without_response();
            } else {
                self.refuse_request();
            }
            return true;
        }
        match self.requests.parser.next_event() {
            Some(Ok(event)) => self.request_event(event),
            Some(Err(error)) => self.request_error(error),
            None if self.requests.parser.is_over() => self.requests.over = Some(self.requests.closing),
            None => return false,
        }
        true
    }

    /// This direction alone was captured, it seems: no answer to the oldest request will be seen.
    fn do_without_response(&mut self) {
        if let Some(slot) = self.slots.iter_mut().find(|s| !s.response_done) {
            slot.response_done = true;
            slot.response.notes_mut().closed = Some(Close::Lost);
            self.responses.parser.skip_expected(1);
        }
        if !self.responses.gapped {
            self.gap(Direction::ToClient, Time::default());
        }
        self.settle();
    }

    /// Too many requests are without answer: reads no further ones.
    fn refuse_request(&mut self) {
        let kind = ErrorKind::Limit("outstanding");
        let offset = self.requests.parser.counts().pushed - self.requests.parser.waiting();
        self.requests.parser.abandon();
        self.request_error(Error { kind, offset, near: Bytes::new() });
    }

    fn request_event(&mut self, event: Event) {
        match &event {
            Event::Head(head) => {
                let (asked, start) = (Asked::by(head), head.start);
                let switches = head.may_switch();
                self.open(asked, start, switches);
            }
            Event::PartialHead { start, .. } => self.open(Asked::default(), *start, false),
            Event::Resumed { .. } => self.requests.lost = false,
            _ => {}
        }
        let Some(number) = self.asking else { return };
        let done = matches!(event, Event::End(_) | Event::PartialHead { .. });
        let partial = matches!(event, Event::PartialHead { .. });
        let (closing, streams) = (self.requests.closing, self.streams);
        let Some(slot) = slot(&mut self.slots, number) else { return };
        slot.request_done |= done;
        let kept = slot.request.kept();
        add(&mut slot.request, number, Direction::ToServer, event, streams, &mut self.out);
        if partial {
            slot.request.notes_mut().closed = closing.or(Some(Close::Lost));
        }
        self.kept += slot.request.kept() - kept;
    }

    /// What the client sent has no meaning. If nothing was under way, it still counts as a request: servers answer
    /// it.
    fn request_error(&mut self, error: Error) {
        let told = self
            .asking
            .and_then(|n| slot(&mut self.slots, n))
            .is_some_and(|s| s.request.notes().error.as_ref() == Some(&error));
        if !told {
            let unfinished = self.asking.and_then(|n| slot(&mut self.slots, n)).filter(|s| !s.request_done);
            let slot = match unfinished {
                Some(slot) => Some(slot),
                None => {
                    let start = self.responses.parser.next_start().unwrap_or_default();
                    self.open(Asked::default(), start, false);
                    self.slots.back_mut()
                }
            };
            if let Some(slot) = slot {
                slot.request_done = true;
                let notes = slot.request.notes_mut();
                if notes.raw_head.is_empty() {
                    notes.raw_head = error.near.clone();
                }
                notes.error = Some(error.clone());
            }
        }
        self.requests.over = Some(self.requests.closing);
        self.out.push_back(ConnectionEvent::Failed { direction: Direction::ToServer, error });
    }

    /// A request begins.
    fn open(&mut self, asked: Asked, start: Time, switches: bool) {
        self.responses.parser.expect(asked);
        self.asking = Some(self.next);
        self.push_slot(asked, start, switches);
    }

    fn push_slot(&mut self, asked: Asked, start: Time, switches: bool) {
        let keep = self.limits.keep_body.min(self.limits.keep_total.saturating_sub(self.kept));
        self.slots.push_back(Slot {
            number: self.next,
            request: Assembler::keeping(keep),
            response: Assembler::keeping(keep),
            start,
            asked,
            switches,
            request_done: false,
            response_done: false,
        });
        self.next += 1;
    }

    fn read_response(&mut self) -> bool {
        if !self.may_read_response() {
            return false;
        }
        match self.responses.parser.next_event() {
            Some(Ok(event)) => self.response_event(event),
            Some(Err(error)) => self.response_error(error),
            None if self.responses.over.is_none() && self.responses.parser.is_over() => {
                self.responses.over = Some(self.responses.closing);
            }
            None => return false,
        }
        true
    }

    /// Whether the next bytes of a response can be understood: their request is known, or none can come.
    fn may_read_response(&mut self) -> bool {
        let parser = &self.responses.parser;
        if self.answering.is_some() || self.is_tunnel() || parser.in_message() {
            return true;
        }
        let waiting = self.slots.iter().position(|s| !s.response_done);
        match (waiting, parser.next_start()) {
            // Requests are missing, and what waits for an answer began after it: the answer is to a lost one.
            (Some(at), Some(start)) if self.requests.gapped && self.slots[at].start > start => {
                self.open_orphan(at);
                true
            }
            (Some(_), _) | (None, None) => true,
            (None, Some(_)) => {
                self.requests.lost
                    || self.requests.over.is_some()
                    || self.responses.closing.is_some() && self.requests.closing.is_some()
                    || parser.waiting() > self.limits.held as u64
            }
        }
    }

    /// A response whose request was not seen, before the slot at this index.
    fn open_orphan(&mut self, at: usize) {
        let asked = Asked::default();
        self.responses.parser.expect_first(asked);
        self.push_slot(asked, Time::default(), false);
        // It goes where its response stands in the order.
        if let Some(mut orphan) = self.slots.pop_back() {
            orphan.request_done = true;
            self.answering = Some(orphan.number);
            self.slots.insert(at, orphan);
        }
    }

    fn response_event(&mut self, event: Event) {
        match &event {
            Event::Resumed { time, .. } => {
                self.responses.lost = false;
                return self.realign(*time);
            }
            Event::Head(_) | Event::PartialHead { .. } if self.answering.is_none() => self.begin_response(),
            _ => {}
        }
        let Some(number) = self.answering.or(self.tunnel) else { return };
        let (closing, streams) = (self.responses.closing, self.streams);
        let Some(slot) = slot(&mut self.slots, number) else { return };
        let kept = slot.response.kept();
        let partial = matches!(event, Event::PartialHead { .. });
        let switch = match &event {
            Event::Head(head) if !head.is_interim() => Some(head.framing == crate::Framing::Tunnel),
            _ => None,
        };
        add(&mut slot.response, number, Direction::ToClient, event, streams, &mut self.out);
        if partial {
            slot.response.notes_mut().closed = closing.or(Some(Close::Lost));
        }
        slot.response_done |= partial || slot.response.is_complete();
        let (done, switches) = (slot.response_done, slot.switches);
        self.kept += slot.response.kept() - kept;
        if done {
            self.answering = None;
        }
        if let Some(tunnel) = switch {
            if tunnel {
                self.tunnel.get_or_insert(number);
            }
            if switches || tunnel {
                self.requests.parser.switch(tunnel);
            }
        }
    }

    /// The first head of a response: which slot is it for?
    fn begin_response(&mut self) {
        self.answering = self.slots.iter().find(|s| !s.response_done).map(|s| s.number);
        if self.answering.is_none() {
            self.push_slot(Asked::default(), Time::default(), false);
            if let Some(slot) = self.slots.back_mut() {
                slot.request_done = true;
                slot.response.notes_mut().anomalies.push(Anomaly::Unsolicited);
                self.answering = Some(slot.number);
            }
        }
    }

    /// After a gap a response begins at `time`: it answers the last request before it.
    fn realign(&mut self, time: Time) {
        self.answering = None;
        let open: Vec<usize> = (0..self.slots.len()).filter(|&i| !self.slots[i].response_done).collect();
        let before = open.iter().filter(|&&i| self.slots[i].start <= time).count();
        let unanswered = before.saturating_sub(1);
        for &i in &open[..unanswered] {
            self.slots[i].response_done = true;
            self.slots[i].response.notes_mut().closed = Some(Close::Lost);
        }
        self.responses.parser.skip_expected(unanswered);
        if before == 0 {
            self.open_orphan(open.first().copied().unwrap_or(self.slots.len()));
        }
    }

    fn response_error(&mut self, error: Error) {
        if self.answering.is_none() && !self.response_error_told(&error) {
            self.begin_response();
        }
        if let Some(slot) = self.answering.take().and_then(|n| slot(&mut self.slots, n)) {
            slot.response_done = true;
            slot.response.notes_mut().error = Some(error.clone());
        }
        self.responses.over = Some(self.responses.closing);
        self.out.push_back(ConnectionEvent::Failed { direction: Direction::ToClient, error });
    }

    fn response_error_told(&self, error: &Error) -> bool {
        self.slots.iter().any(|s| s.response.notes().error.as_ref() == Some(error))
    }

    /// Where nothing moves although bytes wait: decides without what did not come.
    fn give_up_waiting(&mut self) -> bool {
        if !self.requests.parser.awaits_switch() {
            return false;
        }
        // The answer may come before the request has ended: it was too early to switch then.
        let asking = self.asking.and_then(|number| slot(&mut self.slots, number));
        if self.tunnel.is_some() || asking.is_none_or(|s| s.response.head().is_some() || s.response_done) {
            self.requests.parser.switch(self.is_tunnel());
            return true;
        }
        let held = self.requests.parser.waiting();
        let ends = self.responses.over.is_some() || self.requests.closing.is_some() && held == 0;
        if !ends && held <= self.limits.held as u64 {
            return false;
        }
        // Clients may speak right after CONNECT; after Upgrade they may not.
        let connect = self.slots.back().is_some_and(|s| s.asked.connect);
        self.requests.parser.switch(connect && !ends);
        true
    }

    /// Gives out exchanges that have ended.
    fn settle(&mut self) -> bool {
        if let Some(closed) = self.responses.over {
            self.answering = None;
            for slot in self.slots.iter_mut().filter(|s| !s.response_done) {
                slot.response_done = true;
                let notes = slot.response.notes_mut();
                notes.closed = notes.closed.or(closed);
            }
        }
        let ends = self.requests.over.is_some() && self.responses.over.is_some();
        let Some(front) = self.slots.front() else { return false };
        // Bytes of the tunnel still count for the exchange that opened it.
        let in_tunnel = self.tunnel == Some(front.number) && !ends;
        if !(front.request_done && front.response_done) || in_tunnel {
            return false;
        }
        let Some(slot) = self.slots.pop_front() else { return false };
        self.kept -= slot.request.kept() + slot.response.kept();
        let seen = Seen { connection: self.number, stream: slot.number, ..Seen::default() };
        let to_server = Seen { from: self.client, to: self.server, ..seen.clone() };
        let to_client = Seen { from: self.server, to: self.client, ..seen };
        let (request, request_notes) = slot.request.into_request(to_server);
        let (response, response_notes) = slot.response.into_response(to_client);
        let exchanged = Exchanged { number: slot.number, request, request_notes, response, response_notes };
        self.out.push_back(ConnectionEvent::Exchanged(Box::new(exchanged)));
        true
    }
}

/// The open slot with this number. Orphans may stand before slots with smaller numbers.
fn slot(slots: &mut VecDeque<Slot>, number: u64) -> Option<&mut Slot> {
    slots.iter_mut().rev().find(|s| s.number == number)
}

fn add(
    to: &mut Assembler,
    number: u64,
    direction: Direction,
    event: Event,
    streams: bool,
    out: &mut VecDeque<ConnectionEvent>,
) {
    if streams {
        out.push_back(ConnectionEvent::Message { number, direction, event: event.clone() });
    }
    to.add(event);
}
