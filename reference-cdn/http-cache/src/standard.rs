//! The decisions as the RFCs have them: which function answers which question, and in what order.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, IF_RANGE, RANGE, TRANSFER_ENCODING, UPGRADE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use crate::directives::{CDN_CACHE_CONTROL, MAX_DELTA, RequestDirectives, ResponseDirectives};
use crate::storing::Policy;
use crate::validation::{self, CONDITIONS, Match};
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

const MAX_FORWARDS: HeaderName = http::header::MAX_FORWARDS;

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

    fn confirmed(
        &self,
        request: &Request<'_>,
        response: &Response<'_>,
        index: usize,
        stored: &[Arc<Stored>],
    ) -> Received {
        let again = || Received::Again(Fetch::unconditional(ForwardReason::Stale));
        let Some(asked) = stored.get(index) else { return again() };
        // Section 4.3.4. A 304 without validators answers the one response we asked about. One that names
        // another representation confirms nothing.
        let matched = validation::names(response.headers, asked);
        if matched == Match::Differs {
            return again();
        }
        let Some(first) = freshening::freshen(request, response, asked, self.policy()) else {
            return again();
        };
        let mut updated = vec![(index, Box::new(first))];
        if matched == Match::Strong {
            let others = self.named(request, response, stored).filter(|other| *other != index);
            updated.extend(others.filter_map(|other| {
                let fresh = freshening::freshen(request, response, &stored[other], self.policy())?;
                Some((other, Box::new(fresh)))
            }));
        }
        Received::Freshen { updated, forget: Vec::new() }
    }

    /// The stored responses that the request could have been answered from and that a strong validator of `response`
    /// names (section 4.3.4). A variant for other requests is not among them, even if its ETag is the same: that it is
    /// current for this request says nothing about what the others would get now.
    fn named<'a>(
        &self,
        request: &'a Request<'_>,
        response: &'a Response<'_>,
        stored: &'a [Arc<Stored>],
    ) -> impl Iterator<Item = usize> + 'a {
        (0..stored.len()).filter(move |&index| {
            let variant = &stored[index];
            variant.selecting.matches(request.headers, &variant.headers)
                && validation::names(response.headers, variant) == Match::Strong
        })
    }

    /// A 304 to tags of responses that the request did not select: the one that it names answers this request too. The
    /// others' freshness is not touched; see [`named`](Self::named).
    fn taken(&self, request: &Request<'_>, response: &Response<'_>, stored: &[Arc<Stored>]) -> Received {
        let named = validation::offerable(request, stored)
            .find(|&index| validation::names(response.headers, &stored[index]) == Match::Strong);
        let copy = named.and_then(|index| {
            let copy = freshening::for_another(request, response, &stored[index], self.policy())?;
            Some(Received::Copy { index, stored: Box::new(copy) })
        });
        copy.unwrap_or(Received::Again(Fetch::unconditional(ForwardReason::VaryMiss)))
    }

    /// A 304 to conditions of the client's own. It updates what it names in the store (section 4.3.4), and answers the
    /// client from there if that comes to a 304 again.
    ///
    /// One without validators is about the client's copy, which may be another than the one stored: it updates nothing,
    /// although the last rule of that section would let it.
    fn told_client(
        &self,
        request: &Request<'_>,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        let (mut updated, mut forget) = (Vec::new(), Vec::new());
        let mut named: Vec<usize> = self.named(request, response, stored).collect();
        if named.is_empty() {
            let weak = self.select(request, stored);
            named.extend(
                weak.filter(|&index| validation::names(response.headers, &stored[index]) == Match::Weak),
            );
        }
        for index in named {
            match freshening::freshen(request, response, &stored[index], self.policy()) {
                Some(fresh) => updated.push((index, Box::new(fresh))),
                None => forget.push(index),
            }
        }
        let directives = ResponseDirectives::of(response.headers, &self.targets);
        if !storing::is_for_all(request, &directives) {
            forget.clear();
        }
        match updated.first() {
            Some((_, first)) if validation::is_not_modified(request, first, response.response_time) => {
                Received::Freshen { updated, forget }
            }
            _ => Received::Relay { why: NotStored::Status, forget },
        }
    }

    /// Section 4.3.5: a 200 to HEAD updates each stored response to GET that it could have been answered from and that it
    /// describes, and makes those that it does not describe obsolete.
    fn head_received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        let mut forget = Vec::new();
        let mut updated = Vec::new();
        // What one client's credentials bring tells nothing about what others get.
        let directives = ResponseDirectives::of(response.headers, &self.targets);
        if response.status == StatusCode::OK && storing::is_for_all(request, &directives) {
            for (index, candidate) in stored.iter().enumerate() {
                if !candidate.selecting.matches(request.headers, &candidate.headers) {
                    continue;
                }
                // An origin that was sent the stored validator and does not answer 304 may know nothing of conditions.
                // If it does not repeat the validator either, it has another version.
                let named = fetch.validate.is_none()
                    || matches!(validation::names(response.headers, candidate), Match::Strong | Match::Weak);
                let described = named && freshening::head_describes(response.headers, candidate);
                if candidate.extent.partial && described {
                    // Still true, but no answer to a HEAD.
                    continue;
                }
                let fresh = (candidate.status == StatusCode::OK && described)
                    .then(|| freshening::freshen(request, response, candidate, self.policy()))
                    .flatten();
                match fresh {
                    Some(fresh) => updated.push((index, Box::new(fresh))),
                    None => forget.push(index),
                }
            }
        }
        if updated.is_empty() {
            return Received::Relay { why: NotStored::Method, forget };
        }
        Received::Freshen { updated, forget }
    }
}

