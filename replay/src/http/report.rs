//! The report of a replay.

use super::judge::{Answers, Pass};
use super::outcome::{Finding, FindingKind, Outcome, State, Totals};
use super::silence::GIVEN_UP;
use super::{Capture, NEEDED, Options};
use crate::counted::{counted, times};
use compare::Deviant;
use exchange::Time;
use report::{Check, Difference, Evidence, Fault, Level, Outcome as Verdict, Reason, Report, Subject};
use serde_json::json;
use std::collections::BTreeMap;

/// Most paths that a note names.
const PATHS: usize = 6;

/// Most transactions that are listed; more are only counted.
const LISTED: usize = 1000;

/// What a report needs to know beside what was found.
pub(super) struct Facts<'a> {
    pub capture: &'a Capture,
    pub options: &'a Options,
    pub started: Time,
    pub finished: Time,
    pub passes: u32,
    /// Answers that were not recorded, since writing was too slow.
    pub dropped: u64,
}

pub(super) fn outcome(facts: &Facts<'_>, pass: Pass, findings: Vec<Finding>) -> Outcome {
    let Pass { judged, evidence, totals, reference, candidate } = pass;
    let title = format!("replay of {}", facts.capture.name);
    let mut report = Report::new("replay", env!("CARGO_PKG_VERSION"), title, facts.started, facts.finished);
    report.subjects = vec![
        Subject::new("capture", facts.capture.path.display().to_string()),
        Subject::new("reference", &facts.options.reference),
        Subject::new("candidate", &facts.options.candidate),
    ];
    report.ledgers = vec![totals.ledger()];

    let unrecorded = unrecorded(&judged);
    let mut by_transaction: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    for finding in &findings {
        by_transaction.entry(finding.index).or_default().push(finding);
    }
    for one in &judged {
        let of_one = by_transaction.get(&one.index).map_or(&[][..], Vec::as_slice);
        if let Some(check) = check(facts, one, of_one, evidence.get(&one.index)) {
            report.checks.push(check);
        }
    }
    if report.checks.len() > LISTED {
        report.notes.push(format!(
            "{} not listed",
            counted(
                (report.checks.len() - LISTED) as u64,
                "further transaction is",
                "further transactions are"
            )
        ));
        // Those that decide are shown first.
        report.checks.sort_by_key(|check| check.verdict);
        report.checks.truncate(LISTED);
    }

    judge_run(&mut report, facts, &totals, (&judged, &findings), unrecorded);
    notes(&mut report, facts, &judged, &findings);
    report
        .notes
        .push(format!("reference: latency {}; sent late by {}", reference.latency, reference.lateness));
    report
        .notes
        .push(format!("candidate: latency {}; sent late by {}", candidate.latency, candidate.lateness));
    report.extra.insert("speed".into(), json!(facts.options.speed.to_string()));
    report.extra.insert("passes".into(), json!(facts.passes));
    report.extra.insert("totals".into(), json!(totals));
    report.extra.insert("timing_ns".into(), json!({ "reference": reference, "candidate": candidate }));
    Outcome { judged, findings, totals, passes: facts.passes, reference, candidate, report }
}

/// Transactions to which a build answered that the recorded world has no answer.
fn unrecorded(judged: &[super::Judged]) -> [u64; 2] {
    let mut counts = [0, 0];
    for one in judged {
        let State::Compared(three) = &one.state else { continue };
        // A status of the recorded world's own is always a difference to the recording.
        let told = |comparison: &compare::Comparison| {
            comparison.differences.iter().any(|d| {
                d.path == "status" && d.right.as_deref().is_some_and(|status| status.starts_with("599"))
            })
        };
        counts[0] += u64::from(told(&three.reference));
        counts[1] += u64::from(told(&three.candidate));
    }
    counts
}

