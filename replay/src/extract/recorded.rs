//! One recorded transaction, and whether it can be replayed.

use exchange::{Body, Ending, Request, Response, Time, Transaction, Version};
use wire::{Framing, Notes};

/// A transaction as a capture holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its client side is filled.
    pub transaction: Transaction,
    /// What [`exchange`] has no place for; empty for native captures.
    pub request_notes: Notes,
    pub response_notes: Notes,
    /// The number of the transaction that this one was made to answer, where the capture holds both: a proxy stands
    /// between. Set by [`super::load`].
    pub asked_by: Option<usize>,
}

/// Why a recorded transaction cannot be replayed and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unusable {
    /// Its request was not seen: the capture starts later, or lost it.
    NoRequest,
    /// The request's end was not seen.
    RequestIncomplete,
    /// Not all bytes of the request's body were kept.
    RequestNotKept,
    /// It was not answered, or its answer was not seen.
    NoResponse,
    /// The answer's end was not seen: the capture lost it, or the connection ended first.
    ResponseIncomplete,
    /// CONNECT, or a switch to another protocol: what follows is no HTTP/1.
    Tunnel,
    /// HTTP/0.9, HTTP/2 or HTTP/3.
    Version,
}

impl Unusable {
    pub const ALL: [Unusable; 7] = [
        Unusable::NoRequest,
        Unusable::RequestIncomplete,
        Unusable::RequestNotKept,
        Unusable::NoResponse,
        Unusable::ResponseIncomplete,
        Unusable::Tunnel,
        Unusable::Version,
    ];

    /// As a ledger names it.
    pub fn name(self) -> &'static str {
        match self {
            Unusable::NoRequest => "request not seen",
            Unusable::RequestIncomplete => "request cut short",
            Unusable::RequestNotKept => "request body not kept",
            Unusable::NoResponse => "response not seen",
            Unusable::ResponseIncomplete => "response cut short",
            Unusable::Tunnel => "switched to another protocol",
            Unusable::Version => "not HTTP/1",
        }
    }
}

impl Recorded {
    pub fn new(transaction: Transaction, request_notes: Notes, response_notes: Notes) -> Self {
        Recorded { transaction, request_notes, response_notes, asked_by: None }
    }

    pub fn request(&self) -> Option<&Request> {
        self.transaction.client_request.as_ref()
    }

    pub fn response(&self) -> Option<&Response> {
        self.transaction.client_response.as_ref()
    }

    /// Request and response where both are whole and all that has to be sent was kept.
    ///
    /// # Errors
    /// Why it cannot be replayed.
    pub fn usable(&self) -> Result<(&Request, &Response), Unusable> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let request = self.request().ok_or(Unusable::NoRequest)?;
        let response = self.response().ok_or(Unusable::NoResponse)?;
        if request.body.whole().is_none() {
            return Err(Unusable::RequestNotKept);
        }
        Ok((request, response))
    }

    /// What is wrong with the recording, whether or not its bodies were kept.
    pub fn fault(&self) -> Option<Unusable> {
        self.check().err()
    }

    fn check(&self) -> Result<(), Unusable> {
        let request = self.request().ok_or(Unusable::NoRequest)?;
        if request.body.ending != Ending::Complete {
            return Err(Unusable::RequestIncomplete);
        }
        let is_http1 = |version| matches!(version, Version::Http10 | Version::Http11);
        if !is_http1(request.version) {
            return Err(Unusable::Version);
        }
        if request.method == "CONNECT" || self.request_notes.framing == Some(Framing::Tunnel) {
            return Err(Unusable::Tunnel);
        }
        let response = self.response().ok_or(Unusable::NoResponse)?;
        if response.status == 101 || self.response_notes.framing == Some(Framing::Tunnel) {
            return Err(Unusable::Tunnel);
        }
        if !is_http1(response.version) {
            return Err(Unusable::Version);
        }
        if response.body.ending != Ending::Complete {
            return Err(Unusable::ResponseIncomplete);
        }
        Ok(())
    }

    /// When the first byte of it was seen.
    pub fn start(&self) -> Time {
        let request = self.request().map(|r| r.seen.start);
        request.or_else(|| self.response().map(|r| r.seen.start)).unwrap_or_default()
    }

    /// When the last byte of it was seen.
    pub fn end(&self) -> Time {
        let seen = self.response().map(|r| &r.seen).or_else(|| self.request().map(|r| &r.seen));
        seen.map_or(Time(0), |seen| seen.end.or(seen.head_end).unwrap_or(seen.start))
    }

    /// Its connection in the capture, and its number on it.
    pub fn place(&self) -> (u64, u64) {
        let seen = self.request().map(|r| &r.seen).or_else(|| self.response().map(|r| &r.seen));
        seen.map_or((u64::MAX, u64::MAX), |seen| (seen.connection, seen.stream))
    }

    /// The order of a capture's transactions.
    pub(crate) fn order(&self) -> (Time, u64, u64) {
        let (connection, stream) = self.place();
        (self.start(), connection, stream)
    }
}

/// Whether a body was kept whole and ended as promised.
pub(crate) fn is_whole(body: &Body) -> bool {
    body.ending == Ending::Complete && body.whole().is_some()
}