impl Fetch {
    /// The whole, whatever the client's conditions.
    fn unconditional(reason: ForwardReason) -> Self {
        Self { whole: true, ..Self::forward(reason) }
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
        let mut headers = fields::end_to_end(request.headers);
        headers.remove(CONTENT_LENGTH);
        if range::has_greedy_ranges(request.headers) {
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        if fetch.whole {
            for name in &CONDITIONS {
                headers.remove(name);
            }
        }
        if let Some(tags) = &fetch.offered {
            headers.insert(http::header::IF_NONE_MATCH, tags.clone());
        }
        if let Some(stored) = stored.filter(|_| fetch.validate.is_some()) {
            if let Some(range) = &fetch.complete {
                if !storing::allows_all(&ResponseDirectives::of(&stored.headers.to_map(0), &self.targets)) {
                    // A part of what anybody may have is fetched for anybody: one client's credentials would make it
                    // that client's (section 3.5).
                    headers.remove(AUTHORIZATION);
                }
                let rest = stored.extent.complete == Some(range.end);
                headers.insert(RANGE, range_field(range.start, range.end.checked_sub(1).filter(|_| !rest)));
                if let Some(tag) = stored.headers.value(&http::header::ETAG) {
                    headers.insert(IF_RANGE, tag);
                }
            } else {
                validation::conditions_for(stored, &mut headers);
            }
        }
        if let Some(slice) = &fetch.slice {
            headers.insert(RANGE, range_field(slice.start, slice.end.checked_sub(1)));
        }
        // RFC 9110 section 7.6.2: for OPTIONS (TRACE is refused); other methods may ignore it, and do.
        if *request.method == Method::OPTIONS
            && let Some(hops) =
                headers.get(MAX_FORWARDS).and_then(|hops| directives::seconds(hops.as_bytes()))
        {
            headers.insert(MAX_FORWARDS, HeaderValue::from(hops.saturating_sub(1)));
        }
        // A map that is full cannot take more: the edge's limit on fields is far below.
        let via = match request.version {
            Version::HTTP_10 => &self.via_others[0],
            Version::HTTP_2 => &self.via_others[1],
            _ => &self.via,
        };
        let _ = headers.try_append(http::header::VIA, via.clone());
        let _ = headers.try_append(fields::CDN_LOOP, self.cdn.clone());
        headers
    }

    fn received(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        response: &Response<'_>,
        stored: &[Arc<Stored>],
    ) -> Received {
        let now = response.response_time;
        let lookup = self.lookup(request);
        let looked_up = lookup == Lookup::Store;
        let post = *request.method == Method::POST && self.bypass(request).is_none();
        if let Lookup::Forward(reason) = lookup
            && !post
        {
            let why = match reason {
                ForwardReason::Method => NotStored::Method,
                ForwardReason::Request => NotStored::NoStoreRequest,
                _ => NotStored::Bypass,
            };
            return Received::Relay { why, forget: Vec::new() };
        }
        if response.status == StatusCode::NOT_MODIFIED {
            return match fetch.validate.filter(|_| fetch.complete.is_none()) {
                Some(index) => self.confirmed(request, response, index, stored),
                None if fetch.offered.is_some() => self.taken(request, response, stored),
                None if looked_up => self.told_client(request, response, stored),
                None => Received::Relay { why: NotStored::Status, forget: Vec::new() },
            };
        }
        if looked_up
            && status::is_error(response.status)
            && let Some(index) = self.stand_in(request, stored, false, now)
        {
            return Received::ServeStale { index };
        }
        if *request.method == Method::HEAD {
            return self.head_received(request, fetch, response, stored);
        }
        // The responses that this request would have been answered from.
        let selected = || -> Vec<usize> {
            (0..stored.len())
                .filter(|&index| stored[index].selecting.matches(request.headers, &stored[index].headers))
                .collect()
        };
        if let Some(range) = &fetch.complete
            && response.status == StatusCode::PARTIAL_CONTENT
        {
            return combining::complete(request, response, range, fetch.validate, stored, self.policy())
                .unwrap_or(Received::Again(Fetch::unconditional(ForwardReason::Partial)));
        }
        let new = match fetch.slice.clone().filter(|_| response.status == StatusCode::PARTIAL_CONTENT) {
            None => storing::stored(request, response, self.policy()),
            Some(slice) => {
                let mut headers = request.headers.clone();
                headers.insert(RANGE, range_field(slice.start, slice.end.checked_sub(1)));
                // Nor were conditions of the client's sent with it.
                headers.remove(IF_RANGE);
                let sent = Request { headers: &headers, ..*request };
                let new = storing::stored(&sent, response, self.policy())
                    .map_err(|why| (why, storing::unstored(&sent, response, self.policy())));
                let asked = (slice, self.settings.slice);
                match slicing::received(request, response, asked, new, &selected(), stored, self.policy()) {
                    Ok(received) => return received,
                    Err(new) => Ok(*new),
                }
            }
        };
        match new {
            Ok(new) if new.extent.partial => {
                combining::part(request, response, new, selected(), stored, self.policy())
            }
            Ok(new) => Received::Store { stored: Box::new(new), replaces: selected() },
            Err(why) => {
                // The origin's newer word makes what is stored obsolete, unless it is an error that says
                // nothing about the resource: a refusal of one client must not evict the others' object.
                let resource = response.status.is_success()
                    || response.status.is_redirection()
                    || matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
                let whole = response.status != StatusCode::PARTIAL_CONTENT;
                // Nor does an answer to one client's credentials tell anything about that of the others.
                let directives = ResponseDirectives::of(response.headers, &self.targets);
                let for_all = storing::is_for_all(request, &directives);
                let telling = looked_up && resource && whole && for_all;
                Received::Relay { why, forget: if telling { selected() } else { Vec::new() } }
            }
        }
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

/// `bytes=first-last`, or all from `first` on.
fn range_field(first: u64, last: Option<u64>) -> HeaderValue {
    let last = last.map(|last| last.to_string()).unwrap_or_default();
    HeaderValue::try_from(format!("bytes={first}-{last}")).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// A fetch that validates `stored`, or fetches anew if there is nothing to validate it by.
fn validation_of(request: &Request<'_>, stored: &Stored, index: usize, reason: ForwardReason) -> Fetch {
    let possible = stored.headers.contains_key(&http::header::ETAG) || stored.last_modified.is_some();
    let slice = slicing::beside_validation(request, stored);
    Fetch { validate: possible.then_some(index), whole: possible, slice, ..Fetch::forward(reason) }
}

/// A fetch of what is missing from a partial response that begins at the start, for a request that wants all
/// of it.
///
/// Only a strong validator lets the parts be combined (RFC 9111 section 3.4). Without any validator the rest
/// is asked for too: an origin that names none rarely knows ranges, and then sends the whole.
fn completion(request: &Request<'_>, stored: &Stored, index: usize) -> Option<Fetch> {
    let extent = stored.extent;
    let own = validation::is_conditional(request.headers) || request.headers.contains_key(RANGE);
    let combinable = match validation::EntityTag::of(&stored.headers) {
        Some(tag) => tag.is_strong(),
        None => stored.last_modified.is_none(),
    };
    if *request.method != Method::GET || own || extent.first != 0 || !combinable {
        return None;
    }
    let rest = extent.end()?..extent.complete?;
    (rest.start < rest.end).then_some(Fetch {
        validate: Some(index),
        complete: Some(rest),
        whole: true,
        ..Fetch::forward(ForwardReason::Partial)
    })
}
