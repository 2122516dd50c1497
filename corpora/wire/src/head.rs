//! The start line and field section of a message.

use crate::{Anomaly, Framing};
use bytes::Bytes;
use exchange::{Fields, Time, Version};

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// RFC 9112 section 3.
    Request { method: Bytes, target: Bytes },
    /// RFC 9112 section 4.
    Response { status: u16, reason: Bytes },
}

/// A message's head as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub start_line: StartLine,
    pub version: Version,
    pub fields: Fields,
    pub framing: Framing,
    pub anomalies: Vec<Anomaly>,
    /// The exact bytes from the start line to the empty line, both included.
    pub raw: Bytes,
    /// When its first byte was seen.
    pub start: Time,
    /// When its last byte was seen.
    pub end: Time,
}

impl Head {
    /// The method of a request; empty for a response.
    pub fn method(&self) -> &[u8] {
        match &self.start_line {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => b"",
        }
    }

    /// The target of a request; empty for a response.
    pub fn target(&self) -> &[u8] {
        match &self.start_line {
            StartLine::Request { target, .. } => target,
            StartLine::Response { .. } => b"",
        }
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start_line {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// Whether this is an interim response: 1xx, but not 101, which is the last HTTP/1 message of its connection.
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), Some(100 | 102..=199))
    }

    /// Whether the connection stays open after this message as far as its sender says (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        let says = |option: &str| {
            self.fields.members("connection").any(|m| m.eq_ignore_ascii_case(option.as_bytes()))
        };
        match self.version {
            _ if says("close") => false,
            Version::Http09 => false,
            Version::Http10 => says("keep-alive"),
            _ => true,
        }
    }
}
