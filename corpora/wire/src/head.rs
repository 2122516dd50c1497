//! The start line and field section of a message.

use crate::anomaly::Noted;
use crate::{Anomaly, ErrorKind, Framing};
use bytes::Bytes;
use exchange::{Field, Fields, Time, Version};

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// RFC 9112 section 3.
    Request { method: Bytes, target: Bytes },
    /// RFC 9112 section 4.
    Response { status: u16, reason: Bytes },
}

/// A message's head as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub start_line: StartLine,
    pub version: Version,
    pub fields: Fields,
    pub framing: Framing,
    pub anomalies: Vec<Anomaly>,
    /// The exact bytes from the start line to the empty line, both included.
    pub raw: Bytes,
    /// When its first byte was seen.
    pub start: Time,
    /// When its last byte was seen.
    pub end: Time,
}

impl Head {
    /// The method of a request; empty for a response.
    pub fn method(&self) -> &[u8] {
        match &self.start_line {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => b"",
        }
    }

    /// The target of a request; empty for a response.
    pub fn target(&self) -> &[u8] {
        match &self.start_line {
            StartLine::Request { target, .. } => target,
            StartLine::Response { .. } => b"",
        }
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start_line {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// Whether this is an interim response: 1xx, but not 101, which is the last HTTP/1 message of its connection.
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), Some(100 | 102..=199))
    }

    /// Whether the connection stays open after this message as far as its sender says (RFC 9112 section 9.3).
    pub fn keeps_alive(&self) -> bool {
        let says = |option: &str| {
            self.fields.members("connection").any(|m| m.eq_ignore_ascii_case(option.as_bytes()))
        };
        match self.version {
            _ if says("close") => false,
            Version::Http09 => false,
            Version::Http10 => says("keep-alive"),
            _ => true,
        }
    }

    /// Whether another protocol may follow this request: CONNECT, or one with Upgrade (RFC 9110 section 7.8).
    pub fn may_switch(&self) -> bool {
        self.method() == b"CONNECT" || !self.method().is_empty() && self.fields.contains("upgrade")
    }
}

/// What the first line of a head says.
pub(crate) struct FirstLine {
    pub start_line: StartLine,
    pub version: Version,
    /// What follows the line.
    pub rest: Bytes,
}

/// Splits off the first line and takes it apart. `raw` begins with the start line and holds all of it.
pub(crate) fn first_line(raw: &Bytes, request: bool, noted: &mut Noted) -> Result<FirstLine, ErrorKind> {
    let (line, rest) = split_line(raw, noted);
    let (start_line, version) =
        if request { request_line(&line, noted)? } else { status_line(&line, noted)? };
    Ok(FirstLine { start_line, version, rest })
}

fn request_line(line: &Bytes, noted: &mut Noted) -> Result<(StartLine, Version), ErrorKind> {
    if &line[..] == b"PRI * HTTP/2.0" {
        return Err(ErrorKind::Http2);
    }
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r');
    let trimmed = trim(line, is_space);
    let method_end = trimmed.iter().position(is_space).ok_or(ErrorKind::RequestLine)?;
    let method = trimmed.slice(..method_end);
    let after_method = trim(&trimmed.slice(method_end..), is_space);
    if !method.iter().copied().all(is_token) {
        noted.add(Anomaly::BadMethod);
    }
    let version_start = after_method.iter().rposition(is_space).map_or(0, |at| at + 1);
    let last = after_method.slice(version_start..);
    let (target, version) = match version(&last, noted) {
        Some(version) if version_start > 0 => (trim(&after_method.slice(..version_start), is_space), version),
        None if version_start == 0 && &method[..] == b"GET" && !last.is_empty() => {
            noted.add(Anomaly::Http09);
            (last, Version::Http09)
        }
        _ => return Err(ErrorKind::RequestLine),
    };
    let spaces = if version == Version::Http09 { 1 } else { 2 };
    let tokens = method.len() + target.len() + after_method.len() - version_start;
    let tokens = if version == Version::Http09 { method.len() + target.len() } else { tokens };
    if line.len() != tokens + spaces || line.iter().any(|b| is_space(b) && *b != b' ') {
        noted.add(Anomaly::StartLineWhitespace);
    }
    if target.iter().any(is_space) {
        noted.add(Anomaly::SpaceInTarget);
    }
    if target.iter().any(|b| !is_space(b) && !b.is_ascii_graphic()) {
        noted.add(Anomaly::BadTarget);
    }
    Ok((StartLine::Request { method, target }, version))
}

