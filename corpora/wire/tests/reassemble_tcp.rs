//! Segments in any cutting, order and number give the streams they came from.

#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

use bytes::Bytes;
use exchange::Time;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use wire::tcp::{FlowEvent, FlowLimits, Flows, Segment, StreamCounts};
use wire::{Close, Direction};

fn client() -> SocketAddr {
    "10.0.0.1:40000".parse().unwrap()
}

fn server() -> SocketAddr {
    "10.0.0.2:80".parse().unwrap()
}

fn segment(from_client: bool, seq: u32, payload: impl AsRef<[u8]>) -> Segment {
    let (from, to) = if from_client { (client(), server()) } else { (server(), client()) };
    Segment {
        time: Time(0),
        from,
        to,
        seq,
        ack: None,
        syn: false,
        fin: false,
        rst: false,
        payload: Bytes::copy_from_slice(payload.as_ref()),
        cut_off: 0,
    }
}

fn up(seq: u32, payload: impl AsRef<[u8]>) -> Segment {
    segment(true, seq, payload)
}

fn down(seq: u32, payload: impl AsRef<[u8]>) -> Segment {
    segment(false, seq, payload)
}

fn syn(segment: Segment) -> Segment {
    Segment { syn: true, ..segment }
}

fn fin(segment: Segment) -> Segment {
    Segment { fin: true, ..segment }
}

fn rst(segment: Segment) -> Segment {
    Segment { rst: true, ..segment }
}

fn ack(ack: u32, segment: Segment) -> Segment {
    Segment { ack: Some(ack), ..segment }
}

fn at(seconds: i64, segment: Segment) -> Segment {
    Segment { time: Time::new(seconds, 0), ..segment }
}

fn limits() -> FlowLimits {
    FlowLimits::default()
}

/// What came out, `>` to the server and `<` to the client, and the counts at the end.
fn run(limits: FlowLimits, segments: &[Segment]) -> (Vec<String>, StreamCounts) {
    let mut flows = Flows::new(limits);
    let mut lines: Vec<String> = Vec::new();
    let mut take = |flows: &mut Flows| {
        while let Some(event) = flows.next_event() {
            add(&mut lines, event);
        }
        assert!(flows.counts().balance(), "{:?}", flows.counts());
    };
    for segment in segments {
        flows.push(segment);
        take(&mut flows);
    }
    flows.finish();
    take(&mut flows);
    assert_eq!(flows.counts().held, 0);
    (lines, flows.counts())
}

fn add(lines: &mut Vec<String>, event: FlowEvent) {
    let arrow = |d: Direction| if d == Direction::ToServer { '>' } else { '<' };
    let line = match event {
        FlowEvent::Opened { connection, client, mid_stream, .. } => {
            format!("{connection} opened by {}{}", client.port(), if mid_stream { " mid-stream" } else { "" })
        }
        FlowEvent::Bytes { connection, direction, bytes, .. } => {
            let start = format!("{connection}{}", arrow(direction));
            let text = exchange::escape(&bytes);
            if let Some(last) = lines.last_mut().filter(|l| l.starts_with(&format!("{start} "))) {
                last.push_str(&text);
                return;
            }
            format!("{start} {text}")
        }
        FlowEvent::Gap { connection, direction, missing, .. } => {
            format!("{connection}{}gap {missing}", arrow(direction))
        }
        FlowEvent::Ended { connection, direction, how, .. } => {
            format!("{connection}{}{how:?}", arrow(direction))
        }
        FlowEvent::Closed { connection, to_server, to_client } => {
            assert!(to_server.balance() && to_client.balance());
            format!("{connection} closed")
        }
    };
    lines.push(line);
}

#[track_caller]
fn check(segments: &[Segment], expected: &[&str]) -> StreamCounts {
    let (lines, counts) = run(limits(), segments);
    assert_eq!(lines, expected);
    counts
}

#[test]
fn a_whole_connection() {
    check(
        &[
            syn(up(9, "")),
            ack(10, syn(down(99, ""))),
            ack(100, up(10, "GET")),
            ack(13, down(100, "200")),
            ack(13, fin(down(103, ""))),
            ack(104, fin(up(13, ""))),
        ],
        &["0 opened by 40000", "0> GET", "0< 200", "0<Fin", "0>Fin", "0 closed"],
    );
}

