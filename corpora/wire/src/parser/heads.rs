//! Reading heads line by line.

use super::chunked::ChunkState;
use super::{Body, Parser, Partial, State};
use crate::anomaly::Noted;
use crate::{Anomaly, Asked, ErrorKind, Event, Framing, Head, StartLine, framing, head};
use bytes::Bytes;
use exchange::{Ending, Fields, Time, Version};

impl Parser {
    pub(super) fn read_head(&mut self, time: Time, bytes: &mut Bytes, mut partial: Partial) {
        if partial.buffer.is_empty() {
            partial.start = time;
        }
        if !self.is_request && self.asked.front().is_some_and(|a| a.http09) {
            self.asked.pop_front();
            return self.begin_http09(time);
        }
        let most = self.limits.head - partial.blank_bytes.min(self.limits.head);
        let Some(ended) = self.take_line(bytes, &mut partial.buffer, most, true) else {
            return self.fail_head(partial, ErrorKind::Limit("head"));
        };
        if !partial.checked
            && let Some(wrong) = self.wrong_start(&partial.buffer)
        {
            return self.fail_head(partial, wrong);
        }
        if !ended {
            self.state = State::Head(partial);
            return;
        }
        let line = &partial.buffer[partial.line..];
        let is_empty = line == b"\r\n" || line == b"\n";
        if is_empty && partial.line == 0 {
            partial.blank_lines += 1;
            partial.blank_bytes += partial.buffer.len();
            partial.buffer.clear();
            self.state = State::Head(partial);
            return;
        }
        partial.line = partial.buffer.len();
        if !partial.checked {
            partial.checked = true;
            let mut scratch = Noted::default();
            match head::first_line(&partial.buffer, self.is_request, &mut scratch) {
                Ok((_, Version::Http09, _)) => return self.finish_head(time, partial),
                Ok(_) => {}
                Err(wrong) => return self.fail_head(partial, wrong),
            }
        }
        if is_empty {
            self.finish_head(time, partial);
        } else {
            self.state = State::Head(partial);
        }
    }

    /// Whether a first line cannot be one, before it is whole.
    fn wrong_start(&self, line: &[u8]) -> Option<ErrorKind> {
        if self.is_request {
            let first = *line.first()?;
            let may_begin = head::is_token(first) || matches!(first, b' ' | b'\t' | b'\r' | b'\n');
            return (!may_begin).then_some(ErrorKind::RequestLine);
        }
        let begins = line.iter().zip(b"HTTP/").all(|(a, b)| a.eq_ignore_ascii_case(b));
        (!begins && !b"\r\n".starts_with(&line[..line.len().min(2)]) && line != b"\n")
            .then_some(ErrorKind::StatusLine)
    }

    fn fail_head(&mut self, partial: Partial, kind: ErrorKind) {
        // These bytes were counted as a head, which they are not.
        let length = partial.buffer.len() as u64;
        self.counts.heads -= length;
        self.counts.discarded += length;
        self.fail(kind, self.offset - length, &partial.buffer);
    }

    pub(super) fn begin_http09(&mut self, time: Time) {
        let head = Head {
            start_line: StartLine::Response { status: 200, reason: Bytes::new() },
            version: Version::Http09,
            fields: Fields::new(),
            framing: Framing::UntilClose,
            anomalies: vec![Anomaly::Http09],
            raw: Bytes::new(),
            start: time,
            end: time,
        };
        self.events.push_back(Event::Head(Box::new(head)));
        self.state = State::Body(self.message(self.offset, false), Body::UntilClose);
    }

    fn finish_head(&mut self, time: Time, partial: Partial) {
        let raw = Bytes::copy_from_slice(&partial.buffer);
        let start = self.offset - raw.len() as u64;
        let mut noted = Noted::new(self.limits.anomalies);
        if partial.blank_lines > 0 {
            noted.add(Anomaly::BlankLinesBefore(partial.blank_lines));
        }
        let parsed =
            head::first_line(&raw, self.is_request, &mut noted).and_then(|(first, version, rest)| {
                let fields = head::fields(&raw, rest, self.limits.fields, &mut noted)?;
                Ok((first.own(&raw), version, fields))
            });
        let (start_line, version, fields) = match parsed {
            Ok(parsed) => parsed,
            Err(wrong) => return self.fail_head(partial, wrong),
        };
        let asked = match (self.is_request, self.asked.front()) {
            (true, _) => Asked::default(),
            (false, Some(asked)) => *asked,
            (false, None) => {
                noted.add(Anomaly::Unsolicited);
                Asked::default()
            }
        };
        let framing = framing::decide(&start_line, version, &fields, asked, &mut noted);
        if self.is_request && version == Version::Http11 {
            let hosts = fields.get_all("host").count();
            if hosts != 1 {
                noted.add(Anomaly::HostCount(hosts));
            }
        }
        let head = Head {
            start_line,
            version,
            fields,
            framing: *framing.as_ref().unwrap_or(&Framing::Undefined),
            anomalies: noted.list,
            raw,
            start: partial.start,
            end: time,
        };
        if head.is_interim() {
            self.interim += 1;
            if self.interim > self.limits.interim {
                return self.fail_head(partial, ErrorKind::Limit("interim"));
            }
        } else if !self.is_request {
            self.interim = 0;
            self.asked.pop_front();
        }
        let message = self.message(start, head.may_switch());
        let near = head.raw.clone();
        let chosen = head.framing;
        self.events.push_back(Event::Head(Box::new(head)));
        match (framing, chosen) {
            (Err(kind), _) => {
                let error = self.fail(kind, start, &near);
                self.end_message(message, time, Ending::Truncated, None, Some(error));
            }
            (_, Framing::Length(length)) if length > 0 => {
                self.state = State::Body(message, Body::Length(length));
            }
            (_, Framing::Chunked) => {
                let chunks = Body::Chunked { state: ChunkState::Size, buffer: Vec::new(), line: 0 };
                self.state = State::Body(message, chunks);
            }
            (_, Framing::UntilClose) => self.state = State::Body(message, Body::UntilClose),
            (_, Framing::Tunnel) => {
                self.end_message(message, time, Ending::Complete, None, None);
                self.state = State::Tunnel;
            }
            _ => self.complete(message, time),
        }
    }
}
