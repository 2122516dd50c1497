//! multipart/byteranges (RFC 9110 section 14.6, RFC 2046 section 5.1).

use crate::body::boundary;
use exchange::Fields;

/// Most parts that are told apart; more are compared as bytes.
const MOST: usize = 1000;

/// One part: its fields and bytes.
pub(crate) struct Part<'b> {
    pub fields: Fields,
    pub bytes: &'b [u8],
}

/// All parts in order.
pub(crate) struct Parts<'b>(pub Vec<Part<'b>>);

impl<'b> Parts<'b> {
    /// Nothing where the type is another one, or the body does not keep to its form.
    pub fn parse(content_type: &[u8], body: &'b [u8]) -> Option<Self> {
        let delimiter = [b"--", &boundary(content_type)?[..]].concat();
        let mut rest = &body[find(body, &delimiter)? + delimiter.len()..];
        let delimiter = [b"\r\n", &delimiter[..]].concat();
        let mut parts = Vec::new();
        while !rest.starts_with(b"--") {
            let part = &rest[find(rest, b"\r\n")? + 2..];
            let end = find(part, &delimiter)?;
            parts.push(Part::parse(&part[..end])?);
            if parts.len() > MOST {
                return None;
            }
            rest = &part[end + delimiter.len()..];
        }
        Some(Parts(parts))
    }
}

impl<'b> Part<'b> {
    fn parse(part: &'b [u8]) -> Option<Self> {
        let (head, bytes) = match part.strip_prefix(b"\r\n") {
            Some(bytes) => (&part[..0], bytes),
            None => {
                let at = find(part, b"\r\n\r\n")?;
                (&part[..at], &part[at + 4..])
            }
        };
        let mut fields = Fields::new();
        for line in head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()) {
            let colon = line.iter().position(|&b| b == b':')?;
            fields.push(line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec());
        }
        Some(Part { fields, bytes })
    }
}

/// Where `needle` first begins.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let body = b"preamble\r\n--B x\r\nContent-Range: bytes 0-1/9\r\nA:b\r\n\r\nab\r\n--B\r\n\r\n\r\n--\r\n--B--\r\n";
        let parts = Parts::parse(b"Multipart/ByteRanges; boundary=\"B\"", body).unwrap();
        let bytes: Vec<_> = parts.0.iter().map(|p| p.bytes).collect();
        assert_eq!(bytes, [&b"ab"[..], b"\r\n--"]);
        assert_eq!(parts.0[0].fields.get_str("content-range"), Some("bytes 0-1/9"));
        for broken in ["", "--B", "--B\r\n", "--B\r\nx\r\n--B--", "--B\r\n\r\nab"] {
            assert!(
                Parts::parse(b"multipart/byteranges; boundary=B", broken.as_bytes()).is_none(),
                "{broken}"
            );
        }
        assert!(Parts::parse(b"multipart/mixed; boundary=B", body).is_none());
    }
}
