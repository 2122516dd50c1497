//! The decisions as the RFCs have them: which function answers which question, and in what order.

mod forwarding;
mod receiving;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, RANGE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use self::forwarding::{completion, validation_of};
use crate::directives::{CDN_CACHE_CONTROL, MAX_DELTA, RequestDirectives};
use crate::storing::Policy;
use crate::validation::{self, Match};
use crate::*;

/// The decisions of RFC 9110 and RFC 9111.
#[derive(Clone, Debug)]
pub struct Standard {
    settings: Settings,
    /// This cache's member of Via for what came in HTTP/1.1; and in HTTP/1.0 and HTTP/2.
    via: HeaderValue,
    via_others: [HeaderValue; 2],
    /// Its member of CDN-Loop.
    cdn: HeaderValue,
    targets: Vec<HeaderName>,
}

/// Fields by which a client can make some origins answer for another resource or with another method. A
/// response to such a request must not answer requests without the field, and the key does not have it: the
/// store is bypassed.
fn is_misleading(name: &str) -> bool {
    // Most requests have none that even looks like one.
    (name.starts_with("x-") || name == "forwarded")
        && matches!(
            name,
            "x-forwarded-host"
                | "x-forwarded-scheme"
                | "x-host"
                | "x-original-url"
                | "x-rewrite-url"
                | "x-http-method"
                | "x-http-method-override"
                | "x-method-override"
                | "forwarded"
        )
}

/// Trailer fields that must not be: framing, routing, and what a recipient needs before the content (RFC 9110
/// section 6.5.1). Targeted fields come on top.
const NOT_IN_TRAILERS: [&str; 22] = [
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cdn-cache-control",
    "date",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "trailer",
    "vary",
    "warning",
    "www-authenticate",
];

impl Standard {
    /// A name that cannot stand in a field is replaced by `cdn`; an id that cannot is left out.
    pub fn new(mut settings: Settings) -> Self {
        let is_token = !settings.name.is_empty() && settings.name.bytes().all(directives::is_token);
        if !is_token {
            settings.name = "cdn".into();
        }
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("cdn"));
        settings.edge = settings.edge.filter(|id| is_edge_id(id));
        let cdn = cdn_loop::member(&settings.name, settings.edge.as_deref());
        let via = |version: &str| value(&format!("{version} {}", settings.name));
        let targets = settings.targeted.clone().unwrap_or_else(|| {
            let own = HeaderName::try_from(format!("{}-cache-control", settings.name)).ok();
            own.into_iter().chain([CDN_CACHE_CONTROL]).collect()
        });
        Self {
            via: via("1.1"),
            via_others: [via("1.0"), via("2")],
            cdn: cdn.unwrap_or(HeaderValue::from_static("cdn")),
            targets,
            settings,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn directives(&self, request: &Request<'_>) -> RequestDirectives {
        match self.settings.client_directives {
            ClientDirectives::Honor => RequestDirectives::of(request.headers),
            ClientDirectives::Ignore => RequestDirectives::default(),
        }
    }

    fn policy(&self) -> Policy<'_> {
        Policy {
            heuristic: self.settings.heuristic,
            targets: &self.targets,
            client_may_want_stale: self.settings.client_directives == ClientDirectives::Honor,
        }
    }

    /// Why neither may the store answer the request, nor the answer be stored, whatever it is. The method is another
    /// matter.
    fn bypass(&self, request: &Request<'_>) -> Option<ForwardReason> {
        let headers = request.headers;
        let upgrade = headers.contains_key(UPGRADE) && fields::Nominated::of(headers).contains(&UPGRADE);
        if upgrade || headers.keys().any(|name| is_misleading(name.as_str())) {
            return Some(ForwardReason::Bypass);
        }
        // RFC 9111 section 5.2.1.5 forbids to store; to answer from the store is allowed, but a client that asks for
        // this has no use for stored responses either, unless it wants nothing else.
        let directives = self.directives(request);
        (directives.no_store && !directives.only_if_cached).then_some(ForwardReason::Request)
    }

