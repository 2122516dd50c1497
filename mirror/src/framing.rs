//! Where HTTP/1.1 messages begin and end (RFC 9112 section 6), found on the relay's own buffers: nothing is copied
//! but a head that came in pieces, and nothing is allocated for one that came whole.
//!
//! This is not a parser of messages: it looks at the start line and at the few fields that decide about framing,
//! forgives everything else, and costs the relay a microsecond a message. The copies are parsed by `wire`,
//! away from the relay.

/// Longest head that is looked into, in bytes.
const MAX_HEAD: usize = 256 << 10;

/// Longest method, in bytes.
const MAX_METHOD: usize = 256;

/// Longest chunk-size line or trailer section, in bytes.
const MAX_CHUNK_LINE: u64 = 64 << 10;

/// The bytes are not HTTP/1.1 as far as can be told: where messages end is unknown from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    Length(u64),
    Chunked,
    /// The connection's end.
    Close,
}

/// What a request head decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    /// The value of `Host`, empty where there is none.
    pub host: &'a [u8],
    /// Has `Upgrade`.
    pub upgrade: bool,
    pub body: Delimiter,
}

/// What a response head decides, its request's method not yet considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub status: u16,
    pub body: Delimiter,
}

impl<'a> RequestHead<'a> {
    /// Whether a request may begin like this, so that bytes which are none are given up at once.
    pub(crate) fn may_begin(start: &[u8]) -> bool {
        let method = memchr::memchr(b' ', start).map_or(start, |end| &start[..end]);
        method.len() <= MAX_METHOD && method.iter().all(|&b| is_token(b))
    }

    /// Reads a whole head, its empty line included.
    pub(crate) fn read(head: &'a [u8]) -> Result<Self, Lost> {
        let (line, fields) = next_line(head).ok_or(Lost)?;
        let method_end = memchr::memchr(b' ', line).ok_or(Lost)?;
        let target_end = memchr::memrchr(b' ', line).filter(|&end| end > method_end).ok_or(Lost)?;
        let (method, target) = (&line[..method_end], &line[method_end + 1..target_end]);
        if method.is_empty() || !method.iter().all(|&b| is_token(b)) || !is_version(&line[target_end + 1..]) {
            return Err(Lost);
        }
        let fields = Framing::read(fields)?;
        let body = match fields.coding {
            Some(true) => Delimiter::Chunked,
            // A request with a transfer coding and no chunked at its end has no known length (section 6.3).
            Some(false) => return Err(Lost),
            None => Delimiter::Length(fields.length.unwrap_or(0)),
        };
        Ok(RequestHead { method, target, host: fields.host, upgrade: fields.upgrade, body })
    }
}

impl ResponseHead {
    /// Whether a response may begin like this.
    pub(crate) fn may_begin(start: &[u8]) -> bool {
        let version = b"HTTP/1.";
        start.iter().zip(version).all(|(a, b)| a == b)
    }

    /// Reads a whole head, its empty line included.
    pub(crate) fn read(head: &[u8]) -> Result<Self, Lost> {
        let (line, fields) = next_line(head).ok_or(Lost)?;
        let (version, rest) = line.split_at_checked(9).ok_or(Lost)?;
        if !is_version(&version[..8]) || version[8] != b' ' {
            return Err(Lost);
        }
        let (digits, rest) = rest.split_at_checked(3).ok_or(Lost)?;
        if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(|&b| b != b' ') {
            return Err(Lost);
        }
        let status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let fields = Framing::read(fields)?;
        let body = match (fields.coding, fields.length) {
            (Some(true), _) => Delimiter::Chunked,
            (Some(false), _) | (None, None) => Delimiter::Close,
            (None, Some(length)) => Delimiter::Length(length),
        };
        Ok(ResponseHead { status, body })
    }
}

/// The fields that decide where a message ends, or whether HTTP does.
#[derive(Default)]
struct Framing<'a> {
    length: Option<u64>,
    /// Whether the last transfer coding is chunked.
    coding: Option<bool>,
    upgrade: bool,
    host: &'a [u8],
}

