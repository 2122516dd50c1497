//! TCP and TLS over real sockets.

mod server_support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mapper::server::{self, Config, Count, Server, TlsConfig, TlsError};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use server_support::{Obedient, SOON, framed, local, query, start};

/// A time limit that a test waits for, and one that it never reaches.
const SHORT: Duration = Duration::from_millis(200);
/// One that a client which is in time keeps, even where the machine has other things to do.
const FAIR: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);

fn unhurried(config: &mut Config) {
    let streams = &mut config.streams;
    (streams.idle, streams.read, streams.write, streams.total) = (LONG, LONG, LONG, LONG);
    // A client that asks as fast as it can reaches the usual number within two seconds.
    streams.queries = u32::MAX;
}

fn serve(change: impl FnOnce(&mut Config)) -> (Server, SocketAddr) {
    let (server, addresses) = start(&["127.0.0.1:0"], |config| {
        unhurried(config);
        change(config);
    });
    (server, addresses[0])
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// The next message, or nothing if the connection is closed before it.
fn next(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return None;
        }
        Err(error) => panic!("neither an answer nor an end: {error}"),
    }
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).expect("a whole message");
    Some(message)
}

fn id(message: Option<Vec<u8>>) -> Option<u16> {
    message.map(|message| u16::from_be_bytes([message[0], message[1]]))
}

fn ask(stream: &mut (impl Read + Write), number: u16, name: &str) -> Option<u16> {
    stream.write_all(&framed(&query(number, name))).expect("written");
    id(next(stream))
}

/// The counters once the server has stopped, so that nothing is counted any more.
fn counted(server: Server, what: Count) -> u64 {
    let metrics = server.metrics();
    server.stop();
    metrics.get(what)
}

#[test]
fn queries_arrive_however_they_are_cut() {
    let (server, at) = serve(|_| {});
    let stream: Vec<u8> = (0..5).flat_map(|number| framed(&query(number, "a.test"))).collect();
    for size in [1, 2, 3, 7, 13, 64, 1000] {
        let mut client = connect(at);
        for piece in stream.chunks(size) {
            client.write_all(piece).expect("written");
        }
        for number in 0..5 {
            assert_eq!(id(next(&mut client)), Some(number), "in pieces of {size}");
        }
    }
    assert_eq!(counted(server, Count::StreamAnswers), 35);
}

#[test]
fn an_answer_waits_for_nothing_else() {
    let (server, at) = serve(|_| {});
    let mut client = connect(at);
    let second = framed(&query(2, "a.test"));
    client.write_all(&[&framed(&query(1, "a.test"))[..], &second[..9]].concat()).expect("written");
    assert_eq!(id(next(&mut client)), Some(1));
    client.write_all(&second[9..]).expect("written");
    assert_eq!(id(next(&mut client)), Some(2));
    // What is not answered holds up nobody.
    client
        .write_all(&[framed(&query(3, "silent.test")), framed(&query(4, "a.test"))].concat())
        .expect("written");
    assert_eq!(id(next(&mut client)), Some(4));
    assert_eq!(counted(server, Count::StreamSilent), 1);
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let (server, at) = serve(|_| {});
    let mut client = connect(at);
    let many: Vec<u8> = (0..200).flat_map(|number| framed(&query(number, "large.test"))).collect();
    client.write_all(&many).expect("written");
    client.shutdown(Shutdown::Write).expect("shut down");
    for number in 0..200 {
        let answer = next(&mut client).expect("an answer");
        assert!(answer.len() > 30_000);
        assert_eq!(id(Some(answer)), Some(number));
    }
    assert_eq!(next(&mut client), None);
    assert_eq!(counted(server, Count::ClosedByClient), 1);
}

