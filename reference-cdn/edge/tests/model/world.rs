//! The origin: resources with versions and variants, answered as the step's behaviour says, and a record of all that was
//! asked and sent.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::history::{Behaviour, Fault, RESOURCES, Validator};
use crate::message::Fields;
use crate::support::{START, TOKEN};

/// One representation: its name says what it is, its octets say where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub name: String,
    pub octets: Arc<[u8]>,
}

impl Body {
    fn new(name: String, length: usize) -> Self {
        let mut octets = Vec::new();
        for position in 0_usize.. {
            if octets.len() >= length {
                break;
            }
            octets.extend_from_slice(format!("{name}@{position} ").as_bytes());
        }
        octets.truncate(length);
        Self { name, octets: octets.into() }
    }
}

/// What was asked of the origin.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub resource: usize,
    pub fields: Fields,
}

/// What it sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// None of it came as far as its head.
    pub headless: bool,
    /// Its content ended early.
    pub cut: bool,
    pub status: u16,
    /// Without those about framing.
    pub fields: Fields,
    pub body: Body,
    /// The octets of `body` that were to be sent.
    pub range: Range<usize>,
    /// Those that were.
    pub came: Range<usize>,
    /// A purge of this resource was done while the answer was prepared.
    pub purged: Option<usize>,
}

/// One question and its answer.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The client's request that caused it.
    pub id: usize,
    pub seen: Seen,
    pub sent: Sent,
}

struct State {
    now: u64,
    versions: [u64; RESOURCES.len()],
    behaviour: Behaviour,
    serial: usize,
    contacts: Vec<Contact>,
    admin: SocketAddr,
}

/// The origin and its state.
pub struct World {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    /// Keeps the port while nobody listens.
    _guard: TcpSocket,
    listening: Option<AbortHandle>,
    tasks: JoinSet<()>,
}

impl World {
    pub async fn start(behaviour: Behaviour) -> Self {
        let guard = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = guard.local_addr().expect("address");
        let listener = socket(address).listen(64).expect("listen");
        let state = State {
            now: START.as_secs(),
            versions: [2; RESOURCES.len()],
            behaviour,
            serial: 0,
            contacts: Vec::new(),
            admin: address,
        };
        let state = Arc::new(Mutex::new(state));
        let mut world = Self { state, address, _guard: guard, listening: None, tasks: JoinSet::new() };
        world.listen(listener);
        world
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }

    pub fn admin(&self, admin: SocketAddr) {
        self.state().admin = admin;
    }

    pub fn wait(&self, seconds: u64) {
        self.state().now += seconds;
    }

    pub fn now(&self) -> u64 {
        self.state().now
    }

    pub fn change(&self, resource: usize) {
        self.state().versions[resource] += 1;
    }

    /// What came of the last step.
    pub fn take_contacts(&self) -> Vec<Contact> {
        std::mem::take(&mut self.state().contacts)
    }

    /// Behaves like this from now on.
    pub async fn behave(&mut self, behaviour: &Behaviour) {
        self.state().behaviour = behaviour.clone();
        let refuses = behaviour.fault == Fault::Refused;
        if refuses && let Some(listening) = self.listening.take() {
            listening.abort();
            // With its connections: nobody is there.
            self.tasks.shutdown().await;
        } else if !refuses && self.listening.is_none() {
            self.listen(socket(self.address).listen(64).expect("listen"));
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        let state = Arc::clone(&self.state);
        let accept = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("nodelay");
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        };
        self.listening = Some(self.tasks.spawn(accept));
    }
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.set_reuseport(true).expect("an option");
    socket.bind(address).expect("bind");
    socket
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    while let Some((id, seen)) = read(&mut stream, &mut buffer).await {
        let purge = {
            let state = state.lock().expect("state");
            state.behaviour.purge.map(|resource| (resource, state.admin))
        };
        if let Some((resource, admin)) = purge {
            crate::drive::purge(admin, resource).await;
        }
        let (octets, fault) = {
            let mut state = state.lock().expect("state");
            let (contact, octets) = state.answer(id, seen);
            state.contacts.push(contact);
            (octets, state.behaviour.fault)
        };
        if stream.write_all(&octets).await.is_err() {
            return;
        }
        match fault {
            Fault::None => {}
            Fault::Reset(_) => return stream.set_zero_linger().expect("linger"),
            _ => return,
        }
    }
}

