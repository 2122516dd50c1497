//! Reading bodies in each framing.

use super::chunked::{self, ChunkState};
use super::{Body, Message, Parser, State};
use crate::{Anomaly, ErrorKind, Event, Extension, Trailers, head};
use bytes::Bytes;
use exchange::{Ending, Time};

impl Parser {
    pub(super) fn read_body(&mut self, time: Time, bytes: &mut Bytes, mut message: Message, body: Body) {
        match body {
            Body::UntilClose => {
                self.give_body(time, bytes, u64::MAX, &mut message);
                self.state = State::Body(message, Body::UntilClose);
            }
            Body::Length(left) => match left - self.give_body(time, bytes, left, &mut message) {
                0 => self.complete(message, time),
                left => self.state = State::Body(message, Body::Length(left)),
            },
            Body::Chunked { state, buffer, line } => {
                self.read_chunked(time, bytes, message, state, buffer, line);
            }
        }
    }

    /// Gives out body bytes, `most` of them, and says how many.
    fn give_body(&mut self, time: Time, bytes: &mut Bytes, most: u64, message: &mut Message) -> u64 {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = self.take(bytes, length, |counts| &mut counts.bodies);
        message.body += length as u64;
        self.events.push_back(Event::Body { bytes, time });
        length as u64
    }

    fn read_chunked(
        &mut self,
        time: Time,
        bytes: &mut Bytes,
        mut message: Message,
        state: ChunkState,
        mut buffer: Vec<u8>,
        mut line: usize,
    ) {
        let state = match state {
            ChunkState::Size => match self.take_line(bytes, &mut buffer, self.limits.chunk_line, false) {
                None => return self.fail_body(time, message, ErrorKind::Limit("chunk_line"), &buffer),
                Some(false) => ChunkState::Size,
                Some(true) => match chunked::size_line(&buffer, &mut message.noted) {
                    Err(wrong) => return self.fail_body(time, message, wrong, &buffer),
                    Ok((size, extension)) => {
                        buffer.clear();
                        if let Some(raw) = extension {
                            let extension = Extension { at: message.body, raw };
                            let kept = &mut message.kept_extensions;
                            chunked::keep(&mut message.extensions, kept, extension, &self.limits);
                        }
                        if size == 0 {
                            ChunkState::Trailers
                        } else {
                            message.chunks += 1;
                            ChunkState::Data(size)
                        }
                    }
                },
            },
            ChunkState::Data(left) => match left - self.give_body(time, bytes, left, &mut message) {
                0 => ChunkState::DataEnd,
                left => ChunkState::Data(left),
            },
            ChunkState::DataEnd => {
                let next = self.take(bytes, 1, |counts| &mut counts.framing);
                buffer.extend_from_slice(&next);
                match &buffer[..] {
                    b"\r" => ChunkState::DataEnd,
                    b"\r\n" | b"\n" => {
                        if buffer.len() == 1 {
                            message.noted.add(Anomaly::BareLf);
                        }
                        buffer.clear();
                        ChunkState::Size
                    }
                    _ => return self.fail_body(time, message, ErrorKind::BadChunkEnd, &buffer),
                }
            }
            ChunkState::Trailers => match self.take_line(bytes, &mut buffer, self.limits.trailers, false) {
                None => return self.fail_body(time, message, ErrorKind::Limit("trailers"), &buffer),
                Some(false) => ChunkState::Trailers,
                Some(true) if matches!(&buffer[line..], b"\r\n" | b"\n") => {
                    return self.finish_trailers(time, message, &buffer);
                }
                Some(true) => {
                    line = buffer.len();
                    ChunkState::Trailers
                }
            },
        };
        self.state = State::Body(message, Body::Chunked { state, buffer, line });
    }

    fn finish_trailers(&mut self, time: Time, mut message: Message, raw: &[u8]) {
        let raw = Bytes::copy_from_slice(raw);
        match head::fields(&raw, &raw, self.limits.fields, &mut message.noted) {
            Err(wrong) => self.fail_body(time, message, wrong, &raw),
            Ok(fields) => {
                for field in fields.iter().filter(|f| chunked::forbidden_in_trailers(&f.name)) {
                    message.noted.add(Anomaly::ForbiddenTrailer(field.name.clone()));
                }
                if raw.len() > 2 {
                    self.events.push_back(Event::Trailers(Trailers { fields, raw }));
                }
                self.complete(message, time);
            }
        }
    }

    fn fail_body(&mut self, time: Time, message: Message, kind: ErrorKind, near: &[u8]) {
        let error = self.fail(kind, self.offset - near.len() as u64, near);
        self.end_message(message, time, Ending::Truncated, None, Some(error));
    }
}
