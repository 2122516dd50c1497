//! Finding the start of a message in the middle of a stream.
//!
//! What is found depends on the bytes alone, not on how they were cut. A body that holds something just like a
//! start line can mislead; so can a start line nobody has ever sent hide one.

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A start line begins here.
    At(usize),
    /// None begins before here; more bytes may tell.
    NotBefore(usize),
}

/// The longest request line looked for.
const LONGEST_LINE: usize = 16 << 10;

const METHODS: [&[u8]; 16] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"PURGE",
    b"BAN",
    b"PROPFIND",
    b"REPORT",
    b"MKCOL",
    b"LOCK",
    b"UNLOCK",
];

/// Looks for `HTTP/1.x ddd` followed by a space or line end, anywhere.
pub(crate) fn response(bytes: &[u8]) -> Found {
    const LENGTH: usize = b"HTTP/1.1 200 ".len();
    let mut at = 0;
    while at + LENGTH <= bytes.len() {
        let Some(next) = bytes[at..].iter().position(|&b| b == b'H') else {
            return Found::NotBefore(bytes.len());
        };
        at += next;
        match bytes.get(at..at + LENGTH) {
            Some(window) if is_status_line(window) => return Found::At(at),
            Some(_) => at += 1,
            None => break,
        }
    }
    Found::NotBefore(at)
}

fn is_status_line(window: &[u8]) -> bool {
    window.starts_with(b"HTTP/1.")
        && window[7].is_ascii_digit()
        && window[8] == b' '
        && window[9..12].iter().all(u8::is_ascii_digit)
        && matches!(window[12], b' ' | b'\r' | b'\n')
}

/// Looks for a line that ends with a known method, a target and `HTTP/1.x`.
pub(crate) fn request(bytes: &[u8]) -> Found {
    let mut start = 0;
    while let Some(length) = bytes[start..].iter().position(|&b| b == b'\n') {
        if let Some(at) = request_line(&bytes[start..start + length]) {
            return Found::At(start + at);
        }
        start += length + 1;
    }
    Found::NotBefore(start.max(bytes.len().saturating_sub(LONGEST_LINE)))
}

/// Where in this line, its LF left out, a request line begins.
fn request_line(line: &[u8]) -> Option<usize> {
    // What lies further back than the longest line must not count, whether or not it is still here.
    let from = (line.len() + 1).saturating_sub(LONGEST_LINE);
    let tail = &line[from..];
    let tail = tail.strip_suffix(b"\r").unwrap_or(tail);
    let before_version = tail.strip_suffix(b" HTTP/1.1").or_else(|| tail.strip_suffix(b" HTTP/1.0"))?;
    let target = before_version.iter().rposition(|&b| b == b' ')?;
    let method = METHODS.iter().filter(|m| before_version[..target].ends_with(m)).map(|m| m.len()).max()?;
    let printable = before_version[target + 1..].iter().all(u8::is_ascii_graphic);
    (target + 1 < before_version.len() && printable).then_some(from + target - method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_starts_wherever_they_are() {
        for (bytes, expected) in [
            (&b"\x00\x01pngHTTP/1.1 200 OK"[..], Found::At(5)),
            (b"HHTTP/1.1 204\r\n", Found::At(1)),
            (b"HTTP/1.1 20 OK and more", Found::NotBefore(23)),
            (b"....HTTP/1.1 20", Found::NotBefore(4)),
        ] {
            assert_eq!(response(bytes), expected, "{}", bytes.escape_ascii());
        }
        for (bytes, expected) in [
            (&b"a=b\r\nx GET / HTTP/1.1\r\nHost: a"[..], Found::At(7)),
            (b"bodyPOST /a HTTP/1.0\n", Found::At(4)),
            (b"see /a HTTP/1.1\r\n", Found::NotBefore(17)),
            (b"GET / HTTP/1.1", Found::NotBefore(0)),
        ] {
            assert_eq!(request(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
