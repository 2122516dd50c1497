//! All TCP connections of a capture, told apart by addresses, ports and initial sequence numbers.

use super::stream::{Out, Stream};
use super::{FlowEvent, FlowLimits, Segment, StreamCounts};
use crate::{Close, Direction, resync};
use exchange::Time;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// The lower address first.
type Key = (SocketAddr, SocketAddr);

/// All TCP connections of a capture.
///
/// ```
/// use bytes::Bytes;
/// use exchange::Time;
/// use wire::tcp::{FlowEvent, FlowLimits, Flows, Segment};
///
/// let segment = |seq, payload: &'static str, syn| Segment {
///     time: Time(0),
///     from: "10.0.0.1:999".parse().unwrap(),
///     to: "10.0.0.2:80".parse().unwrap(),
///     seq,
///     ack: None,
///     syn,
///     fin: false,
///     rst: false,
///     payload: Bytes::from_static(payload.as_bytes()),
///     cut_off: 0,
/// };
/// let mut flows = Flows::new(FlowLimits::default());
/// let mut text = String::new();
/// // Out of order, across the wrap of sequence numbers, and one byte twice.
/// for segment in [segment(u32::MAX - 1, "", true), segment(1, "llo", false), segment(u32::MAX, "hel", false)] {
///     flows.push(&segment);
///     while let Some(event) = flows.next_event() {
///         if let FlowEvent::Bytes { bytes, .. } = event {
///             text.push_str(std::str::from_utf8(&bytes).unwrap());
///         }
///     }
/// }
/// assert_eq!(text, "hello");
/// assert_eq!(flows.counts().duplicate, 1);
/// ```
#[derive(Debug, Default)]
pub struct Flows {
    limits: FlowLimits,
    flows: HashMap<Key, Flow>,
    /// Connections in about the order of their last segments, for giving up the one idle longest.
    idle: VecDeque<(u64, Key)>,
    /// Counts segments, to tell which came last.
    tick: u64,
    opened: u64,
    held: usize,
    last: Time,
    /// Counts of connections no longer followed.
    past: StreamCounts,
    out: VecDeque<FlowEvent>,
}

#[derive(Debug)]
struct Flow {
    number: u64,
    key: Key,
    /// From the first address of the key to the second, and back.
    streams: [Stream; 2],
    /// Which stream goes to the server.
    to_server: Option<usize>,
    /// A SYN was seen.
    handshake: bool,
    opened: bool,
    closed: bool,
    tick: u64,
    /// When its first segment was seen.
    first: Time,
}

impl Flows {
    pub fn new(limits: FlowLimits) -> Self {
        Flows { limits, ..Flows::default() }
    }

    /// A segment was captured. Take all events before the next one, else they pile up.
    pub fn push(&mut self, segment: &Segment) {
        self.tick += 1;
        self.last = segment.time;
        let (from, to) = (segment.from, segment.to);
        let (key, side) = if from <= to { ((from, to), 0) } else { ((to, from), 1) };
        if segment.syn && self.flows.get_mut(&key).is_some_and(|f| f.is_another(segment, side, &self.limits))
        {
            self.remove(key, segment.time);
        }
        if !self.flows.contains_key(&key) {
            self.make_room(segment.time);
            self.flows.insert(key, Flow::new(self.opened, key, segment.time));
            self.idle.push_back((self.tick, key));
            self.opened += 1;
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.tick = self.tick;
        let before = flow.held();
        flow.segment(segment, side, &self.limits);
        self.held = self.held + flow.held() - before;
        if self.held > self.limits.held_total {
            let before = flow.held();
            while flow.held() > 0 {
                flow.streams.iter_mut().for_each(|s| s.give_up(segment.time));
            }
            self.held -= before;
        }
        flow.report(&mut self.out);
    }

    /// The capture has ended: holes are given up, open connections end as [`Close::Lost`].
    pub fn finish(&mut self) {
        let mut flows: Vec<(u64, Key)> = self.flows.iter().map(|(key, flow)| (flow.number, *key)).collect();
        flows.sort_unstable();
        for (_, key) in flows {
            self.remove(key, self.last);
        }
        self.idle.clear();
    }

    pub fn next_event(&mut self) -> Option<FlowEvent> {
        self.out.pop_front()
    }

    /// Counts over all connections so far, open and closed.
    pub fn counts(&self) -> StreamCounts {
        let mut sum = self.past;
        for stream in self.flows.values().flat_map(|f| &f.streams) {
            sum += stream.counts;
        }
        sum
    }

    /// How many connections were seen.
    pub fn connections(&self) -> u64 {
        self.opened
    }

    fn make_room(&mut self, now: Time) {
        while self.flows.len() >= self.limits.connections.max(1)
            && let Some((tick, key)) = self.idle.pop_front()
        {
            match self.flows.get(&key) {
                Some(flow) if flow.tick > tick => self.idle.push_back((flow.tick, key)),
                Some(_) => self.remove(key, now),
                None => {}
            }
        }
    }

    fn remove(&mut self, key: Key, now: Time) {
        let Some(mut flow) = self.flows.remove(&key) else { return };
        self.held -= flow.held();
        for stream in &mut flow.streams {
            stream.flush(now);
            stream.finish(Close::Lost, now);
        }
        flow.report(&mut self.out);
        flow.streams.iter().for_each(|s| self.past += s.counts);
    }
}

impl Flow {
    fn new(number: u64, key: Key, first: Time) -> Self {
        let streams = [Stream::new(), Stream::new()];
        Flow {
            number,
            key,
            streams,
            to_server: None,
            handshake: false,
            opened: false,
            closed: false,
            tick: 0,
            first,
        }
    }