fn judge_run(
    report: &mut Report,
    facts: &Facts<'_>,
    totals: &Totals,
    (judged, findings): (&[super::Judged], &[Finding]),
    unrecorded: [u64; 2],
) {
    let deciding: Vec<&Finding> = findings.iter().filter(|f| f.decides()).collect();
    let mut could_not = Vec::new();
    let balanced = report.ledgers.iter().all(report::Ledger::balances);
    if !balanced {
        could_not.push(Reason::deciding(Fault::Harness, "the ledger of transactions does not balance"));
    }
    if totals.sent() == 0 {
        let text = format!("nothing in {} can be replayed", facts.capture.name);
        let next = if facts.options.only.is_empty() {
            "see what it holds: replay inspect CAPTURE"
        } else {
            "see whether --only fits any of its URLs: replay inspect CAPTURE"
        };
        could_not.push(Reason::deciding(Fault::Input, text).next(next));
    } else if totals.failed_reference + totals.failed_both == totals.sent() {
        let why = first_failure(judged, |state| match state {
            State::FailedReference(why) | State::FailedBoth { reference: why, .. } => Some(why),
            _ => None,
        });
        let text = format!("the reference {} answered nothing{why}", facts.options.reference);
        could_not
            .push(Reason::deciding(Fault::Reference, text).next("see whether it runs and listens there"));
    } else if totals.failed_candidate + totals.failed_both == totals.sent() {
        let why = first_failure(judged, |state| match state {
            State::FailedCandidate(why) | State::FailedBoth { candidate: why, .. } => Some(why),
            _ => None,
        });
        let text = format!("the candidate {} answered nothing{why}", facts.options.candidate);
        could_not
            .push(Reason::deciding(Fault::Candidate, text).next("see whether it runs and listens there"));
    } else if totals.judged_share() < NEEDED {
        let text = format!(
            "only {:.1} % of the replayed transactions could be judged; {:.0} % are needed",
            100.0 * totals.judged_share(),
            100.0 * NEEDED
        );
        could_not.push(Reason::deciding(Fault::Reference, text).next("see why the reference failed"));
    }
    for (build, fault, count) in
        [("reference", Fault::Reference, unrecorded[0]), ("candidate", Fault::Candidate, unrecorded[1])]
    {
        if count > 0 {
            let text =
                format!("the {build} asked its origin {} for something that was not recorded", times(count));
            could_not.push(
                Reason::deciding(fault, text)
                    .next("the bodies of the 599 answers say what; see also replay origin --json"),
            );
        }
    }
    let differences = (!deciding.is_empty()).then(|| {
        let transactions: std::collections::BTreeSet<usize> = deciding.iter().map(|f| f.index).collect();
        let stable = if facts.passes > 1 { ", each time" } else { "" };
        let text = format!(
            "the candidate alone deviates in {} of {}{stable}",
            transactions.len(),
            counted(totals.sent(), "transaction", "transactions")
        );
        Reason::deciding(Fault::Candidate, text).resting_on(transactions.iter().take(LISTED).map(|i| id(*i)))
    });
    report.outcome = match (could_not.is_empty(), differences.is_some()) {
        (false, _) => Verdict::CouldNotJudge,
        (true, true) => Verdict::Differences,
        (true, false) => Verdict::Agree,
    };
    report.reasons = could_not;
    report.reasons.extend(differences);
    if report.outcome == Verdict::Agree {
        let text =
            format!("both builds answered {} alike", counted(totals.compared, "transaction", "transactions"));
        report
            .reasons
            .push(Reason { severity: report::Severity::Note, ..Reason::deciding(Fault::Nobody, text) });
    }
}

/// What the first request that failed in this way met, for the end of a sentence.
fn first_failure(judged: &[super::Judged], why: impl Fn(&State) -> Option<&String>) -> String {
    judged.iter().find_map(|one| why(&one.state)).map_or_else(String::new, |why| format!(": {why}"))
}

