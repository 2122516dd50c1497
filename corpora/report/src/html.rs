//! One page, self-contained: no request to anywhere, no script. Verdict first, then totals, then each check.

use crate::{Check, Evidence, EvidenceKind, Fault, Level, Outcome, Report, Severity, Verdict, clean};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Checks shown, worst first within each area; the others are in the JSON form.
const CHECKS: usize = 5_000;
/// Bytes of evidence and diffs on the page, over all checks; later ones are left out.
const ALL_EVIDENCE: usize = 12 << 20;
/// Longest block of evidence, in bytes.
const BLOCK: usize = 32 << 10;
/// Longest line of text, in bytes.
const LINE: usize = 4_000;
/// Differences shown of one check.
const DIFFERENCES: usize = 50;
/// Checks linked from one reason.
const LINKS: usize = 12;
/// Failures that are unfolded from the start.
const OPEN: usize = 3;

pub(crate) fn write(report: &Report) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = environment
        .template_from_str(include_str!("page.html"))
        .and_then(|template| template.render(minijinja::value::Serde(Page::new(report))));
    match page {
        Ok(page) => page,
        // The template is part of the program, and a test renders it with everything in it.
        Err(error) => unreachable!("the page's template is always valid: {error}"),
    }
}

#[derive(Serialize)]
struct Page {
    tool: String,
    title: String,
    headline: String,
    tone: &'static str,
    reasons: Vec<Reason>,
    subjects: Vec<Subject>,
    ledgers: Vec<Ledger>,
    notes: Vec<String>,
    verdicts: Vec<Shown>,
    areas: Vec<Area>,
    left_out: usize,
    started: String,
    finished: String,
    seed: Option<u64>,
}

#[derive(Serialize)]
struct Reason {
    who: &'static str,
    text: String,
    checks: Vec<Link>,
    more: usize,
    next: Option<String>,
}

#[derive(Serialize)]
struct Link {
    id: String,
    anchor: Option<String>,
}

#[derive(Serialize)]
struct Subject {
    role: String,
    name: String,
    detail: Option<String>,
}

#[derive(Serialize)]
struct Ledger {
    name: String,
    total: u64,
    parts: Vec<Part>,
    balances: bool,
}

#[derive(Serialize)]
struct Part {
    name: String,
    count: u64,
}

/// A verdict that checks have, with its key in the style sheet.
#[derive(Serialize)]
struct Shown {
    key: &'static str,
    name: String,
    count: usize,
}

#[derive(Serialize)]
struct Area {
    name: String,
    told: String,
    checks: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    anchor: String,
    key: &'static str,
    tone: &'static str,
    verdict: String,
    level: String,
    title: String,
    detail: bool,
    open: bool,
    reason: Option<String>,
    explanation: Option<String>,
    cites: Option<String>,
    differences: Vec<Difference>,
    more: usize,
    evidence: Vec<Block>,
}

#[derive(Serialize)]
struct Difference {
    path: String,
    told: String,
    left: Option<String>,
    right: Option<String>,
    explanation: String,
    diff: Vec<Line>,
}

#[derive(Serialize)]
struct Block {
    label: String,
    class: &'static str,
    text: String,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    class: &'static str,
    text: String,
}

impl Page {
    fn new(report: &Report) -> Self {
        let shown = shown(&report.checks);
        let anchors: HashMap<&str, usize> = report
            .checks
            .iter()
            .enumerate()
            .filter(|(i, _)| shown.contains(i))
            .map(|(i, c)| (&c.id[..], i))
            .collect();
        let tone = match report.outcome.exit_status() {
            0 => "good",
            1 => "bad",
            _ => "open",
        };
        Page {
            tool: clean::line(&format!("{} {}", report.tool.name, report.tool.version), LINE),
            title: clean::line(&report.title, LINE),
            headline: capitalised(report.outcome),
            tone,
            reasons: report.reasons.iter().map(|r| reason(r, &anchors)).collect(),
            subjects: report.subjects.iter().map(subject).collect(),
            ledgers: report.ledgers.iter().map(ledger).collect(),
            notes: report.notes.iter().map(|n| clean::line(n, LINE)).collect(),
            verdicts: verdicts(report.checks.iter()),
            areas: areas(report, &shown),
            left_out: report.checks.len() - shown.len(),
            started: whole_seconds(&report.started),
            finished: whole_seconds(&report.finished),
            seed: report.seed,
        }
    }
}

