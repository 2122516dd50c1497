//! Replays a capture through a reference and a candidate at once, and compares what they answer.
//!
//! Requests are due by an absolute schedule: start + (recorded time − first recorded time) / speed; a late one does
//! not delay those after it. Each captured connection gets one connection to each build, with its order and
//! pipelining; one that the server closes is opened again. Both builds are driven at the same time by the same schedule.

mod distribution;
mod drive;
mod glob;
mod judge;
mod message;
mod outcome;
mod plan;
mod report;
mod silence;
mod target;

pub use distribution::Distribution;
pub use glob::Glob;
pub use outcome::{Finding, FindingKind, Judged, Outcome, State, Timing, Totals};
pub use plan::{NotSent, Plan, Speed, Step};
pub use target::{Target, TargetError};

use crate::extract::{self, Recorded, Summary};
use crate::world::World;
use capture::{OpenError, Record, Recorder, Writer};
use compare::Waivers;
use endpoint::Clock;
use exchange::Time;
use judge::{Build, Judge, Pass};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Share of the replayed transactions that must be judged for a verdict.
pub const NEEDED: f64 = 0.95;

/// Bytes of each body that are kept in memory; longer ones are compared by length and digest.
const KEEP_BODY: usize = 1 << 20;

/// Bytes of answers that may wait to be recorded.
const RECORDING: usize = 64 << 20;

/// What to replay, where, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the build that is known to be good.
    pub reference: String,
    /// URL of the build under test.
    pub candidate: String,
    pub speed: Speed,
    /// How long a step may take in all: connecting, sending a request, reading its whole answer. A build is given up
    /// after 3 time-outs one after another without an answer in between, and after 20 in all.
    pub timeout: Duration,
    /// Connections open at once to each build. Default 1000.
    pub connections: usize,
    pub waivers: Waivers,
    /// Keep both builds' answers in this native capture.
    pub record: Option<PathBuf>,
    /// Stands before each recorded path; later passes put `~2`, `~3`, … after it.
    pub prefix: String,
    /// Only transactions that one of these fits; all where there are none.
    pub only: Vec<Glob>,
    /// How often to replay again where something differs, to see what is stable.
    pub confirm: u32,
    /// Send the transaction's number with requests for URLs that have several recorded answers.
    pub mark: bool,
    pub compare: compare::Settings,
}

impl Options {
    /// The defaults: recorded pace, 30 s, 1000 connections, one pass.
    pub fn new(reference: impl Into<String>, candidate: impl Into<String>) -> Self {
        Options {
            reference: reference.into(),
            candidate: candidate.into(),
            speed: Speed::Factor(1.0),
            timeout: Duration::from_secs(30),
            connections: 1000,
            waivers: Waivers::default(),
            record: None,
            prefix: String::new(),
            only: Vec::new(),
            confirm: 0,
            mark: false,
            compare: compare::Settings::default(),
        }
    }
}

/// A capture to replay.
#[derive(Clone, Debug)]
pub struct Capture {
    /// As reports name it.
    pub name: String,
    pub path: PathBuf,
    pub recorded: Arc<Vec<Recorded>>,
    pub summary: Summary,
}

impl Capture {
    /// Reads a capture.
    ///
    /// # Errors
    /// Where it cannot be opened or is none.
    pub fn load(path: &Path) -> Result<Self, OpenError> {
        // Whole requests are needed to send them again.
        let options = extract::Options { keep_body: usize::MAX };
        let (recorded, summary) = extract::load(path, &options)?;
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Ok(Capture { name, path: path.to_owned(), recorded: Arc::new(recorded), summary })
    }
}

/// Why nothing could be replayed.
#[derive(Debug, Error)]
pub enum Error {
    #[error("the reference: {0}")]
    Reference(TargetError),
    #[error("the candidate: {0}")]
    Candidate(TargetError),
    #[error(
        "reference and candidate are the same address, {address} ({reference} and {candidate}): a build always agrees \
         with itself; give --candidate the address of the build under test"
    )]
    SameAddress { address: SocketAddr, reference: String, candidate: String },
    #[error("cannot record to {}: {source}", path.display())]
    Record { path: PathBuf, source: std::io::Error },
    #[error("{prefix:?} cannot stand before a path: give something like /run-1, without a slash at its end")]
    Prefix { prefix: String },
}

