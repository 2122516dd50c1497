//! The one interface through which an edge asks what to do.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};

use crate::{
    Beside, Collapsing, Ended, Failure, Fetch, Handling, Keep, Key, Lookup, Plan, Received, Refusal, Reply,
    Request, Response, Stored, Time, tags,
};

/// Every decision an edge takes about a message. Implementations are pure: the same arguments give the same
/// answer.
///
/// [`crate::Standard`] is the implementation that follows the RFCs. An edge holds an `Arc<dyn Decisions>`.
pub trait Decisions: Send + Sync + std::fmt::Debug + 'static {
    /// May the request be handled? Refuses loops (RFC 8586) and the like.
    fn admit(&self, request: &Request<'_>) -> Result<(), Refusal>;

    /// Where responses to this request are stored: scheme, authority, path and query of the target URI
    /// (RFC 9111 section 2). Responses under one key differ by the request fields that their Vary names.
    fn key(&self, request: &Request<'_>) -> Key;

    /// May a stored response answer the request at all? If not, it goes to the origin and its response is
    /// relayed.
    fn lookup(&self, request: &Request<'_>) -> Lookup;

    /// Which of the responses stored under the request's key, if any, matches the request (RFC 9111 section
    /// 4.1).
    fn select(&self, request: &Request<'_>, stored: &[Arc<Stored>]) -> Option<usize>;

    /// What to do with a request for which `select` chose one of the responses `stored` under its key, or
    /// none.
    fn reuse(&self, request: &Request<'_>, chosen: Option<usize>, stored: &[Arc<Stored>], now: Time) -> Plan;

    /// What to do with a request whose key holds `stored` (RFC 9111 section 4).
    fn plan(&self, request: &Request<'_>, stored: &[Arc<Stored>], now: Time) -> Plan {
        self.reuse(request, self.select(request, stored), stored, now)
    }

    /// May the request start, or wait for, a fetch shared with others? Asked before the origin's response is
    /// known; `fetch` is what `plan` told.
    fn collapsing(&self, request: &Request<'_>, fetch: &Fetch) -> Collapsing;

    /// May `request`, which waited for a fetch, be answered with the response that it brought? If it could be
    /// answered from that response alone, without asking anyone.
    fn may_share(&self, request: &Request<'_>, stored: &Arc<Stored>, now: Time) -> bool {
        matches!(self.plan(request, std::slice::from_ref(stored), now), Plan::Serve { stale: false, .. })
    }

    /// The fields of the request to the origin: end-to-end fields of the client's request, conditions for the
    /// stored response under validation (`stored`, the one that `fetch` names), Via and CDN-Loop.
    ///
    /// Host is the client's; framing (Content-Length, Transfer-Encoding) is left to the connection. The
    /// method is the client's.
    fn origin_request(&self, request: &Request<'_>, fetch: &Fetch, stored: Option<&Stored>) -> HeaderMap;

    /// What to do with a response head from the origin. `stored` is what `plan` was given. Also asked for
    /// requests that were only forwarded: a POST may bring a response to store.
    fn received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received;

    /// A response that `received` said to store is too large to be stored in one piece. The head under which it can be
    /// kept in slices instead; `None`: it cannot.
    fn cut(&self, _stored: &Stored) -> Option<Stored> {
        None
    }

    /// No response head came from the origin: index of the stored response that may be served stale instead
    /// (RFC 9111 section 4.2.4, RFC 5861 section 4).
    fn failed(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        failure: Failure,
        stored: &[Arc<Stored>],
        now: Time,
    ) -> Option<usize>;

    /// The answer from a stored response (complete, or being received): evaluates the client's conditions and
    /// ranges.
    fn reply(&self, request: &Request<'_>, stored: &Stored, now: Time, handling: &Handling) -> Reply;

    /// The head sent to the client for a response that is not stored.
    fn relay(&self, request: &Request<'_>, response: &Response<'_>, now: Time, handling: &Handling) -> Reply;

    /// The fields of an interim (1xx) response to send on to the client. `None`: do not send it on.
    fn interim(&self, request: &Request<'_>, status: StatusCode, fields: &HeaderMap) -> Option<HeaderMap>;

    /// The trailer fields to send on to the client.
    fn trailers(&self, request: &Request<'_>, fields: &HeaderMap) -> HeaderMap;

    /// Fields for a response that the edge makes itself (an error, a refusal): Date, Via, Proxy-Status.
    fn generated(&self, request: &Request<'_>, now: Time, handling: &Handling) -> HeaderMap;

    /// A block of content on its way to the client, `offset` octets into the representation. A place for
    /// transformations (RFC 9110 section 7.7); none is made unless an implementation overrides this, and none
    /// may change the block's length.
    fn content(&self, _stored: Option<&Stored>, _offset: u64, block: Bytes) -> Bytes {
        block
    }

    /// The content of a response being stored has ended. `stored` has the number of octets received in its
    /// extent. `purged`: a purge of its key arrived after the fetch began.
    fn keep(&self, stored: &Stored, ended: Ended, purged: bool) -> Keep;

    /// `new`, the response to `request`, is about to be stored, and `stored` is under its key. Asked in the same step in
    /// which it is stored, of what is there then: others may have come since `received` was asked.
    fn beside(&self, request: &Request<'_>, new: &Stored, stored: &Stored) -> Beside;

    /// Keys whose responses must not be used any more after this exchange (RFC 9111 section 4.4).
    fn invalidated(&self, request: &Request<'_>, response: &Response<'_>) -> Vec<Key>;

    /// Groups whose responses, of the request's origin (scheme, host and port), must not be used any more after
    /// this exchange (RFC 9875 section 3).
    fn invalidated_groups(&self, request: &Request<'_>, response: &Response<'_>) -> Vec<String> {
        tags::invalidated_groups(request, response)
    }

    /// Keys to forget, with all their variants, when `target` (absolute) is purged.
    fn purged(&self, target: &Uri) -> Vec<Key>;
}
