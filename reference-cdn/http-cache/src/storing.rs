//! May a response be stored (RFC 9111 section 3), and what of it?

use std::time::Duration;

use http::header::{
    AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, DATE, IF_RANGE,
    LAST_MODIFIED, RANGE, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::directives::ResponseDirectives;
use crate::freshness::{Freshness, Heuristic};
use crate::lines::Lines;
use crate::stored::Answered;
use crate::vary::{Selecting, Vary};
use crate::{Extent, Key, NotStored, Request, Response, Stored, age, date, fields, key, range, status};

/// What the operator chose about the lifetimes of responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy<'a> {
    pub heuristic: Heuristic,
    /// The targeted fields that count here, the most applicable first (RFC 9213 section 2.2).
    pub targets: &'a [HeaderName],
    /// Clients are heard when they ask for stale responses.
    pub client_may_want_stale: bool,
}

/// The stored form of a final response to a request that may be answered from the store, or the reason not to
/// store it.
pub(crate) fn stored(
    request: &Request<'_>,
    response: &Response<'_>,
    policy: Policy<'_>,
) -> Result<Stored, NotStored> {
    let directives = ResponseDirectives::of(response.headers, policy.targets);
    let stored = build(request, response, &directives, policy)?;
    let post = *request.method == Method::POST;
    if *request.method != Method::GET && !(post && answers_for_get(request, response, &stored)) {
        return Err(NotStored::Method);
    }
    // Section 5.2.2.3: a cache that knows the status does as must-understand's other directives say, and lets
    // no-store go by.
    let understood = status::is_understood(response.status);
    if directives.must_understand && !understood {
        return Err(NotStored::NotUnderstood);
    }
    if directives.no_store && !directives.must_understand {
        return Err(NotStored::NoStore);
    }
    if directives.private.whole {
        return Err(NotStored::Private);
    }
    if !is_for_all(request, &directives) {
        return Err(NotStored::Authorization);
    }
    let allowed =
        stored.freshness.explicit || directives.public || status::is_heuristically_cacheable(response.status);
    let wanted_stale =
        policy.client_may_want_stale && stored.freshness.explicit && stored.freshness.at_client_risk();
    if !allowed || !(is_useful(&stored) || wanted_stale) {
        return Err(NotStored::NoLifetime);
    }
    Ok(stored)
}

/// What a response that is not stored would look like if it were, to answer the one request that brought it.
pub(crate) fn unstored(request: &Request<'_>, response: &Response<'_>, policy: Policy<'_>) -> Option<Stored> {
    build(request, response, &ResponseDirectives::of(response.headers, policy.targets), policy).ok()
}

/// Section 3.5: may what answered this request answer others? Not if it came with credentials, unless the
/// origin says so.
pub(crate) fn is_for_all(request: &Request<'_>, directives: &ResponseDirectives) -> bool {
    !request.headers.contains_key(AUTHORIZATION) || allows_all(directives)
}