#[test]
fn order_overlap_and_the_wrap_make_no_difference() {
    let start = u32::MAX - 2;
    let counts = check(
        &[
            syn(up(start - 1, "")),
            up(start.wrapping_add(4), "efgh"),
            up(start.wrapping_add(2), "cdef"),
            fin(up(start.wrapping_add(8), "ij")),
            up(start, "abc"),
            up(start, "abcdefghij"),
        ],
        &["0 opened by 40000", "0> abcdefghij", "0>Fin", "0<Lost", "0 closed"],
    );
    assert_eq!((counts.delivered, counts.duplicate, counts.conflicting), (10, 13, 0));
    assert_eq!(counts.out_of_order, 3);
}

#[test]
fn the_first_of_different_bytes_wins() {
    let counts = check(
        &[syn(up(0, "")), up(1, "abc"), up(1, "aXc"), up(7, "ghi"), up(4, "deFGhij")],
        &["0 opened by 40000", "0> abcdeFghij", "0>Lost", "0<Lost", "0 closed"],
    );
    assert_eq!((counts.duplicate, counts.conflicting), (6, 2));
}

#[test]
fn a_start_that_was_not_seen() {
    check(
        &[up(500, "GET / HTTP/1.1\r\n"), down(900, "HTTP/1.1 200 OK\r\n")],
        &[
            "0 opened by 40000 mid-stream",
            "0>gap 0",
            "0> GET / HTTP/1.1\\x0d\\x0a",
            "0<gap 0",
            "0< HTTP/1.1 200 OK\\x0d\\x0a",
            "0>Lost",
            "0<Lost",
            "0 closed",
        ],
    );
    // Out of order at the start: the lower one still comes first.
    let (lines, _) = run(limits(), &[up(503, "def"), up(500, "abc")]);
    assert!(lines.contains(&"0> abcdef".to_owned()), "{lines:?}");
    // A late SYN says where the start is.
    let (lines, _) = run(limits(), &[up(503, "def"), syn(up(499, "")), up(500, "abc")]);
    assert_eq!(lines[..2], ["0 opened by 40000", "0> abcdef"]);
    // After a while it starts with what it has.
    let (lines, _) = run(limits(), &[down(500, "HTTP/1.1 200 OK"), at(3, down(515, "!"))]);
    assert_eq!(lines[..3], ["0 opened by 40000 mid-stream", "0<gap 0", "0< HTTP/1.1 200 OK!"]);
}

#[test]
fn who_is_the_client_without_handshake() {
    let (lines, _) = run(limits(), &[down(1, "no http at all")]);
    assert_eq!(lines[0], "0 opened by 40000 mid-stream");
    let mut odd = up(1, "HTTP/1.1 200 OK\r\n");
    odd.to.set_port(50_000);
    let (lines, _) = run(limits(), &[odd]);
    assert_eq!(lines[0], "0 opened by 50000 mid-stream");
}

#[test]
fn a_late_handshake_does_not_turn_a_connection_around() {
    // Both ends send SYN without ACK: whoever was told to be the client stays it.
    check(
        &[
            syn(up(9, "")),
            up(10, "GET / HTTP/1.1"),
            syn(down(99, "")),
            up(24, "\r\n"),
            down(100, "HTTP/1.1 200"),
        ],
        &[
            "0 opened by 40000",
            "0> GET / HTTP/1.1\\x0d\\x0a",
            "0< HTTP/1.1 200",
            "0>Lost",
            "0<Lost",
            "0 closed",
        ],
    );
}

#[test]
fn holes_are_given_up_when_nothing_can_fill_them() {
    // Nothing says that it is lost: it is waited for until the end.
    check(
        &[syn(up(0, "")), up(1, "ab"), up(6, "fg"), at(9, up(8, "h"))],
        &["0 opened by 40000", "0> ab", "0>gap 3", "0> fgh", "0>Lost", "0<Lost", "0 closed"],
    );
    // The peer has it, the capture has not; two seconds later it is given up.
    let counts = check(
        &[
            syn(up(0, "")),
            ack(1, syn(down(0, ""))),
            up(1, "ab"),
            up(6, "fg"),
            ack(8, down(1, "")),
            at(1, up(8, "h")),
            at(3, up(9, "i")),
            at(4, up(3, "cde")),
        ],
        &["0 opened by 40000", "0> ab", "0>gap 3", "0> fghi", "0>Lost", "0<Lost", "0 closed"],
    );
    assert_eq!((counts.missing, counts.late), (3, 3));
    // Acknowledged and nothing after it: it was lost as well.
    let (lines, _) = run(limits(), &[syn(up(0, "")), ack(1, syn(down(0, ""))), ack(6, down(1, ""))]);
    assert!(lines.contains(&"0>gap 5".to_owned()), "{lines:?}");
    // A FIN after it.
    let (lines, _) = run(limits(), &[syn(up(0, "")), up(1, "ab"), fin(up(5, "ef"))]);
    assert_eq!(lines[1..5], ["0> ab", "0>gap 2", "0> ef", "0>Fin"]);
}