    fn held(&self) -> usize {
        self.streams.iter().map(Stream::held_bytes).sum()
    }

    /// Whether this SYN begins another connection between the same ports.
    fn is_another(&mut self, syn: &Segment, side: usize, limits: &FlowLimits) -> bool {
        !self.streams[side].may_start_at(syn.seq.wrapping_add(1), limits.window)
    }

    fn segment(&mut self, segment: &Segment, side: usize, limits: &FlowLimits) {
        let now = segment.time;
        self.streams[side].counts.segments += 1;
        let mut seq = segment.seq;
        if segment.syn {
            seq = seq.wrapping_add(1);
            // The client's SYN acknowledges nothing. Who was told to be the client stays it.
            let from_client = segment.ack.is_none();
            if !self.opened {
                self.to_server = Some(if from_client { side } else { 1 - side });
            }
            self.handshake = true;
            self.streams[side].start(seq, now);
            if let Some(ack) = segment.ack
                && self.streams[1 - side].may_start_at(ack, limits.window)
            {
                self.streams[1 - side].start(ack, now);
            }
        }
        self.streams[side].segment(seq, &segment.payload, segment.cut_off, segment.fin, now, limits);
        if let Some(ack) = segment.ack.filter(|_| !segment.syn) {
            self.streams[1 - side].acked(ack, now, limits);
        }
        if segment.rst && self.streams[side].takes_reset(seq, limits.window) {
            for stream in &mut self.streams {
                stream.flush(now);
                stream.finish(Close::Reset, now);
            }
        }
    }

    /// Moves what the streams gave out to the events.
    fn report(&mut self, out: &mut VecDeque<FlowEvent>) {
        let ended = self.streams.iter().all(Stream::ended);
        let opens = self.handshake && !self.opened;
        if !opens && self.streams.iter().all(|s| s.out.is_empty()) {
            return;
        }
        let to_server = match self.to_server {
            Some(side) => side,
            None => *self.to_server.insert(self.guess_client()),
        };
        let (a, b) = self.key;
        let (client, server) = if to_server == 0 { (a, b) } else { (b, a) };
        let connection = self.number;
        if !std::mem::replace(&mut self.opened, true) {
            let time = self.first;
            let mid_stream = !self.handshake;
            out.push_back(FlowEvent::Opened { connection, client, server, mid_stream, time });
        }
        let [first, second] = self.streams.each_mut().map(|s| std::mem::take(&mut s.out));
        let (up, down) = if to_server == 0 { (first, second) } else { (second, first) };
        for (direction, given) in in_order_of_time(up, down) {
            out.push_back(match given {
                Out::Bytes(bytes, time) => FlowEvent::Bytes { connection, direction, bytes, time },
                Out::Gap(missing, time) => FlowEvent::Gap { connection, direction, missing, time },
                Out::Ended(how, time) => FlowEvent::Ended { connection, direction, how, time },
            });
        }
        if ended && !std::mem::replace(&mut self.closed, true) {
            let to_client = self.streams[1 - to_server].counts;
            let to_server = self.streams[to_server].counts;
            out.push_back(FlowEvent::Closed { connection, to_server, to_client });
        }
    }

    /// Which stream goes to the server, where no handshake told: by what is spoken, else the lower port is the
    /// server's.
    fn guess_client(&self) -> usize {
        let given = |stream: &Stream| {
            let bytes = stream.out.iter().find_map(|o| match o {
                Out::Bytes(bytes, _) => Some(bytes.clone()),
                _ => None,
            });
            bytes.unwrap_or_else(|| bytes::Bytes::copy_from_slice(stream.first_bytes()))
        };
        let first = self.streams.each_ref().map(given);
        for side in [0, 1] {
            if matches!(resync::response(&first[side]), resync::Found::At(0)) {
                return 1 - side;
            }
            if matches!(resync::request(&first[side]), resync::Found::At(0)) {
                return side;
            }
        }
        usize::from(self.key.0.port() < self.key.1.port())
    }
}

/// What both directions gave out at once, each in its order and together in that of time.
fn in_order_of_time(to_server: Vec<Out>, to_client: Vec<Out>) -> impl Iterator<Item = (Direction, Out)> {
    let mut up = to_server.into_iter().peekable();
    let mut down = to_client.into_iter().peekable();
    std::iter::from_fn(move || {
        let later = match (up.peek(), down.peek()) {
            (Some(up), Some(down)) => down.order() < up.order(),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if later {
            down.next().map(|o| (Direction::ToClient, o))
        } else {
            up.next().map(|o| (Direction::ToServer, o))
        }
    })
}
