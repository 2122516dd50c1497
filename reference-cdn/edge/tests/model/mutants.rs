//! Edges with one wrong decision each. The oracle must find every one of them: what it allows, it allows for a reason.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use http_cache::{
    Beside, Collapsing, Decisions, Ended, Failure, Fetch, Handling, Keep, Key, Lookup, Plan, Received,
    Refusal, Reply, Request, Response, Selection, Settings, Standard, Stored, Time,
};

use crate::{Decide, search};

/// Histories within which a fault must show.
const BUDGET: u32 = 4000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    AnyVariant,
    AnyHost,
    StaleServed,
    StaleDespiteMustRevalidate,
    NoCacheServed,
    AgeStands,
    AgeMissing,
    PrivateStored,
    CredentialsIgnored,
    PurgeForgotten,
    PurgeLosesToFetch,
    InvalidationForgotten,
    TruncatedStored,
    RangeShifted,
    AnyConditionMatches,
    ConditionIgnored,
    ConfirmedNotUpdated,
    OthersConfirmedToo,
    PartsOfTwoVersions,
    NeverStored,
    NeverValidated,
    WishesIgnored,
}

const FAULTS: [Fault; 22] = [
    Fault::AnyVariant,
    Fault::AnyHost,
    Fault::StaleServed,
    Fault::StaleDespiteMustRevalidate,
    Fault::NoCacheServed,
    Fault::AgeStands,
    Fault::AgeMissing,
    Fault::PrivateStored,
    Fault::CredentialsIgnored,
    Fault::PurgeForgotten,
    Fault::PurgeLosesToFetch,
    Fault::InvalidationForgotten,
    Fault::TruncatedStored,
    Fault::RangeShifted,
    Fault::AnyConditionMatches,
    Fault::ConditionIgnored,
    Fault::ConfirmedNotUpdated,
    Fault::OthersConfirmedToo,
    Fault::PartsOfTwoVersions,
    Fault::NeverStored,
    Fault::NeverValidated,
    Fault::WishesIgnored,
];

/// The decisions of the RFCs, but for one.
#[derive(Debug)]
struct Faulty {
    right: Standard,
    /// The same, deaf to what clients want.
    deaf: Standard,
    fault: Fault,
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// The decisions about what a client wants.
    fn hearing(&self) -> &Standard {
        if self.is(Fault::WishesIgnored) { &self.deaf } else { &self.right }
    }

    fn key_of(&self, key: Key) -> Key {
        if !self.is(Fault::AnyHost) {
            return key;
        }
        let path = key.as_str().splitn(4, '/').nth(3).unwrap_or("").to_owned();
        Key::from_parts("http", "all.test", &format!("/{path}"))
    }
}

impl Decisions for Faulty {
    fn admit(&self, request: &Request<'_>) -> Result<(), Refusal> {
        self.right.admit(request)
    }

    fn key(&self, request: &Request<'_>) -> Key {
        self.key_of(self.right.key(request))
    }

    fn lookup(&self, request: &Request<'_>) -> Lookup {
        self.hearing().lookup(request)
    }

    fn select(&self, request: &Request<'_>, stored: &[Arc<Stored>]) -> Option<usize> {
        match self.fault {
            Fault::AnyVariant => stored.len().checked_sub(1),
            _ => self.right.select(request, stored),
        }
    }

    fn reuse(&self, request: &Request<'_>, chosen: Option<usize>, stored: &[Arc<Stored>], now: Time) -> Plan {
        let plan = self.hearing().reuse(request, chosen, stored, now);
        let (Plan::Fetch(fetch), Some(index)) = (&plan, chosen) else { return plan };
        let fresh = stored[index].is_fresh(now);
        let serve = Plan::Serve { index, stale: !fresh, refresh: None };
        match self.fault {
            Fault::StaleServed if !fresh && fetch.validate.is_some() => serve,
            Fault::NoCacheServed if fresh && fetch.validate.is_some() => serve,
            Fault::NeverValidated => Plan::Fetch(Fetch { validate: None, ..fetch.clone() }),
            _ => plan,
        }
    }

