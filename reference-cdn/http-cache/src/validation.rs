//! Validators and conditions (RFC 9110 sections 8.8 and 13, RFC 9111 section 4.3).

use std::sync::Arc;

use http::header::{
    AUTHORIZATION, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::lines::FieldLines;
use crate::{Request, Stored, Time, date, digest, vary};

/// An entity tag. One without quotes is no entity tag in the RFC's eyes; servers send such, and compare them
/// as they are, so they are kept and compared octet by octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        match value.trim_ascii() {
            b"" => None,
            [b'W', b'/', opaque @ ..] => Some(Self { weak: true, opaque }),
            opaque => Some(Self { weak: false, opaque }),
        }
    }

    /// The ETag of a response; `None` if there are several that differ.
    pub fn of(headers: &'a impl FieldLines) -> Option<Self> {
        let mut lines = headers.all(ETAG);
        let first = lines.next()?;
        lines.all(|line| line == first).then(|| Self::parse(first)).flatten()
    }

    /// Strong comparison (RFC 9110 section 8.8.3.2).
    pub fn is(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison.
    pub fn resembles(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    pub fn is_strong(self) -> bool {
        !self.weak
    }
}

/// The entity tags of a list (If-None-Match, If-Match). Commas inside quotes belong to the tag; a backslash
/// is an ordinary character there.
fn entity_tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = EntityTag<'a>> {
    headers.get_all(name).iter().flat_map(|line| {
        let mut rest = line.as_bytes();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut quoted = false;
            let end = rest.iter().position(|&octet| {
                quoted ^= octet == b'"';
                octet == b',' && !quoted
            });
            let (member, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            Some(EntityTag::parse(member))
        })
        .flatten()
    })
}

fn lists_any(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().any(|line| line.as_bytes().trim_ascii() == b"*")
}

/// The fields that make a request conditional or partial.
pub(crate) const CONDITIONS: [HeaderName; 6] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, RANGE];

/// Is the request conditional, apart from ranges?
pub(crate) fn is_conditional(headers: &HeaderMap) -> bool {
    CONDITIONS[..4].iter().any(|name| headers.contains_key(name))
}

/// If-Match and If-Unmodified-Since: does the stored response meet them? Absent conditions are met.
///
/// They are meant for the origin (RFC 9110 section 13.1.1 lets a cache ignore them). A stored response that meets them
/// is the answer that a cache which ignores them would give, and as good as the origin's; one that does not proves
/// nothing, since the client may know a newer representation, so the request is then for the origin to judge.
pub(crate) fn meets_preconditions(request: &HeaderMap, stored: &Stored, now: Time) -> bool {
    if request.contains_key(IF_MATCH) {
        return lists_any(request, &IF_MATCH)
            || EntityTag::of(&stored.headers)
                .is_some_and(|tag| entity_tags(request, &IF_MATCH).any(|other| other.is(tag)));
    }
    match request.get(IF_UNMODIFIED_SINCE).and_then(|value| date::parse(value.as_bytes(), now)) {
        Some(since) => stored.last_modified.is_some_and(|modified| modified <= since),
        None => true,
    }
}

/// Do the client's conditions lead to 304 (Not Modified), in the order of RFC 9110 section 13.2.2? If not, the request
/// goes on as if it had none.
///
/// Never to 412: If-Match and If-Unmodified-Since are not the cache's to evaluate (RFC 9111 section 4.3.2). An origin
/// that was sent them and answers 200 has evaluated them, or knows why not.
pub(crate) fn is_not_modified(request: &Request<'_>, stored: &Stored, now: Time) -> bool {
    // Section 13.2.1: a response other than 2xx is sent as it is.
    if !stored.status.is_success() || !is_conditional(request.headers) {
        return false;
    }
    let unchanged = if request.headers.contains_key(IF_NONE_MATCH) {
        lists_any(request.headers, &IF_NONE_MATCH)
            || EntityTag::of(&stored.headers).is_some_and(|tag| {
                entity_tags(request.headers, &IF_NONE_MATCH).any(|other| other.resembles(tag))
            })
    } else {
        // RFC 9111 section 4.3.2: without Last-Modified, Date stands for it.
        let modified = stored.last_modified.unwrap_or(stored.date);
        let mut lines = request.headers.get_all(IF_MODIFIED_SINCE).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => date::parse(line.as_bytes(), now).is_some_and(|since| modified <= since),
            _ => false,
        }
    };
    unchanged && matches!(*request.method, Method::GET | Method::HEAD)
}

/// If-Range: may the range be served from the stored response (RFC 9110 section 13.1.5)? True without the
/// field.
pub(crate) fn range_allowed(request: &HeaderMap, stored: &Stored, now: Time) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(line) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    let value = line.as_bytes();
    if value.contains(&b'"') {
        let tags = (EntityTag::parse(value), EntityTag::of(&stored.headers));
        return matches!(tags, (Some(given), Some(tag)) if given.is(tag));
    }
    // A date must be the very one, and strong: the representation was not dated in the second it was sent.
    match (date::parse(value, now), stored.last_modified) {
        (Some(since), Some(modified)) => since == modified && stored.date > modified,
        _ => false,
    }
}

