//! Which response answers which request, whatever happens to the connection.

#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

use exchange::{Ending, Sha256, Time};
use proptest::prelude::*;
use wire::Direction::{ToClient, ToServer};
use wire::{Close, Connection, ConnectionEvent, Direction, Exchanged, Limits};

/// What happens on a connection, in order.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Direction, Vec<u8>),
    Gap(Direction),
    Finish(Direction, Close),
}

fn client(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(ToServer, bytes.as_ref().to_vec())
}

fn server(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(ToClient, bytes.as_ref().to_vec())
}

fn run(steps: &[Step]) -> Vec<Exchanged> {
    let mut connection = Connection::new(7, Limits::default());
    let mut exchanged = Vec::new();
    let mut take = |connection: &mut Connection| {
        while let Some(event) = connection.next_event() {
            if let ConnectionEvent::Exchanged(e) = event {
                exchanged.push(*e);
            }
        }
        for direction in [ToServer, ToClient] {
            assert!(connection.counts(direction).balance(), "{:?}", connection.counts(direction));
        }
    };
    for (time, step) in steps.iter().enumerate() {
        let now = Time(i64::try_from(time).unwrap() + 1);
        match step {
            Step::Bytes(direction, bytes) => connection.push(*direction, now, bytes.clone()),
            Step::Gap(direction) => connection.gap(*direction, now),
            Step::Finish(direction, how) => connection.finish(*direction, now, *how),
        }
        take(&mut connection);
    }
    for direction in [ToServer, ToClient] {
        connection.finish(direction, Time(999), Close::Lost);
        take(&mut connection);
    }
    assert_eq!(connection.counts(ToServer).waiting + connection.counts(ToClient).waiting, 0);
    exchanged
}

/// `GET /a → 200 "body"`, with what is unusual.
fn line(e: &Exchanged) -> String {
    let request = match &e.request {
        Some(r) => {
            let body = if r.body.is_empty() && r.body.ending == Ending::Complete {
                String::new()
            } else {
                format!(" {:?} {:?}", exchange::escape(r.body.bytes.as_ref().unwrap()), r.body.ending)
            };
            format!("{} {}{body}", exchange::escape(&r.method), exchange::escape(&r.target))
        }
        None => "-".to_owned(),
    };
    let response = match &e.response {
        Some(r) => {
            let interim: String = r.interim.iter().map(|i| format!("{} ", i.status)).collect();
            let ending = if r.body.ending == Ending::Complete {
                String::new()
            } else {
                format!(" {:?}", r.body.ending)
            };
            format!("{interim}{} {:?}{ending}", r.status, exchange::escape(r.body.bytes.as_ref().unwrap()))
        }
        None => "-".to_owned(),
    };
    let closed = e.response_notes.closed.filter(|_| e.response.is_none());
    let closed = closed.map(|c| format!(" ({c:?})")).unwrap_or_default();
    let errors = [&e.request_notes.error, &e.response_notes.error];
    let errors: String = errors.iter().flat_map(|e| e.as_ref()).map(|e| format!(" [{}]", e.kind)).collect();
    format!("{request} → {response}{closed}{errors}")
}

