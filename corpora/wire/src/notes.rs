//! From events to whole messages.

use crate::{Anomaly, Close, Error, Event, Extension, Framing, Head, Limits, MessageEnd, StartLine};
use bytes::Bytes;
use exchange::{Body, BodyHasher, Ending, Fields, Request, Response, Seen, Time};

/// What an [`exchange`] message has no place for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Notes {
    /// The head's exact bytes; of a head cut short, those that came.
    pub raw_head: Bytes,
    /// Exact bytes of the heads of the interim responses before it.
    pub raw_interim: Vec<Bytes>,
    /// The trailer section's exact bytes; empty where there is none.
    pub raw_trailers: Bytes,
    /// `None` where there was no head.
    pub framing: Option<Framing>,
    /// Of head, interim heads, body and trailers, without repetition.
    pub anomalies: Vec<Anomaly>,
    /// Chunks with data.
    pub chunks: u64,
    pub extensions: Vec<Extension>,
    /// All bytes of the message, interim responses included.
    pub wire_length: u64,
    /// Bytes of another protocol that followed it.
    pub tunnel: u64,
    /// Why its direction could not be parsed further.
    pub error: Option<Error>,
    /// How its direction ended, where that is what ended this message, or kept it from coming.
    pub closed: Option<Close>,
}

impl Notes {
    fn add(&mut self, anomalies: &[Anomaly]) {
        for anomaly in anomalies {
            if !self.anomalies.contains(anomaly) {
                self.anomalies.push(anomaly.clone());
            }
        }
    }
}

/// A message assembled from the [`Event`]s of one direction, its body hashed and kept up to
/// [`Limits::keep_body`].
#[derive(Debug)]
pub struct Assembler {
    keep: usize,
    interim: Vec<Response>,
    head: Option<Head>,
    body: Option<BodyHasher>,
    trailers: Fields,
    end: Option<MessageEnd>,
    notes: Notes,
}

impl Assembler {
    pub fn new(limits: &Limits) -> Self {
        Assembler::keeping(limits.keep_body)
    }

    /// One that keeps this much of the body.
    pub fn keeping(keep: usize) -> Self {
        Assembler {
            keep,
            interim: Vec::new(),
            head: None,
            body: None,
            trailers: Fields::new(),
            end: None,
            notes: Notes::default(),
        }
    }

    /// Takes in an event.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Head(head) => self.add_head(*head),
            Event::Body { bytes, .. } => {
                if let Some(body) = &mut self.body {
                    body.update(&bytes);
                }
            }
            Event::Trailers(trailers) => {
                self.notes.raw_trailers = trailers.raw;
                self.trailers = trailers.fields;
            }
            Event::End(end) => self.add_end(end),
            Event::Tunnel { bytes, .. } => self.notes.tunnel += bytes.len() as u64,
            Event::PartialHead { raw, .. } => {
                self.notes.wire_length += raw.len() as u64;
                self.notes.raw_head = raw;
            }
            Event::Resumed { .. } => {}
        }
    }

    fn add_head(&mut self, head: Head) {
        self.notes.add(&head.anomalies);
        if head.is_interim() {
            self.notes.raw_interim.push(head.raw.clone());
            let seen = times(&head, None);
            self.interim.push(self::response(head, Body::empty(), seen));
            return;
        }
        self.notes.raw_head = head.raw.clone();
        self.notes.framing = Some(head.framing);
        self.body = Some(BodyHasher::new(self.keep));
        self.head = Some(head);
    }

    fn add_end(&mut self, mut end: MessageEnd) {
        self.notes.wire_length += end.wire_length;
        self.notes.add(&end.anomalies);
        match (&self.head, self.interim.last_mut()) {
            (None, Some(interim)) => interim.seen.end = Some(end.time),
            _ => {
                self.notes.chunks = end.chunks;
                self.notes.extensions = std::mem::take(&mut end.extensions);
                self.notes.error = end.error.clone();
                self.notes.closed = end.closed;
                self.end = Some(end);
            }
        }
    }

    /// The head of the final message, once it is here.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Body bytes so far.
    pub fn body_length(&self) -> u64 {
        self.body.as_ref().map_or(0, BodyHasher::length)
    }

    /// Body bytes kept so far.
    pub fn kept(&self) -> usize {
        usize::try_from(self.body_length()).unwrap_or(usize::MAX).min(self.keep)
    }

    /// Whether the final message has ended.
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    pub(crate) fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// The message so far as a request; `None` where no request head was seen. `seen` says connection, stream and
    /// addresses; times are filled in.
    pub fn into_request(mut self, seen: Seen) -> (Option<Request>, Notes) {
        let body = self.finish_body();
        let end = self.end.map(|e| e.time);
        let request = self.head.and_then(|head| {
            let seen = place(times(&head, end), &seen);
            let StartLine::Request { method, target } = head.start_line else { return None };
            let (version, fields) = (head.version, head.fields);
            Some(Request { version, method, target, fields, body, trailers: self.trailers, seen })
        });
        (request, self.notes)
    }

    /// The message so far as a response with its interim ones; `None` where no final response head was seen.
    pub fn into_response(mut self, seen: Seen) -> (Option<Response>, Notes) {
        let body = self.finish_body();
        let end = self.end.map(|e| e.time);
        let response = self.head.filter(|h| h.status().is_some()).map(|head| {
            let seen = |times| place(times, &seen);
            let (start, trailers) = (times(&head, end), self.trailers);
            let interim = self.interim.into_iter();
            let interim = interim.map(|i| Response { seen: seen(i.seen), ..i }).collect();
            Response { trailers, interim, ..self::response(head, body, seen(start)) }
        });
        (response, self.notes)
    }

    fn finish_body(&mut self) -> Body {
        let ending = self.end.as_ref().map_or(Ending::Truncated, |end| end.ending);
        self.body.take().map_or_else(Body::empty, |body| body.finish(ending))
    }
}

fn response(head: Head, body: Body, seen: Seen) -> Response {
    let (status, reason) = match head.start_line {
        StartLine::Response { status, reason } => (status, reason),
        StartLine::Request { .. } => (0, Bytes::new()),
    };
    Response {
        version: head.version,
        status,
        reason,
        body,
        seen,
        ..Response::new(status, head.fields, Body::empty())
    }
}

fn times(head: &Head, end: Option<Time>) -> Seen {
    Seen { start: head.start, head_end: Some(head.end), end, ..Seen::default() }
}

/// The times of one, connection, stream and addresses of the other.
fn place(times: Seen, place: &Seen) -> Seen {
    Seen { start: times.start, head_end: times.head_end, end: times.end, ..place.clone() }
}
