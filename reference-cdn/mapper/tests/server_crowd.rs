//! Ten thousand connections at once, as an attacker has them, to a server in a process of its own: datagrams and streams go on
//! being answered, and memory stays within a bound that is written down here.

mod server_support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use mapper::server::{self, Config};
use server_support::{Obedient, SOON, ask, framed, local, query, socket};

const CONNECTIONS: usize = 10_000;
/// Octets that a connection may take of our memory while it holds half a query. The kernel's are not counted here.
const EACH: u64 = 3 * 1024;
/// What the process takes besides.
const BESIDES: u64 = 16 << 20;
const CHILD: &str = "MAPPER_CROWD_CONNECTIONS";

/// Not a test: the server's process, which the test below starts. Ends with its standard input.
#[test]
fn server_process() {
    let Some(connections) = std::env::var(CHILD).ok().and_then(|it| it.parse().ok()) else { return };
    let mut config = Config::listening(vec![local("127.0.0.1:0")]);
    config.streams.connections = connections;
    config.streams.per_client = usize::MAX;
    let hour = std::time::Duration::from_secs(3600);
    (config.streams.idle, config.streams.read, config.streams.total) = (hour, hour, hour);
    let bound = server::bind(config).expect("binds");
    println!("listening {}", bound.addresses()[0]);
    let server = bound.run(|_| Obedient::default()).expect("runs");
    let _ = std::io::stdin().read(&mut [0]);
    server.stop();
}

/// How many files this process may have open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

struct Process {
    child: Child,
    at: SocketAddr,
}

impl Process {
    fn start(connections: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "server_process", "--nocapture"])
            .env(CHILD, connections.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        // The harness's own words may stand before it on the line.
        let at = out.lines().map_while(Result::ok).find_map(|line| {
            line.split_once("listening ").and_then(|(_, address)| address.trim().parse().ok())
        });
        Self { child, at: at.expect("an address") }
    }

    /// Octets of memory that the process occupies.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream
}

fn ask_stream(stream: &mut TcpStream, number: u16) {
    stream.write_all(&framed(&query(number, "a.test"))).expect("written");
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer[2..4], number.to_be_bytes());
    let mut rest = vec![0; usize::from(u16::from_be_bytes([answer[0], answer[1]])) - 12];
    stream.read_exact(&mut rest).expect("all of it");
}

#[test]
fn ten_thousand_connections_stop_nobody_and_take_little() {
    let count = CONNECTIONS.min(files().saturating_sub(400));
    assert!(count >= 400, "the limit of open files leaves no room for this test");
    let server = Process::start(count);
    let before = server.resident();
    let mut crowd: Vec<TcpStream> = (0..count).map(|_| connect(server.at)).collect();
    let half = framed(&query(1, "a-name-that-is-somewhat-longer.than-others.test"));
    for client in &mut crowd {
        client.write_all(&half[..half.len() - 1]).expect("written");
    }
    // Datagrams, and new connections, which make room by closing the idlest.
    let asking = socket(server.at);
    for number in 0..1000 {
        ask(&asking, server.at, number, "a.test");
    }
    ask_stream(&mut connect(server.at), 1);
    // The newest of the crowd has lost nothing.
    let newest = crowd.last_mut().expect("one");
    newest.write_all(&half[half.len() - 1..]).expect("written");
    let mut start = [0; 4];
    newest.read_exact(&mut start).expect("an answer");
    assert_eq!(start[2..4], [0, 1]);
    // The idlest is closed: the one that came first.
    let first = crowd[0].read(&mut [0]);
    assert!(
        matches!(&first, Ok(0))
            || first.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{first:?}"
    );

    let after = server.resident();
    let grown = after.saturating_sub(before);
    println!("{count} connections: {} octets each, {after} in all", grown / count as u64);
    assert!(grown <= EACH * count as u64 + BESIDES, "{grown} octets for {count} connections");
}