/// The next request, and the number of the client's that it carries.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(usize, Seen)> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut line = lines.next()?.split(' ');
    let (method, target) = (line.next()?.to_owned(), line.next()?.to_owned());
    let fields = Fields::read(lines);
    let length: usize = fields.get("content-length").map_or(0, |length| length.parse().expect("length"));
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    buffer.drain(..end + length);
    let host = fields.get("host")?;
    let resource = RESOURCES.iter().position(|it| (it.0, it.1) == (host, target.as_str()))?;
    let id = fields.get("x-request")?.parse().ok()?;
    Some((id, Seen { method, resource, fields }))
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Replaces `{n}` by dates.
fn dated(text: &str, now: u64) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let (inside, after) = rest.split_once('}').expect("a closing brace");
    let offset: i64 = inside.parse().expect("seconds");
    format!("{before}{}{after}", date(now.saturating_add_signed(offset)))
}

impl State {
    /// What is sent for a request, as a record and as octets.
    fn answer(&mut self, id: usize, seen: Seen) -> (Contact, Vec<u8>) {
        self.serial += 1;
        let behaviour = self.behaviour.clone();
        let (host, target, length) = RESOURCES[seen.resource];
        let version = self.versions[seen.resource];
        // What one client only may have is made for it alone.
        let shared =
            ["public", "must-revalidate", "s-maxage"].iter().any(|it| behaviour.control.contains(it));
        let secret = behaviour.control.contains("private")
            || behaviour.control.contains("no-store")
            || (seen.fields.get("authorization").is_some() && !shared)
            || behaviour.vary == Some("*");
        let variant = match seen.fields.get("flavour").filter(|_| behaviour.vary == Some("Flavour")) {
            _ if secret => format!("secret{}", self.serial),
            // Every other version is the same for all who have the field.
            Some(_) if version.is_multiple_of(2) => "flavoured".to_owned(),
            Some(flavour) => format!("flavour{flavour}"),
            None if behaviour.vary == Some("Flavour") => "plain".to_owned(),
            None => "all".to_owned(),
        };
        let safe = matches!(seen.method.as_str(), "GET" | "HEAD");
        let ok = behaviour.status == 200;
        // Only what a GET brings with success has validators, each its own.
        let validated = safe && ok;
        let opaque = format!("v{version}-{variant}");
        let tag = match behaviour.tag {
            _ if !validated => None,
            Validator::None => None,
            Validator::Strong => Some(format!("\"{opaque}\"")),
            Validator::Weak => Some(format!("W/\"{opaque}\"")),
        };
        let nuance =
            ["all", "plain", "flavour1", "flavour2", "flavoured"].iter().position(|it| *it == variant);
        let modified = nuance
            .filter(|_| validated && behaviour.modified)
            .map(|nuance| START.as_secs() - 100_000 + version * 10 + nuance as u64);
        let name = format!("{}{target} v{version} {variant}", &host[..3]);
        let body = if !safe {
            Body::new(format!("{name} {} {}", seen.method, self.serial), length)
        } else if ok {
            Body::new(name, length)
        } else {
            Body::new(format!("{name} {}", behaviour.status), length)
        };
        let mut fields = Fields::default();
        if let Some(skew) = behaviour.date {
            fields.push("date", &date(self.now.saturating_add_signed(skew)));
        }
        for line in behaviour.control.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a field line");
            fields.push(name, &dated(value, self.now));
        }
        if let Some(tag) = &tag {
            fields.push("etag", tag);
        }
        if let Some(modified) = modified {
            fields.push("last-modified", &date(modified));
        }
        if let Some(vary) = behaviour.vary {
            fields.push("vary", vary);
        }
        if let Some(age) = behaviour.age {
            fields.push("age", &age.to_string());
        }
        fields.push("x-serial", &self.serial.to_string());
        if !safe && let Some(location) = behaviour.location {
            let (host, target, _) = RESOURCES[location];
            fields.push("location", &format!("http://{host}{target}"));
        }
        let mut status = behaviour.status;
        let mut range = 0..length;
        if ok && safe && behaviour.conditions && unmodified(&seen.fields, tag.as_deref(), modified) {
            status = 304;
        } else if ok
            && behaviour.conditions
            && let Some(given) = seen.fields.get("if-match")
            && !(tag.as_deref().is_some_and(|tag| !tag.starts_with("W/") && listed(given, tag)))
        {
            status = 412;
        } else if ok && seen.method == "GET" && behaviour.ranges {
            let strong = tag.as_deref().filter(|tag| !tag.starts_with("W/"));
            let applies = seen.fields.get("if-range").is_none_or(|given| Some(given) == strong);
            if let Some(asked) = seen.fields.get("range").filter(|_| applies)
                && let Some(one) = one_range(asked, length)
            {
                status = 206;
                fields.push("content-range", &format!("bytes {}-{}/{length}", one.start, one.end - 1));
                range = one;
            }
        }
        let bodiless = seen.method == "HEAD" || matches!(status, 204 | 304);
        let whole = range.len();
        let came = match behaviour.fault {
            Fault::Cut(most) | Fault::Reset(most) => most.min(whole.saturating_sub(1)),
            _ => whole,
        };
        let sent = Sent {
            headless: matches!(behaviour.fault, Fault::NoHead | Fault::Garbage),
            cut: matches!(behaviour.fault, Fault::Cut(_) | Fault::Reset(_)) && !bodiless,
            status,
            fields,
            body,
            came: range.start..range.start + came,
            range,
            purged: behaviour.purge,
        };
        let octets = written(&sent, &behaviour, bodiless, seen.method == "HEAD");
        (Contact { id, seen, sent }, octets)
    }
}

