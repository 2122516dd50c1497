//! A run as a report.

use crate::baseline::Baseline;
use crate::bench::{Seen, Sighting};
use crate::check::Level;
use crate::preflight::Stores;
use crate::run::{CannotJudge, Judged, Kind, Run, Verdict};
use exchange::{Secrets, Time};
use report::{Evidence, Fault, Outcome, Reason, Report, Subject};
use serde_json::json;

const TOOL: &str = "conformance";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Blocks of evidence kept for one check.
const BLOCKS: usize = 60;

/// The report of a run: what failed decides, and with a baseline only what is new.
pub fn of_run(run: &Run, baseline: Option<&Baseline>) -> Report {
    let title = format!("checks of {}", run.candidate.url);
    let mut report = Report::new(TOOL, VERSION, title, run.started, run.finished);
    report.subjects.push(Subject::new("candidate", &run.candidate.url));
    report.checks = run.checks.iter().map(|judged| check(judged, baseline)).collect();
    report.notes = notes(run);
    report.extra.insert("preflight".into(), json!(run.preflight));
    report.extra.insert("summary".into(), summary(run));
    report.extra.insert("nonce".into(), json!(run.nonce));
    if let Some(baseline) = baseline {
        report.subjects.push(Subject::new("baseline", &baseline.name));
    }
    (report.outcome, report.reasons) = verdict(run, baseline);
    report
}

/// The report of a run that never came to judge.
pub fn of_failure(url: &str, failure: &CannotJudge, started: Time, finished: Time) -> Report {
    let mut report = Report::new(TOOL, VERSION, format!("checks of {url}"), started, finished);
    report.subjects.push(Subject::new("candidate", url));
    let text = format!("{}: {}", failure.hop, failure.what);
    report.reasons.push(Reason::deciding(Fault::Harness, text).next(&failure.next));
    report.extra.insert(
        "preflight".into(),
        json!({"failed": failure.hop, "what": failure.what, "next": failure.next}),
    );
    report
}

/// One check as reports show it. Public for tools that put the suite's results beside others.
pub fn check(judged: &Judged, baseline: Option<&Baseline>) -> report::Check {
    let about = judged.check;
    let verdict = match judged.verdict {
        Verdict::Pass => report::Verdict::Pass,
        Verdict::Fail => report::Verdict::Fail,
        Verdict::NotJudged => report::Verdict::NotJudged,
    };
    let mut check = report::Check::new(about.id, about.area.name(), level(about.level), verdict, about.rule);
    check.reason.clone_from(&judged.reason);
    check.explanation = Some(about.reason.to_owned());
    check.cites = Some(about.cite.to_owned());
    check.milliseconds = u64::try_from(judged.took.as_millis()).ok();
    let blocks = judged.sightings.iter().map(|sighting| evidence(sighting, judged.started));
    check.evidence = blocks.take(BLOCKS).collect();
    if let Some(kind) = judged.kind {
        check.extra.insert("kind".into(), json!(kind));
    }
    if let Some(baseline) = baseline.filter(|_| judged.verdict == Verdict::Fail) {
        check.extra.insert("new".into(), json!(baseline.is_new(judged)));
    }
    check
}

fn level(level: Level) -> report::Level {
    match level {
        Level::Must => report::Level::Must,
        Level::Should => report::Level::Should,
        Level::May => report::Level::May,
        Level::Behaviour => report::Level::Behaviour,
    }
}

fn evidence(sighting: &Sighting, started: Time) -> Evidence {
    let label = format!("{} (+{} ms)", sighting.way(), sighting.time.since(started).as_millis());
    match &sighting.seen {
        Seen::Request(request) => Evidence::request(label, request, &Secrets::Shown),
        Seen::Response(response) if response.status == 0 => {
            let bytes = response.body.bytes.as_deref().unwrap_or_default();
            let none = bytes.is_empty();
            Evidence::text(
                label,
                if none { "(closes without a byte)".into() } else { lines(&exchange::escape(bytes)) },
            )
        }
        Seen::Response(response) => Evidence::response(label, response, &Secrets::Shown),
        Seen::Bytes(text) => Evidence::text(label, lines(text)),
        Seen::Event(text) => Evidence::text(label, text.clone()),
    }
}

/// Counts by level and verdict.
fn summary(run: &Run) -> serde_json::Value {
    let levels = [Level::Must, Level::Should, Level::May, Level::Behaviour].map(|level| {
        let count = |verdict| {
            run.checks.iter().filter(|j| j.check.level == level && j.verdict == verdict).count()
        };
        let counts = json!({
            "pass": count(Verdict::Pass), "fail": count(Verdict::Fail), "not-judged": count(Verdict::NotJudged),
        });
        (level.to_string(), counts)
    });
    serde_json::Value::Object(levels.into_iter().collect())
}

