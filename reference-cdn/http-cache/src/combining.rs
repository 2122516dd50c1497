//! Combining parts of a representation (RFC 9111 section 3.4). The fields of the newer part update those of the older
//! (section 3.2).

use std::ops::Range;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_RANGE};
use http::{HeaderMap, StatusCode};

use crate::digest::{CONTENT_DIGEST, REPR_DIGEST};
use crate::directives::ResponseDirectives;
use crate::storing::{self, Policy};
use crate::validation::{self, Match};
use crate::{Extent, NotStored, Received, Request, Response, Stored, freshening, range};

/// `response` brings the octets `wanted`, which the partial response `index` lacks: the two make a whole.
/// `None` if they do not fit: another version, another range, no strong validator that says they are one, or no
/// permission to store the new one.
pub(crate) fn complete(
    request: &Request<'_>,
    response: &Response<'_>,
    wanted: &Range<u64>,
    index: Option<usize>,
    stored: &[Arc<Stored>],
    policy: Policy<'_>,
) -> Option<Received> {
    let index = index?;
    let part = stored.get(index)?;
    let (range, complete) = range::content_range(response.headers)?;
    let length = crate::storing::content_length(response.headers);
    let fits = validation::names(response.headers, part) == Match::Strong
        && range == *wanted
        && complete == part.extent.complete
        && length.is_none_or(|length| length == range.end - range.start);
    if !fits {
        return None;
    }
    // Credentials went along only if what is stored allows all to have it; the new part must do so too.
    let allows_all =
        |headers: &HeaderMap| storing::allows_all(&ResponseDirectives::of(headers, policy.targets));
    let mut sent = request.headers.clone();
    if !allows_all(&part.headers.to_map(0)) {
        sent.remove(AUTHORIZATION);
    }
    if sent.contains_key(AUTHORIZATION) && !allows_all(response.headers) {
        return None;
    }
    let sent = Request { headers: &sent, ..*request };
    let mut whole = freshening::freshen(&sent, response, part, policy)?;
    keep_digests(&mut whole, response.headers);
    whole.status = StatusCode::OK;
    whole.answered = None;
    whole.extent = Extent { first: 0, length: complete, complete, partial: false };
    whole.announced = complete;
    Some(Received::Combine { index, stored: Box::new(whole), content_at: range.start })
}

/// A new part beside what is stored: it continues a part of the same version, or takes the place of parts
/// that the request would have been answered from. A complete response of the same version is worth more than
/// a part of it.
///
/// The answer to a request with If-Range may lack fields that its client has from before (RFC 9110 section 15.3.7): by
/// itself it is no response for others, unless Content-Type shows that nothing was left out.
pub(crate) fn part(
    request: &Request<'_>,
    response: &Response<'_>,
    new: Stored,
    selected: Vec<usize>,
    stored: &[Arc<Stored>],
    policy: Policy<'_>,
) -> Received {
    let mut replaces = Vec::new();
    for index in selected {
        let old = &stored[index];
        let same = validation::names(&new.headers, old) == Match::Strong;
        if !old.extent.partial && same {
            return Received::Relay { why: NotStored::Partial, forget: Vec::new() };
        }
        let begins = new.extent.first;
        let continues = same
            && old.extent.partial
            && old.extent.complete == new.extent.complete
            && old.extent.first <= begins
            && old.extent.end().is_some_and(|end| begins <= end)
            && matches!((old.extent.end(), new.extent.end()), (Some(old), Some(new)) if new > old);
        if continues && let Some(mut head) = freshening::freshen(request, response, old, policy) {
            keep_digests(&mut head, response.headers);
            return combined(head, &new, index, old);
        }
        replaces.push(index);
    }
    if request.headers.contains_key(IF_RANGE) && !new.headers.contains_key(&CONTENT_TYPE) {
        return Received::Relay { why: NotStored::Partial, forget: Vec::new() };
    }
    Received::Store { stored: Box::new(new), replaces }
}

/// Of what both parts told, Repr-Digest is about the whole. Content-Digest was about a part, and no longer is about what is
/// stored (RFC 9530).
pub(crate) fn keep_digests(head: &mut Stored, newer: &HeaderMap) {
    head.headers.change(|headers| {
        headers.remove(CONTENT_DIGEST);
        if !headers.contains_key(REPR_DIGEST) {
            for value in newer.get_all(REPR_DIGEST) {
                let _ = headers.try_append(REPR_DIGEST, value.clone());
            }
        }
    });
}

/// `head`, which has the fields of both, over the octets of both.
fn combined(mut head: Stored, new: &Stored, index: usize, old: &Stored) -> Received {
    let first = old.extent.first;
    let end = new.extent.end();
    let whole = first == 0 && end.is_some() && end == new.extent.complete;
    head.status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    head.extent =
        Extent { first, length: end.map(|end| end - first), complete: new.extent.complete, partial: !whole };
    head.announced = head.extent.length;
    head.answered = None;
    Received::Combine { index, stored: Box::new(head), content_at: new.extent.first }
}
