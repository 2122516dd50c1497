use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{Method, StatusCode};
use proptest::prelude::*;

use super::chunked::{Decoded, Decoder};
use super::encode::{self, Delimiter};
use super::head::{HeadScan, parse};
use crate::client::{Framing, HeadError, HeadLimits, RequestHead};

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, target: 8192, fields: 100 };

fn read(octets: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    let Some(end) = HeadScan::default().find_end(octets, &LIMITS)? else { return Ok(None) };
    parse(Bytes::copy_from_slice(&octets[..end]), &Scheme::HTTP, &LIMITS).map(Some)
}

fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, HeaderMap, usize)> {
    let (mut decoder, mut input, mut content) = (Decoder::new(1024), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input).ok()? {
                Decoded::Pending => break,
                Decoded::Data(data) => content.extend_from_slice(&data),
                Decoded::End(trailers) => return Some((content, trailers, input.len())),
            }
        }
    }
    None
}

/// Pieces of heads that parsers have disagreed about.
fn odd() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "GET",
        "POST",
        " ",
        "\t",
        "/",
        "*",
        "http://a",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\n",
        "\r",
        "\0",
        ":",
        "Host: a",
        "Host",
        "Content-Length: 1",
        "Content-Length",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding",
        "chunked",
        ",",
        "+1",
        "é",
        "\u{b}",
        "X: y",
        "Expect: 100-continue",
        "Connection: close",
        "\r\n\r\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&octets);
        let _ = decode(&[&octets]);
    }

    /// Whatever is accepted has exactly one reading.
    #[test]
    fn what_is_accepted_is_unambiguous(start in prop::sample::select(vec!["GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.0\r\n", ""]), rest in odd()) {
        let text = format!("{start}{rest}");
        if let Ok(Some(head)) = read(text.as_bytes()) {
            let lengths = head.headers.get_all(CONTENT_LENGTH).iter().count();
            let codings = head.headers.get_all(TRANSFER_ENCODING).iter().count();
            prop_assert!(lengths + codings <= 1);
            prop_assert_eq!(head.framing == Framing::None, lengths + codings == 0);
            prop_assert!(head.headers.get_all(HOST).iter().count() <= 1);
            prop_assert!(head.version < http::Version::HTTP_11 || head.target.authority().is_some());
            let accepted = &text[..text.find("\r\n\r\n").expect("an end")];
            prop_assert!(!accepted.replace("\r\n", "").contains(['\r', '\n', '\0']));
        }
    }

    /// The end of a head is found at the same place however it is cut, and never later than it is there.
    #[test]
    fn heads_are_found_however_they_are_cut(cuts in prop::collection::vec(1_usize..40, 1..20)) {
        let text = b"GET /path HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\nGET /next HTTP/1.1\r\n";
        let whole = HeadScan::default().find_end(text, &LIMITS).expect("fine").expect("whole");
        let (mut scan, mut have) = (HeadScan::default(), 0);
        for cut in cuts {
            have = (have + cut).min(text.len());
            match scan.find_end(&text[..have], &LIMITS).expect("fine") {
                Some(end) => { prop_assert_eq!(end, whole); return Ok(()); }
                None => prop_assert!(have < whole),
            }
        }
    }

    #[test]
    fn chunks_read_back_however_they_are_cut(content in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..500), 0..10), cut in 1_usize..50) {
        let mut coded = BytesMut::new();
        for chunk in &content {
            encode::chunk_size(&mut coded, chunk.len());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        trailers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        encode::last_chunk(&mut coded, &trailers);
        coded.extend_from_slice(b"GET");
        let pieces: Vec<&[u8]> = coded.chunks(cut).collect();
        let (read, trailers, _) = decode(&pieces).expect("well-formed");
        prop_assert_eq!(read, content.concat());
        prop_assert_eq!(trailers.len(), 1, "framing has no business in trailers");
        prop_assert_eq!(decode(&[&coded]).expect("well-formed").2, 3, "nothing of the next request is taken");
        // Cut short anywhere, it is not whole.
        let short = coded.len() - 3 - 1;
        prop_assert!(decode(&[&coded[..short]]).is_none());
    }

    /// What is written is what a parser reads, with one framing.
    #[test]
    fn heads_that_are_written_read_back(names in prop::collection::vec("[a-z][a-z0-9-]{0,15}", 0..12), value in "[!-~]([ -~]{0,30}[!-~])?", length in prop::option::of(any::<u32>())) {
        let mut fields = HeaderMap::new();
        for name in &names {
            fields.append(HeaderName::try_from(name).expect("name"), HeaderValue::try_from(&value).expect("value"));
        }
        let hop = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length"];
        let kept = names.iter().filter(|name| !hop.contains(&name.as_str())).count();
        let delimiter = length.map_or(Delimiter::Chunked, |length| Delimiter::Length(length.into()));
        let mut out = BytesMut::new();
        encode::head(&mut out, StatusCode::OK, None, &fields, delimiter, Some("close"));
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut slots);
        prop_assert!(matches!(response.parse(&out), Ok(httparse::Status::Complete(read)) if read == out.len()));
        prop_assert_eq!(response.headers.len(), kept + 2);
    }
}

#[test]
fn targets_are_understood() {
    let check = |line: &str, expected: &str| {
        let head = read(format!("{line} HTTP/1.1\r\nHost: h.example:8080\r\n\r\n").as_bytes());
        let head = head.expect("fine").expect("whole");
        assert_eq!(head.target.to_string(), expected);
        assert_eq!(
            head.headers[HOST].as_bytes(),
            head.target.authority().expect("authority").as_str().as_bytes()
        );
    };
    check("GET /a?b=c", "http://h.example:8080/a?b=c");
    check("GET //a", "http://h.example:8080//a");
    check("GET /a/../b", "http://h.example:8080/a/../b");
    check("GET http://other/x", "http://other/x");
    check("GET http://other", "http://other/");
    check("GET http://other?q", "http://other/?q");
    check("GET http://[::1]:1/", "http://[::1]:1/");
}

#[test]
fn methods_of_any_name_are_tokens() {
    let method = |text: &str| {
        read(format!("{text} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .map(|head| head.expect("whole").method)
    };
    assert_eq!(method("M-SEARCH"), Ok(Method::from_bytes(b"M-SEARCH").expect("token")));
    assert_eq!(method("get"), Ok(Method::from_bytes(b"get").expect("token")));
    assert!(method("GE(T").is_err() && method("").is_err());
}
