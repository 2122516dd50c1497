//! `reference-cdn mapper`, `map` and `explain-dns` as an operator meets them: processes, sockets, files, output and exit status.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use control::load_report::{Keys, LoadReport, NameLoad, State, write};
use serde_json::Value;

#[path = "mapper/operators.rs"]
mod operators;

const PROGRAM: &str = env!("CARGO_BIN_EXE_reference-cdn");
const KEY: &str = "a key for load reports";
const TOKEN: &str = "a token for operators";

const NETWORK: &str = r#"
[[site]]
name = "ams"
domain = "europe"
latitude = 52.4
longitude = 4.9
name-servers = ["127.0.1.1", "127.0.1.2"]
[[site]]
name = "nyc"
domain = "america"
latitude = 40.7
longitude = -74.0
name-servers = ["127.0.2.1"]
[[server]]
name = "ams-1"
site = "ams"
addresses = ["192.0.2.1", "2001:db8:1::1"]
[[server]]
name = "ams-2"
site = "ams"
addresses = ["192.0.2.2", "2001:db8:1::2"]
[[server]]
name = "ams-3"
site = "ams"
addresses = ["192.0.2.3", "2001:db8:1::3"]
[[server]]
name = "nyc-1"
site = "nyc"
addresses = ["198.51.100.1", "2001:db8:2::1"]
[[server]]
name = "nyc-2"
site = "nyc"
addresses = ["198.51.100.2", "2001:db8:2::2"]
[[service]]
name = "web"
hosts = ["www", "a{0..9}"]
"#;

const ZONE: &str = "$TTL 600\n@ IN SOA n0g.cdn.example. hostmaster.cdn.example. 1 7200 900 1209600 60\n@ IN NS n0g.cdn.example.\n@ IN NS n1g.cdn.example.\n";

/// A folder with everything that a mapper reads.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("folder"));
        let near = |site: &str, prefix: &str| {
            format!("{{\"site\":\"{site}\",\"target\":\"{prefix}\",\"rtt\":5,\"time\":{}}}\n", unix() / 1000)
        };
        folder.put("network.toml", NETWORK);
        folder.put("probes.jsonl", &(near("ams", "10.1.0.0/16") + &near("nyc", "10.2.0.0/16")));
        folder.put("g.zone", ZONE);
        folder.put("load.key", KEY);
        folder.put("admin.token", TOKEN);
        folder.put("mapper.toml", &config("[inputs]\nnetwork = [\"network.toml\"]\nprobes = [\"probes.jsonl\"]\n[build]\nevery = 1\n[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 7\nfile = \"load.key\"\n"));
        folder
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("write");
        if name.ends_with(".key") || name.ends_with(".token") {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a secret");
        }
        path
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn start(&self, config: &str) -> Mapper {
        let mut child = Command::new(PROGRAM)
            .args(["mapper", "--json", "--config", &self.at(config)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("output")).read_line(&mut line).expect("read");
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().expect("errors").read_to_string(&mut said).expect("read");
            panic!("the mapper did not start: {said}");
        }
        Mapper { child, addresses: serde_json::from_str(&line).expect("JSON") }
    }
}

fn config(rest: &str) -> String {
    format!(
        "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.cdn.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"admin.token\"\n{rest}"
    )
}

#[expect(clippy::disallowed_methods, reason = "load reports carry the real time")]
fn unix() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_millis() as u64
}

struct Mapper {
    child: Child,
    addresses: Value,
}

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An A query with a client subnet and the epoch option.
fn query(name: &str, client: [u8; 3]) -> Vec<u8> {
    let mut octets = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend_from_slice(label.as_bytes());
    }
    octets.extend_from_slice(&[0, 0, 1, 0, 1]);
    let options = [&[0, 8, 0, 7, 0, 1, 24, 0][..], &client, &[0xff, 0x21, 0, 0]].concat();
    octets.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
    octets.extend_from_slice(&options);
    octets
}

impl Mapper {
    fn address(&self, of: &str) -> SocketAddr {
        let value = &self.addresses[of];
        let text = value.as_str().or(value[0].as_str()).expect("an address");
        text.parse().expect("an address")
    }

