//! Pairs what the relay copied with what the candidate answers.
//!
//! One task keeps the sessions: one for each client connection that has something to compare. It never waits for
//! anybody: workers drive the candidate's connections, the judge compares.

use crate::budget::{Budget, Chunk};
use crate::candidate::{Answer, Key, Order, Outcome, Way, work};
use crate::clock;
use crate::judge::{Case, Verdicts};
use crate::ledger::{State, Ticket};
use crate::reading::{Reading, Stuck};
use crate::stop::{Level, Stop};
use crate::tap::{Begin, Event, Piece, Side, Told};
use exchange::{Seen, Time};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::{Close, Limits};

/// Most requests of one client connection that wait for the candidate.
const QUEUE: usize = 64;

/// Most batches of events taken at once.
const BATCH: usize = 256;

/// What observers are told to do.
#[derive(Debug)]
pub(crate) struct Observing {
    pub way: Arc<Way>,
    /// Most connections to the candidate.
    pub connections: usize,
    pub judge: Verdicts,
    pub stop: Arc<Stop>,
    /// How long after the relay's end answers are waited for.
    pub patience: Duration,
}

/// One observer: the sessions it keeps and the connections it drives.
pub(crate) struct Observer {
    given: Observing,
    sessions: HashMap<u64, Session>,
    workers: Vec<UnboundedSender<Order>>,
    /// Workers without a session, the one used last at the end.
    idle: Vec<usize>,
    /// Sessions without a worker, the one that waits longest in front.
    queue: VecDeque<u64>,
    outcomes: UnboundedSender<Outcome>,
}

/// A client connection with something to compare.
struct Session {
    client: SocketAddr,
    exchanges: VecDeque<Exchange>,
    /// The worker that serves it, or the wait for one.
    served: Served,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    No,
    Queued,
    /// Busy with an exchange of this session, which may be gone from it by now.
    By(usize),
}

/// A request on its way to both.
struct Exchange {
    number: u64,
    /// `None` where it is only recorded.
    ticket: Option<Ticket>,
    request: Reading,
    response: Option<Reading>,
    method: bytes::Bytes,
    request_ended: bool,
    /// When the primary's answer had ended.
    answered: Option<Time>,
    candidate: Candidate,
}

/// How far the candidate's side of an exchange is.
enum Candidate {
    /// Is not asked.
    Unasked,
    /// The request, as far as it has come.
    Waiting(Vec<Chunk>),
    /// A worker has it.
    Asked,
    Done(Box<Result<Answer, State>>),
}

/// Observes until the relay has ended and all answers are in, or waiting for them has no more time.
pub(crate) async fn observe(given: Observing, mut told: UnboundedReceiver<Vec<Told>>) {
    let (outcomes, mut answers) = unbounded_channel();
    let mut observer = Observer {
        given,
        sessions: HashMap::new(),
        workers: Vec::new(),
        idle: Vec::new(),
        queue: VecDeque::new(),
        outcomes,
    };
    let (mut batches, mut outcomes) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    loop {
        tokio::select! {
            count = told.recv_many(&mut batches, BATCH) => {
                if count == 0 {
                    break;
                }
                batches.drain(..).flatten().for_each(|told| observer.hear(told));
            }
            _ = answers.recv_many(&mut outcomes, BATCH) => {
                outcomes.drain(..).for_each(|outcome| observer.answered(outcome));
            }
            () = observer.given.judge.flush_later() => {}
        }
    }
    let stop = Arc::clone(&observer.given.stop);
    let patience = observer.given.patience;
    let rest = async {
        while !observer.sessions.is_empty() {
            match answers.recv().await {
                Some(outcome) => observer.answered(outcome),
                None => break,
            }
        }
    };
    tokio::select! {
        () = rest => {}
        () = tokio::time::sleep(patience) => {}
        () = stop.reached(Level::Now) => {}
    }
    observer.end();
    // What still waits for the judge is submitted when the observer is dropped.
}

impl Observer {
    fn hear(&mut self, told: Told) {
        let connection = told.connection;
        match told.event {
            Event::Begin { begin, number, piece } => {
                self.begin(connection, told.client, begin, number, piece);
            }
            Event::More { number, side, piece } => self.more((connection, number), side, piece),
            Event::Abandon { number, state } => self.abandon((connection, number), state),
            Event::Closed { state } => {
                let open = self.sessions.get(&connection).into_iter().flat_map(|s| &s.exchanges);
                let numbers: Vec<u64> = open.filter(|e| e.answered.is_none()).map(|e| e.number).collect();
                for number in numbers {
                    self.abandon((connection, number), state);
                }
            }
        }
    }

