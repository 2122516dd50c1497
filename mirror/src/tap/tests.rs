//! The tap as a function of bytes: no sockets, no clock.

use super::*;
use crate::sample::{SampleBy, Share};
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct Stage {
    tap: Tap,
    outbox: Arc<Outbox>,
    told: UnboundedReceiver<Vec<Told>>,
    rules: Arc<Rules>,
}

fn stage(memory: usize) -> Stage {
    let rules = Arc::new(Rules {
        ledger: Arc::default(),
        budget: Budget::new(memory),
        connections: Arc::default(),
        sampler: Sampler { share: Share::ALL, by: SampleBy::Url, seed: 0 },
        unsafe_methods: true,
        recording: false,
    });
    let (tell, told) = unbounded_channel();
    let outbox = Arc::new(Outbox::new(tell));
    let tap = Tap::new(Arc::clone(&rules), Arc::clone(&outbox), 0, ([127, 0, 0, 1], 1).into());
    Stage { tap, outbox, told, rules }
}

impl Stage {
    /// What was told, in short, and the events themselves, which hold tickets and memory.
    fn told(&mut self) -> (Vec<String>, Vec<Event>) {
        self.outbox.flush();
        let events: Vec<_> =
            std::iter::from_fn(|| self.told.try_recv().ok()).flatten().map(|t| t.event).collect();
        let short = |piece: &Piece| {
            let length = piece.chunk.as_ref().map_or(0, |c| c.bytes.len());
            format!("{length}{}", if piece.ends { "." } else { "" })
        };
        let text = events
            .iter()
            .map(|event| match event {
                Event::Begin { number, piece, .. } => format!("begin {number}: {}", short(piece)),
                Event::More { number, side, piece } => format!("{side:?} {number}: {}", short(piece)),
                Event::Abandon { number, state } => format!("abandon {number}: {}", state.reason()),
                Event::Closed { state } => format!("closed: {}", state.reason()),
            })
            .collect();
        (text, events)
    }

    fn state(&self, state: State) -> u64 {
        self.rules.ledger.totals().of(state)
    }
}

#[test]
fn one_event_for_a_request_and_one_for_its_response() {
    let mut stage = stage(1 << 20);
    stage.tap.saw(Side::Request, Time(1), GET);
    stage.tap.saw(Side::Response, Time(2), OK);
    assert_eq!(stage.told().0, ["begin 0: 27.", "Response 0: 40."]);
    assert!(stage.tap.is_idle());
}

#[test]
fn without_room_a_transaction_is_dropped_and_the_next_is_not() {
    // Half of it is for bodies in blocks, which these are too short for.
    let mut stage = stage(1200);
    stage.tap.saw(Side::Request, Time(1), GET);
    let (_, held) = stage.told();
    // No room for this response beside the request that is still held.
    let long = [b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec(), vec![b'x'; 900]].concat();
    stage.tap.saw(Side::Response, Time(2), &long);
    assert_eq!(stage.told().0, ["abandon 0: memory"]);
    // Nor for this request.
    let large = [b"POST / HTTP/1.1\r\nContent-Length: 900\r\n\r\n".to_vec(), vec![b'x'; 900]].concat();
    stage.tap.saw(Side::Request, Time(3), &large);
    stage.tap.saw(Side::Response, Time(4), OK);
    assert_eq!((stage.told().0, stage.state(State::Memory)), (vec![], 1));
    drop(held);
    stage.tap.saw(Side::Request, Time(5), GET);
    stage.tap.saw(Side::Response, Time(6), OK);
    assert_eq!(stage.told().0, ["begin 2: 27.", "Response 2: 40."]);
    assert_eq!(stage.rules.ledger.totals().requests, 3);
}

