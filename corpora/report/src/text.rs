//! The form for terminals: failures first, totals, and the verdict last, where it is still on the screen.

use crate::{
    Check, Difference, EvidenceKind, Ledger, Level, Outcome, Report, Severity, Style, Verdict, clean,
};
use anstyle::{AnsiColor, Style as Paint};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// Failing checks shown with what was seen; the others get one line.
const DETAILED: usize = 3;
/// Lines for the other checks of each verdict.
const LISTED: usize = 12;
/// Reasons given for what could not be judged.
const REASONS: usize = 5;
/// Differences shown of one check.
const DIFFERENCES: usize = 5;
/// Blocks of evidence shown of one check, the last ones.
const BLOCKS: usize = 4;
/// Lines shown of one block of evidence.
const LINES: usize = 14;
/// Longest text taken from anywhere, in bytes.
const LONG: usize = 2000;

const BOLD: Paint = Paint::new().bold();
const DIM: Paint = Paint::new().dimmed();
const RED: Paint = AnsiColor::Red.on_default();
const GREEN: Paint = AnsiColor::Green.on_default();
const YELLOW: Paint = AnsiColor::Yellow.on_default();

pub(crate) fn write(report: &Report, style: Style) -> String {
    let mut out = Out { text: String::new(), style: Style { width: style.width.max(40), ..style } };
    head(&mut out, report);
    checks(&mut out, report);
    totals(&mut out, report);
    verdict(&mut out, report);
    out.text
}

/// Text that grows, painted only where asked.
struct Out {
    text: String,
    style: Style,
}

impl Out {
    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.style.colour { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
    }

    /// One line as it is.
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A paragraph, wrapped, each line led by `indent` spaces, the first one by `lead` as well. Lines after the first
    /// are something to copy: they stay as they are, set off a little.
    fn paragraph(&mut self, indent: usize, lead: &str, paragraph: &str) {
        let lead_width = lead.chars().count();
        let room = self.style.width.saturating_sub(indent + lead_width).max(20);
        let mut lines = paragraph.lines();
        let first = clean::line(lines.next().unwrap_or_default(), LONG);
        for (index, line) in wrap(&first, room).into_iter().enumerate() {
            let lead = if index == 0 { lead.to_owned() } else { " ".repeat(lead_width) };
            self.line(&format!("{:indent$}{lead}{line}", ""));
        }
        for line in lines.take(BLOCK_LINES) {
            let indent = indent + lead_width + 2;
            self.line(&format!("{:indent$}{}", "", clean::line(line, LONG)));
        }
    }
}

/// Most lines of a reason after its first.
const BLOCK_LINES: usize = 20;

/// Breaks at spaces so that no line is wider than `room`, long words within.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if width > 0 && width + 1 + word.len() > room {
            lines.push(String::new());
            width = 0;
        }
        while word.len() > room {
            let rest = word.split_off(room);
            if let Some(line) = lines.last_mut() {
                line.extend(word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if width > 0 {
                line.push(' ');
                width += 1;
            }
            width += word.len();
            line.extend(word);
        }
    }
    lines
}

fn head(out: &mut Out, report: &Report) {
    let title = format!("{} {}: {}", report.tool.name, report.tool.version, report.title);
    let title = out.paint(BOLD, &clean::line(&title, LONG));
    out.line(&title);
    let widest = report.subjects.iter().map(|s| s.role.chars().count()).max().unwrap_or(0);
    for subject in &report.subjects {
        let detail = subject.detail.as_ref().map(|d| format!(" ({d})")).unwrap_or_default();
        let role = format!("{:widest$}  ", clean::line(&subject.role, 40));
        out.paragraph(2, &role, &format!("{}{detail}", subject.name));
    }
}

