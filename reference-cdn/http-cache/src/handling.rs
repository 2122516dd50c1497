//! What happened to a request, for the Cache-Status and Proxy-Status fields (RFC 9211, RFC 9209).

use http::StatusCode;

use crate::ProxyStatus;

/// How a request was handled. The edge fills it in; it goes to the client as Cache-Status, and as Proxy-Status where
/// something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    pub outcome: Outcome,
    /// The response is being stored because of this request. Said with the head, so only of content whose length is
    /// announced and fits.
    pub stored: bool,
    /// The request shared a fetch made for another.
    pub collapsed: bool,
    /// A fixed token that says more, such as the reason not to store.
    pub detail: Option<&'static str>,
    /// What went wrong with the origin, or why the edge answered by itself.
    pub proxy: Option<ProxyStatus>,
}

impl Handling {
    /// With nothing more to say.
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, stored: false, collapsed: false, detail: None, proxy: None }
    }
}

/// Where the response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the store, without asking the origin.
    Hit,
    /// The origin was asked. `status` is what it answered, when that differs from the status the client gets.
    Forward { reason: ForwardReason, status: Option<StatusCode> },
    /// The origin was asked and failed; a stale stored response stands in ([`crate::Received::ServeStale`],
    /// [`crate::Decisions::failed`]). `status` is what the origin answered, if it did.
    Stale { status: Option<StatusCode> },
    /// The edge answered by itself.
    Generated,
}

/// Why a request went to the origin (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardReason {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}
