//! A scripted origin, a client and an edge, on real sockets. Every wait has a deadline and says what it waited for.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge::{AdminConfig, Clock, Config, Edge, Stopped, Token, bind};
use http_cache::{Decisions, Settings, Standard, Time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const DEADLINE: Duration = Duration::from_secs(30);
pub const TOKEN: &str = "0123456789abcdef";
/// When the edge's clock starts: 2026-01-01T00:00:00Z.
pub const START: Time = Time::from_secs(1_767_225_600);

/// Waits for something, not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until `holds`. For what tells nobody when it changes: counters, other tasks' ends. It looks again and again, and
/// goes on as soon as it sees it; how long that takes decides nothing.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A door that a script waits at until the test opens it.
pub fn door() -> (Arc<Semaphore>, Arc<Semaphore>) {
    let door = Arc::new(Semaphore::new(0));
    (Arc::clone(&door), door)
}

pub async fn pass(door: &Semaphore) {
    soon("the door", door.acquire()).await.expect("open").forget();
}

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub connection: usize,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The origin's end of a connection, for a script to write on.
pub struct Wire {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
}

impl Wire {
    pub async fn send(&mut self, data: impl AsRef<[u8]>) {
        // The edge may have hung up; scripts that care look at what they read.
        let _ = self.stream.write_all(data.as_ref()).await;
    }

    /// A whole response with Content-Length.
    pub async fn respond(&mut self, head: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat()).await;
    }

    /// Closes so that the peer sees a reset.
    pub fn reset(&self) {
        self.stream.set_zero_linger().expect("linger");
    }

    /// Reads until the peer closes.
    pub async fn until_closed(&mut self) {
        let mut sink = [0; 4096];
        while matches!(self.stream.read(&mut sink).await, Ok(read) if read > 0) {}
    }
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq)]
pub enum After {
    Keep,
    Close,
}

type Script = Arc<dyn Fn(Seen, Wire) -> Pin<Box<dyn Future<Output = (Wire, After)> + Send>> + Send + Sync>;

/// An origin that follows a script.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Seen, Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = (Wire, After)> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counted, count) = watch::channel(0);
        let script: Script = Arc::new(move |seen, wire| Box::pin(script(seen, wire)));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let counted = Arc::new(counted);
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                stream.set_nodelay(true).expect("nodelay");
                let (script, log, counted) = (Arc::clone(&script), Arc::clone(&log), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut wire = Wire { stream, buffer: Vec::new() };
                    while let Some(request) = read_request(&mut wire, connection).await {
                        log.lock().expect("log").push(request.clone());
                        counted.send_modify(|count| *count += 1);
                        let after;
                        (wire, after) = script(request, wire).await;
                        if after == After::Close {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen, count, task }
    }

    /// The same whole response, always.
    pub async fn fixed(head: &'static str, body: &'static [u8]) -> Self {
        Self::start(move |_, mut wire| async move {
            wire.respond(head, body).await;
            (wire, After::Keep)
        })
        .await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("log").clone()
    }

    pub fn requests(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until so many requests have come.
    pub async fn wait_for(&self, requests: usize) {
        let mut count = self.count.clone();
        soon("requests at the origin", count.wait_for(|count| *count >= requests))
            .await
            .expect("origin lives");
    }
}

async fn read_request(wire: &mut Wire, connection: usize) -> Option<Seen> {
    let end = read_head(&mut wire.stream, &mut wire.buffer).await?;
    let head: Vec<u8> = wire.buffer.drain(..end).collect();
    let (line, fields) = parse_head(&head);
    let mut seen = Seen { line, fields, body: Vec::new(), connection };
    if seen.field("expect").is_some() {
        // Scripts about Expect read the content themselves.
        return Some(seen);
    }
    if let Some(length) = seen.field("content-length") {
        let length: usize = length.parse().expect("length");
        while wire.buffer.len() < length {
            if wire.stream.read_buf(&mut wire.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        seen.body = wire.buffer.drain(..length).collect();
    } else if seen.field("transfer-encoding").is_some() {
        let (body, trailers) = read_chunks(&mut wire.stream, &mut wire.buffer).await?;
        seen.body = body;
        seen.fields.extend(trailers.into_iter().map(|(name, value)| (format!("trailer-{name}"), value)));
    }
    Some(seen)
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(at + 4);
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn parse_head(head: &[u8]) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("").to_owned();
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    (first, fields)
}

type Chunks = (Vec<u8>, Vec<(String, String)>);

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Chunks> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream, buffer).await?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).expect("chunk size");
        if size == 0 {
            let mut trailers = Vec::new();
            loop {
                let line = read_line(stream, buffer).await?;
                let Some((name, value)) = line.split_once(':') else { return Some((body, trailers)) };
                trailers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        while buffer.len() < size + 2 {
            if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
                body.append(buffer);
                return None;
            }
        }
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
    }
}

