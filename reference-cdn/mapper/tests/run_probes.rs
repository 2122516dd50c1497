//! Servers are probed at each of their addresses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use mapper::run::{Config, Mapper, Outside};

const ZONE: &str = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 60\n@ IN NS ns.example.\n";
const SOON: Duration = Duration::from_secs(30);

/// Answers every request with a page, from now on.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage");
        }
    });
}

/// A port that the addresses can be bound at, with what is bound there.
fn bind(addresses: &[&str]) -> (u16, Vec<TcpListener>) {
    for _ in 0..100 {
        let first = TcpListener::bind((addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let others = addresses[1..].iter().map(|address| TcpListener::bind((*address, port)));
        if let Ok(others) = others.collect::<Result<Vec<_>, _>>() {
            return (port, std::iter::once(first).chain(others).collect());
        }
    }
    panic!("no port is free at all of {addresses:?}");
}

/// The last octets of the A records of a name.
fn ask(at: SocketAddr) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.send_to(b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03www\x01g\x07example\0\0\x01\0\x01", at).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    let mut last: Vec<u8> = answer[31..length].chunks_exact(16).map(|record| record[15]).collect();
    last.sort_unstable();
    last
}

#[expect(clippy::disallowed_methods, reason = "how long a test waits for an event at most")]
fn until(at: SocketAddr, expected: &[u8]) {
    let begin = std::time::Instant::now();
    while ask(at) != expected {
        assert!(begin.elapsed() < SOON, "still {:?}, not {expected:?}", ask(at));
        std::thread::yield_now();
    }
}

fn network(second: &str) -> String {
    format!(
        "[[site]]\nname = \"ams\"\n[[server]]\nname = \"a\"\nsite = \"ams\"\naddresses = [\"127.0.0.21\"]\n[[server]]\nname = \"b\"\nsite = \"ams\"\naddresses = [{second}]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n"
    )
}

#[test]
fn a_server_that_is_dead_at_one_of_its_addresses_is_not_named_until_it_has_that_no_more() {
    if TcpListener::bind("[::1]:0").is_err() {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "IPv6 must be there");
        eprintln!("not run: this machine has no IPv6");
        return;
    }
    let (port, listeners) = bind(&["127.0.0.21", "127.0.0.22"]);
    listeners.into_iter().for_each(serve);
    // Nobody is at its IPv6 address.
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("network.toml", &network("\"127.0.0.22\", \"::1\""));
    put("g.zone", ZONE);
    put(
        "mapper.toml",
        &format!(
            "listen = [\"127.0.0.1:0\"]\nthreads = 1\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\nmost-churn = 1000\n[inputs]\nnetwork = [\"network.toml\"]\n[build]\nevery = 1\n[[probe]]\nhost = \"www.g.example\"\nport = {port}\nevery = 1\n[rules]\nprobes = 2\n"
        ),
    );
    let config = Config::read(&folder.path().join("mapper.toml")).unwrap();
    let mapper = Mapper::start(config, Outside::system().unwrap()).unwrap();
    let at = mapper.addresses().dns[0];
    until(at, &[21]);
    // Without that address nothing is wrong with it.
    put("network.toml", &network("\"127.0.0.22\""));
    until(at, &[21, 22]);
    mapper.stop();
}

/// Answers every question with an SOA record, as the authority of whatever was asked for.
fn serve_names(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let end = 12 + query[12..length].iter().position(|octet| *octet == 0).unwrap() + 5;
            let mut answer = query[..end].to_vec();
            answer[2..4].copy_from_slice(&[0x84, 0]);
            answer[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend_from_slice(b"\xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x16");
            answer.extend_from_slice(&[0; 22]);
            socket.send_to(&answer, from).unwrap();
        }
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a test waits for an event at most")]
fn a_site_whose_name_server_answers_at_one_of_its_addresses_stays_in_referrals() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "IPv6 must be there");
        eprintln!("not run: this machine has no IPv6");
        return;
    };
    let port = socket.local_addr().unwrap().port();
    serve_names(socket);
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    // Nobody is at the IPv4 addresses.
    put(
        "network.toml",
        "[[site]]\nname = \"half\"\nname-servers = [{ v4 = \"127.0.0.24\", v6 = \"::1\" }]\n[[site]]\nname = \"dead\"\nname-servers = [\"127.0.0.25\"]\n[[server]]\nname = \"a\"\nsite = \"half\"\naddresses = [\"192.0.2.1\"]\n[[server]]\nname = \"b\"\nsite = \"dead\"\naddresses = [\"192.0.2.2\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n",
    );
    put("g.zone", ZONE);
    put(
        "mapper.toml",
        &format!(
            "listen = [\"127.0.0.1:0\"]\nthreads = 1\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[inputs]\nnetwork = [\"network.toml\"]\n[probe-names]\nport = {port}\nevery = 1\ntimeout = 2000\n[rules]\nprobes = 2\n"
        ),
    );
    let config = Config::read(&folder.path().join("mapper.toml")).unwrap();
    let mapper = Mapper::start(config, Outside::system().unwrap()).unwrap();
    let begin = std::time::Instant::now();
    loop {
        let edition = mapper::run::open_map(&folder.path().join("maps"), None).unwrap();
        let site = |name: &str| edition.network.sites.iter().position(|site| site.name == name).unwrap();
        let down = |name: &str| edition.conditions.sites[site(name)].names_down;
        assert!(!down("half"), "an answer over IPv6 is one");
        if down("dead") {
            break;
        }
        assert!(begin.elapsed() < SOON, "nobody asked");
        std::thread::yield_now();
    }
    mapper.stop();
}