#[test]
fn holes_are_given_up_at_the_bounds() {
    let limits = FlowLimits { held: 10, ..limits() };
    let (lines, _) = run(limits, &[syn(up(0, "")), up(3, "0123456"), up(12, "abcdef"), up(1, "xx")]);
    assert_eq!(lines[1..4], ["0>gap 2", "0> 0123456", "0>gap 2"]);
    let limits = FlowLimits { segments: 2, ..self::limits() };
    let (lines, _) = run(limits, &[syn(up(0, "")), up(3, "a"), up(5, "b"), up(7, "c")]);
    assert_eq!(lines[1..3], ["0>gap 2", "0> a"]);
    let limits = FlowLimits { held_total: 1, ..self::limits() };
    let (lines, counts) = run(limits, &[syn(up(0, "")), up(3, "ab"), up(6, "de"), up(5, "c")]);
    assert_eq!(lines[1..5], ["0>gap 2", "0> ab", "0>gap 1", "0> de"]);
    assert_eq!((counts.missing, counts.late), (3, 1));
}

#[test]
fn an_acknowledged_hole_that_fills_slowly_is_no_gap() {
    let mut segments = vec![syn(up(0, "")), ack(1, syn(down(0, "")))];
    for n in 0..10u32 {
        segments.push(at(i64::from(n), ack(3 + n, down(1, ""))));
        segments.push(at(i64::from(n), up(1 + n, "x")));
    }
    segments.push(at(10, up(11, "y")));
    let (lines, counts) = run(limits(), &segments);
    assert_eq!(lines[1], "0> xxxxxxxxxxy");
    assert_eq!(counts.missing, 0);
}

#[test]
fn keep_alive_probes_are_no_data() {
    let counts = check(
        &[syn(up(0, "")), up(1, "abc"), up(3, ""), up(3, "\0"), up(4, "d")],
        &["0 opened by 40000", "0> abcd", "0>Lost", "0<Lost", "0 closed"],
    );
    assert_eq!((counts.keep_alive, counts.duplicate), (2, 1));
}

#[test]
fn bytes_far_away_or_after_the_end_are_counted() {
    let counts = check(
        &[syn(up(0, "")), up(1, "a"), up(0x6000_0000, "far"), fin(up(2, "")), up(2, "late"), up(1, "a")],
        &["0 opened by 40000", "0> a", "0>Fin", "0<Lost", "0 closed"],
    );
    assert_eq!((counts.outside, counts.after_end, counts.duplicate), (3, 4, 1));
}

#[test]
fn a_reset_ends_both_directions() {
    let counts = check(
        &[
            syn(up(0, "")),
            ack(1, syn(down(0, ""))),
            up(1, "GET"),
            down(1, "20"),
            down(5, "K"),
            rst(up(4, "")),
            down(6, "more"),
        ],
        &["0 opened by 40000", "0> GET", "0< 20", "0<gap 2", "0< K", "0>Reset", "0<Reset", "0 closed"],
    );
    assert_eq!(counts.after_end, 4);
    // One that cannot be from here.
    let (lines, _) = run(limits(), &[syn(up(0, "")), up(1, "a"), rst(up(0x7000_0000, "")), up(2, "b")]);
    assert_eq!(lines[1], "0> ab");
}

#[test]
fn nothing_follows_the_end() {
    // A reset, then bytes of a direction whose start was never seen, then another reset.
    let counts = check(
        &[rst(syn(up(9, ""))), down(100, "HTTP/1.1 200"), rst(down(112, ""))],
        &["0 opened by 40000", "0>Reset", "0<Reset", "0 closed"],
    );
    assert_eq!(counts.after_end, 12);
}