/// Notes on builds that were given up while others of their answers could be judged.
fn given_up(report: &mut Report, judged: &[super::Judged]) {
    let mut left: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for one in judged {
        let failed = match &one.state {
            State::FailedReference(reference) => [Some(("reference", reference)), None],
            State::FailedCandidate(candidate) => [None, Some(("candidate", candidate))],
            State::FailedBoth { reference, candidate } => {
                [Some(("reference", reference)), Some(("candidate", candidate))]
            }
            _ => continue,
        };
        for (build, why) in failed.into_iter().flatten().filter(|(_, why)| why.starts_with(GIVEN_UP)) {
            *left.entry((build, why)).or_default() += 1;
        }
    }
    for ((build, why), count) in left {
        report.notes.push(format!(
            "the {build} was {why}; {} without an answer for that",
            counted(count, "request is", "requests are")
        ));
    }
}

fn notes(report: &mut Report, facts: &Facts<'_>, judged: &[super::Judged], findings: &[Finding]) {
    let count = |fits: &dyn Fn(&Finding) -> bool| findings.iter().filter(|f| fits(f)).count() as u64;
    given_up(report, judged);
    let unstable = count(&|f| f.stands && f.stable == Some(false));
    if unstable > 0 {
        report.notes.push(format!(
            "{} not count: not seen again when replayed once more",
            counted(unstable, "difference does", "differences do")
        ));
    }
    let reference_alone = count(&|f| f.stands && f.deviant == Deviant::Reference);
    if reference_alone > 0 {
        report.notes.push(format!(
            "the reference alone deviates from the recording {}: perhaps the candidate mends it",
            times(reference_alone)
        ));
    }
    let alike = alike(judged);
    if !alike.is_empty() {
        let total = alike.len();
        let mut named: Vec<String> =
            alike.into_iter().take(PATHS).map(|(path, count)| format!("{path} ({})", times(count))).collect();
        if total > PATHS {
            named.push(format!("{} more", total - PATHS));
        }
        report.notes.push(format!("both builds differ alike from the recording: {}", named.join(", ")));
    }
    if let Some(error) = &facts.capture.summary.file_error {
        report.reasons.push(Reason::warning(Fault::Input, format!("{}: {error}", facts.capture.name)));
    }
    if facts.dropped > 0 {
        report.notes.push(format!(
            "{} could not be recorded: writing was too slow",
            counted(facts.dropped, "answer", "answers")
        ));
    }
    for (_, waiver) in facts.options.waivers.expired(facts.started) {
        report.notes.push(format!("the waiver of {} for {} has expired", waiver.owner, waiver.path));
    }
}

