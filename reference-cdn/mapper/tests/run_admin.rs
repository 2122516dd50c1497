//! What operators and senders of load reports are answered over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use control::load_report::{Keys, LoadReport};
use mapper::run::{Config, Mapper, Outside};

const NETWORK: &str = "[[site]]\nname = \"ams\"\n[[site]]\nname = \"nyc\"\n[[server]]\nname = \"ams-1\"\nsite = \"ams\"\naddresses = [\"192.0.2.1\"]\n[[server]]\nname = \"ams-2\"\nsite = \"ams\"\naddresses = [\"192.0.2.2\"]\n[[server]]\nname = \"nyc-1\"\nsite = \"nyc\"\naddresses = [\"198.51.100.1\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n";
const ZONE: &str = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 60\n@ IN NS ns.example.\n";
const KEY: &str = "a key of load reports";
const TOKEN: &str = "a token for operators";
const UNIX: u64 = 1_700_000_000_000;
/// Less than a request's head may take.
const SOON: Duration = Duration::from_secs(8);

const BASE: &str = "listen = [\"127.0.0.1:0\"]\nthreads = 1\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"admin.token\"\n";
const MAKES: &str = "[inputs]\nnetwork = [\"network.toml\"]\nprobes = [\"probes.jsonl\"]\n[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 7\nfile = \"load.key\"\n";

struct Play {
    folder: tempfile::TempDir,
    mapper: Mapper,
}

fn start(folder: &std::path::Path, config: &str) -> Mapper {
    std::fs::write(folder.join("mapper.toml"), config).unwrap();
    let config = Config::read(&folder.join("mapper.toml")).unwrap();
    let outside = Outside { unix: Arc::new(|| UNIX), monotonic: Arc::new(|| 1), secret: [7; 32] };
    Mapper::start(config, outside).unwrap()
}

/// A status and what is said.
fn http(to: SocketAddr, method: &str, target: &str, fields: &str, content: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&to, SOON).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let length = content.len();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{content}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

impl Play {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("network.toml", NETWORK), ("g.zone", ZONE), ("load.key", KEY), ("admin.token", TOKEN)]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let time = UNIX / 1000 - 60;
        let near = format!("{{\"site\":\"ams\",\"target\":\"10.1.0.0/16\",\"rtt\":5,\"time\":{time}}}\n");
        std::fs::write(folder.path().join("probes.jsonl"), near).unwrap();
        let mapper = start(folder.path(), &format!("{BASE}{MAKES}"));
        Self { folder, mapper }
    }

    fn operator(&self, method: &str, target: &str) -> (u16, String) {
        let to = self.mapper.addresses().admin.unwrap();
        http(to, method, target, &format!("Authorization: Bearer {TOKEN}\r\n"), "")
    }

    /// Sends a document of load reports that is signed as it should be.
    fn load(&self, document: &str) -> (u16, String) {
        let mut keys = Keys::default();
        keys.add(7, KEY.as_bytes()).unwrap();
        let mac = keys.sign_json(7, document.as_bytes()).unwrap();
        let to = self.mapper.addresses().admin.unwrap();
        http(to, "POST", "/load", &format!("Load-Key: 7\r\nLoad-MAC: {mac}\r\n"), document)
    }
}

fn report(server: &str, number: u64, ahead: i64) -> String {
    let sent = UNIX.saturating_add_signed(ahead);
    let report = LoadReport { server: server.into(), started: 1, number, sent, ..LoadReport::default() };
    serde_json::to_string(&report).unwrap()
}

