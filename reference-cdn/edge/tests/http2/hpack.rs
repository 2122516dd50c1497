//! As much of HPACK (RFC 7541) as a client needs that writes literals only and announces a dynamic table of no octets.

/// Appendix A, from index 1.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Appendix B for what responses here are made of: symbols by the length of their code. The code is canonical, so that this
/// tells the codes as well; left out is what has longer codes.
const CODES: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// A header block of literals that are not indexed.
pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            integer(&mut block, 0, 7, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer whose first `bits` bits stand beside the bits of `first` (section 5.1).
pub fn integer(block: &mut Vec<u8>, first: u8, bits: u32, mut value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return block.push(first | value as u8);
    }
    block.push(first | most as u8);
    value -= most;
    while value >= 128 {
        block.push((value % 128) as u8 | 0x80);
        value /= 128;
    }
    block.push(value as u8);
}

/// The fields of a block.
pub fn decode(block: &[u8]) -> Vec<(String, String)> {
    let (mut rest, mut fields) = (block, Vec::new());
    while let Some(&first) = rest.first() {
        let entry = |index: usize| STATIC[index - 1];
        if first & 0x80 != 0 {
            let (name, value) = entry(take_integer(&mut rest, 7));
            fields.push((name.to_owned(), value.to_owned()));
        } else if first & 0xe0 == 0x20 {
            assert_eq!(take_integer(&mut rest, 5), 0, "a dynamic table that was not allowed");
        } else {
            let index = take_integer(&mut rest, if first & 0xc0 == 0x40 { 6 } else { 4 });
            let name = if index == 0 { take_text(&mut rest) } else { entry(index).0.to_owned() };
            let value = take_text(&mut rest);
            fields.push((name, value));
        }
    }
    fields
}

fn take(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().expect("a whole block");
    *rest = after;
    *first
}

fn take_integer(rest: &mut &[u8], bits: u32) -> usize {
    let most = (1 << bits) - 1;
    let mut value = usize::from(take(rest)) & most;
    let mut shift = 0;
    while value >= most {
        let octet = take(rest);
        value += usize::from(octet & 0x7f) << shift;
        shift += 7;
        if octet & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take_text(rest: &mut &[u8]) -> String {
    let coded = rest[0] & 0x80 != 0;
    let length = take_integer(rest, 7);
    let (text, after) = rest.split_at(length);
    *rest = after;
    let text = if coded { decode_huffman(text) } else { text.to_vec() };
    String::from_utf8(text).expect("text")
}

fn decode_huffman(octets: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let (mut code, mut length) = (0_u32, 0);
    for bit in octets.iter().flat_map(|octet| (0..8).rev().map(move |at| octet >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some(symbol) = symbol(code, length) {
            text.push(symbol);
            (code, length) = (0, 0);
        }
    }
    assert!(length < 8 && code == (1 << length) - 1, "padding of ones, or a symbol that is left out");
    text
}

fn symbol(code: u32, length: u32) -> Option<u8> {
    let (mut first, mut before) = (0, 0);
    for (bits, symbols) in CODES {
        first <<= bits - before;
        before = bits;
        if bits == length {
            return symbols.get(code.checked_sub(first)? as usize).copied();
        }
        first += symbols.len() as u32;
    }
    None
}