/// Paths at which both builds agree and differ from the recording, most frequent first; what every cache adds or
/// counts on is left out.
fn alike(judged: &[super::Judged]) -> Vec<(&str, u64)> {
    use compare::Class;
    const ADDED: [&str; 5] =
        ["fields.via", "fields.cache-status", "fields.x-cache", "fields.age", "fields.date"];
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in judged {
        let State::Compared(three) = &one.state else { continue };
        for deviation in three.deviations.iter().filter(|d| d.deviant == Deviant::BothBuilds) {
            let of_caches = matches!(
                deviation.class,
                Class::Freshness | Class::HopByHop | Class::CacheState | Class::Identity
            );
            if !of_caches && !ADDED.contains(&&*deviation.path) {
                *counts.entry(&deviation.path).or_default() += 1;
            }
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn id(index: usize) -> String {
    format!("transaction-{index}")
}

/// One transaction that is worth a line.
fn check(
    facts: &Facts<'_>,
    one: &super::Judged,
    findings: &[&Finding],
    seen: Option<&Answers>,
) -> Option<Check> {
    let (verdict, because) = match &one.state {
        State::NotSent(_) => return None,
        State::FailedReference(why) => {
            (report::Verdict::NotJudged, format!("the reference gave no answer: {why}"))
        }
        State::FailedBoth { reference, candidate } => (
            report::Verdict::NotJudged,
            format!("neither build gave an answer: reference: {reference}; candidate: {candidate}"),
        ),
        State::FailedCandidate(_) | State::Compared(_) => verdict(findings)?,
    };
    let secrets = &facts.options.compare.secrets;
    let mut check = Check::new(id(one.index), "replay", Level::Must, verdict, &*one.name).because(because);
    check.extra.insert("transaction".into(), json!(one.index));
    check.differences = findings.iter().filter_map(|finding| difference(finding)).collect();
    let recorded = &facts.capture.recorded[one.index];
    if let Some(request) = recorded.request() {
        check.evidence.push(Evidence::request("request", request, secrets));
    }
    if let Some(response) = recorded.response() {
        check.evidence.push(Evidence::response("recorded answer", response, secrets));
    }
    if let Some(answers) = seen {
        let both = [("reference's answer", &answers.reference), ("candidate's answer", &answers.candidate)];
        for (label, response) in both {
            check.evidence.extend(response.as_ref().map(|r| Evidence::response(label, r, secrets)));
        }
    }
    check.evidence.push(Evidence::command("reproduce", command(facts, &one.name)));
    Some(check)
}

/// The verdict on a transaction with these findings, and why; `None` where there is nothing to tell.
fn verdict(findings: &[&Finding]) -> Option<(report::Verdict, String)> {
    let listed = |fits: &dyn Fn(&Finding) -> bool| {
        let paths: Vec<String> = findings.iter().filter(|f| fits(f)).map(|f| what(f)).collect();
        (!paths.is_empty()).then(|| paths.join(", "))
    };
    if let Some(paths) = listed(&|f| f.decides()) {
        return Some((report::Verdict::Fail, format!("the candidate deviates: {paths}")));
    }
    if let Some(paths) = listed(&|f| f.stands && f.stable == Some(false)) {
        return Some((
            report::Verdict::NotJudged,
            format!("not seen again when it was replayed once more: {paths}"),
        ));
    }
    if let Some(paths) = listed(&|f| f.stands) {
        return Some((report::Verdict::NotJudged, format!("the reference alone deviates: {paths}")));
    }
    let waived = |f: &Finding| matches!(&f.kind, FindingKind::Difference(d) if d.waived.is_some());
    listed(&waived).map(|paths| (report::Verdict::Waived, format!("accepted: {paths}")))
}

fn what(finding: &Finding) -> String {
    match &finding.kind {
        FindingKind::Difference(difference) => difference.path.clone(),
        FindingKind::NoAnswer(why) => format!("no answer ({why})"),
        FindingKind::Omitted(count) => format!("{count} more"),
    }
}

fn difference(finding: &Finding) -> Option<Difference> {
    let FindingKind::Difference(found) = &finding.kind else { return None };
    Some(Difference {
        path: found.path.clone(),
        class: found.class.name().to_owned(),
        rule: found.rule.to_string(),
        left: found.left.clone(),
        right: found.right.clone(),
        counts: finding.decides(),
        explanation: found.explanation.clone(),
        diff: found.diff.clone(),
        waived: found.waived.as_ref().map(|w| format!("{} ({}, until {})", w.reason, w.owner, w.expires)),
    })
}

/// A command that replays one URL of the capture.
fn command(facts: &Facts<'_>, name: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    // What a pattern takes for a wildcard stands for itself well enough as `?`.
    let mut pattern = name.replace('*', "?");
    // And what is withheld, for anything.
    while let Some(start) = pattern.find("[secret") {
        let end = pattern[start..].find(']').map_or(pattern.len(), |length| start + length + 1);
        pattern.replace_range(start..end, "*");
    }
    format!(
        "replay http {} --reference {} --candidate {} --only {}",
        quote(&facts.capture.path.display().to_string()),
        quote(&facts.options.reference),
        quote(&facts.options.candidate),
        quote(&pattern)
    )
}
