//! The gate's report: the verdict with its reasons, and what each phase found.

use crate::baseline::FINDINGS;
use crate::evidence::{Evidence, Outcome as CheckOutcome};
use crate::run::{Found, Options, weighty};
use crate::verdict::{self, Kind, Verdict};
use exchange::Time;
use report::{Check, Fault, Ledger, Level, Outcome, Reason, Report, Severity, Subject};
use serde_json::json;

/// Differences of the mirror that are listed; more are only counted.
const LISTED: usize = 500;

/// Judges the evidence and writes down why. `started` and `finished` are times of the run.
pub fn report(
    options: &Options,
    evidence: &Evidence,
    found: &Found,
    started: Time,
    finished: Time,
) -> Report {
    let (verdict, reasons) = verdict::judge(evidence);
    let title = format!("{} against {}", options.candidate.url, options.reference.url);
    let mut report = Report::new("gate", env!("CARGO_PKG_VERSION"), title, started, finished);
    report.outcome = match verdict {
        Verdict::Deploy => Outcome::Deploy,
        Verdict::DoNotDeploy => Outcome::DoNotDeploy,
        Verdict::CouldNotJudge => Outcome::CouldNotJudge,
    };
    report.subjects = vec![
        Subject::new("reference", &options.reference.url),
        Subject::new("candidate", &options.candidate.url),
    ];
    if let Some(diffs) = &found.mirror {
        let (primary, candidate) = (&diffs.header.primary, &diffs.header.candidate);
        let detail = format!("of {}, from {primary} to {candidate}", diffs.header.started);
        report
            .subjects
            .push(Subject { detail: Some(detail), ..Subject::new("mirror", options.mirror_name()) });
    }
    report.subjects.extend(options.captures.iter().map(|c| Subject::new("capture", c.display().to_string())));
    report.reasons = reasons.into_iter().map(|reason| told(reason, verdict)).collect();
    if verdict == Verdict::Deploy {
        report.reasons.insert(0, Reason::deciding(Fault::Nobody, nothing_found(evidence)));
    }
    if options.captures.is_empty() {
        report.notes.push("No capture was replayed: give recorded traffic with --capture FILE.".into());
    }
    suite(&mut report, evidence, found);
    replays(&mut report, found);
    mirror(&mut report, found);
    report.extra.insert(FINDINGS.into(), json!(findings(evidence)));
    report
}

fn told(reason: verdict::Reason, verdict: Verdict) -> Reason {
    // What would have decided, had nothing weightier been found, is still a warning.
    let decides = match verdict {
        Verdict::DoNotDeploy => reason.kind == Kind::Against,
        Verdict::CouldNotJudge => matches!(reason.kind, Kind::Unsound | Kind::TooLittle),
        Verdict::Deploy => false,
    };
    let fault = match reason.kind {
        Kind::Unsound => Fault::Harness,
        Kind::Against => Fault::Candidate,
        Kind::TooLittle => Fault::Input,
        Kind::Remark => Fault::Nobody,
    };
    let severity = match (decides, reason.kind) {
        (true, _) => Severity::Deciding,
        (false, Kind::Remark) => Severity::Note,
        (false, _) => Severity::Warning,
    };
    let told = Reason { severity, checks: reason.checks, ..Reason::deciding(fault, reason.text) };
    match reason.kind {
        Kind::TooLittle if told.text.contains("area purge") => {
            told.next("say how each build is purged, with a profile; --help tells which flag takes it")
        }
        _ => told,
    }
}

fn nothing_found(evidence: &Evidence) -> String {
    let musts = evidence.suite.iter().flat_map(|s| &s.checks).filter(|c| c.must);
    let passed = musts.filter(|c| c.candidate == CheckOutcome::Pass).count();
    let replayed: u64 = evidence.replays.iter().map(|r| r.compared).sum();
    let mut text = format!("the candidate passes {passed} checks of level MUST");
    if !evidence.replays.is_empty() {
        text += &format!(", answers {replayed} recorded requests as the reference does");
    }
    if let Some(mirror) = &evidence.mirror {
        text += &format!(", and {} mirrored ones", mirror.compared);
    }
    text
}