    /// The fields that this cache adds to each response, and those that it keeps to itself.
    fn sign(&self, headers: &mut HeaderMap, handling: &Handling, ttl: Option<i64>) {
        let name = &self.settings.name;
        let generated = handling.outcome == Outcome::Generated;
        if self.settings.tag_fields == TagFields::Strip {
            headers.remove(tags::SURROGATE_KEY);
            headers.remove(tags::CACHE_TAG);
        }
        let _ = headers.try_append(http::header::VIA, self.via.clone());
        // RFC 9211 section 2: what this edge made itself was handled by no cache.
        if !generated {
            fields::append(headers, fields::CACHE_STATUS, &cache_status::member(name, handling, ttl));
        }
        if let Some(told) = &handling.proxy {
            fields::append(headers, fields::PROXY_STATUS, &proxy_status::member(name, told, generated));
        }
    }

    /// A stored response that may stand in for the origin's error.
    fn stand_in(
        &self,
        request: &Request<'_>,
        stored: &[Arc<Stored>],
        disconnected: bool,
        now: Time,
    ) -> Option<usize> {
        let index = self.select(request, stored)?;
        let chosen = stored.get(index)?;
        let staleness = chosen.staleness(now);
        let directives = self.directives(request);
        // A client that is heard gets what it asked for, or the origin's error.
        if directives.reject(request, chosen, now) || directives.want_fresh() && !chosen.is_fresh(now) {
            return None;
        }
        let asked = directives.stale_if_error.is_some_and(|window| staleness <= seconds(window));
        let limit = self.settings.stale_when_disconnected;
        let usable = (chosen.freshness.if_error(staleness, disconnected, limit)
            || asked && chosen.freshness.at_client_risk())
            && answering::covers(request, chosen, now)
            && validation::meets_preconditions(request.headers, chosen, now);
        usable.then_some(index)
    }
}

