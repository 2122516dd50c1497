//! Building the answer to a client (RFC 9111 section 4, RFC 9110 sections 13 to 15).

use std::ops::Range;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::digest::{CONTENT_DIGEST, REPR_DIGEST};
use crate::range::Ranges;
use crate::{Handling, Outcome, Part, Reply, Request, Selection, Stored, Time, range, storing, validation};

/// Fields about a representation that a response without one does not carry (RFC 9110 sections 15.4.5 and 8).
const REPRESENTATION: [HeaderName; 5] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE, CONTENT_DIGEST];

/// The answer from a stored response, without the fields that name this cache.
pub(crate) fn reply(request: &Request<'_>, stored: &Stored, now: Time, handling: &Handling) -> Reply {
    // With room for what is added here and by whoever signs the reply.
    let mut headers = stored.headers.to_map(10);
    let first_hand = matches!(handling.outcome, Outcome::Forward { .. }) && !handling.collapsed;
    if first_hand && let Some(once) = &stored.once {
        once.append_to(&mut headers);
    }
    // Section 5.1: Age says that a cache answered. A response that the origin just sent or confirmed has it
    // only if the origin is a cache.
    if !first_hand || stored.aged {
        headers.insert(AGE, HeaderValue::from(stored.age(now).as_secs()));
    }
    if validation::is_not_modified(request, stored, now) {
        return without_content(StatusCode::NOT_MODIFIED, headers);
    }
    let complete = stored.extent.complete;
    match selected(request, stored, now) {
        Selected::Whole => {
            let length = if stored.extent.partial { stored.extent.length } else { complete };
            if let Some(length) = length.filter(|_| stored.status != StatusCode::NO_CONTENT) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            let silent = *request.method == Method::HEAD || !storing::has_content(stored.status);
            let content = if silent { Selection::None } else { Selection::Whole };
            if silent {
                headers.remove(CONTENT_DIGEST);
            }
            Reply { status: stored.status, headers, content }
        }
        Selected::One(range) => {
            // What the origin said goes to the client it said it to as it is; later answers are this cache's,
            // and true.
            let told = stored.answered.as_ref().filter(|_| first_hand && repeats(request, stored));
            // It is about the content of the message that brought it (RFC 9530 section 2). Repr-Digest stays true.
            if told.is_none() {
                headers.remove(CONTENT_DIGEST);
            }
            let content_range =
                told.map_or_else(|| content_range(&range, complete), |told| told.content_range.clone());
            headers.insert(CONTENT_RANGE, content_range);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            Reply { status: StatusCode::PARTIAL_CONTENT, headers, content: Selection::Range(range) }
        }
        Selected::Several(ranges) => multipart(headers, ranges, complete, stored),
        Selected::Nothing(length) => {
            let mut reply = without_content(StatusCode::RANGE_NOT_SATISFIABLE, headers);
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
                reply.headers.insert(CONTENT_RANGE, value);
            }
            reply
        }
    }
}

enum Selected {
    Whole,
    One(Range<u64>),
    Several(Vec<Range<u64>>),
    Nothing(u64),
}

/// Can the stored response answer the request, as far as ranges go? True for complete responses, and for
/// partial ones that hold all that is asked for.
pub(crate) fn covers(request: &Request<'_>, stored: &Stored, now: Time) -> bool {
    !stored.extent.partial || matches!(selected(request, stored, now), Selected::One(_))
}

