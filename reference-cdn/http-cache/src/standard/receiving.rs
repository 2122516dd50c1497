//! What an answer of the origin does to the store, and what the client gets.

use std::sync::Arc;

use http::header::{IF_RANGE, RANGE};
use http::{Method, StatusCode};

use super::Standard;
use super::forwarding::range_field;
use crate::directives::ResponseDirectives;
use crate::validation::{self, Match};
use crate::*;

impl Standard {
    /// What an answer of the origin does to the store and for the client.
    pub(super) fn receive(
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
