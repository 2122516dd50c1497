//! A client that makes every frame by hand, so that it can also make those that no library would.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hpack;
use crate::support::{TestEdge, soon};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as octets.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, payload)
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The four octets at `at`: an error code, an increment.
    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four octets"))
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// With END_STREAM.
    Whole,
    Reset(u32),
    /// With the connection.
    Lost,
}

/// What came on a stream.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub fields: Vec<(String, String)>,
    pub interim: Vec<Vec<(String, String)>>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub ended: Option<Ended>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// 0 if no head came.
    pub fn status(&self) -> u16 {
        self.field(":status").map_or(0, |status| status.parse().expect("a number"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn ended(&self) -> Ended {
        self.ended.expect("ended")
    }
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Client {
    pub io: Box<dyn Stream>,
    buffer: Vec<u8>,
    next: u32,
    scheme: &'static str,
    answers: HashMap<u32, Answer>,
    /// A header block that is not at its end, and whether END_STREAM came with it.
    block: Option<(u32, Vec<u8>, bool)>,
    /// Error code and last stream of each GOAWAY that came.
    pub goaways: Vec<(u32, u32)>,
    /// What the edge announced.
    pub settings: HashMap<u16, u32>,
    /// Frames that came and are about no answer: WINDOW_UPDATE, PING.
    pub others: VecDeque<Frame>,
    /// Whether to open windows again as content comes.
    pub reads: bool,
    pub closed: bool,
}

impl Client {
    /// Connected, with nothing sent.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = soon("connect", TcpStream::connect(address)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Self::on(Box::new(stream), "http")
    }

    pub fn on(io: Box<dyn Stream>, scheme: &'static str) -> Self {
        Self {
            io,
            buffer: Vec::new(),
            next: 1,
            scheme,
            answers: HashMap::new(),
            block: None,
            goaways: Vec::new(),
            settings: HashMap::new(),
            others: VecDeque::new(),
            reads: true,
            closed: false,
        }
    }

    /// With prior knowledge.
    pub async fn connect(edge: &TestEdge) -> Self {
        Self::with(edge, &[]).await
    }

    pub async fn with(edge: &TestEdge, values: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(edge.address).await;
        client.greet(values).await;
        client
    }

    /// The preface. No dynamic table, as this client has none.
    pub async fn greet(&mut self, values: &[(u16, u32)]) {
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        self.send([PREFACE, &settings(&values)].concat()).await;
        while self.settings.is_empty() && self.turn().await {}
    }

    /// Sends, and does not mind if the edge has closed.
    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        let write = async {
            let _ = self.io.write_all(octets.as_ref()).await;
            let _ = self.io.flush().await;
        };
        soon("send", write).await;
    }

    /// The pseudo-header fields of a request.
    pub fn pseudo(&self, method: &str, path: &str) -> Vec<(String, String)> {
        [(":method", method), (":scheme", self.scheme), (":authority", "site.test"), (":path", path)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    /// A number for a new stream.
    pub fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Opens a stream with these fields.
    pub async fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)], flags: u8) -> u32 {
        let stream = self.stream();
        self.send(frame(HEADERS, END_HEADERS | flags, stream, hpack::encode(fields))).await;
        stream
    }

    /// Asks, without content.
    pub async fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> u32 {
        let mut all = self.pseudo(method, path);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.open(&all, END_STREAM).await
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let stream = self.ask("GET", path, &[]).await;
        self.answer(stream).await
    }

    /// Begins a request with content.
    pub async fn upload(&mut self, path: &str, fields: &[(&str, &str)]) -> u32 {
        let mut all = self.pseudo("POST", path);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.open(&all, 0).await
    }

    pub async fn data(&mut self, stream: u32, content: impl AsRef<[u8]>, flags: u8) {
        self.send(frame(DATA, flags, stream, content)).await;
    }

    /// Everything on a stream, to its end.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        while !self.closed && self.seen(stream).ended.is_none() {
            self.turn().await;
        }
        let mut answer = self.answers.remove(&stream).unwrap_or_default();
        answer.ended.get_or_insert(Ended::Lost);
        answer
    }

    /// What came on a stream so far.
    pub fn seen(&mut self, stream: u32) -> &Answer {
        self.answers.entry(stream).or_default()
    }

    /// Reads frames until this is so of what was seen.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        while !is_so(self) {
            assert!(self.turn().await, "the connection ended before: {what}; GOAWAY {:?}", self.goaways);
        }
    }

    /// A PING and its answer: all that was sent before has been looked at.
    pub async fn ping(&mut self) {
        self.send(frame(PING, 0, 0, b"pingpong")).await;
        self.until("an answer to PING", |client| client.others.iter().any(|frame| frame.kind == PING)).await;
        self.others.retain(|frame| frame.kind != PING);
    }

    /// Reads to the end of the connection; the error code of its last GOAWAY.
    pub async fn end(&mut self) -> Option<u32> {
        while self.turn().await {}
        self.goaways.last().map(|(code, _)| *code)
    }

    /// Takes one frame. False at the end of the connection.
    pub async fn turn(&mut self) -> bool {
        let Some(frame) = self.frame().await else {
            self.closed = true;
            return false;
        };
        match frame.kind {
            DATA => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.body.extend_from_slice(&frame.payload);
                if frame.flags & END_STREAM != 0 {
                    answer.ended = Some(Ended::Whole);
                }
                let octets = frame.payload.len() as u32;
                if self.reads && octets > 0 {
                    let updates = [window_update(0, octets), window_update(frame.stream, octets)];
                    self.send(updates.concat()).await;
                }
            }
            HEADERS => {
                self.block = Some((frame.stream, frame.payload, frame.flags & END_STREAM != 0));
                self.end_block(frame.flags);
            }
            CONTINUATION => {
                let (_, block, _) = self.block.as_mut().expect("a block that goes on");
                block.extend_from_slice(&frame.payload);
                self.end_block(frame.flags);
            }
            RST_STREAM => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.ended.get_or_insert(Ended::Reset(frame.word(0)));
                self.others.push_back(frame);
            }
            SETTINGS if frame.flags & ACK == 0 => {
                for value in frame.payload.chunks(6) {
                    let id = u16::from_be_bytes([value[0], value[1]]);
                    self.settings.insert(id, u32::from_be_bytes([value[2], value[3], value[4], value[5]]));
                }
                self.send(super::client::frame(SETTINGS, ACK, 0, b"")).await;
            }
            GOAWAY => self.goaways.push((frame.word(4), frame.word(0))),
            PING if frame.flags & ACK == 0 => {
                self.send(super::client::frame(PING, ACK, 0, &frame.payload)).await;
            }
            _ => self.others.push_back(frame),
        }
        true
    }

    fn end_block(&mut self, flags: u8) {
        if flags & END_HEADERS == 0 {
            return;
        }
        let (stream, block, ends) = self.block.take().expect("a block");
        let fields = hpack::decode(&block);
        let answer = self.answers.entry(stream).or_default();
        let is_interim = fields[0].0 == ":status" && fields[0].1.starts_with('1');
        if is_interim {
            answer.interim.push(fields);
        } else if answer.fields.is_empty() {
            answer.fields = fields;
        } else {
            answer.trailers = fields;
        }
        if ends {
            answer.ended = Some(Ended::Whole);
        }
    }

    /// Takes a frame only when it is whole, so that waiting for it may be given up.
    async fn frame(&mut self) -> Option<Frame> {
        self.have(9).await?;
        let length = u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]) as usize;
        self.have(9 + length).await?;
        let rest = self.buffer.split_off(9 + length);
        let octets = std::mem::replace(&mut self.buffer, rest);
        let stream = u32::from_be_bytes(octets[5..9].try_into().expect("four octets"));
        Some(Frame { kind: octets[3], flags: octets[4], stream, payload: octets[9..].to_vec() })
    }

    async fn have(&mut self, count: usize) -> Option<()> {
        while self.buffer.len() < count {
            let read = self.io.read_buf(&mut self.buffer);
            if soon("a frame", read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(())
    }
}