    fn begin(&mut self, connection: u64, client: SocketAddr, begin: Begin, number: u64, piece: Piece) {
        let ticket = match begin {
            Begin::Compare(ticket) => Some(ticket),
            Begin::Record => None,
        };
        let refuse = |ticket: Option<Ticket>, state| {
            if let Some(ticket) = ticket {
                ticket.end(state);
            }
        };
        let Some(chunk) = piece.chunk else { return refuse(ticket, State::Memory) };
        let budget = &self.given.way.budget;
        let limits = &self.given.way.limits;
        let method = chunk.bytes.slice(..memchr::memchr(b' ', &chunk.bytes).unwrap_or(0));
        let Some(mut request) = Reading::request(budget, limits) else {
            return refuse(ticket, State::Memory);
        };
        if let Err(stuck) = request.push_chunk(piece.at, &chunk) {
            return refuse(ticket, stuck.state(State::RequestUnparsed));
        }
        let session = self.sessions.entry(connection).or_insert_with(|| Session {
            client,
            exchanges: VecDeque::new(),
            served: Served::No,
        });
        let waiting = |e: &&Exchange| matches!(e.candidate, Candidate::Waiting(_));
        let (ticket, candidate) = match ticket {
            Some(ticket) if session.exchanges.iter().filter(waiting).count() >= QUEUE => {
                ticket.end(State::Queue);
                (None, Candidate::Unasked)
            }
            Some(ticket) => (Some(ticket), Candidate::Waiting(vec![chunk])),
            None => (None, Candidate::Unasked),
        };
        session.exchanges.push_back(Exchange {
            number,
            ticket,
            request,
            response: None,
            method,
            request_ended: piece.ends,
            answered: None,
            candidate,
        });
        self.serve(connection);
    }

    fn more(&mut self, key: Key, side: Side, piece: Piece) {
        let Some(session) = self.sessions.get_mut(&key.0) else { return };
        let served = session.served;
        let Some(exchange) = session.exchanges.iter_mut().find(|e| e.number == key.1) else { return };
        let worker = match (&exchange.candidate, served) {
            (Candidate::Asked, Served::By(worker)) => Some(&self.workers[worker]),
            _ => None,
        };
        let stuck = match side {
            Side::Request => exchange.more_request(piece, worker),
            Side::Response => {
                exchange.more_response(&self.given.way.budget, &self.given.way.limits, piece, worker)
            }
        };
        match stuck {
            Err(state) => self.abandon(key, state),
            Ok(()) => self.settle(key),
        }
    }

    /// There will be no more of an exchange: ends it with this state.
    fn abandon(&mut self, key: Key, state: State) {
        let Some(session) = self.sessions.get_mut(&key.0) else { return };
        let Some(at) = session.exchanges.iter().position(|e| e.number == key.1) else { return };
        if let Some(exchange) = session.exchanges.remove(at) {
            if let (Candidate::Asked, Served::By(worker)) = (&exchange.candidate, session.served) {
                // The worker tells when it has stopped; where it is gone there is nothing to stop.
                let _ = self.workers[worker].send(Order::Cancel);
            }
            if let Some(ticket) = exchange.ticket {
                ticket.end(state);
            }
        }
        self.serve(key.0);
    }

    /// A worker has done its part.
    fn answered(&mut self, outcome: Outcome) {
        let Outcome { worker, key, answer } = outcome;
        self.idle.push(worker);
        if let Some(session) = self.sessions.get_mut(&key.0) {
            if session.served == Served::By(worker) {
                session.served = Served::No;
            }
            if let Some(exchange) = session.exchanges.iter_mut().find(|e| e.number == key.1) {
                exchange.candidate = Candidate::Done(Box::new(answer));
            }
        }
        self.settle(key);
        self.serve(key.0);
        while !self.idle.is_empty() {
            let Some(connection) = self.queue.pop_front() else { break };
            if let Some(session) = self.sessions.get_mut(&connection) {
                session.served = Served::No;
                self.start(connection);
            }
        }
    }

