//! TCP segments to the byte streams they came from (RFC 9293), as pure code.
//!
//! Give [`Flows`] each captured segment; it keys connections by their two addresses and ports, puts bytes in order
//! and says what is missing. Cutting, order, duplication and overlap of segments make no difference to the bytes.
//! Where a retransmission carries other bytes than the first transmission, the first wins and it is counted.

mod flows;
mod stream;

pub use flows::Flows;

use crate::Direction;
use bytes::Bytes;
use exchange::Time;
use std::net::SocketAddr;

/// One TCP segment as captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub time: Time,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: u32,
    /// The acknowledgment number, where the ACK flag is set.
    pub ack: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub payload: Bytes,
    /// Payload bytes on the wire that the capture cut off (its snap length); they become a gap.
    pub cut_off: u32,
}

/// Bounds for reassembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Connections followed at once; the one idle longest is given up for a new one. Default 65 536.
    pub connections: usize,
    /// Bytes held in one direction behind a hole; over it the hole is given up as lost. Default 4 MiB.
    pub held: usize,
    /// Bytes held in all directions together; over it the hole at hand is given up. Default 256 MiB.
    pub held_total: usize,
    /// Segments held in one direction behind a hole. Default 16 384.
    pub segments: usize,
    /// How far ahead of the stream a segment may be. Default 1 GiB, the largest TCP window (RFC 7323).
    pub window: u32,
    /// Delivered bytes kept in each direction to compare retransmissions with. Default 64 KiB.
    pub history: usize,
    /// How long after its acknowledgment a hole may still be filled, by the capture's clock. Default 2 s.
    pub patience: std::time::Duration,
}

impl Default for FlowLimits {
    fn default() -> Self {
        FlowLimits {
            connections: 65_536,
            held: 4 << 20,
            held_total: 256 << 20,
            segments: 16_384,
            window: 1 << 30,
            history: 64 << 10,
            patience: std::time::Duration::from_secs(2),
        }
    }
}

/// What [`Flows`] found. Connections are numbered from 0 in the order their first segment came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// A connection, before its first bytes. `mid_stream`: no handshake was seen, and who is the client was told
    /// from the first bytes or the port numbers.
    Opened { connection: u64, client: SocketAddr, server: SocketAddr, mid_stream: bool, time: Time },
    /// Bytes in order. `time`: when they were first seen.
    Bytes { connection: u64, direction: Direction, bytes: Bytes, time: Time },
    /// Bytes that the capture does not hold. `missing` is zero for a start that was not seen.
    Gap { connection: u64, direction: Direction, missing: u64, time: Time },
    /// A direction has ended; no more of its bytes follow.
    Ended { connection: u64, direction: Direction, how: crate::Close, time: Time },
    /// Both directions have ended, and this is what became of the connection's segments.
    Closed { connection: u64, to_server: StreamCounts, to_client: StreamCounts },
}

/// What became of one direction's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StreamCounts {
    /// Segments, with or without payload.
    pub segments: u64,
    /// Payload bytes captured.
    pub payload: u64,
    /// Bytes given out.
    pub delivered: u64,
    /// Bytes seen before: retransmissions, overlaps, keep-alive probes.
    pub duplicate: u64,
    /// Of the duplicate ones, those that differ from what came first, as far back as [`FlowLimits::history`].
    pub conflicting: u64,
    /// Bytes of holes that had been given up before they came.
    pub late: u64,
    /// Bytes too far from the stream to belong to it.
    pub outside: u64,
    /// Bytes after FIN or RST.
    pub after_end: u64,
    /// Bytes behind a hole, not given out yet.
    pub held: u64,
    /// Bytes the sender sent and the capture does not hold.
    pub missing: u64,
    /// Segments that came before an earlier one.
    pub out_of_order: u64,
    /// Keep-alive probes.
    pub keep_alive: u64,
}

impl StreamCounts {
    /// Whether every captured byte is accounted for.
    pub fn balance(&self) -> bool {
        self.payload
            == self.delivered + self.duplicate + self.late + self.outside + self.after_end + self.held
    }
}

impl std::ops::AddAssign for StreamCounts {
    fn add_assign(&mut self, other: Self) {
        self.segments += other.segments;
        self.payload += other.payload;
        self.delivered += other.delivered;
        self.duplicate += other.duplicate;
        self.conflicting += other.conflicting;
        self.late += other.late;
        self.outside += other.outside;
        self.after_end += other.after_end;
        self.held += other.held;
        self.missing += other.missing;
        self.out_of_order += other.out_of_order;
        self.keep_alive += other.keep_alive;
    }
}
