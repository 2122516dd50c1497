//! The account of a capture: every packet and every byte ends in exactly one state.

use super::{Recorded, Skipped, Unusable};
use capture::Packet;
use exchange::Time;
use report::Ledger;
use std::collections::BTreeMap;
use wire::Counts;
use wire::tcp::StreamCounts;

/// Most kinds of anomalies that are told apart.
const ANOMALIES: usize = 200;

/// What a connection carries that is no HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Foreign {
    Tls,
    Http2,
    Other,
}

impl Foreign {
    /// As a ledger names it.
    pub fn name(self) -> &'static str {
        match self {
            Foreign::Tls => "TLS (encrypted)",
            Foreign::Http2 => "HTTP/2",
            Foreign::Other => "not HTTP/1",
        }
    }
}

/// What was found in a capture.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Summary {
    /// The native format: no packets, whose counts are zero then.
    pub is_native: bool,
    pub packets: u64,
    /// Bytes of all packets as captured.
    pub packet_bytes: u64,
    /// Packets of which the capture kept only a part.
    pub cut_packets: u64,
    pub first: Option<Time>,
    pub last: Option<Time>,
    /// Packets that are TCP segments.
    pub segments: u64,
    /// All other packets.
    pub skipped: BTreeMap<Skipped, u64>,
    /// What became of the segments' payload, over all connections.
    pub payload: StreamCounts,
    /// What became of the bytes of reassembled streams.
    pub streams: Counts,
    /// Bytes of connections that carry no HTTP/1, by what they carry.
    pub foreign_bytes: BTreeMap<Foreign, u64>,
    pub connections: u64,
    /// Connections whose start was not captured.
    pub mid_stream: u64,
    /// Connections with at least one transaction.
    pub http_connections: u64,
    /// Connections that carry something else.
    pub foreign: BTreeMap<Foreign, u64>,
    /// Places in streams where bytes are missing.
    pub gaps: u64,
    pub transactions: u64,
    /// Of these, those that are whole.
    pub whole: u64,
    pub unusable: BTreeMap<Unusable, u64>,
    /// Body bytes of requests and responses, after transfer decoding.
    pub body_bytes: u64,
    /// Interim (1xx) responses.
    pub interim: u64,
    /// Why directions could not be parsed further, with how often and the first place.
    pub parse_errors: BTreeMap<String, (u64, String)>,
    /// Liberties that senders took, by name.
    pub anomalies: BTreeMap<String, u64>,
    /// DNS exchanges of a native capture.
    pub dns: u64,
    /// Records of a native capture that this build does not know or that are too long.
    pub unknown_records: u64,
    /// Why the file could not be read to its end.
    pub file_error: Option<String>,
}

impl Summary {
    pub(super) fn saw_packet(&mut self, packet: &Packet, now: Time) {
        self.packets += 1;
        self.packet_bytes += packet.data.len() as u64;
        self.cut_packets += u64::from((packet.data.len() as u64) < u64::from(packet.length));
        self.first = Some(self.first.map_or(now, |first| first.min(now)));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
    }

    pub(super) fn saw_transaction(&mut self, recorded: &Recorded) {
        self.transactions += 1;
        match recorded.fault() {
            None => self.whole += 1,
            Some(reason) => *self.unusable.entry(reason).or_default() += 1,
        }
        if self.is_native {
            let (start, end) = (recorded.start(), recorded.end());
            self.first = Some(self.first.map_or(start, |first| first.min(start)));
            self.last = Some(self.last.map_or(end, |last| last.max(end)));
        }
        self.body_bytes += recorded.request().map_or(0, |r| r.body.length);
        self.body_bytes += recorded.response().map_or(0, |r| r.body.length);
        self.interim += recorded.response().map_or(0, |r| r.interim.len() as u64);
        for anomaly in recorded.request_notes.anomalies.iter().chain(&recorded.response_notes.anomalies) {
            let mut name = anomaly.to_string();
            // Some quote what was sent: a hostile capture could name as many as it has messages.
            if self.anomalies.len() >= ANOMALIES && !self.anomalies.contains_key(&name) {
                name = "others".to_owned();
            }
            *self.anomalies.entry(name).or_default() += 1;
        }
    }

    /// Totals with their parts. For a native capture only that of the transactions says something.
    pub fn ledgers(&self) -> Vec<Ledger> {
        let mut ledgers = Vec::new();
        if !self.is_native {
            let mut packets = Ledger::new("packets", self.packets).with("TCP segments", self.segments);
            for (reason, count) in &self.skipped {
                packets = packets.with(reason.name(), *count);
            }
            let p = &self.payload;
            let payload = Ledger::new("TCP payload bytes", p.payload)
                .with("in streams", p.delivered)
                .with("repeated", p.duplicate)
                .with("of holes that were given up", p.late)
                .with("outside their stream", p.outside)
                .with("after the stream's end", p.after_end)
                .with("behind a hole", p.held);
            let s = &self.streams;
            let mut streams = Ledger::new("stream bytes", p.delivered)
                .with("message heads", s.heads)
                .with("bodies", s.bodies)
                .with("chunk framing and trailers", s.framing)
                .with("after a switch of protocols", s.tunnel)
                .with("without meaning", s.discarded)
                .with("waiting", s.waiting);
            for (what, bytes) in &self.foreign_bytes {
                streams = streams.with(what.name(), *bytes);
            }
            let carried = self.foreign.values().sum::<u64>() + self.http_connections;
            let mut connections =
                Ledger::new("connections", self.connections).with("HTTP/1", self.http_connections);
            for (what, count) in &self.foreign {
                connections = connections.with(what.name(), *count);
            }
            let connections = connections.with("without a request", self.connections.saturating_sub(carried));
            ledgers.extend([packets, payload, streams, connections]);
        }
        let mut transactions = Ledger::new("transactions", self.transactions).with("whole", self.whole);
        for (reason, count) in &self.unusable {
            transactions = transactions.with(reason.name(), *count);
        }
        ledgers.push(transactions);
        ledgers
    }
}
