//! Bounds what a client may ask of a connection beside requests: resets, and frames that bring nothing; and says what `h2`
//! does not say about frames that break the protocol. No I/O, no clock.
//!
//! Header blocks are not looked into: that would take the whole of HPACK once more, with its state, for each connection. So
//! a block that cannot be decompressed ends the connection with PROTOCOL_ERROR, as `h2` has it, not with COMPRESSION_ERROR
//! (section 4.3); and of a trailer section `h2` keeps pseudo-header fields, and lines beyond the announced size, to itself
//! (up to four times that size; beyond, it ends the connection). Neither reaches an origin.
//!
//! `h2` answers each of these frames as the protocol asks, and does the work or drops it; what it does not ask is how often
//! that goes on. The attacks, by their names: rapid reset (CVE-2023-44487), resets that the server is made to send
//! (MadeYouReset, CVE-2025-8671), floods of PING (CVE-2019-9512), SETTINGS (CVE-2019-9515), PRIORITY (CVE-2019-9513), empty
//! frames (CVE-2019-9518), and windows opened an octet at a time (CVE-2019-9511 and 9517).

use std::collections::VecDeque;
use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
use super::{Http2Limits, PERIOD};
use crate::limits::Limit;

/// Why a frame ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// One too many of them, as the field of this limit says.
    #[error("more of it within 10 s than {} allows", .0.name())]
    Limit(Limit),
    /// RFC 9113 section 4.2. `h2` calls this PROTOCOL_ERROR.
    #[error("a frame of type {0} with a length that this type does not have")]
    Size(u8),
    /// RFC 9113 section 6.5.2. `h2` calls this PROTOCOL_ERROR.
    #[error("an initial window of {0} octets, beyond 2^31-1")]
    Window(u32),
    /// RFC 9113 section 3.4. `h2` lets it pass.
    #[error("the first frame is no SETTINGS frame")]
    Preface,
    /// RFC 9113 section 5.1. `h2` ignores all frames of a stream that it has reset itself, also those that the client sends
    /// after a reset of its own.
    #[error("a frame on stream {0}, which the client has reset")]
    Closed(u32),
}

impl Breach {
    pub fn reason(self) -> Reason {
        match self {
            Self::Limit(_) => Reason::ENHANCE_YOUR_CALM,
            Self::Size(_) => Reason::FRAME_SIZE_ERROR,
            Self::Window(_) => Reason::FLOW_CONTROL_ERROR,
            Self::Preface => Reason::PROTOCOL_ERROR,
            Self::Closed(_) => Reason::STREAM_CLOSED,
        }
    }
}

/// Octets of DATA that pay for one WINDOW_UPDATE: far fewer than clients let pass between two of them.
const OCTETS_FOR_UPDATE: u64 = 1024;

/// The setting of the window that streams begin with, and the largest that a window may be (section 6.9.1).
const INITIAL_WINDOW_SIZE: u16 = 4;
const MOST_WINDOW: u32 = (1 << 31) - 1;

/// Streams reset by the client that are remembered.
const RESET_STREAMS: usize = 32;

/// So many within [`PERIOD`]; each comes back after its share of it.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    share: Duration,
    /// When all of it is there again, if nothing more is taken.
    whole_at: Option<Instant>,
}

impl Allowance {
    fn new(most: u32) -> Self {
        Self { share: PERIOD / most.max(1), whole_at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let whole_at = self.whole_at.unwrap_or(now).max(now) + self.share;
        self.whole_at = Some(whole_at);
        whole_at - now <= PERIOD
    }
}

/// What one connection has done so far.
#[derive(Debug)]
pub struct Watch {
    resets: Allowance,
    frames: Allowance,
    /// Octets of DATA sent that no WINDOW_UPDATE has answered yet.
    sent: u64,
    /// The client's first frame came.
    greeted: bool,
    last_stream: u32,
    /// Streams that the client reset, the latest last.
    reset: VecDeque<u32>,
    /// The header block that is coming in: since when, and whether it opens a stream.
    block: Option<(Instant, bool)>,
    opened: u64,
}

impl Watch {
    pub fn new(limits: &Http2Limits) -> Self {
        Self {
            resets: Allowance::new(limits.resets),
            frames: Allowance::new(limits.frames),
            sent: 0,
            greeted: false,
            last_stream: 0,
            reset: VecDeque::new(),
            block: None,
            opened: 0,
        }
    }

    /// Since when a header block has been coming in that is not at its end.
    pub fn block_since(&self) -> Option<Instant> {
        self.block.map(|(since, _)| since)
    }