    /// Addresses in an answer, in ascending order, and the epoch.
    fn ask(&self, name: &str, client: [u8; 3]) -> (Vec<String>, u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("time-out");
        let query = query(name, client);
        socket.send_to(&query, self.address("dns")).expect("send");
        let mut octets = [0; 1500];
        let length = socket.recv(&mut octets).expect("an answer");
        let answer = &octets[..length];
        let count = u16::from_be_bytes([answer[6], answer[7]]);
        let mut at = 12 + name.len() + 2 + 4;
        let mut addresses = Vec::new();
        for _ in 0..count {
            let data = &answer[at + 12..at + 16];
            addresses.push(format!("{}.{}.{}.{}", data[0], data[1], data[2], data[3]));
            at += 16;
        }
        addresses.sort();
        let epoch = answer.windows(4).position(|four| four == [0xff, 0x21, 0, 8]).expect("the epoch");
        (addresses, u64::from_be_bytes(answer[epoch + 4..epoch + 12].try_into().expect("8 octets")))
    }

    /// Waits until an answer is as it should be.
    fn until(&self, name: &str, client: [u8; 3], holds: impl Fn(&[String]) -> bool) -> u64 {
        let begin = now();
        loop {
            let (addresses, epoch) = self.ask(name, client);
            if holds(&addresses) {
                return epoch;
            }
            assert!(now() - begin < Duration::from_secs(30), "{name} is still answered with {addresses:?}");
            std::thread::yield_now();
        }
    }