/// Replays a capture. `progress` is told how many answers of how many have come; `clock` is read for the times of
/// the report and of messages.
///
/// # Errors
/// Where nothing could be sent at all, or both builds are one. A build that does not answer is no error but a finding.
pub async fn run(
    capture: &Capture,
    options: &Options,
    clock: &Clock,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Outcome, Error> {
    let started = clock.now();
    check_prefix(&options.prefix)?;
    let reference = Target::resolve(&options.reference).await.map_err(Error::Reference)?;
    let candidate = Target::resolve(&options.candidate).await.map_err(Error::Candidate)?;
    if reference.reached_at() == candidate.reached_at() {
        let address = candidate.reached_at();
        return Err(Error::SameAddress { address, reference: reference.url, candidate: candidate.url });
    }
    let mut recorder = match &options.record {
        Some(path) => Some(recorder(path, capture, started)?),
        None => None,
    };
    let runner = Runner::new(capture, options, clock, vec![reference, candidate], started);

    let first = runner.pass(1, recorder.as_mut(), progress).await;
    let mut findings: Vec<Finding> = first.judged.iter().flat_map(outcome::findings).collect();
    let mut passes = 1;
    let mut later = Vec::new();
    // Where a build answered nothing, asking again costs the same time again and tells nothing.
    while passes <= options.confirm && first.totals.compared > 0 && findings.iter().any(Finding::decides) {
        passes += 1;
        let pass = runner.pass(passes, recorder.as_mut(), progress).await;
        later.push(pass.judged.iter().flat_map(outcome::findings).collect());
        outcome::confirm(&mut findings, &later);
    }
    let mut dropped = 0;
    if let Some(Recording { recorder, refused, path }) = recorder {
        dropped = refused;
        let finished = tokio::task::spawn_blocking(move || recorder.finish()).await;
        finished
            .unwrap_or_else(|e| Err(std::io::Error::other(e)))
            .map_err(|source| Error::Record { path, source })?;
    }
    let facts = report::Facts { capture, options, started, finished: clock.now(), passes, dropped };
    Ok(report::outcome(&facts, first, findings))
}

/// What became of the requests of [`drive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Driven {
    pub sent: u64,
    pub answered: u64,
}

/// Sends what the capture holds to the reference of `options` alone, and judges nothing: traffic for a mirror, or to
/// fill a cache. The candidate of `options`, and what only judging needs, is not looked at.
///
/// # Errors
/// Where nothing could be sent at all.
pub async fn drive(
    capture: &Capture,
    options: &Options,
    clock: &Clock,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Driven, Error> {
    check_prefix(&options.prefix)?;
    let target = Target::resolve(&options.reference).await.map_err(Error::Reference)?;
    let runner = Runner::new(capture, options, clock, vec![target], clock.now());
    let (sender, mut answers) = mpsc::channel(1024);
    let run = runner.against(Build::Reference, &runner.targets[0], 1, Instant::now());
    // Dropped with this future, as in a pass.
    let mut driver = JoinSet::new();
    driver.spawn(drive::play(run, sender));
    let mut driven = Driven::default();
    while let Some((_, played)) = answers.recv().await {
        driven.sent += 1;
        driven.answered += u64::from(played.result.is_ok());
        progress(driven.sent, runner.plan.steps as u64);
    }
    Ok(driven)
}

struct Recording {
    recorder: Recorder<File>,
    refused: u64,
    path: PathBuf,
}

fn recorder(path: &Path, capture: &Capture, now: Time) -> Result<Recording, Error> {
    let error = |source| Error::Record { path: path.to_owned(), source };
    // It holds the secrets of those who were recorded: nobody else may read it.
    let mut create = File::options();
    create.write(true).create(true).truncate(true).mode(0o600);
    let mut writer = Writer::new(create.open(path).map_err(error)?).map_err(error)?;
    let about = capture::About {
        tool: "replay".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        source: capture.name.clone(),
        created: Some(now),
        ..capture::About::default()
    };
    writer.write(&Record::About(about)).map_err(error)?;
    let recorder = Recorder::start(writer, RECORDING).map_err(error)?;
    Ok(Recording { recorder, refused: 0, path: path.to_owned() })
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
    let fits =
        prefix.is_empty() || prefix.starts_with('/') && !prefix.ends_with('/') && prefix.bytes().all(plain);
    if fits { Ok(()) } else { Err(Error::Prefix { prefix: prefix.to_owned() }) }
}

struct Runner<'a> {
    capture: &'a Capture,
    options: &'a Options,
    clock: &'a Clock,
    plan: Arc<Plan>,
    world: Arc<World>,
    /// Reference and candidate; only the first where one build is driven.
    targets: Vec<Target>,
    now: Time,
}

