//! Messages to send, as wrong as a test needs them.

use bytes::{Bytes, BytesMut};

/// Builds the exact bytes of a message, right or wrong. Nothing is added, repaired or checked.
///
/// ```
/// use wire::Message;
/// let smuggled = Message::request("POST", "/")
///     .field("Host", "a")
///     .line("Content-Length : 4")
///     .field("Transfer-Encoding", "chunked")
///     .chunk("abc")
///     .raw("0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n");
/// assert!(smuggled.bytes().starts_with(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    bytes: BytesMut,
    line_end: &'static [u8],
    in_head: bool,
}

impl Message {
    /// `METHOD TARGET HTTP/1.1`.
    pub fn request(method: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let mut line = method.as_ref().to_vec();
        line.push(b' ');
        line.extend_from_slice(target.as_ref());
        line.extend_from_slice(b" HTTP/1.1");
        Message::start(line)
    }

    /// `HTTP/1.1 STATUS REASON` with the reason RFC 9110 names, or none.
    pub fn response(status: u16) -> Self {
        Message::start(format!("HTTP/1.1 {status:03} {}", crate::write::reason(status)))
    }

    /// Any start line, without its end.
    pub fn start(line: impl AsRef<[u8]>) -> Self {
        let empty = Message { bytes: BytesMut::new(), line_end: b"\r\n", in_head: true };
        empty.line(line)
    }

    /// Lines from here on end with LF alone. Call it first on [`Message::empty`] to reach the start line too.
    #[must_use]
    pub fn bare_lf(mut self) -> Self {
        self.line_end = b"\n";
        self
    }

    /// No bytes; goes on with [`Message::line`] or [`Message::raw`].
    pub fn empty() -> Self {
        Message { bytes: BytesMut::new(), line_end: b"\r\n", in_head: true }
    }

    /// `NAME: VALUE`.
    #[must_use]
    pub fn field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(name.as_ref());
        self.bytes.extend_from_slice(b": ");
        self.line(value)
    }

    /// Any line of the head, without its end: `Name : value`, ` folded`, no colon at all.
    #[must_use]
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(line.as_ref());
        self.bytes.extend_from_slice(self.line_end);
        self
    }

    /// Content-Length, the end of the head, and the body.
    #[must_use]
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len().to_string();
        self.field("Content-Length", length).content(body)
    }

    /// The end of the head, if it has not ended, then these bytes as they are: no field tells of them.
    #[must_use]
    pub fn content(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self = self.end_head();
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// The end of the head, if it has not ended, then a chunk.
    #[must_use]
    pub fn chunk(self, data: impl AsRef<[u8]>) -> Self {
        let size = format!("{:x}", data.as_ref().len());
        self.chunk_as(size, data)
    }

    /// A chunk with any chunk-size line, extensions included: `5;a=b`, `0x5`, `ffffffffffffffff5`.
    #[must_use]
    pub fn chunk_as(mut self, size_line: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self = self.end_head().line(size_line);
        self.bytes.extend_from_slice(data.as_ref());
        self.bytes.extend_from_slice(self.line_end);
        self
    }

    /// The last chunk and an empty trailer section.
    #[must_use]
    pub fn last_chunk(self) -> Self {
        self.end_head().line("0").line("")
    }

    /// The last chunk and these trailer fields.
    #[must_use]
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let start = self.end_head().line("0");
        fields.into_iter().fold(start, |message, (name, value)| message.field(name, value)).line("")
    }

    /// These bytes here, whatever they are; the head does not end by this.
    #[must_use]
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// Cuts off the last `bytes` bytes.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self = self.end_head();
        self.bytes.truncate(self.bytes.len().saturating_sub(bytes));
        self
    }

    /// Ends the head, if it has not ended.
    #[must_use]
    pub fn end_head(mut self) -> Self {
        if std::mem::take(&mut self.in_head) {
            self.bytes.extend_from_slice(self.line_end);
        }
        self
    }

    /// The message; a head that has not ended ends.
    pub fn bytes(self) -> Bytes {
        self.end_head().bytes.freeze()
    }

    /// The message as it stands; a head that has not ended stays open.
    pub fn open_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}

impl From<Message> for Bytes {
    fn from(message: Message) -> Bytes {
        message.bytes()
    }
}