#[test]
fn who_asks_nothing_is_closed_and_who_asks_is_not() {
    let (server, at) = serve(|config| config.streams.idle = FAIR);
    let (mut idle, mut busy) = (connect(at), connect(at));
    assert_eq!(ask(&mut idle, 1, "a.test"), Some(1));
    // The other one asks all the time until this one is closed.
    idle.set_nonblocking(true).expect("option");
    let mut number = 0;
    loop {
        number = u16::wrapping_add(number, 1);
        assert_eq!(ask(&mut busy, number, "a.test"), Some(number), "query {number}");
        match idle.read(&mut [0]) {
            Ok(0) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ask(&mut busy, 9, "a.test"), Some(9));
    assert_eq!(counted(server, Count::ClosedIdle), 1);
}

#[test]
fn half_a_query_is_not_waited_for_forever() {
    let (server, at) = serve(|config| config.streams.read = SHORT);
    for part in [1, 2, 20] {
        let mut client = connect(at);
        assert_eq!(ask(&mut client, 1, "a.test"), Some(1));
        client.write_all(&framed(&query(1, "a.test"))[..part]).expect("written");
        assert_eq!(next(&mut client), None);
    }
    assert_eq!(counted(server, Count::ClosedReading), 3);
}

#[test]
fn octet_by_octet_is_not_waited_for_either() {
    let (server, at) = serve(|config| config.streams.read = SHORT);
    let mut client = connect(at);
    // A query of 4000 octets, one at a time, each after a look whether the connection is still there.
    client.write_all(&[15, 160]).expect("written");
    client.set_read_timeout(Some(Duration::from_millis(5))).expect("a time limit");
    let closed = (0..4000).any(|_| {
        let gone = client.write_all(&[0]).is_err();
        gone || matches!(client.read(&mut [0]), Ok(0))
            || client.take_error().is_ok_and(|error| error.is_some())
    });
    assert!(closed);
    assert_eq!(counted(server, Count::ClosedReading), 1);
}

#[test]
fn a_client_that_takes_no_answers_is_closed_and_others_notice_nothing() {
    let (server, at) = serve(|config| config.streams.write = SHORT);
    let mut slow = connect(at);
    let many: Vec<u8> = (0..500).flat_map(|number| framed(&query(number, "large.test"))).collect();
    // Until nothing more is taken from us, or the connection is closed.
    let _ = slow.set_write_timeout(Some(SOON));
    let writer = std::thread::spawn(move || {
        while slow.write_all(&many).is_ok() {}
        slow
    });
    let mut other = connect(at);
    for number in 0..100 {
        assert_eq!(ask(&mut other, number, "a.test"), Some(number));
    }
    drop(writer.join().expect("ends, since the connection is closed"));
    assert_eq!(counted(server, Count::ClosedWriting), 1);
}

#[test]
fn answers_that_wait_are_bounded_over_all_connections() {
    // One answer that waits takes about 30 000 octets; time limits alone would let all of them wait.
    let (server, at) = serve(|config| {
        config.streams.pending = 100_000;
        config.streams.buffer = 4096;
    });
    let many: Vec<u8> = (0..100).flat_map(|number| framed(&query(number, "large.test"))).collect();
    let mut crowd: Vec<TcpStream> = (0..20).map(|_| connect(at)).collect();
    for client in &mut crowd {
        let _ = client.set_write_timeout(Some(SOON));
        let _ = client.write_all(&many);
    }
    // The first to find no room is closed, long before any time is over.
    let metrics = server.metrics();
    for client in &mut crowd[..] {
        if metrics.get(Count::ClosedWriting) > 0 {
            break;
        }
        // Reading makes way for more answers, which more wait for.
        let _ = next(client);
    }
    let mut other = connect(at);
    assert_eq!(ask(&mut other, 1, "a.test"), Some(1));
    assert!(counted(server, Count::ClosedWriting) > 0);
}

#[test]
fn after_its_last_query_a_connection_ends_with_all_its_answers() {
    let (server, at) = serve(|config| config.streams.queries = 10);
    let mut client = connect(at);
    let many: Vec<u8> = (0..15).flat_map(|number| framed(&query(number, "a.test"))).collect();
    client.write_all(&many).expect("written");
    for number in 0..10 {
        assert_eq!(id(next(&mut client)), Some(number));
    }
    assert_eq!(next(&mut client), None);
    drop(client);
    assert_eq!(ask(&mut connect(at), 1, "a.test"), Some(1));
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::StreamQueries), metrics.get(Count::StreamAnswers)), (11, 11));
}

