//! Status codes as caching sees them.

use http::StatusCode;

/// May a lifetime be guessed (RFC 9110 section 15.1)?
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Is a response with this status about one request rather than the resource: its connection (407, 408), its
/// conditions, range, expectation or size (412, 416, 417, 425), or the pace and network of its client (428, 429, 431,
/// 511, which RFC 6585 forbids to store)? To give it to others would shut them out.
///
/// Nor is anything stored that has no valid status: 600 to 999 (RFC 9110 section 15).
pub(crate) fn is_for_one_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 407 | 408 | 412 | 416 | 417 | 425 | 428 | 429 | 431 | 511 | 600..)
}

/// Are the caching requirements of the status known here, as `must-understand` asks (RFC 9111 section
/// 5.2.2.3)? Those of RFC 9110 are, and of the registered codes that add none.
pub(crate) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206
            | 300..=303
            | 305
            | 307
            | 308
            | 400..=417
            | 421
            | 422
            | 426
            | 428
            | 429
            | 431
            | 451
            | 500..=505
            | 511
    )
}

/// A server error in place of which a stale response may be served (RFC 5861 section 4). An invalid status counts as
/// one (RFC 9110 section 15).
pub(crate) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504 | 600..)
}