    /// Streams whose head has come in, whatever became of them.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// A frame comes in.
    ///
    /// # Errors
    /// It should go no further.
    pub fn coming(&mut self, head: &FrameHead, now: Instant) -> Result<(), Breach> {
        if !std::mem::replace(&mut self.greeted, true) && (head.kind != SETTINGS || head.has(ACK)) {
            return Err(Breach::Preface);
        }
        if !suits(head) {
            return Err(Breach::Size(head.kind));
        }
        if matches!(head.kind, DATA | HEADERS) && self.reset.contains(&head.stream) {
            return Err(Breach::Closed(head.stream));
        }
        let allowed = match head.kind {
            HEADERS => {
                let opens = head.stream > self.last_stream;
                self.last_stream = self.last_stream.max(head.stream);
                self.block = Some((now, opens));
                true
            }
            DATA if head.length > 0 || head.has(END_STREAM) => true,
            // `h2` itself lets no block go on for more than a few of them.
            CONTINUATION => true,
            RST_STREAM if self.resets.take(now) => {
                self.reset.push_back(head.stream);
                if self.reset.len() > RESET_STREAMS {
                    self.reset.pop_front();
                }
                true
            }
            RST_STREAM => return Err(Breach::Limit(Limit::Http2Resets)),
            WINDOW_UPDATE if self.sent >= OCTETS_FOR_UPDATE => {
                self.sent -= OCTETS_FOR_UPDATE;
                true
            }
            // PING, SETTINGS, PRIORITY, GOAWAY, WINDOW_UPDATE without need, empty DATA, and types that nobody knows.
            _ => self.frames.take(now),
        };
        if allowed { Ok(()) } else { Err(Breach::Limit(Limit::Http2Frames)) }
    }

    /// A setting comes in.
    ///
    /// # Errors
    /// It should go no further.
    pub fn setting(&self, id: u16, value: u32) -> Result<(), Breach> {
        if id == INITIAL_WINDOW_SIZE && value > MOST_WINDOW { Err(Breach::Window(value)) } else { Ok(()) }
    }

    /// A frame has come in whole.
    pub fn came(&mut self, head: &FrameHead) {
        if matches!(head.kind, HEADERS | CONTINUATION)
            && head.has(END_HEADERS)
            && let Some((_, opens)) = self.block.take()
        {
            self.opened += u64::from(opens);
        }
    }

