//! The client side of a connection, step by step.

use crate::play::{self, Outcome, Player};
use crate::socket::{Incoming, Socket};
use crate::{Error, Events, Script, Settings};
use bytes::Bytes;
use exchange::{Request, Response, Seen};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use wire::{Asked, Assembler, Close, Event, Head, Notes, Parser};

/// A final response with its interim ones, and what [`exchange`] has no place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub response: Response,
    pub notes: Notes,
}

/// One connection to a server.
///
/// A task reads whatever comes as it comes, up to a bound, so that times are true and a server that talks early
/// does not block one that still sends. Each step may take [`Settings::deadline`] in all. Reading steps can be
/// cancelled, by a timeout around them, and begun again: nothing read is lost.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    settings: Settings,
    events: Events,
    /// Follows what is sent, to know which responses have bodies.
    sent: Parser,
    parser: Parser,
    /// Heads found and not given out by [`Client::head`].
    heads: VecDeque<Head>,
    /// Whether [`Client::head`] gave out the current response's final head.
    gave_final_head: bool,
    current: Assembler,
    failed: Option<wire::Error>,
    stream: u64,
    raw: Vec<u8>,
    received: u64,
    closed: Option<Close>,
}

/// Bytes that may wait to be parsed while a client sends.
const BACKLOG: u64 = 4 << 20;

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Deadline`].
    pub async fn connect(peer: SocketAddr, settings: &Settings) -> Result<Self, Error> {
        let connecting = tokio::net::TcpStream::connect(peer);
        let stream = match tokio::time::timeout(settings.deadline, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(Error::Connect { peer, source }),
            Err(_) => return Err(late(peer, "connect", settings.deadline)),
        };
        let socket = Socket::new(stream, peer, settings.clock.clone())
            .map_err(|source| Error::Connect { peer, source })?;
        Ok(Client {
            socket,
            events: Events::new(settings.deadline),
            sent: Parser::requests(settings.limits.clone()),
            parser: Parser::responses(settings.limits.clone()),
            heads: VecDeque::new(),
            gave_final_head: false,
            current: Assembler::new(&settings.limits),
            failed: None,
            stream: 0,
            raw: Vec::new(),
            received: 0,
            closed: None,
            settings: settings.clone(),
        })
    }

    /// Shares events with origins and tests; without this, the client has its own.
    #[must_use]
    pub fn with_events(mut self, events: Events) -> Self {
        self.events = events;
        self
    }

    pub fn peer(&self) -> SocketAddr {
        self.socket.peer
    }

    pub fn local(&self) -> SocketAddr {
        self.socket.local
    }

    /// Sends these bytes. Methods of the requests in them are noted, as far as they can be parsed, to know which
    /// responses have bodies.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], [`Error::Deadline`]. A response that came before can still be taken.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let deadline = self.settings.deadline;
        let step = "send";
        let sending = self.send_all(bytes.into(), step);
        match tokio::time::timeout(deadline, sending).await {
            Ok(done) => done,
            Err(_) => Err(late(self.peer(), step, deadline)),
        }
    }

    async fn send_all(&mut self, bytes: Bytes, step: &str) -> Result<(), Error> {
        self.note_requests(&bytes);
        let mut left = bytes;
        while !left.is_empty() {
            let may_read = self.closed.is_none() && self.parser.waiting() < BACKLOG;
            tokio::select! {
                written = self.socket.out.write_some(&mut left) => {
                    written.map_err(|source| play::write_error(self.socket.peer, step, source))?;
                }
                incoming = self.socket.incoming.recv(), if may_read => {
                    self.take(incoming);
                    while self.parse_one() {}
                }
            }
        }
        Ok(())
    }

    fn note_requests(&mut self, bytes: &Bytes) {
        let now = self.settings.clock.now();
        let mut begun = false;
        self.sent.push(now, bytes.clone());
        loop {
            match self.sent.next_event() {
                Some(Ok(Event::Head(head))) => {
                    begun = true;
                    self.parser.expect(Asked::by(&head));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) if !begun => self.parser.expect(Asked::default()),
                Some(Err(_)) => {}
                // Nobody switches protocols here; what follows is read as a request, to be on the safe side.
                None if self.sent.awaits_switch() => self.sent.switch(false),
                None => return,
            }
        }
    }

    /// Sends a request exactly as it is: see [`wire::write::request`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn request(&mut self, request: &Request) -> Result<(), Error> {
        self.send(wire::write::request(request)).await
    }

    /// Goes through a script. [`crate::Step::RequestEnd`] does nothing here.
    ///
    /// # Errors
    /// As [`Client::send`]; [`Error::Deadline`] for events.
    pub async fn play(&mut self, script: &Script) -> Result<(), Error> {
        for step in &script.steps {
            if play::step(self, step).await? != Outcome::GoOn {
                break;
            }
        }
        Ok(())
    }

    /// The next head, of an interim or final response. Where the current response's final head was given out
    /// before, its rest is read first and forgotten.
    ///
    /// # Errors
    /// [`Error::Deadline`], [`Error::Closed`], [`Error::Meaningless`].
    pub async fn head(&mut self) -> Result<Head, Error> {
        if self.gave_final_head {
            self.response().await?;
        }
        self.within("read a response head", async |client| {
            loop {
                if let Some(head) = client.heads.pop_front() {
                    client.gave_final_head = !head.is_interim();
                    return Ok(head);
                }
                client.advance("read a response head").await?;
            }
        })
        .await
    }

    /// Waits until the body of the current response has at least `length` bytes, and says how many it has.
    ///
    /// # Errors
    /// As [`Client::head`]; [`Error::Short`] where the response ended before.
    pub async fn body_bytes(&mut self, length: u64) -> Result<u64, Error> {
        let step = "read body bytes";
        self.within(step, async |client| {
            loop {
                let got = client.current.body_length();
                if got >= length {
                    return Ok(got);
                }
                if client.current.is_complete() {
                    let (peer, wanted) = (client.peer(), length);
                    return Err(Error::Short { peer, step: step.to_owned(), got, wanted });
                }
                client.advance(step).await?;
            }
        })
        .await
    }

    /// The next final response with its interim ones, to its end. One that the connection's end cut short is
    /// returned with its [`exchange::Ending`]; an error means that there was no final head.
    ///
    /// # Errors
    /// As [`Client::head`].
    pub async fn response(&mut self) -> Result<Reply, Error> {
        let step = "read a response";
        self.within(step, async |client| {
            while !client.current.is_complete() {
                client.advance(step).await?;
            }
            Ok(())
        })
        .await?;
        self.heads.clear();
        self.gave_final_head = false;
        let seen =
            Seen { stream: self.stream, from: Some(self.peer()), to: Some(self.local()), ..Seen::default() };
        self.stream += 1;
        let fresh = Assembler::new(&self.settings.limits);
        let (response, notes) = std::mem::replace(&mut self.current, fresh).into_response(seen);
        match response {
            Some(response) => Ok(Reply { response, notes }),
            None => {
                let how = notes.closed.unwrap_or(Close::Lost);
                Err(Error::Closed { peer: self.peer(), step: step.to_owned(), how })
            }
        }
    }

    /// Runs a step within the deadline.
    async fn within<T>(
        &mut self,
        step: &str,
        run: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (peer, deadline) = (self.peer(), self.settings.deadline);
        tokio::time::timeout(deadline, run(self)).await.unwrap_or_else(|_| Err(late(peer, step, deadline)))
    }

    /// Takes one event of the response, or waits for bytes.
    async fn advance(&mut self, step: &str) -> Result<(), Error> {
        if self.parse_one() {
            return Ok(());
        }
        let (peer, step) = (self.peer(), step.to_owned());
        if let Some(source) = self.failed.clone() {
            return Err(Error::Meaningless { peer, step, source });
        }
        if self.parser.is_over() {
            return Err(Error::Closed { peer, step, how: self.closed.unwrap_or(Close::Lost) });
        }
        let incoming = self.socket.incoming.recv().await;
        self.take(incoming);
        Ok(())
    }

    /// Takes one event into the current response, if there is one. The next response is not looked at before
    /// this one is taken.
    fn parse_one(&mut self) -> bool {
        if self.current.is_complete() {
            return false;
        }
        match self.parser.next_event() {
            Some(Ok(event)) => {
                if let Event::Head(head) = &event {
                    self.heads.push_back((**head).clone());
                }
                self.current.add(event);
                true
            }
            Some(Err(error)) => {
                self.failed = Some(error);
                false
            }
            None => false,
        }
    }

    fn take(&mut self, incoming: Option<Incoming>) {
        match incoming {
            Some(Incoming::Bytes(time, bytes)) => {
                self.note_raw(&bytes);
                self.parser.push(time, bytes);
            }
            Some(Incoming::End(time, how)) => {
                self.parser.finish(time, how);
                self.closed.get_or_insert(how);
            }
            None => {
                if self.closed.is_none() {
                    self.closed = Some(Close::Lost);
                    self.parser.finish(self.settings.clock.now(), Close::Lost);
                }
            }
        }
    }

    fn note_raw(&mut self, bytes: &[u8]) {
        self.received += bytes.len() as u64;
        let room = self.settings.keep_raw.saturating_sub(self.raw.len());
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Closes the sending direction.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn half_close(&mut self) -> Result<(), Error> {
        let step = "close the sending direction";
        self.socket.out.half_close().await.map_err(|source| play::write_error(self.socket.peer, step, source))
    }

    /// Waits until the peer ends the connection. What it sends meanwhile counts as received and is not parsed.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn closed(&mut self) -> Result<Close, Error> {
        self.within("wait for the peer to close", async |client| {
            loop {
                if let Some(how) = client.closed {
                    return Ok(how);
                }
                match client.socket.incoming.recv().await {
                    Some(Incoming::Bytes(_, bytes)) => client.note_raw(&bytes),
                    end => client.take(end),
                }
            }
        })
        .await
    }

    /// Ends the connection with a reset (TCP RST).
    pub async fn reset(mut self) {
        self.socket.reset().await;
    }

    /// The first bytes that came, up to [`Settings::keep_raw`].
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// How many bytes came.
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl Player for Client {
    fn events(&self) -> &Events {
        &self.events
    }

    async fn send(&mut self, bytes: Bytes, _step: &str) -> Result<(), Error> {
        Client::send(self, bytes).await
    }

    async fn request_end(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn stall(&mut self) -> Result<(), Error> {
        self.closed().await.map(drop)
    }

    async fn half_close(&mut self) -> Result<(), Error> {
        Client::half_close(self).await
    }

    async fn close(&mut self) {
        self.socket.close().await;
    }

    async fn reset(&mut self) {
        self.socket.reset().await;
    }
}

fn late(peer: SocketAddr, step: &str, after: Duration) -> Error {
    Error::Deadline { who: peer.to_string(), step: step.to_owned(), after }
}

/// Sends one request on a connection of its own and returns the response.
///
/// # Errors
/// As [`Client::connect`] and [`Client::response`].
pub async fn fetch(peer: SocketAddr, request: &Request, settings: &Settings) -> Result<Reply, Error> {
    let mut client = Client::connect(peer, settings).await?;
    match client.request(request).await {
        // A server may answer and close before it has read everything; the answer then says why.
        Err(Error::Closed { .. }) | Ok(()) => client.response().await,
        Err(other) => Err(other),
    }
}
