//! One connection to an origin: requests are read while answers are written.

use crate::origin::Shared;
use crate::play::{self, Outcome, Player};
use crate::route::Table;
use crate::socket::{Incoming, Socket};
use crate::{Error, Events, Failure, Fault, Received, Script, Step};
use bytes::Bytes;
use exchange::{Ending, Seen, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use wire::{Assembler, Close, Event, Head, Message, Parser};

/// A request whose head has come, for the side that writes.
struct Job {
    table: Arc<Table>,
    head: Head,
    /// The request without its body.
    begun: Received,
    /// The request, once it has ended.
    ended: oneshot::Receiver<Received>,
    /// Where another protocol may follow: whether it does.
    switch: Option<oneshot::Sender<bool>>,
}

/// What the writing side does next.
enum Work {
    Answer(Box<Job>),
    /// The peer sent what is no request.
    Refuse,
}

/// How long a closed connection is read on, so that no reset overtakes the last bytes sent.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, number: u64) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(shared.clone());
    let Ok(mut socket) = Socket::new(stream, peer, shared.settings.clock.clone()) else { return };
    // Bytes come from the socket here, so that the writing side can own it.
    let (_, closed) = mpsc::channel(1);
    let incoming = std::mem::replace(&mut socket.incoming, closed);
    let (to_writer, work) = mpsc::channel(shared.settings.pipelined);
    let (gone, going) = watch::channel(None);
    let mut reader = Reader {
        shared: shared.clone(),
        incoming,
        parser: Parser::requests(shared.settings.limits.clone()),
        work: Some(to_writer),
        gone,
        place: Seen { connection: number, from: Some(peer), to: Some(socket.local), ..Seen::default() },
        under_way: None,
        switch: None,
    };
    let mut writer = Writer { shared, socket, number, going, ended: None };
    let over = {
        let mut writing = std::pin::pin!(writer.run(work));
        tokio::select! {
            over = &mut writing => over,
            () = reader.run() => writing.await,
        }
    };
    if over == Over::Closed {
        writer.linger(reader).await;
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Reader {
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Incoming>,
    parser: Parser,
    work: Option<mpsc::Sender<Work>>,
    gone: watch::Sender<Option<Close>>,
    /// Where requests are seen; its stream is the next one's.
    place: Seen,
    under_way: Option<UnderWay>,
    /// Whether another protocol follows, once the writing side knows.
    switch: Option<oneshot::Receiver<bool>>,
}

struct UnderWay {
    table: Arc<Table>,
    number: u64,
    stream: u64,
    assembler: Assembler,
    to_writer: oneshot::Sender<Received>,
}

impl Reader {
    /// Reads requests until the peer's end.
    async fn run(&mut self) {
        loop {
            if !self.parse().await {
                return;
            }
            let patience = if self.under_way.is_some() {
                self.shared.settings.deadline
            } else {
                self.shared.settings.idle
            };
            let switch = self.switch.as_mut();
            let decided = async {
                match switch {
                    Some(switch) => switch.await.unwrap_or(false),
                    None => std::future::pending().await,
                }
            };
            let may_read = self.parser.waiting() <= self.shared.settings.limits.held as u64;
            tokio::select! {
                to_tunnel = decided => {
                    self.switch = None;
                    self.parser.switch(to_tunnel);
                }
                incoming = tokio::time::timeout(patience, self.incoming.recv()), if may_read => {
                    let now = self.shared.settings.clock.now();
                    match incoming {
                        Ok(Some(Incoming::Bytes(time, bytes))) => self.parser.push(time, bytes),
                        Ok(Some(Incoming::End(time, how))) => self.end(time, how).await,
                        Ok(None) | Err(_) => self.end(now, Close::Lost).await,
                    }
                }
            }
        }
    }

    async fn end(&mut self, now: Time, how: Close) {
        self.gone.send_replace(Some(how));
        self.parser.finish(now, how);
        // Nothing follows, so it does not matter which protocol it would be.
        self.switch = None;
        while self.parse().await && self.parser.awaits_switch() {
            self.parser.switch(false);
        }
    }

    /// Takes in what was parsed; false when no request can follow.
    async fn parse(&mut self) -> bool {
        while let Some(event) = self.parser.next_event() {
            match event {
                Ok(Event::Head(head)) => self.begin(*head).await,
                Ok(event) => {
                    let ends = matches!(event, Event::End(_));
                    if let Some(under_way) = &mut self.under_way {
                        under_way.assembler.add(event);
                    }
                    if ends {
                        self.finish();
                    }
                }
                Err(error) => self.refuse(error).await,
            }
        }
        if self.parser.is_over() {
            // The writing side ends when it has done what is left.
            self.work = None;
            return false;
        }
        true
    }

    async fn begin(&mut self, head: Head) {
        let stream = self.place.stream;
        self.place.stream += 1;
        let mut assembler = Assembler::new(&self.shared.settings.limits);
        assembler.add(Event::Head(Box::new(head.clone())));
        let mut only_head = Assembler::keeping(0);
        only_head.add(Event::Head(Box::new(head.clone())));
        let (request, notes) = only_head.into_request(Seen { stream, ..self.place.clone() });
        let Some(request) = request else { return };
        let table = self.shared.find(request.path_and_query());
        let number = table.begin();
        let (to_writer, ended) = oneshot::channel();
        let switch = head.may_switch().then(|| {
            let (tell, told) = oneshot::channel();
            self.switch = Some(told);
            tell
        });
        self.under_way = Some(UnderWay { table: table.clone(), number, stream, assembler, to_writer });
        let begun = Received { number, request, notes };
        let job = Job { table, head, begun, ended, switch };
        if let Some(work) = &self.work {
            // Fails only when the writing side has ended, and then nobody needs it.
            let _ = work.send(Work::Answer(Box::new(job))).await;
        }
    }

    fn finish(&mut self) {
        let Some(under_way) = self.under_way.take() else { return };
        let place = Seen { stream: under_way.stream, ..self.place.clone() };
        let (Some(request), notes) = under_way.assembler.into_request(place) else { return };
        let received = Received { number: under_way.number, request, notes };
        under_way.table.end(received.clone());
        // The writing side may have ended.
        let _ = under_way.to_writer.send(received);
    }

    async fn refuse(&mut self, error: wire::Error) {
        let (connection, peer) = (self.place.connection, self.place.from.unwrap_or(self.shared.address));
        self.shared.fault(Fault { connection, peer, error });
        if let Some(work) = &self.work {
            let _ = work.send(Work::Refuse).await;
        }
    }
}

/// How the writing side left the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// With an orderly end.
    Closed,
    /// With a reset, or because the peer is gone.
    Gone,
}

struct Writer {
    shared: Arc<Shared>,
    socket: Socket,
    number: u64,
    going: watch::Receiver<Option<Close>>,
    /// The end of the request that is being answered, for scripts that wait for it.
    ended: Option<oneshot::Receiver<Received>>,
}

impl Writer {
    /// Answers requests in order.
    async fn run(&mut self, mut work: mpsc::Receiver<Work>) -> Over {
        while let Some(next) = work.recv().await {
            let job = match next {
                Work::Answer(job) => job,
                Work::Refuse => {
                    self.refuse().await;
                    return Over::Closed;
                }
            };
            let request = format!(
                "{} {}",
                exchange::escape(&job.begun.request.method),
                exchange::escape(&job.begun.request.target)
            );
            match self.answer(*job).await {
                Ok(None) => {}
                Ok(Some(over)) => return over,
                Err(error) => {
                    let (connection, peer) = (self.number, self.socket.peer);
                    let reason = error.to_string();
                    self.shared.failure(Failure { connection, peer, request, reason });
                    return if matches!(error, Error::Deadline { .. }) { Over::Closed } else { Over::Gone };
                }
            }
        }
        Over::Closed
    }

    /// `None`: the connection stays.
    async fn answer(&mut self, job: Job) -> Result<Option<Over>, Error> {
        let script = if job.table.at_head {
            self.ended = Some(job.ended);
            (job.table.handler())(&job.begun)
        } else {
            if job.head.fields.members("expect").any(|m| m.eq_ignore_ascii_case(b"100-continue")) {
                self.send(Message::response(100).bytes(), "send 100").await?;
            }
            let Ok(received) = job.ended.await else { return Ok(Some(Over::Gone)) };
            if received.request.body.ending != Ending::Complete {
                if received.notes.error.is_some() {
                    self.refuse().await;
                }
                return Ok(Some(Over::Closed));
            }
            (job.table.handler())(&received)
        };
        let mut left = Outcome::GoOn;
        for step in &script.steps {
            left = play::step(self, step).await?;
            if left != Outcome::GoOn {
                break;
            }
        }
        let resets = script.steps.contains(&Step::Reset);
        if left == Outcome::Over {
            return Ok(Some(if resets { Over::Gone } else { Over::Closed }));
        }
        let to_tunnel = switches(&job.head, &script);
        if let Some(switch) = job.switch {
            // The reading side may have ended.
            let _ = switch.send(to_tunnel);
        }
        self.request_end().await?;
        Ok((!job.head.keeps_alive() && !to_tunnel).then_some(Over::Closed))
    }

    async fn refuse(&mut self) {
        let refusal = Message::response(400).field("Connection", "close").body("").bytes();
        // A peer that does not take it misses nothing.
        let _ = self.send(refusal, "send 400").await;
    }

    /// Ends our direction and reads on for a while, until the peer has ended its own.
    async fn linger(&mut self, mut reader: Reader) {
        let _ = self.socket.out.half_close().await;
        let reading = async {
            while let Some(incoming) = reader.incoming.recv().await {
                if matches!(incoming, Incoming::End(..)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, reading).await;
    }
}

impl Player for Writer {
    fn events(&self) -> &Events {
        &self.shared.events
    }

    async fn send(&mut self, mut bytes: Bytes, step: &str) -> Result<(), Error> {
        let (peer, after) = (self.socket.peer, self.shared.settings.deadline);
        while !bytes.is_empty() {
            match tokio::time::timeout(after, self.socket.out.write_some(&mut bytes)).await {
                Ok(written) => written.map_err(|source| play::write_error(peer, step, source))?,
                Err(_) => {
                    let step = format!("{step}: the peer takes no bytes, {} are left", bytes.len());
                    return Err(Error::Deadline { who: peer.to_string(), step, after });
                }
            }
        }
        Ok(())
    }

    async fn request_end(&mut self) -> Result<(), Error> {
        if let Some(ended) = self.ended.take() {
            // An error means that the peer is gone, which the next write will tell.
            let _ = ended.await;
        }
        Ok(())
    }

    async fn stall(&mut self) -> Result<(), Error> {
        // An error means that the reading side has ended.
        let _ = self.going.wait_for(Option::is_some).await;
        Ok(())
    }

    async fn half_close(&mut self) -> Result<(), Error> {
        let peer = self.socket.peer;
        self.socket.out.half_close().await.map_err(|source| play::write_error(peer, "half close", source))
    }

    async fn close(&mut self) {
        // `linger` follows.
        let _ = self.socket.out.half_close().await;
    }

    async fn reset(&mut self) {
        self.socket.reset().await;
    }
}

/// Whether this script's answer ends HTTP: 101, or 2xx to CONNECT.
fn switches(head: &Head, script: &Script) -> bool {
    script.steps.iter().any(|step| match step {
        Step::Send(bytes) => {
            let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "));
            status
                .is_some_and(|s| s.starts_with(b"101") || head.method() == b"CONNECT" && s.starts_with(b"2"))
        }
        _ => false,
    })
}