#[test]
fn no_connection_lasts_forever() {
    let (server, at) = serve(|config| config.streams.total = SHORT);
    let mut client = connect(at);
    let mut number = 0;
    loop {
        number = u16::wrapping_add(number, 1);
        if client.write_all(&framed(&query(number, "a.test"))).is_err() || next(&mut client).is_none() {
            break;
        }
    }
    assert_eq!(counted(server, Count::ClosedSpent), 1);
}

#[test]
fn lengths_that_are_none_end_the_connection() {
    let (server, at) = serve(|config| config.streams.longest_query = 512);
    for start in [[0, 0], [0, 11], [2, 1], [0xff, 0xff]] {
        let mut client = connect(at);
        client.write_all(&[&framed(&query(7, "a.test"))[..], &start].concat()).expect("written");
        assert_eq!(id(next(&mut client)), Some(7), "what came before is answered");
        assert_eq!(next(&mut client), None);
    }
    assert_eq!(counted(server, Count::ClosedMalformed), 4);
}

#[test]
fn the_idlest_makes_room() {
    let (server, at) = serve(|config| config.streams.connections = 3);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(at)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, 1, "a.test"), Some(1));
    }
    assert_eq!(ask(&mut clients[0], 2, "a.test"), Some(2));
    assert_eq!(ask(&mut connect(at), 1, "a.test"), Some(1));
    assert_eq!(next(&mut clients[1]), None, "the one that has been idle for longest");
    for number in [0, 2] {
        assert_eq!(ask(&mut clients[number], 3, "a.test"), Some(3));
    }
    assert_eq!(counted(server, Count::ClosedForRoom), 1);
}

#[test]
fn one_client_makes_room_for_itself_only() {
    let (server, addresses) = start(&["0.0.0.0:0"], |config| {
        unhurried(config);
        config.streams.per_client = 2;
    });
    let from = |own: &str| {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.bind(&local(own).into()).expect("binds");
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], addresses[0].port())).into()).expect("connects");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        stream
    };
    let mut other = from("127.0.0.9:0");
    assert_eq!(ask(&mut other, 1, "a.test"), Some(1));
    let mut own: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        own.push(from("127.0.0.8:0"));
        assert_eq!(ask(own.last_mut().expect("one"), 1, "a.test"), Some(1));
    }
    assert_eq!(next(&mut own[0]), None);
    assert_eq!(ask(&mut own[1], 2, "a.test"), Some(2));
    assert_eq!(ask(&mut other, 2, "a.test"), Some(2), "idle for longer, yet another client's");
    server.stop();
}

#[test]
fn a_responder_that_fails_loses_one_query_of_a_stream() {
    let (server, at) = serve(|_| {});
    let mut client = connect(at);
    for name in ["panic.test", "overlong.test"] {
        client.write_all(&[framed(&query(1, name)), framed(&query(2, "a.test"))].concat()).expect("written");
        assert_eq!(id(next(&mut client)), Some(2));
    }
    assert_eq!(counted(server, Count::Faults), 2);
}

#[test]
fn several_threads_keep_the_limits_together() {
    let (server, at) = serve(|config| {
        config.streams.threads = 3;
        config.streams.connections = 10;
    });
    let mut clients: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut client = connect(at);
            assert_eq!(ask(&mut client, 1, "a.test"), Some(1));
            client
        })
        .collect();
    let open: Vec<TcpStream> = clients.split_off(20);
    for client in &mut clients {
        assert_eq!(next(client), None);
    }
    for mut client in open {
        assert_eq!(ask(&mut client, 2, "a.test"), Some(2));
    }
    assert_eq!(counted(server, Count::ClosedForRoom), 20);
}

// TLS.

/// A certificate of its own authority for `localhost`, in files.
fn certify(folder: &Path) -> (TlsConfig, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let der = CertificateDer::from_pem_file(&certificate).expect("read");
    (TlsConfig { listen: vec![local("127.0.0.1:0")], certificate, key, handshake: LONG }, der)
}

