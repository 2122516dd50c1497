//! What an edge is told to do.

use std::num::NonZeroU64;
use std::ops::Range;

use http::{HeaderValue, StatusCode};

use crate::{ForwardReason, Stored};

/// The request is answered by the edge itself, with this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// One sentence for the content of the response and the log.
    pub reason: &'static str,
}

/// May a stored response be used for a request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Look it up, and store what the origin answers.
    Store,
    /// Send it to the origin and relay the answer; see [`crate::Decisions::invalidated`].
    Forward(ForwardReason),
}

/// What to do with a request. Indices point into the slice of stored responses that the plan was made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Answer with this stored response now. With `refresh`, also start that fetch in the background
    /// (stale-while-revalidate).
    Serve { index: usize, stale: bool, refresh: Option<Fetch> },
    /// Ask the origin.
    Fetch(Fetch),
    /// Answer without asking anyone (only-if-cached: 504).
    Refuse(Refusal),
}

/// A request to the origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    pub reason: ForwardReason,
    /// The stored response to validate: conditions are sent for it.
    pub validate: Option<usize>,
    /// Only this part of the representation is asked for, to complete the stored partial response `validate`.
    pub complete: Option<Range<u64>>,
    /// The client's own conditions and Range are withheld, so that the whole representation comes and can be
    /// shared.
    pub whole: bool,
    /// Only these octets are asked for, in place of what the client's Range says: a slice that holds the first octet
    /// it wants. With `validate`: if what is stored is not current any more.
    pub slice: Option<Range<u64>>,
    /// An If-None-Match for stored responses that the request did not select: the origin may name one of them
    /// instead of sending it again (RFC 9111 section 4.3.1).
    pub offered: Option<HeaderValue>,
}

impl Fetch {
    /// The client's request as it is, but for what each hop changes.
    pub fn forward(reason: ForwardReason) -> Self {
        Self { reason, validate: None, complete: None, whole: false, slice: None, offered: None }
    }

    /// The octets `range` of the representation of which one stored response, the only one, holds the head.
    pub fn part(range: Range<u64>) -> Self {
        let complete = Some(range);
        Self { validate: Some(0), complete, whole: true, ..Self::forward(ForwardReason::Partial) }
    }
}

/// May a request share a fetch?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collapsing {
    /// Others may wait for the fetch made for this request.
    pub lead: bool,
    /// The request may wait for a fetch made for another.
    pub join: bool,
}

/// What to do with a response head from the origin.
#[derive(Clone, Debug)]
pub enum Received {
    /// Store it (the client and all who share the fetch are answered through [`crate::Decisions::reply`]).
    /// `replaces`: responses stored under the same key that it takes the place of, once complete.
    Store { stored: Box<Stored>, replaces: Vec<usize> },
    /// Its content continues the partial response `index`: keep the octets of that one, and add the new
    /// content behind (or before) them. `stored` is the combined head, its extent says which octets the
    /// combination has.
    Combine { index: usize, stored: Box<Stored>, content_at: u64 },
    /// It confirmed, of the responses offered, the stored response `index`: keep its content once more, under `stored`.
    /// It has no content of its own.
    Copy { index: usize, stored: Box<Stored> },
    /// Its content is the octets `range` of a representation that is kept in slices: store `stored` without content in
    /// place of `replaces`, and the content as that slice of it.
    Slice { stored: Box<Stored>, replaces: Vec<usize>, range: Range<u64> },
    /// It answers this request and is not stored, yet has more octets than the client asked for: answer through
    /// [`crate::Decisions::reply`] and let go of it. `forget`: stored responses that it makes obsolete.
    Pass { stored: Box<Stored>, why: NotStored, forget: Vec<usize> },
    /// It confirmed the stored responses named in `updated`, which are replaced by these heads (same content). Answer
    /// with the first. It has no content. `forget`: stored responses that it makes obsolete.
    Freshen { updated: Vec<(usize, Box<Stored>)>, forget: Vec<usize> },
    /// Serve this stored response, stale, in place of the origin's error.
    ServeStale { index: usize },
    /// It cannot be used for what was asked (a 304 that matches nothing, a part that does not fit): fetch
    /// again, without conditions. Happens at most once: `fetch` has no validator.
    Again(Fetch),
    /// Relay it to this client only. `forget`: stored responses that it makes obsolete.
    Relay { why: NotStored, forget: Vec<usize> },
}

/// Content that is kept in slices of one size, each stored by itself; the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// Octets of a slice.
    pub size: NonZeroU64,
    /// Told apart from all other representations that are kept in slices; 0: not chosen yet. A purged and a changed
    /// representation never share one with what comes after.
    pub id: u64,
}

/// Why a response is not stored (RFC 9111 section 3). Shown in Cache-Status as `detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    Method,
    Status,
    NoStoreRequest,
    NoStore,
    Private,
    Authorization,
    VaryStar,
    NoLifetime,
    Partial,
    NotUnderstood,
    /// Its request had content, or fields that may lead an origin elsewhere.
    Bypass,
    /// More content than the store takes for one response.
    TooLarge,
}

/// How the origin failed to give a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection (refused, unreachable, timed out).
    Connect,
    /// The connection ended before a response head was complete, or the head was malformed.
    Response,
    /// No response head in time.
    Timeout,
}

/// How the content of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As its framing said: all of Content-Length, the last chunk, or the end of a connection that delimits
    /// content.
    Complete,
    /// Before that.
    Truncated,
}

/// What becomes of a stored response when another is about to be stored under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// They answer different requests: both stay.
    Both,
    /// They would answer the same request: the one that was received last stays.
    Last,
    /// The stored one is worth more than the other, which is not stored.
    Stored,
}

/// What becomes of a response whose content has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Usable from now on.
    Store,
    /// Not stored. Readers that began get what came and see it end as it ended.
    Discard,
}
