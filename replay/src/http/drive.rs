//! Plays a plan against one build.

use super::judge::Build;
use super::message::{Outgoing, outgoing};
use super::plan::{Plan, Speed, Step};
use super::silence::{GIVEN_UP, Silence};
use super::target::Target;
use crate::extract::Recorded;
use endpoint::{Client, Reply, Settings};
use exchange::{Ending, Request, Version};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a client with `Expect: 100-continue` waits before it sends the body anyway, as curl does.
const EXPECT: Duration = Duration::from_secs(1);

/// After so many failures to connect, without ever a success, nobody is there.
const GIVE_UP: u32 = 3;

/// What a run against a build needs to know.
pub(super) struct Run {
    pub build: Build,
    pub recorded: Arc<Vec<Recorded>>,
    pub plan: Arc<Plan>,
    pub speed: Speed,
    pub target: Target,
    pub settings: Settings,
    /// Stands before each recorded path.
    pub prefix: String,
    /// Whether this transaction's request carries its number.
    pub marks: Arc<dyn Fn(usize) -> bool + Send + Sync>,
    /// Connections open at once.
    pub connections: usize,
    /// When the first request is due.
    pub start: Instant,
}

/// What became of one request.
#[derive(Debug)]
pub(super) struct Played {
    pub index: usize,
    pub result: Result<Box<Reply>, String>,
    /// When it was due, when it was sent, when its answer ended, counted from the start of the run.
    pub due: Duration,
    pub sent: Duration,
    pub ended: Duration,
}

/// State that all connections to one build share.
struct Shared {
    run: Run,
    results: mpsc::Sender<(Build, Played)>,
    permits: Arc<Semaphore>,
    /// Somebody waits for a permit: idle connections should be closed.
    pressure: Notify,
    order: Order,
    refused: AtomicU32,
    reached: AtomicBool,
    silence: Silence,
}

