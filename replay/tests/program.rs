//! The program as a user meets it: what it says, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use capture::{LinkType, Packet, PacketFormat, PacketWriter, Record, Writer};
use etherparse::PacketBuilder;
use exchange::{Body, Request, Response, Time, Transaction};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay")).args(arguments).output().unwrap()
}

/// Exit status and standard error, without the directory's name.
fn complaint(directory: &Path, arguments: &[&str]) -> String {
    let output = replay(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&format!("{}/", directory.display()), "");
    format!("{}: {text}", output.status.code().map_or("killed".to_owned(), |c| c.to_string()))
}

fn get(path: &str) -> Request {
    Request::new("GET", path.to_owned(), [("Host", "www.test")].into_iter().collect())
}

fn native(directory: &Path) -> PathBuf {
    let path = directory.join("world.capture");
    let fields = [("Content-Length", "5"), ("Content-Type", "text/plain")].into_iter().collect();
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
    let mut request = get("/");
    request.seen.start = Time::new(1_795_298_820, 0);
    let transaction = Transaction {
        client_request: Some(request),
        client_response: Some(Response::new(200, fields, Body::complete("hello"))),
        ..Transaction::default()
    };
    writer.write(&Record::Transaction(Box::new(transaction))).unwrap();
    writer.finish().unwrap();
    path
}

/// A connection with one exchange, and a packet that is none of TCP.
fn packets(directory: &Path) -> (PathBuf, Vec<u8>) {
    let path = directory.join("a.pcap");
    let mut writer = PacketWriter::new(Vec::new(), PacketFormat::Pcap).unwrap();
    let (client, server) = (([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80));
    let asked = b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n".as_slice();
    let told = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".as_slice();
    let mut number = 0;
    let mut send =
        |from: ([u8; 4], u16), to: ([u8; 4], u16), seq, ack: Option<u32>, syn, fin, payload: &[u8]| {
            let mut b = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 1000);
            b = if syn { b.syn() } else { b };
            b = if fin { b.fin() } else { b };
            b = if let Some(ack) = ack { b.ack(ack) } else { b };
            let mut data = Vec::new();
            b.write(&mut data, payload).unwrap();
            number += 1;
            let length = data.len() as u32;
            let time = Some(Time::new(1_795_298_820, number * 1000));
            writer.write(&Packet { time, link: LinkType::RAW, data: Bytes::from(data), length }).unwrap();
        };
    let (a, t) = (asked.len() as u32, told.len() as u32);
    send(client, server, 99, None, true, false, b"");
    send(server, client, 499, Some(100), true, false, b"");
    send(client, server, 100, Some(500), false, false, asked);
    send(server, client, 500, Some(100 + a), false, false, told);
    send(client, server, 100 + a, Some(500 + t), false, true, b"");
    send(server, client, 500 + t, Some(101 + a), false, true, b"");
    let mut data = Vec::new();
    PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut data, b"x").unwrap();
    let length = data.len() as u32;
    let time = Some(Time::new(1_795_298_821, 0));
    writer.write(&Packet { time, link: LinkType::RAW, data: Bytes::from(data), length }).unwrap();
    let file = writer.finish().unwrap();
    std::fs::write(&path, &file).unwrap();
    (path, file)
}

#[test]
fn help_shows_every_flag_with_examples() {
    for command in ["", "inspect", "http", "origin", "completions"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
        let output = replay(&arguments);
        assert!(output.status.success());
        let name = format!("help_{}", if command.is_empty() { "replay" } else { command });
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = replay(&["completions", shell]);
        assert!(output.status.success() && output.stdout.len() > 500, "{shell}");
    }
}

#[test]
fn inspect_accounts_for_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = packets(directory.path());
    let output = replay(&["inspect", path.to_str().unwrap(), "--transactions", "--connections"]);
    let text = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!("inspect", text.replace(&format!("{}/", directory.path().display()), ""));
    assert_eq!(output.status.code(), Some(0));
    let output = replay(&["inspect", path.to_str().unwrap(), "--json", "-"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["packets"], &json["format"]), (&7.into(), &"packets".into()));
    for ledger in json["ledgers"].as_array().unwrap() {
        assert_eq!(ledger["balances"], true, "{ledger}");
    }
    assert!(json["transactions"].is_null());
}

