//! Large representations in slices: what range requests ask the origin for, and what its answers mean.
//!
//! A slice begins at a multiple of its size, so that whatever clients ask for, the same octets are fetched once. The head
//! of the representation is stored without content; each slice is stored by itself, and is fetched when it is needed with
//! the head's entity tag in If-Range. Only a strong one will do: octets of two versions must never meet in one answer
//! (RFC 9110 section 8.8.1, RFC 9111 section 3.4).

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, IF_RANGE};
use http::{Method, StatusCode};

use crate::digest::CONTENT_DIGEST;
use crate::directives::ResponseDirectives;
use crate::lines::FieldLines;
use crate::storing::{self, Policy};
use crate::validation::{self, EntityTag, Match};
use crate::{
    Extent, Fetch, ForwardReason, NotStored, Received, Request, Response, Slices, Stored, answering,
    combining, freshening, range,
};

/// The slice that holds the first octet that a request asks for. `None`: it does not ask for a range, asks for the last
/// octets (of nobody knows how many), or under conditions that are for the origin to judge.
pub(crate) fn first(request: &Request<'_>, size: Option<NonZeroU64>) -> Option<Range<u64>> {
    let size = size?;
    if *request.method != Method::GET
        || request.headers.contains_key(IF_RANGE)
        || validation::is_conditional(request.headers)
    {
        return None;
    }
    match *range::parse(request.headers)?.first()? {
        range::Spec::From { first, .. } => at(first, size),
        range::Spec::Suffix(_) => None,
    }
}

/// The slice that holds the octet `at`.
fn at(at: u64, size: NonZeroU64) -> Option<Range<u64>> {
    let start = at / size * size.get();
    Some(start..start.checked_add(size.get())?)
}

/// The slice to ask for beside the question whether `stored`, which is kept in slices, is current: if it is not, the
/// answer brings no more than is needed. `None` for what is not kept in slices.
pub(crate) fn beside_validation(request: &Request<'_>, stored: &Stored) -> Option<Range<u64>> {
    let size = stored.slices?.size;
    first(request, Some(size)).or(Some(0..size.get()))
}

/// What a 206 means that answers the request for a slice: `asked`, of this size. `new` is its stored form, or the reason
/// not to store it and the form it would have. It is given back where it is everything: nothing special about it.
pub(crate) fn received(
    request: &Request<'_>,
    response: &Response<'_>,
    (asked, size): (Range<u64>, Option<NonZeroU64>),
    new: Result<Stored, (NotStored, Option<Stored>)>,
    selected: &[usize],
    stored: &[Arc<Stored>],
    policy: Policy<'_>,
) -> Result<Received, Box<Stored>> {
    // In the client's own words, and once only: what came does not help.
    let again = || Ok(Received::Again(Fetch::forward(ForwardReason::Partial)));
    let now = response.response_time;
    match new {
        Ok(new) if !new.extent.partial => Err(Box::new(new)),
        Ok(mut new) => {
            // It was not the client's Range that it answered.
            new.answered = None;
            let fits = new.extent.first == asked.start
                && new
                    .extent
                    .complete
                    .is_some_and(|complete| new.extent.end() == Some(complete.min(asked.end)))
                && EntityTag::of(&new.headers).is_some_and(EntityTag::is_strong);
            match size.filter(|_| fits) {
                Some(size) => Ok(kept_in_slices(request, response, new, size, (selected, stored), policy)),
                None if answering::covers(request, &new, now) => {
                    Ok(combining::part(request, response, new, selected.to_vec(), stored, policy))
                }
                None => again(),
            }
        }
        Err((_, None)) => again(),
        Err((why, Some(mut new))) => {
            new.answered = None;
            if !answering::covers(request, &new, now) {
                return again();
            }
            // As for any response that is not stored: the newer word of the origin.
            let directives = ResponseDirectives::of(response.headers, policy.targets);
            let for_all = storing::is_for_all(request, &directives);
            let forget = if for_all { selected.to_vec() } else { Vec::new() };
            Ok(Received::Pass { stored: Box::new(new), why, forget })
        }
    }
}

/// The head of the whole, for a response that brought one slice of it.
fn kept_in_slices(
    request: &Request<'_>,
    response: &Response<'_>,
    mut new: Stored,
    size: NonZeroU64,
    (selected, stored): (&[usize], &[Arc<Stored>]),
    policy: Policy<'_>,
) -> Received {
    let range = new.extent.first..new.extent.end().unwrap_or(new.extent.first);
    make_whole(&mut new, size);
    // It is about the slice that came.
    new.headers.remove(&CONTENT_DIGEST);
    // The same version as before: its slices are still true.
    let known = selected.iter().map(|&index| &stored[index]).find(|old| {
        old.slices.is_some_and(|slices| slices.size == size)
            && old.extent.complete == new.extent.complete
            && validation::names(&new.headers, old) == Match::Strong
    });
    if let Some(known) = known {
        // Its fields are updated, like those of any part that another one joins.
        if let Some(mut head) = freshening::freshen(request, response, known, policy) {
            combining::keep_digests(&mut head, response.headers);
            new = head;
        }
        new.slices = known.slices;
    }
    Received::Slice { stored: Box::new(new), replaces: selected.to_vec(), range }
}

fn make_whole(new: &mut Stored, size: NonZeroU64) {
    let complete = new.extent.complete;
    new.status = StatusCode::OK;
    new.extent = Extent { first: 0, length: complete, complete, partial: false };
    new.announced = complete;
    new.slices = Some(Slices { size, id: 0 });
}

/// The head under which a complete response, whose content is about to arrive, can be kept in slices. `None`: its origin
/// could not, or does not say that it can, send a slice again.
pub(crate) fn cut(stored: &Stored, size: Option<NonZeroU64>) -> Option<Stored> {
    let ranges = stored.headers.all(ACCEPT_RANGES);
    let mut units = ranges.flat_map(|line| line.split(|&octet| octet == b','));
    let possible = stored.status == StatusCode::OK
        && !stored.extent.partial
        && stored.extent.complete.is_some()
        && EntityTag::of(&stored.headers).is_some_and(EntityTag::is_strong)
        && units.any(|unit| unit.trim_ascii().eq_ignore_ascii_case(b"bytes"));
    let mut new = stored.clone();
    make_whole(&mut new, size.filter(|_| possible)?);
    Some(new)
}
