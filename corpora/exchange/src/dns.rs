//! DNS queries and answers, as bytes: what they mean is for their reader to say.

use crate::{Source, Time};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What carried a DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsTransport {
    Udp,
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484).
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

/// One DNS message in wire format (RFC 1035 section 4), without the length prefix of stream transports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DnsMessage {
    pub time: Time,
    pub wire: Bytes,
}

/// One query with its answer; either may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DnsExchange {
    pub source: Source,
    pub transport: DnsTransport,
    /// Address of the one who asks.
    pub client: SocketAddr,
    /// Address of the one who is asked.
    pub server: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<DnsMessage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<DnsMessage>,
}