#[track_caller]
fn check(steps: &[Step], expected: &[&str]) {
    let lines: Vec<String> = run(steps).iter().map(line).collect();
    assert_eq!(lines, expected);
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn one_after_another_and_pipelined() {
    check(
        &[client(get("/1")), server(ok("one")), client(get("/2")), server(ok("two"))],
        &["GET /1 → 200 \"one\"", "GET /2 → 200 \"two\""],
    );
    check(
        &[client(get("/1") + &get("/2") + &get("/3")), server(ok("1") + &ok("2")), server(ok("3"))],
        &["GET /1 → 200 \"1\"", "GET /2 → 200 \"2\"", "GET /3 → 200 \"3\""],
    );
}

#[test]
fn head_and_interim_responses() {
    check(
        &[
            client("HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &get("/2")),
            server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            server("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n".to_owned() + &ok("x")),
        ],
        &["HEAD /1 → 200 \"\"", "GET /2 → 103 103 200 \"x\""],
    );
}

#[test]
fn a_response_may_end_before_its_request() {
    let post = "POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    check(
        &[client(post), server("HTTP/1.1 100 Continue\r\n\r\n"), client("data"), server(ok("done"))],
        &["POST /up \"data\" Complete → 100 200 \"done\""],
    );
    check(
        &[
            client(post),
            server("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"),
            client("data"),
            client(get("/2")),
            server(ok("2")),
        ],
        &["POST /up \"data\" Complete → 413 \"\"", "GET /2 → 200 \"2\""],
    );
    check(
        &[
            client(post),
            server("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"),
            Step::Finish(ToServer, Close::Fin),
        ],
        &["POST /up \"\" Truncated → 413 \"\""],
    );
}

#[test]
fn a_response_seen_before_its_request_waits_for_it() {
    check(&[server(ok("early")), client(get("/1"))], &["GET /1 → 200 \"early\""]);
    check(
        &[
            server("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
            Step::Finish(ToClient, Close::Fin),
            Step::Finish(ToServer, Close::Fin),
        ],
        &["- → 408 \"\""],
    );
}

#[test]
fn connections_that_end_early() {
    check(
        &[
            client(get("/1") + &get("/2")),
            server("HTTP/1.1 200 OK\r\n\r\nall"),
            Step::Finish(ToClient, Close::Fin),
        ],
        &["GET /1 → 200 \"all\"", "GET /2 → - (Fin)"],
    );
    check(
        &[
            client(get("/1")),
            server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            Step::Finish(ToClient, Close::Reset),
        ],
        &["GET /1 → 200 \"abc\" Reset"],
    );
    check(
        &[
            client(get("/1")),
            server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            Step::Finish(ToClient, Close::Fin),
        ],
        &["GET /1 → 200 \"abc\" Truncated"],
    );
    check(
        &[client(get("/1")), server("HTTP/1.1 103 Early Hints\r\n\r\n"), Step::Finish(ToClient, Close::Fin)],
        &["GET /1 → - (Fin)"],
    );
    check(&[client("GET /1 HT"), Step::Finish(ToServer, Close::Fin)], &["- → - (Lost)"]);
    check(&[client(get("/1"))], &["GET /1 → - (Lost)"]);
}

#[test]
fn stray_bytes_after_a_response() {
    check(
        &[client(get("/1")), server(ok("1") + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz")],
        &["GET /1 → 200 \"1\"", "- → 200 \"z\""],
    );
    check(
        &[
            client(get("/1")),
            server(ok("1") + "junk"),
            Step::Finish(ToServer, Close::Fin),
            Step::Finish(ToClient, Close::Fin),
        ],
        &["GET /1 → 200 \"1\"", "- → - [this is no HTTP/1 status line]"],
    );
}

#[test]
fn what_has_no_meaning_is_answered_too() {
    check(
        &[client("nonsense\r\n\r\n"), server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
        &["- → 400 \"\" [this is no HTTP/1 request line]"],
    );
    check(
        &[
            client("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        ],
        &["POST / \"\" Truncated → 400 \"\" [Content-Length lines that differ (RFC 9112 section 6.3)]"],
    );
    let lines = run(&[client(get("/1") + &get("/2")), server("garbage\r\n")]);
    let lines: Vec<String> = lines.iter().map(line).collect();
    assert_eq!(lines, ["GET /1 → - [this is no HTTP/1 status line]", "GET /2 → -"]);
}

#[test]
fn upgrades() {
    let upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let steps = [client(upgrade), server(switch.to_owned() + "frames"), client("GET / HTTP/1.1\r\n\r\n")];
    check(&steps, &["GET /chat → 101 \"\""]);
    let exchanged = run(&steps).remove(0);
    assert_eq!((exchanged.request_notes.tunnel, exchanged.response_notes.tunnel), (18, 6));

    check(
        &[client(upgrade.to_owned() + &get("/2")), server(ok("no")), server(ok("2"))],
        &["GET /chat → 200 \"no\"", "GET /2 → 200 \"2\""],
    );
    check(
        &[
            client("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03"),
            server("HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01"),
        ],
        &["CONNECT a:443 → 200 \"\""],
    );
    check(&[client(upgrade.to_owned() + &get("/2"))], &["GET /chat → - (Lost)", "GET /2 → - (Lost)"]);
}

#[test]
fn a_tunnel_belongs_to_the_exchange_that_opened_it() {
    // Nobody asked for the 101, and what the client sent after its request is no HTTP.
    let requests = client("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n%%");
    let responses = [server("HTTP/1.1 101 \r\n\r\n"), server("tunnel")];
    let [switch, tunnel] = &responses;
    for steps in [
        [requests.clone(), switch.clone(), tunnel.clone()],
        [switch.clone(), requests.clone(), tunnel.clone()],
        [switch.clone(), tunnel.clone(), requests.clone()],
    ] {
        let exchanged = run(&steps);
        let tunnels: Vec<_> = exchanged.iter().map(|e| e.response_notes.tunnel).collect();
        assert_eq!(tunnels, [6, 0], "{steps:?}");
    }
}

#[test]
fn a_switch_refused_before_its_request_ended() {
    let head = "PUT /1 HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\n";
    check(
        &[client(head), server(ok("no")), client("body".to_owned() + &get("/2")), server(ok("2"))],
        &["PUT /1 \"body\" Complete → 200 \"no\"", "GET /2 → 200 \"2\""],
    );
    // Both answers before the second request: seen so where two taps are not quite in time.
    check(
        &[client(head), server(ok("no") + &ok("2")), client("body".to_owned() + &get("/2"))],
        &["PUT /1 \"body\" Complete → 200 \"no\"", "GET /2 → 200 \"2\""],
    );
}

#[test]
fn a_switch_before_it_was_asked_for_is_one() {
    let requests = get("/1") + "GET /2 HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n" + &get("/3");
    let switch = "HTTP/1.1 101 \r\n\r\n";
    let (first, rest) = requests.split_at(get("/1").len());
    for steps in [
        vec![client(&requests), server(switch)],
        vec![client(first), server(switch), client(rest)],
        vec![server(switch), client(&requests)],
    ] {
        let paths: Vec<_> = run(&steps).into_iter().filter_map(|e| e.request).map(|r| r.target).collect();
        assert_eq!(paths, ["/1", "/2"], "{steps:?}");
    }
}

#[test]
fn gaps_lose_what_they_cover_and_nothing_else() {
    // The rest of the first response and the head of the second request's answer are missing.
    check(
        &[
            client(get("/1")),
            server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
            Step::Gap(ToClient),
            client(get("/2")),
            server("tail".to_owned() + &ok("two")),
        ],
        &["GET /1 → 200 \"abc\" Truncated", "GET /2 → 200 \"two\""],
    );
    // A whole response is missing.
    check(
        &[client(get("/1")), Step::Gap(ToClient), client(get("/2")), server(ok("two"))],
        &["GET /1 → - (Lost)", "GET /2 → 200 \"two\""],
    );
    // A whole request is missing.
    check(
        &[
            client(get("/1")),
            server(ok("1")),
            Step::Gap(ToServer),
            server(ok("2")),
            client(get("/3")),
            server(ok("3")),
        ],
        &["GET /1 → 200 \"1\"", "- → 200 \"2\"", "GET /3 → 200 \"3\""],
    );
    // The capture starts in the middle of a response.
    check(
        &[
            Step::Gap(ToServer),
            Step::Gap(ToClient),
            server("...of a body"),
            client(get("/2")),
            server(ok("two")),
        ],
        &["GET /2 → 200 \"two\""],
    );
    // It starts between a request and its response.
    check(
        &[Step::Gap(ToServer), Step::Gap(ToClient), server(ok("lost")), client(get("/2")), server(ok("two"))],
        &["- → 200 \"lost\"", "GET /2 → 200 \"two\""],
    );
}

#[test]
fn times_places_and_notes() {
    let mut connection = Connection::new(3, Limits::default())
        .between("10.0.0.1:999".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    connection.push(ToServer, Time(10), &b"GET / HTTP/1.1\r\n"[..]);
    connection.push(ToServer, Time(20), &b"Host: a\r\n\r\n"[..]);
    connection.push(ToClient, Time(30), &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..]);
    connection.push(ToClient, Time(40), &b"3\r\nabc\r\n"[..]);
    connection.push(ToClient, Time(50), &b"0\r\nT: 1\r\n\r\n"[..]);
    let exchanged = std::iter::from_fn(|| connection.next_event())
        .find_map(|e| if let ConnectionEvent::Exchanged(e) = e { Some(e) } else { None })
        .unwrap();
    let (request, response) = (exchanged.request.unwrap(), exchanged.response.unwrap());
    let seen = request.seen;
    assert_eq!((seen.connection, seen.stream), (3, 0));
    assert_eq!((seen.start, seen.head_end, seen.end), (Time(10), Some(Time(20)), Some(Time(20))));
    assert_eq!(seen.from, Some("10.0.0.1:999".parse().unwrap()));
    let seen = response.seen;
    assert_eq!((seen.start, seen.head_end, seen.end), (Time(30), Some(Time(30)), Some(Time(50))));
    assert_eq!(seen.to, Some("10.0.0.1:999".parse().unwrap()));
    assert_eq!(response.body.sha256, Sha256::of(b"abc"));
    assert_eq!(response.trailers, [("T", "1")].into_iter().collect());
    assert_eq!(exchanged.response_notes.raw_trailers, "T: 1\r\n\r\n");
    assert_eq!(exchanged.request_notes.raw_head, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn bounds_on_what_is_kept_and_outstanding() {
    let limits = Limits { keep_body: 4, keep_total: 6, outstanding: 3, ..Limits::default() };
    let mut connection = Connection::new(0, limits).whole_messages();
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef";
    connection.push(ToClient, Time(1), "\r\n");
    connection.push(ToServer, Time(1), put.repeat(9).into_bytes());
    connection.finish(ToServer, Time(2), Close::Fin);
    connection.finish(ToClient, Time(2), Close::Fin);
    let (mut kept, mut failed) = (Vec::new(), 0);
    while let Some(event) = connection.next_event() {
        match event {
            ConnectionEvent::Exchanged(e) => {
                if let Some(request) = e.request {
                    assert_eq!(request.body.length, 6);
                    kept.push(request.body.bytes.map_or(0, |b| b.len()));
                }
            }
            ConnectionEvent::Failed { direction, error } => {
                assert_eq!(direction, ToServer);
                assert!(error.to_string().contains("over the limit `outstanding`"), "{error}");
                failed += 1;
            }
            ConnectionEvent::Message { .. } => panic!("only whole messages were asked for"),
        }
    }
    assert_eq!((kept, failed), (vec![4, 2, 0], 1));
}

#[test]
fn one_direction_alone() {
    let limits = Limits { outstanding: 3, ..Limits::default() };
    let mut connection = Connection::new(0, limits).whole_messages();
    let paths = |connection: &mut Connection| -> Vec<String> {
        std::iter::from_fn(|| connection.next_event())
            .map(|e| match e {
                ConnectionEvent::Exchanged(e) => line(&e),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    for n in 1..=5 {
        connection.push(ToServer, Time(n), get(&format!("/{n}")));
    }
    assert_eq!(paths(&mut connection), ["GET /1 → - (Lost)", "GET /2 → - (Lost)"]);
    // The other one turns up after all; its next message answers what was asked last.
    connection.push(ToClient, Time(6), "...".to_owned() + &ok("5"));
    assert_eq!(paths(&mut connection), ["GET /3 → - (Lost)", "GET /4 → - (Lost)", "GET /5 → 200 \"5\""]);
    assert!(connection.counts(ToClient).balance() && connection.counts(ToServer).balance());
}

/// Exchanges to be sent, with what they should come out as.
fn plan() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, String)>> {
    let one = (0..5usize, 0..4usize, any::<bool>()).prop_map(|(request, response, interim)| {
        let (bytes, name, no_body) = match request {
            0 => ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a", false),
            1 => ("HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /b", true),
            2 => (
                "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
                "POST /c \"abc\" Complete",
                false,
            ),
            3 => (
                "PUT /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
                "PUT /d \"xy\" Complete",
                false,
            ),
            _ => ("GET /e HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", "GET /e", false),
        };
        let (mut head, body, text) = match response {
            0 => (ok("hi")[..39 - 1].to_owned(), "hi".to_owned(), "200 \"hi\""),
            1 => (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                "1\r\nh\r\n1\r\ni\r\n0\r\nT: 1\r\n\r\n".to_owned(),
                "200 \"hi\"",
            ),
            2 => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), String::new(), "204 \"\""),
            _ => (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n".to_owned(),
                String::new(),
                "304 \"\"",
            ),
        };
        let mut text = if no_body { text.replace("hi", "") } else { text.to_owned() };
        if !no_body {
            head.push_str(&body);
        }
        if interim {
            head = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{head}");
            text = format!("103 {text}");
        }
        (bytes.as_bytes().to_vec(), head.into_bytes(), format!("{name} → {text}"))
    });
    proptest::collection::vec(one, 1..8)
}

proptest! {
    /// However both directions are cut and interleaved, the same exchanges come out.
    #[test]
    fn interleaving_makes_no_difference(plan in plan(), order: Vec<(bool, u8)>) {
        let mut left = [
            plan.iter().flat_map(|p| p.0.clone()).collect::<Vec<u8>>(),
            plan.iter().flat_map(|p| p.1.clone()).collect::<Vec<u8>>(),
        ];
        let mut steps = Vec::new();
        for (to_server, length) in order {
            let from = &mut left[usize::from(!to_server)];
            let rest = from.split_off(from.len().min(usize::from(length)));
            let piece = std::mem::replace(from, rest);
            steps.push(Step::Bytes(if to_server { ToServer } else { ToClient }, piece));
        }
        let [requests, responses] = left;
        steps.push(client(requests));
        steps.push(server(responses));
        let lines: Vec<String> = run(&steps).iter().map(line).collect();
        let expected: Vec<String> = plan.into_iter().map(|p| p.2).collect();
        prop_assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_panics_and_everything_balances(
        steps in proptest::collection::vec(
            prop_oneof![
                4 => (any::<bool>(), prop::sample::select(vec![
                    &b"GET / HTTP/1.1\r\n"[..], b"HEAD / HTTP/1.0\r\n\r\n", b"CONNECT a HTTP/1.1\r\n", b"Upgrade: x\r\n\r\n",
                    b"HTTP/1.1 101 S\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"Content-Length: 3\r\n\r\n",
                    b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n", b"x",
                ])).prop_map(|(c, b)| if c { client(b) } else { server(b) }),
                1 => any::<bool>().prop_map(|c| Step::Gap(if c { ToServer } else { ToClient })),
                1 => (any::<bool>(), any::<bool>()).prop_map(|(c, r)| Step::Finish(
                    if c { ToServer } else { ToClient }, if r { Close::Reset } else { Close::Fin })),
            ], 0..30)
    ) {
        run(&steps);
    }
}