/// Plays all connections of the plan. Every step is sent to `results` exactly once.
pub(super) async fn play(run: Run, results: mpsc::Sender<(Build, Played)>) {
    let plan = Arc::clone(&run.plan);
    let shared = Arc::new(Shared {
        permits: Arc::new(Semaphore::new(run.connections.max(1))),
        pressure: Notify::new(),
        order: Order::new(&plan.by_end),
        refused: AtomicU32::new(0),
        reached: AtomicBool::new(false),
        silence: Silence::default(),
        results,
        run,
    });
    let mut tasks = JoinSet::new();
    for (number, steps) in plan.connections.iter().enumerate() {
        let Some(first) = steps.first() else { continue };
        // In the order of their first requests, so that what waits is here and not in as many tasks.
        tokio::select! {
            () = shared.wait_for(first) => {}
            _ = shared.silence.given_up() => {}
        }
        let lane = Lane { shared: Arc::clone(&shared), client: None, used: false, reported: 0 };
        let plan = Arc::clone(&plan);
        tasks.spawn(async move { lane.play(&plan.connections[number]).await });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

impl Shared {
    async fn wait_for(&self, step: &Step) {
        match self.run.speed {
            Speed::Factor(_) => tokio::time::sleep_until(self.run.start + step.due).await,
            Speed::Max => self.order.reached(step.after).await,
        }
    }

    fn since_start(&self) -> Duration {
        Instant::now().saturating_duration_since(self.run.start)
    }
}

/// One captured connection, played again.
struct Lane {
    shared: Arc<Shared>,
    client: Option<(Client, OwnedSemaphorePermit)>,
    /// Whether the present connection has carried an answer.
    used: bool,
    /// How many steps are done. They are reported in order.
    reported: usize,
}

/// Why a step failed.
struct Failure {
    why: String,
    /// It took all the time that a step is given.
    timed_out: bool,
}

impl From<endpoint::Error> for Failure {
    fn from(error: endpoint::Error) -> Self {
        Failure { why: error.to_string(), timed_out: matches!(error, endpoint::Error::Deadline { .. }) }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure { why, timed_out: false }
    }
}

impl From<&str> for Failure {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

/// A step under way.
struct Pending<'a> {
    step: &'a Step,
    request: &'a Request,
    due: Duration,
    sent: Duration,
}

/// What happens next on a connection.
enum Event<'a> {
    Due(&'a Step),
    Answered(Box<Result<Reply, endpoint::Error>>),
}

impl Lane {
    /// Plays all steps, or until the build is given up: what is left then fails at once.
    async fn play(mut self, steps: &[Step]) {
        let shared = Arc::clone(&self.shared);
        let why = tokio::select! {
            biased;
            why = shared.silence.given_up() => why,
            () = self.play_groups(steps) => return,
        };
        self.disconnect();
        let now = shared.since_start();
        for step in &steps[self.reported..] {
            self.report(step, now, now, Err(why.clone())).await;
        }
    }

    async fn play_groups(&mut self, steps: &[Step]) {
        for group in steps.chunk_by(|_, next| next.pipelined) {
            if let Some(first) = group.first() {
                self.wait(first).await;
            }
            self.play_group(group).await;
        }
    }

    /// Waits until a step is due; gives an idle connection up where others need its place.
    async fn wait(&mut self, step: &Step) {
        let shared = Arc::clone(&self.shared);
        let due = shared.wait_for(step);
        if self.client.is_none() {
            return due.await;
        }
        tokio::pin!(due);
        let pressure = shared.pressure.notified();
        tokio::pin!(pressure);
        pressure.as_mut().enable();
        if shared.permits.available_permits() == 0 {
            tokio::select! {
                biased;
                () = &mut due => return,
                // Others may be waiting already; a moment's grace avoids needless reconnects.
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        } else {
            tokio::select! {
                biased;
                () = &mut due => return,
                () = &mut pressure => {}
            }
        }
        self.disconnect();
        due.await;
    }

    fn disconnect(&mut self) {
        self.client = None;
        self.used = false;
    }

    /// Plays requests that were pipelined, or a single one: each is sent when it is due, while answers are read.
    async fn play_group(&mut self, group: &[Step]) {
        let shared = Arc::clone(&self.shared);
        let recorded = Arc::clone(&shared.run.recorded);
        let mut waiting: VecDeque<&Step> = group.iter().collect();
        while !waiting.is_empty() {
            let was_used = self.used;
            let mut flying: VecDeque<Pending<'_>> = VecDeque::new();
            let mut answered = 0;
            let failure: Failure = match self.connect().await {
                Err(error) => error,
                Ok(()) => loop {
                    let next = waiting.get(flying.len()).copied();
                    let event = match (&mut self.client, next) {
                        (None, _) => break "the connection was closed before the answer".into(),
                        (Some((client, _)), Some(next)) if !flying.is_empty() => tokio::select! {
                            biased;
                            () = shared.wait_for(next) => Event::Due(next),
                            reply = client.response() => Event::Answered(Box::new(reply)),
                        },
                        (_, Some(next)) => {
                            shared.wait_for(next).await;
                            Event::Due(next)
                        }
                        (Some((client, _)), None) if !flying.is_empty() => {
                            Event::Answered(Box::new(client.response().await))
                        }
                        (_, None) => break "".into(),
                    };
                    match event {
                        Event::Due(step) => {
                            // Usable transactions have a request.
                            let Some(request) = recorded[step.index].request() else { break "".into() };
                            let sent = shared.since_start();
                            let due = if shared.run.speed == Speed::Max { sent } else { step.due };
                            flying.push_back(Pending { step, request, due, sent });
                            if let Err(error) = self.send(step, request).await {
                                break error;
                            }
                        }
                        Event::Answered(reply) => {
                            let reply = match *reply {
                                Ok(reply) => reply,
                                Err(error) => break error.into(),
                            };
                            shared.silence.answered();
                            let Some(pending) = flying.pop_front() else { break "".into() };
                            waiting.pop_front();
                            answered += 1;
                            self.used = true;
                            if !keeps_open(pending.request, &reply) {
                                self.disconnect();
                            }
                            self.report(pending.step, pending.due, pending.sent, Ok(Box::new(reply))).await;
                        }
                    }
                },
            };
            let Some(first) = waiting.front().copied() else { return };
            self.disconnect();
            // One that took all its time would take it again. A server may close a connection between two requests: what it has not answered is sent again, once,
            // where that does no harm (RFC 9112 section 9.3.1).
            let idle_close = was_used && recorded[first.index].request().is_some_and(is_idempotent);
            if !failure.timed_out && (answered > 0 || idle_close) {
                continue;
            }
            waiting.pop_front();
            let now = shared.since_start();
            let (due, sent) = flying.pop_front().map_or((now, now), |p| (p.due, p.sent));
            let now = shared.since_start();
            self.report(first, due, sent, Err(failure.why)).await;
            if failure.timed_out {
                shared.silence.timed_out(now.saturating_sub(shared.run.settings.deadline), now);
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        if self.client.is_some() {
            return Ok(());
        }
        let shared = &self.shared;
        let gave_up =
            !shared.reached.load(Ordering::Relaxed) && shared.refused.load(Ordering::Relaxed) >= GIVE_UP;
        if gave_up {
            let url = &shared.run.target.url;
            return Err(format!("{GIVEN_UP}cannot connect to {url}, {GIVE_UP} times").into());
        }
        let permit = match Arc::clone(&shared.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                shared.pressure.notify_waiters();
                Arc::clone(&shared.permits).acquire_owned().await.map_err(|e| e.to_string())?
            }
        };
        match Client::connect(shared.run.target.address, &shared.run.settings).await {
            Ok(client) => {
                shared.reached.store(true, Ordering::Relaxed);
                self.client = Some((client, permit));
                self.used = false;
                Ok(())
            }
            Err(error) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    async fn send(&mut self, step: &Step, request: &Request) -> Result<(), Failure> {
        let run = &self.shared.run;
        let mark = (run.marks)(step.index).then_some(step.index);
        let Outgoing { head, rest, expects } =
            outgoing(&run.recorded[step.index], request, &run.prefix, mark);
        let Some((client, _)) = &mut self.client else { return Err("not connected".into()) };
        if !expects {
            let whole = if rest.is_empty() { head } else { [head, rest].concat().into() };
            return Ok(client.send(whole).await?);
        }
        client.send(head).await?;
        match tokio::time::timeout(EXPECT, client.head()).await {
            // A final answer: the body is not wanted (RFC 9110 section 10.1.1).
            Ok(Ok(head)) if !head.is_interim() => Ok(()),
            Ok(Ok(_)) | Err(_) => Ok(client.send(rest).await?),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    async fn report(
        &mut self,
        step: &Step,
        due: Duration,
        sent: Duration,
        result: Result<Box<Reply>, String>,
    ) {
        let ended = self.shared.since_start();
        self.shared.order.ended(step.index);
        // Only a judge that has gone away does not listen.
        let played = Played { index: step.index, result, due, sent, ended };
        let _ = self.shared.results.send((self.shared.run.build, played)).await;
        self.reported += 1;
    }
}

/// Whether another request may follow on this connection (RFC 9112 section 9.3).
fn keeps_open(request: &Request, reply: &Reply) -> bool {
    let response = &reply.response;
    let says = |fields: &exchange::Fields, option: &str| {
        fields.members("connection").any(|m| m.eq_ignore_ascii_case(option.as_bytes()))
    };
    let by_version = match response.version {
        Version::Http11 if request.version == Version::Http11 => true,
        _ => says(&response.fields, "keep-alive"),
    };
    let refused_body =
        request.fields.contains("expect") && response.interim.is_empty() && !request.body.is_empty();
    by_version
        && !says(&response.fields, "close")
        && !says(&request.fields, "close")
        && response.body.ending == Ending::Complete
        && reply.notes.framing != Some(wire::Framing::UntilClose)
        && !refused_body
}

fn is_idempotent(request: &Request) -> bool {
    matches!(&request.method[..], b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// Which transactions have ended, in the order in which they did in the recording.
struct Order {
    state: Mutex<Ended>,
    prefix: watch::Sender<usize>,
}

struct Ended {
    rank: std::collections::HashMap<usize, usize>,
    done: Vec<bool>,
    prefix: usize,
}

impl Order {
    fn new(by_end: &[usize]) -> Self {
        let rank = by_end.iter().enumerate().map(|(rank, index)| (*index, rank)).collect();
        let state = Mutex::new(Ended { rank, done: vec![false; by_end.len()], prefix: 0 });
        Order { state, prefix: watch::Sender::new(0) }
    }

    fn ended(&self, index: usize) {
        // Each update is complete by itself, also where a task panicked in between.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rank) = state.rank.get(&index).copied() {
            state.done[rank] = true;
        }
        while state.done.get(state.prefix).is_some_and(|done| *done) {
            state.prefix += 1;
        }
        self.prefix.send_replace(state.prefix);
    }

    /// Waits until the first `count` have ended.
    async fn reached(&self, count: usize) {
        // The sender lives as long as this.
        let _ = self.prefix.subscribe().wait_for(|prefix| *prefix >= count).await;
    }
}
