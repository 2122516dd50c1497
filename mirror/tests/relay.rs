//! The service's path: what clients and the primary see of each other is what they would see without the mirror.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod stage;

use stage::{Mirror, Played, connect, expect, get, honest, nobody, pattern, reset, rest};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A mirror before a primary that the test plays, and a client that is connected through it to that primary.
fn joined(options: &[&str]) -> (Mirror, TcpStream, TcpStream) {
    let primary = Played::new();
    let mirror = Mirror::start(primary.address(), honest(), options);
    let client = connect(mirror.listen);
    let primary = primary.accept_silent();
    (mirror, client, primary)
}

/// How one request ended, once it has.
fn state_of_one(mirror: &Mirror) -> String {
    let ledger = mirror.ledger_when("the request's end", |l| l["requests"] == 1 && l["open"] == 0);
    let states = ledger["states"].as_object().unwrap();
    states.iter().find(|(_, n)| **n == 1).unwrap().0.clone()
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut primary), (GET.into(), false));
    primary.write_all(OK.as_bytes()).unwrap();
    drop(primary);
    assert_eq!(rest(&mut client), (OK.into(), false));
    assert_ne!(state_of_one(&mirror), "client-gone");
}

#[test]
fn an_answer_cut_short_stays_cut_short() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut primary, GET);
    primary.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    drop(primary);
    assert_eq!(rest(&mut client), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec(), false));
    assert_eq!(state_of_one(&mirror), "primary-gone");
}

#[test]
fn a_reset_of_the_primary_reaches_the_client() {
    // Without a length: were the reset turned into a close, the answer would seem whole.
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut primary, GET);
    primary.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap();
    expect(&mut client, b"HTTP/1.1 200 OK\r\n\r\nabc");
    reset(primary);
    assert_eq!(rest(&mut client), (Vec::new(), true));
    assert_eq!(state_of_one(&mirror), "primary-gone");
}

#[test]
fn a_reset_during_an_upload_reaches_the_client() {
    let (mirror, mut client, mut primary) = joined(&["--unsafe-methods"]);
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut some = [0; 10];
    primary.read_exact(&mut some).unwrap();
    reset(primary);
    let chunk = vec![0; 65_536];
    while client.write_all(&chunk).is_ok() {}
    assert_eq!(state_of_one(&mirror), "primary-gone");
}

#[test]
fn a_reset_of_the_client_reaches_the_primary() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut primary, GET);
    reset(client);
    assert_eq!(rest(&mut primary), (Vec::new(), true));
    assert_eq!(state_of_one(&mirror), "client-gone");
}

#[test]
fn a_client_that_stops_in_its_head() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(b"GET / HT").unwrap();
    drop(client);
    assert_eq!(rest(&mut primary), (b"GET / HT".to_vec(), false));
    drop(primary);
    assert_eq!(state_of_one(&mirror), "client-gone");
}

#[test]
fn pipelined_requests_are_paired() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let requests: String = (0..3).map(|n| get(&format!("/length/{n}")).head).collect();
    client.write_all(requests.as_bytes()).unwrap();
    expect(&mut primary, &requests);
    let answers: Vec<u8> = (0..3).flat_map(|n| stage::answer(&get(&format!("/length/{n}")))).collect();
    primary.write_all(&answers).unwrap();
    expect(&mut client, &answers);
    let ledger = mirror.ledger_when("three comparisons", |l| l["states"]["same"] == 3);
    assert_eq!(ledger["requests"], 3);
}

#[test]
fn continue_is_waited_for_by_nobody_but_the_client() {
    let (mirror, mut client, mut primary) = joined(&["--unsafe-methods"]);
    let head = "POST /length/3 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    expect(&mut primary, head);
    primary.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    expect(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").unwrap();
    expect(&mut primary, "hello");
    primary.write_all(OK.as_bytes()).unwrap();
    expect(&mut client, OK);
    assert_eq!(state_of_one(&mirror), "different");
}

#[test]
fn early_hints_trailers_and_old_versions() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let answers = [
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
        "HTTP/1.0 200 Fine\r\nCONTENT-LENGTH:2\r\n\r\nok",
    ];
    for (index, answer) in answers.iter().enumerate() {
        client.write_all(GET.as_bytes()).unwrap();
        expect(&mut primary, GET);
        primary.write_all(answer.as_bytes()).unwrap();
        expect(&mut client, answer);
        mirror.ledger_when("the comparison", |l| l["states"]["different"] == index + 1);
    }
    let ledger = mirror.ledger();
    assert_eq!(ledger["connections"]["unfollowed"], 0, "{ledger:#}");
}

#[test]
fn a_head_in_single_bytes() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let asked = get("/length/4");
    for byte in asked.head.as_bytes() {
        client.write_all(&[*byte]).unwrap();
        expect(&mut primary, [*byte]);
    }
    let answer = stage::answer(&asked);
    for byte in &answer {
        primary.write_all(&[*byte]).unwrap();
        expect(&mut client, [*byte]);
    }
    assert_eq!(state_of_one(&mirror), "same");
}

#[test]
fn an_upgrade_is_passed_through_and_not_mirrored() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let asked = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(asked.as_bytes()).unwrap();
    expect(&mut primary, asked);
    primary.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi").unwrap();
    expect(&mut client, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi");
    let noise = pattern(200_000, 3);
    let sent = noise.clone();
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    expect(&mut primary, &noise);
    writing.join().unwrap();
    primary.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    expect(&mut client, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(state_of_one(&mirror), "upgrade");
    assert_eq!(mirror.ledger()["connections"]["tunnelled"], 1);
}

#[test]
fn a_tunnel_is_passed_through() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let asked = "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n";
    client.write_all(asked.as_bytes()).unwrap();
    expect(&mut primary, asked);
    primary.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    expect(&mut client, b"HTTP/1.1 200 OK\r\n\r\n");
    client.write_all(b"\x16\x03\x01").unwrap();
    expect(&mut primary, b"\x16\x03\x01");
    assert_eq!(state_of_one(&mirror), "connect");
}

