//! Combining parts of a representation (RFC 9111 section 3.4).

use std::ops::Range;
use std::sync::Arc;

use http::StatusCode;

use crate::validation::{self, Match};
use crate::{Extent, Received, Response, Stored, range};

/// `response` brings the octets `wanted`, which the partial response `index` lacks: the two make a whole.
/// `None` if they do not fit: another version, another range, or no strong validator that says they are one.
pub(crate) fn complete(
    response: &Response<'_>,
    wanted: &Range<u64>,
    index: Option<usize>,
    stored: &[Arc<Stored>],
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
    let mut whole = Stored::clone(part);
    whole.status = StatusCode::OK;
    whole.answered = None;
    whole.extent = Extent { first: 0, length: complete, complete, partial: false };
    whole.announced = complete;
    Some(Received::Combine { index, stored: Box::new(whole), content_at: range.start })
}

/// A new part beside what is stored: it continues a part of the same version, or takes the place of parts
/// that the request would have been answered from. A complete response of the same version is worth more than
/// a part of it.
pub(crate) fn part(new: Stored, selected: Vec<usize>, stored: &[Arc<Stored>]) -> Received {
    let mut replaces = Vec::new();
    for index in selected {
        let old = &stored[index];
        let same = validation::names(&new.headers, old) == Match::Strong;
        if !old.extent.partial && same {
            return Received::Relay { why: crate::NotStored::Partial, forget: Vec::new() };
        }
        let begins = new.extent.first;
        let continues = same
            && old.extent.partial
            && old.extent.complete == new.extent.complete
            && old.extent.first <= begins
            && old.extent.end().is_some_and(|end| begins <= end)
            && matches!((old.extent.end(), new.extent.end()), (Some(old), Some(new)) if new > old);
        if continues {
            return combined(new, index, old);
        }
        replaces.push(index);
    }
    Received::Store { stored: Box::new(new), replaces }
}

/// The head of the new part (its fields are the newer) over the octets of both.
fn combined(mut new: Stored, index: usize, old: &Stored) -> Received {
    let content_at = new.extent.first;
    let first = old.extent.first;
    let end = new.extent.end();
    let whole = first == 0 && end.is_some() && end == new.extent.complete;
    new.status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    new.extent =
        Extent { first, length: end.map(|end| end - first), complete: new.extent.complete, partial: !whole };
    new.announced = new.extent.length;
    new.answered = None;
    Received::Combine { index, stored: Box::new(new), content_at }
}
