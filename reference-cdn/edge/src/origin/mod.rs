//! The origin side: requests over pooled HTTP/1.1 connections, with a bound on every wait.

mod content;
mod pool;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode, Uri, Version};
use http_body::Body as _;
use http_cache::Failure;
use hyper::ext::ReasonPhrase;
use tokio::time::timeout;

use crate::http1::body::RequestBody;
use content::OutboundContent;
pub use content::{ContentError, OriginContent};
use pool::{Connection, Pool};

/// Bounds of the origin side.
#[derive(Clone, Copy, Debug)]
pub struct OriginLimits {
    /// Connections in use at once; further requests wait for one.
    pub connections: usize,
    /// Connections kept open for later.
    pub idle_connections: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a connection, or a turn to open one, may take.
    pub connect: Duration,
    /// How long the origin may neither send a response head nor take any of the request's content.
    pub response: Duration,
    /// How long it may send nothing within content.
    pub content_stall: Duration,
    /// Octets of a response head.
    pub head_bytes: usize,
    /// Field lines of a response head.
    pub fields: usize,
}

/// An origin and the connections to it.
#[derive(Debug)]
pub struct Origin {
    authority: Authority,
    host: HeaderValue,
    /// Send the client's Host rather than the origin's own name.
    keep_host: bool,
    limits: OriginLimits,
    pool: Pool,
}

/// A request to the origin.
pub struct Outbound<F, I> {
    pub method: Method,
    pub path_and_query: Option<PathAndQuery>,
    /// Makes the end-to-end fields; asked once more if the request is sent again.
    pub fields: F,
    pub content: Option<RequestBody>,
    /// The client waits for 100 (Continue).
    pub expects_continue: bool,
    /// Called with each interim response.
    pub interim: I,
}

/// A response of the origin: its head, and content still to come.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    pub content: OriginContent,
    /// Length of the content, when announced.
    pub length: Option<u64>,
}

/// The origin gave no usable response head.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("no connection to the origin {origin}: {source}")]
    Connect { origin: String, source: std::io::Error },
    #[error("no connection to the origin {origin} within {} s", .limit.as_secs_f64())]
    ConnectTimeout { origin: String, limit: Duration },
    #[error("all {most} connections to the origin {origin} stayed in use for {} s", .limit.as_secs_f64())]
    Busy { origin: String, most: usize, limit: Duration },
    #[error("no response head from the origin {origin} within {} s", .limit.as_secs_f64())]
    ResponseTimeout { origin: String, limit: Duration },
    #[error("no usable response from the origin {origin}: {}", causes(.source))]
    Response { origin: String, source: hyper::Error },
    #[error("the origin {origin} answered {what}")]
    NotUnderstood { origin: String, what: &'static str },
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl OriginError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Busy { .. } => Failure::Connect,
            Self::ResponseTimeout { .. } => Failure::Timeout,
            Self::Response { .. } | Self::NotUnderstood { .. } => Failure::Response,
        }
    }

    /// The error type of RFC 9209 that fits.
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Connect { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => {
                "connection_refused"
            }
            Self::Connect { .. } => "destination_unavailable",
            Self::ConnectTimeout { .. } => "connection_timeout",
            Self::Busy { .. } => "connection_limit_reached",
            Self::ResponseTimeout { .. } => "http_response_timeout",
            Self::Response { source, .. } if source.is_incomplete_message() => "http_response_incomplete",
            Self::Response { source, .. } if source.is_parse() => "http_protocol_error",
            Self::Response { .. } => "connection_terminated",
            Self::NotUnderstood { .. } => "http_protocol_error",
        }
    }
}

