//! The limits that somebody can run into, for counting.

/// A limit, by the field of the configuration that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Head,
    Target,
    Fields,
    HeadTime,
    Idle,
    ContentStall,
    WriteStall,
    WriteTime,
    Content,
    UnreadContent,
    DrainTime,
    OriginConnections,
    OriginConnect,
    OriginResponse,
    ClientConnections,
    ClientRate,
    CustomerRate,
    CustomerInFlight,
    Http2Resets,
    Http2Frames,
    /// What `h2` itself puts an end to: heads many times too large, or in too many CONTINUATION frames; DATA in frames so
    /// small that keeping them costs more than their octets; errors without end. No field sets it.
    Http2Excess,
    TlsHandshakeTime,
    /// More ranges in one request, or other ones, than anybody needs. No field sets it.
    Ranges,
    /// A request that came back. No field sets it.
    Loop,
}

impl Limit {
    pub const ALL: [Self; 24] = [
        Self::Head,
        Self::Target,
        Self::Fields,
        Self::HeadTime,
        Self::Idle,
        Self::ContentStall,
        Self::WriteStall,
        Self::WriteTime,
        Self::Content,
        Self::UnreadContent,
        Self::DrainTime,
        Self::OriginConnections,
        Self::OriginConnect,
        Self::OriginResponse,
        Self::ClientConnections,
        Self::ClientRate,
        Self::CustomerRate,
        Self::CustomerInFlight,
        Self::Http2Resets,
        Self::Http2Frames,
        Self::Http2Excess,
        Self::TlsHandshakeTime,
        Self::Ranges,
        Self::Loop,
    ];

    /// The field that sets it, or a name where none does.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "client.head",
            Self::Target => "client.target",
            Self::Fields => "client.fields",
            Self::HeadTime => "client.head-time",
            Self::Idle => "client.idle",
            Self::ContentStall => "client.content-stall",
            Self::WriteStall => "client.write-stall",
            Self::WriteTime => "client.write-time",
            Self::Content => "client.content",
            Self::UnreadContent => "client.unread-content",
            Self::DrainTime => "client.drain-time",
            Self::OriginConnections => "origin.connections",
            Self::OriginConnect => "origin.connect",
            Self::OriginResponse => "origin.response",
            Self::ClientConnections => "per-client.connections",
            Self::ClientRate => "per-client.rate",
            Self::CustomerRate => "per-customer.rate",
            Self::CustomerInFlight => "per-customer.in-flight",
            Self::Http2Resets => "http2.resets",
            Self::Http2Frames => "http2.frames",
            Self::Http2Excess => "http2-excess",
            Self::TlsHandshakeTime => "tls.handshake-time",
            Self::Ranges => "ranges",
            Self::Loop => "loop",
        }
    }

    /// The one that ended a request to the origin with this error of RFC 9209.
    pub fn of_origin(proxy_status: &str) -> Option<Self> {
        match proxy_status {
            "connection_limit_reached" => Some(Self::OriginConnections),
            "connection_timeout" => Some(Self::OriginConnect),
            "http_response_timeout" => Some(Self::OriginResponse),
            _ => None,
        }
    }
}
