//! Invalidation by unsafe methods (RFC 9111 section 4.4).

use http::Method;
use http::header::{CONTENT_LOCATION, LOCATION};

use crate::{Key, Request, Response, key};

/// The keys that the exchange makes unusable: the target, and what Location and Content-Location name within
/// the same origin, after an answer that is no error.
pub(crate) fn keys(request: &Request<'_>, response: &Response<'_>) -> Vec<Key> {
    let done = response.status.is_success() || response.status.is_redirection();
    if is_safe(request.method) || !done {
        return Vec::new();
    }
    let mut keys = vec![Key::of(request.target)];
    for name in [LOCATION, CONTENT_LOCATION] {
        for reference in response.headers.get_all(name) {
            let Some(uri) = key::resolve(request.target, reference.as_bytes()) else { continue };
            // Another origin's content is not this one's to invalidate.
            if key::same_origin(&uri, request.target) {
                let key = Key::of(&uri);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
    }
    keys
}

/// Safe by the method registry. Methods that nobody knows count as unsafe.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY" | "PRI"
    )
}
