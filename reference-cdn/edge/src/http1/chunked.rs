//! Decodes the chunked transfer coding (RFC 9112 section 7.1) of a request. No I/O.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::client::content::may_trail;

/// The longest line with a chunk's size and extensions. Nobody needs extensions; they cost us, not the sender.
const SIZE_LINE: usize = 256;
/// Bytes of size lines allowed beyond [`SIZE_LINE`] for each KiB of content: bounds the cost of content sent a byte
/// a chunk with long extensions.
const MOST_OVERHEAD: u64 = 64 * 1024;

/// What the decoder found at the front of its input.
#[derive(Debug, PartialEq)]
pub enum Decoded {
    /// More input is needed.
    Pending,
    Data(Bytes),
    /// The end of the content, with its trailer fields.
    End(HeaderMap),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("malformed chunk size line")]
    Size,
    #[error("a chunk's data does not end where its size says")]
    DataEnd,
    #[error("too many bytes of chunk extensions")]
    Extensions,
    #[error("malformed trailer section")]
    Trailers,
    #[error("trailer section larger than the limit")]
    TrailersTooLarge,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// The decoder's state between two reads.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    overhead: u64,
    content: u64,
    most_trailer_bytes: usize,
}

impl Decoder {
    pub fn new(most_trailer_bytes: usize) -> Self {
        Self { state: State::Size, overhead: 0, content: 0, most_trailer_bytes }
    }

    /// Takes what it can from the front of `input`.
    ///
    /// # Errors
    /// On anything but the strict grammar; the connection is then unusable.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, ChunkError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = line(input, SIZE_LINE).ok_or(ChunkError::Size)? else {
                        return Ok(Decoded::Pending);
                    };
                    let size = size(&input[..line]).ok_or(ChunkError::Size)?;
                    self.overhead += line as u64;
                    if self.overhead > MOST_OVERHEAD + self.content {
                        return Err(ChunkError::Extensions);
                    }
                    input.advance(line + 2);
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Decoded::Pending);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - take as u64;
                    self.content += take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Decoded::Data(input.split_to(take).freeze()));
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&input[..input.len().min(2)]) {
                        return Err(ChunkError::DataEnd);
                    }
                    if input.len() < 2 {
                        return Ok(Decoded::Pending);
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(end) = trailer_end(input, self.most_trailer_bytes)? else {
                        return Ok(Decoded::Pending);
                    };
                    let section = input.split_to(end).freeze();
                    self.state = State::Done;
                    return trailers(&section).map(Decoded::End);
                }
                State::Done => return Ok(Decoded::End(HeaderMap::new())),
            }
        }
    }
}

/// The length of the first line, without its CRLF; `None` outside for a line that is too long or badly ended.
#[expect(clippy::option_option, reason = "outer: is it acceptable so far; inner: is it whole")]
fn line(input: &[u8], most: usize) -> Option<Option<usize>> {
    match memchr::memchr(b'\n', &input[..input.len().min(most)]) {
        Some(0) => None,
        Some(at) => (input[at - 1] == b'\r').then_some(Some(at - 1)),
        None => (input.len() < most).then_some(None),
    }
}

/// `chunk-size [ chunk-ext ]`. Extensions are skipped, but may hold no control characters.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(digits);
    let blank = extensions.trim_ascii_start();
    if digits.is_empty() || digits.len() > 15 || !(extensions.is_empty() || blank.starts_with(b";")) {
        return None;
    }
    if extensions.iter().any(|byte| *byte != b'\t' && (*byte < b' ' || *byte == 0x7f)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where the trailer section ends, its empty line included.
fn trailer_end(input: &[u8], most: usize) -> Result<Option<usize>, ChunkError> {
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', input) {
        if at == 0 || input[at - 1] != b'\r' {
            return Err(ChunkError::Trailers);
        }
        if at > most {
            break;
        }
        if at - 1 == start {
            return Ok(Some(at + 1));
        }
        start = at + 1;
    }
    if input.len() > most { Err(ChunkError::TrailersTooLarge) } else { Ok(None) }
}

fn trailers(section: &Bytes) -> Result<HeaderMap, ChunkError> {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(section, &mut slots) else {
        return Err(ChunkError::Trailers);
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| ChunkError::Trailers)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| ChunkError::Trailers)?;
        if may_trail(&name) {
            trailers.append(name, value);
        }
    }
    Ok(trailers)
}
