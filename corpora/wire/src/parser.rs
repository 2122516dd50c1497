//! One direction of an HTTP/1 connection.

mod bodies;
mod chunked;
mod heads;

use self::chunked::ChunkState;
use crate::anomaly::Noted;
use crate::resync::{self, Found};
use crate::{Asked, Close, Counts, Error, ErrorKind, Event, Extension, Limits, MessageEnd};
use bytes::{Buf as _, Bytes};
use exchange::{Ending, Time};
use std::collections::VecDeque;

/// Parses one direction of a connection: push bytes, take events until there are none.
///
/// Cutting the same bytes differently gives the same events, except for the boundaries between
/// [`Event::Body`]s, the times, and how many bytes an [`Error`] shows.
///
/// After a request with CONNECT or Upgrade a request parser cannot know whether HTTP goes on. It then waits, see
/// [`Parser::awaits_switch`].
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    is_request: bool,
    /// What came and was not read: bytes, gaps and the end, in order.
    input: VecDeque<Input>,
    state: State,
    /// Found and not taken.
    events: VecDeque<Event>,
    failed: Option<Error>,
    /// Requests that no final response was seen for.
    asked: VecDeque<Asked>,
    /// Interim responses since the last final one.
    interim: usize,
    /// Bytes read.
    offset: u64,
    counts: Counts,
}

/// Which of the counts.
type Counter = fn(&mut Counts) -> &mut u64;

#[derive(Debug)]
enum Input {
    Bytes(Time, Bytes),
    Gap(Time),
    End(Time, Close),
}

#[derive(Debug)]
enum State {
    Head(Partial),
    Body(Message, Body),
    /// After a request that may end HTTP.
    AwaitSwitch,
    Tunnel,
    /// Looking for a start: bytes that may belong to one, and when the first of them was seen.
    Resync {
        buffer: Vec<u8>,
        time: Time,
        skipped: u64,
    },
    /// Nothing more comes: an error, or the end.
    Over,
}

/// Lines of a head so far.
#[derive(Debug, Default)]
struct Partial {
    buffer: Vec<u8>,
    /// Where the last line begins.
    line: usize,
    blank_lines: u32,
    blank_bytes: usize,
    start: Time,
    /// Whether the first line was looked at.
    checked: bool,
}

/// A message whose head is done.
#[derive(Debug)]
struct Message {
    start: u64,
    noted: Noted,
    chunks: u64,
    extensions: Vec<Extension>,
    kept_extensions: usize,
    body: u64,
    switches: bool,
}

#[derive(Debug)]
enum Body {
    Length(u64),
    UntilClose,
    Chunked { state: ChunkState, buffer: Vec<u8>, line: usize },
}

impl Parser {
    /// A parser for what a client sends.
    pub fn requests(limits: Limits) -> Self {
        Parser::new(limits, true)
    }

    /// A parser for what a server sends. Tell it of each request with [`Parser::expect`].
    pub fn responses(limits: Limits) -> Self {
        Parser::new(limits, false)
    }

    fn new(limits: Limits, is_request: bool) -> Self {
        Parser {
            limits,
            is_request,
            input: VecDeque::new(),
            state: State::Head(Partial::default()),
            events: VecDeque::new(),
            failed: None,
            asked: VecDeque::new(),
            interim: 0,
            offset: 0,
            counts: Counts::default(),
        }
    }

    /// The next response that nothing was said about yet answers this request. Where nothing is said, a response
    /// is read as the answer to a GET, with [`crate::Anomaly::Unsolicited`].
    pub fn expect(&mut self, asked: Asked) {
        self.asked.push_back(asked);
    }

    /// The very next response answers this request, before all that [`Parser::expect`] told of.
    pub fn expect_first(&mut self, asked: Asked) {
        self.asked.push_front(asked);
    }

    /// Takes back the first `count` requests that [`Parser::expect`] told of and that have no response: none will
    /// come.
    pub fn skip_expected(&mut self, count: usize) {
        self.asked.drain(..count.min(self.asked.len()));
    }

