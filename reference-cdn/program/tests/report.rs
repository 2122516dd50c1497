//! An edge that reports its load, and that leaves when it is told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use control::load_report::{Keys, LoadReport, State, read};

const KEY: &str = "a key for load reports";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("write");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn an_edge_tells_how_loaded_it_is_and_that_it_stops_before_it_does() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", origin.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("clone"));
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage",
            );
        }
    });
    let mapper = UdpSocket::bind("127.0.0.1:0").expect("bind");
    mapper.set_read_timeout(Some(Duration::from_secs(20))).expect("time-out");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("load.key"), KEY).expect("write");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[origin]\nurl = \"{url}\"\n[report]\nto = [\"{}\"]\nserver = \"ams-1\"\nkey = 3\nkey-file = \"{}\"\nleave = \"3s\"\nnames = [\"WWW.shop.example=www.g.cdn.example\"]\n",
        mapper.local_addr().expect("address"),
        folder.path().join("load.key").display()
    );
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, config).expect("write");
    let mut edge = Command::new(env!("CARGO_BIN_EXE_reference-cdn"))
        .args(["edge", "--json", "--config"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    BufReader::new(edge.stdout.take().expect("output")).read_line(&mut line).expect("read");
    let mut edge = Running(edge);
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = ready["listen"].as_str().expect("an address");

    let mut keys = Keys::default();
    keys.add(3, KEY.as_bytes()).expect("a key");
    let next = || {
        let mut datagram = [0; 1500];
        let length = mapper.recv(&mut datagram).expect("a report each second");
        read(&datagram[..length], &keys).expect("an authentic report")
    };
    let first = next();
    assert_eq!((first.server.as_str(), first.state), ("ams-1", State::Serves));
    for host in ["www.shop.example", "www.shop.example:80", "elsewhere.example"] {
        assert!(get(address, host).ends_with("page"));
    }
    let told = |holds: &dyn Fn(&LoadReport) -> bool| (0..20).map(|_| next()).find(|report| holds(report));
    let report = told(&|report| report.requests > 0).expect("a report of the requests");
    assert!(report.number > first.number && report.started == first.started && report.sent >= first.sent);
    // Two of three requests, all of one size; the second in which they came may have been cut.
    let share = report.names.first().map(|name| (name.name.as_str(), name.share));
    assert!(matches!(share, Some(("www.g.cdn.example", 300..=1000))), "{report:?}");

    let kill = Command::new("kill").args(["-TERM", &edge.0.id().to_string()]).status();
    assert!(kill.expect("runs").success());
    told(&|report| report.state == State::Stops).expect("it says that it stops");
    assert!(get(address, "www.shop.example").ends_with("page"), "who was sent here before is served");
    assert_eq!(next().state, State::Stops, "no later report takes it back");
    assert!(edge.0.wait().expect("ends").success());
}