    fn http(&self, method: &str, target: &str, fields: &str, content: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address("admin")).expect("connect");
        let length = content.len();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{content}").expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let content = answer.split_once("\r\n\r\n").map_or("", |(_, content)| content);
        (status, content.to_owned())
    }

    fn operator(&self, method: &str, target: &str) -> (u16, String) {
        self.http(method, target, &format!("Authorization: Bearer {TOKEN}\r\n"), "")
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(kill.expect("runs").success());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test waits for an event at most")]
fn now() -> Instant {
    Instant::now()
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.add(7, KEY.as_bytes()).expect("a key");
    keys
}

fn report(server: &str, number: u64, load: u16) -> LoadReport {
    LoadReport {
        server: server.into(),
        started: 1,
        number,
        sent: unix(),
        processor: load,
        names: vec![NameLoad { name: "www.g.cdn.example".into(), share: 100 }],
        ..LoadReport::default()
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

const AMS: [u8; 3] = [10, 1, 7];
const NYC: [u8; 3] = [10, 2, 7];

fn of_site(site: &str) -> impl Fn(&[String]) -> bool + '_ {
    move |addresses| addresses.len() == 2 && addresses.iter().all(|address| address.starts_with(site))
}

#[test]
fn each_client_is_given_the_servers_near_it_and_a_map_can_be_asked_again_by_its_epoch() {
    let folder = Folder::new();
    let mapper = folder.start("mapper.toml");
    let (ams, epoch) = mapper.ask("www.g.cdn.example", AMS);
    assert!(of_site("192.0.2.")(&ams), "{ams:?}");
    assert!(of_site("198.51.100.")(&mapper.ask("www.g.cdn.example", NYC).0));

    // One of them is withdrawn; the map of before still says what it said.
    let (status, explained) = mapper.operator("GET", "/explain?name=www.g.cdn.example&client=10.1.7.9");
    assert_eq!(status, 200);
    let explained: Value = serde_json::from_str(&explained).expect("JSON");
    let server = |chosen: &Value| chosen["chosen"] == true;
    let servers = explained["answers"][0]["servers"].as_array().expect("servers");
    let victim = servers.iter().find(|server_of| server(server_of)).expect("one is chosen");
    let (name, address) =
        (victim["server"].as_str().expect("name"), victim["address"].as_str().expect("address"));
    assert!(ams.iter().any(|known| known == address));
    assert_eq!(mapper.operator("POST", &format!("/withdraw?server={name}")).0, 200);
    let later =
        mapper.until("www.g.cdn.example", AMS, |addresses| addresses.iter().all(|known| known != address));
    assert!(later > epoch);
    let asked_at = unix() / 1000 + 1;
    let explain_by = |which: &str, value: u64| {
        let maps = folder.at("maps");
        let value = value.to_string();
        let output = run(&[
            "explain-dns",
            "WWW.g.cdn.example.",
            "--client",
            "10.1.7.9",
            "--map",
            &maps,
            which,
            &value,
            "--json",
            "-",
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let explained: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut addresses: Vec<String> = explained["answers"][0]["addresses"]
            .as_array()
            .expect("addresses")
            .iter()
            .map(|address| address.as_str().expect("text").to_owned())
            .collect();
        addresses.sort();
        addresses
    };
    let explain = |epoch: u64| explain_by("--epoch", epoch);
    assert_eq!(explain(epoch), ams);
    assert_eq!(explain_by("--at", asked_at), explain(later));
    assert!(explain(later).iter().all(|known| known != address));
    assert_eq!(mapper.operator("POST", &format!("/restore?server={name}")).0, 200);
    mapper.until("www.g.cdn.example", AMS, |addresses| addresses == ams);

    // The difference of the two maps is one server.
    let difference = run(&[
        "map",
        "diff",
        &format!("{}@{epoch}", folder.at("maps")),
        &format!("{}@{later}", folder.at("maps")),
    ]);
    assert_eq!(difference.status.code(), Some(1), "{}", text(&difference.stderr));
    let same = run(&[
        "map",
        "diff",
        &format!("{}@{epoch}", folder.at("maps")),
        &format!("{}@{epoch}", folder.at("maps")),
    ]);
    assert_eq!(same.status.code(), Some(0));
}

#[test]
fn a_server_that_reports_too_much_load_is_not_named_until_it_has_less() {
    let folder = Folder::new();
    let mapper = folder.start("mapper.toml");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let tell = |server: &str, number: u64, load: u16, keys: &Keys| {
        let datagram = write(&report(server, number, load), keys, 7).expect("written");
        socket.send_to(&datagram, mapper.address("load")).expect("sent");
    };
    let (before, _) = mapper.ask("www.g.cdn.example", AMS);
    let victim = format!("ams-{}", before[0].rsplit('.').next().expect("a number"));

    // Whoever has no key is not believed.
    let mut forged = Keys::default();
    forged.add(7, b"a key that somebody made up").expect("a key");
    tell(&victim, 1, 1000, &forged);
    // Several in a row: one alone is smoothed.
    for number in 1..6 {
        for server in ["ams-1", "ams-2", "ams-3"] {
            tell(server, number, if server == victim { 990 } else { 200 }, &keys());
        }
    }
    mapper
        .until("www.g.cdn.example", AMS, |addresses| !addresses.contains(&before[0]) && addresses.len() == 2);
    let metrics = mapper.operator("GET", "/metrics").1;
    assert!(metrics.contains("mapper_servers{standing=\"overloaded\"} 1"), "{metrics}");
    assert!(metrics.contains("mapper_load_reports_total{outcome=\"forged\"} 1"), "{metrics}");

    // As JSON over HTTP the same is told; one who says that it stops is withdrawn at once.
    let stops = LoadReport { state: State::Stops, ..report("nyc-1", 1, 100) };
    let document = serde_json::to_string(&stops).expect("JSON");
    let mac = keys().sign_json(7, document.as_bytes()).expect("a key");
    let fields = |mac: &str| format!("Load-Key: 7\r\nLoad-MAC: {mac}\r\n");
    assert_eq!(mapper.http("POST", "/load", &fields("00"), &document).0, 400);
    assert_eq!(mapper.http("POST", "/load", &fields(&mac), &document).0, 202);
    mapper.until("www.g.cdn.example", NYC, |addresses| addresses == ["198.51.100.2"]);
}

/// Answers each request with a status and content.
fn serve(listener: TcpListener, answer: impl Fn() -> (&'static str, &'static str) + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().expect("clone"));
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let (status, content) = answer();
            let length = content.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
            );
        }
    });
}

