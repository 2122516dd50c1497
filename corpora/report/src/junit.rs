//! JUnit XML, as CI systems read it.
//!
//! Each area is a test suite, each check a test case. A broken MUST is a failure. What is less than a MUST, was
//! waived or could not be judged is skipped, with its reason. The suite `verdict` holds one case for the outcome, so
//! that a run that could not judge anything is an error and never a green list of nothing.

use crate::{Check, EvidenceKind, Level, Outcome, Report, Verdict, clean, text};
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};
use std::collections::HashMap;
use std::time::Duration;

/// Longest text of one case, in bytes.
const CASE: usize = 16 << 10;

pub(crate) fn write(report: &Report) -> String {
    let mut xml =
        quick_junit::Report::new(clean::line(&format!("{}: {}", report.tool.name, report.title), 500));
    let mut verdict = TestSuite::new("verdict");
    verdict.add_test_case(outcome(report));
    for (name, value) in properties(report) {
        verdict.add_property(Property::new(clean::line(&name, 200), clean::line(&value, 1000)));
    }
    xml.add_test_suite(verdict);
    let mut at = HashMap::new();
    let mut suites: Vec<TestSuite> = Vec::new();
    for check in &report.checks {
        let index = *at.entry(check.area.as_str()).or_insert_with(|| {
            suites.push(TestSuite::new(clean::line(&check.area, 200)));
            suites.len() - 1
        });
        suites[index].add_test_case(case(check));
    }
    xml.add_test_suites(suites);
    match xml.to_string() {
        Ok(xml) => xml,
        // Written to memory, from strings that XML allows.
        Err(error) => unreachable!("a report is always XML: {error}"),
    }
}

fn properties(report: &Report) -> Vec<(String, String)> {
    let mut properties = vec![
        ("tool".to_owned(), format!("{} {}", report.tool.name, report.tool.version)),
        ("started".to_owned(), report.started.clone()),
        ("finished".to_owned(), report.finished.clone()),
    ];
    properties.extend(report.seed.map(|seed| ("seed".to_owned(), seed.to_string())));
    properties.extend(report.subjects.iter().map(|s| (s.role.clone(), s.name.clone())));
    properties.extend(report.ledgers.iter().map(|l| (l.name.clone(), text::ledger(l))));
    properties
}

fn outcome(report: &Report) -> TestCase {
    let mut status = match report.outcome.exit_status() {
        0 => TestCaseStatus::success(),
        1 => TestCaseStatus::non_success(NonSuccessKind::Failure),
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if report.outcome.exit_status() != 0 {
        status.set_message(report.outcome.to_string());
        if report.outcome == Outcome::CouldNotJudge {
            status.set_type("could-not-judge");
        }
        let reasons: Vec<_> = report.reasons.iter().map(|r| clean::line(&r.text, 1000)).collect();
        status.set_description(reasons.join("\n"));
    }
    let mut case = TestCase::new("outcome", status);
    case.set_classname(clean::line(&report.tool.name, 100));
    case
}

fn case(check: &Check) -> TestCase {
    let reason = clean::line(check.reason.as_deref().unwrap_or(&check.title), 1000);
    let status = match (check.verdict, check.level) {
        (Verdict::Pass, _) => TestCaseStatus::success(),
        (Verdict::Fail, Level::Must) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(reason).set_type(check.level.to_string());
            status.set_description(clean::block(&story(check), CASE));
            status
        }
        (verdict, level) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(match verdict {
                Verdict::Fail => format!("{level} not kept: {reason}"),
                verdict => format!("{verdict}: {reason}"),
            });
            status
        }
    };
    let mut case = TestCase::new(clean::line(&check.id, 500), status);
    case.set_classname(clean::line(&check.area, 200));
    if let Some(milliseconds) = check.milliseconds {
        case.set_time(Duration::from_millis(milliseconds));
    }
    case
}

/// All that is known of a failure.
fn story(check: &Check) -> String {
    let mut story = vec![check.title.clone()];
    story.extend(check.cites.clone());
    story.extend(check.explanation.clone());
    for difference in &check.differences {
        story.push(format!("{}: {}", difference.path, difference.explanation));
        story.push(format!("  reference: {}", difference.left.as_deref().unwrap_or("(absent)")));
        story.push(format!("  candidate: {}", difference.right.as_deref().unwrap_or("(absent)")));
    }
    for evidence in &check.evidence {
        let mark = if evidence.kind == EvidenceKind::Command { "$ " } else { "" };
        story.push(format!("--- {}\n{mark}{}", evidence.label, evidence.text));
    }
    story.join("\n")
}