#[test]
fn who_sends_load_reports_is_told_what_became_of_each() {
    let play = Play::new();
    let said = |status: u16, said: &str| (status, format!("{said}\n"));
    assert_eq!(play.load(&report("ams-1", 5, 0)), said(202, "taken"));
    let old = "report 1 (ams-1): old: its start or number is not later than that of the last";
    assert_eq!(play.load(&report("ams-1", 5, 0)), said(409, &format!("not taken:\n{old}")));
    let ahead = "not taken:\nreport 1 (ams-1): its clock is 3600 s ahead of this mapper's";
    assert_eq!(play.load(&report("ams-1", 6, 3_600_000)), said(409, ahead));
    let behind = "not taken:\nreport 1 (ams-1): its clock is 31 s behind this mapper's";
    assert_eq!(play.load(&report("ams-1", 6, -31_000)), said(409, behind));
    let stranger = "the network has no server of that name";
    let one = format!("not taken:\nreport 1 (amz-1): {stranger}");
    assert_eq!(play.load(&report("amz-1", 1, 0)), said(409, &one));

    let list = |reports: &[String]| format!("[{}]", reports.join(","));
    let all = list(&[report("ams-1", 7, 0), report("ams-2", 1, 0)]);
    assert_eq!(play.load(&all), said(202, "all 2 are taken"));
    let some = list(&[report("ams-1", 8, 0), report("amz-1", 1, 0), report("ams-2", 1, 0)]);
    let old = old.replace("report 1 (ams-1)", "report 3 (ams-2)");
    let told = format!("1 of 3 are taken, and not:\nreport 2 (amz-1): {stranger}\n{old}");
    assert_eq!(play.load(&some), said(202, &told));
    let (status, told) = play.load(&list(&vec![report("amz-1", 1, 0); 102]));
    assert_eq!(status, 409);
    assert!(told.starts_with("none of 102 is taken:\n") && told.ends_with("\nand 2 more\n"), "{told}");
    assert_eq!(play.load("[]"), said(400, "there is no report in the list"));
    let (status, told) = play.load(&report("ams-1", 9, 0).replace("\"disk\":0", "\"disk\":0.5"));
    let wrong = "this is no JSON of load reports: disk: invalid type: floating point `0.5`, expected a whole number from 0 to 65535 at line 1 column";
    assert!(status == 400 && told.starts_with(wrong), "{told}");
}

#[test]
fn a_mapper_that_takes_no_load_reports_says_so() {
    let play = Play::new();
    let reader = start(play.folder.path(), BASE);
    let (status, said) = http(reader.addresses().admin.unwrap(), "POST", "/load", "", "{}");
    assert_eq!(status, 404);
    assert!(said.contains("takes no load reports") && said.contains("that builds the maps"), "{said}");
}

#[test]
fn a_site_is_drained_with_one_order_and_the_last_server_of_a_service_only_if_it_is_meant() {
    let play = Play::new();
    let said = |status: u16, said: &str| (status, format!("{said}\n"));
    let (status, how) = play.operator("POST", "/withdraw");
    assert!(status == 400 && how.contains("?site=NAME"), "{how}");
    let unknown = play.operator("POST", "/withdraw?server=ams-1&server=amz-2&site=par");
    assert_eq!(
        unknown,
        said(404, "the map has no server amz-2, site par with servers: nothing is withdrawn")
    );
    let both = play.operator("POST", "/withdraw?server=ams-1&server=ams-2");
    assert_eq!(both, said(200, "withdrawn 2: ams-1, ams-2"));
    let again = play.operator("POST", "/restore?site=ams&server=nyc-1");
    assert_eq!(again, said(200, "restored 2: ams-1, ams-2; nyc-1 was not withdrawn"));
    assert_eq!(play.operator("POST", "/withdraw?site=ams").0, 200);
    let bereft =
        "service web has no server left that may be named over IPv4: its clients get no addresses (NODATA)";
    let (status, refused) = play.operator("POST", "/withdraw?server=nyc-1");
    assert_eq!(status, 409);
    assert!(refused.contains(bereft) && refused.contains("&force=true"), "{refused}");
    assert_eq!(play.operator("POST", "/withdraw?server=nyc-1&force=yes").0, 400);
    let forced = play.operator("POST", "/withdraw?server=nyc-1&force=true");
    assert_eq!(forced, said(200, &format!("withdrawn\nwarning: {bereft}")));
    let none = play.operator("POST", "/withdraw?server=nyc-1");
    assert_eq!(none, said(200, "nothing is withdrawn; nyc-1 was withdrawn before"));
    assert_eq!(play.operator("POST", "/restore?server=nyc-1"), said(200, "restored"));
    let none = play.operator("POST", "/restore?server=nyc-1");
    assert_eq!(none, said(200, "nothing is restored; nyc-1 was not withdrawn"));
}