/// `2026-11-21T22:07:00.250000000Z` as `2026-11-21 22:07:00 UTC`; what is written otherwise, as it is.
fn whole_seconds(time: &str) -> String {
    match time.split_once('.').filter(|(seconds, fraction)| seconds.len() == 19 && fraction.ends_with('Z')) {
        Some((seconds, _)) => clean::line(&format!("{} UTC", seconds.replacen('T', " ", 1)), 100),
        None => clean::line(time, 100),
    }
}

/// Indexes of the checks on the page: worst first where not all fit.
fn shown(checks: &[Check]) -> HashSet<usize> {
    let mut indexes: Vec<usize> = (0..checks.len()).collect();
    if checks.len() > CHECKS {
        indexes.sort_by_key(|&i| (checks[i].verdict, checks[i].level));
        indexes.truncate(CHECKS);
    }
    indexes.into_iter().collect()
}

fn capitalised(outcome: Outcome) -> String {
    let words = outcome.to_string();
    words[..1].to_uppercase() + &words[1..]
}

fn reason(reason: &crate::Reason, anchors: &HashMap<&str, usize>) -> Reason {
    let who = match (reason.severity, reason.fault) {
        (Severity::Note, _) => "note",
        (Severity::Warning, _) => "warning",
        (_, Fault::Candidate) => "candidate",
        (_, Fault::Reference) => "reference",
        (_, Fault::Harness) => "harness",
        (_, Fault::Input) => "input",
        (_, Fault::Nobody) => "evidence",
    };
    let checks = reason
        .checks
        .iter()
        .take(LINKS)
        .map(|id| Link { id: clean::line(id, 200), anchor: anchors.get(&id[..]).map(|&i| anchor(i)) });
    Reason {
        who,
        text: clean::line(&reason.text, LINE),
        checks: checks.collect(),
        more: reason.checks.len().saturating_sub(LINKS),
        next: reason.next.as_ref().map(|n| clean::line(n, LINE)),
    }
}

/// Ids are free text; anchors are numbers.
fn anchor(index: usize) -> String {
    format!("check-{index}")
}

fn subject(subject: &crate::Subject) -> Subject {
    Subject {
        role: clean::line(&subject.role, 100),
        name: clean::line(&subject.name, LINE),
        detail: subject.detail.as_ref().map(|d| clean::line(d, LINE)),
    }
}

fn ledger(ledger: &crate::Ledger) -> Ledger {
    let part = |p: &crate::Count| Part { name: clean::line(&p.name, 200), count: p.count };
    Ledger {
        name: clean::line(&ledger.name, 200),
        total: ledger.total,
        parts: ledger.parts.iter().map(part).collect(),
        balances: ledger.balances(),
    }
}

fn key(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fail => "fail",
        Verdict::NotJudged => "not-judged",
        Verdict::Waived => "waived",
        Verdict::Pass => "pass",
    }
}

fn verdicts<'c>(checks: impl Iterator<Item = &'c Check> + Clone) -> Vec<Shown> {
    let all = [Verdict::Fail, Verdict::NotJudged, Verdict::Waived, Verdict::Pass];
    let shown = all.into_iter().map(|verdict| Shown {
        key: key(verdict),
        name: verdict.to_string(),
        count: checks.clone().filter(|c| c.verdict == verdict).count(),
    });
    shown.filter(|v| v.count > 0).collect()
}

