//! `wire::Connection`, both directions: cutting and interleaving make no difference to the exchanges, and each byte is
//! counted.

use crate::input::{Input, pieces};
use crate::wire_parser::without_sample;
use bytes::Bytes;
use exchange::{Request, Response, Seen, Time};
use wire::{Close, Connection, ConnectionEvent, Direction, Error, Exchanged, Limits, Notes};

/// What was found, without times.
#[derive(Debug, PartialEq)]
struct Found {
    exchanged: Vec<Exchanged>,
    failed: Vec<(Direction, Error)>,
    tunnel: bool,
}

/// Without the bytes that an error shows: those that were there when it was found.
fn notes(mut notes: Notes) -> Notes {
    if let Some(error) = notes.error.take() {
        if notes.raw_head == error.near {
            notes.raw_head = Bytes::new();
        }
        notes.error = Some(without_sample(error));
    }
    notes
}

fn exchanges(connection: &mut Connection, found: &mut Found) {
    while let Some(event) = connection.next_event() {
        match event {
            ConnectionEvent::Exchanged(exchanged) => {
                let request = exchanged.request.map(|r| Request { seen: Seen::default(), ..r });
                let response = exchanged.response.map(|r| Response {
                    seen: Seen::default(),
                    interim: r.interim.into_iter().map(|i| Response { seen: Seen::default(), ..i }).collect(),
                    ..r
                });
                let (request_notes, response_notes) =
                    (notes(exchanged.request_notes), notes(exchanged.response_notes));
                let number = exchanged.number;
                found.exchanged.push(Exchanged { number, request, request_notes, response, response_notes });
            }
            ConnectionEvent::Failed { direction, error } => {
                found.failed.push((direction, without_sample(error)))
            }
            ConnectionEvent::Message { .. } => {}
        }
    }
}

fn run_one(requests: &[u8], responses: &[u8], cuts: (u16, u16), order: u16, gap: bool) -> Found {
    let mut connection = Connection::new(0, Limits { outstanding: 50, ..Limits::default() });
    let mut found = Found { exchanged: Vec::new(), failed: Vec::new(), tunnel: false };
    let mut lanes = [
        (Direction::ToServer, pieces(requests, cuts.0).into_iter()),
        (Direction::ToClient, pieces(responses, cuts.1).into_iter()),
    ];
    let (mut now, mut state) = (1, order);
    loop {
        now += 1;
        state = state.rotate_left(1);
        let first = usize::from(order != 0 && state & 1 != 0);
        let Some((direction, piece)) =
            [first, 1 - first].into_iter().find_map(|at| Some((lanes[at].0, lanes[at].1.next()?)))
        else {
            break;
        };
        if gap && now == 5 {
            connection.gap(direction, Time(now));
        }
        connection.push(direction, Time(now), piece);
        exchanges(&mut connection, &mut found);
    }
    connection.finish(Direction::ToServer, Time(now), Close::Fin);
    connection.finish(Direction::ToClient, Time(now), Close::Fin);
    exchanges(&mut connection, &mut found);
    for (direction, length) in [(Direction::ToServer, requests.len()), (Direction::ToClient, responses.len())]
    {
        let counts = connection.counts(direction);
        assert!(counts.balance() && counts.pushed == length as u64, "{direction:?}: {counts:?}");
        assert_eq!(counts.waiting, 0, "{direction:?} has ended: {counts:?}");
    }
    found.tunnel = connection.is_tunnel();
    // In the order of the requests; each once.
    let numbers: std::collections::BTreeSet<_> = found.exchanged.iter().map(|e| e.number).collect();
    assert_eq!(numbers.len(), found.exchanged.len(), "an exchange was given out twice");
    found
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (cuts, order, choice) = ((input.word(), input.word()), input.word(), input.byte());
    let sections = input.sections();
    let (requests, responses) = (sections[0], sections.get(1).copied().unwrap_or_default());
    let whole = run_one(requests, responses, (0, 0), 0, false);
    let torn = run_one(requests, responses, cuts, order, false);
    // Which direction fails first is a matter of order.
    let sorted = |found: &Found| {
        let mut failed = found.failed.clone();
        failed.sort_by_key(|(direction, _)| *direction);
        failed
    };
    assert_eq!(sorted(&torn), sorted(&whole));
    assert_eq!(torn.exchanged, whole.exchanged);
    assert_eq!(torn.tunnel, whole.tunnel);
    if choice & 1 != 0 {
        run_one(requests, responses, cuts, order, true);
    }
}