impl Decisions for Standard {
    fn admit(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if matches!(*request.method, Method::CONNECT | Method::TRACE) {
            // TRACE would show a client the fields that were added on the way (RFC 9110 section 9.3.8).
            return Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                reason: "method not supported here",
            });
        }
        let Settings { name, edge, tiers_below, .. } = &self.settings;
        if cdn_loop::is_loop(request.headers, name, edge.as_deref(), *tiers_below) {
            return Err(Refusal {
                status: StatusCode::LOOP_DETECTED,
                reason: "the request has passed this CDN before",
            });
        }
        if *request.method == Method::GET && range::is_excessive(request.headers) {
            return Err(Refusal {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                reason: "too many ranges, or too many that overlap",
            });
        }
        Ok(())
    }

    fn key(&self, request: &Request<'_>) -> Key {
        Key::of(request.target)
    }

    fn lookup(&self, request: &Request<'_>) -> Lookup {
        if !matches!(*request.method, Method::GET | Method::HEAD) {
            return Lookup::Forward(ForwardReason::Method);
        }
        // Content in a GET means nothing (RFC 9110 section 9.3.1), yet some origins answer by it, and the key
        // does not have it.
        let headers = request.headers;
        let content = headers.contains_key(TRANSFER_ENCODING)
            || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
        if content {
            return Lookup::Forward(ForwardReason::Bypass);
        }
        self.bypass(request).map_or(Lookup::Store, Lookup::Forward)
    }

    fn select(&self, request: &Request<'_>, stored: &[Arc<Stored>]) -> Option<usize> {
        stored
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.selecting.matches(request.headers, &candidate.headers))
            // The most recent one, one that holds what is asked for before all. One that varies comes before one that
            // does not: an origin may omit Vary where a request expresses no preference (section 4.1).
            .max_by_key(|(index, candidate)| {
                let covers = answering::covers(request, candidate, candidate.response_time);
                (covers, candidate.selecting.vary(), candidate.date, candidate.response_time, *index)
            })
            .map(|(index, _)| index)
    }

    fn reuse(&self, request: &Request<'_>, chosen: Option<usize>, stored: &[Arc<Stored>], now: Time) -> Plan {
        let directives = self.directives(request);
        let fetch = |fetch: Fetch| {
            if directives.only_if_cached {
                let reason = "the request asks for a stored response and there is none to use";
                return Plan::Refuse(Refusal { status: StatusCode::GATEWAY_TIMEOUT, reason });
            }
            Plan::Fetch(fetch)
        };
        let pass = |reason| {
            let slice = slicing::first(request, self.settings.slice);
            Fetch { whole: slice.is_some(), slice, ..Fetch::forward(reason) }
        };
        let Some((index, chosen)) = chosen.and_then(|index| Some((index, stored.get(index)?))) else {
            let reason = if stored.is_empty() { ForwardReason::UriMiss } else { ForwardReason::VaryMiss };
            let offered = validation::offer(request, stored);
            return fetch(Fetch { offered, ..pass(reason) });
        };
        if !answering::covers(request, chosen, now) {
            let completion = completion(request, chosen, index);
            return fetch(completion.unwrap_or(pass(ForwardReason::Partial)));
        }
        if chosen.status.is_success() && !validation::meets_preconditions(request.headers, chosen, now) {
            return fetch(pass(ForwardReason::Request));
        }
        let fresh = chosen.is_fresh(now);
        let unwanted = directives.reject(request, chosen, now);
        if !unwanted && !chosen.freshness.no_cache {
            if fresh {
                return Plan::Serve { index, stale: false, refresh: None };
            }
            let staleness = chosen.staleness(now);
            if directives
                .max_stale
                .is_some_and(|allowed| allowed == MAX_DELTA || staleness <= seconds(allowed))
                && chosen.freshness.at_client_risk()
            {
                return Plan::Serve { index, stale: true, refresh: None };
            }
            if chosen.freshness.while_revalidating(staleness) && !directives.want_fresh() {
                // In the background nobody waits for a part, or for a 304 to conditions of the client's.
                let refresh =
                    Fetch { whole: true, ..validation_of(request, chosen, index, ForwardReason::Stale) };
                return Plan::Serve { index, stale: true, refresh: Some(refresh) };
            }
        }
        let reason = if unwanted && fresh { ForwardReason::Request } else { ForwardReason::Stale };
        fetch(validation_of(request, chosen, index, reason))
    }

    fn collapsing(&self, request: &Request<'_>, fetch: &Fetch) -> Collapsing {
        let ranged = request.headers.contains_key(RANGE) && !range::has_greedy_ranges(request.headers);
        let own = validation::is_conditional(request.headers) || ranged;
        let get = *request.method == Method::GET;
        // A request with credentials rarely brings a response for others, and each such request would wait
        // for one that does not help it.
        let open = !request.headers.contains_key(AUTHORIZATION)
            && !request.headers.contains_key(http::header::IF_MATCH);
        let directives = self.directives(request);
        Collapsing {
            lead: get && open && fetch.complete.is_none() && (fetch.whole || !own),
            join: open && !directives.no_cache && directives.max_age.is_none(),
        }
    }

    fn origin_request(&self, request: &Request<'_>, fetch: &Fetch, stored: Option<&Stored>) -> HeaderMap {
        self.header_towards_origin(request, fetch, stored)
    }

    fn received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        self.receive(request, fetch, response, stored)
    }

    fn cut(&self, stored: &Stored) -> Option<Stored> {
        slicing::cut(stored, self.settings.slice)
    }

    fn failed(
        &self,
        request: &Request<'_>,
        _fetch: &Fetch,
        _failure: Failure,
        stored: &[Arc<Stored>],
        now: Time,
    ) -> Option<usize> {
        if self.lookup(request) != Lookup::Store {
            return None;
        }
        self.stand_in(request, stored, true, now)
    }

    fn reply(&self, request: &Request<'_>, stored: &Stored, now: Time, handling: &Handling) -> Reply {
        let mut reply = answering::reply(request, stored, now, handling);
        let kept = handling.stored || !matches!(handling.outcome, Outcome::Forward { .. });
        self.sign(&mut reply.headers, handling, kept.then(|| stored.ttl(now)));
        reply
    }

    fn relay(&self, request: &Request<'_>, response: &Response<'_>, now: Time, handling: &Handling) -> Reply {
        let mut headers = fields::end_to_end(response.headers);
        if response.headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        if age::date_field(&headers, now).is_none() {
            headers.insert(DATE, date::format(response.response_time));
        }
        if let Some(aged) = age::field(&headers) {
            let delay =
                response.response_time.since(response.request_time) + now.since(response.response_time);
            headers.insert(http::header::AGE, HeaderValue::from(u64::from(aged) + delay.as_secs()));
        }
        self.sign(&mut headers, handling, None);
        let silent = *request.method == Method::HEAD || !storing::has_content(response.status);
        let content = if silent { Selection::None } else { Selection::Whole };
        Reply { status: response.status, headers, content }
    }

    fn interim(&self, _request: &Request<'_>, status: StatusCode, fields: &HeaderMap) -> Option<HeaderMap> {
        // 100 answers the edge's own Expect, 101 would end HTTP on the connection (RFC 9110 section 15.2).
        (status.is_informational() && !matches!(status.as_u16(), 100 | 101))
            .then(|| fields::end_to_end(fields))
    }

    fn trailers(&self, _request: &Request<'_>, fields: &HeaderMap) -> HeaderMap {
        let mut kept = fields::end_to_end(fields);
        for name in NOT_IN_TRAILERS {
            kept.remove(name);
        }
        for name in &self.targets {
            kept.remove(name);
        }
        kept
    }

    fn generated(&self, _request: &Request<'_>, now: Time, handling: &Handling) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, date::format(now));
        self.sign(&mut headers, handling, None);
        headers
    }

    fn keep(&self, stored: &Stored, ended: Ended, purged: bool) -> Keep {
        let whole = ended == Ended::Complete && stored.is_as_announced();
        if whole && !purged { Keep::Store } else { Keep::Discard }
    }

    fn beside(&self, request: &Request<'_>, new: &Stored, stored: &Stored) -> Beside {
        if !stored.selecting.matches(request.headers, &stored.headers) {
            return Beside::Both;
        }
        // As in `combining::part`: a part adds nothing to the whole of the same version.
        let part_of_it = new.extent.partial
            && !stored.extent.partial
            && validation::names(&new.headers, stored) == Match::Strong;
        if part_of_it { Beside::Stored } else { Beside::Last }
    }

    fn invalidated(&self, request: &Request<'_>, response: &Response<'_>) -> Vec<Key> {
        invalidation::keys(request, response)
    }

    fn purged(&self, target: &Uri) -> Vec<Key> {
        // What is to go is content, whichever way it is reached: who purges http://a/b is not to be left with what
        // https://a/b gave. The other scheme costs one fetch at most.
        let other = if target.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
            "http"
        } else {
            "https"
        };
        vec![Key::of(target), Key::with_scheme(other, target)]
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