fn serve_tls(tls: TlsConfig, change: impl FnOnce(&mut Config)) -> (Server, SocketAddr) {
    let mut config = Config::listening(Vec::new());
    config.tls = Some(tls);
    unhurried(&mut config);
    change(&mut config);
    let bound = server::bind(config).expect("binds");
    let at = bound.tls_addresses()[0];
    (bound.run(|_| Obedient::default()).expect("runs"), at)
}

type Secured = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A connection that trusts this certificate alone; what is wrong with it shows when it is first used.
fn connect_tls(at: SocketAddr, trusted: &CertificateDer<'static>) -> Secured {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    rustls::StreamOwned::new(connection, connect(at))
}

#[test]
fn tls_is_served_and_its_certificate_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let (tls, old) = certify(folder.path());
    let (server, at) = serve_tls(tls, |_| {});
    let mut before = connect_tls(at, &old);
    assert_eq!(ask(&mut before, 1, "large.test"), Some(1));
    assert_eq!(before.conn.alpn_protocol(), Some(&b"dot"[..]));

    let (_, fresh) = certify(folder.path());
    server.reload_certificate().expect("replaced");
    assert_eq!(ask(&mut connect_tls(at, &fresh), 2, "a.test"), Some(2));
    assert!(connect_tls(at, &old).write_all(b"x").is_err(), "the old certificate is not shown any more");
    assert_eq!(ask(&mut before, 3, "a.test"), Some(3), "open connections go on");

    std::fs::write(folder.path().join("key.pem"), "nothing").expect("written");
    let error = server.reload_certificate().expect_err("no key");
    assert!(matches!(error, TlsError::NoKey { .. }) && error.to_string().contains("key.pem"), "{error}");
    assert_eq!(ask(&mut connect_tls(at, &fresh), 4, "a.test"), Some(4), "what was there stays");
    server.stop();
}

#[test]
fn what_is_no_tls_is_closed_and_so_is_what_takes_too_long() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut tls, trusted) = certify(folder.path());
    tls.handshake = FAIR;
    let (server, at) = serve_tls(tls, |_| {});
    let mut clear = connect(at);
    clear.write_all(&framed(&query(1, "a.test"))).expect("written");
    let mut alert = Vec::new();
    let _ = clear.read_to_end(&mut alert);
    assert!(alert.len() < 20, "at most an alert: {alert:?}");
    assert_eq!(next(&mut connect(at)), None);
    assert_eq!(ask(&mut connect_tls(at, &trusted), 2, "a.test"), Some(2));
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::HandshakesFailed), metrics.get(Count::Handshakes)), (2, 1));
}

#[test]
fn pipelined_answers_come_through_tls_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let (tls, trusted) = certify(folder.path());
    let (server, at) = serve_tls(tls, |config| config.streams.buffer = 8192);
    let mut client = connect_tls(at, &trusted);
    let many: Vec<u8> = (0..60).flat_map(|number| framed(&query(number, "large.test"))).collect();
    client.write_all(&many).expect("written");
    for number in 0..60 {
        let answer = next(&mut client).expect("an answer");
        assert!(answer.len() > 30_000);
        assert_eq!(id(Some(answer)), Some(number));
    }
    server.stop();
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let (tls, _) = certify(folder.path());
    let refused = |tls: &TlsConfig| {
        let mut config = Config::listening(Vec::new());
        config.tls = Some(tls.clone());
        server::bind(config).expect_err("refused").to_string()
    };
    let missing = TlsConfig { certificate: folder.path().join("none.pem"), ..tls.clone() };
    assert!(refused(&missing).contains("none.pem"));
    let swapped = TlsConfig { certificate: tls.key.clone(), ..tls.clone() };
    assert!(refused(&swapped).contains("holds no certificate"), "{}", refused(&swapped));
    let (other, _) = certify(tempfile::tempdir().expect("folder").keep().as_path());
    let unfit = TlsConfig { key: other.key, ..tls };
    assert!(refused(&unfit).contains("cannot be used with the key"), "{}", refused(&unfit));
}
