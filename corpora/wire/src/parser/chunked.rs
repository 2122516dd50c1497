//! Decoding the chunked transfer coding (RFC 9112 section 7.1).

use crate::anomaly::Noted;
use crate::{Anomaly, ErrorKind, Extension, Limits};
use bytes::Bytes;

/// Where a chunked body stands.
#[derive(Debug)]
pub(crate) enum ChunkState {
    /// In a chunk-size line.
    Size,
    /// In a chunk's data, this much of it to come.
    Data(u64),
    /// After a chunk's data, before the end of its line.
    DataEnd,
    /// In the trailer section.
    Trailers,
}

/// What a chunk-size line says: the size, and the extensions from their semicolon on.
///
/// `line` has its line end. Size and extensions may have whitespace around them (RFC 9112 section 7.1.1).
///
/// # Errors
/// [`ErrorKind::BadChunkSize`]
pub(crate) fn size_line(line: &[u8], noted: &mut Noted) -> Result<(u64, Option<Bytes>), ErrorKind> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or_else(|| {
        noted.add(Anomaly::BareLf);
        line
    });
    let size_end = line.iter().position(|&b| b == b';').unwrap_or(line.len());
    let (size, extensions) = line.split_at(size_end);
    let digits = trim_blanks(size);
    if digits.len() != size.len() {
        noted.add(Anomaly::ChunkWhitespace);
    }
    let size = hexadecimal(digits).ok_or(ErrorKind::BadChunkSize)?;
    if digits.len() > 16 {
        noted.add(Anomaly::LongChunkSize);
    }
    if extensions.is_empty() {
        return Ok((size, None));
    }
    noted.add(Anomaly::ChunkExtension);
    if extensions.contains(&b'\r') {
        noted.add(Anomaly::BareCr);
    }
    Ok((size, Some(Bytes::copy_from_slice(extensions))))
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| {
        let digit = char::from(*d).to_digit(16)?;
        Some(n.checked_mul(16)? + u64::from(digit))
    })
}

/// Keeps chunk extensions up to the limit.
pub(crate) fn keep(extensions: &mut Vec<Extension>, kept: &mut usize, new: Extension, limits: &Limits) {
    // Each one costs its place in the list too.
    let cost = new.raw.len() + std::mem::size_of::<Extension>();
    if *kept + cost <= limits.extensions {
        *kept += cost;
        extensions.push(new);
    }
}

/// Whether RFC 9110 section 6.5.1 forbids this name in a trailer section: framing, routing, request modifiers,
/// authentication, content format.
pub(crate) fn forbidden_in_trailers(name: &[u8]) -> bool {
    const NAMES: [&str; 24] = [
        "transfer-encoding",
        "content-length",
        "host",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "cache-control",
        "expect",
        "max-forwards",
        "pragma",
        "range",
        "authorization",
        "proxy-authorization",
        "set-cookie",
        "cookie",
        "age",
        "expires",
        "date",
        "location",
        "vary",
        "content-encoding",
        "content-type",
        "content-range",
    ];
    NAMES.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name))
}
