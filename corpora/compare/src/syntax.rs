//! Pieces that field values are made of (RFC 9110 section 5.6).

use httpdate::parse_http_date;
use std::time::UNIX_EPOCH;

/// Splits at `separator` outside quoted strings and outside `brackets`, such as `<...>` in links and `(...)` around
/// comments; trims; leaves out empty pieces.
pub(crate) fn split(value: &[u8], separator: u8, brackets: Option<(u8, u8)>) -> Vec<&[u8]> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    value
        .split(move |&b| {
            if escaped {
                escaped = false;
            } else if quoted && b == b'\\' {
                escaped = true;
            } else if b == b'"' && depth == 0 {
                quoted = !quoted;
            } else if let Some((open, close)) = brackets.filter(|_| !quoted) {
                if b == open {
                    depth += 1;
                } else if b == close {
                    depth = depth.saturating_sub(1);
                }
            }
            b == separator && !quoted && depth == 0
        })
        .map(<[u8]>::trim_ascii)
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// A quoted string's content; a token as it is.
pub(crate) fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut escaped = false;
    let content = inner.iter().filter(|&&b| {
        escaped = b == b'\\' && !escaped;
        !escaped
    });
    content.copied().collect()
}

/// `name=value` with the name in lower case and the value unquoted; no value where there is no `=`.
pub(crate) fn parameter(piece: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    match piece.iter().position(|&b| b == b'=') {
        Some(at) => {
            let name = piece[..at].trim_ascii().to_ascii_lowercase();
            (name, Some(unquote(piece[at + 1..].trim_ascii())))
        }
        None => (piece.to_ascii_lowercase(), None),
    }
}

/// Seconds since the epoch of a date in any of the three forms of RFC 9110 section 5.6.7.
pub(crate) fn date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let time = parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// As [`date`], and as cookies write it: `Wed, 21-Oct-2026 07:28:00 GMT` (RFC 6265 section 5.1.1).
pub(crate) fn cookie_date(value: &[u8]) -> Option<i64> {
    date(value).or_else(|| {
        let spaced: Vec<u8> = value.iter().map(|&b| if b == b'-' { b' ' } else { b }).collect();
        date(&spaced)
    })
}

/// A non-negative whole number of digits only; what does not fit is the largest number (RFC 9111 section 1.2.2).
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0_u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        assert_eq!(split(b"a, \"b,\\\",c\" ,,d", b',', None), [&b"a"[..], b"\"b,\\\",c\"", b"d"]);
        assert_eq!(split(b"<a,b>; x=1, <c>", b',', Some((b'<', b'>'))), [&b"<a,b>; x=1"[..], b"<c>"]);
        assert_eq!(unquote(br#""a\"b\\""#), br#"a"b\"#);
        assert_eq!(unquote(b"a"), b"a");
        assert_eq!(parameter(b"CharSet = \"UTF-8\""), (b"charset".to_vec(), Some(b"UTF-8".to_vec())));
    }

    #[test]
    fn one_date_in_all_its_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06-Nov-1994 08:49:37 GMT",
        ] {
            assert_eq!(cookie_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(date(b"0"), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"007"), Some(7));
        assert_eq!(number(b"99999999999999999999999"), Some(u64::MAX));
        for wrong in ["", "-1", "+1", "1.0", " 1", "1, 1"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