impl<'a> Framing<'a> {
    fn read(mut fields: &'a [u8]) -> Result<Self, Lost> {
        let mut found = Framing::default();
        while let Some((line, rest)) = next_line(fields) {
            fields = rest;
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"host") && found.host.is_empty() => found.host = value,
                7 if name.eq_ignore_ascii_case(b"upgrade") => found.upgrade = true,
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    for number in value.split(|&b| b == b',') {
                        let number = decimal(number.trim_ascii()).ok_or(Lost)?;
                        if found.length.is_some_and(|length| length != number) {
                            return Err(Lost);
                        }
                        found.length = Some(number);
                    }
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                    let last = value.rsplit(|&b| b == b',').map(<[u8]>::trim_ascii).find(|c| !c.is_empty());
                    found.coding = Some(last.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The line without its end, and what follows it.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

fn is_version(text: &[u8]) -> bool {
    matches!(text, b"HTTP/1.1" | b"HTTP/1.0")
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Follows one direction of a connection from message to message.
#[derive(Debug)]
pub(crate) struct Framer {
    place: Place,
    /// The part of a head that came in earlier reads.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a message, or in its head.
    Head,
    /// In a body, this many bytes before its end.
    Length(u64),
    ChunkSize {
        size: u64,
        digits: u8,
        /// Past the digits: in white space or an extension.
        extension: bool,
        length: u64,
    },
    ChunkData(u64),
    /// In the line end after a chunk's data.
    ChunkEnd,
    Trailers {
        line: u64,
        length: u64,
    },
    Close,
}

/// What [`Framer::head`] found.
pub(crate) enum HeadStep<'a> {
    /// All of the input belongs to a head that has not ended, or to the empty lines before one.
    More,
    /// A head, which ends after this many bytes of the input. `skipped`: bytes of the input before the message.
    /// `early`: the part that came in earlier reads, if any, with what this input adds to it.
    Whole { used: usize, skipped: usize, early: Option<&'a [u8]> },
}

impl Framer {
    pub(crate) fn new() -> Self {
        Framer { place: Place::Head, head: Vec::new() }
    }

    /// Whether a message has begun and not ended.
    pub(crate) fn in_message(&self) -> bool {
        self.place != Place::Head || !self.head.is_empty()
    }

    /// Whether a body is under way.
    pub(crate) fn in_body(&self) -> bool {
        self.place != Place::Head
    }

    /// Whether the message under way ends with its connection.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.place == Place::Close
    }

    /// What has come of a head that is not whole yet.
    pub(crate) fn partial(&self) -> &[u8] {
        &self.head
    }

    /// Bytes that it takes.
    pub(crate) fn kept(&self) -> usize {
        self.head.capacity()
    }

    /// Looks for the end of a head. After `Whole`, call [`Framer::body`].
    pub(crate) fn head(&mut self, input: &[u8]) -> Result<HeadStep<'_>, Lost> {
        if self.head.is_empty() {
            let skipped = input.iter().position(|&b| b != b'\r' && b != b'\n').unwrap_or(input.len());
            if let Some(end) = head_end(&input[skipped..], 0) {
                return Ok(HeadStep::Whole { used: skipped + end, skipped, early: None });
            }
            self.head.extend_from_slice(&input[skipped..]);
            return if self.head.len() > MAX_HEAD { Err(Lost) } else { Ok(HeadStep::More) };
        }
        let before = self.head.len();
        // The empty line may have begun in what came before.
        let from = before.saturating_sub(2);
        self.head.extend_from_slice(&input[..input.len().min(MAX_HEAD)]);
        match head_end(&self.head, from) {
            Some(end) => {
                self.head.truncate(end);
                Ok(HeadStep::Whole { used: end - before, skipped: 0, early: Some(&self.head) })
            }
            None if self.head.len() > MAX_HEAD => Err(Lost),
            None => Ok(HeadStep::More),
        }
    }

    /// Says what follows the head. Returns whether the message ends with its head.
    pub(crate) fn body(&mut self, delimiter: Delimiter) -> bool {
        self.head = Vec::new();
        self.place = match delimiter {
            Delimiter::Length(0) => Place::Head,
            Delimiter::Length(length) => Place::Length(length),
            Delimiter::Chunked => CHUNK_SIZE,
            Delimiter::Close => Place::Close,
        };
        self.place == Place::Head
    }

    /// How many bytes of the input belong to the body under way, and whether it ends with them.
    pub(crate) fn span(&mut self, input: &[u8]) -> Result<(usize, bool), Lost> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            used += self.advance(rest)?;
            if self.place == Place::Head {
                return Ok((used, true));
            }
        }
        Ok((used, false))
    }

    fn advance(&mut self, input: &[u8]) -> Result<usize, Lost> {
        let available = input.len() as u64;
        match &mut self.place {
            Place::Head => return Ok(0),
            Place::Close => return Ok(input.len()),
            Place::Length(left) => {
                // Not more than `available`, which came from a usize.
                let used = available.min(*left);
                *left -= used;
                if *left == 0 {
                    self.place = Place::Head;
                }
                return Ok(used as usize);
            }
            Place::ChunkData(left) => {
                let used = available.min(*left);
                *left -= used;
                if *left == 0 {
                    self.place = Place::ChunkEnd;
                }
                return Ok(used as usize);
            }
            Place::ChunkEnd => match input[0] {
                b'\r' => {}
                b'\n' => self.place = CHUNK_SIZE,
                _ => return Err(Lost),
            },
            Place::ChunkSize { size, digits, extension, length } => {
                *length += 1;
                match (input[0], char::from(input[0]).to_digit(16)) {
                    (b'\n', _) if *digits > 0 => {
                        self.place = if *size == 0 {
                            Place::Trailers { line: 0, length: 0 }
                        } else {
                            Place::ChunkData(*size)
                        };
                    }
                    (_, Some(digit)) if !*extension => {
                        *size = size.checked_mul(16).ok_or(Lost)? | u64::from(digit);
                        *digits = digits.saturating_add(1);
                    }
                    (b'\r' | b' ' | b'\t' | b';', _) if *digits > 0 => *extension = true,
                    (b'\n', _) => return Err(Lost),
                    _ if *extension && *length <= MAX_CHUNK_LINE => {}
                    _ => return Err(Lost),
                }
            }
            Place::Trailers { line, length } => {
                *length += 1;
                if *length > MAX_CHUNK_LINE {
                    return Err(Lost);
                }
                match input[0] {
                    b'\n' if *line == 0 => self.place = Place::Head,
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ => *line += 1,
                }
            }
        }
        Ok(1)
    }
}

