//! Both directions of a connection: responses paired with their requests.

use crate::{Close, Counts, Error, Event, Limits, Notes};
use bytes::Bytes;
use exchange::{Request, Response, Source, Time, Transaction};
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
    /// Missing for a response nobody asked for, or whose request was lost.
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
#[derive(Debug)]
pub struct Connection {
    _limits: Limits,
}

impl Connection {
    /// `number`: `seen.connection` of all messages.
    pub fn new(_number: u64, limits: Limits) -> Self {
        Connection { _limits: limits }
    }

    /// The addresses that `seen` of each message shall tell.
    #[must_use]
    pub fn between(self, _client: SocketAddr, _server: SocketAddr) -> Self {
        self
    }

    /// Bytes have come. Take all events before pushing more, else they pile up.
    pub fn push(&mut self, _direction: Direction, _now: Time, _bytes: impl Into<Bytes>) {}

    /// Bytes are missing here, or the start was not seen: ends what is unfinished in this direction and looks for
    /// the next start of a message.
    pub fn gap(&mut self, _direction: Direction, _now: Time) {}

    /// A direction has ended.
    pub fn finish(&mut self, _direction: Direction, _now: Time, _how: Close) {}

    /// The next event, if the bytes so far give one.
    pub fn next_event(&mut self) -> Option<ConnectionEvent> {
        None
    }

    /// Whether HTTP has ended here: a 101 response or a 2xx answer to CONNECT came.
    pub fn is_tunnel(&self) -> bool {
        false
    }

    pub fn counts(&self, _direction: Direction) -> Counts {
        Counts::default()
    }
}
