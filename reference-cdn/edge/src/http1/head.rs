//! Reads a request head (RFC 9112 sections 2 to 6) and decides how its content is framed. No I/O.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri, Version};
use std::mem::MaybeUninit;

use crate::client::request::{authority, content_length, expects_continue, has_token};
use crate::client::{Framing, HeadError, HeadLimits, RequestHead};

/// Fields that fit on the stack while parsing; a higher limit costs an allocation for each request.
const MOST_FIELDS: usize = 256;

/// Looks for the end of a head as bytes arrive, without looking at any byte twice.
#[derive(Debug, Default)]
pub struct HeadScan {
    looked_at: usize,
}

impl HeadScan {
    /// The length of the head at the front of `buffer`, once all of it is there.
    ///
    /// # Errors
    /// A bare line feed, or a head over its limits.
    pub fn find_end(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        let mut end = None;
        for at in memchr::memchr_iter(b'\n', &buffer[self.looked_at..]) {
            let at = at + self.looked_at;
            if at == 0 || buffer[at - 1] != b'\r' {
                return Err(HeadError::BareLineFeed);
            }
            if at >= 3 && buffer[at - 3..at] == *b"\r\n\r" {
                end = Some(at + 1);
                break;
            }
        }
        self.looked_at = buffer.len();
        if end.unwrap_or(buffer.len()) > limits.bytes {
            let first_line = memchr::memchr(b'\n', buffer).unwrap_or(buffer.len());
            let too_long = first_line > limits.target;
            return Err(if too_long { HeadError::TargetTooLong } else { HeadError::TooLarge });
        }
        Ok(end)
    }
}

/// Empty lines before a request line are skipped (RFC 9112 section 2.2).
pub fn skip_empty_lines(buffer: &mut BytesMut) {
    while buffer.starts_with(b"\r\n") {
        let _ = buffer.split_to(2);
    }
}

/// Parses a whole head, as found by [`HeadScan`]. `scheme` is what the listener serves.
///
/// # Errors
/// Whatever makes the head ambiguous, malformed or too large.
pub fn parse(head: Bytes, scheme: &Scheme, limits: &HeadLimits) -> Result<RequestHead, HeadError> {
    let mut on_stack = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; 64];
    let mut on_heap = Vec::new();
    let slots = if limits.fields <= on_stack.len() {
        &mut on_stack[..limits.fields]
    } else {
        on_heap.resize(limits.fields.min(MOST_FIELDS), MaybeUninit::uninit());
        &mut on_heap[..]
    };
    let mut parsed = httparse::Request::new(&mut []);
    match httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, &head, slots) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(HeadError::RequestLine),
        Err(error) => return Err(from_httparse(error, &head)),
    }
    let (Some(method), Some(path), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(HeadError::RequestLine);
    };
    if path.len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    let version = if minor >= 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let http11 = version == Version::HTTP_11;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::RequestLine)?;

    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadError::Field)?;
        let value =
            HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| HeadError::Field)?;
        headers.try_append(name, value).map_err(|_| HeadError::TooManyFields)?;
    }

    let host = host(&headers, http11)?;
    let target = target(&method, &head.slice_ref(path.as_bytes()), host, scheme)?;
    if let Some(authority) = target.authority().filter(|_| !path.starts_with('/') && path != "*") {
        // Section 3.2.2: whoever reads Host from here on reads the target's.
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| HeadError::Target)?;
        headers.insert(HOST, host);
    }
    let framing = framing(&headers, http11)?;
    let keep_alive = keep_alive(&headers, http11);
    let expects_continue = expects_continue(&headers, version)?;
    Ok(RequestHead { method, target, headers, framing, version, keep_alive, expects_continue })
}

/// Whether the first line looks like a request at all: it names a version of HTTP, or a path or URL. On a listener that
/// serves HTTP/2 as well, only what does is owed an answer in HTTP/1.1 (RFC 9112 section 2.2).
pub fn resembles_request(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    words.any(|word| {
        word.starts_with(b"/") || word.windows(5).any(|part| part == b"HTTP/") || word.contains(&b':')
    })
}

fn from_httparse(error: httparse::Error, head: &[u8]) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version if names_other_version(head) => HeadError::Version,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HeadError::Field,
        _ => HeadError::RequestLine,
    }
}

