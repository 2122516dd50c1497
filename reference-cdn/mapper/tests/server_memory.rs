//! The part of the server that the compiler does not check, under Valgrind: every system call with every kind of datagram, with
//! memory that the kernel reads before it was written, writes beyond its end, or that is not given back, as an error.
//!
//! Without valgrind the exercise still runs, and the test says that nothing watched it; with REQUIRE_PEERS that is a failure.

mod server_support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;

use mapper::server::mmsg::{self, Batch, LONGEST_QUERY, MOST, ROOM};
use server_support::{SOON, have};

const EXERCISE: &str = "exercise_without_a_watcher";

#[test]
fn valgrind_finds_nothing() {
    if !have("valgrind") {
        return;
    }
    let this = std::env::current_exe().expect("this program");
    let done = Command::new("valgrind")
        .args(["--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", "--quiet"])
        .arg(this)
        .args(["--exact", EXERCISE, "--test-threads=1", "--nocapture"])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{said}\n{}", done.status, String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "the exercise did not run");
}

/// Receives all that was sent, answers each datagram with its first octets, and sends that; says which addresses were asked.
fn serve(batch: &mut Batch, socket: &UdpSocket, mut expected: usize) -> Vec<Option<IpAddr>> {
    let mut locals = Vec::new();
    while expected > 0 {
        let count = batch.receive(socket.as_fd(), true).expect("received");
        for at in 0..count {
            let (datagram, room) = batch.datagram(at);
            assert_eq!(room.len(), ROOM);
            assert_eq!(datagram.cut, datagram.octets.first() == Some(&b'!'));
            locals.push(datagram.local.map(|local| local.address));
            let length = datagram.octets.len().min(1200);
            room[..length].copy_from_slice(&datagram.octets[..length]);
            // All of the room can be written, as a responder may that changes its mind.
            room[length..].fill(0xee);
            batch.answer(at, length);
        }
        assert_eq!(batch.send(socket.as_fd()).sent, count);
        expected -= count;
    }
    locals
}

fn round(batch: &mut Batch, any: &str, asked: &str) {
    let server = UdpSocket::bind(any).expect("binds");
    let v4 = server.local_addr().expect("address").is_ipv4();
    mmsg::tell_addresses(server.as_fd(), v4).expect("option");
    mmsg::never_fragment(server.as_fd(), v4).expect("option");
    let at = SocketAddr::new(asked.parse().expect("ip"), server.local_addr().expect("address").port());
    let client = UdpSocket::bind(if v4 { "127.0.0.1:0" } else { "[::1]:0" }).expect("binds");
    client.set_read_timeout(Some(SOON)).expect("time limit");
    let lengths = [0, 1, 12, 600, LONGEST_QUERY - 1, LONGEST_QUERY, LONGEST_QUERY + 1, 9000];
    for (number, length) in lengths.into_iter().cycle().take(3 * lengths.len()).enumerate() {
        let mut octets = vec![u8::try_from(number).expect("small"); length];
        if length > LONGEST_QUERY {
            octets[0] = b'!';
        }
        client.send_to(&octets, at).expect("sent");
    }
    let locals = serve(batch, &server, 3 * lengths.len());
    assert!(locals.iter().all(|local| *local == Some(at.ip())), "{locals:?}");
    let mut answer = [0; 4096];
    for length in lengths.into_iter().cycle().take(3 * lengths.len()) {
        let (got, from) = client.recv_from(&mut answer).expect("answer");
        assert_eq!((got, from), (length.min(1200), at));
    }
    assert_eq!(batch.receive(server.as_fd(), false).expect("nothing there"), 0);
    assert_eq!(mmsg::overflowed(server.as_fd()), Some(0));
}

#[test]
fn exercise_without_a_watcher() {
    for most in [1, 5, MOST] {
        let mut batch = Batch::new(most);
        // Names of either family, one after the other, in the same slots.
        for _ in 0..2 {
            round(&mut batch, "0.0.0.0:0", "127.0.0.3");
            round(&mut batch, "[::]:0", "::1");
        }
        refused(&mut batch);
        woken(&mut batch);
    }
    drop(Batch::new(0));
    let sockets =
        [UdpSocket::bind("127.0.0.1:0").expect("binds"), UdpSocket::bind("[::1]:0").expect("binds")];
    let client = UdpSocket::bind("[::1]:0").expect("binds");
    client.send_to(b"x", sockets[1].local_addr().expect("address")).expect("sent");
    assert_eq!(mmsg::wait(&[sockets[0].as_fd(), sockets[1].as_fd()]).expect("ready"), 0b10);
}

/// An answer that the kernel refuses takes no other with it: one socket is asked, another one answers that may not send to
/// where the query came from.
fn refused(batch: &mut Batch) {
    let asked = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let elsewhere = UdpSocket::bind("[::1]:0").expect("binds");
    let client = UdpSocket::bind("127.0.0.1:0").expect("binds");
    client.send_to(b"hello", asked.local_addr().expect("address")).expect("sent");
    assert_eq!(batch.receive(asked.as_fd(), true).expect("received"), 1);
    batch.datagram(0).1[0] = 1;
    batch.answer(0, 1);
    let sent = batch.send(elsewhere.as_fd());
    assert_eq!((sent.sent, sent.refused), (0, 1));
    // Nothing waits any more.
    assert_eq!(batch.send(asked.as_fd()), mmsg::Sent::default());
}

/// A socket that is shut down gives empty datagrams of nobody.
fn woken(batch: &mut Batch) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    mmsg::wake(socket.as_fd());
    for at in 0..batch.receive(socket.as_fd(), true).expect("woken") {
        let datagram = batch.datagram(at).0;
        assert!(datagram.octets.is_empty() && datagram.peer.is_none() && datagram.local.is_none());
    }
}
