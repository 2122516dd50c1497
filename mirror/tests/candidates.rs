//! Whatever the candidate does, clients get the primary's bytes, memory stays bounded, and nobody waits for it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod stage;

use stage::{
    Asked, DEADLINE, Mirror, answer, client, get, honest, nobody, pattern, post, read_request, reset, server,
};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

const CLIENTS: usize = 12;
const REQUESTS: usize = 25;

/// Bound on copies, and what may come on top of it, in MiB.
const MEMORY: u64 = 8;
const SLACK: u64 = 32;

/// For candidates that would never answer, and for those that do so in their own way.
const SHORT: &str = "300ms";
const PATIENT: &str = "50s";

/// What one client asks: small and large, with and without bodies, in all framings.
fn requests(client: usize) -> Vec<Asked> {
    (0..REQUESTS)
        .map(|n| match n % 5 {
            0 => get(&format!("/length/{}/{client}/{n}", 100 + n)),
            1 => get(&format!("/chunked/{}/{client}/{n}", 40_000 + n)),
            2 => post(&format!("/length/{}/{client}/{n}", 2000), pattern(90_000, n as u64)),
            3 => get(&format!("/length/{}/{client}/{n}", 300_000)),
            _ => get(&format!("/close/{}/{client}/{n}", 70_000)),
        })
        .collect()
}

/// Runs all clients against a mirror with this candidate. `done` is told when all clients have all their answers,
/// so that a candidate can wait for that and thereby prove that they did not wait for it.
fn load(
    candidate: SocketAddr,
    timeout: &str,
    done: Option<&Sender<()>>,
) -> (stage::Ended, serde_json::Value) {
    let memory = format!("{MEMORY}M");
    let options = ["--memory", &memory, "--candidate-timeout", timeout, "--unsafe-methods", "--drain", "5s"];
    let mirror = Mirror::start(honest(), candidate, &options);
    let before = mirror.memory("VmRSS");
    let listen = mirror.listen;
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| std::thread::spawn(move || client(listen, &requests(n)))).collect();
    for client in clients {
        client.join().unwrap();
    }
    if let Some(done) = done {
        let _ = done.send(());
    }
    let ledger = mirror.ledger_when("the end of all requests", |l| l["open"] == 0);
    let grown = mirror.memory("VmHWM").saturating_sub(before);
    assert!(grown <= (MEMORY + SLACK) * 1024, "memory grew by {grown} KiB");
    assert!(ledger["memory"]["peak"].as_u64() <= Some(MEMORY << 20), "{ledger:#}");
    assert_eq!(ledger["requests"], (CLIENTS * REQUESTS) as u64, "{ledger:#}");
    assert_eq!(ledger["balances"], true, "{ledger:#}");
    (mirror.end(), ledger)
}

/// Asserts how all requests ended.
fn check(candidate: SocketAddr, timeout: &str, done: Option<&Sender<()>>, states: &[&str], status: i32) {
    let (ended, ledger) = load(candidate, timeout, done);
    let counted: u64 = states.iter().map(|state| ledger["states"][state].as_u64().unwrap()).sum();
    assert_eq!(counted, (CLIENTS * REQUESTS) as u64, "not only {states:?}: {ledger:#}");
    assert_eq!(ended.status, status, "{}{}", ended.stdout, ended.stderr);
}

/// States of requests that the mirror could not send on because others waited before them.
const CROWDED: [&str; 2] = ["queue", "memory"];

fn crowded_or<'a>(states: &[&'a str]) -> Vec<&'a str> {
    [states, &CROWDED].concat()
}

#[test]
fn an_honest_candidate_agrees() {
    let (ended, ledger) = load(honest(), PATIENT, None);
    assert!(ledger["states"]["same"].as_u64() > Some(0), "{ledger:#}");
    assert_eq!(ledger["states"]["different"], 0, "{}{ledger:#}", ended.stdout);
}

#[test]
fn differs_everywhere() {
    let candidate = server(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(asked) = read_request(&mut reader)? {
            let mut answer = answer(&asked);
            // The last byte of a body, or the line end after the last chunk's trailer section.
            let last = answer.len() - 1;
            answer[last] ^= 1;
            stream.write_all(&answer)?;
            if !asked.line.contains("/length/") {
                return Ok(());
            }
        }
        Ok(())
    });
    check(candidate, PATIENT, None, &crowded_or(&["different", "candidate-garbage"]), 1);
}

#[test]
fn hung() {
    let (done, all_answered) = channel();
    let candidate = waits_for(all_answered, |_| Ok(()));
    check(
        candidate,
        SHORT,
        Some(&done),
        &crowded_or(&["candidate-timeout", "candidate-closed", "candidate-backlog"]),
        2,
    );
}

/// A server that does nothing with its connections until the event, then `then`.
fn waits_for(
    event: Receiver<()>,
    then: impl Fn(std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let event = Mutex::new(event);
    let passed = std::sync::Once::new();
    server(move |stream| {
        passed.call_once(|| {
            let _ = event.lock().unwrap().recv_timeout(DEADLINE);
        });
        // Wait for the mirror to give up.
        let mut stream = stream;
        while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
        then(stream)
    })
}

#[test]
fn does_not_accept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    check(
        address,
        SHORT,
        None,
        &crowded_or(&["candidate-timeout", "candidate-unreachable", "candidate-backlog", "candidate-closed"]),
        2,
    );
    drop(listener);
}

