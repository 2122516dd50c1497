//! Representations of which only parts were recorded.
//!
//! A cache may fetch the whole of what its client asked a part of. Where the parts that were recorded do not cover the
//! whole, the rest is filled with [`FILLER`]: a client that gets what it was recorded to ask for sees none of it, and
//! an answer that has it differs from the recording.

use super::range;
use super::select::Entry;
use bytes::{Bytes, BytesMut};
use exchange::{Body, Response};

/// Stands for bytes that were not recorded.
const FILLER: &[u8] = b"(not recorded) ";

/// Longest representation that is filled.
const LONGEST: u64 = 256 << 20;

/// How much of a representation is made up whose length nobody knows.
const UNKNOWN: usize = 64;

/// Recorded bytes of a representation: where they start, and how long the whole is.
struct Part<'a> {
    first: u64,
    bytes: Bytes,
    whole: u64,
    entry: &'a Entry,
}

/// A whole representation from recorded parts of one version, if they cover it.
pub(super) fn assemble<'a>(of_version: &[&'a Entry]) -> Option<(&'a Entry, Response)> {
    let parts = parts(of_version);
    let model = parts.first()?;
    // Parts without a strong validator may be of different versions.
    if parts.iter().any(|p| p.entry.response.fields.get("etag").is_none_or(|tag| tag.starts_with(b"W/"))) {
        return None;
    }
    let mut whole = BytesMut::new();
    for part in parts.iter().filter(|p| p.whole == model.whole) {
        let have = whole.len() as u64;
        if part.first > have {
            return None;
        }
        let skip = usize::try_from(have - part.first).ok()?;
        whole.extend_from_slice(part.bytes.get(skip..).unwrap_or_default());
    }
    (whole.len() as u64 == model.whole)
        .then(|| (model.entry, as_whole(&model.entry.response, whole.freeze())))
}

/// A representation of which a part, its length, or only its validators are known, the rest of it made up.
pub(super) fn fill<'a>(of_version: &[&'a Entry]) -> Option<(&'a Entry, Response)> {
    let parts = parts(of_version);
    if let Some(model) = parts.iter().find(|p| p.entry.response.status == 206) {
        let mut whole = filler(model.whole)?;
        for part in parts.iter().filter(|p| p.whole == model.whole) {
            let first = usize::try_from(part.first).ok()?;
            whole.get_mut(first..first + part.bytes.len())?.copy_from_slice(&part.bytes);
        }
        return Some((model.entry, as_whole(&model.entry.response, whole.freeze())));
    }
    of_version.iter().find_map(|entry| {
        let fields = &entry.response.fields;
        if entry.request.method == "HEAD" && entry.is_plain() {
            // What GET gets has the same head, framing included.
            let length = fields.get("content-length").map_or(Some(UNKNOWN as u64), |value| number(value))?;
            let body = Body::complete(filler(length)?.freeze());
            return Some((*entry, Response { body, ..entry.response.clone() }));
        }
        let length = match entry.response.status {
            416 => number(fields.get("content-range")?.strip_prefix(b"bytes */")?)?,
            304 => UNKNOWN as u64,
            _ => return None,
        };
        let mut response = as_whole(&entry.response, filler(length)?.freeze());
        // A 304 may leave out what the request named.
        for (validator, condition) in [("ETag", "if-none-match"), ("Last-Modified", "if-modified-since")] {
            if let Some(value) = entry.request.fields.get(condition)
                && entry.response.status == 304
                && value != "*"
                && !value.contains(&b',') | (validator == "Last-Modified")
                && !["etag", "last-modified"].iter().any(|name| response.fields.contains(name))
            {
                response.fields.push(validator, value.clone());
            }
        }
        Some((*entry, response))
    })
}

/// The recorded parts in the order of their positions: of 206 answers, and of whole ones that were cut short.
fn parts<'a>(of_version: &[&'a Entry]) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for entry in of_version.iter().filter(|e| e.request.method == "GET") {
        let fields = &entry.response.fields;
        let Some(body) = entry.response.body.whole() else { continue };
        let mut add = |first: u64, whole: u64, bytes: Bytes| {
            if first.checked_add(bytes.len() as u64).is_some_and(|end| end <= whole) {
                parts.push(Part { first, bytes, whole, entry });
            }
        };
        match entry.response.status {
            206 => match fields.get("content-range") {
                Some(value) => {
                    if let Some((first, _, whole)) = range::content_range(value) {
                        add(first, whole, body.clone());
                    }
                }
                None => range::multipart_parts(fields.get("content-type"), body)
                    .into_iter()
                    .for_each(|(first, whole, bytes)| add(first, whole, bytes)),
            },
            200 => {
                // One that has what it promised would not be here.
                let whole = fields.get("content-length").and_then(|value| number(value));
                if let Some(whole) = whole.filter(|whole| *whole > body.len() as u64) {
                    add(0, whole, body.clone());
                }
            }
            _ => {}
        }
    }
    parts.sort_by_key(|p| (p.first, std::cmp::Reverse(p.bytes.len()), p.entry.index));
    parts
}

/// The head of a part as that of the whole.
fn as_whole(part: &Response, body: Bytes) -> Response {
    let mut response = part.clone();
    response.status = 200;
    response.reason = wire::write::reason(200).into();
    for name in ["content-range", "transfer-encoding", "trailer"] {
        response.fields.remove(name);
    }
    response.trailers.0.clear();
    response.fields.set("Content-Length", body.len().to_string());
    response.body = Body::complete(body);
    response
}

fn filler(length: u64) -> Option<BytesMut> {
    let length = usize::try_from(length).ok().filter(|_| length <= LONGEST)?;
    let mut bytes = BytesMut::with_capacity(length);
    while bytes.len() < length {
        bytes.extend_from_slice(&FILLER[..FILLER.len().min(length - bytes.len())]);
    }
    Some(bytes)
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}