async fn read_line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// A response as the client saw it.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Interim responses before it: their status and fields.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// It ended as its framing said it would.
    pub complete: bool,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What went wrong, as Proxy-Status tells it.
    pub fn proxy_status(&self) -> &str {
        self.field("proxy-status").unwrap_or("none")
    }

    /// The parameters of Cache-Status.
    pub fn cache_status(&self) -> &str {
        self.field("cache-status").unwrap_or("none")
    }
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = soon("connect", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, data: impl AsRef<[u8]>) {
        soon("send", self.stream.write_all(data.as_ref())).await.expect("send");
    }

    /// Sends, and does not mind if the edge has closed.
    pub async fn try_send(&mut self, data: impl AsRef<[u8]>) {
        let _ = soon("send", self.stream.write_all(data.as_ref())).await;
    }

    /// The head of the next response, interim ones included.
    pub async fn head(&mut self) -> Option<(u16, String, Vec<(String, String)>)> {
        let end = soon("a response head", read_head(&mut self.stream, &mut self.buffer)).await?;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let (line, fields) = parse_head(&head);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status line");
        Some((status, line, fields))
    }

    /// The next response to a request with this method; `None` if the connection ends instead.
    pub async fn try_response(&mut self, method: &str) -> Option<Response> {
        let mut interim = Vec::new();
        let (status, line, fields) = loop {
            let (status, line, fields) = self.head().await?;
            if status >= 200 {
                break (status, line, fields);
            }
            interim.push((status, fields));
        };
        let mut response = Response {
            status,
            line,
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
            interim,
            complete: true,
        };
        if method == "HEAD" || status == 204 || status == 304 {
            return Some(response);
        }
        if response.field("transfer-encoding").is_some() {
            match soon("chunks", read_chunks(&mut self.stream, &mut self.buffer)).await {
                Some((body, trailers)) => (response.body, response.trailers) = (body, trailers),
                None => response.complete = false,
            }
        } else if let Some(length) = response.field("content-length") {
            let length: usize = length.parse().expect("length");
            while self.buffer.len() < length {
                if soon("content", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) == 0 {
                    response.complete = false;
                    break;
                }
            }
            response.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while soon("content", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) > 0 {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Some(response)
    }

    pub async fn response(&mut self) -> Response {
        self.try_response("GET").await.expect("a response")
    }

    /// Whether the edge closes the connection, with nothing more to read.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty()
            && soon("the end of the connection", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0)
                == 0
    }

    pub fn reset(self) {
        self.stream.set_zero_linger().expect("linger");
    }
}

/// An edge under test.
pub struct TestEdge {
    /// Nowhere, if it was switched off.
    pub address: SocketAddr,
    /// Nowhere, unless it was configured.
    pub tls: SocketAddr,
    pub admin: SocketAddr,
    pub clock: Clock,
    pub edge: Arc<Edge>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Stopped>>,
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl TestEdge {
    pub async fn start(origin: SocketAddr) -> Self {
        Self::with(origin, |_| {}).await
    }

    pub async fn with(origin: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config::new(any, origin.to_string().parse().expect("authority"));
        config.admin = Some(AdminConfig { listen: any, token: Token::new(TOKEN) });
        change(&mut config);
        let clock = Clock::manual(START);
        let decide = |settings: &Settings| Arc::new(Standard::new(settings.clone())) as Arc<dyn Decisions>;
        let server = bind(config, decide, clock.clone()).expect("bind");
        let (address, admin) = (server.listen().unwrap_or(any), server.admin().expect("admin"));
        let tls = server.tls().unwrap_or(any);
        let edge = Arc::clone(server.edge());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Self { address, tls, admin, clock, edge, stop: Some(stop), task: Some(task) }
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn exchange(&self, method: &str, path: &str, fields: &str) -> Response {
        let mut client = self.client().await;
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: site.test\r\n{fields}\r\n")).await;
        client.try_response(method).await.expect("a response")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.exchange("GET", path, "").await
    }

    pub async fn purge(&self, url: &str) -> Response {
        self.order(&format!("{{\"url\": \"{url}\"}}")).await
    }

    /// An order to purge, by the operator.
    pub async fn order(&self, order: &str) -> Response {
        self.admin("POST", "/purge", TOKEN, order).await
    }

    /// One request to the admin listener.
    pub async fn admin(&self, method: &str, path: &str, token: &str, content: &str) -> Response {
        let mut client = Client::connect(self.admin).await;
        let length = content.len();
        client
            .send(format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{content}"
            ))
            .await;
        client.try_response(method).await.expect("a response")
    }

    /// A metric without a label.
    pub fn metric(&self, name: &str) -> u64 {
        let samples = self.edge.samples();
        samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no metric {name}")).value
    }

    /// The metric with this value of its label.
    pub fn labelled(&self, name: &str, value: &str) -> u64 {
        let samples = self.edge.samples();
        let is_it = |label: &(&'static str, String)| label.1 == value;
        let sample = samples.iter().find(|it| it.name == name && it.label.as_ref().is_some_and(is_it));
        sample.unwrap_or_else(|| panic!("no metric {name} of {value}")).value
    }

    /// Waits until the metric with this value of its label is at least so much.
    pub async fn until_labelled(&self, name: &str, label: &str, value: u64) {
        until(label, || self.labelled(name, label) >= value).await;
    }

    /// Waits until a metric has the value.
    pub async fn until(&self, name: &str, value: u64) {
        until(name, || self.metric(name) == value).await;
    }

    /// Waits until a metric has stood still for a third of a second.
    pub async fn until_still(&self, name: &str) {
        soon(name, async {
            let (mut last, mut same) = (self.metric(name), 0);
            while same < 15 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let now = self.metric(name);
                same = if now == last { same + 1 } else { 0 };
                last = now;
            }
        })
        .await;
    }

    /// Tells it to stop; the result says how it did.
    pub fn stop(&mut self) -> JoinHandle<Stopped> {
        self.stop.take().expect("running").send(()).expect("running");
        self.task.take().expect("running")
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Content that tells every place from every other.
pub fn pattern(octets: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(octets + 4);
    for word in 0..octets.div_ceil(4) as u32 {
        content.extend_from_slice(&word.wrapping_mul(2_654_435_761).to_le_bytes());
    }
    content.truncate(octets);
    content
}