#[test]
fn a_server_that_answers_otherwise_than_it_should_is_not_named() {
    // Two servers of one site on loopback, of which one will serve something else.
    let folder = Folder::new();
    let page = |listener: TcpListener, content: &'static str| serve(listener, move || ("200 OK", content));
    let (good, bad) = loop {
        let good = TcpListener::bind("127.0.0.11:0").expect("bind");
        let port = good.local_addr().expect("address").port();
        if let Ok(bad) = TcpListener::bind(("127.0.0.12", port)) {
            break (good, bad);
        }
    };
    let port = good.local_addr().expect("address").port();
    page(good, "page");
    page(bad, "paxe");
    folder.put(
        "network.toml",
        "[[site]]\nname = \"here\"\n[[server]]\nname = \"good\"\nsite = \"here\"\naddresses = [\"127.0.0.11\"]\n[[server]]\nname = \"bad\"\nsite = \"here\"\naddresses = [\"127.0.0.12\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n",
    );
    // SHA-256 of "page".
    let digest = aws_digest("page");
    folder.put(
        "mapper.toml",
        &config(&format!("[inputs]\nnetwork = [\"network.toml\"]\n[[probe]]\nhost = \"www.example\"\nport = {port}\nevery = 1\nsha256 = \"{digest}\"\n[rules]\nprobes = 2\n")),
    );
    let mapper = folder.start("mapper.toml");
    assert_eq!(mapper.ask("www.g.cdn.example", AMS).0, ["127.0.0.11", "127.0.0.12"]);
    mapper.until("www.g.cdn.example", AMS, |addresses| addresses == ["127.0.0.11"]);
}

/// As sha256sum prints it.
fn aws_digest(content: &str) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("input").write_all(content.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("ends");
    text(&output.stdout)[..64].to_owned()
}

#[test]
fn inputs_zones_and_maps_of_others_are_taken_up_while_it_runs() {
    let folder = Folder::new();
    let builder = folder.start("mapper.toml");
    // Another one that only reads maps answers the same from the same epoch.
    folder.put("reader.toml", &config(""));
    let reader = folder.start("reader.toml");
    assert_eq!(builder.ask("www.g.cdn.example", AMS), reader.ask("www.g.cdn.example", AMS));
    // A new server, and a new name.
    let more = "[[server]]\nname = \"nyc-3\"\nsite = \"nyc\"\naddresses = [\"198.51.100.3\"]\n[[service]]\nname = \"new\"\nhosts = [\"new\"]\n";
    assert_eq!(reader.ask("new.g.cdn.example", NYC).0, Vec::<String>::new());
    folder.put("network.toml", &format!("{NETWORK}{more}"));
    builder.until("new.g.cdn.example", NYC, of_site("198.51.100."));
    reader.until("new.g.cdn.example", NYC, of_site("198.51.100."));
    // A network that lacks a site all at once is held back, until an operator accepts it.
    let without: String = NETWORK
        .split_inclusive("[[")
        .map(str::to_owned)
        .collect::<String>()
        .replace("name = \"nyc-1\"\nsite = \"nyc\"", "name = \"ams-4\"\nsite = \"ams\"")
        .replace("name = \"nyc-2\"\nsite = \"nyc\"", "name = \"ams-5\"\nsite = \"ams\"");
    folder.put("network.toml", &without);
    let held = || {
        serde_json::from_str::<Value>(&builder.operator("GET", "/status").1).expect("JSON")["held-back"]
            .clone()
    };
    let wait_for = |waits: bool| {
        let begin = now();
        while held().is_null() == waits {
            assert!(now() - begin < Duration::from_secs(30), "a map that waits: {waits}");
            std::thread::yield_now();
        }
    };
    wait_for(true);
    assert!(of_site("198.51.100.")(&builder.ask("www.g.cdn.example", NYC).0));
    assert_eq!(builder.operator("POST", "/accept").0, 200);
    builder.until("www.g.cdn.example", AMS, |addresses| addresses.len() == 2);
    wait_for(false);
    // A broken one is reported, and the map stays.
    folder.put("network.toml", "[[site]]\nname = 7\n");
    assert_eq!(builder.ask("www.g.cdn.example", AMS).0.len(), 2);
    // A zone file is read again when asked to.
    folder.put("g.zone", &format!("{ZONE}static IN A 203.0.113.7\n"));
    builder.signal("-HUP");
    builder.until("static.g.cdn.example", AMS, |addresses| addresses == ["203.0.113.7"]);
    // And it stops in good order.
    builder.signal("-TERM");
    let mut builder = builder;
    assert!(builder.child.wait().expect("ends").success());
}

