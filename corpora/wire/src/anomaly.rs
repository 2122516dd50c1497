//! Liberties a sender took that leave a message its meaning.

use bytes::Bytes;
use std::fmt;

/// Something in a message that the grammar or the rules of RFC 9112 do not allow, or that recipients are known to
/// read differently, although a meaning is defined or usual. The variant says which meaning was taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// Empty lines before the start line (RFC 9112 section 2.2); skipped.
    BlankLinesBefore(u32),
    /// A line ended with LF alone (section 2.2); taken as its end.
    BareLf,
    /// A CR not followed by LF inside a line (section 2.2); kept.
    BareCr,
    /// The start line is not separated by exactly one space each (section 3, 4); split at whitespace.
    StartLineWhitespace,
    /// Whitespace inside the request target (section 3.2); kept.
    SpaceInTarget,
    /// A control character or a byte above 127 in the request target; kept.
    BadTarget,
    /// The method is not a token (RFC 9110 section 9.1); kept.
    BadMethod,
    /// HTTP/1.x with x above 1, or another spelling of the version; read as HTTP/1.1.
    OtherVersion(Bytes),
    /// A status code under 100 or above 599 (RFC 9110 section 15); read as a final response.
    OddStatus(u16),
    /// No space after the status code (section 4); read as an empty reason.
    NoReasonSpace,
    /// Whitespace before the first field line (section 2.2); that line is ignored.
    WhitespaceBeforeFields,
    /// A folded field line (section 5.2); joined with one space.
    ObsoleteFold,
    /// Whitespace between field name and colon (section 5.1); dropped from the name, the field counts.
    SpaceBeforeColon(Bytes),
    /// A field value with other whitespace around it than one space before; trimmed.
    OddWhitespace(Bytes),
    /// A field name that is not a token (RFC 9110 section 5.6.2); kept.
    BadFieldName(Bytes),
    /// NUL or another control character in the value of this field (RFC 9110 section 5.5); kept.
    BadFieldValue(Bytes),
    /// A line of the field section without colon; ignored.
    NotAField(Bytes),
    /// Several Content-Length lines or members with the same value (RFC 9110 section 8.6); read as one.
    DuplicateContentLength,
    /// Content-Length besides Transfer-Encoding (section 6.3); Transfer-Encoding counts.
    ContentLengthAndTransferEncoding,
    /// Transfer-Encoding in an HTTP/1.0 message (section 6.1); it counts, the connection should not be reused.
    TransferEncodingInHttp10,
    /// Several Transfer-Encoding lines; joined.
    SeveralTransferEncodings,
    /// A transfer coding that RFC 9112 section 7 does not define, `identity`, or one with parameters; the last
    /// one decides the framing.
    OddTransferCoding(Bytes),
    /// Chunked more than once (section 6.1); decoded once.
    ChunkedTwice,
    /// Transfer-Encoding whose last coding is not chunked, in a response (section 6.3); read until close.
    NotChunkedLast,
    /// Content-Length or Transfer-Encoding in a 1xx or 204 response, or Transfer-Encoding in the answer to a
    /// CONNECT (section 6.1, RFC 9110 section 8.6); ignored.
    FramingNotAllowed,
    /// An HTTP/1.1 request with no or several Host lines (section 3.2).
    HostCount(usize),
    /// Whitespace around a chunk size; dropped.
    ChunkWhitespace,
    /// A chunk size with zeros before it, longer than 16 digits.
    LongChunkSize,
    /// Chunk extensions (section 7.1.1); kept in [`crate::MessageEnd::extensions`].
    ChunkExtension,
    /// A trailer field that decides framing, routing or the like (RFC 9110 section 6.5.1); kept as trailer.
    ForbiddenTrailer(Bytes),
    /// An HTTP/0.9 request or response: no version, no fields.
    Http09,
    /// Bytes after the end of a response that nobody asked for, or a response before any request.
    Unsolicited,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use exchange::escape;
        match self {
            Anomaly::BlankLinesBefore(n) => write!(f, "{n} empty line(s) before the start line"),
            Anomaly::BareLf => f.write_str("a line ends with LF alone"),
            Anomaly::BareCr => f.write_str("CR without LF inside a line"),
            Anomaly::StartLineWhitespace => {
                f.write_str("other whitespace in the start line than single spaces")
            }
            Anomaly::SpaceInTarget => f.write_str("whitespace inside the request target"),
            Anomaly::BadTarget => f.write_str("a character in the request target that no URI has"),
            Anomaly::BadMethod => f.write_str("the method is not a token"),
            Anomaly::OtherVersion(v) => write!(f, "version {:?}, read as HTTP/1.1", escape(v)),
            Anomaly::OddStatus(s) => write!(f, "status {s:03} is outside 100 to 599"),
            Anomaly::NoReasonSpace => f.write_str("no space after the status code"),
            Anomaly::WhitespaceBeforeFields => f.write_str("whitespace before the first field line"),
            Anomaly::ObsoleteFold => f.write_str("a folded field line"),
            Anomaly::SpaceBeforeColon(n) => write!(f, "whitespace between {:?} and its colon", escape(n)),
            Anomaly::OddWhitespace(n) => write!(f, "unusual whitespace around the value of {:?}", escape(n)),
            Anomaly::BadFieldName(n) => write!(f, "field name {:?} is not a token", escape(n)),
            Anomaly::BadFieldValue(n) => write!(f, "a control character in the value of {:?}", escape(n)),
            Anomaly::NotAField(line) => write!(f, "a line without colon: {:?}", escape(line)),
            Anomaly::DuplicateContentLength => f.write_str("Content-Length more than once"),
            Anomaly::ContentLengthAndTransferEncoding => {
                f.write_str("Content-Length beside Transfer-Encoding")
            }
            Anomaly::TransferEncodingInHttp10 => f.write_str("Transfer-Encoding in an HTTP/1.0 message"),
            Anomaly::SeveralTransferEncodings => f.write_str("several Transfer-Encoding lines"),
            Anomaly::OddTransferCoding(c) => write!(f, "transfer coding {:?}", escape(c)),
            Anomaly::ChunkedTwice => f.write_str("chunked more than once"),
            Anomaly::NotChunkedLast => f.write_str("chunked is not the last transfer coding"),
            Anomaly::FramingNotAllowed => {
                f.write_str("Content-Length or Transfer-Encoding where neither is allowed")
            }
            Anomaly::HostCount(n) => write!(f, "{n} Host lines in an HTTP/1.1 request"),
            Anomaly::ChunkWhitespace => f.write_str("whitespace around a chunk size"),
            Anomaly::LongChunkSize => f.write_str("a chunk size of more than 16 digits"),
            Anomaly::ChunkExtension => f.write_str("chunk extensions"),
            Anomaly::ForbiddenTrailer(n) => write!(f, "{:?} must not be a trailer", escape(n)),
            Anomaly::Http09 => f.write_str("an HTTP/0.9 message"),
            Anomaly::Unsolicited => f.write_str("a response nobody asked for"),
        }
    }
}

/// Anomalies of one message: each once, not more than a bound.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub list: Vec<Anomaly>,
    most: usize,
}

impl Noted {
    pub fn new(most: usize) -> Self {
        Noted { list: Vec::new(), most }
    }

    pub fn add(&mut self, anomaly: Anomaly) {
        if self.list.len() < self.most && !self.list.contains(&anomaly) {
            self.list.push(anomaly);
        }
    }
}
