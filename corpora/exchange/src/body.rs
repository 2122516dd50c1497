//! A message body by reference: how long, which bytes, how it ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::fmt;

/// How a body, and with it its message, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All of it, by its framing (RFC 9112 section 6.3).
    #[default]
    Complete,
    /// The sender closed, or the capture stopped, before the end that the framing promised.
    Truncated,
    /// The connection was reset (TCP RST) or the stream was.
    Reset,
}

/// A body after transfer decoding (no chunk framing) and before content decoding (a gzip body stays gzip).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Body {
    /// Bytes of the body that were seen.
    pub length: u64,
    /// SHA-256 of those bytes.
    pub sha256: Sha256,
    /// The bytes, where they were kept. Shorter than `length` means only the first were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    pub ending: Ending,
}

impl Body {
    /// A whole body with its bytes kept.
    pub fn complete(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Body {
            length: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
            bytes: Some(bytes),
            ending: Ending::Complete,
        }
    }

    /// No bytes, and none promised.
    pub fn empty() -> Self {
        Body::complete(Bytes::new())
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All bytes, where all were kept.
    pub fn whole(&self) -> Option<&Bytes> {
        self.bytes.as_ref().filter(|b| b.len() as u64 == self.length)
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes, {}, {:?})", self.length, self.sha256, self.ending)
    }
}

/// A SHA-256 digest (FIPS 180-4); printed as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    pub fn of(bytes: &[u8]) -> Self {
        Sha256(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Sha256 {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a SHA-256 digest is 64 hex digits";
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(WRONG);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).ok_or(WRONG);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| WRONG)?;
        }
        Ok(Sha256(digest))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            let bytes = Bytes::deserialize(deserializer)?;
            <[u8; 32]>::try_from(&bytes[..])
                .map(Sha256)
                .map_err(|_| D::Error::custom("a SHA-256 digest is 32 bytes"))
        }
    }
}

/// Makes a [`Body`] from bytes as they stream by, keeping at most a given number of them.
pub struct BodyHasher {
    length: u64,
    hasher: sha2::Sha256,
    kept: Vec<u8>,
    keep: usize,
}

impl BodyHasher {
    /// `keep`: how many of the first bytes to keep.
    pub fn new(keep: usize) -> Self {
        BodyHasher { length: 0, hasher: sha2::Sha256::new(), kept: Vec::new(), keep }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
        let room = self.keep - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Bytes seen so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn finish(self, ending: Ending) -> Body {
        let bytes = (self.keep > 0 || self.length == 0).then(|| Bytes::from(self.kept));
        Body { length: self.length, sha256: Sha256(self.hasher.finalize().into()), bytes, ending }
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyHasher({} bytes, {} kept)", self.length, self.kept.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_as_it_streams() {
        let mut hasher = BodyHasher::new(2);
        hasher.update(b"a");
        hasher.update(b"bc");
        let body = hasher.finish(Ending::Truncated);
        assert_eq!(body.sha256.to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(body.sha256));
        assert_eq!((body.length, body.bytes.as_deref()), (3, Some(&b"ab"[..])));
        assert_eq!(body.whole(), None);
        assert_eq!(BodyHasher::new(0).finish(Ending::Complete), Body::empty());
    }

    #[test]
    fn digests_that_are_none() {
        for text in ["", "00", &"0".repeat(63), &"é".repeat(32), &"g".repeat(64)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }
}