    /// Bytes have come. Take all events before pushing more, else they pile up.
    pub fn push(&mut self, now: Time, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.counts.pushed += bytes.len() as u64;
            self.counts.waiting += bytes.len() as u64;
            self.input.push_back(Input::Bytes(now, bytes));
        }
    }

    /// The direction has ended: what is unfinished ends now. What is pushed later is counted as discarded.
    pub fn finish(&mut self, now: Time, how: Close) {
        self.input.push_back(Input::End(now, how));
    }

    /// Bytes are missing here, or before here: ends what is unfinished as [`Ending::Truncated`], then discards
    /// bytes until something looks like the start of a message, which [`Event::Resumed`] tells.
    pub fn resync(&mut self, now: Time) {
        self.input.push_back(Input::Gap(now));
    }

    /// Whether a request that may end HTTP on this connection has ended, and bytes after it wait for
    /// [`Parser::switch`].
    pub fn awaits_switch(&self) -> bool {
        matches!(self.state, State::AwaitSwitch) && self.events.is_empty()
    }

    /// Says what follows a request with CONNECT or Upgrade: another protocol, or further requests. Ignored unless
    /// [`Parser::awaits_switch`].
    pub fn switch(&mut self, to_tunnel: bool) {
        if matches!(self.state, State::AwaitSwitch) {
            self.state = if to_tunnel { State::Tunnel } else { State::Head(Partial::default()) };
        }
    }

    /// When the first byte not yet read was seen, where a message may begin with it.
    pub fn next_start(&self) -> Option<Time> {
        match (&self.state, self.events.is_empty(), self.input.front()) {
            (State::Head(partial), true, _) if !partial.buffer.is_empty() => Some(partial.start),
            (State::Head(_), true, Some(Input::Bytes(time, _))) => Some(*time),
            _ => None,
        }
    }

    /// Whether a message is under way: its head was given out, its end was not.
    pub fn in_message(&self) -> bool {
        matches!(self.state, State::Body(..)) || !self.events.is_empty()
    }

    /// Whether no event can come any more: an error was told, or the end was reached.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over) && self.events.is_empty() && self.failed.is_none()
    }

    /// Reads no further: what comes is counted as discarded.
    pub fn abandon(&mut self) {
        self.cut(Time::default(), Close::Lost);
        self.events.clear();
        self.failed = None;
        self.state = State::Over;
    }

    /// Bytes pushed and not read yet.
    pub fn waiting(&self) -> u64 {
        self.counts.waiting
    }

    /// The next event, if the bytes so far give one. After an error there are no more.
    ///
    /// # Errors
    /// The bytes have no meaning. A message under way has got its [`Event::End`], with the same error, before.
    pub fn next_event(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            if matches!(self.state, State::AwaitSwitch) && !matches!(self.input.front(), Some(Input::Gap(_)))
            {
                return None;
            }
            match self.input.pop_front()? {
                Input::Bytes(time, bytes) => self.read(time, bytes),
                Input::Gap(time) => self.gap(time),
                Input::End(time, how) => self.end(time, how),
            }
        }
    }

    /// Where each byte went so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads bytes up to the first event or their end, and puts back what it did not read.
    fn read(&mut self, time: Time, mut bytes: Bytes) {
        while !bytes.is_empty() && self.events.is_empty() && self.failed.is_none() {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Head(partial) => self.read_head(time, &mut bytes, partial),
                State::Body(message, body) => self.read_body(time, &mut bytes, message, body),
                State::AwaitSwitch => {
                    self.state = State::AwaitSwitch;
                    break;
                }
                State::Tunnel => {
                    self.state = State::Tunnel;
                    let bytes = self.take_all(&mut bytes, |counts| &mut counts.tunnel);
                    self.events.push_back(Event::Tunnel { bytes, time });
                }
                State::Resync { buffer, time: first, skipped } => {
                    self.search(time, &mut bytes, buffer, first, skipped);
                }
                State::Over => {
                    self.take_all(&mut bytes, |counts| &mut counts.discarded);
                }
            }
        }
        if !bytes.is_empty() {
            self.input.push_front(Input::Bytes(time, bytes));
        }
    }

    fn take_all(&mut self, bytes: &mut Bytes, counter: Counter) -> Bytes {
        let length = bytes.len();
        self.take(bytes, length, counter)
    }

    /// Reads `length` bytes and counts them.
    fn take(&mut self, bytes: &mut Bytes, length: usize, counter: Counter) -> Bytes {
        self.offset += length as u64;
        self.counts.waiting -= length as u64;
        *counter(&mut self.counts) += length as u64;
        bytes.split_to(length)
    }

    /// Appends to `buffer` up to and with the next LF. `Some(true)` where there was one, `None` over the limit.
    fn take_line(
        &mut self,
        bytes: &mut Bytes,
        buffer: &mut Vec<u8>,
        most: usize,
        head: bool,
    ) -> Option<bool> {
        let end = bytes.iter().position(|&b| b == b'\n');
        let length = end.map_or(bytes.len(), |at| at + 1);
        // What is over the limit is the same however the bytes were cut.
        let room = most.saturating_sub(buffer.len());
        let fits = length <= room;
        let counter: Counter = if head { |c| &mut c.heads } else { |c| &mut c.framing };
        let taken = self.take(bytes, length.min(room), counter);
        buffer.extend_from_slice(&taken);
        fits.then_some(end.is_some())
    }

    fn fail(&mut self, kind: ErrorKind, offset: u64, near: &[u8]) -> Error {
        let near = Bytes::copy_from_slice(&near[..near.len().min(Error::NEAR)]);
        let error = Error { kind, offset, near };
        self.failed = Some(error.clone());
        self.state = State::Over;
        error
    }

    fn message(&self, start: u64, switches: bool) -> Message {
        Message {
            start,
            noted: Noted::new(self.limits.anomalies),
            chunks: 0,
            extensions: Vec::new(),
            kept_extensions: 0,
            body: 0,
            switches,
        }
    }

    /// A message has ended as promised.
    fn complete(&mut self, message: Message, time: Time) {
        self.state = if message.switches { State::AwaitSwitch } else { State::Head(Partial::default()) };
        self.end_message(message, time, Ending::Complete, None, None);
    }

    fn end_message(
        &mut self,
        message: Message,
        time: Time,
        ending: Ending,
        closed: Option<Close>,
        error: Option<Error>,
    ) {
        self.events.push_back(Event::End(MessageEnd {
            ending,
            time,
            anomalies: message.noted.list,
            chunks: message.chunks,
            extensions: message.extensions,
            wire_length: self.offset - message.start,
            closed,
            error,
        }));
    }

    /// Ends what is unfinished.
    fn cut(&mut self, time: Time, how: Close) {
        let ending = if how == Close::Reset { Ending::Reset } else { Ending::Truncated };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Head(partial) if !partial.buffer.is_empty() => {
                let length = partial.buffer.len() as u64;
                self.counts.heads -= length;
                self.counts.discarded += length;
                let raw = Bytes::from(partial.buffer);
                self.events.push_back(Event::PartialHead { raw, start: partial.start, time });
            }
            State::Body(message, Body::UntilClose) if how == Close::Fin => {
                self.end_message(message, time, Ending::Complete, Some(how), None);
            }
            State::Body(message, _) => self.end_message(message, time, ending, Some(how), None),
            State::Resync { buffer, .. } => self.discard(buffer.len()),
            // An HTTP/0.9 response may be empty.
            State::Head(_) if how == Close::Fin && self.asked.front().is_some_and(|a| a.http09) => {
                self.asked.pop_front();
                self.begin_http09(time);
                let message = self.message(self.offset, false);
                self.end_message(message, time, Ending::Complete, Some(how), None);
                self.state = State::Over;
            }
            _ => {}
        }
    }

    fn gap(&mut self, time: Time) {
        match self.state {
            // No start is to be found in another protocol, nor after the end.
            State::Tunnel | State::Over => {}
            _ => {
                self.cut(time, Close::Lost);
                self.state = State::Resync { buffer: Vec::new(), time, skipped: 0 };
            }
        }
    }

    fn end(&mut self, time: Time, how: Close) {
        self.cut(time, how);
    }

    /// Counts bytes that a search had read.
    fn discard(&mut self, length: usize) {
        self.offset += length as u64;
        self.counts.waiting -= length as u64;
        self.counts.discarded += length as u64;
    }

    fn search(&mut self, time: Time, bytes: &mut Bytes, mut buffer: Vec<u8>, first: Time, skipped: u64) {
        let before = buffer.len();
        buffer.extend_from_slice(bytes);
        let first = if before == 0 { time } else { first };
        let found = if self.is_request { resync::request(&buffer) } else { resync::response(&buffer) };
        bytes.advance(bytes.len());
        match found {
            Found::At(at) => {
                self.discard(at);
                let start = if at < before { first } else { time };
                self.events.push_back(Event::Resumed { skipped: skipped + at as u64, time: start });
                self.state = State::Head(Partial::default());
                // The start keeps the time it was seen; what follows it has its own.
                let mut rest = Bytes::from(buffer).slice(at..);
                if at < before {
                    let later = rest.split_off(before - at);
                    if !later.is_empty() {
                        self.input.push_front(Input::Bytes(time, later));
                    }
                }
                self.input.push_front(Input::Bytes(start, rest));
            }
            Found::NotBefore(at) => {
                self.discard(at);
                let first = if at < before { first } else { time };
                buffer.drain(..at);
                self.state = State::Resync { buffer, time: first, skipped: skipped + at as u64 };
            }
        }
    }
}
