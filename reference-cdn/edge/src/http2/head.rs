//! Makes a request head of what `h2` decoded, or refuses it (RFC 9113 sections 8.1 to 8.3). No I/O.
//!
//! `h2` has already reset the stream where pseudo-header fields are missing, repeated, unknown or after others, where names
//! have capitals, where connection-specific fields are there, and where a value holds CR, LF or NUL. Two things it keeps to
//! itself: `:scheme` where there is no `:authority`, which is then taken to be the listener's; and a fragment in `:path`,
//! which it cuts off, so that edge and origin both see the path without it.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Uri, Version};

use crate::client::request::{authority, content_length, expects_continue};
use crate::client::{Framing, HeadError, HeadLimits, RequestHead};

/// `ended`: END_STREAM came with the head. `scheme` is what the listener serves.
///
/// # Errors
/// Whatever makes the request malformed, too large, or not for this listener.
pub fn request_head(
    parts: Parts,
    ended: bool,
    scheme: &Scheme,
    limits: &HeadLimits,
) -> Result<RequestHead, HeadError> {
    let Parts { method, uri, mut headers, .. } = parts;
    join_cookies(&mut headers)?;
    if headers.len() > limits.fields {
        return Err(HeadError::TooManyFields);
    }
    if [CONNECTION, TRANSFER_ENCODING, UPGRADE].iter().any(|field| headers.contains_key(field)) {
        return Err(HeadError::ConnectionField);
    }
    if !are_fields(&headers) {
        return Err(HeadError::Field);
    }
    let authority = target_authority(&uri, &headers)?;
    let target = target(&method, &uri, authority.clone(), scheme, limits)?;
    // Whoever reads Host from here on reads :authority (section 8.3.1).
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| HeadError::HostMalformed)?;
    headers.insert(HOST, host);
    let framing = framing(&headers, ended)?;
    if framing == Framing::Chunked {
        // As HTTP/1.1 says it. Whoever decides about a request looks for its content in the fields: a GET with content must
        // not be answered from the store, nor its response be stored, for want of a field that HTTP/2 has no need of.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let expects_continue = expects_continue(&headers, Version::HTTP_2)?;
    Ok(RequestHead {
        method,
        target,
        headers,
        framing,
        version: Version::HTTP_2,
        keep_alive: true,
        expects_continue,
    })
}

/// Section 8.2.1, beyond what `h2` and `http` see to: names are tokens (`http` lets a quotation mark pass), and values have no
/// white space around them, which HTTP/1.1 would strip so that its recipient reads another value.
pub fn are_fields(fields: &HeaderMap) -> bool {
    fields.iter().all(|(name, value)| {
        !name.as_str().contains('"') && value.as_bytes().trim_ascii().len() == value.len()
    })
}

/// Section 8.2.3: cookies may come in crumbs, which only HTTP/2 and 3 know how to read.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), HeadError> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return Ok(()) };
    let mut joined = BytesMut::from(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.put_slice(b"; ");
        joined.put_slice(crumb.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(joined.freeze()).map_err(|_| HeadError::Field)?;
    headers.insert(COOKIE, joined);
    Ok(())
}

/// Section 8.3.1: `:authority`, or Host where a request was translated from HTTP/1.1; if both, they name the same.
fn target_authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::HostRepeated);
    }
    match (uri.authority(), host) {
        (None, None) => Err(HeadError::HostMissing),
        (None, Some(host)) => authority(host.as_bytes()),
        (Some(given), None) => authority(given.as_str().as_bytes()),
        (Some(given), Some(host)) if host.as_bytes().eq_ignore_ascii_case(given.as_str().as_bytes()) => {
            authority(given.as_str().as_bytes())
        }
        (Some(_), Some(_)) => Err(HeadError::HostDiffers),
    }
}

fn target(
    method: &Method,
    uri: &Uri,
    authority: Authority,
    scheme: &Scheme,
    limits: &HeadLimits,
) -> Result<Uri, HeadError> {
    let mut parts = http::uri::Parts::default();
    parts.authority = Some(authority);
    if method == Method::CONNECT {
        // As with HTTP/1.1; the caller refuses the method.
        return Uri::from_parts(parts).map_err(|_| HeadError::Target);
    }
    match uri.scheme() {
        Some(given) if !is_scheme(given.as_str()) => return Err(HeadError::Target),
        Some(given) if given != scheme => return Err(HeadError::Scheme),
        _ => {}
    }
    let path = uri.path_and_query().ok_or(HeadError::Target)?;
    let text = path.as_str();
    if text.len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    let is_path = text.starts_with('/') || (text == "*" && method == Method::OPTIONS);
    if !is_path || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(HeadError::Target);
    }
    parts.path_and_query = Some(path.clone());
    parts.scheme = Some(scheme.clone());
    Uri::from_parts(parts).map_err(|_| HeadError::Target)
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    let others = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(others)
}

/// Section 8.1.1: Content-Length, where it is given, is what the DATA frames come to; `h2` sees to that while they come.
fn framing(headers: &HeaderMap, ended: bool) -> Result<Framing, HeadError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(if ended { Framing::None } else { Framing::Chunked }),
        (Some(length), None) => match content_length(length.as_bytes()) {
            Some(length) if length == 0 || !ended => Ok(Framing::Length(length)),
            _ => Err(HeadError::ContentLength),
        },
        (Some(_), Some(_)) => Err(HeadError::ContentLength),
    }
}

/// The fields of a response, or of its trailer section, that HTTP/2 has (section 8.2.2).
pub fn without_connection_fields(fields: &mut HeaderMap) {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"] {
        fields.remove(name);
    }
}

/// Content for a response that says why a request was refused.
pub fn refusal(status: http::StatusCode, why: &str) -> Bytes {
    Bytes::from(format!("{} {why}\n", status.as_str()))
}
