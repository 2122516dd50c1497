//! Content codings (RFC 9110 section 8.4.1).

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// The content under `codings`, names in lower case with commas between, in the order they were applied. Nothing
/// where a coding is unknown, the bytes do not keep to it, or more than `max` bytes come out.
pub(crate) fn decode<'b>(codings: &[u8], bytes: &'b [u8], max: usize) -> Option<Cow<'b, [u8]>> {
    let mut content = Cow::Borrowed(bytes);
    for coding in codings.split(|&b| b == b',').rev() {
        content = match coding.trim_ascii() {
            b"" | b"identity" => content,
            b"gzip" | b"x-gzip" => Cow::Owned(read(MultiGzDecoder::new(&content[..]), max)?),
            // Both zlib and, against RFC 9110 section 8.4.1.2, bare deflate are sent under this name.
            b"deflate" => Cow::Owned(
                read(ZlibDecoder::new(&content[..]), max)
                    .or_else(|| read(DeflateDecoder::new(&content[..]), max))?,
            ),
            _ => return None,
        };
    }
    Some(content)
}

fn read(decoder: impl Read, max: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut content).ok()?;
    (content.len() <= max).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, read::GzEncoder, read::ZlibEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        GzEncoder::new(bytes, Compression::best()).read_to_end(&mut coded).unwrap();
        coded
    }

    #[test]
    fn decodes_within_bounds() {
        let coded = gzip(&[b'a'; 1000]);
        assert_eq!(decode(b"gzip", &coded, 1000).as_deref(), Some(&[b'a'; 1000][..]));
        assert_eq!(decode(b"gzip", &coded, 999), None);
        assert_eq!(decode(b"gzip", &coded[..coded.len() - 1], 1000), None);
        assert_eq!(decode(b"br", &coded, 1000), None);
        assert_eq!(decode(b"", b"abc", 0).as_deref(), Some(&b"abc"[..]));
        assert_eq!(decode(b"gzip,x-gzip", &gzip(&coded), 2000).map(|c| c.len()), Some(1000));
        let mut zlib = Vec::new();
        ZlibEncoder::new(&b"abc"[..], Compression::fast()).read_to_end(&mut zlib).unwrap();
        assert_eq!(decode(b"deflate", &zlib, 9).as_deref(), Some(&b"abc"[..]));
        assert_eq!(decode(b"deflate", &zlib[2..zlib.len() - 4], 9).as_deref(), Some(&b"abc"[..]));
    }
}
