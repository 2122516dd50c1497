//! A stage for the mirror as a process: primaries, candidates and clients that do exactly what they are told.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// No wait in a test takes this long unless something is broken.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The mirror as a process.
pub struct Mirror {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
}

/// What a mirror left behind.
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Mirror {
    pub fn start(primary: SocketAddr, candidate: SocketAddr, more: &[&str]) -> Mirror {
        Mirror::start_or_else(primary, candidate, more).unwrap_or_else(|ended| panic!("{}", ended.stderr))
    }

    /// Starts it, or gives what it said instead.
    pub fn start_or_else(primary: SocketAddr, candidate: SocketAddr, more: &[&str]) -> Result<Mirror, Ended> {
        let mut child = command()
            .args(["http", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--primary", &format!("http://{primary}"), "--candidate", &format!("http://{candidate}")])
            .args(more)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<serde_json::Value>(&line) else {
            let status = child.wait().unwrap().code().unwrap_or(-1);
            return Err(Ended { status, stdout: line, stderr: stderr(&mut child) });
        };
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        Ok(Mirror { listen: address("listen"), admin: address("admin"), child, stdout })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Ends it as an operator would, and takes what it said.
    pub fn end(mut self) -> Ended {
        self.signal();
        self.wait()
    }

    pub fn wait(&mut self) -> Ended {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        Ended { status, stdout: text, stderr: stderr(&mut self.child) }
    }

    /// A page of the admin listener.
    pub fn page(&self, path: &str) -> String {
        let mut stream = connect(self.admin);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        body.to_owned()
    }

    pub fn ledger(&self) -> serde_json::Value {
        serde_json::from_str(&self.page("/ledger")).unwrap()
    }

    /// Asks for the ledger until it satisfies the condition.
    pub fn ledger_when(
        &self,
        what: &str,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Deadline::new();
        loop {
            let ledger = self.ledger();
            if condition(&ledger) {
                return ledger;
            }
            assert!(!deadline.passed(), "waited in vain for {what}: {ledger:#}");
        }
    }

    /// A line of /proc/PID/status, in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
    command
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut text);
    }
    text
}

/// A point in time by which things have happened unless they never will.
pub struct Deadline(std::time::Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a bound on how long a test can hang")]
    pub fn new() -> Self {
        Deadline(std::time::Instant::now() + DEADLINE)
    }

    #[expect(clippy::disallowed_methods, reason = "a bound on how long a test can hang")]
    pub fn passed(&self) -> bool {
        std::time::Instant::now() > self.0
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that gives each connection to `serve`, on a thread of its own, for as long as the test runs.
pub fn server(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.set_nodelay(true).unwrap();
                // A peer that goes away ends the connection.
                let _ = serve(stream);
            });
        }
    });
    address
}

/// A request as a simple server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

/// The next request, or `None` where the client has closed.
pub fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Asked>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "))
        .map_or(0, |digits| digits.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Asked { line: head.lines().next().unwrap_or_default().to_owned(), head, body }))
}

/// Bytes that are easy to make and unlikely to be right by chance.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64)
        .map(|i| (i.wrapping_mul(31).wrapping_add(i >> 8).wrapping_add(seed) & 0xff) as u8)
        .collect()
}

/// What the well-behaved server answers, to the byte. The path decides: `/length/N`, `/chunked/N`, `/close/N`.
pub fn answer(asked: &Asked) -> Vec<u8> {
    let path = asked.line.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.split('/').skip(1);
    let kind = parts.next().unwrap_or_default();
    let length: usize = parts.next().unwrap_or_default().parse().unwrap_or(10);
    let seed = asked.body.iter().fold(path.len() as u64, |h, &b| h.wrapping_mul(31).wrapping_add(b.into()));
    let body = pattern(length, seed);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nx-ODD:  spelling\r\n";
    let mut out = Vec::new();
    match kind {
        "chunked" => {
            out.extend_from_slice(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
            for chunk in body.chunks(1000) {
                out.extend_from_slice(format!("{:X};ext=1\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
        }
        "close" => {
            out.extend_from_slice(format!("{head}Connection: close\r\n\r\n").as_bytes());
            out.extend_from_slice(&body);
        }
        _ => {
            out.extend_from_slice(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes());
            if !asked.line.starts_with("HEAD ") {
                out.extend_from_slice(&body);
            }
        }
    }
    out
}

/// A server that answers as [`answer`] says.
pub fn honest() -> SocketAddr {
    server(|stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(asked) = read_request(&mut reader)? {
            stream.write_all(&answer(&asked))?;
            if asked.line.contains("/close/") {
                break;
            }
        }
        Ok(())
    })
}

/// Sends requests one after the other over one connection, and asserts that each answer is right to the byte.
pub fn client(address: SocketAddr, requests: &[Asked]) {
    let mut stream = connect(address);
    for asked in requests {
        stream.write_all(asked.head.as_bytes()).unwrap();
        stream.write_all(&asked.body).unwrap();
        let expected = answer(asked);
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap_or_else(|e| panic!("{}: {e}", asked.line));
        assert!(got == expected, "{}: other bytes than the primary's", asked.line);
        if asked.line.contains("/close/") {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{}: more bytes than the primary's", asked.line);
            stream = connect(address);
        }
    }
}

pub fn get(path: &str) -> Asked {
    let line = format!("GET {path} HTTP/1.1");
    Asked { head: format!("{line}\r\nHost: stage.test\r\n\r\n"), line, body: Vec::new() }
}

pub fn post(path: &str, body: Vec<u8>) -> Asked {
    let line = format!("POST {path} HTTP/1.1");
    let head = format!("{line}\r\nHost: stage.test\r\nContent-Length: {}\r\n\r\n", body.len());
    Asked { head, line, body }
}

/// A reset instead of a close.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads until these bytes have come, and asserts that no others did.
pub fn expect(stream: &mut TcpStream, expected: impl AsRef<[u8]>) {
    let expected = expected.as_ref();
    let mut got = vec![0; expected.len()];
    stream
        .read_exact(&mut got)
        .unwrap_or_else(|e| panic!("instead of {:?}: {e}", exchange::escape(expected)));
    assert_eq!(exchange::escape(&got), exchange::escape(expected));
}

/// All bytes up to the end, and whether that was a reset.
pub fn rest(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, false),
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => (bytes, true),
        Err(e) => panic!("after {} bytes: {e}", bytes.len()),
    }
}

/// A server whose connections the test plays itself.
pub struct Played(TcpListener);

impl Played {
    pub fn new() -> Self {
        Played(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection that says something; the mirror looks whether the candidate is there, too.
    pub fn accept(&self) -> TcpStream {
        loop {
            let (stream, _) = self.0.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_nodelay(true).unwrap();
            if stream.peek(&mut [0]).is_ok_and(|n| n > 0) {
                return stream;
            }
        }
    }

    /// The next connection, whether it says something or not.
    pub fn accept_silent(&self) -> TcpStream {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }
}
