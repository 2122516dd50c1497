//! Range requests (RFC 9110 section 14).

use bytes::{BufMut as _, Bytes, BytesMut};
use exchange::{Body, Response};

/// More ranges than this are ignored, as section 14.2 allows: nobody needs them, and answers could grow without end.
const MAX_RANGES: usize = 32;

/// What a `Range` field asks of a representation of some length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Give the whole: no byte ranges, a syntax error, or too much at once.
    Whole,
    /// First and last positions, within the representation.
    Parts(Vec<(u64, u64)>),
    /// None of it lies within the representation.
    Unsatisfiable,
}

/// Reads a `Range` value for a representation of `length` bytes.
pub(super) fn parse(value: &[u8], length: u64) -> Asked {
    let Ok(text) = std::str::from_utf8(value) else { return Asked::Whole };
    let Some((unit, set)) = text.split_once('=') else { return Asked::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(|s| s.trim_matches([' ', '\t'])).filter(|s| !s.is_empty()) {
        count += 1;
        let Some((first, last)) = spec.split_once('-') else { return Asked::Whole };
        let part = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.min(length.saturating_sub(1))),
            (Some(first), None) if last.is_empty() => (first, length.saturating_sub(1)),
            // The last bytes; "-0" asks for none.
            (None, Some(suffix)) if first.is_empty() => {
                if suffix == 0 {
                    continue;
                }
                (length.saturating_sub(suffix), length.saturating_sub(1))
            }
            _ => return Asked::Whole,
        };
        if part.0 < length {
            parts.push(part);
        }
    }
    let total: u64 = parts.iter().map(|(first, last)| last - first + 1).fold(0, u64::saturating_add);
    match parts.len() {
        _ if count == 0 => Asked::Whole,
        0 => Asked::Unsatisfiable,
        many if many > MAX_RANGES || (many > 1 && total > length) => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

/// Digits only; saturates.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.bytes().fold(0_u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0'))))
}

/// Turns a 200 response into what the `Range` value asks for.
pub(super) fn apply(response: &mut Response, value: &[u8]) {
    let Some(whole) = response.body.whole().cloned() else { return };
    let length = whole.len() as u64;
    match parse(value, length) {
        Asked::Whole => return,
        Asked::Unsatisfiable => {
            response.status = 416;
            response.fields.set("Content-Range", format!("bytes */{length}"));
            response.fields.remove("content-encoding");
            response.body = Body::empty();
        }
        Asked::Parts(parts) => {
            response.status = 206;
            if let [(first, last)] = parts[..] {
                response.fields.set("Content-Range", format!("bytes {first}-{last}/{length}"));
                response.body = Body::complete(slice(&whole, first, last));
            } else {
                multipart(response, &whole, &parts);
            }
        }
    }
    response.reason = Bytes::from_static(wire::write::reason(response.status).as_bytes());
    for name in ["transfer-encoding", "trailer"] {
        response.fields.remove(name);
    }
    response.trailers.0.clear();
    response.fields.set("Content-Length", response.body.length.to_string());
}

fn multipart(response: &mut Response, whole: &Bytes, parts: &[(u64, u64)]) {
    // The same for the same content, so that two builds get the same bytes.
    let digest = response.body.sha256.to_string();
    let boundary = digest.get(..24).unwrap_or(&digest);
    let content_type = response.fields.get("content-type").cloned();
    let mut body = BytesMut::new();
    for (first, last) in parts {
        body.put_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        if let Some(content_type) = &content_type {
            body.put_slice(b"Content-Type: ");
            body.put_slice(content_type);
            body.put_slice(b"\r\n");
        }
        body.put_slice(format!("Content-Range: bytes {first}-{last}/{}\r\n\r\n", whole.len()).as_bytes());
        body.put_slice(&slice(whole, *first, *last));
    }
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    response.fields.set("Content-Type", format!("multipart/byteranges; boundary={boundary}"));
    response.body = Body::complete(body.freeze());
}

fn slice(whole: &Bytes, first: u64, last: u64) -> Bytes {
    // Both lie within `whole`, by `parse`.
    let at = |position: u64| usize::try_from(position).unwrap_or(whole.len()).min(whole.len());
    whole.slice(at(first)..at(last + 1))
}