/// What the reader should know beside the verdicts.
fn notes(run: &Run) -> Vec<String> {
    let preflight = &run.preflight;
    let mut notes = Vec::new();
    match preflight.stores {
        Stores::Several => notes.push(format!(
            "Several caches seem to share the candidate's address ({}: h from a store, m from the origin): checks that need \
             a stored response may come out differently each time.",
            preflight.pattern
        )),
        Stores::Forgetful => notes.push(format!(
            "The candidate reuses a fresh response and soon asks for it anew, time and again ({}: h from a store, m from \
             the origin), as if its store were too small: checks that need a stored response may come out differently each \
             time.",
            preflight.pattern
        )),
        Stores::None => notes.push(
            "The candidate reused nothing that may be reused: checks that need a stored response are not judged.".into(),
        ),
        Stores::One => {}
    }
    if let Some(ahead) = preflight.clock_ahead.filter(|ahead| *ahead != 0) {
        notes.push(format!(
            "The candidate's clock differs from this machine's by {ahead} s (ahead is positive)."
        ));
    }
    for (names, what) in [
        (&preflight.request_removed, "Removed or changed on the way to the origin"),
        (&preflight.request_added, "Added on the way to the origin"),
        (&preflight.response_removed, "Removed or changed on the way to the client"),
        (&preflight.response_added, "Added on the way to the client"),
    ] {
        if !names.is_empty() {
            notes.push(format!("{what}: {}.", names.join(", ")));
        }
    }
    if let Some(base) = &preflight.base {
        notes.push(format!("The candidate maps paths: {base}."));
    }
    if !run.alive {
        notes.push("At the end the candidate took no connections any more.".into());
    }
    notes
}

fn verdict(run: &Run, baseline: Option<&Baseline>) -> (Outcome, Vec<Reason>) {
    let mut reasons = Vec::new();
    let failed: Vec<&Judged> = run.checks.iter().filter(|j| j.verdict == Verdict::Fail).collect();
    let deciding: Vec<&Judged> = failed
        .iter()
        .copied()
        .filter(|j| match baseline {
            Some(baseline) => baseline.is_new(j),
            None => j.check.level == Level::Must,
        })
        .collect();
    for (kind, what) in [
        (Kind::Dropped, "dropped the connection or took none"),
        (Kind::Hung, "fell silent"),
        (Kind::Broken, "broke a requirement"),
    ] {
        let ids: Vec<&str> = deciding.iter().filter(|j| j.kind == Some(kind)).map(|j| j.check.id).collect();
        if ids.is_empty() {
            continue;
        }
        let new = if baseline.is_some() { ", which the baseline did not" } else { "" };
        let text = format!("the candidate {what} in {}{new}: {}", checks(ids.len()), ids.join(", "));
        let explain = format!("`conformance explain {}` says what is required and why", ids[0]);
        reasons.push(Reason::deciding(Fault::Candidate, text).resting_on(ids).next(explain));
    }
    let faults: Vec<&Judged> = run.harness_faults().filter(|j| j.check.level == Level::Must).collect();
    if !faults.is_empty() {
        let ids: Vec<&str> = faults.iter().map(|j| j.check.id).collect();
        let first = faults[0].reason.as_deref().unwrap_or_default();
        let text = format!(
            "{} could not be judged through our fault: {} ({first})",
            checks(ids.len()),
            ids.join(", ")
        );
        let reason = if deciding.is_empty() {
            Reason::deciding(Fault::Harness, text)
        } else {
            Reason::warning(Fault::Harness, text)
        };
        reasons.push(reason.resting_on(ids).next("try again on a machine with less to do"));
    }
    let others: Vec<&str> = failed
        .iter()
        .filter(|j| !deciding.iter().any(|d| d.check.id == j.check.id))
        .filter(|j| j.check.level <= Level::Should)
        .map(|j| j.check.id)
        .collect();
    if !others.is_empty() {
        let text = match baseline {
            Some(_) => format!("{} failed as in the baseline: {}", checks(others.len()), others.join(", ")),
            None => format!("{} of level SHOULD failed: {}", checks(others.len()), others.join(", ")),
        };
        reasons.push(Reason::warning(Fault::Candidate, text).resting_on(others));
    }
    if let Some(baseline) = baseline {
        let mended = baseline.mended(run);
        if !mended.is_empty() {
            let text = format!(
                "{} failed in the baseline and passed now: {}",
                checks(mended.len()),
                mended.join(", ")
            );
            reasons.push(Reason {
                severity: report::Severity::Note,
                ..Reason::warning(Fault::Nobody, text).resting_on(mended)
            });
        }
    }
    let outcome = if !deciding.is_empty() {
        Outcome::Fail
    } else if !faults.is_empty() {
        Outcome::CouldNotJudge
    } else {
        let judged = run.checks.iter().filter(|j| j.verdict != Verdict::NotJudged).count();
        let text = match baseline {
            Some(_) => format!("no check of {judged} that were judged fails anew"),
            None => format!("no MUST fails; {} of {} were judged", judged, checks(run.checks.len())),
        };
        reasons.insert(0, Reason::deciding(Fault::Nobody, text));
        Outcome::Pass
    };
    (outcome, reasons)
}

fn checks(count: usize) -> String {
    if count == 1 { "1 check".to_owned() } else { format!("{count} checks") }
}

/// Escaped bytes with their line ends as line ends.
fn lines(escaped: &str) -> String {
    escaped.replace("\\x0d\\x0a", "\n")
}