#[test]
fn what_there_is_to_ask_is_said() {
    let play = Play::new();
    let (status, said) = play.operator("GET", "/");
    assert_eq!(status, 404);
    for path in ["/healthz", "/status", "/withdraw?server=&site=", "/load"] {
        assert!(said.contains(path), "{path} is not in {said}");
    }
}

#[test]
fn every_outcome_and_every_input_is_a_metric_from_the_start() {
    let play = Play::new();
    let metrics = play.operator("GET", "/metrics").1;
    let outcomes =
        ["taken", "of-unknown-servers", "old", "with-a-wrong-clock", "malformed", "forged", "dropped"];
    let outcomes = outcomes.map(|outcome| format!("mapper_load_reports_total{{outcome=\"{outcome}\"}} 0"));
    let version = format!("mapper_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    for line in outcomes.iter().chain([&version]) {
        assert!(metrics.lines().any(|known| known == line), "{line} is not in {metrics}");
    }
    let age =
        metrics.lines().find(|line| line.starts_with("mapper_input_age_seconds{input=\"probes\",file=\""));
    assert!(age.is_some_and(|age| age.ends_with("probes.jsonl\"} 60")), "{metrics}");
    let status: serde_json::Value = serde_json::from_str(&play.operator("GET", "/status").1).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["reports"]["old"], 0);
}

#[test]
fn silent_connections_keep_no_operator_out() {
    let play = Play::new();
    let to = play.mapper.addresses().admin.unwrap();
    let silent = |from: [u8; 4]| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect_timeout(&to.into(), SOON).unwrap();
        socket
    };
    let is_well = || assert_eq!(http(to, "GET", "/healthz", "", ""), (200, "ok\n".into()));
    // From the operator's own address, more than it may have and than may be open at all, and then from others.
    let mut held: Vec<_> = (0..400).map(|_| silent([127, 0, 0, 1])).collect();
    is_well();
    // The oldest gave way, the newest did not.
    let mut octet = [0; 1];
    held[0].set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(held[0].read(&mut octet).unwrap_or(0), 0);
    held[399].set_nonblocking(true).unwrap();
    assert_eq!(held[399].read(&mut octet).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    for last in 2..8 {
        held.extend((0..90).map(|_| silent([127, 0, 0, last])));
    }
    is_well();
    assert_eq!(play.operator("GET", "/status").0, 200);
}

#[test]
fn who_sends_long_documents_slowly_keeps_no_server_from_reporting() {
    let play = Play::new();
    let to = play.mapper.addresses().admin.unwrap();
    let begin = |number: usize| {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let length = 1_000_000 + number;
        write!(stream, "POST /load HTTP/1.1\r\nHost: a\r\nLoad-Key: 7\r\nLoad-MAC: 00\r\nContent-Length: {length}\r\n\r\n[").unwrap();
        stream
    };
    let _slow: Vec<_> = (0..8).map(begin).collect();
    // All that may be there are: one more is told so, at once.
    loop {
        let mut one_more = begin(9);
        one_more.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut said = [0; 12];
        if one_more.read_exact(&mut said).is_ok() {
            assert_eq!(&said, b"HTTP/1.1 503");
            break;
        }
    }
    assert_eq!(play.load(&report("ams-1", 1, 0)), (202, "taken\n".into()));
}
