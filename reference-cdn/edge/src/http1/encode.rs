//! Writes response heads (RFC 9112 section 4). No I/O.

use bytes::{BufMut, BytesMut};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName};

/// How the content of a response is delimited towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// No content follows, whatever Content-Length says: answers to HEAD, 1xx, 204, 304.
    Nothing,
    Length(u64),
    Chunked,
    /// By the end of the connection: length unknown and the client speaks HTTP/1.0.
    Close,
}

/// Appends a head. Fields about the connection are the connection's own: those in `fields` are not written.
pub fn head(
    out: &mut BytesMut,
    status: StatusCode,
    reason: Option<&[u8]>,
    fields: &HeaderMap,
    delimiter: Delimiter,
    connection: Option<&'static str>,
) {
    status_line(out, status, reason);
    for (name, value) in fields {
        // A length is repeated only where it describes content that is not sent.
        let skip = match *name {
            header::CONTENT_LENGTH => delimiter != Delimiter::Nothing || status == StatusCode::NO_CONTENT,
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => true,
            _ => is_connection_field(name),
        };
        if !skip {
            field(out, name, value.as_bytes());
        }
    }
    match delimiter {
        Delimiter::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Delimiter::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Delimiter::Nothing | Delimiter::Close => {}
    }
    if let Some(option) = connection {
        out.extend_from_slice(b"Connection: ");
        out.extend_from_slice(option.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim response.
pub fn interim(out: &mut BytesMut, status: StatusCode, fields: &HeaderMap) {
    status_line(out, status, None);
    for (name, value) in fields {
        let framing = matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING);
        if !framing && !is_connection_field(name) {
            field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and its trailer section.
pub fn last_chunk(out: &mut BytesMut, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if crate::client::content::may_trail(name) {
            field(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before a chunk.
pub fn chunk_size(out: &mut BytesMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[(size >> (digit * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut BytesMut, status: StatusCode, reason: Option<&[u8]>) {
    if status == StatusCode::OK && reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// A field line, its name with the capitals that people and old clients are used to: names arrive in lower case from
/// the origin side's parser, and their case means nothing (RFC 9110 section 5.1).
fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    match name {
        b"etag" => out.extend_from_slice(b"ETag"),
        b"www-authenticate" => out.extend_from_slice(b"WWW-Authenticate"),
        b"te" => out.extend_from_slice(b"TE"),
        b"cdn-cache-control" => out.extend_from_slice(b"CDN-Cache-Control"),
        _ => {
            let start = out.len();
            out.extend_from_slice(name);
            let mut upper = true;
            for byte in &mut out[start..] {
                if upper {
                    byte.make_ascii_uppercase();
                }
                upper = *byte == b'-';
            }
        }
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn is_connection_field(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    )
}

fn decimal(out: &mut BytesMut, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
