//! What may be stored (RFC 9111 section 3).

use super::{Directives, Entry, explicit, freshness};
use crate::message::Fields;
use crate::world::{Seen, Sent};

/// Section 3.5.
pub fn is_for_all(request: &Fields, directives: &Directives) -> bool {
    request.get("authorization").is_none()
        || directives.public
        || directives.must_revalidate
        || directives.s_maxage.is_some()
}

/// A client that is heard wants nothing of this exchange stored (section 5.2.1.5).
pub fn wants_no_store(honor: bool, request: &Fields) -> bool {
    honor && request.get("cache-control").is_some_and(|text| text.contains("no-store"))
}

/// May a cache store this complete response to a GET, and use it for others?
pub fn may_store(honor: bool, seen: &Seen, sent: &Sent) -> bool {
    let directives = Directives::of(&sent.fields);
    let understood = matches!(sent.status, 200 | 204 | 206 | 301 | 404 | 500 | 503);
    let wished = wants_no_store(honor, &seen.fields);
    // The answer to one request's own condition is no answer to others.
    let misunderstood = directives.must_understand && !understood;
    let forbidden = sent.status == 412
        || directives.no_store && !directives.must_understand
        || misunderstood
        || directives.private
        || !is_for_all(&seen.fields, &directives)
        || sent.fields.get("vary") == Some("*")
        || wished;
    let expires = sent.fields.get("expires").is_some() && !directives.targeted;
    let allowed = directives.public
        || directives.max_age.is_some()
        || directives.s_maxage.is_some()
        || expires
        || freshness::is_heuristically_cacheable(sent.status);
    allowed && !forbidden
}

/// Does a good cache store it, of all that it may? If it is fresh for a while, and has a status that no client's mistake
/// or server's trouble brings.
pub fn must_store(entry: &Entry, sent: &Sent) -> bool {
    matches!(sent.status, 200 | 204 | 299 | 301 | 404)
        && explicit(entry).is_some_and(|lifetime| lifetime > freshness::age(entry, entry.received).most)
}

/// May a stored response stay, with the fields that it has now?
pub fn may_stay(entry: &Entry) -> bool {
    let directives = entry.directives();
    !(directives.no_store && !directives.must_understand || directives.private)
        && entry.head.get("vary") != Some("*")
}