/// What an operator would want to know is in the log: what is hidden, and why something was not read again. Secrets are not.
#[test]
fn the_log_tells_what_is_hidden_and_what_stays_as_it_was() {
    let folder = Folder::new();
    folder.put("g.zone", &format!("{ZONE}www IN A 203.0.113.7\n"));
    let checked = run(&["mapper", "--check", "--config", &folder.at("mapper.toml")]);
    assert_eq!(checked.status.code(), Some(0));
    let place = format!("{}:5: www.g.cdn.example. A: never answered", folder.at("g.zone"));
    assert!(text(&checked.stderr).starts_with(&format!("warning: {place}")), "{}", text(&checked.stderr));
    let mut mapper = folder.start("mapper.toml");
    let mut log = BufReader::new(mapper.child.stderr.take().expect("a log"));
    let mut said = String::new();
    let mut until = |part: &str, said: &mut String| {
        while !said.contains(part) {
            assert!(log.read_line(said).expect("read") > 0, "the log ends without {part}: {said}");
        }
    };
    until(&place, &mut said);
    folder.put("load.key", "much2short");
    mapper.signal("-HUP");
    until("load.key: key 7 has 10 octets", &mut said);
    assert!(said.contains("stays as it was: keys of load reports"), "{said}");
    let (status, answer) = mapper.operator("POST", "/reload");
    assert_eq!(status, 409);
    assert!(answer.contains("load.key: key 7 has 10 octets"), "{answer}");
    // The old key is still good, until there is another that is.
    let taken = |key: &str| {
        let document = serde_json::to_string(&report("ams-1", unix(), 100)).expect("JSON");
        let mut keys = Keys::default();
        keys.add(7, key.as_bytes()).expect("a key");
        let mac = keys.sign_json(7, document.as_bytes()).expect("a key");
        mapper.http("POST", "/load", &format!("Load-Key: 7\r\nLoad-MAC: {mac}\r\n"), &document).0 == 202
    };
    assert!(taken(KEY));
    let other = "another key for load reports";
    folder.put("load.key", other);
    assert_eq!(mapper.operator("POST", "/reload").0, 200);
    assert!(taken(other) && !taken(KEY));
    for secret in [KEY, TOKEN, "much2short", other] {
        assert!(!said.contains(secret) && !answer.contains(secret), "{said}{answer}");
    }
}

#[test]
fn operators_need_the_token() {
    let folder = Folder::new();
    let mapper = folder.start("mapper.toml");
    assert_eq!(mapper.http("GET", "/status", "", "").0, 401);
    assert_eq!(mapper.http("GET", "/status", "Authorization: Bearer wrong\r\n", "").0, 401);
    assert_eq!(mapper.http("GET", "/healthz", "", "").0, 200);
    assert_eq!(mapper.operator("DELETE", "/status").0, 405);
    assert_eq!(mapper.operator("GET", "/nothing").0, 404);
    assert_eq!(mapper.operator("POST", "/withdraw?server=nobody").0, 404);
    assert_eq!(mapper.operator("GET", "/explain?name=nobody.example&client=192.0.2.1").0, 404);
    assert_eq!(mapper.operator("GET", "/explain?name=www.g.cdn.example&client=nobody").0, 400);
}

/// A surge on one name, played on the network of a configuration, as a page that a browser shows.
#[test]
fn a_simulation_makes_a_page_with_the_load_of_each_server() {
    let folder = Folder::new();
    let scenario = "seconds = 60\nrequests = 900\nrequests-of-capacity = 1000\nresolvers = 40\n[[event]]\nat = 20\nfor = 20\nwhat = { surge = { names = \"www\", factor = 3 } }\n";
    folder.put("surge.toml", scenario);
    let page = folder.at("surge.html");
    let output = run(&[
        "map",
        "simulate",
        &folder.at("surge.toml"),
        "--config",
        &folder.at("mapper.toml"),
        "--html",
        &page,
    ]);
    let said = text(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output.stderr));
    assert!(said.contains("5 servers, 60 s") && said.contains("got no address"), "{said}");
    let html = std::fs::read_to_string(&page).expect("the page");
    assert!(!html.contains("http://") && !html.contains("https://"), "the page fetches something");
    let browser = ["chromium", "chromium-browser"].into_iter().find(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let Some(browser) = browser else {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "chromium must be installed");
        eprintln!("not run: chromium is not here");
        return;
    };
    let shown = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.at("browser")))
        .arg(format!("file://{page}"))
        .output()
        .expect("runs");
    let shown = text(&shown.stdout);
    assert_eq!(shown.matches("<polyline class=\"server").count(), 5, "{shown}");
    for server in ["ams-1", "ams-2", "ams-3", "nyc-1", "nyc-2"] {
        assert!(
            shown.contains(&format!("</svg>{server} <small>at most ")),
            "{server} is not in the legend: {shown}"
        );
    }
    let verdict = if output.status.success() { "<b>Holds</b>" } else { "<b>Does not hold</b>" };
    assert!(shown.contains(verdict), "{shown}");
    assert!(shown.contains("second threshold") && shown.contains("www wanted 3 times as much"), "{shown}");
}

