//! Ten thousand connections at once, as an attacker has them, to an edge in a process of its own: it goes on answering, and
//! its memory stays within a bound that is written down here.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::{Origin, Running, program};

const CONNECTIONS: usize = 10_000;
/// How long an answer may take while others hold connections. Far above what it takes, far below any time limit.
const AT_ONCE: Duration = Duration::from_secs(2);

/// An edge in a process of its own.
struct Edge {
    process: Running,
    address: SocketAddr,
}

impl Edge {
    fn start(origin: &Origin, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("edge.toml");
        let config = format!("listen = \"127.0.0.1:0\"\n[origin]\nurl = \"{}\"\n{config}", origin.url());
        std::fs::write(&file, config).expect("configuration");
        let (process, ready) = Running::start_json(program(&["edge", "--json", "--config"]).arg(&file));
        let address = ready["listen"].as_str().and_then(|it| it.parse().ok()).expect("address");
        Self { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        stream
    }

    /// Octets of memory that the process occupies.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("number") * 1024
    }

    /// Asks for the page on new connections; says how long the slowest took.
    fn slowest_of(&self, requests: usize) -> Duration {
        let ask = || {
            let start = now();
            let mut stream = self.connect();
            page(&mut stream);
            start.elapsed_here()
        };
        (0..requests).map(|_| ask()).max().unwrap_or_default()
    }
}

/// A moment; tests that state how long something took read the clock.
struct Moment(Instant);

#[expect(clippy::disallowed_methods, reason = "how long answers take is what is tested")]
fn now() -> Moment {
    Moment(Instant::now())
}

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn elapsed_here(&self) -> Duration {
        self.0.elapsed()
    }
}

const HIT: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// One request for the page, and its answer.
fn page(stream: &mut TcpStream) {
    stream.write_all(HIT.as_bytes()).expect("write");
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.ends_with(b"page") {
        let read = stream.read(&mut piece).expect("read");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
}

/// As many as both sides may have.
fn count() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(30_000).min(30_000);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(30_000) as usize;
    let count = allowed.saturating_sub(400).min(CONNECTIONS);
    assert!(count >= 400, "the limit of open files leaves no room for this test");
    count
}

/// Says what was measured, and holds it to a bound.
fn hold(what: &str, count: usize, before: u64, after: u64, slowest: Duration, most: u64) {
    let each = after.saturating_sub(before) / count as u64;
    println!("{count} {what}: {each} octets of memory each, slowest answer to others {slowest:?}");
    assert!(each <= most, "{each} octets for each of {count} {what}, more than {most}");
    assert!(slowest < AT_ONCE, "with {count} {what} an answer took {slowest:?}");
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_delay_nobody() {
    let edge =
        Edge::start(&Origin::start("Cache-Control: max-age=600", "page"), "[client]\nconnections = 12000");
    edge.slowest_of(10);
    let (count, before) = (count(), edge.resident());
    let mut idle: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = edge.connect();
            page(&mut stream);
            stream
        })
        .collect();
    let slowest = edge.slowest_of(100);
    hold("idle connections", count, before, edge.resident(), slowest, 24 * 1024);
    // None was closed for it.
    idle.iter_mut().step_by(97).for_each(page);
}

#[test]
fn ten_thousand_slow_heads_that_take_every_place_make_room_for_others() {
    let edge =
        Edge::start(&Origin::start("Cache-Control: max-age=600", "page"), "[client]\nhead-time = \"5m\"");
    edge.slowest_of(10);
    let (count, before) = (count(), edge.resident());
    let mut slow = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = edge.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\nX-Slow: ").expect("write");
        slow.push(stream);
    }
    let slowest = edge.slowest_of(100);
    hold("slow heads", count, before, edge.resident(), slowest, 24 * 1024);
}

#[test]
fn slow_readers_of_what_is_not_stored_hold_a_bounded_part_of_it() {
    let large = Origin::start("Cache-Control: no-store", vec![b'x'; 64 << 20]);
    let edge = Edge::start(&large, "");
    let before = edge.resident();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = edge.connect();
        stream.write_all(HIT.as_bytes()).expect("write");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        assert_eq!(head, *b"HTTP/1.1 200");
        slow.push(stream);
    }
    // Until the edge takes nothing more from the origin for them.
    let mut resident = edge.resident();
    let settled = (0..600).any(|_| {
        let mut octet = [0; 1];
        slow.iter_mut().for_each(|stream| stream.read_exact(&mut octet).expect("there is more"));
        let last = std::mem::replace(&mut resident, edge.resident());
        last == resident && last > before
    });
    let each = resident.saturating_sub(before) / slow.len() as u64;
    println!("{} slow readers: {each} octets of memory each (settled: {settled})", slow.len());
    assert!(each < 1 << 20, "{each} octets of 64 MiB held for each slow reader");
}