impl RequestDirectives {
    /// Does the client not want this stored response without validation?
    ///
    /// RFC 8246: a fresh response that is immutable needs none, for a client that reloads (`max-age=0`) either; only
    /// `no-cache`, a forced reload, is the signal that asks for one (section 2.1). Section 3 wants that ignored where
    /// nothing vouches for the origin or for the length of what it sent: without TLS, and where no length was announced.
    fn reject(&self, request: &Request<'_>, stored: &Stored, now: Time) -> bool {
        let age = stored.age(now);
        let left = stored.freshness.lifetime.saturating_sub(age);
        let immutable = stored.freshness.immutable
            && stored.is_fresh(now)
            && request.target.scheme() == Some(&Scheme::HTTPS)
            && stored.announced.is_some();
        self.no_cache
            || self.max_age.is_some_and(|limit| age > seconds(limit) && !immutable)
            || self.min_fresh.is_some_and(|wanted| left < seconds(wanted))
    }

    /// Nothing stale: a client that limits age or asks for freshness, and does not say what else it accepts (RFC 9111
    /// section 5.2.1.1).
    fn want_fresh(&self) -> bool {
        (self.max_age.is_some() || self.min_fresh.is_some())
            && self.max_stale.is_none()
            && self.stale_if_error.is_none()
    }
}