fn checks(out: &mut Out, report: &Report) {
    // Worst first, the more binding before the less.
    let mut failed: Vec<&Check> = report.checks.iter().filter(|c| c.verdict == Verdict::Fail).collect();
    failed.sort_by_key(|c| c.level);
    let (judged, noted): (Vec<&Check>, Vec<&Check>) =
        failed.into_iter().partition(|c| c.level <= Level::Should);
    let detailed = detailed(report, &judged);
    for check in &detailed {
        out.line("");
        one(out, check);
    }
    if detailed.len() < report.checks.iter().filter(|c| c.verdict != Verdict::Pass).count() {
        out.line("");
    }
    let rest: Vec<&Check> = judged.into_iter().filter(|c| !detailed.iter().any(|d| d.id == c.id)).collect();
    let fail = out.paint(RED.bold(), "FAIL");
    listed(out, &fail, "FAIL".len(), rest.iter().map(|c| (c.id.clone(), c.title.clone())));
    let note = out.paint(DIM, "note");
    let story = |c: &&Check| format!("{}: {}", c.level, c.reason.as_deref().unwrap_or(&c.title));
    listed(out, &note, "note".len(), noted.iter().map(|c| (c.id.clone(), story(c))));
    // What could not be judged is worth its reason in full: it says what to do.
    let groups = by_reason(&report.checks, Verdict::NotJudged);
    let word = out.paint(YELLOW.bold(), "NOT JUDGED");
    for (ids, reason) in groups.iter().take(REASONS) {
        let ids = out.paint(BOLD, &clean::line(ids, 200));
        out.line(&format!("{word}  {ids}"));
        out.paragraph(6, "", reason);
    }
    if groups.len() > REASONS {
        out.line(&format!(
            "      ... and {} other reasons; --html and --json show all of them",
            groups.len() - REASONS
        ));
    }
    let word = out.paint(YELLOW.bold(), "WAIVED");
    listed(out, &word, "WAIVED".len(), by_reason(&report.checks, Verdict::Waived).into_iter());
}