fn selected(request: &Request<'_>, stored: &Stored, now: Time) -> Selected {
    // Range is defined for GET only, and for what would otherwise be a 200 (RFC 9110 section 14.2).
    let ok = matches!(stored.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    if *request.method != Method::GET || !ok || !request.headers.contains_key(RANGE) {
        return Selected::Whole;
    }
    if !validation::range_allowed(request.headers, stored, now) {
        return Selected::Whole;
    }
    let extent = stored.extent;
    let held = extent.first..extent.end().unwrap_or(u64::MAX);
    // The request that brought a part gets that part, and so does one that asks in the same words, whatever
    // the origin made of them.
    if repeats(request, stored) {
        return Selected::One(held);
    }
    let Some(specs) = range::parse(request.headers) else { return Selected::Whole };
    let ranges = match extent.complete {
        Some(length) => range::resolve(&specs, length),
        // Without the length of the whole only ranges with both ends have a meaning.
        None => match specs.as_slice() {
            &[range::Spec::From { first, last: Some(last) }] if extent.partial && last < u64::MAX => {
                Ranges::Satisfiable(std::iter::once(first..last + 1).collect())
            }
            _ => Ranges::Ignored,
        },
    };
    match ranges {
        Ranges::Ignored => Selected::Whole,
        Ranges::Unsatisfiable if extent.partial => Selected::Whole,
        Ranges::Unsatisfiable => Selected::Nothing(extent.complete.unwrap_or(0)),
        Ranges::Satisfiable(ranges) => match <[Range<u64>; 1]>::try_from(ranges) {
            Ok([range]) if held.start <= range.start && range.end <= held.end => Selected::One(range),
            Ok(_) => Selected::Whole,
            Err(_) if extent.partial => Selected::Whole,
            Err(ranges) => Selected::Several(ranges),
        },
    }
}

/// Does the request ask in the very words that the stored part answered?
fn repeats(request: &Request<'_>, stored: &Stored) -> bool {
    stored.extent.length.is_some()
        && stored
            .answered
            .as_ref()
            .is_some_and(|answered| request.headers.get(RANGE) == Some(&answered.range))
}

fn content_range(range: &Range<u64>, complete: Option<u64>) -> HeaderValue {
    let text = match complete {
        Some(complete) => format!("bytes {}-{}/{complete}", range.start, range.end - 1),
        None => format!("bytes {}-{}/*", range.start, range.end - 1),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}

/// A multipart/byteranges answer (RFC 9110 section 14.6).
fn multipart(
    mut headers: HeaderMap,
    ranges: Vec<Range<u64>>,
    complete: Option<u64>,
    stored: &Stored,
) -> Reply {
    let boundary = boundary(stored, &ranges);
    let kind = headers.get(CONTENT_TYPE).cloned();
    let mut length = 0;
    let mut parts: Vec<Part> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut head = Vec::with_capacity(128);
        if !parts.is_empty() {
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"--");
        head.extend_from_slice(boundary.as_bytes());
        if let Some(kind) = &kind {
            head.extend_from_slice(b"\r\nContent-Type: ");
            head.extend_from_slice(kind.as_bytes());
        }
        head.extend_from_slice(b"\r\nContent-Range: ");
        head.extend_from_slice(content_range(&range, complete).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        length += head.len() as u64 + (range.end - range.start);
        parts.push(Part { head: Bytes::from(head), range });
    }
    let close = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    length += close.len() as u64;
    if let Ok(value) = HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // RFC 9110 section 15.3.7.2: each part has its own.
    headers.remove(CONTENT_RANGE);
    headers.remove(CONTENT_DIGEST);
    Reply { status: StatusCode::PARTIAL_CONTENT, headers, content: Selection::Multipart { parts, close } }
}

/// A delimiter that the content will not contain by accident: 128 bits from what the response is and what is
/// asked of it.
fn boundary(stored: &Stored, ranges: &[Range<u64>]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        stored.headers.get(&ETAG).hash(&mut hasher);
        (stored.date, stored.response_time, stored.extent.complete, ranges).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

/// 304 or 416: the response's fields without those that describe content it does not have.
fn without_content(status: StatusCode, mut headers: HeaderMap) -> Reply {
    for name in &REPRESENTATION {
        headers.remove(name);
    }
    if status == StatusCode::NOT_MODIFIED {
        // Section 15.4.5: with an ETag, Last-Modified tells the client nothing new.
        if headers.contains_key(ETAG) {
            headers.remove(LAST_MODIFIED);
        }
    } else {
        headers.remove(REPR_DIGEST);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    Reply { status, headers, content: Selection::None }
}
