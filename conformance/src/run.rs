//! A run of the suite.

use crate::bench::{Candidate, Sighting, Stage, Trial};
use crate::check::{Check, Level, Stop};
use crate::preflight::{self, Preflight};
use crate::profile::Profile;
use crate::{checks, glob};
use endpoint::Origin;
use exchange::Time;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub candidate: Candidate,
    /// Where the candidate reaches the origin, for messages: `host:port`.
    pub advertise: String,
    /// Patterns of ids; empty for all checks.
    pub only: Vec<String>,
    pub profile: Option<Profile>,
    /// Part of every path, so that nothing stored by an earlier run answers. Letters and digits.
    pub nonce: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    NotJudged,
}

/// In which way a check failed, or why it was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The requirement is broken.
    Broken,
    /// The candidate closed or reset a connection instead of answering, or takes none: it may have crashed.
    Dropped,
    /// The candidate fell silent.
    Hung,
    /// There was nothing to judge.
    Nothing,
    /// A check it rests on failed.
    Prerequisite,
    /// We failed.
    Harness,
}

/// One check with its verdict.
#[derive(Clone, Debug)]
pub struct Judged {
    pub check: &'static Check,
    pub verdict: Verdict,
    /// `None` for a pass.
    pub kind: Option<Kind>,
    /// Why it is no pass.
    pub reason: Option<String>,
    pub sightings: Vec<Sighting>,
    pub started: Time,
    pub took: Duration,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    pub candidate: Candidate,
    pub nonce: String,
    pub started: Time,
    pub finished: Time,
    pub preflight: Preflight,
    pub profile: Option<String>,
    /// In the order of [`checks::all`].
    pub checks: Vec<Judged>,
    /// Whether the candidate still took connections at the end.
    pub alive: bool,
}

impl Run {
    /// Checks of this level that failed.
    pub fn failed(&self, level: Level) -> impl Iterator<Item = &Judged> {
        self.checks.iter().filter(move |j| j.verdict == Verdict::Fail && j.check.level == level)
    }

    /// Checks that were not judged because we failed.
    pub fn harness_faults(&self) -> impl Iterator<Item = &Judged> {
        self.checks.iter().filter(|j| j.kind == Some(Kind::Harness))
    }
}

/// Why nothing could be judged at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotJudge {
    /// Between whom it failed.
    pub hop: String,
    pub what: String,
    /// What to do about it.
    pub next: String,
}

impl fmt::Display for CannotJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not judge ({}): {}\n{}", self.hop, self.what, self.next)
    }
}

impl std::error::Error for CannotJudge {}

/// Runs the checks that `options` selects, all at once, with those they rest on.
///
/// # Errors
/// The preflight failed, or nothing was selected.
pub async fn run(options: &Options, origin: &Origin) -> Result<Run, CannotJudge> {
    let selected = select(&options.only)?;
    let purger = options.profile.as_ref().and_then(|profile| profile.purger.clone());
    let stage = Stage::new(options.candidate.clone(), origin.clone(), options.nonce.clone(), purger);
    let started = stage.clock().now();
    let (stage, preflight) = preflight::fly(stage, &options.advertise).await?;
    let stage = Arc::new(stage);

    let mut tasks = JoinSet::new();
    // Those that depend on short lifetimes go first and are never held up: the others wait for a place.
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut order: Vec<(usize, &'static Check)> = selected.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, check)| !is_timed(check));
    for (index, check) in order {
        let (stage, places) = (stage.clone(), places.clone());
        tasks.spawn(async move {
            // The semaphore is never closed; without a place the check would only run earlier.
            let _place = if is_timed(check) { None } else { places.acquire().await.ok() };
            (index, judge(stage, check).await)
        });
    }
    let mut judged: Vec<Option<Judged>> = vec![None; selected.len()];
    while let Some(done) = tasks.join_next().await {
        if let Ok((index, one)) = done {
            judged[index] = Some(one);
        }
    }
    let now = stage.clock().now();
    let mut judged: Vec<Judged> = judged
        .into_iter()
        .zip(&selected)
        .map(|(one, check)| one.unwrap_or_else(|| lost(check, now)))
        .collect();
    apply_prerequisites(&mut judged);
    let alive = stage.connect().await.is_ok();
    Ok(Run {
        candidate: stage.candidate.clone(),
        nonce: stage.nonce.clone(),
        started,
        finished: stage.clock().now(),
        preflight,
        profile: options.profile.as_ref().map(|profile| profile.name.clone()),
        checks: judged,
        alive,
    })
}

/// The checks that match a pattern, and those they rest on.
fn select(only: &[String]) -> Result<Vec<&'static Check>, CannotJudge> {
    let mut wanted: Vec<&'static str> = Vec::new();
    let mut waiting: Vec<&'static Check> = checks::all()
        .filter(|check| only.is_empty() || only.iter().any(|pattern| glob::matches(pattern, check.id)))
        .collect();
    if waiting.is_empty() {
        return Err(CannotJudge {
            hop: "input".into(),
            what: format!("--only {} matches no check", only.join(" ")),
            next: "`conformance list` shows the ids; a pattern such as 'framing/*' takes a whole area".into(),
        });
    }
    while let Some(check) = waiting.pop() {
        if !wanted.contains(&check.id) {
            wanted.push(check.id);
            waiting.extend(check.depends_on.iter().filter_map(|id| checks::find(id)));
        }
    }
    Ok(checks::all().filter(|check| wanted.contains(&check.id)).collect())
}