/// The failures worth showing what was seen: those that decided, else broken MUSTs.
fn detailed<'r>(report: &'r Report, failed: &[&'r Check]) -> Vec<&'r Check> {
    let deciding = report.reasons.iter().filter(|r| r.severity == Severity::Deciding);
    let ids: HashSet<&str> = deciding.flat_map(|r| &r.checks).map(String::as_str).collect();
    let decided: Vec<&Check> =
        failed.iter().copied().filter(|c| ids.contains(&c.id[..])).take(DETAILED).collect();
    if !decided.is_empty() {
        return decided;
    }
    failed.iter().copied().filter(|c| c.level == Level::Must).take(DETAILED).collect()
}

/// Checks of one verdict, joined where the reason is the same: what stands for their ids, and the reason.
fn by_reason(checks: &[Check], verdict: Verdict) -> Vec<(String, String)> {
    let mut order: Vec<&str> = Vec::new();
    let mut groups: HashMap<&str, Vec<&Check>> = HashMap::new();
    for check in checks.iter().filter(|c| c.verdict == verdict) {
        let reason = check.reason.as_deref().unwrap_or(&check.title);
        let group = groups.entry(reason).or_insert_with(|| {
            order.push(reason);
            Vec::new()
        });
        group.push(check);
    }
    let told = order.into_iter().map(|reason| {
        let group = groups.remove(reason).unwrap_or_default();
        let ids = match &group[..] {
            [one] => one.id.clone(),
            [first, ..] => format!("{} and {} more", first.id, group.len() - 1),
            [] => String::new(),
        };
        (ids, reason.to_owned())
    });
    told.collect()
}

/// One line for each, as far as there is room for all.
fn listed(out: &mut Out, word: &str, width: usize, lines: impl ExactSizeIterator<Item = (String, String)>) {
    let all = lines.len();
    for (id, told) in lines.take(LISTED) {
        let id = clean::line(&id, 200);
        let room = out.style.width.saturating_sub(width + 4 + id.chars().count());
        let told = cut(&clean::line(&told, LONG), room.max(20));
        let id = out.paint(BOLD, &id);
        out.line(&format!("{word}  {id}  {told}"));
    }
    if all > LISTED {
        let indent = width + 2;
        out.line(&format!("{:indent$}... and {} more; --html and --json show all of them", "", all - LISTED));
    }
}

fn cut(line: &str, room: usize) -> String {
    if line.chars().count() <= room {
        return line.to_owned();
    }
    line.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

/// A failure with what was seen.
fn one(out: &mut Out, check: &Check) {
    let word = out.paint(RED.bold(), "FAIL");
    let id = out.paint(BOLD, &clean::line(&check.id, 200));
    out.line(&format!("{word}  {id}  {}", check.level));
    out.paragraph(6, "", &check.title);
    if let Some(reason) = check.reason.as_ref().filter(|reason| **reason != check.title) {
        out.paragraph(6, "", reason);
    }
    if let Some(cites) = &check.cites {
        out.paragraph(6, "see ", cites);
    }
    for difference in check.differences.iter().take(DIFFERENCES) {
        self::difference(out, difference);
    }
    if check.differences.len() > DIFFERENCES {
        let more = format!("... and {} more differences", check.differences.len() - DIFFERENCES);
        out.paragraph(6, "", &more);
    }
    // In a long story the end tells what went wrong.
    let told = check.evidence.iter().filter(|e| e.kind != EvidenceKind::Command).count();
    let mut skip = told.saturating_sub(BLOCKS);
    if skip > 0 {
        out.paragraph(6, "", &format!("... {skip} earlier steps; --html and --json show all of them"));
    }
    for evidence in &check.evidence {
        if skip > 0 && evidence.kind != EvidenceKind::Command {
            skip -= 1;
            continue;
        }
        if evidence.kind == EvidenceKind::Command {
            out.paragraph(6, "", &format!("{}:", evidence.label));
            // Not wrapped: it is there to be copied.
            let command = clean::line(&evidence.text, LONG);
            out.line(&format!("        {command}"));
            continue;
        }
        let label = out.paint(DIM, &format!("{}:", clean::line(&evidence.label, 100)));
        out.line(&format!("      {label}"));
        block(out, &evidence.text, evidence.kind == EvidenceKind::Diff);
    }
}

fn difference(out: &mut Out, difference: &Difference) {
    let path = out.paint(BOLD, &clean::line(&difference.path, 200));
    let waived = difference.waived.as_ref().map(|w| format!(", waived: {w}")).unwrap_or_default();
    let uncounted = if difference.counts || difference.waived.is_some() { "" } else { ", does not count" };
    let rule = clean::line(&format!("[{}: {}{uncounted}{waived}]", difference.class, difference.rule), 300);
    let rule = out.paint(DIM, &rule);
    out.line(&format!("      {path}  {rule}"));
    for (side, value) in [("reference  ", &difference.left), ("candidate  ", &difference.right)] {
        out.paragraph(8, side, value.as_deref().unwrap_or("(absent)"));
    }
    out.paragraph(8, "", &difference.explanation);
    if let Some(diff) = &difference.diff {
        block(out, diff, true);
    }
}

/// Lines as they are, cut to the width.
fn block(out: &mut Out, text: &str, diff: bool) {
    let room = out.style.width.saturating_sub(8).max(20);
    let text = clean::block(text, 16 << 10);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    for line in lines.iter().take(LINES) {
        let shown = cut(line, room);
        let paint = match shown.chars().next() {
            Some('+') if diff => GREEN,
            Some('-') if diff => RED,
            _ => Paint::new(),
        };
        let shown = out.paint(paint, &shown);
        out.line(&format!("        {shown}"));
    }
    if lines.len() > LINES {
        out.line(&format!("        [{} lines more]", lines.len() - LINES));
    }
}

/// `120 = 118 agreed + 2 differed`.
pub(crate) fn ledger(ledger: &Ledger) -> String {
    let parts: Vec<_> = ledger.parts.iter().map(|p| format!("{} {}", p.count, p.name)).collect();
    let sign = if ledger.balances() { "=" } else { "does not balance with" };
    if parts.is_empty() {
        ledger.total.to_string()
    } else {
        format!("{} {sign} {}", ledger.total, parts.join(" + "))
    }
}

fn totals(out: &mut Out, report: &Report) {
    out.line("");
    let names = report.ledgers.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).max(6);
    for ledger in &report.ledgers {
        let name = format!("{:names$}  ", clean::line(&ledger.name, 60));
        out.paragraph(0, &name, &self::ledger(ledger));
    }
    if !report.checks.is_empty() {
        let mut counts = String::new();
        for verdict in [Verdict::Pass, Verdict::Fail, Verdict::NotJudged, Verdict::Waived] {
            let count = report.checks.iter().filter(|c| c.verdict == verdict).count();
            if count > 0 {
                let comma = if counts.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(counts, "{comma}{count} {verdict}");
            }
        }
        out.paragraph(0, &format!("{:names$}  ", "checks"), &counts);
    }
    for note in &report.notes {
        out.paragraph(0, "note: ", note);
    }
}

fn verdict(out: &mut Out, report: &Report) {
    let paint = match report.outcome.exit_status() {
        0 => GREEN,
        1 => RED,
        _ => YELLOW,
    };
    out.line("");
    let headline = out.paint(paint.bold(), &headline(report.outcome));
    out.line(&headline);
    for reason in &report.reasons {
        let lead = match reason.severity {
            Severity::Deciding => "- ",
            Severity::Warning => "- warning: ",
            Severity::Note => "- note: ",
        };
        out.paragraph(2, lead, &reason.text);
        if !reason.checks.is_empty() {
            let many = reason.checks.len();
            let named: Vec<_> = reason.checks.iter().take(5).map(String::as_str).collect();
            let more = if many > 5 { format!(" and {} more", many - 5) } else { String::new() };
            out.paragraph(4, "see ", &format!("{}{more}", named.join(", ")));
        }
        if let Some(next) = &reason.next {
            out.paragraph(4, "try: ", next);
        }
    }
}

/// The verdict in capitals: `DO NOT DEPLOY`.
fn headline(outcome: Outcome) -> String {
    outcome.to_string().to_uppercase()
}