#[test]
fn ports_are_used_again() {
    check(
        &[
            syn(up(0, "")),
            up(1, "one"),
            syn(up(0, "")),
            syn(up(70_000, "")),
            ack(70_001, syn(down(5, ""))),
            up(70_001, "two"),
            fin(up(70_004, "")),
            fin(down(6, "")),
            syn(up(9, "")),
            up(10, "three"),
        ],
        &[
            "0 opened by 40000",
            "0> one",
            "0>Lost",
            "0<Lost",
            "0 closed",
            "1 opened by 40000",
            "1> two",
            "1>Fin",
            "1<Fin",
            "1 closed",
            "2 opened by 40000",
            "2> three",
            "2>Lost",
            "2<Lost",
            "2 closed",
        ],
    );
}

#[test]
fn what_the_snap_length_cut_off_is_a_gap() {
    let cut = |cut_off, segment| Segment { cut_off, ..segment };
    let counts = check(
        &[syn(up(0, "")), cut(4, up(1, "ab")), up(7, "cd"), fin(cut(2, up(9, "e")))],
        &["0 opened by 40000", "0> ab", "0>gap 4", "0> cde", "0>gap 2", "0>Fin", "0<Lost", "0 closed"],
    );
    assert_eq!(counts.missing, 6);
    // Unless a retransmission was captured whole before.
    let (lines, _) = run(limits(), &[syn(up(0, "")), up(3, "cd"), cut(2, up(1, "ab"))]);
    assert_eq!(lines[1], "0> abcd");
}

#[test]
fn the_connection_idle_longest_makes_room() {
    let limits = FlowLimits { connections: 2, ..limits() };
    let from = |port, segment: Segment| Segment { from: SocketAddr::new(segment.from.ip(), port), ..segment };
    let (lines, _) = run(
        limits,
        &[
            from(1, syn(up(0, ""))),
            from(2, syn(up(0, ""))),
            from(1, up(1, "a")),
            from(3, syn(up(0, ""))),
            from(1, up(2, "b")),
        ],
    );
    let expected =
        ["0 opened by 1", "1 opened by 2", "0> a", "1>Lost", "1<Lost", "1 closed", "2 opened by 3", "0> b"];
    assert_eq!(lines[..8], expected);
}

/// A stream in pieces that cover it, overlap, repeat and come in any order.
fn torn() -> impl Strategy<Value = (Vec<u8>, u32, Vec<(usize, usize)>)> {
    let stream = proptest::collection::vec(any::<u8>(), 1..600);
    (stream, prop_oneof![any::<u32>(), (0..700u32).prop_map(|n| u32::MAX - n)]).prop_flat_map(
        |(stream, isn)| {
            let length = stream.len();
            let cuts = proptest::collection::vec(0..=length, 0..12);
            let extra = proptest::collection::vec((0..length, 1..100usize), 0..10);
            (Just(stream), Just(isn), cuts, extra)
                .prop_map(move |(stream, isn, mut cuts, extra)| {
                    cuts.extend([0, length]);
                    cuts.sort_unstable();
                    let mut pieces: Vec<(usize, usize)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
                    pieces.extend(extra.into_iter().map(|(from, size)| (from, length.min(from + size))));
                    (stream, isn, pieces)
                })
                .prop_flat_map(|(stream, isn, pieces)| (Just(stream), Just(isn), Just(pieces).prop_shuffle()))
        },
    )
}

fn collect(events: impl IntoIterator<Item = FlowEvent>, direction: Direction) -> (Vec<u8>, u64, Vec<Close>) {
    let (mut all, mut missing, mut ends) = (Vec::new(), 0, Vec::new());
    for event in events {
        match event {
            FlowEvent::Bytes { direction: d, bytes, .. } if d == direction => all.extend_from_slice(&bytes),
            FlowEvent::Gap { direction: d, missing: m, .. } if d == direction => missing += m,
            FlowEvent::Ended { direction: d, how, .. } if d == direction => ends.push(how),
            _ => {}
        }
    }
    (all, missing, ends)
}

