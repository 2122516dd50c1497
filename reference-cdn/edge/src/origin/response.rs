//! What a response head of the origin says, and whether it can be believed.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use hyper::ext::ReasonPhrase;

use super::content::OriginContent;
use crate::client::request::content_length;

/// A response of the origin: its head, and content still to come.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    pub content: OriginContent,
    /// Length of the content, when announced.
    pub length: Option<u64>,
    /// Interim responses came before it, and went on to the client.
    pub(super) after_interim: bool,
}

/// A fault that RFC 9209 has a name for.
pub const CODED: &str = "with a transfer coding other than chunked, which was not asked for";

/// What is wrong with a response head, whatever the version of HTTP.
pub fn fault(status: StatusCode, fields: &HeaderMap) -> Option<&'static str> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Some("101 (Switching Protocols), which was not asked for");
    }
    // The mark of a response that somebody splits or smuggles: an error whichever of them is true (RFC 9112 section 6.3).
    // The connection goes with it, as what follows on it may be anybody's.
    if fields.contains_key(TRANSFER_ENCODING) && fields.contains_key(CONTENT_LENGTH) {
        return Some("with both Transfer-Encoding and Content-Length");
    }
    lengths_differ(fields).then_some("with several lengths")
}

/// Has the response no content, whatever its fields say?
pub fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The length that Content-Length announces; fields that [`fault`] has seen.
pub fn announced(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH).and_then(|value| content_length(value.as_bytes()))
}

/// Does Content-Length, in several lines or as a list, give more than one length? The connection sees to it where content
/// follows, and lets it pass in answers to HEAD and in 304.
fn lengths_differ(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(CONTENT_LENGTH).iter();
    let mut lengths =
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let first = lengths.next();
    lengths.any(|length| Some(length) != first)
}

/// What Transfer-Encoding says in a response to a request without TE, which allows chunked and nothing else
/// (RFC 9112 section 7.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TransferCoding {
    None,
    Chunked,
    /// Content that needs decoding we did not ask for, or chunked in a place where it delimits nothing.
    Coded,
    /// A word without meaning: the content ends with the connection (section 6.3).
    Void,
}

impl TransferCoding {
    pub fn of(fields: &HeaderMap) -> Self {
        let lines = fields.get_all(TRANSFER_ENCODING).iter();
        let codings: Vec<&[u8]> = lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty())
            .collect();
        let known = [&b"chunked"[..], b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
        let is_known = |coding: &&[u8]| known.iter().any(|known| known.eq_ignore_ascii_case(coding));
        match &codings[..] {
            [] if fields.contains_key(TRANSFER_ENCODING) => Self::Void,
            [] => Self::None,
            [only] if only.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            _ if codings.iter().any(is_known) => Self::Coded,
            _ => Self::Void,
        }
    }
}

/// How long Retry-After asks to wait, in seconds; as a date it needs `now` (RFC 9110 section 10.2.3).
pub fn retry_after(fields: &HeaderMap, now: http_cache::Time) -> Option<std::time::Duration> {
    let text = fields.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(std::time::Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(http_cache::Time::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_cache::Time;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Time::from_secs(1_767_225_600);
        let check = |text: &str, expected: Option<u64>| {
            let mut fields = HeaderMap::new();
            fields.insert(http::header::RETRY_AFTER, text.parse().expect("value"));
            assert_eq!(retry_after(&fields, now), expected.map(Duration::from_secs), "{text}");
        };
        check("120", Some(120));
        check("0", Some(0));
        check("99999999999999999999999", Some(u64::MAX));
        check("Thu, 01 Jan 2026 00:01:00 GMT", Some(60));
        check("Wed, 31 Dec 2025 00:01:00 GMT", Some(0));
        check("-1", None);
        check("", None);
        check("soon", None);
    }
}