impl<'a> Runner<'a> {
    fn new(
        capture: &'a Capture,
        options: &'a Options,
        clock: &'a Clock,
        targets: Vec<Target>,
        now: Time,
    ) -> Self {
        let wanted = |recorded: &Recorded| {
            options.only.is_empty() || {
                let name = recorded.transaction.name();
                options.only.iter().any(|glob| glob.fits(&name))
            }
        };
        let plan = Arc::new(Plan::new(&capture.recorded, options.speed, !options.prefix.is_empty(), wanted));
        let world = Arc::new(if options.mark { World::of(&*capture.recorded) } else { World::default() });
        Runner { capture, options, clock, plan, world, targets, now }
    }

    /// What driving one build takes, in a given pass.
    fn against(&self, build: Build, target: &Target, pass: u32, start: Instant) -> drive::Run {
        let options = self.options;
        let limits = wire::Limits { keep_body: KEEP_BODY, ..wire::Limits::default() };
        let prefix = match pass {
            1 => options.prefix.clone(),
            _ if options.prefix.is_empty() => String::new(),
            _ => format!("{}~{pass}", options.prefix),
        };
        let world = Arc::clone(&self.world);
        drive::Run {
            build,
            recorded: Arc::clone(&self.capture.recorded),
            plan: Arc::clone(&self.plan),
            speed: options.speed,
            target: target.clone(),
            settings: endpoint::Settings {
                deadline: options.timeout,
                limits,
                keep_raw: 0,
                clock: self.clock.clone(),
                ..endpoint::Settings::default()
            },
            prefix,
            marks: Arc::new(move |index| world.needs_mark(index)),
            connections: options.connections,
            start,
        }
    }

    /// Replays the capture once through both builds.
    async fn pass(
        &self,
        number: u32,
        mut recording: Option<&mut Recording>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Pass {
        let options = self.options;
        let (sender, mut answers) = mpsc::channel(1024);
        let start = Instant::now() + Duration::from_millis(20);
        // Dropped with this future: nothing is sent any more once the run is given up.
        let mut drivers = JoinSet::new();
        for (build, target) in [Build::Reference, Build::Candidate].into_iter().zip(&self.targets) {
            let run = self.against(build, target, number, start);
            drivers.spawn(drive::play(run, sender.clone()));
        }
        drop(sender);
        let waivers = options.waivers.clone();
        let recorded = Arc::clone(&self.capture.recorded);
        let mut judge = Judge::new(recorded, &self.plan, options.compare.clone(), waivers, self.now);
        let (mut came, expected) = (0, 2 * self.plan.steps as u64);
        while let Some((build, played)) = answers.recv().await {
            came += 1;
            progress(came, expected);
            if let (Some(recording), Ok(reply)) = (&mut recording, &played.result) {
                let at = &self.targets[build as usize].url;
                let seen = judge::as_transaction(&self.capture.recorded[played.index], at, &reply.response);
                recording.refused +=
                    u64::from(recording.recorder.offer(Record::Transaction(Box::new(seen))).is_err());
            }
            judge.add(build, played);
        }
        judge.finish()
    }
}