proptest! {
    /// Wherever the SYN, the FIN and the pieces come, the stream is the same and every byte is accounted for.
    #[test]
    fn any_tearing_gives_the_same_stream(
        (stream, isn, pieces) in torn(),
        syn_at: prop::sample::Index,
        fin_at: prop::sample::Index,
        handshake: bool,
    ) {
        let seq = |offset: usize| isn.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap());
        let mut segments: Vec<Segment> = pieces.iter().map(|&(a, b)| up(seq(a), &stream[a..b])).collect();
        segments.insert(fin_at.index(segments.len() + 1), fin(up(seq(stream.len()), "")));
        if handshake {
            segments.insert(syn_at.index(segments.len() + 1), syn(up(isn, "")));
        }
        let mut flows = Flows::new(limits());
        let mut events = Vec::new();
        for segment in &segments {
            flows.push(segment);
            events.extend(std::iter::from_fn(|| flows.next_event()));
            prop_assert!(flows.counts().balance(), "{:?}", flows.counts());
        }
        flows.finish();
        events.extend(std::iter::from_fn(|| flows.next_event()));
        let (all, missing, ends) = collect(events, Direction::ToServer);
        prop_assert_eq!(&all, &stream);
        prop_assert_eq!((missing, ends), (0, vec![Close::Fin]));
        let counts = flows.counts();
        prop_assert_eq!(counts.delivered, stream.len() as u64);
        prop_assert_eq!((counts.conflicting, counts.outside, counts.after_end, counts.held), (0, 0, 0, 0));
        prop_assert_eq!(counts.segments, segments.len() as u64);
    }

    /// With pieces lost, what comes out is the stream less what is reported missing.
    #[test]
    fn losses_are_reported_to_the_byte((stream, isn, pieces) in torn(), lost: Vec<prop::sample::Index>) {
        let seq = |offset: usize| isn.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap());
        let mut kept = pieces.clone();
        for index in lost.iter().take(pieces.len()) {
            if !kept.is_empty() {
                kept.remove(index.index(kept.len()));
            }
        }
        let mut segments = vec![syn(up(isn, ""))];
        segments.extend(kept.iter().map(|&(a, b)| up(seq(a), &stream[a..b])));
        segments.push(fin(up(seq(stream.len()), "")));
        let mut flows = Flows::new(limits());
        segments.iter().for_each(|s| flows.push(s));
        flows.finish();
        let expected: Vec<u8> = (0..stream.len())
            .filter(|&i| kept.iter().any(|&(a, b)| (a..b).contains(&i)))
            .map(|i| stream[i])
            .collect();
        let (all, missing, ends) =
            collect(std::iter::from_fn(|| flows.next_event()), Direction::ToServer);
        prop_assert_eq!(missing, (stream.len() - expected.len()) as u64);
        prop_assert_eq!((all, ends), (expected, vec![Close::Fin]));
        prop_assert!(flows.counts().balance());
    }

    /// No segments panic, and memory and counts stay in bounds.
    #[test]
    fn nothing_panics_and_everything_balances(
        segments in proptest::collection::vec(
            (any::<bool>(), prop_oneof![0..40u32, any::<u32>()], 0..20usize, any::<[bool; 4]>(), prop::option::of(0..60u32), 0..8i64, 0..3u32),
            0..60,
        )
    ) {
        let limits = FlowLimits {
            held: 30,
            held_total: 40,
            segments: 4,
            history: 16,
            patience: Duration::from_secs(2),
            ..FlowLimits::default()
        };
        let segments: Vec<Segment> = segments
            .into_iter()
            .map(|(from_client, seq, length, [syn, fin, rst, rare], ack, time, cut_off)| Segment {
                time: Time::new(time, 0),
                ack,
                syn: syn && rare,
                fin: fin && rare,
                rst: rst && rare && fin,
                cut_off: if rare { cut_off } else { 0 },
                ..segment(from_client, seq, vec![b'x'; length])
            })
            .collect();
        let mut flows = Flows::new(limits);
        for segment in &segments {
            flows.push(segment);
            prop_assert!(flows.counts().balance(), "{:?}", flows.counts());
            prop_assert!(flows.counts().held <= 40);
        }
        flows.finish();
        prop_assert!(flows.counts().balance());
        prop_assert_eq!(flows.counts().held, 0);
        let events: Vec<FlowEvent> = std::iter::from_fn(|| flows.next_event()).collect();
        let count = |f: fn(&FlowEvent) -> bool| events.iter().filter(|e| f(e)).count() as u64;
        prop_assert_eq!(count(|e| matches!(e, FlowEvent::Opened { .. })), flows.connections());
        prop_assert_eq!(count(|e| matches!(e, FlowEvent::Closed { .. })), flows.connections());
        prop_assert_eq!(count(|e| matches!(e, FlowEvent::Ended { .. })), 2 * flows.connections());
    }
}
