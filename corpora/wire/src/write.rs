//! Printing `exchange` messages as HTTP/1.1: exactly what they say, nothing added.

use bytes::{BufMut as _, Bytes, BytesMut};
use exchange::{Fields, Request, Response, Version};

/// Start line, field lines and the empty line of a request. HTTP/2 and HTTP/3 requests are printed as HTTP/1.1; an
/// HTTP/0.9 request is its one line.
pub fn request_head(request: &Request) -> Bytes {
    let mut out =
        BytesMut::with_capacity(request.method.len() + request.target.len() + 16 + request.fields.wire_len());
    out.put_slice(&request.method);
    out.put_u8(b' ');
    out.put_slice(&request.target);
    if request.version == Version::Http09 {
        out.put_slice(b"\r\n");
        return out.freeze();
    }
    out.put_u8(b' ');
    out.put_slice(version(request.version));
    out.put_slice(b"\r\n");
    put_fields(&mut out, &request.fields);
    out.freeze()
}

/// Status line, field lines and the empty line of a response; nothing for HTTP/0.9. Its interim responses are not
/// included.
pub fn response_head(response: &Response) -> Bytes {
    if response.version == Version::Http09 {
        return Bytes::new();
    }
    let mut out = BytesMut::with_capacity(response.reason.len() + 16 + response.fields.wire_len());
    out.put_slice(version(response.version));
    out.put_slice(format!(" {:03} ", response.status).as_bytes());
    out.put_slice(&response.reason);
    out.put_slice(b"\r\n");
    put_fields(&mut out, &response.fields);
    out.freeze()
}

/// A whole request: head, then the kept body bytes, in one chunk with the trailers where its fields say chunked.
pub fn request(request: &Request) -> Bytes {
    whole(request_head(request), &request.fields, request.body.bytes.as_ref(), &request.trailers)
}

/// A whole response: interim heads, head, then the kept body bytes, in one chunk with the trailers where its fields
/// say chunked.
pub fn response(response: &Response) -> Bytes {
    let mut head = BytesMut::new();
    for interim in &response.interim {
        head.put_slice(&response_head(interim));
    }
    head.put_slice(&response_head(response));
    whole(head.freeze(), &response.fields, response.body.bytes.as_ref(), &response.trailers)
}

fn whole(head: Bytes, fields: &Fields, body: Option<&Bytes>, trailers: &Fields) -> Bytes {
    let mut out = BytesMut::from(head);
    let body = body.map_or(&b""[..], |b| &b[..]);
    if is_chunked(fields) {
        out.put_slice(&chunk(body));
        out.put_slice(&last_chunk(trailers));
    } else {
        out.put_slice(body);
    }
    out.freeze()
}

/// Whether the last transfer coding is chunked.
pub fn is_chunked(fields: &Fields) -> bool {
    fields.members("transfer-encoding").last().is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"))
}

/// One chunk (RFC 9112 section 7.1); nothing for no bytes, since an empty chunk is the last one.
pub fn chunk(data: &[u8]) -> Bytes {
    if data.is_empty() {
        return Bytes::new();
    }
    let mut out = BytesMut::with_capacity(data.len() + 20);
    out.put_slice(chunk_line(data.len() as u64).as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
    out.freeze()
}

/// The chunk-size line of a chunk of this many bytes, for those who send the data apart; CRLF follows the data.
pub fn chunk_line(length: u64) -> String {
    format!("{length:x}\r\n")
}

/// The last chunk and the trailer section.
pub fn last_chunk(trailers: &Fields) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + trailers.wire_len());
    out.put_slice(b"0\r\n");
    put_fields(&mut out, trailers);
    out.freeze()
}

fn put_fields(out: &mut BytesMut, fields: &Fields) {
    for field in fields {
        out.put_slice(&field.name);
        out.put_slice(b": ");
        out.put_slice(&field.value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

fn version(version: Version) -> &'static [u8] {
    if version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" }
}

/// The reason phrase that RFC 9110 section 15 and the IANA registry name; empty for others.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "",
    }
}

/// A response as sent to a request with this method: no body to HEAD, nor with 1xx, 204 and 304.
pub fn response_to(method: &[u8], response: &Response) -> Bytes {
    let mut out = BytesMut::new();
    for interim in &response.interim {
        out.put_slice(&response_head(interim));
    }
    let head = response_head(response);
    if has_body(method, response.status) {
        out.put_slice(&whole(head, &response.fields, response.body.bytes.as_ref(), &response.trailers));
    } else {
        out.put_slice(&head);
    }
    out.freeze()
}

/// Whether the client of this response can tell its end, and is not told of a close: where not, its sender has to
/// close the connection after it.
pub fn ends_by_itself(response: &Response, method: &[u8]) -> bool {
    let closes = response.fields.members("connection").any(|m| m.eq_ignore_ascii_case(b"close"))
        || response.version < Version::Http11 && !response.fields.contains("connection");
    let framed = !has_body(method, response.status)
        || is_chunked(&response.fields)
        || response.fields.contains("content-length");
    framed && !closes
}

fn has_body(method: &[u8], status: u16) -> bool {
    method != b"HEAD" && !matches!(status, 100..=199 | 204 | 304)
}