    fn collapsing(&self, request: &Request<'_>, fetch: &Fetch) -> Collapsing {
        self.hearing().collapsing(request, fetch)
    }

    fn origin_request(&self, request: &Request<'_>, fetch: &Fetch, stored: Option<&Stored>) -> HeaderMap {
        self.right.origin_request(request, fetch, stored)
    }

    fn received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        let mut fields = response.headers.clone();
        let mut asked = request.headers.clone();
        match self.fault {
            Fault::PrivateStored => {
                let private = |value: &HeaderValue| value.as_bytes().windows(7).any(|it| it == b"private");
                if fields.get(CACHE_CONTROL).is_some_and(private) {
                    fields.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
                }
            }
            Fault::CredentialsIgnored => _ = asked.remove(AUTHORIZATION),
            // The tag that it would have to have.
            Fault::PartsOfTwoVersions if response.status == StatusCode::PARTIAL_CONTENT => {
                let part = stored.iter().find(|it| it.extent().partial);
                if let Some(tag) = part.and_then(|part| part.headers().get("etag").cloned()) {
                    fields.insert("etag", tag);
                }
            }
            _ => {}
        }
        let request = Request { headers: &asked, ..*request };
        let response = Response { headers: &fields, ..*response };
        let received = self.hearing().received(&request, fetch, &response, stored);
        match (self.fault, received) {
            (Fault::NeverStored, Received::Store { .. }) => {
                Received::Relay { why: http_cache::NotStored::NoStore, forget: Vec::new() }
            }
            (Fault::ConfirmedNotUpdated, Received::Freshen { mut updated, forget }) => {
                for (index, head) in &mut updated {
                    **head = Stored::clone(&stored[*index]);
                }
                Received::Freshen { updated, forget }
            }
            // What is confirmed for one is fresh for all with the same tag.
            (Fault::OthersConfirmedToo, Received::Freshen { mut updated, forget }) => {
                for (index, other) in stored.iter().enumerate() {
                    let tag = |it: &Stored| it.headers().get("etag").cloned();
                    let known = updated.iter().any(|(known, _)| *known == index);
                    if !known && tag(other).is_some() && tag(other) == tag(&updated[0].1) {
                        let one = std::slice::from_ref(other);
                        let fetch = Fetch { validate: Some(0), whole: true, ..fetch.clone() };
                        for flavour in ["1", "2", ""] {
                            let value = HeaderValue::from_static(flavour);
                            let fields: HeaderMap = [(HeaderName::from_static("flavour"), value)]
                                .into_iter()
                                .filter(|_| !flavour.is_empty())
                                .collect();
                            let its = Request { headers: &fields, ..request };
                            if self.right.select(&its, one).is_some()
                                && let Received::Freshen { updated: mut more, .. } =
                                    self.right.received(&its, &fetch, &response, one)
                            {
                                updated.push((index, more.remove(0).1));
                                break;
                            }
                        }
                    }
                }
                Received::Freshen { updated, forget }
            }
            (_, received) => received,
        }
    }

    fn cut(&self, stored: &Stored) -> Option<Stored> {
        self.right.cut(stored)
    }

    fn failed(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        failure: Failure,
        stored: &[Arc<Stored>],
        now: Time,
    ) -> Option<usize> {
        if self.is(Fault::StaleDespiteMustRevalidate) {
            return self.right.select(request, stored).filter(|&index| !stored[index].extent().partial);
        }
        self.hearing().failed(request, fetch, failure, stored, now)
    }

    fn reply(&self, request: &Request<'_>, stored: &Stored, now: Time, handling: &Handling) -> Reply {
        let mut asked = request.headers.clone();
        match self.fault {
            Fault::AnyConditionMatches if asked.contains_key(IF_NONE_MATCH) => {
                asked.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            Fault::ConditionIgnored => {
                asked.remove(IF_NONE_MATCH);
            }
            _ => {}
        }
        let mut reply = self.right.reply(&Request { headers: &asked, ..*request }, stored, now, handling);
        match self.fault {
            Fault::AgeStands if reply.headers.contains_key(AGE) => {
                let age = stored.age(stored.response_time()).as_secs();
                reply.headers.insert(AGE, HeaderValue::from(age));
            }
            Fault::AgeMissing => _ = reply.headers.remove(AGE),
            _ => {}
        }
        if let (true, Selection::Range(range)) = (self.is(Fault::RangeShifted), &mut reply.content)
            && range.start > stored.extent().first
        {
            *range = range.start - 1..range.end - 1;
        }
        reply
    }

    fn relay(&self, request: &Request<'_>, response: &Response<'_>, now: Time, handling: &Handling) -> Reply {
        self.right.relay(request, response, now, handling)
    }

    fn interim(&self, request: &Request<'_>, status: StatusCode, fields: &HeaderMap) -> Option<HeaderMap> {
        self.right.interim(request, status, fields)
    }

    fn trailers(&self, request: &Request<'_>, fields: &HeaderMap) -> HeaderMap {
        self.right.trailers(request, fields)
    }

    fn generated(&self, request: &Request<'_>, now: Time, handling: &Handling) -> HeaderMap {
        self.right.generated(request, now, handling)
    }

    fn content(&self, stored: Option<&Stored>, offset: u64, block: Bytes) -> Bytes {
        self.right.content(stored, offset, block)
    }

    fn beside(&self, request: &Request<'_>, new: &Stored, stored: &Stored) -> Beside {
        self.right.beside(request, new, stored)
    }

    fn keep(&self, stored: &Stored, ended: Ended, purged: bool) -> Keep {
        match self.fault {
            Fault::TruncatedStored if ended == Ended::Truncated && !purged => Keep::Store,
            Fault::PurgeLosesToFetch => self.right.keep(stored, ended, false),
            _ => self.right.keep(stored, ended, purged),
        }
    }

    fn invalidated(&self, request: &Request<'_>, response: &Response<'_>) -> Vec<Key> {
        if self.is(Fault::InvalidationForgotten) {
            return Vec::new();
        }
        self.right.invalidated(request, response).into_iter().map(|key| self.key_of(key)).collect()
    }

    fn purged(&self, target: &Uri) -> Vec<Key> {
        if self.is(Fault::PurgeForgotten) {
            return Vec::new();
        }
        self.right.purged(target).into_iter().map(|key| self.key_of(key)).collect()
    }
}

fn faulty(fault: Fault) -> Decide {
    Arc::new(move |settings: &Settings| {
        let right = Standard::new(settings.clone());
        let deaf = Standard::new(Settings {
            client_directives: http_cache::ClientDirectives::Ignore,
            ..settings.clone()
        });
        Arc::new(Faulty { right, deaf, fault }) as Arc<dyn Decisions>
    })
}

#[test]
fn each_wrong_decision_is_found() {
    let missed: Vec<Fault> =
        FAULTS.into_iter().filter(|fault| search(BUDGET, 1, 0, &faulty(*fault)).is_none()).collect();
    assert!(missed.is_empty(), "within {BUDGET} histories the oracle found nothing wrong with {missed:?}");
}

/// A fault is told as a story that is short enough to read.
#[test]
fn a_failure_is_shrunk_to_a_short_story() {
    let Some((history, story)) = search(BUDGET, 1, 2000, &faulty(Fault::AnyVariant)) else {
        panic!("not found within {BUDGET} histories");
    };
    assert!(history.steps.len() <= 3, "{story}\n{history:#?}");
    assert!(story.contains("it is for other request fields (section 4.1)"), "{story}");
}
