//! What is fetched, and what the origin is sent for it.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::Standard;
use crate::directives::ResponseDirectives;
use crate::validation::{self, CONDITIONS};
use crate::*;

const MAX_FORWARDS: HeaderName = http::header::MAX_FORWARDS;

impl Standard {
    /// The header section that is sent to the origin.
    pub(super) fn header_towards_origin(
        &self,
        request: &Request<'_>,
        fetch: &Fetch,
        stored: Option<&Stored>,
    ) -> HeaderMap {
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
}

impl Fetch {
    /// The whole, whatever the client's conditions.
    pub(super) fn unconditional(reason: ForwardReason) -> Self {
        Self { whole: true, ..Self::forward(reason) }
    }
}

/// `bytes=first-last`, or all from `first` on.
pub(super) fn range_field(first: u64, last: Option<u64>) -> HeaderValue {
    let last = last.map(|last| last.to_string()).unwrap_or_default();
    HeaderValue::try_from(format!("bytes={first}-{last}")).unwrap_or(HeaderValue::from_static("bytes=0-"))
}

/// A fetch that validates `stored`, or fetches anew if there is nothing to validate it by.
pub(super) fn validation_of(
    request: &Request<'_>,
    stored: &Stored,
    index: usize,
    reason: ForwardReason,
) -> Fetch {
    let possible = stored.headers.contains_key(&http::header::ETAG) || stored.last_modified.is_some();
    let slice = slicing::beside_validation(request, stored);
    Fetch { validate: possible.then_some(index), whole: possible, slice, ..Fetch::forward(reason) }
}

/// A fetch of what is missing from a partial response that begins at the start, for a request that wants all
/// of it.
///
/// Only a strong validator lets the parts be combined (RFC 9111 section 3.4). Without any validator the rest
/// is asked for too: an origin that names none rarely knows ranges, and then sends the whole.
pub(super) fn completion(request: &Request<'_>, stored: &Stored, index: usize) -> Option<Fetch> {
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