/// The `first-last/length` of a `Content-Range` field.
pub(super) fn content_range(value: &[u8]) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(value).ok()?;
    let (positions, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = positions.split_once('-')?;
    let (first, last, length) = (number(first)?, number(last)?, number(length)?);
    (first <= last && last < length).then_some((first, last, length))
}

/// The parts of a `multipart/byteranges` body (RFC 9110 section 14.6): where each starts, how long the whole is, and
/// its bytes. What cannot be understood is left out.
pub(super) fn multipart_parts(content_type: Option<&Bytes>, body: &Bytes) -> Vec<(u64, u64, Bytes)> {
    let boundary = content_type.and_then(|value| {
        let text = std::str::from_utf8(value).ok()?;
        let mut parameters = text.split(';').map(str::trim);
        parameters.next().filter(|t| t.eq_ignore_ascii_case("multipart/byteranges"))?;
        let boundary = parameters.find_map(|p| p.strip_prefix("boundary="))?;
        Some(format!("--{}", boundary.trim_matches('"')))
    });
    let Some(boundary) = boundary.filter(|b| b.len() > 2) else { return Vec::new() };
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(next) = find(&body[at..], boundary.as_bytes()) {
        at += next + boundary.len();
        let Some(head) = find(&body[at..], b"\r\n\r\n") else { break };
        let lines = body[at..at + head].split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        let range = lines.filter_map(|line| line.split_at_checked(14)).find_map(|(name, value)| {
            name.eq_ignore_ascii_case(b"content-range:").then(|| content_range(value.trim_ascii()))?
        });
        let content = at + head + 4;
        if let Some((first, last, whole)) = range
            && let Some(end) = usize::try_from(last - first + 1).ok().and_then(|n| content.checked_add(n))
            && end <= body.len()
        {
            parts.push((first, whole, body.slice(content..end)));
            at = end;
        }
    }
    parts
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::Fields;

    #[test]
    fn sets_of_ranges() {
        let parts = |list: &[(u64, u64)]| Asked::Parts(list.to_vec());
        for (value, expected) in [
            ("bytes=0-0", parts(&[(0, 0)])),
            ("bytes=2-", parts(&[(2, 9)])),
            ("bytes=-3", parts(&[(7, 9)])),
            ("bytes=-30", parts(&[(0, 9)])),
            ("Bytes=0-99999999999999999999999", parts(&[(0, 9)])),
            ("bytes=0-1, 4-5 ,,", parts(&[(0, 1), (4, 5)])),
            ("bytes=0-1,20-30", parts(&[(0, 1)])),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-4", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("items=0-1", Asked::Whole),
            ("bytes=0-9,0-9,0-9", Asked::Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 10), expected, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Asked::Unsatisfiable);
    }

    #[test]
    fn several_parts_become_multipart() {
        let fields: Fields = [("Content-Type", "text/plain"), ("Content-Length", "10"), ("ETag", "\"a\"")]
            .into_iter()
            .collect();
        let mut response = Response::new(200, fields, Body::complete("0123456789"));
        apply(&mut response, b"bytes=0-1,-1");
        let boundary = "84d89877f0d4041efb6bf91a";
        assert_eq!(response.status, 206);
        assert_eq!(
            response.fields.get_str("content-type"),
            Some(&*format!("multipart/byteranges; boundary={boundary}"))
        );
        let part = |range: &str, text: &str| {
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n{text}"
            )
        };
        let body = format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("9-9", "9"));
        assert_eq!(
            response.body.whole().map(|b| exchange::escape(b)),
            Some(exchange::escape(body.as_bytes()))
        );
    }

    proptest::proptest! {
        #[test]
        fn multipart_garbage_never_panics(body in "(--x|\r\n|\r\n\r\n|Content-Range: bytes 0-3/9|a){0,12}") {
            let content_type = Bytes::from_static(b"multipart/byteranges; boundary=x");
            multipart_parts(Some(&content_type), &Bytes::from(body.into_bytes()));
        }

        #[test]
        fn parts_lie_within(value in "bytes=[0-9, -]{0,20}", length in 0_u64..30) {
            if let Asked::Parts(parts) = parse(value.as_bytes(), length) {
                proptest::prop_assert!(parts.iter().all(|(first, last)| first <= last && *last < length));
            }
        }
    }
}