impl Origin {
    /// `authority` is where to connect (port 80 when it names none).
    pub fn new(
        authority: Authority,
        keep_host: bool,
        limits: OriginLimits,
    ) -> Result<Arc<Self>, http::Error> {
        let host = HeaderValue::try_from(authority.as_str())?;
        let pool = Pool::new(&authority, limits);
        Ok(Arc::new(Self { authority, host, keep_host, limits, pool }))
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Open connections not in use.
    pub fn idle_connections(&self) -> usize {
        self.pool.idle()
    }

    /// Connections opened since the start.
    pub fn opened(&self) -> u64 {
        self.pool.opened()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    /// Sends a request and waits for the head of the final response.
    ///
    /// A request without content whose method is idempotent is sent once more, on a new connection, when a kept
    /// connection was closed before any octet of the answer (RFC 9112 section 9.3.1): the origin most likely closed it
    /// for idleness just then.
    ///
    /// # Errors
    /// When no final response head comes.
    pub async fn send<F, I>(self: &Arc<Self>, mut outbound: Outbound<F, I>) -> Result<Answer, OriginError>
    where
        F: Fn() -> HeaderMap,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let content = outbound.content.take();
        let again = content.is_none() && is_idempotent(&outbound.method);
        let connection = self.pool.connection().await?;
        let again = again && connection.reused;
        let request = self.request(&outbound, content);
        let (response, connection) = match self.exchange(connection, request).await {
            Err(Broken { before_any_octet: true, error: OriginError::Response { .. } }) if again => {
                let connection = self.pool.open().await?;
                let request = self.request(&outbound, None);
                self.exchange(connection, request).await.map_err(|broken| broken.error)?
            }
            result => result.map_err(|broken| broken.error)?,
        };
        self.accept(&outbound.method, response, connection)
    }

    fn request<F, I>(
        &self,
        outbound: &Outbound<F, I>,
        content: Option<RequestBody>,
    ) -> http::Request<OutboundContent>
    where
        F: Fn() -> HeaderMap,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let mut given = (outbound.fields)();
        let host = given.remove(HOST).filter(|_| self.keep_host).unwrap_or_else(|| self.host.clone());
        for field in [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT] {
            given.remove(field);
        }
        // Host goes first (RFC 9110 section 7.2).
        let mut fields = HeaderMap::with_capacity(given.len() + 4);
        fields.insert(HOST, host);
        let mut last = None;
        for (name, value) in given {
            last = name.or(last);
            if let Some(name) = &last {
                fields.append(name.clone(), value);
            }
        }
        let content = match content {
            None => {
                fields.remove(TRAILER);
                OutboundContent::none()
            }
            Some(content) => {
                match content.length() {
                    Some(length) => fields.insert(CONTENT_LENGTH, HeaderValue::from(length)),
                    None => fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
                };
                if outbound.expects_continue {
                    fields.insert(EXPECT, HeaderValue::from_static("100-continue"));
                }
                OutboundContent::some(content)
            }
        };
        let target = outbound.path_and_query.clone().unwrap_or(PathAndQuery::from_static("/"));
        let mut request = http::Request::new(content);
        *request.method_mut() = outbound.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = fields;
        let interim = outbound.interim.clone();
        hyper::ext::on_informational(&mut request, move |response| {
            interim(response.status(), response.headers());
        });
        request
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: http::Request<OutboundContent>,
    ) -> Result<(http::Response<hyper::body::Incoming>, Connection), Broken> {
        let before = connection.octets_received();
        let limit = self.limits.response;
        let origin = || self.authority.to_string();
        let taken = request.body().taken();
        let response = connection.sender.send_request(request);
        tokio::pin!(response);
        loop {
            let pieces = taken.pieces();
            match timeout(limit, &mut response).await {
                Ok(Ok(response)) => return Ok((response, connection)),
                Ok(Err(source)) => {
                    return Err(Broken {
                        before_any_octet: connection.octets_received() == before && !source.is_user(),
                        error: OriginError::Response { origin: origin(), source },
                    });
                }
                // An upload that goes on may take as long as it takes.
                Err(_) if taken.pieces() > pieces => {}
                Err(_) => {
                    return Err(Broken {
                        before_any_octet: false,
                        error: OriginError::ResponseTimeout { origin: origin(), limit },
                    });
                }
            }
        }
    }

    fn accept(
        self: &Arc<Self>,
        method: &Method,
        response: http::Response<hyper::body::Incoming>,
        connection: Connection,
    ) -> Result<Answer, OriginError> {
        let (mut parts, incoming) = response.into_parts();
        let not_understood = |what| OriginError::NotUnderstood { origin: self.authority.to_string(), what };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(not_understood("101 (Switching Protocols), which was not asked for"));
        }
        // The mark of a response that somebody splits or smuggles: an error whichever of them is true (RFC 9112 section
        // 6.3). The connection goes with it, as what follows on it may be anybody's.
        if parts.headers.contains_key(TRANSFER_ENCODING) && parts.headers.contains_key(CONTENT_LENGTH) {
            return Err(not_understood("with both Transfer-Encoding and Content-Length"));
        }
        if lengths_differ(&parts.headers) {
            return Err(not_understood("with several lengths"));
        }
        let coding = TransferCoding::of(&parts.headers);
        if coding == TransferCoding::Coded && method != Method::HEAD {
            return Err(not_understood("with a transfer coding other than chunked, which was not asked for"));
        }
        parts.headers.remove(TRANSFER_ENCODING);
        let bodiless = method == Method::HEAD
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = if bodiless { Some(0) } else { incoming.size_hint().exact() };
        let keep = coding != TransferCoding::Void
            && (parts.version == Version::HTTP_11 || connection.keeps_http10(&parts.headers));
        let content =
            OriginContent::new(incoming, Arc::clone(self), connection, keep, self.limits.content_stall);
        Ok(Answer {
            status: parts.status,
            reason: parts.extensions.remove::<ReasonPhrase>(),
            headers: parts.headers,
            content,
            length,
        })
    }
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
enum TransferCoding {
    None,
    Chunked,
    /// Content that needs decoding we did not ask for, or chunked in a place where it delimits nothing.
    Coded,
    /// A word without meaning: the content ends with the connection (section 6.3).
    Void,
}

impl TransferCoding {
    fn of(fields: &HeaderMap) -> Self {
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

/// A request that got no response head.
struct Broken {
    before_any_octet: bool,
    error: OriginError,
}

fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}
