//! One message of a copy, parsed as it comes.

use crate::budget::{Budget, Chunk, Permit};
use crate::ledger::State;
use bytes::Bytes;
use exchange::{Request, Response, Seen, Time};
use std::sync::Arc;
use wire::{Asked, Assembler, Close, Event, Framing, Limits, Parser};

/// What parser and assembler of a message cost, with what of the head is kept twice.
const BASE: usize = 2048;

/// A message that comes in pieces; its body is hashed, and its first bytes kept.
#[derive(Debug)]
pub(crate) struct Reading {
    parser: Parser,
    assembler: Assembler,
    /// Body bytes so far.
    length: u64,
    /// Body bytes that may still be kept.
    keep: usize,
    start: Option<Time>,
    end: Option<Time>,
    permit: Permit,
}

/// Why a message could not be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// The bytes are no HTTP/1.1 message.
    Unparsed,
    /// No room for what is kept of it.
    NoRoom,
}

impl Reading {
    fn new(budget: &Arc<Budget>, limits: &Limits, parser: Parser) -> Option<Self> {
        Some(Reading {
            parser,
            assembler: Assembler::new(limits),
            length: 0,
            keep: limits.keep_body,
            start: None,
            end: None,
            permit: budget.take(BASE)?,
        })
    }

    /// Reads a request, where there is room.
    pub(crate) fn request(budget: &Arc<Budget>, limits: &Limits) -> Option<Self> {
        Reading::new(budget, limits, Parser::requests(limits.clone()))
    }

    /// Reads the response to a request with this method, where there is room.
    pub(crate) fn response(budget: &Arc<Budget>, limits: &Limits, method: &[u8]) -> Option<Self> {
        let mut parser = Parser::responses(limits.clone());
        parser.expect(Asked::with_method(method));
        Reading::new(budget, limits, parser)
    }

    /// Takes in the next bytes.
    pub(crate) fn push(&mut self, at: Time, bytes: Bytes) -> Result<(), Stuck> {
        if self.assembler.head().is_none() {
            // Until the head is whole, its fields may be slices of these bytes, which keeps all of them.
            if !self.permit.grow(bytes.len()) {
                return Err(Stuck::NoRoom);
            }
        }
        self.start.get_or_insert(at);
        self.parser.push(at, bytes);
        self.take_events()
    }

    /// As [`Reading::push`], with a copy that stays counted elsewhere.
    pub(crate) fn push_chunk(&mut self, at: Time, chunk: &Chunk) -> Result<(), Stuck> {
        self.push(at, chunk.bytes.clone())
    }

    /// The message's direction has ended.
    pub(crate) fn finish(&mut self, at: Time, how: Close) {
        self.parser.finish(at, how);
        // What is wrong with a message that ends here was told by its ending.
        let _ = self.take_events();
    }

    fn take_events(&mut self) -> Result<(), Stuck> {
        while let Some(event) = self.parser.next_event() {
            let event = event.map_err(|_| Stuck::Unparsed)?;
            match &event {
                Event::Body { bytes, .. } => {
                    self.length += bytes.len() as u64;
                    let kept = bytes.len().min(self.keep);
                    self.keep -= kept;
                    // A buffer that grows has up to twice the size of what is in it.
                    if kept > 0 && !self.permit.grow(2 * kept) {
                        return Err(Stuck::NoRoom);
                    }
                }
                Event::End(end) => self.end = Some(end.time),
                _ => {}
            }
            self.assembler.add(event);
        }
        Ok(())
    }

    /// Whether the final message has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.assembler.is_complete()
    }

    /// Whether a final head has come.
    pub(crate) fn has_head(&self) -> bool {
        self.assembler.head().is_some()
    }

    /// Whether the connection may be used for another request after this response.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.parser.counts().waiting == 0
            && self.parser.counts().discarded == 0
            && self.assembler.head().is_some_and(|head| {
                head.keeps_alive() && !matches!(head.framing, Framing::UntilClose | Framing::Tunnel)
            })
    }

    /// Body bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The message, and the permit for what of it is kept.
    pub(crate) fn into_request(self, seen: Seen) -> Option<(Request, Permit)> {
        let seen = self.timed(seen);
        let (request, _) = self.assembler.into_request(seen);
        Some((request?, self.permit))
    }

    /// The message, and the permit for what of it is kept.
    pub(crate) fn into_response(self, seen: Seen) -> Option<(Response, Permit)> {
        let seen = self.timed(seen);
        let (response, _) = self.assembler.into_response(seen);
        Some((response?, self.permit))
    }

    fn timed(&self, seen: Seen) -> Seen {
        Seen {
            start: self.start.unwrap_or_default(),
            head_end: self.assembler.head().map(|head| head.end),
            end: self.end,
            ..seen
        }
    }
}

impl Stuck {
    /// The state of a request whose message could not be taken in.
    pub(crate) fn state(self, unparsed: State) -> State {
        match self {
            Stuck::Unparsed => unparsed,
            Stuck::NoRoom => State::Memory,
        }
    }
}
