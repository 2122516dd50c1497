//! From segments to transactions.

use super::{Foreign, Found, Options, Recorded, Summary};
use bytes::Bytes;
use exchange::{Source, Time};
use std::collections::HashMap;
use std::net::SocketAddr;
use wire::tcp::{FlowEvent, FlowLimits, Flows, Segment, StreamCounts};
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
    client: SocketAddr,
    server: SocketAddr,
    mid_stream: bool,
    gaps: u64,
}

/// A TCP connection of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// From 0 in the order of the connections' first segments; `seen.connection` of its messages.
    pub number: u64,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// Its start was not captured.
    pub mid_stream: bool,
    /// What it carries, where that is no HTTP/1.
    pub foreign: Option<Foreign>,
    pub transactions: u64,
    /// Places where bytes are missing.
    pub gaps: u64,
    pub to_server: StreamCounts,
    pub to_client: StreamCounts,
}

impl Streams {
    pub fn new(source: Source, options: &Options) -> Self {
        let limits = Limits { keep_body: options.keep_body, ..Limits::default() };
        Streams { flows: Flows::new(FlowLimits::default()), open: HashMap::new(), limits, source }
    }

    pub fn push(&mut self, segment: &Segment, summary: &mut Summary, sink: &mut dyn FnMut(Found)) {
        self.flows.push(segment);
        self.drain(summary, sink);
    }

    /// The capture has ended.
    pub fn finish(mut self, summary: &mut Summary, sink: &mut dyn FnMut(Found)) {
        self.flows.finish();
        self.drain(summary, sink);
        summary.payload = self.flows.counts();
        // Every connection has been closed by now; this is for a reassembly that forgets to say so.
        for (number, stream) in std::mem::take(&mut self.open) {
            sink(Found::Flow(Box::new(stream.close(number, summary))));
        }
    }

    fn drain(&mut self, summary: &mut Summary, sink: &mut dyn FnMut(Found)) {
        while let Some(event) = self.flows.next_event() {
            match event {
                FlowEvent::Opened { connection, client, server, mid_stream, .. } => {
                    summary.connections += 1;
                    summary.mid_stream += u64::from(mid_stream);
                    let http = Connection::new(connection, self.limits.clone())
                        .between(client, server)
                        .whole_messages();
                    let stream = Stream {
                        http,
                        foreign: None,
                        begun: false,
                        transactions: 0,
                        failed: false,
                        client,
                        server,
                        mid_stream,
                        gaps: 0,
                    };
                    self.open.insert(connection, stream);
                }
                FlowEvent::Bytes { connection, direction, bytes, time } => {
                    self.with(connection, summary, sink, |s| s.push(direction, time, bytes));
                }
                FlowEvent::Gap { connection, direction, time, .. } => {
                    summary.gaps += 1;
                    self.with(connection, summary, sink, |s| {
                        s.begun = true;
                        s.gaps += 1;
                        s.http.gap(direction, time);
                    });
                }
                FlowEvent::Ended { connection, direction, how, time } => {
                    self.with(connection, summary, sink, |s| s.http.finish(direction, time, how));
                }
                FlowEvent::Closed { connection, to_server, to_client } => {
                    if let Some(stream) = self.open.remove(&connection) {
                        let flow = stream.close(connection, summary);
                        sink(Found::Flow(Box::new(Flow { to_server, to_client, ..flow })));
                    }
                }
            }
        }
    }

    fn with(
        &mut self,
        connection: u64,
        summary: &mut Summary,
        sink: &mut dyn FnMut(Found),
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
                    sink(Found::Transaction(Box::new(recorded)));
                }
                ConnectionEvent::Failed { direction, error } => {
                    stream.failed = true;
                    let way = match direction {
                        Direction::ToServer => "requests",
                        Direction::ToClient => "responses",
                    };
                    let entry = summary.parse_errors.entry(error.kind.to_string()).or_insert_with(|| {
                        (0, format!("{} to {}, {way}, {error}", stream.client, stream.server))
                    });
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

    fn close(self, number: u64, summary: &mut Summary) -> Flow {
        let foreign = match self.foreign {
            Some((what, bytes)) => {
                *summary.foreign_bytes.entry(what).or_default() += bytes;
                Some(what)
            }
            None if self.transactions == 0 && self.failed => Some(Foreign::Other),
            None => None,
        };
        match foreign {
            Some(what) => *summary.foreign.entry(what).or_default() += 1,
            None => summary.http_connections += u64::from(self.transactions > 0),
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            add(&mut summary.streams, self.http.counts(direction));
        }
        Flow {
            number,
            client: self.client,
            server: self.server,
            mid_stream: self.mid_stream,
            foreign,
            transactions: self.transactions,
            gaps: self.gaps,
            to_server: StreamCounts::default(),
            to_client: StreamCounts::default(),
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