/// Each error of a scenario is one line with file, line and what to do.
#[test]
fn a_scenario_of_the_wrong_form_is_refused_in_one_line() {
    let folder = Folder::new();
    let said = |scenario: &str| {
        let path = folder.put("surge.toml", scenario).display().to_string();
        let output = run(&["map", "simulate", &path, "--config", &folder.at("mapper.toml")]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr).replace(&folder.at(""), "")
    };
    assert_eq!(said("seconds = 9\nrequests = [\n"), "error: surge.toml:2:13: unclosed array, expected `]`\n");
    let two = said("seconds = 0\nrequests = 9\nrequests-of-capacity = 1\nresolvers = 0\n");
    let lines: Vec<&str> = two.lines().collect();
    assert_eq!(lines[0], "error: surge.toml:1: seconds: 0 s cannot be played; give it 1 to 86400");
    assert!(lines[1].starts_with("error: surge.toml:4: resolvers: 0 resolvers for 11 names"), "{two}");
    assert_eq!(lines.len(), 2);
    assert!(said(&" ".repeat(2 << 20)).contains("longer than"));
}

/// What is written for a beginner works as it is, and nothing that was there is touched.
#[test]
fn a_mapper_starts_from_the_example_that_is_written() {
    let folder = Folder(tempfile::tempdir().expect("folder"));
    let first = folder.at("new/first");
    let written = run(&["mapper", "--write-example", &first]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    let checked = run(&["mapper", "--check", "--config", &format!("{first}/mapper.toml")]);
    assert_eq!((checked.status.code(), text(&checked.stderr)), (Some(0), String::new()));
    let mapper = folder.start("new/first/mapper.toml");
    let port = mapper.address("dns").port();
    assert!(
        text(&written.stdout).contains(&format!("-p {port} www.g.cdn.example")),
        "{}",
        text(&written.stdout)
    );
    assert_eq!(mapper.ask("www.g.cdn.example", NYC).0, ["198.51.100.1"]);
    assert!(of_site("192.0.2.")(&mapper.ask("img7.g.cdn.example", AMS).0));
    let maps = format!("{first}/maps");
    let explained = run(&["explain-dns", "www.g.cdn.example", "--client", "10.2.7.1", "--map", &maps]);
    assert!(text(&explained.stdout).contains("nyc-1"), "{}", text(&explained.stderr));

    // Once more, or where one of the files is somebody's own.
    let again = run(&["mapper", "--write-example", &first]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("mapper.toml: is there already"), "{}", text(&again.stderr));
    let own = folder.put("g.zone", "mine");
    let refused = run(&["mapper", "--write-example", &folder.at("")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("g.zone: is there already"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(own).expect("it is there"), "mine");
    assert!(!Path::new(&folder.at("mapper.toml")).exists(), "nothing is written where something is refused");
}

/// What the help of `map simulate` prints is played on what is written for a beginner, each of its events too.
#[test]
fn the_scenario_of_the_help_plays_on_the_example() {
    let folder = Folder(tempfile::tempdir().expect("folder"));
    let first = folder.at("first");
    assert_eq!(run(&["mapper", "--write-example", &first]).status.code(), Some(0));
    let config = format!("{first}/mapper.toml");
    let help = text(&run(&["map", "simulate", "--help"]).stdout);
    let part = |from: &str, to: &str| {
        let (_, rest) = help.split_once(from).unwrap_or_else(|| panic!("no {from:?} in:\n{help}"));
        rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} in:\n{help}")).0.to_owned()
    };
    let scenario = part("like surge.toml of these:\n", "\nIts fields:");
    let scenario: String = scenario.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let written = std::fs::read_to_string(format!("{first}/surge.toml")).expect("it is written");
    assert_eq!(scenario.trim(), written.trim());
    let play = |text: &str| {
        let file = folder.put("surge.toml", text);
        run(&["map", "simulate", &file.display().to_string(), "--config", &config])
    };
    let played = play(&scenario);
    assert_eq!(played.status.code(), Some(0), "{}{}", text(&played.stdout), text(&played.stderr));
    assert!(text(&played.stdout).ends_with("holds\n"), "{}", text(&played.stdout));

    let events = part("which is one of:\n", "\nExit status:");
    let events: Vec<&str> = events.lines().map(str::trim).filter(|line| line.starts_with('{')).collect();
    assert_eq!(events.len(), 6, "{events:?}");
    let head = "seconds = 60\nseed = 1\nrequests = 60\nzipf = 500\nnames-in-reports = false\nrequests-of-capacity = 1000\nresolvers = 30\n[rules]\n";
    for event in events {
        let played = play(&format!("{head}[[event]]\nat = 10\nwhat = {event}\n"));
        assert_eq!(
            played.status.code(),
            Some(0),
            "{event}: {}{}",
            text(&played.stdout),
            text(&played.stderr)
        );
    }
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mapper.example.toml");
    std::fs::read_to_string(path).expect("the shipped example")
}

/// The example with all that it has as a comment.
fn whole_example() -> String {
    let field = |line: &&str| {
        line.strip_prefix("# ").is_some_and(|rest| {
            rest.starts_with('[')
                || rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
                })
        })
    };
    let uncommented = example()
        .lines()
        .map(|line| if field(&line) { line[2..].to_owned() } else { line.to_owned() })
        .collect::<Vec<_>>();
    uncommented.join("\n")
}