/// Whether the request line ends with a well-formed HTTP version that is not 1.0 or 1.1.
fn names_other_version(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let version = line.rsplit(|byte| *byte == b' ').next().and_then(|last| last.strip_prefix(b"HTTP/"));
    matches!(version, Some([major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit() && !(*major == b'1' && matches!(minor, b'0' | b'1')))
}

/// RFC 9112 section 3.2: exactly one Host in HTTP/1.1, and a valid one.
fn host(headers: &HeaderMap, http11: bool) -> Result<Option<Authority>, HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return if http11 { Err(HeadError::HostMissing) } else { Ok(None) };
    };
    if hosts.next().is_some() {
        return Err(HeadError::HostRepeated);
    }
    authority(host.as_bytes()).map(Some)
}

/// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS. The authority-form of CONNECT is given back
/// as an authority without a path; the caller refuses the method.
fn target(method: &Method, path: &Bytes, host: Option<Authority>, scheme: &Scheme) -> Result<Uri, HeadError> {
    // Beyond RFC 3986 some clients send `|`, `"`, `{` and the like raw; those are harmless. A fragment never belongs
    // in a target, and bytes outside ASCII are read differently by different servers.
    if path.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
        return Err(HeadError::Target);
    }
    let mut parts = http::uri::Parts::default();
    if method == Method::CONNECT {
        parts.authority = Some(authority(path).map_err(|_| HeadError::Target)?);
        return Uri::from_parts(parts).map_err(|_| HeadError::Target);
    }
    let path_and_query = if path.starts_with(b"/") || (path == "*" && method == Method::OPTIONS) {
        parts.authority = host;
        path.clone()
    } else {
        let (given, rest) = split_scheme(path).ok_or(HeadError::Target)?;
        if !given.eq_ignore_ascii_case(scheme.as_str().as_bytes()) {
            let known = given.eq_ignore_ascii_case(b"http") || given.eq_ignore_ascii_case(b"https");
            return Err(if known { HeadError::Scheme } else { HeadError::Target });
        }
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        // Section 3.2.2: the authority of an absolute-form target replaces that of Host.
        parts.authority = Some(authority(&rest[..end]).map_err(|_| HeadError::Target)?);
        match rest.get(end) {
            Some(b'/') => rest.slice(end..),
            Some(_) => Bytes::from([b"/", &rest[end..]].concat()),
            None if method == Method::OPTIONS => Bytes::from_static(b"*"),
            None => Bytes::from_static(b"/"),
        }
    };
    parts.path_and_query =
        Some(PathAndQuery::from_maybe_shared(path_and_query).map_err(|_| HeadError::Target)?);
    if parts.authority.is_some() {
        parts.scheme = Some(scheme.clone());
    }
    Uri::from_parts(parts).map_err(|_| HeadError::Target)
}

fn split_scheme(target: &Bytes) -> Option<(Bytes, Bytes)> {
    let colon = memchr::memchr(b':', target)?;
    let rest = target.get(colon..)?.strip_prefix(b"://")?;
    Some((target.slice(..colon), target.slice_ref(rest)))
}

/// RFC 9112 section 6, read strictly: where two recipients could disagree, nobody gets the request.
fn framing(headers: &HeaderMap, http11: bool) -> Result<Framing, HeadError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(HeadError::ContentLength);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if !http11 {
            return Err(HeadError::TransferEncodingInHttp10);
        }
        if length.is_some() {
            return Err(HeadError::TwoFramings);
        }
        return transfer_coding(headers);
    }
    match length {
        None => Ok(Framing::None),
        Some(value) => content_length(value.as_bytes()).map(Framing::Length).ok_or(HeadError::ContentLength),
    }
}

fn transfer_coding(headers: &HeaderMap) -> Result<Framing, HeadError> {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(HeadError::TransferEncoding);
    };
    let line = line.as_bytes();
    if line.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last_is_chunked = codings.next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let chunked_before = codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked") || coding.is_empty());
    let tokens = line.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
    let inner_space = line.trim_ascii().len() != line.len();
    // A single unknown coding is a 501 whether or not chunked follows: RFC 9112 section 6.1.
    let names_chunked = line.to_ascii_lowercase().windows(7).any(|window| window == b"chunked");
    if chunked_before || !tokens || inner_space || (names_chunked && !last_is_chunked) {
        return Err(HeadError::TransferEncoding);
    }
    Err(HeadError::UnknownTransferCoding)
}

fn keep_alive(headers: &HeaderMap, http11: bool) -> bool {
    let has = |option: &str| has_token(headers, &CONNECTION, option);
    !has("close") && (http11 || has("keep-alive"))
}
