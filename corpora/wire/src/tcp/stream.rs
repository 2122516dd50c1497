//! One direction of a TCP connection: segments in any order to bytes in order.
//!
//! Places in the stream are 64-bit offsets, so that nothing else has to know that sequence numbers wrap:
//!
//! ```text
//!   known (delivered, or given up)   hole      held        hole    held
//! ──────────────────────────────────┬────────┬───────────┬───────┬──────┬───▶ offset
//!                                   next     first key in `held`        end (FIN), if seen
//! ```

use super::{FlowLimits, StreamCounts};
use crate::Close;
use bytes::Bytes;
use exchange::Time;
use std::collections::{BTreeMap, VecDeque};

/// What a stream gives out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Out {
    Bytes(Bytes, Time),
    Gap(u64, Time),
    Ended(Close, Time),
}

impl Out {
    /// What comes first among two directions: by time, and at the same time an end comes last.
    pub fn order(&self) -> (Time, bool) {
        match self {
            Out::Bytes(_, time) | Out::Gap(_, time) => (*time, false),
            Out::Ended(_, time) => (*time, true),
        }
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    /// The sequence number at [`ORIGIN`]: the first one seen.
    origin: Option<u32>,
    /// The offset of the first byte not known; none before the start is decided.
    next: Option<u64>,
    /// The start, where a SYN or the peer's acknowledgment of it told it.
    start: Option<u64>,
    held: BTreeMap<u64, (Bytes, Time)>,
    held_bytes: usize,
    /// Ranges that the capture cut off its segments.
    cut_off: BTreeMap<u64, u64>,
    /// Where FIN stands, and when it was seen.
    end: Option<(u64, Time)>,
    /// The peer has acknowledged up to here, beyond `next`, since then.
    acked: Option<(u64, Time)>,
    /// When the first segment was seen that waits for a start.
    waiting_since: Option<Time>,
    ended: bool,
    /// The last bytes given out, up to `next`.
    history: VecDeque<Bytes>,
    history_bytes: usize,
    /// Holes given up, the last ones.
    given_up: VecDeque<(u64, u64)>,
    pub counts: StreamCounts,
    pub out: Vec<Out>,
}

/// The offset of the first segment seen; what came before it on the wire has smaller ones.
const ORIGIN: u64 = 1 << 40;
/// Bytes that a stream without handshake may hold before it starts with the lowest it has.
const START_BYTES: usize = 64 << 10;
/// Holes remembered.
const GIVEN_UP: usize = 64;

impl Stream {
    pub fn new() -> Self {
        Stream {
            origin: None,
            next: None,
            start: None,
            held: BTreeMap::new(),
            held_bytes: 0,
            cut_off: BTreeMap::new(),
            end: None,
            acked: None,
            waiting_since: None,
            ended: false,
            history: VecDeque::new(),
            history_bytes: 0,
            given_up: VecDeque::new(),
            counts: StreamCounts::default(),
            out: Vec::new(),
        }
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether bytes wait for a start.
    pub fn waits(&self) -> bool {
        !self.ended && self.next.is_none() && self.waiting_since.is_some()
    }

    /// The first bytes there are, to guess what is spoken.
    pub fn first_bytes(&self) -> &[u8] {
        self.held.values().next().map_or(b"", |(bytes, _)| bytes)
    }

    /// The offset of a sequence number, the one nearest to where the stream is.
    fn offset(&mut self, seq: u32) -> u64 {
        let origin = *self.origin.get_or_insert(seq);
        let here = self.next.unwrap_or(ORIGIN);
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2^32")]
        let seq_here = origin.wrapping_add((here.wrapping_sub(ORIGIN)) as u32);
        let ahead = seq.wrapping_sub(seq_here).cast_signed();
        here.wrapping_add_signed(i64::from(ahead))
    }

    /// Whether the first byte of the stream may have this sequence number, given what is known.
    pub fn may_start_at(&mut self, seq: u32, window: u32) -> bool {
        let at = self.offset(seq);
        if let Some(start) = self.start {
            return start == at;
        }
        // Bytes given out before cannot come before the start.
        let lowest = self.held.keys().next().copied().unwrap_or(at);
        self.next.is_none() && at <= lowest && lowest - at <= u64::from(window)
    }

    /// The first byte has this sequence number: a SYN, or its acknowledgment, was seen.
    pub fn start(&mut self, seq: u32, now: Time) {
        let at = self.offset(seq);
        if self.next.is_none() {
            self.start = Some(at);
            self.next = Some(at);
            self.drain(now);
        }
    }

    /// Whether a reset with this sequence number belongs to the stream.
    pub fn takes_reset(&mut self, seq: u32, window: u32) -> bool {
        let at = self.offset(seq);
        self.next.is_none_or(|next| at.abs_diff(next) <= u64::from(window))
    }

    /// A segment without its SYN: `seq` is that of the first payload byte.
    pub fn segment(
        &mut self,
        seq: u32,
        payload: &Bytes,
        cut_off: u32,
        fin: bool,
        now: Time,
        limits: &FlowLimits,
    ) {
        let at = self.offset(seq);
        let length = payload.len() as u64;
        self.counts.payload += length;
        if self.next.is_none() && (length > 0 || cut_off > 0 || fin) {
            self.waiting_since.get_or_insert(now);
        }
        let here = self.next.unwrap_or(ORIGIN);
        if at.abs_diff(here) > u64::from(limits.window) {
            self.counts.outside += length;
            return;
        }
        if self.ended {
            self.after_end(at, payload);
            return;
        }
        let after = at + length + u64::from(cut_off);
        if cut_off > 0 && after > here {
            self.cut_off.insert(at + length, after);
        }
        if self.next == Some(at + 1) && length <= 1 && !fin && length + u64::from(cut_off) <= 1 {
            self.counts.keep_alive += u64::from(self.is_probe(length));
        }
        if length > 0 {
            if self.next.is_some_and(|next| at > next) {
                self.counts.out_of_order += 1;
            }
            self.insert(at, payload, now);
        }
        if fin && self.end.is_none() && self.next.is_none_or(|next| after >= next) {
            self.end = Some((after, now));
        }
        self.drain(now);
        self.enforce(now, limits);
    }

    /// A segment one byte back with at most one byte of payload (RFC 9293 section 3.8.4). Without payload and
    /// before any data it may be anything else.
    fn is_probe(&self, length: u64) -> bool {
        length == 1 || self.counts.delivered > 0
    }

    /// Bytes after FIN or RST: known ones are duplicates.
    fn after_end(&mut self, at: u64, payload: &Bytes) {
        let next = self.next.unwrap_or(at);
        let known = next.saturating_sub(at).min(payload.len() as u64);
        self.known(at, &payload.slice(..to_usize(known)));
        self.counts.after_end += payload.len() as u64 - known;
    }

    /// Takes in the bytes that are new; of overlapping ones the first wins.
    fn insert(&mut self, mut at: u64, payload: &Bytes, now: Time) {
        let mut payload = payload.clone();
        if let Some(next) = self.next {
            let known = next.saturating_sub(at).min(payload.len() as u64);
            let old = payload.split_to(to_usize(known));
            self.known(at, &old);
            at += known;
        }
        while !payload.is_empty() {
            // The piece at or before `at` covers its beginning, or else the next one bounds what is new.
            let before =
                self.held.range(..=at).next_back().map(|(start, (bytes, _))| (*start, bytes.clone()));
            if let Some((start, bytes)) = before
                && start + bytes.len() as u64 > at
            {
                let skip = to_usize(at - start);
                let same = payload.len().min(bytes.len() - skip);
                let old = payload.split_to(same);
                self.counts.duplicate += same as u64;
                self.counts.conflicting += differing(&old, &bytes[skip..skip + same]);
                at += same as u64;
                continue;
            }
            let bound = self.held.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
            let new = payload.split_to(payload.len().min(to_usize(bound - at)));
            self.held_bytes += new.len();
            self.counts.held += new.len() as u64;
            let length = new.len() as u64;
            self.held.insert(at, (new, now));
            at += length;
        }
    }

    /// Bytes before `next`: duplicates of delivered ones, or late ones of a hole that was given up.
    fn known(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len() as u64;
        let overlap = |(from, to): &(u64, u64)| end.min(*to).saturating_sub(at.max(*from));
        let late: u64 = self.given_up.iter().map(overlap).sum();
        self.counts.late += late;
        self.counts.duplicate += bytes.len() as u64 - late;
        let mut piece_end = self.next.unwrap_or(end);
        for piece in self.history.iter().rev() {
            let piece_start = piece_end - piece.len() as u64;
            let (from, to) = (at.max(piece_start), end.min(piece_end));
            if from < to {
                let new = &bytes[to_usize(from - at)..to_usize(to - at)];
                let old = &piece[to_usize(from - piece_start)..to_usize(to - piece_start)];
                self.counts.conflicting += differing(new, old);
            }
            if piece_start <= at {
                break;
            }
            piece_end = piece_start;
        }
    }

    /// Gives out what is in order.
    fn drain(&mut self, now: Time) {
        let Some(mut next) = self.next else { return };
        loop {
            if let Some((end, seen)) = self.end
                && next >= end
            {
                self.next = Some(next);
                self.finish(Close::Fin, seen.max(now));
                return;
            }
            if let Some(first) = self.held.first_entry().filter(|e| *e.key() == next) {
                let (mut bytes, time) = first.remove();
                self.held_bytes -= bytes.len();
                self.counts.held -= bytes.len() as u64;
                if let Some((end, _)) = self.end {
                    let after = bytes.split_off(bytes.len().min(to_usize(end - next)));
                    self.counts.after_end += after.len() as u64;
                }
                next += bytes.len() as u64;
                self.counts.delivered += bytes.len() as u64;
                self.remember(bytes.clone());
                self.out.push(Out::Bytes(bytes, time));
                continue;
            }
            let cut = self.cut_off.range(..=next).next_back().map(|(from, to)| (*from, *to));
            if let Some((from, to)) = cut {
                self.cut_off.remove(&from);
                let held = self.held.keys().next().copied().unwrap_or(u64::MAX);
                let to = to.min(held);
                if to > next {
                    self.gap(next, to, now);
                    next = to;
                }
                continue;
            }
            break;
        }
        let moved = self.next.replace(next) != Some(next);
        match &mut self.acked {
            Some((acked, _)) if *acked <= next => self.acked = None,
            // What counts is how long nothing has filled the hole.
            Some((_, since)) if moved => *since = now,
            _ => {}
        }
    }

    fn remember(&mut self, bytes: Bytes) {
        self.history_bytes += bytes.len();
        self.history.push_back(bytes);
    }

    fn gap(&mut self, from: u64, to: u64, now: Time) {
        self.counts.missing += to - from;
        self.history.clear();
        self.history_bytes = 0;
        if self.given_up.len() == GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back((from, to));
        self.out.push(Out::Gap(to - from, now));
    }

    /// Keeps to the bounds.
    fn enforce(&mut self, now: Time, limits: &FlowLimits) {
        while self.history_bytes > limits.history
            && let Some(oldest) = self.history.pop_front()
        {
            self.history_bytes -= oldest.len();
        }
        if self.waits() && (self.held_bytes >= START_BYTES || self.overdue(self.waiting_since, now, limits)) {
            self.start_here(now);
        }
        while self.held_bytes > limits.held || self.held.len() > limits.segments {
            self.give_up(now);
        }
        if self.overdue(self.acked.map(|(_, since)| since), now, limits) {
            self.give_up(now);
        }
    }

    fn overdue(&self, since: Option<Time>, now: Time, limits: &FlowLimits) -> bool {
        since.is_some_and(|since| now.since(since) >= limits.patience)
    }

    /// Starts in the middle, with the lowest bytes there are.
    fn start_here(&mut self, now: Time) {
        let end = self.end.map_or(ORIGIN, |(end, _)| end);
        let cut = self.cut_off.keys().next().copied().unwrap_or(u64::MAX);
        let lowest = self.held.keys().next().copied().unwrap_or(end).min(cut);
        self.next = Some(lowest);
        let seen = self.waiting_since.unwrap_or(now);
        self.out.push(Out::Gap(0, seen));
        self.drain(now);
    }

    /// The peer has acknowledged everything before this sequence number.
    pub fn acked(&mut self, seq: u32, now: Time, limits: &FlowLimits) {
        if self.ended || self.origin.is_none() {
            return;
        }
        let at = self.offset(seq);
        let Some(next) = self.next else { return };
        // FIN counts for one.
        let at = self.end.map_or(at, |(end, _)| at.min(end));
        if at > next && at - next <= u64::from(limits.window) {
            let since = self.acked.map_or(now, |(_, since)| since);
            self.acked = Some((at.max(self.acked.map_or(0, |(before, _)| before)), since));
        }
        self.enforce(now, limits);
    }

    /// Gives up the hole at `next`: it ends where bytes are held, or the acknowledgment or the FIN is.
    pub fn give_up(&mut self, now: Time) {
        if self.ended {
            return;
        }
        if self.next.is_none() {
            if self.waiting_since.is_some() {
                self.start_here(now);
            }
            return;
        }
        let Some(next) = self.next else { return };
        let held = self.held.keys().next().copied();
        let end = self.end.map(|(end, _)| end);
        // A single acknowledged byte and nothing after it is a FIN that was not captured.
        let acked = self.acked.take().map(|(at, _)| at).filter(|at| at - next.min(*at) > 1);
        let to = [held, end, acked].into_iter().flatten().min().unwrap_or(next);
        if to > next {
            self.gap(next, to, now);
            self.next = Some(to);
        }
        self.drain(now);
    }

    /// No more bytes will come: gives out what there is.
    pub fn flush(&mut self, now: Time) {
        if self.waits() {
            self.start_here(now);
        }
        while !self.ended && (!self.held.is_empty() || self.end.is_some() || self.acked.is_some()) {
            self.give_up(now);
        }
    }

    /// Ends the stream. What is held counts as after the end; call [`Stream::flush`] before to give it out.
    pub fn finish(&mut self, how: Close, now: Time) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.counts.after_end += self.held_bytes as u64;
        self.counts.held = 0;
        self.held.clear();
        self.held_bytes = 0;
        self.cut_off.clear();
        self.acked = None;
        self.history.clear();
        self.history_bytes = 0;
        self.out.push(Out::Ended(how, now));
    }
}

/// How many bytes differ.
fn differing(a: &[u8], b: &[u8]) -> u64 {
    if a == b { 0 } else { a.iter().zip(b).filter(|(a, b)| a != b).count() as u64 }
}

/// For lengths that are bounded by a slice's; more saturates.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