/// Checks by area, the areas with the worst checks first, else in the order they appear, and within each the same.
fn areas(report: &Report, shown: &HashSet<usize>) -> Vec<Area> {
    let mut order: Vec<&str> = Vec::new();
    let mut members: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, check) in report.checks.iter().enumerate() {
        let area = members.entry(&check.area).or_insert_with(|| {
            order.push(&check.area);
            Vec::new()
        });
        area.push(index);
    }
    // A MAY that failed is no reason to stand before what binds.
    let weight = |check: &Check| match check.verdict {
        Verdict::Fail if check.level > Level::Should => Verdict::Waived,
        verdict => verdict,
    };
    let worst = |area: &&str| members[area].iter().map(|&i| weight(&report.checks[i])).min();
    order.sort_by_cached_key(worst);
    let mut left = ALL_EVIDENCE;
    let mut open = OPEN;
    let areas = order.into_iter().filter_map(|name| {
        let mut indexes = members.remove(name)?;
        let checks = &report.checks;
        let told = verdicts(indexes.iter().map(|&i| &checks[i]));
        let told: Vec<_> = told.iter().map(|v| format!("{} {}", v.count, v.name)).collect();
        indexes.retain(|i| shown.contains(i));
        indexes.sort_by_key(|&i| (checks[i].verdict, checks[i].level));
        let rows = indexes.into_iter().map(|i| row(i, &checks[i], &mut left, &mut open)).collect();
        Some(Area { name: clean::line(name, 200), told: told.join(", "), checks: rows })
    });
    areas.collect()
}

fn row(index: usize, check: &Check, left: &mut usize, open: &mut usize) -> Row {
    let optional = |text: &Option<String>| text.as_ref().map(|t| clean::line(t, LINE));
    let differences: Vec<_> =
        check.differences.iter().take(DIFFERENCES).map(|d| difference(d, left)).collect();
    let evidence: Vec<_> = check.evidence.iter().map(|e| block(e, left)).collect();
    let detail = check.reason.is_some()
        || check.explanation.is_some()
        || check.cites.is_some()
        || !differences.is_empty()
        || !evidence.is_empty();
    let binding = check.level <= Level::Should;
    let unfold = detail && binding && check.verdict == Verdict::Fail && *open > 0;
    *open -= usize::from(unfold);
    Row {
        id: clean::line(&check.id, 500),
        anchor: anchor(index),
        key: key(check.verdict),
        tone: match check.verdict {
            Verdict::Fail if binding => "bad",
            Verdict::NotJudged => "open",
            Verdict::Fail | Verdict::Waived => "mute",
            Verdict::Pass => "good",
        },
        verdict: check.verdict.to_string(),
        level: check.level.to_string(),
        title: clean::line(&check.title, LINE),
        detail,
        open: unfold,
        // It may hold lines to copy.
        reason: check.reason.as_ref().map(|reason| clean::block(reason, LINE)),
        explanation: optional(&check.explanation),
        cites: optional(&check.cites),
        differences,
        more: check.differences.len().saturating_sub(DIFFERENCES),
        evidence,
    }
}

fn difference(difference: &crate::Difference, left: &mut usize) -> Difference {
    let mut told = format!("{}, {}", difference.class, difference.rule);
    match &difference.waived {
        Some(waived) => told += &format!(", waived: {waived}"),
        None if !difference.counts => told += ", does not count",
        None => {}
    }
    Difference {
        path: clean::line(&difference.path, 500),
        told: clean::line(&told, LINE),
        left: difference.left.as_ref().map(|v| clean::line(v, LINE)),
        right: difference.right.as_ref().map(|v| clean::line(v, LINE)),
        explanation: clean::line(&difference.explanation, LINE),
        diff: difference.diff.as_ref().map(|d| lines(&bounded(d, left))).unwrap_or_default(),
    }
}

fn block(evidence: &Evidence, left: &mut usize) -> Block {
    let text = bounded(&evidence.text, left);
    let (class, lines) = match evidence.kind {
        EvidenceKind::Diff => ("diff", lines(&text)),
        EvidenceKind::Command => ("command", Vec::new()),
        EvidenceKind::Text => ("text", Vec::new()),
    };
    Block { label: clean::line(&evidence.label, 200), class, text, lines }
}

/// A block within the bounds of its own and of the page.
fn bounded(text: &str, left: &mut usize) -> String {
    if *left == 0 {
        return "[left out: the page is long enough; see the JSON form]".to_owned();
    }
    let text = clean::block(text, BLOCK);
    *left = left.saturating_sub(text.len());
    text
}

fn lines(diff: &str) -> Vec<Line> {
    let line = |line: &str| {
        let class = match line.as_bytes().first() {
            Some(b'+') => "add",
            Some(b'-') => "del",
            Some(b'@' | b'\\') => "hunk",
            _ => "",
        };
        Line { class, text: line.to_owned() }
    };
    diff.lines().map(line).collect()
}