fn status_line(line: &Bytes, noted: &mut Noted) -> Result<(StartLine, Version), ErrorKind> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let version_end = line.iter().position(is_space).ok_or(ErrorKind::StatusLine)?;
    let version = version(&line.slice(..version_end), noted).ok_or(ErrorKind::StatusLine)?;
    let after_version = line.slice(version_end..);
    let code_start = after_version.iter().position(|b| !is_space(b)).ok_or(ErrorKind::StatusLine)?;
    if &after_version[..code_start] != b" " {
        noted.add(Anomaly::StartLineWhitespace);
    }
    let code = after_version.slice(code_start..);
    let digits = code.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(ErrorKind::StatusLine)?;
    let status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    if !(100..600).contains(&status) {
        noted.add(Anomaly::OddStatus(status));
    }
    let reason = match code.get(3) {
        None => {
            noted.add(Anomaly::NoReasonSpace);
            Bytes::new()
        }
        Some(b) if is_space(b) => code.slice(4..),
        Some(_) => return Err(ErrorKind::StatusLine),
    };
    Ok((StartLine::Response { status, reason }, version))
}

/// `None` where this is no HTTP version at all.
fn version(text: &Bytes, noted: &mut Noted) -> Option<Version> {
    match &text[..] {
        b"HTTP/1.1" => return Some(Version::Http11),
        b"HTTP/1.0" => return Some(Version::Http10),
        _ => {}
    }
    let name = text.get(..5)?;
    let numbers = &text[5..];
    let looks_like_one = name.eq_ignore_ascii_case(b"HTTP/")
        && numbers.first().is_some_and(u8::is_ascii_digit)
        && numbers.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && numbers.len() <= 8;
    if !looks_like_one {
        return None;
    }
    noted.add(Anomaly::OtherVersion(text.clone()));
    Some(if numbers == b"1.0" { Version::Http10 } else { Version::Http11 })
}

/// Reads field lines up to the empty line. `section` holds whole lines and ends with the empty one.
///
/// # Errors
/// [`ErrorKind::Limit`] for more than `most` field lines.
pub(crate) fn fields(mut section: Bytes, most: usize, noted: &mut Noted) -> Result<Fields, ErrorKind> {
    let mut fields: Vec<Field> = Vec::with_capacity(16);
    // Whether the line before this one was a field, so that a folded line has something to go on with.
    let mut open = false;
    let mut first = true;
    while !section.is_empty() {
        let (line, rest) = split_line(&section, noted);
        section = rest;
        if line.is_empty() {
            break;
        }
        if line.contains(&b'\r') {
            noted.add(Anomaly::BareCr);
        }
        if matches!(line[0], b' ' | b'\t') {
            match fields.last_mut().filter(|_| open) {
                Some(field) => {
                    noted.add(Anomaly::ObsoleteFold);
                    let more = line.trim_ascii();
                    let parts = [&field.value[..], more];
                    field.value = Bytes::from(parts.join(&b' '));
                }
                None if first => noted.add(Anomaly::WhitespaceBeforeFields),
                None => {}
            }
            first = false;
            continue;
        }
        first = false;
        let field = field_line(&line, noted);
        open = field.is_some();
        if fields.len() == most {
            return Err(ErrorKind::Limit("fields"));
        }
        fields.extend(field);
    }
    Ok(Fields(fields))
}

fn field_line(line: &Bytes, noted: &mut Noted) -> Option<Field> {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        noted.add(Anomaly::NotAField(line.slice(..line.len().min(crate::Error::NEAR))));
        return None;
    };
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let name_end = line[..colon].iter().rposition(|b| !is_space(b)).map_or(0, |at| at + 1);
    let name = line.slice(..name_end);
    let after = line.slice(colon + 1..);
    let value = trim(&after, is_space);
    if name_end < colon {
        noted.add(Anomaly::SpaceBeforeColon(name.clone()));
    }
    if name.is_empty() || !name.iter().copied().all(is_token) {
        noted.add(Anomaly::BadFieldName(name.clone()));
    }
    let around = after.len() - value.len();
    if around > 1 || around == 1 && after[0] != b' ' {
        noted.add(Anomaly::OddWhitespace(name.clone()));
    }
    if value.iter().any(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\r')) {
        noted.add(Anomaly::BadFieldValue(name.clone()));
    }
    Some(Field { name, value })
}

/// The first line without its end, and what follows it.
fn split_line(bytes: &Bytes, noted: &mut Noted) -> (Bytes, Bytes) {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let rest = bytes.slice((end + 1).min(bytes.len())..);
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) => (bytes.slice(..line.len()), rest),
        None => {
            noted.add(Anomaly::BareLf);
            (bytes.slice(..end), rest)
        }
    }
}

fn trim(bytes: &Bytes, is_space: impl Fn(&u8) -> bool) -> Bytes {
    let start = bytes.iter().position(|b| !is_space(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !is_space(b)).map_or(start, |at| at + 1);
    bytes.slice(start..end)
}

/// tchar of RFC 9110 section 5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