/// The message as it goes out, faults and all.
fn written(sent: &Sent, behaviour: &Behaviour, bodiless: bool, head: bool) -> Vec<u8> {
    match behaviour.fault {
        Fault::NoHead => return b"HTTP/1.1 200 OK\r\nX-Half: ".to_vec(),
        Fault::Garbage => return b"\x16\x03\x01 this is not HTTP\r\n\r\n".to_vec(),
        _ => {}
    }
    let mut octets = format!("HTTP/1.1 {} Whatever\r\n", sent.status).into_bytes();
    for (name, value) in sent.fields.lines() {
        octets.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let content = &sent.body.octets[sent.range.clone()];
    let most = sent.came.len();
    if bodiless {
        if head && sent.status != 204 && sent.status != 304 {
            octets.extend_from_slice(format!("content-length: {}\r\n", content.len()).as_bytes());
        }
        octets.extend_from_slice(b"\r\n");
    } else if behaviour.chunked {
        octets.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        if most > 0 {
            octets.extend_from_slice(format!("{most:x}\r\n").as_bytes());
            octets.extend_from_slice(&content[..most]);
            octets.extend_from_slice(b"\r\n");
        }
        if most == content.len() {
            octets.extend_from_slice(b"0\r\n\r\n");
        }
    } else {
        octets.extend_from_slice(format!("content-length: {}\r\n\r\n", content.len()).as_bytes());
        octets.extend_from_slice(&content[..most]);
    }
    octets
}

/// Does a list of entity tags have this one (weak comparison)?
pub fn listed(list: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|other| opaque(other) == opaque(tag))
}

/// Do the conditions lead to 304? A date must be the very one: that of another variant means nothing.
fn unmodified(fields: &Fields, tag: Option<&str>, modified: Option<u64>) -> bool {
    if let Some(list) = fields.get("if-none-match") {
        return list.trim() == "*" || tag.is_some_and(|tag| listed(list, tag));
    }
    let since = fields.get("if-modified-since").and_then(crate::message::seconds);
    since.is_some() && since == modified
}

/// One range of content of this length; `None` where the origin does not bother.
fn one_range(asked: &str, length: usize) -> Option<Range<usize>> {
    let spec = asked.strip_prefix("bytes=")?;
    let (first, last) = spec.split_once('-').filter(|_| !spec.contains(','))?;
    let range = match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
        (Some(first), None) => first..length,
        (Some(first), Some(last)) => first..length.min(last + 1),
        (None, Some(count)) => length.saturating_sub(count)..length,
        (None, None) => return None,
    };
    (range.start < range.end).then_some(range)
}

/// The token of the operators, for whoever purges.
pub const SECRET: &str = TOKEN;
