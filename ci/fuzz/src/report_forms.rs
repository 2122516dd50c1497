//! `report`: what is read is written back the same, and hostile text does nothing in any form.

use exchange::Time;
use report::{
    Check, Difference, Evidence, Fault, Ledger, Level, Outcome, Reason, Report, Style, Subject, Verdict,
};

fn filled(text: &str) -> Report {
    let mut report = Report::new(text, text, text, Time(0), Time(1));
    report.outcome = Outcome::DoNotDeploy;
    report.subjects = vec![Subject { role: text.into(), name: text.into(), detail: Some(text.into()) }];
    report.reasons = vec![Reason::deciding(Fault::Candidate, text).resting_on([text]).next(text)];
    report.ledgers = vec![Ledger::new(text, 2).with(text, 1)];
    report.notes = vec![text.into()];
    for verdict in [Verdict::Fail, Verdict::NotJudged, Verdict::Waived, Verdict::Pass] {
        let mut check = Check::new(text, text, Level::Must, verdict, text).because(text);
        check.explanation = Some(text.into());
        check.cites = Some(text.into());
        check.differences = vec![Difference {
            path: text.into(),
            class: text.into(),
            rule: text.into(),
            left: Some(text.into()),
            right: None,
            counts: true,
            explanation: text.into(),
            diff: Some(text.into()),
            waived: Some(text.into()),
        }];
        check.evidence =
            vec![Evidence::text(text, text), Evidence::diff(text, text), Evidence::command(text, text)];
        report.checks.push(check);
    }
    report
}

/// What a terminal would obey, XML forbids, or the eye cannot see.
fn harmless(form: &str) {
    let harmful = form.chars().find(|c| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
    });
    assert!(harmful.is_none(), "{harmful:?} in {form:?}");
}

/// Names of the elements of an HTML page or the like, in order.
fn tags(form: &str) -> Vec<&str> {
    let tag = |part: &'_ str| {
        part.split(|c: char| !c.is_ascii_alphanumeric() && !"/!?-".contains(c)).next().map(str::len)
    };
    form.split('<').skip(1).map(|part| &part[..tag(part).unwrap_or_default()]).collect()
}

fn forms(report: &Report) {
    harmless(&report.to_text(Style::default()));
    harmless(&report.to_junit());
    harmless(&report.to_html());
    let json = report.to_json();
    harmless(&json);
    assert_eq!(Report::from_json(&json).as_ref(), Ok(report));
}

/// A report with this text in every place has the elements of one with harmless text.
pub(crate) fn hostile(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let report = filled(&text);
    forms(&report);
    // Empty text leaves some elements out; the page's own script and style are the same.
    if !text.trim().is_empty() && text.len() < 2000 {
        let plain = filled("plain");
        let known: std::collections::BTreeSet<_> =
            tags(&plain.to_html()).into_iter().map(str::to_owned).collect();
        let html = report.to_html();
        let strange: Vec<_> = tags(&html).into_iter().filter(|tag| !known.contains(*tag)).collect();
        assert!(strange.is_empty(), "{strange:?} in {html}");
        let known: std::collections::BTreeSet<_> =
            tags(&plain.to_junit()).into_iter().map(str::to_owned).collect();
        let junit = report.to_junit();
        let strange: Vec<_> = tags(&junit).into_iter().filter(|tag| !known.contains(*tag)).collect();
        assert!(strange.is_empty(), "{strange:?} in {junit}");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![filled("a").to_json().into_bytes(), filled("<b> \u{1b}[2J").to_json().into_bytes()]
}

/// A report from somewhere else.
pub(crate) fn json(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Report::from_json(text) {
        Ok(report) => {
            forms(&report);
            // Whoever reads it as a baseline must not mind what is in it.
            let _ = conformance::baseline::Baseline::of("fuzz", &report);
        }
        Err(error) => assert!(!error.is_empty()),
    }
}
