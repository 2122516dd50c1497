//! The deviations. Each overrides one decision; all others are the wrapped implementation's.

use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::{AGE, CONNECTION, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use http_cache::{
    Beside, Collapsing, Decisions, Ended, Failure, Fetch, ForwardReason, Handling, Keep, Key, Lookup, Plan,
    Received, Refusal, Reply, Request, Response, Selection, Stored, Time,
};

/// Which rule an edge breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deviation {
    AgeFrozen,
    VaryIgnored,
    PurgeIgnored,
    TruncatedStored,
    #[value(name = "wrong-206")]
    Wrong206,
    HostIgnored,
    HopByHopRelayed,
    HeaderDropped,
    StaleServed,
    BodyChanged,
}

/// The octet that `body-changed` changes: behind the start, so that small answers are right.
pub const CHANGED_OCTET: u64 = 1023;

impl Deviation {
    /// As it is given on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it does, for people.
    pub fn does(self) -> &'static str {
        match self {
            Self::AgeFrozen => {
                "Age of a stored response stays what it was when the response came (RFC 9111 section 4.2.3)"
            }
            Self::VaryIgnored => "any stored variant answers any request for its URL (RFC 9111 section 4.1)",
            Self::PurgeIgnored => "a purge is accepted and forgets nothing",
            Self::TruncatedStored => {
                "a response that ended early is stored as if it were whole (RFC 9111 section 3.3)"
            }
            Self::Wrong206 => "a range is answered with the octets beside it (RFC 9110 section 14.4)",
            Self::HostIgnored => {
                "one host's response answers for another host's same path (RFC 9111 section 2)"
            }
            Self::HopByHopRelayed => {
                "response fields that Connection names are stored and passed on (RFC 9110 section 7.6.1)"
            }
            Self::HeaderDropped => {
                "response fields whose names begin with X- are lost (RFC 9110 section 5.1)"
            }
            Self::StaleServed => {
                "a stale response is served without asking the origin (RFC 9111 section 4.2.4)"
            }
            Self::BodyChanged => "one bit of the 1024th octet of each response's content is wrong",
        }
    }
}

/// An implementation of [`Decisions`] that breaks one rule of another.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Decisions>,
    deviation: Deviation,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Decisions>, deviation: Deviation) -> Self {
        Self { inner, deviation }
    }

    fn is(&self, deviation: Deviation) -> bool {
        self.deviation == deviation
    }

    /// Fields of a response from the origin as the wrapped implementation gets to see them.
    fn origin_fields(&self, headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        if self.is(Deviation::HopByHopRelayed) {
            headers.remove(CONNECTION);
        }
        headers
    }

    fn to_client(&self, mut reply: Reply) -> Reply {
        if self.is(Deviation::HeaderDropped) {
            let lost: Vec<_> =
                reply.headers.keys().filter(|name| name.as_str().starts_with("x-")).cloned().collect();
            for name in lost {
                reply.headers.remove(name);
            }
        }
        reply
    }
}

impl Decisions for Faulty {
    fn key(&self, request: &Request<'_>) -> Key {
        if self.is(Deviation::HostIgnored) {
            return without_host(request.target);
        }
        self.inner.key(request)
    }

    fn select(&self, request: &Request<'_>, stored: &[Arc<Stored>]) -> Option<usize> {
        if self.is(Deviation::VaryIgnored) {
            return stored.len().checked_sub(1);
        }
        self.inner.select(request, stored)
    }

    fn reuse(&self, request: &Request<'_>, chosen: Option<usize>, stored: &[Arc<Stored>], now: Time) -> Plan {
        match (self.inner.reuse(request, chosen, stored, now), chosen) {
            (Plan::Fetch(Fetch { reason: ForwardReason::Stale, .. }), Some(index))
                if self.is(Deviation::StaleServed) && !stored[index].is_fresh(now) =>
            {
                Plan::Serve { index, stale: true, refresh: None }
            }
            (plan, _) => plan,
        }
    }