/// Conditions that ask the origin whether `stored` is still current (RFC 9111 section 4.3.1): all validators
/// there are, as they were received.
pub(crate) fn conditions_for(stored: &Stored, headers: &mut HeaderMap) {
    if let Some(tag) = stored.headers.value(&ETAG) {
        headers.insert(IF_NONE_MATCH, tag);
    }
    if stored.last_modified.is_some()
        && let Some(modified) = stored.headers.value(&LAST_MODIFIED)
    {
        headers.insert(IF_MODIFIED_SINCE, modified);
    }
}

/// Most entity tags, and octets of them, that are offered for one request: the newest are the likeliest.
const MOST_OFFERED: usize = 16;
const MOST_OCTETS: usize = 2048;

/// The If-None-Match for a request that no stored response matches by Vary: the tags of those that the origin may name
/// instead of sending them again (RFC 9111 section 4.3.1). Not beside conditions of the client's own, whose 304 could
/// not be told from ours, nor for credentials, whose answer is not for the store.
///
/// A response that does match and is stale is validated by its own tag alone, with Last-Modified beside it, which goes
/// with a single one only.
pub(crate) fn offer(request: &Request<'_>, stored: &[Arc<Stored>]) -> Option<HeaderValue> {
    let own = [RANGE, AUTHORIZATION].iter().any(|name| request.headers.contains_key(name));
    if stored.is_empty() || own || is_conditional(request.headers) {
        return None;
    }
    let mut tags: Vec<&[u8]> = Vec::new();
    let mut octets = 0;
    for index in offerable(request, stored) {
        let Some(tag) = stored[index].headers.get(&ETAG) else { continue };
        octets += tag.len() + 2;
        if octets > MOST_OCTETS {
            break;
        }
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.is_empty() { None } else { HeaderValue::from_bytes(&tags.join(&b", "[..])).ok() }
}

/// The stored responses whose tags may be offered for a request that selects none of them, newest first: whole ones with
/// a strong tag, in a content coding that the request accepts. Weak tags are not offered, and codings are looked at,
/// because servers that compress on the fly are careless with both: a 304 must not hand a client what it cannot read.
pub(crate) fn offerable(request: &Request<'_>, stored: &[Arc<Stored>]) -> impl Iterator<Item = usize> {
    let mut indices: Vec<usize> = (0..stored.len())
        .filter(|&index| {
            let it = &stored[index];
            it.status == StatusCode::OK
                && !it.extent.partial
                && EntityTag::of(&it.headers)
                    .is_some_and(|tag| tag.is_strong() && tag.opaque.starts_with(b"\""))
                && vary::accepts_coding(request.headers, &it.headers.to_map(0))
        })
        .collect();
    indices.sort_by_key(|&index| std::cmp::Reverse((stored[index].date, stored[index].response_time, index)));
    indices.truncate(MOST_OFFERED);
    indices.into_iter()
}

/// Is the entity tag of `response` the strong form of the weak one that is stored?
///
/// Servers that compress on the fly weaken the tag of what they compress, and have nothing to weaken in a 304. To the letter
/// of RFC 9111 section 4.3.4 such a 304 names none that is stored, and could update nothing: each validation of what most
/// servers send would bring all of it again. It is taken for an answer about the one response that was asked about, whose
/// tag stays weak: it is not known to be, octet for octet, what the strong one names.
pub(crate) fn is_stronger(response: &HeaderMap, stored: &HeaderMap) -> bool {
    match (EntityTag::of(response), EntityTag::of(stored)) {
        (Some(a), Some(b)) => !a.weak && b.weak && a.opaque == b.opaque,
        _ => false,
    }
}

/// How a validator in a response relates to a stored one (RFC 9111 section 4.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Strong,
    Weak,
    /// The response has no validator to compare.
    Silent,
    Differs,
}

/// Do the validators of `response` name the representation that is stored? Not if it tells another digest of it.
pub(crate) fn names(response: &impl FieldLines, stored: &Stored) -> Match {
    if digest::contradict(response, &stored.headers) {
        return Match::Differs;
    }
    if response.all(ETAG).next().is_some() {
        return match (EntityTag::of(response), EntityTag::of(&stored.headers)) {
            (Some(a), Some(b)) if a.is(b) => Match::Strong,
            (Some(a), Some(b)) if a.resembles(b) => Match::Weak,
            _ => Match::Differs,
        };
    }
    match (response.all(LAST_MODIFIED).next(), stored.headers.get(&LAST_MODIFIED)) {
        (None, _) => Match::Silent,
        (Some(a), Some(b)) if a == b => Match::Weak,
        (Some(_), _) => Match::Differs,
    }
}
