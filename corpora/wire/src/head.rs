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

/// What a first line says.
pub(crate) enum FirstLine<'a> {
    Request { method: &'a [u8], target: &'a [u8] },
    Response { status: u16, reason: &'a [u8] },
}

impl FirstLine<'_> {
    /// As parts of `raw`, which it was read from.
    pub fn own(&self, raw: &Bytes) -> StartLine {
        match *self {
            FirstLine::Request { method, target } => {
                StartLine::Request { method: raw.slice_ref(method), target: raw.slice_ref(target) }
            }
            FirstLine::Response { status, reason } => {
                StartLine::Response { status, reason: raw.slice_ref(reason) }
            }
        }
    }
}

/// Takes the first line apart and says what follows it. `raw` begins with the start line and holds all of it.
pub(crate) fn first_line<'a>(
    raw: &'a [u8],
    request: bool,
    noted: &mut Noted,
) -> Result<(FirstLine<'a>, Version, &'a [u8]), ErrorKind> {
    let (line, rest) = split_line(raw, noted);
    let (start_line, version) = if request { request_line(line, noted)? } else { status_line(line, noted)? };
    Ok((start_line, version, rest))
}

fn request_line<'a>(line: &'a [u8], noted: &mut Noted) -> Result<(FirstLine<'a>, Version), ErrorKind> {
    if line == b"PRI * HTTP/2.0" {
        return Err(ErrorKind::Http2);
    }
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r');
    let trimmed = trim(line, is_space);
    let method_end = trimmed.iter().position(is_space).ok_or(ErrorKind::RequestLine)?;
    let (method, after_method) = trimmed.split_at(method_end);
    if !method.iter().copied().all(is_token) {
        noted.add(Anomaly::BadMethod);
    }
    let after_method = trim(after_method, is_space);
    let version_start = after_method.iter().rposition(is_space).map_or(0, |at| at + 1);
    let (before_last, last) = after_method.split_at(version_start);
    let (target, version, length) = match version(last, noted) {
        Some(version) if version_start > 0 => {
            let target = trim(before_last, is_space);
            (target, version, method.len() + target.len() + last.len() + 2)
        }
        None if version_start == 0 && method == b"GET" && !last.is_empty() => {
            noted.add(Anomaly::Http09);
            (last, Version::Http09, method.len() + last.len() + 1)
        }
        _ => return Err(ErrorKind::RequestLine),
    };
    let odd_space = |b: &u8| is_space(b) && *b != b' ';
    if line.len() != length || line.iter().any(odd_space) {
        noted.add(Anomaly::StartLineWhitespace);
    }
    if target.iter().any(is_space) {
        noted.add(Anomaly::SpaceInTarget);
    }
    if target.iter().any(|b| !is_space(b) && !b.is_ascii_graphic()) {
        noted.add(Anomaly::BadTarget);
    }
    Ok((FirstLine::Request { method, target }, version))
}

fn status_line<'a>(line: &'a [u8], noted: &mut Noted) -> Result<(FirstLine<'a>, Version), ErrorKind> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let version_end = line.iter().position(is_space).ok_or(ErrorKind::StatusLine)?;
    let (version_text, after_version) = line.split_at(version_end);
    let version = version(version_text, noted).ok_or(ErrorKind::StatusLine)?;
    let code_start = after_version.iter().position(|b| !is_space(b)).ok_or(ErrorKind::StatusLine)?;
    let (spaces, code) = after_version.split_at(code_start);
    if spaces != b" " {
        noted.add(Anomaly::StartLineWhitespace);
    }
    let digits = code.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(ErrorKind::StatusLine)?;
    let status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    if !(100..600).contains(&status) {
        noted.add(Anomaly::OddStatus(status));
    }
    let reason = match code.get(3) {
        None => {
            noted.add(Anomaly::NoReasonSpace);
            &[]
        }
        Some(b) if is_space(b) => &code[4..],
        Some(_) => return Err(ErrorKind::StatusLine),
    };
    Ok((FirstLine::Response { status, reason }, version))
}