/// Everything that would count as found in a later run with this one as baseline.
fn findings(evidence: &Evidence) -> Vec<&str> {
    let checks = evidence.suite.iter().flat_map(|s| &s.checks);
    let failed = checks.filter(|c| c.must && c.candidate == CheckOutcome::Fail).map(|c| &*c.id);
    let replays = evidence.replays.iter().flat_map(|r| &r.differences);
    let mirror = evidence.mirror.iter().flat_map(|m| &m.differences);
    let differences = replays.chain(mirror).filter(|d| d.stable && !d.waived).map(|d| &*d.fingerprint);
    let mut all: Vec<&str> = failed.chain(differences).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn suite(report: &mut Report, evidence: &Evidence, found: &Found) {
    let (Some([_, candidate]), Some(suite)) = (&found.suite, &evidence.suite) else { return };
    for (judged, beside) in candidate.checks.iter().zip(&suite.checks) {
        let mut check = conformance::report::check(judged, None);
        check.area = format!("suite: {}", check.area);
        let reference = match &beside.reference {
            CheckOutcome::Pass => "pass",
            CheckOutcome::Fail => "fail",
            CheckOutcome::NotJudged(_) => "not-judged",
        };
        check.extra.insert("reference".into(), json!(reference));
        if beside.candidate == CheckOutcome::Fail {
            let so = match &beside.reference {
                CheckOutcome::Pass => "the reference passes",
                CheckOutcome::Fail => "the reference fails too",
                CheckOutcome::NotJudged(_) => "it could not be judged on the reference",
            };
            check.reason = check.reason.map(|why| format!("{why} ({so})"));
        }
        report.checks.push(check);
    }
    let count = |outcome: fn(&CheckOutcome) -> bool| {
        suite.checks.iter().filter(|c| outcome(&c.candidate)).count() as u64
    };
    report.ledgers.push(
        Ledger::new("checks on the candidate", suite.checks.len() as u64)
            .with("passed", count(|o| *o == CheckOutcome::Pass))
            .with("failed", count(|o| *o == CheckOutcome::Fail))
            .with("not judged", count(|o| matches!(o, CheckOutcome::NotJudged(_)))),
    );
}

fn replays(report: &mut Report, found: &Found) {
    for outcome in &found.replays {
        let title = &outcome.report.title;
        for check in &outcome.report.checks {
            let mut check = check.clone();
            check.id = format!("{title}: {}", check.id);
            check.area.clone_from(title);
            report.checks.push(check);
        }
        for ledger in &outcome.report.ledgers {
            report.ledgers.push(Ledger { name: format!("{title}: {}", ledger.name), ..ledger.clone() });
        }
        report.notes.extend(outcome.report.notes.iter().map(|note| format!("{title}: {note}")));
    }
}

fn mirror(report: &mut Report, found: &Found) {
    let Some(diffs) = &found.mirror else { return };
    for (one, stable) in diffs.differences.iter().zip(weighty(diffs)).take(LISTED) {
        let verdict = match (one.stands, stable) {
            (true, true) => report::Verdict::Fail,
            (true, false) => report::Verdict::NotJudged,
            (false, _) => report::Verdict::Waived,
        };
        let title = format!("{} {}", one.method, one.url);
        let because = match (one.differences.len(), stable) {
            (_, false) => {
                "without weight: the request was not asked again, or was once answered alike".to_owned()
            }
            (0, true) => format!("the candidate's answer broke off: {}", one.outcome.reason()),
            (1, true) => "1 difference".to_owned(),
            (n, true) => format!("{n} differences"),
        };
        let mut check =
            Check::new(format!("mirror: {}", one.id), "mirror", Level::Must, verdict, title).because(because);
        check.differences = one.differences.iter().map(|f| difference(&f.difference)).collect();
        report.checks.push(check);
    }
    if diffs.differences.len() > LISTED {
        report
            .notes
            .push(format!("mirror: {} further requests are not listed", diffs.differences.len() - LISTED));
    }
    if let Some(ledger) = &diffs.ledger {
        let mut shown = Ledger::new("mirror: requests", ledger.totals.requests);
        for (state, count) in ledger.totals.states.iter().filter(|(_, count)| **count > 0) {
            shown = shown.with(state.reason(), *count);
        }
        report.ledgers.push(shown);
    }
}

fn difference(d: &compare::Difference) -> report::Difference {
    report::Difference {
        path: d.path.clone(),
        class: d.class.name().to_owned(),
        rule: d.rule.to_string(),
        left: d.left.clone(),
        right: d.right.clone(),
        counts: d.stands(),
        explanation: d.explanation.clone(),
        diff: d.diff.clone(),
        waived: d.waived.as_ref().map(|w| format!("{} ({}, until {})", w.reason, w.owner, w.expires)),
    }
}
