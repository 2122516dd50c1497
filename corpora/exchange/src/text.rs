//! Bytes as text a person can read, without loss.

use std::fmt::Write as _;

/// Bytes as printable text: valid UTF-8 stays, except control characters and the backslash, which are written as
/// `\xNN`, as are bytes that are no UTF-8. [`unescape`] gives the same bytes back.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() {
                let mut utf8 = [0; 4];
                escape_bytes(&mut text, c.encode_utf8(&mut utf8).as_bytes());
            } else {
                text.push(c);
            }
        }
        escape_bytes(&mut text, chunk.invalid());
    }
    text
}

fn escape_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}

/// The bytes that [`escape`] made this text from.
///
/// # Errors
/// The byte offset of a backslash that `xNN` does not follow.
pub fn unescape(text: &str) -> Result<Vec<u8>, usize> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digits = tail.strip_prefix(b"x").and_then(|t| t.get(..2));
        match digits.and_then(|d| Some(hex(d[0])? << 4 | hex(d[1])?)) {
            Some(byte) => bytes.push(byte),
            None => return Err(text.len() - rest.len()),
        }
        rest = &tail[3..];
    }
    Ok(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Serde for byte strings: escaped text where a person reads, bytes elsewhere.
pub(crate) mod bytes_as_text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&super::escape(bytes))
        } else {
            bytes.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        if !deserializer.is_human_readable() {
            return Bytes::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        super::unescape(&text)
            .map(Bytes::from)
            .map_err(|at| D::Error::custom(format!("a backslash at byte {at} is not followed by xNN")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_text_readable() {
        assert_eq!(escape(b"caf\xc3\xa9 \\ \r\n\xff"), "café \\x5c \\x0d\\x0a\\xff");
        assert_eq!(unescape("a\\x4"), Err(1));
        assert_eq!(unescape("a\\q41"), Err(1));
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), Ok(bytes));
        }
        #[test]
        fn unescape_never_panics(text: String) {
            let _ = unescape(&text);
        }
    }
}