/// Each field of the example is known, and no other is.
#[test]
fn the_shipped_example_has_every_field_and_a_wrong_one_is_refused() {
    let parse = |text: &str| mapper::run::Config::parse(text, Path::new("mapper.toml"));
    parse(&example()).expect("the example");
    let whole = whole_example();
    parse(&whole).expect("the whole example");
    let mut changed = 0;
    for (at, line) in whole.lines().enumerate() {
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
        let text: Vec<_> = whole
            .lines()
            .enumerate()
            .map(|(other, line)| if other == at { format!("{key}x = {value}") } else { line.to_owned() })
            .collect();
        let error = parse(&text.join("\n")).expect_err(line).to_string();
        assert!(error.contains(&format!("{key}x")) || error.contains("missing field"), "{error}");
        changed += 1;
    }
    assert!(changed > 60, "only {changed} fields");
    // And every field that is known is in the example.
    for field in [
        "per-client",
        "certificate",
        "name-servers",
        "keys",
        "signature-days",
        "most-churn",
        "prefixes",
        "default-sites",
        "threads",
        "at-once",
        "most-silent",
        "cookie-secret",
        "token-file",
    ] {
        assert!(whole.contains(&format!("{field} = ")), "{field} is not in the example");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = Folder::new();
    let said = |config: &str| {
        folder.put("wrong.toml", config);
        let output = run(&["mapper", "--config", &folder.at("wrong.toml")]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr).replace(&folder.at(""), "")
    };
    let all = [
        said("listen = []\n"),
        said("listen = [\"127.0.0.1:0\"]\nzone = []\n[rules]\nfirst = 950\n"),
        said(&config("").replace("role = \"low\"", "role = \"top\"")),
        said(&config("").replace("g.zone", "none.zone")),
        said(&config("[inputs]\nnetwork = [\"none.toml\"]\n")),
        said(&config("[load]\nlisten = \"127.0.0.1:0\"\nkey = []\n")),
        said(&config("").replace("admin.token", "load.kex")),
        said(&config("").replace("\"maps\"", "\"nothing-here\"")),
    ];
    insta::assert_snapshot!(all.join("---\n"));
    let explain = |args: &[&str]| {
        let output = run(&[&["explain-dns"], args].concat());
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr).replace(&folder.at(""), "")
    };
    let maps = folder.at("maps");
    assert!(explain(&["www.g.cdn.example", "--client", "192.0.2.1", "--map", &maps]).contains("no map"));
}