#[test]
fn an_answer_that_ends_with_the_connection() {
    let mut stage = stage(1 << 20);
    stage.tap.saw(Side::Request, Time(1), GET);
    stage.tap.saw(Side::Response, Time(2), b"HTTP/1.1 200 OK\r\n\r\nabc");
    stage.tap.ended(Side::Response, Time(3), End::Fin);
    assert_eq!(stage.told().0, ["begin 0: 27.", "Response 0: 22", "Response 0: 0.", "closed: primary-gone"]);
}

#[test]
fn an_answer_before_the_request_has_ended() {
    let mut stage = stage(1 << 20);
    stage.tap.saw(Side::Request, Time(1), b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    stage.tap.saw(Side::Response, Time(2), OK);
    stage.tap.saw(Side::Request, Time(3), b"cde");
    stage.tap.saw(Side::Request, Time(4), GET);
    assert_eq!(stage.told().0, ["begin 0: 40", "Response 0: 40.", "Request 0: 3.", "begin 1: 27."]);
}

#[test]
fn answers_nobody_asked_for() {
    let mut stage = stage(1 << 20);
    stage.tap.saw(Side::Request, Time(1), GET);
    stage.tap.saw(Side::Response, Time(2), &[OK, OK].concat());
    stage.tap.saw(Side::Request, Time(3), GET);
    assert_eq!(stage.told().0, ["begin 0: 27.", "Response 0: 40.", "closed: primary-unparsed"]);
    assert_eq!(stage.rules.connections.snapshot().unfollowed, 1);
}

#[test]
fn bytes_that_begin_no_message() {
    for (request, response, state) in
        [(&b"\x16\x03\x01"[..], &b""[..], State::RequestUnparsed), (GET, b"HTTP/2", State::PrimaryUnparsed)]
    {
        let mut stage = stage(1 << 20);
        stage.tap.saw(Side::Request, Time(1), request);
        stage.tap.saw(Side::Response, Time(2), response);
        let (told, _) = stage.told();
        let closed = told.last().is_some_and(|t| *t == format!("closed: {}", state.reason()));
        assert!(closed || stage.state(state) == 1, "{told:?}");
    }
}

#[test]
fn a_head_that_never_ends_takes_from_the_budget() {
    let mut stage = stage(10_000);
    for _ in 0..100 {
        stage.tap.saw(Side::Request, Time(1), &[&b"GET "[..], &[b'x'; 1000]].concat());
        assert!(stage.rules.budget.used() <= 10_000);
    }
    assert_eq!((stage.state(State::Memory), stage.rules.budget.used()), (1, 0));
}

proptest! {
    /// Whatever comes, in whatever pieces: each request gets a ticket, each ticket an end, all memory comes back.
    #[test]
    fn tickets_and_memory_balance(
        steps in proptest::collection::vec((any::<bool>(), prop_oneof![
            Just(GET.to_vec()),
            Just(OK.to_vec()),
            Just(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()),
            Just(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..50),
        ], 0_usize..60), 0..30),
        memory in 0_usize..3000,
        resets: bool,
    ) {
        let mut stage = stage(memory);
        let mut tickets = Vec::new();
        for (request, bytes, cut) in steps {
            let side = if request { Side::Request } else { Side::Response };
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            stage.tap.saw(side, Time(0), a);
            stage.tap.saw(side, Time(0), b);
            for event in stage.told().1 {
                if let Event::Begin { begin: Begin::Compare(ticket), .. } = event {
                    tickets.push(ticket);
                }
            }
        }
        stage.tap.ended(Side::Request, Time(0), if resets { End::Reset } else { End::Fin });
        stage.tap.close(State::PrimaryGone);
        tickets.extend(stage.told().1.into_iter().filter_map(|event| match event {
            Event::Begin { begin: Begin::Compare(ticket), .. } => Some(ticket),
            _ => None,
        }));
        tickets.into_iter().for_each(|ticket| ticket.end(State::Same));
        prop_assert!(stage.rules.ledger.totals().balances());
        prop_assert_eq!(stage.rules.budget.used(), 0);
    }
}