/// Checks at work at once, beside those that mostly wait.
const AT_ONCE: usize = 24;

/// Whether a check lets a short lifetime pass.
fn is_timed(check: &Check) -> bool {
    const STALE: &str = "freshness/max-age-elapses";
    check.id == STALE || check.id == "freshness/age-counts" || check.depends_on.contains(&STALE)
}

/// Longest time for one check. Each of its waits is shorter; this holds if one is repeated without end.
const LONGEST: Duration = Duration::from_secs(30);
/// A standstill of this machine above which what depends on time is not judged.
const STANDSTILL: Duration = Duration::from_millis(800);

async fn judge(stage: Arc<Stage>, check: &'static Check) -> Judged {
    let trial = Trial::new(stage.clone(), check.id);
    let outcome = match tokio::time::timeout(LONGEST, (check.judge)(trial.clone())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Stop::Harness(format!("the check took more than {} s", LONGEST.as_secs()))),
    };
    let standstill = stage.pulse.longest_since(trial.started());
    let depends_on_time = trial.is_timed() || matches!(outcome, Err(Stop::Hung(_)));
    let outcome = match outcome {
        Err(stop @ (Stop::Broken(_) | Stop::Hung(_))) if depends_on_time && standstill >= STANDSTILL => {
            Err(Stop::Harness(format!(
                "this machine stood still for {} ms meanwhile, so that this proves nothing: {}",
                standstill.as_millis(),
                stop.text()
            )))
        }
        outcome => outcome,
    };
    let (verdict, kind, reason) = match outcome {
        Ok(()) => (Verdict::Pass, None, None),
        Err(stop) => {
            let (verdict, kind) = match stop {
                Stop::Broken(_) => (Verdict::Fail, Kind::Broken),
                Stop::Dropped(_) => (Verdict::Fail, Kind::Dropped),
                Stop::Hung(_) => (Verdict::Fail, Kind::Hung),
                Stop::Nothing(_) => (Verdict::NotJudged, Kind::Nothing),
                Stop::Harness(_) => (Verdict::NotJudged, Kind::Harness),
            };
            (verdict, Some(kind), Some(stop.text().to_owned()))
        }
    };
    let took = stage.clock().now().since(trial.started());
    Judged { check, verdict, kind, reason, sightings: trial.sightings(), started: trial.started(), took }
}

/// A check whose task ended without a verdict.
fn lost(check: &'static Check, now: Time) -> Judged {
    Judged {
        check,
        verdict: Verdict::NotJudged,
        kind: Some(Kind::Harness),
        reason: Some("the check itself failed; this is a defect of the suite".into()),
        sightings: Vec::new(),
        started: now,
        took: Duration::ZERO,
    }
}

/// What rests on a failed check is not judged; a failure of its own would only repeat the first.
fn apply_prerequisites(judged: &mut [Judged]) {
    let failed: HashMap<&str, bool> =
        judged.iter().map(|j| (j.check.id, j.verdict == Verdict::Fail)).collect();
    for one in judged.iter_mut() {
        let broken = one.check.depends_on.iter().find(|id| failed.get(*id) == Some(&true));
        if let Some(id) = broken {
            one.verdict = Verdict::NotJudged;
            one.kind = Some(Kind::Prerequisite);
            one.reason = Some(format!("it rests on {id}, which failed"));
        }
    }
}