#[test]
fn refuses() {
    check(nobody(), PATIENT, None, &["candidate-unreachable", "memory", "queue"], 2);
}

#[test]
fn one_byte_a_second() {
    let candidate = server(|mut stream| {
        let pause = Arc::new((Mutex::new(()), std::sync::Condvar::new()));
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".iter().cycle() {
            stream.write_all(&[*byte])?;
            // Nobody signals: the wait takes its whole second.
            let guard = pause.0.lock().unwrap();
            drop(pause.1.wait_timeout(guard, std::time::Duration::from_secs(1)).unwrap());
        }
        Ok(())
    });
    check(candidate, SHORT, None, &crowded_or(&["candidate-timeout", "candidate-backlog"]), 2);
}

#[test]
fn resets_in_the_middle() {
    let candidate = server(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        if let Some(asked) = read_request(&mut reader)? {
            let answer = answer(&asked);
            stream.write_all(&answer[..answer.len() / 2])?;
        }
        reset(stream);
        Ok(())
    });
    check(candidate, PATIENT, None, &crowded_or(&["different", "candidate-closed"]), 1);
}

#[test]
fn closes_at_once() {
    let candidate = server(|_| Ok(()));
    check(candidate, PATIENT, None, &crowded_or(&["candidate-closed"]), 1);
}

#[test]
fn answers_a_gigabyte() {
    check(gigabytes(), PATIENT, None, &crowded_or(&["candidate-too-long"]), 1);
}

/// Answers everything with a gigabyte of zeros.
fn gigabytes() -> SocketAddr {
    server(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while read_request(&mut reader)?.is_some() {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 30)?;
            let zeros = vec![0; 1 << 20];
            for _ in 0..1 << 10 {
                stream.write_all(&zeros)?;
            }
        }
        Ok(())
    })
}

#[test]
fn sends_garbage() {
    let candidate = server(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        while read_request(&mut reader)?.is_some() {
            stream.write_all(&pattern(100_000, 7))?;
        }
        Ok(())
    });
    check(candidate, PATIENT, None, &crowded_or(&["candidate-garbage"]), 1);
}

#[test]
fn endless_interim_responses() {
    let candidate = server(|mut stream| {
        loop {
            stream.write_all(&b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(1000))?;
        }
    });
    check(candidate, PATIENT, None, &crowded_or(&["candidate-garbage", "candidate-closed"]), 1);
}

#[test]
fn an_endless_head() {
    let candidate = server(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            stream.write_all(&[b'x'; 65_536])?;
        }
    });
    check(candidate, PATIENT, None, &crowded_or(&["candidate-garbage", "candidate-closed"]), 1);
}

/// Enough connections and large answers that what is held beside the copies would show.
mod many {
    use super::{Mirror, SLACK, nobody, pattern, read_request, server, stage, waits_for};
    use std::io::{BufReader, Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    const CLIENTS: usize = 160;
    const REQUESTS: usize = 2;
    const LENGTH: usize = 10 << 20;
    const MEMORY: u64 = 64;

    fn primary(body: Arc<Vec<u8>>) -> SocketAddr {
        server(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            while read_request(&mut reader)?.is_some() {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")?;
                stream.write_all(&body)?;
            }
            Ok(())
        })
    }

    /// Takes answers in small steps, and asserts that they are the primary's to the byte.
    fn downloads(mut stream: TcpStream, client: usize, body: &[u8]) {
        let mut buffer = vec![0; 32 << 10];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        for n in 0..REQUESTS {
            write!(stream, "GET /{client}/{n} HTTP/1.1\r\nHost: stage.test\r\n\r\n").unwrap();
            stage::expect(&mut stream, &head);
            let mut at = 0;
            while at < body.len() {
                let room = buffer.len().min(body.len() - at);
                let got = stream.read(&mut buffer[..room]).unwrap();
                assert!(got > 0 && buffer[..got] == body[at..at + got], "other bytes than the primary's");
                at += got;
            }
        }
    }

    fn stay_bounded(candidate: SocketAddr) {
        let body = Arc::new(pattern(LENGTH, 3));
        let memory = format!("{MEMORY}M");
        let options = ["--memory", &memory, "--candidate-timeout", "2s", "--drain", "5s"];
        let mirror = Mirror::start(primary(Arc::clone(&body)), candidate, &options);
        let before = mirror.memory("VmRSS");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (stream, body) = (stage::connect(mirror.listen), Arc::clone(&body));
                std::thread::spawn(move || downloads(stream, client, &body))
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let ledger = mirror.ledger_when("the end of all requests", |l| l["open"] == 0);
        let grown = mirror.memory("VmHWM").saturating_sub(before);
        assert!(grown <= (MEMORY + SLACK) * 1024, "memory grew by {grown} KiB: {ledger:#}");
        assert!(ledger["memory"]["peak"].as_u64() <= Some(MEMORY << 20), "{ledger:#}");
        assert_eq!(ledger["requests"], (CLIENTS * REQUESTS) as u64, "{ledger:#}");
        assert_eq!(ledger["balances"], true, "{ledger:#}");
    }

    #[test]
    fn hung() {
        let (_never, nothing) = channel();
        stay_bounded(waits_for(nothing, |_| Ok(())));
    }

    #[test]
    fn refuses() {
        stay_bounded(nobody());
    }

    #[test]
    fn answers_a_gigabyte() {
        stay_bounded(super::gigabytes());
    }
}
