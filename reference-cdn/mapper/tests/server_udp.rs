//! Datagrams over real sockets.

mod server_support;

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use mapper::server::{self, Config, Count, StartError};
use server_support::{Obedient, SOON, ask, local, query, socket, start};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("ip")
}

#[test]
fn a_listener_on_all_addresses_answers_from_the_one_that_was_asked() {
    let (server, addresses) = start(&["0.0.0.0:0", "[::]:0"], |_| {});
    for address in ["127.0.0.1", "127.0.0.2", "127.77.0.1"] {
        let at = (ip(address), addresses[0].port()).into();
        assert_eq!(ask(&socket(at), at, 7, "a.test").0, ip(address));
    }
    let at = (ip("::1"), addresses[1].port()).into();
    assert_eq!(ask(&socket(at), at, 7, "a.test").0, ip("::1"));
    // It counts after it has sent.
    let metrics = server.metrics();
    server.stop();
    assert_eq!(metrics.get(Count::Answered), 4);
}

#[test]
fn each_answer_of_a_batch_leaves_from_its_own_address() {
    // One thread, which starts only after all queries are in its socket: they come as one batch.
    let mut config = Config::listening(vec![local("0.0.0.0:0")]);
    config.udp.threads = 1;
    let bound = server::bind(config).expect("binds");
    let port = bound.addresses()[0].port();
    let client = UdpSocket::bind("127.0.0.1:0").expect("socket");
    client.set_read_timeout(Some(SOON)).expect("time limit");
    for last in 1..=40_u8 {
        client.send_to(&query(last.into(), "a.test"), (format!("127.0.0.{last}"), port)).expect("sent");
    }
    let server = bound.run(|_| Obedient::default()).expect("runs");
    for _ in 1..=40 {
        let mut answer = [0; 512];
        let (_, from) = client.recv_from(&mut answer).expect("answer");
        assert_eq!(from.ip(), ip(&format!("127.0.0.{}", answer[1])));
    }
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::Batches), metrics.get(Count::Answered)), (1, 40));
}

#[test]
fn a_thread_that_ends_by_itself_is_counted() {
    let mut config = Config::listening(vec![local("127.0.0.1:0")]);
    config.udp.threads = 2;
    let bound = server::bind(config.clone()).expect("binds");
    let server = bound
        .run(|number| {
            assert_ne!(number, 1, "the second thread has no responder");
            Obedient::default()
        })
        .expect("runs");
    let metrics = server.metrics();
    while server.is_whole() {
        std::thread::yield_now();
    }
    server.stop();
    assert_eq!(metrics.threads_gone(), 1);

    // One that is told to stop is not gone.
    let server = server::bind(config).expect("binds").run(|_| Obedient::default()).expect("runs");
    let metrics = server.metrics();
    server.stop();
    assert_eq!(metrics.threads_gone(), 0);
}

#[test]
fn all_threads_have_a_share_and_nothing_is_lost() {
    let (server, addresses) = start(&["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"], |_| {});
    let mut sent = 0;
    for at in addresses {
        // The kernel chooses a thread by the client's port.
        for _ in 0..64 {
            let client = socket(at);
            for id in 0..4 {
                assert_eq!(ask(&client, at, id, "a.test").0, at.ip());
                sent += 1;
            }
        }
    }
    let metrics = server.metrics();
    server.stop();
    let received: Vec<u64> = metrics.threads().map(|thread| thread.get(Count::Received)).collect();
    assert!(received[0] > 0 && received[1] > 0, "{received:?}");
    assert_eq!(received.iter().sum::<u64>(), sent);
    assert_eq!(metrics.get(Count::Answered), sent);
    assert_eq!(metrics.overflowed(), 0);
}