/// Do the directives let the answer to one client's credentials answer others (section 3.5)?
pub(crate) fn allows_all(directives: &ResponseDirectives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

/// Could the response ever be used again? Without lifetime, without permission to be used stale, and without
/// validator it could not.
fn is_useful(stored: &Stored) -> bool {
    let fresh = stored.initial_age < stored.freshness.lifetime;
    let stale = |window: Option<Duration>| window.is_some_and(|window| !window.is_zero());
    fresh
        || stale(stored.freshness.stale_while_revalidate)
        || stale(stored.freshness.stale_if_error)
        || stored.headers.contains_key(&http::header::ETAG)
        || stored.last_modified.is_some()
}

/// A response to POST serves later GETs if it says how long, and that it is what a GET would have brought
/// (RFC 9110 section 9.3.3).
fn answers_for_get(request: &Request<'_>, response: &Response<'_>, stored: &Stored) -> bool {
    let mut locations = response.headers.get_all(CONTENT_LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else { return false };
    response.status == StatusCode::OK
        && stored.freshness.explicit
        && key::resolve(request.target, location.as_bytes())
            .is_some_and(|uri| Key::of(&uri) == Key::of(request.target))
}

/// Parses everything there is to know about a response, whether it may be stored or not.
fn build(
    request: &Request<'_>,
    response: &Response<'_>,
    directives: &ResponseDirectives,
    policy: Policy<'_>,
) -> Result<Stored, NotStored> {
    let silent = response.status.is_informational() || response.status == StatusCode::NOT_MODIFIED;
    if silent || status::is_for_one_request(response.status) {
        return Err(NotStored::Status);
    }
    let Vary::Fields(names) = Vary::of(response.headers) else { return Err(NotStored::VaryStar) };
    let (status, extent) = extent(request, response)?;
    let headers = fields::end_to_end(response.headers);
    let mut stored =
        head(response, directives, policy.heuristic, headers, Selecting::of(names, request.headers));
    stored.status = status;
    stored.extent = extent;
    stored.announced = extent.length;
    stored.answered = match (request.headers.get(RANGE), response.headers.get(CONTENT_RANGE)) {
        (Some(range), Some(content_range)) if extent.partial => {
            Some(Box::new(Answered { range: copy(range), content_range: copy(content_range) }))
        }
        _ => None,
    };
    Ok(stored)
}

/// A stored head from end-to-end fields: what a new response and a freshened one have in common. Status,
/// extent and range are those of the response.
pub(crate) fn head(
    response: &Response<'_>,
    directives: &ResponseDirectives,
    heuristic: Heuristic,
    mut headers: HeaderMap,
    selecting: Selecting,
) -> Stored {
    let now = response.response_time;
    let origin_age = age::field(&headers);
    let origin_date = age::date_field(&headers, now);
    let date = origin_date.unwrap_or(now);
    if origin_date.is_none() {
        // RFC 9110 section 6.6.1: a recipient with a clock supplies a missing Date, and may replace an
        // invalid one.
        headers.insert(DATE, date::format(date));
    }
    let mut freshness = Freshness::of(response.status, &headers, directives, heuristic, date, now);
    if !freshness.explicit && headers.contains_key(SET_COOKIE) {
        // RFC 9111 section 7.3 leaves it open. A lifetime that the origin chose counts, with a cookie too; to
        // guess one would be to hand one client's cookie to others.
        freshness.lifetime = Duration::ZERO;
    }
    headers.remove(AGE);
    headers.remove(CONTENT_LENGTH);
    if response.status == StatusCode::PARTIAL_CONTENT {
        headers.remove(CONTENT_RANGE);
    }
    let mut once = HeaderMap::new();
    for name in directives.no_cache.fields.iter().chain(&directives.private.fields) {
        if *name == DATE {
            continue;
        }
        for value in headers.get_all(name) {
            let _ = once.try_append(name, value.clone());
        }
        headers.remove(name);
    }
    Stored {
        status: response.status,
        last_modified: headers.get(LAST_MODIFIED).and_then(|value| date::parse(value.as_bytes(), now)),
        once: Lines::some(&once),
        extent: Extent { first: 0, length: None, complete: None, partial: false },
        announced: None,
        freshness,
        selecting,
        response_time: now,
        initial_age: age::initial(origin_age, origin_date, response.request_time, now),
        aged: origin_age.is_some(),
        date,
        headers: Lines::of(&headers),
        answered: None,
        slices: None,
    }
}

/// A value that keeps no message's buffer in memory.
fn copy(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Status and extent under which a response is stored.
fn extent(request: &Request<'_>, response: &Response<'_>) -> Result<(StatusCode, Extent), NotStored> {
    let announced = content_length(response.headers);
    if response.status != StatusCode::PARTIAL_CONTENT {
        let length = if has_content(response.status) { announced } else { Some(0) };
        return Ok((response.status, Extent { first: 0, length, complete: length, partial: false }));
    }
    // Several parts are relayed: each would have to be taken out of the multipart body.
    if !request.headers.contains_key(RANGE) || is_multipart(response.headers) {
        return Err(NotStored::Partial);
    }
    let (range, complete) = range::content_range(response.headers).ok_or(NotStored::Partial)?;
    let told = range.end - range.start;
    // Content-Range and Content-Length may contradict each other. Fewer octets than told are the first of the
    // range, as in a transfer that was cut off (RFC 9111 section 3.3). More than told cannot be placed.
    let length = announced.unwrap_or(told);
    if length > told || length == 0 {
        return Err(NotStored::Partial);
    }
    // The answer to If-Range may have left fields out: see [`crate::combining::part`].
    let trimmed = request.headers.contains_key(IF_RANGE) && !response.headers.contains_key(CONTENT_TYPE);
    if range.start == 0 && complete == Some(length) && !trimmed {
        return Ok((StatusCode::OK, Extent { first: 0, length: complete, complete, partial: false }));
    }
    let extent = Extent { first: range.start, length: Some(length), complete, partial: true };
    Ok((StatusCode::PARTIAL_CONTENT, extent))
}

fn is_multipart(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart"))
    }) && !headers.contains_key(CONTENT_RANGE)
}

/// May a response with this status have content?
pub(crate) fn has_content(status: StatusCode) -> bool {
    !(status.is_informational() || matches!(status.as_u16(), 204 | 205 | 304))
}

/// Content-Length, if it is one number, however often repeated, and no transfer coding overrides it.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(http::header::TRANSFER_ENCODING) {
        return None;
    }
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let first = lines.next()?;
    if lines.any(|line| line != first) {
        return None;
    }
    let digits = first.as_bytes();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
