//! Where a message ends (RFC 9112 section 6.3).

use crate::anomaly::Noted;
use crate::{Anomaly, Asked, ErrorKind, StartLine};
use bytes::Bytes;
use exchange::{Fields, Version};

/// How the end of a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body.
    None,
    /// Content-Length, this many bytes.
    Length(u64),
    /// The chunked transfer coding is the last one.
    Chunked,
    /// The body of a response ends with the connection.
    UntilClose,
    /// No HTTP after this head: a 101 response or a 2xx answer to CONNECT.
    Tunnel,
    /// The fields contradict each other: nobody can tell. An [`crate::Error`] follows.
    Undefined,
}

/// Decides by the numbered list of RFC 9112 section 6.3; `asked` is the request a response answers.
pub(crate) fn decide(
    start_line: &StartLine,
    version: Version,
    fields: &Fields,
    asked: Asked,
    noted: &mut Noted,
) -> Result<Framing, ErrorKind> {
    if version == Version::Http09 {
        return Ok(Framing::None);
    }
    let framing_fields = |name: &str| fields.contains(name);
    if let StartLine::Response { status, .. } = *start_line {
        let tunnel = status == 101 || asked.connect && (200..300).contains(&status);
        if (tunnel || status < 200 || status == 204)
            && (framing_fields("transfer-encoding") || framing_fields("content-length"))
        {
            noted.add(Anomaly::FramingNotAllowed);
        }
        if tunnel {
            return Ok(Framing::Tunnel);
        }
        if asked.head || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::None);
        }
    }
    let is_request = matches!(start_line, StartLine::Request { .. });
    if framing_fields("transfer-encoding") {
        return transfer_encoding(is_request, version, fields, noted);
    }
    Ok(match content_length(fields, noted)? {
        Some(length) => Framing::Length(length),
        None if is_request => Framing::None,
        None => Framing::UntilClose,
    })
}

fn transfer_encoding(
    is_request: bool,
    version: Version,
    fields: &Fields,
    noted: &mut Noted,
) -> Result<Framing, ErrorKind> {
    if fields.contains("content-length") {
        noted.add(Anomaly::ContentLengthAndTransferEncoding);
    }
    if version == Version::Http10 {
        noted.add(Anomaly::TransferEncodingInHttp10);
    }
    if fields.get_all("transfer-encoding").nth(1).is_some() {
        noted.add(Anomaly::SeveralTransferEncodings);
    }
    let mut chunked = 0;
    let mut last_is_chunked = false;
    for coding in fields.members("transfer-encoding") {
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        chunked += u32::from(last_is_chunked);
        let known = [&b"chunked"[..], b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
        if !known.iter().any(|k| coding.eq_ignore_ascii_case(k)) {
            noted.add(Anomaly::OddTransferCoding(Bytes::copy_from_slice(coding)));
        }
    }
    if chunked > 1 {
        noted.add(Anomaly::ChunkedTwice);
    }
    match (last_is_chunked, is_request) {
        (true, _) => Ok(Framing::Chunked),
        (false, true) => Err(ErrorKind::RequestNotChunked),
        (false, false) => {
            noted.add(Anomaly::NotChunkedLast);
            Ok(Framing::UntilClose)
        }
    }
}

fn content_length(fields: &Fields, noted: &mut Noted) -> Result<Option<u64>, ErrorKind> {
    let mut found = None;
    for line in fields.get_all("content-length") {
        for member in line.split(|&b| b == b',') {
            let length = decimal(member.trim_ascii()).ok_or(ErrorKind::BadContentLength)?;
            match found.replace(length) {
                Some(before) if before != length => return Err(ErrorKind::DifferingContentLength),
                Some(_) => noted.add(Anomaly::DuplicateContentLength),
                None => {}
            }
        }
    }
    Ok(found)
}

/// A number of decimal digits and nothing else; `None` also where it is over `u64::MAX`.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}
