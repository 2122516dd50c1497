//! `wire::tcp::Flows` on segments that no sender would send: counts balance, what is given out is counted, events of a
//! connection come between its opening and its closing, and `wire::Connection` takes them all.

use crate::input::Input;
use bytes::Bytes;
use exchange::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use wire::tcp::{FlowEvent, FlowLimits, Flows, Segment};
use wire::{Connection, Limits};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let segment = |flags: u8, at: u8, payload: &[u8]| {
        [&[flags, 0, at, 0, 0, payload.len() as u8][..], payload].concat()
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let handshake = [segment(1, 0, b""), segment(0x81, 0, b"")].concat();
    let get = segment(0, 1, request);
    vec![
        [&[0][..], &handshake, &get, &segment(0x80, 1, b"HTTP/1.1 204 \r\n\r\n"), &segment(2, 28, b"")]
            .concat(),
        [
            &[1][..],
            &handshake,
            &segment(0, 9, &request[8..]),
            &segment(0, 1, &request[..12]),
            &segment(4, 28, b""),
        ]
        .concat(),
        [&[2][..], &get, &get, &segment(8, 40, b"late"), &segment(0x80, 200, b"HTTP/1.1 200 OK\r\n\r\n")]
            .concat(),
    ]
}

/// Small bounds, so that short inputs reach them.
fn limits(small: bool) -> FlowLimits {
    let default = FlowLimits::default();
    if !small {
        return default;
    }
    FlowLimits {
        connections: 2,
        held: 40,
        held_total: 60,
        segments: 3,
        history: 10,
        patience: Duration::from_nanos(50),
        ..default
    }
}

fn address(side: bool, which: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::from(side)], if side { 80 } else { 1000 + u16::from(which % 3) }))
}

/// One segment: flags, connection, offset from the initial sequence number (16 bits), clock step, payload length.
fn segment(input: &mut Input<'_>, base: u32, time: &mut i64) -> Segment {
    let (flags, which, at, step, length) =
        (input.byte(), input.byte(), input.word(), input.byte(), input.byte());
    *time += i64::from(step);
    // Now and then far away, to be outside of the window.
    let offset = if which & 0x80 != 0 { u32::from(at) << 16 } else { u32::from(at) };
    let back = flags & 0x80 != 0;
    let (from, to) = (address(back, which), address(!back, which));
    Segment {
        time: Time(*time),
        from,
        to,
        seq: base.wrapping_add(offset),
        ack: (flags & 16 != 0).then(|| base.wrapping_add(u32::from(at))),
        syn: flags & 1 != 0,
        fin: flags & 2 != 0,
        rst: flags & 4 != 0,
        payload: Bytes::copy_from_slice(input.take(usize::from(length))),
        cut_off: if flags & 8 != 0 { u32::from(flags) } else { 0 },
    }
}

#[derive(Default)]
struct Seen {
    opened: bool,
    closed: bool,
    ended: [bool; 2],
    delivered: [u64; 2],
    missing: [u64; 2],
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    // Half of the runs wrap around the end of sequence numbers.
    let base = if choice & 2 != 0 { u32::MAX - 20 } else { 1000 };
    let mut flows = Flows::new(limits(choice & 1 != 0));
    let mut follow = Follow::default();
    let (mut time, mut payload, mut segments) = (0, 0, 0);
    while !input.0.is_empty() {
        let segment = segment(&mut input, base, &mut time);
        payload += segment.payload.len() as u64;
        segments += 1;
        flows.push(&segment);
        follow.events(&mut flows);
        assert!(flows.counts().balance(), "{:?}", flows.counts());
    }
    flows.finish();
    follow.events(&mut flows);
    let counts = flows.counts();
    assert!(counts.balance(), "{counts:?}");
    assert_eq!((counts.payload, counts.segments, counts.held), (payload, segments, 0), "{counts:?}");
    follow.finish();
}

/// Checks events and feeds them to connections.
#[derive(Default)]
pub(crate) struct Follow {
    seen: BTreeMap<u64, (Seen, Fresh)>,
}

/// A connection that starts empty.
struct Fresh(Connection);

impl Default for Fresh {
    fn default() -> Self {
        Self(Connection::new(0, Limits::default()).whole_messages())
    }
}

impl Follow {
    pub fn events(&mut self, flows: &mut Flows) {
        while let Some(event) = flows.next_event() {
            self.event(event);
        }
    }

    fn event(&mut self, event: FlowEvent) {
        let (FlowEvent::Opened { connection, .. }
        | FlowEvent::Bytes { connection, .. }
        | FlowEvent::Gap { connection, .. }
        | FlowEvent::Ended { connection, .. }
        | FlowEvent::Closed { connection, .. }) = event;
        let (seen, parser) = self.seen.entry(connection).or_default();
        let parser = &mut parser.0;
        assert!(!seen.closed, "{event:?} after the connection was closed");
        match event {
            FlowEvent::Opened { .. } => {
                assert!(!std::mem::replace(&mut seen.opened, true), "opened twice");
            }
            FlowEvent::Bytes { direction, bytes, time, .. } => {
                assert!(seen.opened && !seen.ended[direction as usize] && !bytes.is_empty());
                seen.delivered[direction as usize] += bytes.len() as u64;
                parser.push(direction, time, bytes);
            }
            FlowEvent::Gap { direction, missing, time, .. } => {
                assert!(seen.opened && !seen.ended[direction as usize]);
                seen.missing[direction as usize] += missing;
                parser.gap(direction, time);
            }
            FlowEvent::Ended { direction, how, time, .. } => {
                assert!(!std::mem::replace(&mut seen.ended[direction as usize], true), "ended twice");
                parser.finish(direction, time, how);
            }
            FlowEvent::Closed { to_server, to_client, .. } => {
                seen.closed = true;
                assert!(to_server.balance() && to_client.balance());
                assert_eq!(seen.delivered, [to_server.delivered, to_client.delivered]);
                assert_eq!(seen.missing, [to_server.missing, to_client.missing]);
            }
        }
        while parser.next_event().is_some() {}
    }

    pub fn finish(self) {
        for (number, (seen, connection)) in self.seen {
            assert!(seen.closed, "connection {number} was not closed");
            for (at, direction) in
                [wire::Direction::ToServer, wire::Direction::ToClient].into_iter().enumerate()
            {
                let counts = connection.0.counts(direction);
                assert!(counts.balance() && counts.pushed == seen.delivered[at], "{counts:?}");
            }
        }
    }
}