    /// A frame was sent whole; `word` is the first of its payload.
    ///
    /// # Errors
    /// It was a reset that the client provoked, one too many.
    pub fn sent(&mut self, head: &FrameHead, word: u32, now: Instant) -> Result<(), Breach> {
        match head.kind {
            DATA => self.sent = self.sent.saturating_add(head.length.into()),
            RST_STREAM if is_provoked(word.into()) && !self.resets.take(now) => {
                return Err(Breach::Limit(Limit::Http2Resets));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a frame has a length that its type may have.
fn suits(head: &FrameHead) -> bool {
    match head.kind {
        SETTINGS if head.has(ACK) => head.length == 0,
        SETTINGS => head.length.is_multiple_of(6),
        PING => head.length == 8,
        RST_STREAM | WINDOW_UPDATE => head.length == 4,
        PRIORITY => head.length == 5,
        GOAWAY => head.length >= 8,
        _ => true,
    }
}

/// Whether a stream is reset for what the client did, rather than for what the origin did or because nobody wants the rest
/// of a request.
fn is_provoked(reason: Reason) -> bool {
    !matches!(reason, Reason::NO_ERROR | Reason::INTERNAL_ERROR | Reason::CANCEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u8, length: u32, flags: u8) -> FrameHead {
        FrameHead { kind, length, flags, stream: 1 }
    }

    fn watch() -> Watch {
        let mut watch = Watch::new(&Http2Limits { resets: 10, frames: 20, ..Http2Limits::default() });
        watch.coming(&head(SETTINGS, 0, 0), Instant::now() - PERIOD).expect("the preface");
        watch
    }

    /// How many of `frame` pass at one instant.
    fn pass(watch: &mut Watch, frame: FrameHead, now: Instant) -> usize {
        (0..1000).take_while(|_| watch.coming(&frame, now).is_ok()).count()
    }

    #[test]
    fn what_brings_nothing_is_limited_and_comes_back_with_time() {
        for frame in [
            head(PING, 8, 0),
            head(PING, 8, ACK),
            head(SETTINGS, 0, 0),
            head(PRIORITY, 5, 0),
            head(DATA, 0, 0),
            head(WINDOW_UPDATE, 4, 0),
            head(0xfa, 100, 0),
        ] {
            let (mut watch, now) = (watch(), Instant::now());
            assert_eq!(pass(&mut watch, frame, now), 20, "{frame:?}");
            assert_eq!(pass(&mut watch, frame, now + PERIOD / 2), 9, "{frame:?}");
            assert_eq!(pass(&mut watch, frame, now + PERIOD * 9), 20, "{frame:?}");
        }
    }

    #[test]
    fn what_brings_something_is_not() {
        for frame in [
            head(DATA, 1, 0),
            head(DATA, 0, END_STREAM),
            head(HEADERS, 20, END_HEADERS),
            head(CONTINUATION, 0, 0),
        ] {
            assert_eq!(pass(&mut watch(), frame, Instant::now()), 1000, "{frame:?}");
        }
    }

    #[test]
    fn octets_sent_pay_for_window_updates() {
        let (mut watch, now) = (watch(), Instant::now());
        for _ in 0..4 {
            watch.sent(&head(DATA, 16_384, 0), 0, now).expect("data");
        }
        assert_eq!(pass(&mut watch, head(WINDOW_UPDATE, 4, 0), now), 64 + 20);
    }

    #[test]
    fn resets_of_both_sides_count_together() {
        let (mut watch, now) = (watch(), Instant::now());
        let sent =
            |watch: &mut Watch, reason: Reason| watch.sent(&head(RST_STREAM, 4, 0), reason.into(), now);
        for _ in 0..5 {
            watch.coming(&head(RST_STREAM, 4, 0), now).expect("within the limit");
            sent(&mut watch, Reason::PROTOCOL_ERROR).expect("within the limit");
        }
        for ours in [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::CANCEL] {
            sent(&mut watch, ours).expect("not the client's doing");
        }
        assert_eq!(sent(&mut watch, Reason::STREAM_CLOSED), Err(Breach::Limit(Limit::Http2Resets)));
    }

    #[test]
    fn streams_are_counted_when_their_head_is_whole() {
        let (mut watch, now) = (watch(), Instant::now());
        let mut frame = |kind, flags, stream| {
            let head = FrameHead { kind, length: 4, flags, stream };
            watch.coming(&head, now).expect("fine");
            watch.came(&head);
            (watch.opened(), watch.block_since().is_some())
        };
        assert_eq!(frame(HEADERS, END_HEADERS, 1), (1, false));
        assert_eq!(frame(HEADERS, 0, 3), (1, true));
        assert_eq!(frame(CONTINUATION, 0, 3), (1, true));
        assert_eq!(frame(CONTINUATION, END_HEADERS, 3), (2, false));
        // A trailer section opens nothing.
        assert_eq!(frame(HEADERS, END_HEADERS, 1), (2, false));
    }

    #[test]
    fn frames_have_the_length_of_their_type() {
        for (frame, fine) in [
            (head(SETTINGS, 6, 0), true),
            (head(SETTINGS, 7, 0), false),
            (head(SETTINGS, 0, ACK), true),
            (head(SETTINGS, 6, ACK), false),
            (head(PING, 7, 0), false),
            (head(PRIORITY, 4, 0), false),
            (head(RST_STREAM, 5, 0), false),
            (head(WINDOW_UPDATE, 3, 0), false),
            (head(GOAWAY, 7, 0), false),
            (head(GOAWAY, 70, 0), true),
        ] {
            let got = watch().coming(&frame, Instant::now());
            assert_eq!(got, if fine { Ok(()) } else { Err(Breach::Size(frame.kind)) }, "{frame:?}");
        }
    }

    #[test]
    fn a_stream_that_was_reset_is_over() {
        let (mut watch, now) = (watch(), Instant::now());
        let frame = |kind, stream| FrameHead { kind, stream, length: 4, flags: END_HEADERS };
        for stream in [1, 3] {
            watch.coming(&frame(HEADERS, stream), now).expect("fine");
        }
        watch.coming(&frame(RST_STREAM, 1), now).expect("fine");
        watch.coming(&frame(DATA, 3), now).expect("another");
        watch.coming(&frame(WINDOW_UPDATE, 1), now).expect("harmless");
        assert_eq!(watch.coming(&frame(DATA, 1), now), Err(Breach::Closed(1)));
        assert_eq!(watch.coming(&frame(HEADERS, 1), now), Err(Breach::Closed(1)));
    }

    #[test]
    fn settings_come_first() {
        for frame in [head(HEADERS, 1, END_HEADERS), head(PING, 8, 0), head(SETTINGS, 0, ACK)] {
            let mut watch = Watch::new(&Http2Limits::default());
            assert_eq!(watch.coming(&frame, Instant::now()), Err(Breach::Preface));
        }
    }
}