#[test]
fn what_is_no_query_is_counted_and_nothing_more() {
    let (server, addresses) = start(&["127.0.0.1:0"], |config| config.udp.threads = 1);
    let client = socket(addresses[0]);
    for garbage in [&[][..], &[1; 11], &[0xff; 600], &[0; 2049], &[0; 65_000]] {
        client.send_to(garbage, addresses[0]).expect("sent");
    }
    client.send_to(&query(1, "silent.test"), addresses[0]).expect("sent");
    // A thread takes one client's datagrams in order.
    ask(&client, addresses[0], 2, "a.test");
    let metrics = server.metrics();
    server.stop();
    let count = |what| metrics.get(what);
    assert_eq!((count(Count::Short), count(Count::Long), count(Count::Silent)), (2, 2, 2));
    assert_eq!((count(Count::Received), count(Count::Answered), count(Count::Faults)), (7, 1, 0));
}

#[test]
fn random_octets_neither_stop_a_thread_nor_are_lost_from_the_counts() {
    let (server, addresses) = start(&["127.0.0.1:0"], |config| config.udp.threads = 1);
    let client = socket(addresses[0]);
    let mut state = 1_u32;
    let mut sent = 0;
    for round in 0..200_u16 {
        for _ in 0..10 {
            // Numerical Recipes' generator; its upper bits are good enough.
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as u8
            };
            let garbage: Vec<u8> = (0..usize::from(next())).map(|_| next()).collect();
            client.send_to(&garbage, addresses[0]).expect("sent");
            sent += 1;
        }
        // Wait until it has seen these, so that none meets a full buffer; answers to what happened to be a query come first.
        client.send_to(&query(round, "a.test"), addresses[0]).expect("sent");
        sent += 1;
        let mut answer = [0; 4096];
        loop {
            let length = client.recv(&mut answer).expect("answer");
            if answer[..2] == round.to_be_bytes() && answer[12..length].starts_with(b"\x01a\x04test\0") {
                break;
            }
        }
    }
    let metrics = server.metrics();
    server.stop();
    assert_eq!(metrics.get(Count::Received), sent);
    let ends = [Count::Answered, Count::Silent, Count::Short, Count::Long, Count::Faults, Count::Refused];
    assert_eq!(ends.iter().map(|end| metrics.get(*end)).sum::<u64>(), sent, "each ends in one way");
}

#[test]
fn a_responder_that_fails_loses_one_query() {
    let (server, addresses) = start(&["127.0.0.1:0"], |config| config.udp.threads = 1);
    let client = socket(addresses[0]);
    for name in ["panic.test", "overlong.test"] {
        client.send_to(&query(1, name), addresses[0]).expect("sent");
        ask(&client, addresses[0], 2, "a.test");
    }
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::Faults), metrics.get(Count::Answered)), (2, 2));
}

#[test]
fn a_responder_may_take_a_new_map_before_each_batch() {
    let refreshed = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&refreshed);
    let bound = server::bind(Config::listening(vec![local("127.0.0.1:0")])).expect("binds");
    let at = bound.addresses()[0];
    let server = bound.run(move |_| Obedient { refreshed: Arc::clone(&seen) }).expect("runs");
    let client = socket(at);
    for id in 1..=5 {
        ask(&client, at, id, "a.test");
        assert_eq!(refreshed.load(Ordering::Relaxed), u64::from(id));
    }
    server.stop();
}

/// What a failed start says.
fn refusal(listen: &[&str]) -> (StartError, String) {
    let error =
        server::bind(Config::listening(listen.iter().map(|it| local(it)).collect())).expect_err("refused");
    let text = error.to_string();
    (error, text)
}

#[test]
fn what_keeps_it_from_starting_is_named() {
    let (server, addresses) = start(&["127.0.0.1:0"], |_| {});
    let (error, text) = refusal(&[&addresses[0].to_string()]);
    assert!(error.in_use() && text.contains(&addresses[0].to_string()) && text.contains("UDP"), "{text}");
    assert!(text.contains("stop it, or choose another port"), "{text}");
    server.stop();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let (error, text) = refusal(&[&taken.local_addr().expect("address").to_string()]);
    assert!(error.in_use() && text.contains("TCP"), "{text}");

    let (_, text) = refusal(&["192.0.2.1:0"]);
    assert!(text.contains("192.0.2.1:0") && text.contains("no such address"), "{text}");
    assert!(matches!(refusal(&[]).0, StartError::NoListener));
    assert!(matches!(refusal(&["127.0.0.1:0"; 65]).0, StartError::TooManyListeners { given: 65, most: 64 }));
}

