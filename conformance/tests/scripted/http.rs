//! Messages: strict reading of requests, reading of response heads, writing.

use super::Shared;
use exchange::Fields;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection's incoming side with what was read ahead.
pub struct Incoming {
    pub socket: OwnedReadHalf,
    pub buffer: Vec<u8>,
    /// Whether the connection ended with an error.
    pub reset: bool,
}

pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub host: String,
    pub old: bool,
    pub fields: Fields,
    pub body: Vec<u8>,
    /// Whether the connection ends after the answer.
    pub close: bool,
}

pub enum Got {
    Request(Box<Request>),
    /// Not to be understood; to be answered with this status and closed.
    Bad(u16),
    End,
}

const LARGEST_HEAD: usize = 512 << 10;

impl Incoming {
    /// Reads more; `false` at the end.
    pub async fn more(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes).await {
            Ok(0) => false,
            Err(_) => {
                self.reset = true;
                false
            }
            Ok(n) => {
                self.buffer.extend_from_slice(&bytes[..n]);
                true
            }
        }
    }

    /// Takes bytes up to and with `end`.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                let rest = self.buffer.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > LARGEST_HEAD || !self.more().await {
                return None;
            }
        }
    }

    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

/// Field lines of a head without its first line and empty line. `None` where a rule of RFC 9112 section 5 is broken.
fn fields(lines: &[u8], s: &Shared) -> Option<Fields> {
    let mut fields = Fields::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let mut end = rest.windows(2).position(|w| w == b"\r\n")?;
        if s.broken("framing/folded-line") {
            while rest.get(end + 2) == Some(&b' ') {
                end += 2 + rest[end + 2..].windows(2).position(|w| w == b"\r\n")?;
            }
        }
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let spaced = name.last() == Some(&b' ') && s.broken("framing/space-before-colon");
        if name.contains(&b' ') && !spaced {
            return None;
        }
        let folds = value.windows(3).filter(|w| w == b"\r\n ").count();
        let controls = value.iter().filter(|b| matches!(b, 0 | b'\r' | b'\n')).count();
        if controls > 2 * folds && !s.broken("framing/control-in-value") {
            return None;
        }
        fields.push(name.to_vec(), value.to_vec());
    }
    Some(fields)
}

/// Reads a request and its body. `answer` takes what must be sent meanwhile (100).
pub async fn read_request(incoming: &mut Incoming, out: &mut OwnedWriteHalf, s: &Shared) -> Got {
    let Some(head) = incoming.until(b"\r\n\r\n").await else { return Got::End };
    let Some(line_end) = head.windows(2).position(|w| w == b"\r\n") else { return Got::Bad(400) };
    let line = String::from_utf8_lossy(&head[..line_end]).into_owned();
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return Got::Bad(400) };
    let old = version == "HTTP/1.0";
    let Some(fields) = fields(&head[line_end + 2..head.len() - 2], s) else { return Got::Bad(400) };
    let hosts: Vec<String> =
        fields.get_all("Host").map(|h| String::from_utf8_lossy(h).into_owned()).collect();
    let mut host = hosts.first().cloned().unwrap_or_default();
    if hosts.is_empty() && !old && !s.broken("framing/host-missing") {
        return Got::Bad(400);
    }
    if hosts.len() > 1 && !s.broken("framing/host-twice") {
        return Got::Bad(400);
    }
    let mut path = target.to_owned();
    if let Some(rest) = target.strip_prefix("http://") {
        let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        path = rest.to_owned();
        if !s.broken("framing/absolute-form") {
            host = authority.to_owned();
        }
    }
    let mut request = Request {
        method: method.to_owned(),
        target: path,
        host,
        old,
        close: old && !says(&fields, "Connection", "keep-alive")
            || says(&fields, "Connection", "close") && !s.broken("framing/close-is-closed"),
        fields,
        body: Vec::new(),
    };
    if let Err(status) = read_body(&mut request, incoming, out, s).await {
        return Got::Bad(status);
    }
    Got::Request(Box::new(request))
}

/// RFC 9112 section 6.3.
async fn read_body(
    request: &mut Request,
    incoming: &mut Incoming,
    out: &mut OwnedWriteHalf,
    s: &Shared,
) -> Result<(), u16> {
    let coding = request.fields.combined("Transfer-Encoding");
    let lengths: Vec<String> =
        request.fields.get_all("Content-Length").map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    if let Some(coding) = coding.as_ref().filter(|_| !lengths.is_empty()) {
        let plain = coding.eq_ignore_ascii_case(b"chunked");
        let tolerated =
            s.broken("framing/length-and-chunked") && plain || s.broken("framing/chunked-not-last") && !plain;
        if !tolerated {
            return Err(400);
        }
    }
    let chunked = match &coding {
        None => false,
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => true,
        Some(_) if s.broken("framing/chunked-not-last") => false,
        Some(_) => return Err(501),
    };
    let mut length = 0;
    if let Some(first) = lengths.first() {
        if lengths.iter().any(|l| l != first) && !s.broken("framing/length-differs") {
            return Err(400);
        }
        let digits = first.trim_start_matches(|c| s.broken("framing/length-syntax") && c == '+');
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(400);
        }
        length = digits.parse().map_err(|_| 400u16)?;
    }
    let drained = !(s.broken("framing/get-body-drained") && request.method == "GET");
    let has_body = (chunked || length > 0) && drained;
    if says(&request.fields, "Expect", "100-continue") && !s.broken("framing/expect-continue") {
        write(out, b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    request.fields.remove("Expect");
    if !has_body {
        return Ok(());
    }
    if chunked {
        request.close |= request.old && !s.broken("framing/old-version-chunked");
        request.body = read_chunks(incoming, s).await.ok_or(400u16)?;
    } else {
        request.body = incoming.exactly(length).await.ok_or(400u16)?;
    }
    Ok(())
}

async fn read_chunks(incoming: &mut Incoming, s: &Shared) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = incoming.until(b"\r\n").await?;
        let mut digits = std::str::from_utf8(&line).ok()?.trim().split(';').next()?.to_owned();
        if s.broken("framing/chunk-size-overflow") && digits.len() > 16 {
            digits = digits.split_off(digits.len() - 16);
        }
        let size = u64::from_str_radix(&digits, 16).ok()?;
        if size == 0 {
            while incoming.until(b"\r\n").await? != b"\r\n" {}
            return Some(body);
        }
        body.extend(incoming.exactly(usize::try_from(size).ok()?).await?);
        incoming.exactly(2).await?;
    }
}

/// Whether a list field has this member.
pub fn says(fields: &Fields, name: &str, member: &str) -> bool {
    fields.members(name).any(|m| m.eq_ignore_ascii_case(member.as_bytes()))
}

pub fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.get_str(name)
}

/// Status and fields of a response's head; `None` for what is none.
pub fn response_head(head: &[u8]) -> Option<(u16, Fields)> {
    let text = head.strip_suffix(b"\r\n\r\n")?;
    let mut lines = text.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()))
    });
    Some((status, fields.collect()))
}

pub fn print_head(first: &str, fields: &Fields) -> Vec<u8> {
    let mut out = format!("{first}\r\n").into_bytes();
    for field in fields {
        out.extend_from_slice(&field.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&field.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Writes; a client that has gone is no concern.
pub async fn write(out: &mut OwnedWriteHalf, bytes: &[u8]) -> bool {
    use tokio::io::AsyncWriteExt as _;
    out.write_all(bytes).await.is_ok()
}
