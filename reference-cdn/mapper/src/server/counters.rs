//! What a server counts. Each thread writes its own numbers and nobody else's, so that counting takes no lock and no line of a
//! cache goes from core to core; whoever wants to know adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::bind::UdpSocket;
use super::mmsg::overflowed;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Datagrams taken from the kernel.
    Received,
    /// Responses that the kernel took for sending.
    Answered,
    /// Calls that took at least one datagram.
    Batches,
    /// The responder had nothing to say: no query, or a rate limit.
    Silent,
    /// Shorter than a header of DNS (RFC 1035 section 4.1.1), which includes empty ones.
    Short,
    /// Longer than any query.
    Long,
    /// From port 0, which nobody can be answered at.
    PortZero,
    /// In the name of one of our own listeners: answering would be talking to ourselves.
    Own,
    /// Sent to a group or to everybody.
    NotUnicast,
    /// Responses that the kernel refused to send.
    Refused,
    /// Errors in receiving.
    Failed,
    /// Queries lost to a fault of ours: the responder panicked, or said that it wrote more than there was room for. Of either
    /// kind of thread.
    Faults,

    /// Connections accepted.
    Connections,
    /// Of those, with TLS, and the handshake made.
    Handshakes,
    /// TLS handshakes that failed or took too long.
    HandshakesFailed,
    /// Queries that came in streams.
    StreamQueries,
    /// Responses to them, handed to the kernel or to TLS.
    StreamAnswers,
    /// Queries in streams that the responder had nothing to say to.
    StreamSilent,
    /// Connections closed by their client.
    ClosedByClient,
    /// Connections that broke: reset, or TLS that is none.
    ClosedBroken,
    /// Connections closed because nothing was asked.
    ClosedIdle,
    /// Connections closed because a query took too long to come.
    ClosedReading,
    /// Connections closed because their client did not take its answers, or too many waited for such clients.
    ClosedWriting,
    /// Connections closed because they lasted too long or had asked enough.
    ClosedSpent,
    /// Connections closed because of a query that is too long or too short.
    ClosedMalformed,
    /// Connections closed to make room for others.
    ClosedForRoom,
    /// Times that accepting failed.
    AcceptFailed,
}

impl Count {
    pub const ALL: [Self; 27] = [
        Self::Received,
        Self::Answered,
        Self::Batches,
        Self::Silent,
        Self::Short,
        Self::Long,
        Self::PortZero,
        Self::Own,
        Self::NotUnicast,
        Self::Refused,
        Self::Failed,
        Self::Faults,
        Self::Connections,
        Self::Handshakes,
        Self::HandshakesFailed,
        Self::StreamQueries,
        Self::StreamAnswers,
        Self::StreamSilent,
        Self::ClosedByClient,
        Self::ClosedBroken,
        Self::ClosedIdle,
        Self::ClosedReading,
        Self::ClosedWriting,
        Self::ClosedSpent,
        Self::ClosedMalformed,
        Self::ClosedForRoom,
        Self::AcceptFailed,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "udp_received",
            Self::Answered => "udp_answered",
            Self::Batches => "udp_batches",
            Self::Silent => "udp_dropped_silent",
            Self::Short => "udp_dropped_short",
            Self::Long => "udp_dropped_long",
            Self::PortZero => "udp_dropped_port_zero",
            Self::Own => "udp_dropped_own",
            Self::NotUnicast => "udp_dropped_not_unicast",
            Self::Refused => "udp_send_refused",
            Self::Failed => "udp_receive_failed",
            Self::Faults => "responder_faults",
            Self::Connections => "stream_connections",
            Self::Handshakes => "stream_handshakes",
            Self::HandshakesFailed => "stream_handshakes_failed",
            Self::StreamQueries => "stream_queries",
            Self::StreamAnswers => "stream_answers",
            Self::StreamSilent => "stream_silent",
            Self::ClosedByClient => "stream_closed_by_client",
            Self::ClosedBroken => "stream_closed_broken",
            Self::ClosedIdle => "stream_closed_idle",
            Self::ClosedReading => "stream_closed_reading",
            Self::ClosedWriting => "stream_closed_writing",
            Self::ClosedSpent => "stream_closed_spent",
            Self::ClosedMalformed => "stream_closed_malformed",
            Self::ClosedForRoom => "stream_closed_for_room",
            Self::AcceptFailed => "stream_accept_failed",
        }
    }
}

/// The counters of one thread.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// Only the thread that these belong to may call this.
    pub(super) fn add(&self, what: Count, by: u64) {
        let counter = &self.0[what as usize];
        // One writer: no read-modify-write is needed, which would lock the line.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize].load(Ordering::Relaxed)
    }
}

/// The counters of all threads of a server.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) threads: Vec<Arc<Counters>>,
    pub(super) sockets: Vec<Weak<UdpSocket>>,
    pub(super) gone: Arc<AtomicUsize>,
}

impl Metrics {
    /// Of all threads together.
    pub fn get(&self, what: Count) -> u64 {
        self.threads.iter().map(|thread| thread.get(what)).fold(0, u64::wrapping_add)
    }

    /// Of each thread: those for UDP first, then those for streams.
    pub fn threads(&self) -> impl Iterator<Item = &Counters> {
        self.threads.iter().map(|thread| &**thread)
    }

    /// Threads that ended though nobody stopped the server. What they would have answered stays unanswered.
    pub fn threads_gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// Datagrams that came while their socket's buffer was full: nobody here has seen them. Raise `udp.receive_buffer`, or
    /// answer on more cores.
    pub fn overflowed(&self) -> u64 {
        let of = |socket: &Weak<UdpSocket>| socket.upgrade().and_then(|it| overflowed(it.fd())).unwrap_or(0);
        self.sockets.iter().map(of).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_place_and_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Count::ALL.iter().map(|count| count.name()).collect();
        assert_eq!(names.len(), Count::ALL.len());
        for (at, count) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, at);
        }
    }
}
