//! How an origin can fail to give a response head, with the names that RFC 9209 section 2.3 has for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_cache::Failure;

use super::response::CODED;
use crate::limits::Limit;

/// The origin gave no usable response head.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("no address for the origin {origin}: {source}")]
    Resolve { origin: String, source: io::Error },
    #[error("no address for the origin {origin} within {} s", .limit.as_secs_f64())]
    ResolveTimeout { origin: String, limit: Duration },
    #[error("no connection to the origin {origin}: {source}")]
    Connect { origin: String, source: io::Error },
    #[error("no connection to the origin {origin} within {} s", .limit.as_secs_f64())]
    ConnectTimeout { origin: String, limit: Duration },
    #[error("no TLS connection to the origin {origin} as \"{name}\": {source}")]
    Tls { origin: String, name: String, source: rustls::Error },
    #[error("the origin {origin} broke the TLS handshake off: {source}")]
    TlsBroken { origin: String, source: io::Error },
    #[error("no TLS handshake with the origin {origin} within {} s", .limit.as_secs_f64())]
    TlsTimeout { origin: String, limit: Duration },
    #[error("the origin {origin} cannot be asked for \"{name}\", which is no name for a certificate")]
    ServerName { origin: String, name: String },
    #[error("the origin {origin} does not offer HTTP/2")]
    NoH2 { origin: String },
    #[error("all {most} connections to the origin {origin} stayed in use for {} s", .limit.as_secs_f64())]
    Busy { origin: String, most: usize, limit: Duration },
    #[error("no response from the origin {origin} within {} s", .limit.as_secs_f64())]
    ResponseTimeout { origin: String, limit: Duration },
    #[error("the origin {origin} did not finish the head of its response within {} s", .limit.as_secs_f64())]
    HeadTimeout { origin: String, limit: Duration },
    #[error("the fetch from the origin {origin} took longer than {} s", .limit.as_secs_f64())]
    FetchTimeout { origin: String, limit: Duration },
    #[error("the head of the response from the origin {origin} has more than {limit} octets")]
    HeadTooLarge { origin: String, limit: usize },
    #[error("the head of the response from the origin {origin} has more than {limit} field lines")]
    TooManyFields { origin: String, limit: usize },
    #[error("no usable response from the origin {origin}: {}", causes(.source))]
    Response { origin: String, source: hyper::Error },
    #[error("no usable response from the origin {origin} over HTTP/2: {source}")]
    Stream { origin: String, source: h2::Error },
    #[error("the origin {origin} answered {what}")]
    NotUnderstood { origin: String, what: &'static str },
    #[error("the request cannot be sent to the origin {origin}: {source}")]
    Request { origin: String, source: http::Error },
    /// Several requests waited for one connection; `first` is the one that opened it.
    #[error("{error}")]
    Shared { error: Arc<OriginError>, first: bool },
}

/// An error with everything that caused it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The TLS error among the causes of another: alerts of TLS 1.3 may come after the handshake, with the first answer.
fn tls_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref()) {
            return Some(tls);
        }
        cause = error.source();
    }
    None
}

fn tls_name(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            "tls_certificate_error"
        }
        rustls::Error::AlertReceived(_) => "tls_alert_received",
        _ => "tls_protocol_error",
    }
}

/// The head of a response was too large, or had too many lines. The library tells it to servers only; a test pins the words.
pub(super) fn is_too_large(error: &hyper::Error) -> bool {
    error.is_parse() && error.to_string().contains("too large")
}

impl OriginError {
    /// The limit that ended the request, if one did. Over HTTP/2 the library does not tell a head that is too large from one
    /// that is malformed.
    pub fn limit(&self) -> Option<Limit> {
        Some(match self {
            Self::ResolveTimeout { .. } => Limit::OriginResolve,
            Self::ConnectTimeout { .. } => Limit::OriginConnect,
            Self::TlsTimeout { .. } => Limit::OriginHandshake,
            Self::Busy { .. } => Limit::OriginConnections,
            Self::ResponseTimeout { .. } => Limit::OriginResponse,
            Self::HeadTimeout { .. } => Limit::OriginHeadTime,
            Self::FetchTimeout { .. } => Limit::OriginFetch,
            Self::HeadTooLarge { .. } => Limit::OriginHead,
            Self::TooManyFields { .. } => Limit::OriginFields,
            Self::Shared { error, .. } => return error.limit(),
            _ => return None,
        })
    }

    /// For [`http_cache::Decisions::failed`].
    pub fn failure(&self) -> Failure {
        match self {
            Self::Resolve { .. }
            | Self::ResolveTimeout { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::TlsBroken { .. }
            | Self::TlsTimeout { .. }
            | Self::ServerName { .. }
            | Self::NoH2 { .. }
            | Self::Busy { .. } => Failure::Connect,
            Self::ResponseTimeout { .. } | Self::HeadTimeout { .. } | Self::FetchTimeout { .. } => {
                Failure::Timeout
            }
            Self::HeadTooLarge { .. }
            | Self::TooManyFields { .. }
            | Self::Response { .. }
            | Self::Stream { .. }
            | Self::NotUnderstood { .. }
            | Self::Request { .. } => Failure::Response,
            Self::Shared { error, .. } => error.failure(),
        }
    }

    /// The error type of RFC 9209 that fits.
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "dns_error",
            Self::ResolveTimeout { .. } => "dns_timeout",
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    "destination_ip_unroutable"
                }
                _ => "destination_unavailable",
            },
            Self::ConnectTimeout { .. } | Self::TlsTimeout { .. } => "connection_timeout",
            Self::Tls { source, .. } => tls_name(source),
            Self::TlsBroken { .. } => "tls_protocol_error",
            Self::ServerName { .. } | Self::Request { .. } => "destination_not_found",
            Self::NoH2 { .. } => "http_upgrade_failed",
            Self::Busy { .. } => "connection_limit_reached",
            Self::ResponseTimeout { .. } | Self::HeadTimeout { .. } | Self::FetchTimeout { .. } => {
                "http_response_timeout"
            }
            Self::HeadTooLarge { .. } | Self::TooManyFields { .. } => "http_response_header_section_size",
            Self::Response { source, .. } => match tls_cause(source) {
                Some(tls) => tls_name(tls),
                None if source.is_incomplete_message() => "http_response_incomplete",
                None if source.is_parse() => "http_protocol_error",
                None => "connection_terminated",
            },
            Self::Stream { source, .. } if source.is_library() => "http_protocol_error",
            Self::Stream { .. } => "connection_terminated",
            Self::NotUnderstood { what: CODED, .. } => "http_response_transfer_coding",
            Self::NotUnderstood { .. } => "http_protocol_error",
            Self::Shared { error, .. } => error.proxy_status(),
        }
    }
}