    fn received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        let headers = self.origin_fields(response.headers);
        self.inner.received(request, fetch, &Response { headers: &headers, ..*response }, stored)
    }

    fn reply(&self, request: &Request<'_>, stored: &Stored, now: Time, handling: &Handling) -> Reply {
        let mut reply = self.inner.reply(request, stored, now, handling);
        if self.is(Deviation::AgeFrozen) && reply.headers.contains_key(AGE) {
            let age = stored.age(stored.response_time()).as_secs();
            reply.headers.insert(AGE, HeaderValue::from(age));
        }
        if let (true, Selection::Range(range)) = (self.is(Deviation::Wrong206), &mut reply.content) {
            // One octet beside it, where there is one.
            if range.start > stored.extent().first {
                *range = range.start - 1..range.end - 1;
            } else if stored.extent().end().is_some_and(|end| range.end < end) {
                *range = range.start + 1..range.end + 1;
            }
        }
        self.to_client(reply)
    }

    fn relay(&self, request: &Request<'_>, response: &Response<'_>, now: Time, handling: &Handling) -> Reply {
        let headers = self.origin_fields(response.headers);
        self.to_client(self.inner.relay(request, &Response { headers: &headers, ..*response }, now, handling))
    }

    fn content(&self, stored: Option<&Stored>, offset: u64, block: Bytes) -> Bytes {
        let block = self.inner.content(stored, offset, block);
        let at = CHANGED_OCTET.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        match at.filter(|at| *at < block.len()) {
            Some(at) if self.is(Deviation::BodyChanged) => {
                let mut changed = block.to_vec();
                changed[at] ^= 1;
                changed.into()
            }
            _ => block,
        }
    }

    fn beside(&self, request: &Request<'_>, new: &Stored, stored: &Stored) -> Beside {
        self.inner.beside(request, new, stored)
    }

    fn keep(&self, stored: &Stored, ended: Ended, purged: bool) -> Keep {
        if self.is(Deviation::TruncatedStored) && ended == Ended::Truncated && !purged {
            return Keep::Store;
        }
        self.inner.keep(stored, ended, purged)
    }

    fn invalidated(&self, request: &Request<'_>, response: &Response<'_>) -> Vec<Key> {
        let keys = self.inner.invalidated(request, response);
        if self.is(Deviation::HostIgnored) { rekeyed(&keys) } else { keys }
    }

    fn purged(&self, target: &Uri) -> Vec<Key> {
        match self.deviation {
            Deviation::PurgeIgnored => Vec::new(),
            // Consistent in its error: what is purged is what would be served.
            Deviation::HostIgnored => vec![without_host(target)],
            _ => self.inner.purged(target),
        }
    }

    // The rest is as it should be.

    fn admit(&self, request: &Request<'_>) -> Result<(), Refusal> {
        self.inner.admit(request)
    }

    fn lookup(&self, request: &Request<'_>) -> Lookup {
        self.inner.lookup(request)
    }

    fn collapsing(&self, request: &Request<'_>, fetch: &Fetch) -> Collapsing {
        self.inner.collapsing(request, fetch)
    }

    fn origin_request(&self, request: &Request<'_>, fetch: &Fetch, stored: Option<&Stored>) -> HeaderMap {
        self.inner.origin_request(request, fetch, stored)
    }

    fn cut(&self, stored: &Stored) -> Option<Stored> {
        self.inner.cut(stored)
    }

    fn failed(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        failure: Failure,
        stored: &[Arc<Stored>],
        now: Time,
    ) -> Option<usize> {
        self.inner.failed(request, fetch, failure, stored, now)
    }

    fn interim(&self, request: &Request<'_>, status: StatusCode, fields: &HeaderMap) -> Option<HeaderMap> {
        self.inner.interim(request, status, fields)
    }

    fn trailers(&self, request: &Request<'_>, fields: &HeaderMap) -> HeaderMap {
        self.inner.trailers(request, fields)
    }

    fn generated(&self, request: &Request<'_>, now: Time, handling: &Handling) -> HeaderMap {
        self.inner.generated(request, now, handling)
    }
}

fn without_host(target: &Uri) -> Key {
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    Key::from_parts(target.scheme_str().unwrap_or("http"), "", path)
}

fn rekeyed(keys: &[Key]) -> Vec<Key> {
    keys.iter().filter_map(|key| key.as_str().parse().ok()).map(|uri| without_host(&uri)).collect()
}
