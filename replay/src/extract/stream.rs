//! From segments to transactions.

use super::{Foreign, Options, Recorded, Summary};
use bytes::Bytes;
use exchange::{Source, Time};
use std::collections::HashMap;
use wire::tcp::{FlowEvent, FlowLimits, Flows, Segment};
use wire::{Connection, ConnectionEvent, Counts, Direction, Exchanged, Limits};

/// All connections of a capture.
pub(super) struct Streams {
    flows: Flows,
    open: HashMap<u64, Stream>,
    limits: Limits,
    source: Source,
}

struct Stream {
    http: Connection,
    /// Bytes of something else than HTTP/1 are counted and not parsed.
    foreign: Option<(Foreign, u64)>,
    begun: bool,
    transactions: u64,
    failed: bool,
    name: String,
}

impl Streams {
    pub fn new(source: Source, options: &Options) -> Self {
        let limits = Limits { keep_body: options.keep_body, ..Limits::default() };
        Streams { flows: Flows::new(FlowLimits::default()), open: HashMap::new(), limits, source }
    }

    pub fn push(&mut self, segment: &Segment, summary: &mut Summary, sink: &mut dyn FnMut(Recorded)) {
        self.flows.push(segment);
        self.drain(summary, sink);
    }

    /// The capture has ended.
    pub fn finish(mut self, summary: &mut Summary, sink: &mut dyn FnMut(Recorded)) {
        self.flows.finish();
        self.drain(summary, sink);
        summary.payload = self.flows.counts();
        // Every connection has been closed by now; this is for a reassembly that forgets to say so.
        for stream in std::mem::take(&mut self.open).into_values() {
            stream.close(summary);
        }
    }

    fn drain(&mut self, summary: &mut Summary, sink: &mut dyn FnMut(Recorded)) {
        while let Some(event) = self.flows.next_event() {
            match event {
                FlowEvent::Opened { connection, client, server, mid_stream, .. } => {
                    summary.connections += 1;
                    summary.mid_stream += u64::from(mid_stream);
                    let http = Connection::new(connection, self.limits.clone()).between(client, server);
                    let name = format!("{client} to {server}");
                    let stream =
                        Stream { http, foreign: None, begun: false, transactions: 0, failed: false, name };
                    self.open.insert(connection, stream);
                }
                FlowEvent::Bytes { connection, direction, bytes, time } => {
                    self.with(connection, summary, sink, |s| s.push(direction, time, bytes));
                }
                FlowEvent::Gap { connection, direction, time, .. } => {
                    summary.gaps += 1;
                    self.with(connection, summary, sink, |s| {
                        s.begun = true;
                        s.http.gap(direction, time);
                    });
                }
                FlowEvent::Ended { connection, direction, how, time } => {
                    self.with(connection, summary, sink, |s| s.http.finish(direction, time, how));
                }
                FlowEvent::Closed { connection, .. } => {
                    if let Some(stream) = self.open.remove(&connection) {
                        stream.close(summary);
                    }
                }
            }
        }
    }

    fn with(
        &mut self,
        connection: u64,
        summary: &mut Summary,
        sink: &mut dyn FnMut(Recorded),
        act: impl FnOnce(&mut Stream),
    ) {
        let Some(stream) = self.open.get_mut(&connection) else { return };
        act(stream);
        while let Some(event) = stream.http.next_event() {
            match event {
                ConnectionEvent::Message { .. } => {}
                ConnectionEvent::Exchanged(exchanged) => {
                    stream.transactions += 1;
                    let recorded = recorded(*exchanged, &self.source);
                    summary.saw_transaction(&recorded);
                    sink(recorded);
                }
                ConnectionEvent::Failed { direction, error } => {
                    stream.failed = true;
                    let way = match direction {
                        Direction::ToServer => "requests",
                        Direction::ToClient => "responses",
                    };
                    let entry = summary
                        .parse_errors
                        .entry(error.kind.to_string())
                        .or_insert_with(|| (0, format!("{}, {way}, {error}", stream.name)));
                    entry.0 += 1;
                }
            }
        }
    }
}

impl Stream {
    fn push(&mut self, direction: Direction, time: Time, bytes: Bytes) {
        if !self.begun {
            self.begun = true;
            self.foreign = foreign(direction, &bytes).map(|what| (what, 0));
        }
        match &mut self.foreign {
            Some((_, count)) => *count += bytes.len() as u64,
            None => self.http.push(direction, time, bytes),
        }
    }

    fn close(self, summary: &mut Summary) {
        if let Some((what, bytes)) = self.foreign {
            *summary.foreign.entry(what).or_default() += 1;
            *summary.foreign_bytes.entry(what).or_default() += bytes;
        } else if self.transactions > 0 {
            summary.http_connections += 1;
        } else if self.failed {
            *summary.foreign.entry(Foreign::Other).or_default() += 1;
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            add(&mut summary.streams, self.http.counts(direction));
        }
    }
}

fn recorded(exchanged: Exchanged, source: &Source) -> Recorded {
    let mut exchanged = exchanged;
    let request_notes = std::mem::take(&mut exchanged.request_notes);
    let response_notes = std::mem::take(&mut exchanged.response_notes);
    Recorded::new(exchanged.into_client_side(source.clone()), request_notes, response_notes)
}

/// Tells by a connection's first bytes that it is not HTTP/1.
fn foreign(direction: Direction, first: &[u8]) -> Option<Foreign> {
    let to_server = direction == Direction::ToServer;
    match first {
        // A handshake record of any TLS version, from either side.
        [0x16, 0x03, 0..=4, ..] => Some(Foreign::Tls),
        _ if to_server && first.starts_with(b"PRI * HTTP/2") => Some(Foreign::Http2),
        _ => None,
    }
}

fn add(sum: &mut Counts, more: Counts) {
    sum.pushed += more.pushed;
    sum.heads += more.heads;
    sum.bodies += more.bodies;
    sum.framing += more.framing;
    sum.tunnel += more.tunnel;
    sum.discarded += more.discarded;
    sum.waiting += more.waiting;
}
