//! A request as either version of HTTP brings it, and the checks that both make.

use std::net::SocketAddr;

use http::header::{EXPECT, HeaderMap, HeaderName};
use http::uri::Authority;
use http::{Method, StatusCode, Uri, Version};

use super::content::RequestBody;

/// Bounds on a request head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head: in HTTP/1.1 request line and fields with their line ends, in HTTP/2 the decoded field
    /// list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2).
    pub bytes: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Field lines.
    pub fields: usize,
}

/// How the content of a request is delimited (RFC 9112 section 6.3, RFC 9113 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither Content-Length nor Transfer-Encoding, or END_STREAM with the head: no content.
    None,
    Length(u64),
    /// In chunks, or in DATA frames of no announced length.
    Chunked,
}

/// A request head whose framing is beyond doubt.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    /// In absolute form. The authority comes from an absolute-form target, else from Host, else (HTTP/1.0 without
    /// Host) it is missing. `OPTIONS *` has the path `*`.
    pub target: Uri,
    pub headers: HeaderMap,
    pub framing: Framing,
    /// 1.0, 1.1 (also for a later 1.x) or 2.
    pub version: Version,
    /// The client wants the connection kept after this exchange. Always so in HTTP/2.
    pub keep_alive: bool,
    /// The client waits for `100 (Continue)` before it sends content.
    pub expects_continue: bool,
}

impl RequestHead {
    /// A request for the same with another method and without content.
    pub fn clone_as(&self, method: Method) -> Self {
        Self {
            method,
            target: self.target.clone(),
            headers: self.headers.clone(),
            framing: Framing::None,
            expects_continue: false,
            ..*self
        }
    }
}

/// Why a head was refused. Each is answered with [`status`](Self::status), then an HTTP/1.1 connection is closed; an HTTP/2
/// stream is reset instead where the error [is malformed](Self::is_malformed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    #[error("malformed request line")]
    RequestLine,
    #[error("malformed field line")]
    Field,
    #[error("malformed request target")]
    Target,
    #[error("request target longer than the limit")]
    TargetTooLong,
    #[error("request head larger than the limit")]
    TooLarge,
    #[error("more field lines than the limit")]
    TooManyFields,
    #[error("HTTP version not supported")]
    Version,
    #[error("no Host field in an HTTP/1.1 request")]
    HostMissing,
    #[error("more than one Host field")]
    HostRepeated,
    #[error("malformed Host")]
    HostMalformed,
    #[error("a scheme that this listener does not serve")]
    Scheme,
    #[error("the connection's certificate is not for this host")]
    Misdirected,
    #[error("Host and :authority differ")]
    HostDiffers,
    #[error("a field that HTTP/2 does not have, or an odd value of one")]
    ConnectionField,
    #[error("both Content-Length and Transfer-Encoding")]
    TwoFramings,
    #[error("malformed or repeated Content-Length")]
    ContentLength,
    #[error("Transfer-Encoding in an HTTP/1.0 request")]
    TransferEncodingInHttp10,
    #[error("chunked is not the last transfer coding, or is applied twice")]
    TransferEncoding,
    #[error("a transfer coding that this edge does not know")]
    UnknownTransferCoding,
    #[error("an expectation that this edge does not know")]
    Expectation,
}

impl HeadError {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Scheme | Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The request is malformed in the sense of RFC 9113 section 8.1.1: in HTTP/2 its stream is reset with PROTOCOL_ERROR.
    pub fn is_malformed(self) -> bool {
        self.status() == StatusCode::BAD_REQUEST
    }
}

/// A request, its head read and its content on the way.
#[derive(Debug)]
pub struct Request {
    pub head: RequestHead,
    pub content: Option<RequestBody>,
    pub peer: SocketAddr,
}

/// `uri-host [ ":" port ]`, not empty, without user information.
pub fn authority(bytes: &[u8]) -> Result<Authority, HeadError> {
    let port = match bytes.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !bytes.ends_with(b"]") => &bytes[colon + 1..],
        _ => &[],
    };
    if bytes.contains(&b'@') || !port.iter().all(u8::is_ascii_digit) || port.len() > 5 {
        return Err(HeadError::HostMalformed);
    }
    let authority = Authority::try_from(bytes).map_err(|_| HeadError::HostMalformed)?;
    if authority.host().is_empty() { Err(HeadError::HostMalformed) } else { Ok(authority) }
}

/// `1*DIGIT`, nothing else: no sign, no list, no white space. At most 2^63-1, as many peers hold it in signed words.
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = std::str::from_utf8(value).ok()?.parse().ok()?;
    i64::try_from(length).is_ok().then_some(length)
}

/// Whether a list of tokens names `token`, in any letter case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 9110 section 10.1.1. HTTP/1.0 clients cannot expect.
pub fn expects_continue(headers: &HeaderMap, version: Version) -> Result<bool, HeadError> {
    let mut expectations = headers.get_all(EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        _ if version < Version::HTTP_11 => Ok(false),
        (None, _) => Ok(false),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(HeadError::Expectation),
    }
}