    /// Gives a session a worker, or a place in the queue, where it needs one; forgets it where nothing is left.
    fn serve(&mut self, connection: u64) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        // A session is kept while a worker is busy with it, though with something nobody wants any more: it must not
        // get a second one, or requests of its connection would overtake each other.
        if session.exchanges.is_empty() && session.served == Served::No {
            self.sessions.remove(&connection);
        } else if session.served == Served::No && session.waits() {
            if self.queue.is_empty() && (!self.idle.is_empty() || self.workers.len() < self.given.connections)
            {
                self.start(connection);
            } else {
                session.served = Served::Queued;
                self.queue.push_back(connection);
            }
        }
    }

    /// Hands the session's next request to a worker, of which there is one.
    fn start(&mut self, connection: u64) {
        let now = clock::now();
        let timeout = self.given.way.timeout;
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        session.drop_late(now, timeout);
        let Some(exchange) = session.exchanges.iter_mut().find(|e| e.waits()) else {
            return self.serve(connection);
        };
        let worker = self.idle.pop().unwrap_or_else(|| {
            let worker = self.workers.len();
            let (orders, receiver) = unbounded_channel();
            self.workers.push(orders);
            tokio::spawn(work(worker, Arc::clone(&self.given.way), receiver, self.outcomes.clone()));
            worker
        });
        let orders = &self.workers[worker];
        if let Candidate::Waiting(chunks) = std::mem::replace(&mut exchange.candidate, Candidate::Asked) {
            // A worker lives as long as its orders' sender, so that these cannot fail.
            let key = (connection, exchange.number);
            let _ = orders.send(Order::Start { key, chunks, ended: exchange.request_ended });
            if exchange.answered.is_some() {
                let length = exchange.response.as_ref().map_or(0, Reading::length);
                let _ = orders.send(Order::Answered { length });
            }
        }
        session.served = Served::By(worker);
    }

    /// Hands an exchange to the judge where both sides of it are known.
    fn settle(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(&key.0) else { return };
        let ready = |e: &Exchange| {
            e.number == key.1
                && e.answered.is_some()
                && matches!(e.candidate, Candidate::Unasked | Candidate::Done(_))
        };
        let Some(at) = session.exchanges.iter().position(ready) else { return };
        let client = session.client;
        if let Some(exchange) = session.exchanges.remove(at) {
            exchange.judge(key, client, &mut self.given.judge);
        }
        self.serve(key.0);
    }

    /// Ends what is left when the mirror does.
    fn end(mut self) {
        for session in std::mem::take(&mut self.sessions).into_values() {
            for exchange in session.exchanges {
                if let Some(ticket) = exchange.ticket {
                    ticket.end(State::Shutdown);
                }
            }
        }
    }
}

impl Session {
    fn waits(&self) -> bool {
        self.exchanges.iter().any(Exchange::waits)
    }

    /// Gives up requests that waited for the candidate longer than an answer may take.
    fn drop_late(&mut self, now: Time, timeout: Duration) {
        self.exchanges.retain_mut(|exchange| {
            let late = exchange.waits() && exchange.answered.is_some_and(|at| now.since(at) > timeout);
            if late && let Some(ticket) = exchange.ticket.take() {
                ticket.end(State::Queue);
            }
            !late
        });
    }
}

impl Exchange {
    fn waits(&self) -> bool {
        matches!(self.candidate, Candidate::Waiting(_))
    }

    fn more_request(&mut self, piece: Piece, worker: Option<&UnboundedSender<Order>>) -> Result<(), State> {
        if let Some(chunk) = &piece.chunk {
            let stuck = |stuck: Stuck| stuck.state(State::RequestUnparsed);
            self.request.push_chunk(piece.at, chunk).map_err(stuck)?;
        }
        self.request_ended |= piece.ends;
        match (&mut self.candidate, worker, piece.chunk) {
            (Candidate::Waiting(chunks), _, Some(chunk)) => chunks.push(chunk),
            (Candidate::Asked, Some(worker), chunk) => {
                let _ = worker.send(Order::More { chunk, ended: piece.ends });
            }
            _ => {}
        }
        Ok(())
    }

    fn more_response(
        &mut self,
        budget: &Arc<Budget>,
        limits: &Limits,
        piece: Piece,
        worker: Option<&UnboundedSender<Order>>,
    ) -> Result<(), State> {
        if self.response.is_none() {
            self.response = Reading::response(budget, limits, &self.method);
        }
        let Some(response) = &mut self.response else { return Err(State::Memory) };
        match &piece.chunk {
            Some(chunk) => {
                let stuck = |stuck: Stuck| stuck.state(State::PrimaryUnparsed);
                response.push_chunk(piece.at, chunk).map_err(stuck)?;
            }
            None => response.finish(piece.at, Close::Fin),
        }
        if piece.ends {
            if !response.is_complete() {
                return Err(State::PrimaryUnparsed);
            }
            self.answered = Some(piece.at);
            if let Some(worker) = worker {
                let _ = worker.send(Order::Answered { length: response.length() });
            }
        }
        Ok(())
    }

    /// Both answers are known, or the candidate has none.
    fn judge(self, key: Key, client: SocketAddr, verdicts: &mut Verdicts) {
        let seen = Seen { connection: key.0, stream: key.1, ..Seen::default() };
        let request = self.request.into_request(Seen { from: Some(client), ..seen.clone() });
        let response = self.response.and_then(|r| r.into_response(Seen { to: Some(client), ..seen }));
        let (Some((request, request_room)), Some((response, response_room))) = (request, response) else {
            if let Some(ticket) = self.ticket {
                ticket.end(State::PrimaryUnparsed);
            }
            return;
        };
        let candidate = match self.candidate {
            Candidate::Done(answer) => Some(*answer),
            _ => None,
        };
        let room = (request_room, response_room);
        verdicts.submit(Case { key, request, response, candidate, ticket: self.ticket, _room: room });
    }
}

#[cfg(test)]
mod tests;
