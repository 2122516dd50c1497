//! Updating stored responses from a 304 or from the response to a HEAD (RFC 9111 sections 3.2, 4.3.4, 4.3.5).

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES, LAST_MODIFIED,
    VARY,
};
use http::{HeaderMap, HeaderName};

use crate::digest::{self, CONTENT_DIGEST, REPR_DIGEST};
use crate::directives::ResponseDirectives;
use crate::lines::Lines;
use crate::storing::Policy;
use crate::vary::{Selecting, Vary};
use crate::{Request, Response, Stored, fields, storing, validation};

/// Fields that describe the stored octets themselves: a response without content cannot change them (section
/// 3.2). Its Content-Digest is about its own (no) content (RFC 9530 section 2).
const BOUND_TO_CONTENT: [HeaderName; 5] =
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_DIGEST, REPR_DIGEST];

/// Fields that say, beside targeted ones, how long, and for whom, the stored response is good.
const ABOUT_REUSE: [HeaderName; 7] = [AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, LAST_MODIFIED, VARY];

/// `stored` with the fields of `response`, which confirmed it: each field it has replaces the stored lines of
/// that name, the others stay. Age, Date, lifetime and selecting fields are computed anew. `None`: it may no
/// longer be stored.
pub(crate) fn freshen(
    request: &Request<'_>,
    response: &Response<'_>,
    stored: &Stored,
    policy: Policy<'_>,
) -> Option<Stored> {
    let mut update = fields::end_to_end(response.headers);
    let mut withheld = HeaderMap::new();
    if !storing::is_for_all(request, &ResponseDirectives::of(response.headers, policy.targets)) {
        // The 304 answered one client's credentials. It confirms the content; what else it says is for that
        // client.
        let about_reuse = |name: &&HeaderName| ABOUT_REUSE.contains(name) || policy.targets.contains(name);
        for name in update.keys().filter(|name| !about_reuse(name)).cloned().collect::<Vec<_>>() {
            for value in update.get_all(&name) {
                let _ = withheld.try_append(&name, value.clone());
            }
            update.remove(&name);
        }
    }
    let mut merged = stored.headers.to_map(4);
    // A Date of the past would make the response seem older than this confirmation of it.
    merged.remove(DATE);
    if validation::is_stronger(&update, &stored.headers.to_map(0)) {
        update.remove(ETAG);
    }
    for name in update.keys().filter(|name| !BOUND_TO_CONTENT.contains(name)) {
        merged.remove(name);
    }
    for (name, value) in update.iter().filter(|(name, _)| !BOUND_TO_CONTENT.contains(name)) {
        merged.try_append(name, value.clone()).ok()?;
    }
    let directives = ResponseDirectives::of(&merged, policy.targets);
    if directives.no_store && !directives.must_understand || directives.private.whole {
        return None;
    }
    // The stored response may have answered credentials and been for all nevertheless; that is over if the
    // origin, asked with credentials again, does not say so any more (section 3.5).
    if !storing::is_for_all(request, &directives)
        && storing::allows_all(&ResponseDirectives::of(&stored.headers.to_map(0), policy.targets))
    {
        return None;
    }
    let Vary::Fields(names) = Vary::of(&merged) else { return None };
    let selecting = if update.contains_key(VARY) {
        Selecting::of(names, request.headers)
    } else {
        stored.selecting.clone()
    };
    let response = Response { status: stored.status, headers: &merged, ..*response };
    let mut fresh = storing::head(&response, &directives, policy.heuristic, merged.clone(), selecting);
    if !withheld.is_empty() {
        let mut once = fresh.once.as_ref().map(|once| once.to_map(withheld.len())).unwrap_or_default();
        for (name, value) in &withheld {
            if !BOUND_TO_CONTENT.contains(name) && !merged.contains_key(name) {
                let _ = once.try_append(name, value.clone());
            }
        }
        fresh.once = Lines::some(&once);
    }
    fresh.extent = stored.extent;
    fresh.announced = stored.announced;
    fresh.answered = stored.answered.clone();
    fresh.slices = stored.slices;
    Some(fresh)
}

/// A copy of `stored` for a request that it could not have answered, and for which `response` confirmed it: the request's
/// own fields select it.
pub(crate) fn for_another(
    request: &Request<'_>,
    response: &Response<'_>,
    stored: &Stored,
    policy: Policy<'_>,
) -> Option<Stored> {
    let mut copy = freshen(request, response, stored, policy)?;
    let Vary::Fields(names) = Vary::of(&copy.headers.to_map(0)) else { return None };
    copy.selecting = Selecting::of(names, request.headers);
    Some(copy)
}

/// Does the 200 to a HEAD describe the stored response (section 4.3.5)? Validators, length and digest that it gives
/// must be the stored ones.
pub(crate) fn head_describes(response: &HeaderMap, stored: &Stored) -> bool {
    let same = |name: HeaderName| {
        response.get(&name).is_none_or(|value| stored.headers.get(&name) == Some(value.as_bytes()))
    };
    let length = storing::content_length(response);
    same(ETAG)
        && same(LAST_MODIFIED)
        && !digest::contradict(response, &stored.headers)
        && length.is_none_or(|length| stored.extent.complete == Some(length))
}