/// `None` where this is no HTTP version at all.
fn version(text: &[u8], noted: &mut Noted) -> Option<Version> {
    match text {
        b"HTTP/1.1" => return Some(Version::Http11),
        b"HTTP/1.0" => return Some(Version::Http10),
        _ => {}
    }
    let (name, numbers) = text.split_at_checked(5)?;
    let looks_like_one = name.eq_ignore_ascii_case(b"HTTP/")
        && numbers.first().is_some_and(u8::is_ascii_digit)
        && numbers.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && numbers.len() <= 8;
    if !looks_like_one {
        return None;
    }
    noted.add(Anomaly::OtherVersion(Bytes::copy_from_slice(text)));
    Some(if numbers == b"1.0" { Version::Http10 } else { Version::Http11 })
}

/// Reads field lines up to the empty line. `section` is the part of `raw` that holds them and ends with the empty
/// one.
///
/// # Errors
/// [`ErrorKind::Limit`] for more than `most` field lines.
pub(crate) fn fields(
    raw: &Bytes,
    mut section: &[u8],
    most: usize,
    noted: &mut Noted,
) -> Result<Fields, ErrorKind> {
    let mut fields: Vec<Field> = Vec::with_capacity(16);
    // Whether the line before this one was a field, so that a folded line has something to go on with.
    let mut open = false;
    let mut first = true;
    while !section.is_empty() {
        let (line, rest) = split_line(section, noted);
        section = rest;
        if line.is_empty() {
            break;
        }
        if line.contains(&b'\r') {
            noted.add(Anomaly::BareCr);
        }
        if is_blank(&line[0]) {
            match fields.last_mut().filter(|_| open) {
                Some(field) => {
                    noted.add(Anomaly::ObsoleteFold);
                    field.value = Bytes::from([&field.value[..], line.trim_ascii()].join(&b' '));
                }
                None if first => noted.add(Anomaly::WhitespaceBeforeFields),
                None => {}
            }
            first = false;
            continue;
        }
        first = false;
        let field = field_line(raw, line, noted);
        open = field.is_some();
        if fields.len() == most {
            return Err(ErrorKind::Limit("fields"));
        }
        fields.extend(field);
    }
    Ok(Fields(fields))
}

fn field_line(raw: &Bytes, line: &[u8], noted: &mut Noted) -> Option<Field> {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        noted.add(Anomaly::NotAField(raw.slice_ref(&line[..line.len().min(crate::Error::NEAR)])));
        return None;
    };
    let (before, after) = (&line[..colon], &line[colon + 1..]);
    let name_end = before.iter().rposition(|b| !is_blank(b)).map_or(0, |at| at + 1);
    let value = trim(after, is_blank);
    let field = Field { name: raw.slice_ref(&line[..name_end]), value: raw.slice_ref(value) };
    let name = || field.name.clone();
    if name_end < colon {
        noted.add(Anomaly::SpaceBeforeColon(name()));
    }
    if name_end == 0 || !field.name.iter().copied().all(is_token) {
        noted.add(Anomaly::BadFieldName(name()));
    }
    let around = after.len() - value.len();
    if around > 1 || around == 1 && after[0] != b' ' {
        noted.add(Anomaly::OddWhitespace(name()));
    }
    if value.iter().any(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\r')) {
        noted.add(Anomaly::BadFieldValue(name()));
    }
    Some(field)
}

/// The first line without its end, and what follows it.
fn split_line<'a>(bytes: &'a [u8], noted: &mut Noted) -> (&'a [u8], &'a [u8]) {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) => (line, rest),
        None => {
            noted.add(Anomaly::BareLf);
            (&bytes[..end], rest)
        }
    }
}

fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn trim(bytes: &[u8], is_space: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|b| !is_space(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !is_space(b)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// tchar of RFC 9110 section 5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0u8;
    while b < 128 {
        table[b as usize] = b.is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};
