//! What the tests of the server share: a responder that can be told what to do by name, and queries for it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mapper::respond::{Asked, Respond, Transport};
use mapper::server::{self, Config, Server};

/// How long something may take that happens at once, on a machine that has other things to do.
pub const SOON: Duration = Duration::from_secs(20);

/// Answers with one address of type A, 192.0.2.1, and says by the name's first label: `panic`, `silent`, `large` (30 000
/// octets on a stream), `overlong` (claims more than there is room for).
#[derive(Debug, Default)]
pub struct Obedient {
    pub refreshed: Arc<AtomicU64>,
}

const HEADER: usize = 12;
const ANSWER: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, 192, 0, 2, 1];

impl Respond for Obedient {
    fn respond(&mut self, asked: &Asked<'_>, response: &mut [u8]) -> Option<usize> {
        let query = asked.query;
        if query[2] & 0x80 != 0 {
            return None;
        }
        let mut end = HEADER;
        loop {
            let label = usize::from(*query.get(end)?);
            end += 1 + label;
            if label == 0 {
                break;
            }
        }
        end += 4;
        let question = query.get(..end)?;
        let first = &query[13..13 + usize::from(query[12])];
        match first {
            b"panic" => panic!("as asked"),
            b"silent" => return None,
            b"overlong" => return Some(response.len() + 1),
            _ => {}
        }
        let count = if first == b"large" && asked.transport != Transport::Udp { 1875 } else { 1 };
        response[..end].copy_from_slice(question);
        response[2] = 0x84 | query[2] & 1;
        response[3] = 0;
        response[4..12].copy_from_slice(&[0, 1, (count >> 8) as u8, count as u8, 0, 0, 0, 0]);
        for at in 0..count {
            response[end + 16 * at..end + 16 * at + 16].copy_from_slice(&ANSWER);
        }
        Some(end + 16 * count)
    }

    fn refresh(&mut self) {
        self.refreshed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A query for the A records of a name.
pub fn query(id: u16, name: &str) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a label"));
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// With the length before it, as on a stream.
pub fn framed(query: &[u8]) -> Vec<u8> {
    [&u16::try_from(query.len()).expect("a message").to_be_bytes()[..], query].concat()
}

pub fn local(address: &str) -> SocketAddr {
    address.parse().expect("address")
}

/// A server on these addresses, as `change` has it, with responders that do as they are told.
pub fn start(listen: &[&str], change: impl FnOnce(&mut Config)) -> (Server, Vec<SocketAddr>) {
    let mut config = Config::listening(listen.iter().map(|address| local(address)).collect());
    config.udp.threads = 2;
    change(&mut config);
    let bound = server::bind(config).expect("binds");
    let addresses = bound.addresses();
    (bound.run(|_| Obedient::default()).expect("runs"), addresses)
}

/// A client's socket, of the family of what it asks.
pub fn socket(of: SocketAddr) -> UdpSocket {
    let any = if of.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("a time limit");
    socket
}

/// Asks, and says who answered. The ID of the answer is checked.
pub fn ask(socket: &UdpSocket, at: SocketAddr, id: u16, name: &str) -> (IpAddr, Vec<u8>) {
    socket.send_to(&query(id, name), at).expect("sent");
    let mut answer = vec![0; 4096];
    let (length, from) = socket.recv_from(&mut answer).expect("an answer");
    answer.truncate(length);
    assert_eq!(answer[..2], id.to_be_bytes(), "the answer to another query");
    assert_eq!(from.port(), at.port());
    (from.ip(), answer)
}

/// Whether a program is here; if it must be, it is.
pub fn have(program: &str) -> bool {
    let here = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !here {
        assert!(
            std::env::var_os("REQUIRE_PEERS").is_none(),
            "{program} is not here, and REQUIRE_PEERS is set"
        );
        eprintln!("not run: {program} is not installed");
    }
    here
}