const CHUNK_SIZE: Place = Place::ChunkSize { size: 0, digits: 0, extension: false, length: 0 };

/// The length of a head, its empty line included, where it ends in `text`. Before `from` it does not end.
fn head_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(b'\n', text.get(at..)?)? + 1;
        match text.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The messages of a request stream, and what is left: each as (wire bytes, method).
    fn split(stream: &[u8], cuts: &[usize]) -> (Vec<Vec<u8>>, bool) {
        let mut framer = Framer::new();
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            let mut input = &stream[pair[0]..pair[1]];
            while !input.is_empty() {
                if framer.in_body() {
                    let Ok((used, ended)) = framer.span(input) else { return (messages, false) };
                    message.extend_from_slice(&input[..used]);
                    input = &input[used..];
                    if ended {
                        messages.push(std::mem::take(&mut message));
                    }
                    continue;
                }
                let Ok(step) = framer.head(input) else { return (messages, false) };
                let HeadStep::Whole { used, skipped, early } = step else { break };
                message.extend_from_slice(early.unwrap_or(&input[skipped..used]));
                input = &input[used..];
                let Ok(head) = RequestHead::read(&message) else { return (messages, false) };
                if framer.body(head.body) {
                    messages.push(std::mem::take(&mut message));
                }
            }
        }
        (messages, !framer.in_message())
    }

    const STREAM: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x y HTTP/1.1\nhost:b\nContent-Length : 5\n\nhello",
        "PUT /c HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n00A \r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        "HEAD * HTTP/1.0\r\nContent-Length: 0, 0\r\nContent-Length: 0\r\n\r\n",
        "DELETE /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n",
    ];

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_messages(cuts: Vec<usize>) {
            let (messages, clean) = split(STREAM.concat().as_bytes(), &cuts);
            prop_assert!(clean);
            prop_assert_eq!(messages, STREAM.iter().map(|m| m.as_bytes().to_vec()).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, cuts: Vec<usize>) {
            split(&bytes, &cuts);
            let _ = ResponseHead::read(&bytes);
        }

        #[test]
        fn no_chunks_panic(bytes in "[0-9a-f;\r\n x]{0,60}") {
            let mut framer = Framer::new();
            framer.body(Delimiter::Chunked);
            let _ = framer.span(bytes.as_bytes());
        }
    }

    #[test]
    fn heads_that_decide() {
        let head = RequestHead::read(
            b"GET http://x/y HTTP/1.1\r\nHost:  x.test \r\nUPGRADE: websocket\r\nConnection: upgrade\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.method, head.target, head.host), (&b"GET"[..], &b"http://x/y"[..], &b"x.test"[..]));
        assert!(head.upgrade);
        for (head, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200, Delimiter::Length(7)),
            ("HTTP/1.0 404\n\n", 404, Delimiter::Close),
            (
                "HTTP/1.1 200 \r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
                200,
                Delimiter::Chunked,
            ),
            ("HTTP/1.1 200 \r\nTransfer-Encoding: gzip\r\n\r\n", 200, Delimiter::Close),
        ] {
            assert_eq!(ResponseHead::read(head.as_bytes()), Ok(ResponseHead { status, body }), "{head}");
        }
    }

    #[test]
    fn heads_that_say_nothing() {
        for head in [
            "\r\n\r\n",
            "GET /\r\n\r\n",
            "GET  HTTP/2.0\r\n\r\n",
            "G\u{e9}T / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        ] {
            assert_eq!(RequestHead::read(head.as_bytes()), Err(Lost), "{head}");
        }
        for head in
            ["HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(ResponseHead::read(head.as_bytes()), Err(Lost), "{head}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut framer = Framer::new();
        let line = [b'x'; 1024];
        let step = (0..).map(|_| framer.head(&line).is_err()).take(1000).position(|lost| lost);
        assert_eq!(step, Some(MAX_HEAD / 1024));
    }
}
