//! HTTP messages and the transaction they make up.

use crate::text::bytes_as_text;
use crate::{Body, Fields, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// The protocol version a message was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Version {
    #[serde(rename = "HTTP/0.9")]
    Http09,
    #[serde(rename = "HTTP/1.0")]
    Http10,
    #[default]
    #[serde(rename = "HTTP/1.1")]
    Http11,
    #[serde(rename = "HTTP/2")]
    Http2,
    #[serde(rename = "HTTP/3")]
    Http3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http09 => "HTTP/0.9",
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
            Version::Http3 => "HTTP/3",
        })
    }
}

/// Where and when a message was seen.
///
/// Connections are numbered within their source, from 0 in the order they were first seen; a stream is the
/// transaction's number on its connection, from 0 in HTTP/1 and as the protocol has it in HTTP/2 and HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Seen {
    pub connection: u64,
    pub stream: u64,
    /// Address of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SocketAddr>,
    /// Address of the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SocketAddr>,
    /// When the first byte was seen.
    pub start: Time,
    /// When the last byte of the header section was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_end: Option<Time>,
    /// When the last byte was seen, or the end that cut it short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
}

/// A request as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Request {
    #[serde(default)]
    pub version: Version,
    #[serde(with = "bytes_as_text")]
    pub method: Bytes,
    /// The request target as sent (RFC 9112 section 3.2): any of its four forms, unnormalised.
    #[serde(with = "bytes_as_text")]
    pub target: Bytes,
    pub fields: Fields,
    pub body: Body,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub trailers: Fields,
    pub seen: Seen,
}

impl Request {
    /// A request without body, seen nowhere.
    pub fn new(method: impl Into<Bytes>, target: impl Into<Bytes>, fields: Fields) -> Self {
        Request { method: method.into(), target: target.into(), fields, ..Self::default() }
    }

    /// The authority this request names: that of an absolute-form target, else the `Host` field (RFC 9112
    /// section 3.3); `:authority` reaches `Host` in HTTP/2 and HTTP/3.
    pub fn authority(&self) -> Option<&[u8]> {
        match split_absolute(&self.target) {
            Some((authority, _)) => Some(authority),
            None => self.fields.get("host").map(|h| &h[..]),
        }
    }

    /// Path and query of the target URI, whichever form the target has; `*` and authority form as they are.
    pub fn path_and_query(&self) -> &[u8] {
        match split_absolute(&self.target) {
            Some((_, b"")) => b"/",
            Some((_, path)) => path,
            None => &self.target,
        }
    }
}

/// Authority and rest of an absolute-form target with an http or https scheme.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            .then(|| &target[scheme.len()..])
    };
    let rest = after(b"http://").or_else(|| after(b"https://"))?;
    Some(rest.split_at(rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len())))
}

/// A response as it was sent, with the interim (1xx) responses before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Response {
    #[serde(default)]
    pub version: Version,
    pub status: u16,
    /// The reason phrase as sent; empty where there is none.
    #[serde(with = "bytes_as_text")]
    pub reason: Bytes,
    pub fields: Fields,
    pub body: Body,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub trailers: Fields,
    /// Interim responses (RFC 9110 section 15.2) that came before this one, in order; their bodies are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interim: Vec<Response>,
    pub seen: Seen,
}

impl Response {
    /// A response seen nowhere.
    pub fn new(status: u16, fields: Fields, body: Body) -> Self {
        Response { status, fields, body, ..Self::default() }
    }
}

/// Which of the four messages of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    ClientRequest,
    OriginRequest,
    OriginResponse,
    ClientResponse,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::ClientRequest => "client-request",
            Side::OriginRequest => "origin-request",
            Side::OriginResponse => "origin-response",
            Side::ClientResponse => "client-response",
        })
    }
}

/// Where a transaction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Source {
    /// The tool that saw it: `replay`, `mirror`, `edge`, `conformance`.
    pub tool: String,
    /// What it was seen in or at: a file's name, a listener's address, a build's name.
    pub at: String,
}

/// One request with its answer, at up to four places. Each of them may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Transaction {
    pub source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request: Option<Request>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_request: Option<Request>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_response: Option<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_response: Option<Response>,
}

impl Transaction {
    /// What was asked, as a person names it: `GET http://host/path`. Bytes are escaped.
    pub fn name(&self) -> String {
        let Some(request) = self.client_request.as_ref().or(self.origin_request.as_ref()) else {
            return "(request not seen)".to_owned();
        };
        let authority = request.authority().map_or_else(String::new, crate::escape);
        format!(
            "{} http://{authority}{}",
            crate::escape(&request.method),
            crate::escape(request.path_and_query())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_uri_of_every_form() {
        let host: Fields = [("Host", "h:8")].into_iter().collect();
        for (target, authority, path) in [
            ("/a?b", "h:8", "/a?b"),
            ("HTTP://x.test/a?b", "x.test", "/a?b"),
            ("https://x.test", "x.test", "/"),
            ("http://x.test?q", "x.test", "?q"),
            ("*", "h:8", "*"),
            ("x.test:443", "h:8", "x.test:443"),
        ] {
            let request = Request::new("GET", target, host.clone());
            assert_eq!(request.authority(), Some(authority.as_bytes()), "{target}");
            assert_eq!(request.path_and_query(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn json_round_trip() {
        let transaction = Transaction {
            source: Source { tool: "replay".into(), at: "a.pcap".into() },
            client_request: Some(Request::new("GET", "/\u{1f}", Fields::new())),
            client_response: Some(Response::new(200, Fields::new(), Body::complete("abc"))),
            ..Transaction::default()
        };
        let json = serde_json::to_string(&transaction).unwrap();
        assert_eq!(serde_json::from_str::<Transaction>(&json).unwrap(), transaction);
        assert_eq!(transaction.name(), "GET http:///\\x1f");
    }
}
