//! The program as a process, an origin for its edges, and a client of them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// The program with these arguments.
pub fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-cdn"));
    command.args(args);
    command
}

/// A process that is killed when this value goes.
pub struct Running(Child);

impl Running {
    /// Starts it, and waits for the line that says that it is ready.
    pub fn start(command: &mut Command) -> (Self, String) {
        let mut running = Self(command.stdout(Stdio::piped()).spawn().expect("starts"));
        let mut line = String::new();
        BufReader::new(running.stdout.take().expect("piped")).read_line(&mut line).expect("ready line");
        (running, line)
    }

    /// As [`Self::start`], of one that is started with `--json`.
    pub fn start_json(command: &mut Command) -> (Self, serde_json::Value) {
        let (running, line) = Self::start(command);
        (running, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.id()).expect("id")).expect("id");
        kill_process(id, signal).expect("signal");
    }
}

impl Deref for Running {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An origin that sends the same to everybody, a connection for each request.
pub struct Origin {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Origin {
    /// Sends `content` with `field`, a field line without its end.
    pub fn start(field: &'static str, content: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let (content, asked): (Arc<Vec<u8>>, Arc<AtomicUsize>) = (Arc::new(content.into()), Arc::default());
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (content, counter) = (Arc::clone(&content), Arc::clone(&counter));
                // It ends with its connection.
                std::thread::spawn(move || answer(stream, field, &content, &counter));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that were answered or are about to be.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, field: &str, content: &[u8], asked: &AtomicUsize) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let length = content.len();
    write!(stream, "HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(content)
}

/// The whole answer to a GET for `/` on this host.
pub fn get(address: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("write");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    String::from_utf8_lossy(&all).into_owned()
}