#[test]
fn another_socket_that_would_share_the_port_is_refused_too() {
    use socket2::{Domain, Socket, Type};
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("socket");
    other.set_reuse_port(true).expect("option");
    other.bind(&local("127.0.0.1:0").into()).expect("binds");
    let address = other.local_addr().expect("address").as_socket().expect("of IP");
    let (error, text) = refusal(&[&address.to_string()]);
    assert!(error.in_use() && text.contains("UDP"), "{text}");
}

#[test]
fn a_port_of_the_systems_choice_is_for_both_and_free_again_afterwards() {
    let (server, addresses) = start(&["127.0.0.1:0", "[::1]:0"], |_| {});
    for at in &addresses {
        assert_ne!(at.port(), 0);
        ask(&socket(*at), *at, 1, "a.test");
        std::net::TcpStream::connect(at).expect("a connection");
    }
    let metrics = server.metrics();
    server.stop();
    let again: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    let (server, _) = start(&again, |_| {});
    ask(&socket(addresses[0]), addresses[0], 1, "a.test");
    // Who still looks at the counters of the first one holds none of its sockets.
    assert_eq!(metrics.get(Count::Answered), 2);
    server.stop();
}

/// Stops a server; says whether it did so soon.
fn stops(server: mapper::server::Server) -> bool {
    let (done, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        server.stop();
        let _ = done.send(());
    });
    stopped.recv_timeout(SOON).is_ok()
}

#[test]
fn it_stops_while_nobody_asks() {
    for listen in [&["127.0.0.1:0"][..], &["127.0.0.1:0", "[::1]:0"], &["0.0.0.0:0"]] {
        let (server, addresses) = start(listen, |_| {});
        let at = (
            if addresses[0].ip().is_unspecified() { ip("127.0.0.1") } else { addresses[0].ip() },
            addresses[0].port(),
        );
        ask(&socket(at.into()), at.into(), 1, "a.test");
        let idle = std::net::TcpStream::connect(at).expect("a connection");
        assert!(stops(server));
        drop(idle);
    }
}

#[test]
fn it_stops_while_everybody_asks() {
    for listen in [&["127.0.0.1:0"][..], &["127.0.0.1:0", "[::1]:0"]] {
        let (server, addresses) = start(listen, |_| {});
        let over = Arc::new(AtomicBool::new(false));
        let crowd: Vec<_> = (0..4)
            .map(|_| {
                let (over, at) = (Arc::clone(&over), addresses[0]);
                let client = socket(at);
                std::thread::spawn(move || {
                    let query = query(1, "a.test");
                    while !over.load(Ordering::Relaxed) {
                        // Once the port is closed, sending says so.
                        let _ = client.send_to(&query, at);
                    }
                })
            })
            .collect();
        let client = socket(addresses[0]);
        client.send_to(&query(1, "a.test"), addresses[0]).expect("sent");
        let stopped = stops(server);
        over.store(true, Ordering::Relaxed);
        crowd.into_iter().for_each(|one| one.join().expect("joins"));
        assert!(stopped);
    }
}

#[test]
fn threads_stay_on_their_cores_where_asked_to() {
    let (server, addresses) = start(&["127.0.0.1:0"], |config| config.udp.pin = true);
    ask(&socket(addresses[0]), addresses[0], 1, "a.test");
    // A thread has its number in its name; which cores it may use stands in its status.
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
    let pinned = tasks.filter_map(|task| {
        let folder = task.ok()?.path();
        let name = std::fs::read_to_string(folder.join("comm")).ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let cores =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
        (name.starts_with("dns-udp-") && !cores.contains([',', '-'])).then_some(cores)
    });
    // Other tests of this process have threads of that name, without a core of their own.
    assert!(pinned.count() >= 1);
    server.stop();
}