#[test]
fn bytes_that_are_not_http() {
    let (mirror, mut client, mut primary) = joined(&[]);
    let noise = pattern(100_000, 1);
    client.write_all(&noise).unwrap();
    expect(&mut primary, &noise);
    primary.write_all(&noise).unwrap();
    expect(&mut client, &noise);
    drop((client, primary));
    let ledger = mirror.ledger_when("the connection's end", |l| l["connections"]["closed"] == 1);
    assert_eq!(ledger["connections"]["unfollowed"], 1, "{ledger:#}");
    assert_eq!(ledger["states"]["request-unparsed"], 1, "{ledger:#}");
    assert_eq!(ledger["balances"], true);
}

#[test]
fn a_server_that_speaks_first() {
    let (mirror, mut client, mut primary) = joined(&[]);
    primary.write_all(b"220 mail.test ESMTP\r\n").unwrap();
    expect(&mut client, "220 mail.test ESMTP\r\n");
    client.write_all(b"QUIT\r\n").unwrap();
    expect(&mut primary, "QUIT\r\n");
    let ledger = mirror.ledger();
    assert_eq!((&ledger["requests"], &ledger["connections"]["unfollowed"]), (&0.into(), &1.into()));
}

#[test]
fn a_stream_comes_event_by_event() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut primary, GET);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    primary.write_all(head.as_bytes()).unwrap();
    expect(&mut client, head);
    for n in 0..200 {
        let event = format!("data: {n}\n\n");
        primary.write_all(event.as_bytes()).unwrap();
        expect(&mut client, event);
    }
    reset(client);
    assert_eq!(rest(&mut primary), (Vec::new(), true));
    assert_eq!(state_of_one(&mirror), "client-gone");
}

#[test]
fn a_client_that_does_not_read_slows_its_primary_only() {
    let (mirror, mut client, mut primary) = joined(&[]);
    client.write_all(GET.as_bytes()).unwrap();
    expect(&mut primary, GET);
    let before = mirror.memory("VmRSS");
    primary.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    // Once the primary cannot write any more, everything between the two is full.
    primary.set_nonblocking(true).unwrap();
    let body = pattern(100_000_000, 0);
    let mut sent = 0;
    let stuck = stage::Deadline::new();
    let mut full = 0;
    while full < 1000 {
        match primary.write(&body[sent..]) {
            Ok(n) => (sent, full) = (sent + n, 0),
            Err(_) => full += 1,
        }
        std::thread::yield_now();
        assert!(sent < body.len() && !stuck.passed(), "no back-pressure after {sent} bytes");
    }
    assert!(mirror.memory("VmHWM").saturating_sub(before) < 16 * 1024);
    // Others are served meanwhile, and the stuck one goes on when its client does.
    mirror.ledger();
    primary.set_nonblocking(false).unwrap();
    let left = body[sent..].to_vec();
    let writing = std::thread::spawn(move || primary.write_all(&left).unwrap());
    expect(&mut client, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    let mut got = vec![0; body.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == body);
    writing.join().unwrap();
}

#[test]
fn a_dead_primary() {
    let mirror = Mirror::start(nobody(), honest(), &[]);
    let mut client = connect(mirror.listen);
    // A reset, or an end where the client had not written yet; never an answer that the primary did not give.
    let _ = client.write_all(GET.as_bytes());
    assert_eq!(rest(&mut client).0, Vec::<u8>::new());
    let ledger = mirror.ledger();
    assert_eq!((&ledger["requests"], &ledger["connections"]["primary_unreachable"]), (&0.into(), &1.into()));
    let ended = mirror.end();
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("the primary does not take connections"), "{}", ended.stderr);
}

#[test]
fn two_thousand_connections_at_once() {
    let mirror = Mirror::start(honest(), honest(), &["--memory", "64M"]);
    let before = mirror.memory("VmRSS");
    let asked = get("/length/500");
    let mut clients: Vec<_> = (0..2000).map(|_| connect(mirror.listen)).collect();
    for client in &mut clients {
        client.write_all(asked.head.as_bytes()).unwrap();
    }
    let expected = stage::answer(&asked);
    for client in &mut clients {
        expect(client, &expected);
    }
    let ledger = mirror.ledger_when("the end of all requests", |l| l["requests"] == 2000 && l["open"] == 0);
    assert_eq!(ledger["connections"]["accepted"], 2000);
    assert!(mirror.memory("VmHWM").saturating_sub(before) < (64 + 32) * 1024);
    assert_eq!(ledger["balances"], true, "{ledger:#}");
    drop(clients);
}

#[test]
fn no_more_connections_than_allowed() {
    let mirror = Mirror::start(honest(), honest(), &["--connections", "2", "--threads", "1"]);
    let asked = get("/length/5");
    let mut clients: Vec<_> = (0..4).map(|_| connect(mirror.listen)).collect();
    for client in &mut clients {
        client.write_all(asked.head.as_bytes()).unwrap();
    }
    for mut client in clients {
        expect(&mut client, stage::answer(&asked));
        let ledger = mirror.ledger();
        let open = ledger["connections"]["accepted"].as_u64().unwrap()
            - ledger["connections"]["closed"].as_u64().unwrap();
        assert!(open <= 2, "{open} connections at once");
    }
}