#[test]
fn bad_input_gets_one_clear_message() {
    let directory = tempfile::tempdir().unwrap();
    let d = directory.path();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(d.join(name), bytes).unwrap();
        d.join(name).to_str().unwrap().to_owned()
    };
    let (_, pcap) = packets(d);
    let empty = file("empty.pcap", b"");
    let text = file("text.pcap", b"this is no capture");
    let header = file("header.pcap", &pcap[..30]);
    let cut = file("cut.pcap", &pcap[..pcap.len() - 5]);
    let nothing = file("nothing.pcap", &pcap[..24]);
    let missing = d.join("missing.pcap").to_str().unwrap().to_owned();
    let world = native(d).to_str().unwrap().to_owned();
    let waivers = file("waivers.toml", b"[[waiver]]\npath = 1\n");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = port.local_addr().unwrap().to_string();
    let live = ["--reference", "http://127.0.0.1:1", "--candidate", "http://127.0.0.1:2"];
    let with = |first: &[&str]| -> String {
        let all: Vec<&str> = first.iter().copied().chain(live).collect();
        complaint(d, &all)
    };
    let mut all = String::new();
    for message in [
        complaint(d, &["inspect", &missing]),
        complaint(d, &["inspect", &empty]),
        complaint(d, &["inspect", &text]),
        complaint(d, &["inspect", d.to_str().unwrap()]).replace(d.to_str().unwrap(), "DIRECTORY"),
        with(&["http", &missing]),
        with(&["http", &world, "--prefix", "no-slash"]),
        with(&["http", &world, "--waivers", &missing]),
        with(&["http", &world, "--waivers", &waivers]),
        with(&["http", &world, "--record", "/nowhere/seen.capture"]),
        with(&["http", &world, "--speed", "fast"]),
        complaint(d, &["http", &world, "--reference", "localhost", "--candidate", "http://a"]),
        complaint(d, &["http", &world, "--reference", "http://127.0.0.1:1", "--candidate", "https://a"]),
        complaint(
            d,
            &["http", &world, "--reference", "http://127.0.0.1:1", "--candidate", "http://0.0.0.0:1/"],
        ),
        complaint(d, &["origin", &nothing, "--listen", "127.0.0.1:0"]),
        complaint(d, &["origin", &world, "--listen", "nowhere"]),
        complaint(d, &["origin", &world, "--listen", &taken]).replace(&taken, "ADDRESS"),
    ] {
        all += &message;
    }
    insta::assert_snapshot!("bad_input", all);

    // A whole file that holds nothing says so.
    let output = replay(&["inspect", &nothing]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("\n  holds no packets\n"), "{text}");

    // What can be read is used, and the rest is named.
    for (path, packets) in [(&cut, 6), (&header, 0)] {
        let output = replay(&["inspect", path, "--json", "-"]);
        assert_eq!(output.status.code(), Some(2));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["packets"], packets);
        assert!(json["file_error"].as_str().unwrap().contains("cut short"), "{json}");
    }
}

#[test]
fn nothing_to_replay_and_dead_builds_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let world = native(directory.path());
    // Ports that nobody listens on: they were ours a moment ago.
    let [dead, other] = {
        let ports = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        ports.each_ref().map(|port| format!("http://{}", port.local_addr().unwrap()))
    };
    let world = world.to_str().unwrap();
    let both = ["--reference", &dead, "--candidate", &other, "--json", "-"];
    let run = |more: &[&str]| {
        let all: Vec<&str> = ["http", world].into_iter().chain(both).chain(more.iter().copied()).collect();
        let output = replay(&all);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["outcome"], "could-not-judge");
        json["reasons"][0]["text"].as_str().unwrap().replace(&dead, "URL").replace(&dead[7..], "ADDRESS")
    };
    assert_eq!(
        run(&[]),
        "the reference URL answered nothing: cannot connect to ADDRESS: Connection refused (os error 111)"
    );
    assert_eq!(run(&["--only", "*.css"]), "nothing in world.capture can be replayed");
}

#[test]
fn the_origin_serves_until_it_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let world = native(directory.path());
    for (path, status, unrecorded) in [("/n/", "HTTP/1.1 200", 0), ("/n/other", "HTTP/1.1 599", 1)] {
        let mut origin = Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["origin", world.to_str().unwrap(), "--listen", "127.0.0.1:0", "--json", "--prefix", "/n"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(origin.stdout.take().unwrap()).lines();
        let ready: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(ready["targets"], 1);
        let mut stream = TcpStream::connect(ready["listen"].as_str().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(status), "{answer}");
        let told = Command::new("kill").args(["-TERM", &origin.id().to_string()]).status().unwrap();
        assert!(told.success());
        let counters: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&counters["requests"], &counters["unrecorded"]), (&1.into(), &unrecorded.into()));
        let code = origin.wait().unwrap().code();
        assert_eq!(code, Some(if unrecorded == 0 { 0 } else { 2 }));
    }
}
