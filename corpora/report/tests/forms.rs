//! What people and programs read: each form of one report.

mod sample;

use insta::assert_snapshot;
use report::{Check, Evidence, Level, Outcome, Report, Style, Verdict};

fn narrow() -> Style {
    Style { colour: false, width: 60 }
}

#[test]
fn text() {
    let report = sample::report();
    assert_snapshot!("text", report.to_text(Style::default()));
    assert_snapshot!("text-narrow", report.to_text(narrow()));
    let coloured = report.to_text(Style { colour: true, width: 100 });
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), report.to_text(Style::default()));
}

#[test]
fn text_keeps_to_its_width() {
    for width in [40, 60, 100] {
        for line in sample::report().to_text(Style { colour: false, width }).lines() {
            // Commands are there to be copied, and names are not broken.
            let copied = line.trim_start().starts_with("conformance run")
                || line.contains("curl ")
                || line.contains('[')
                || line.ends_with('…');
            assert!(line.chars().count() <= width || copied, "{width}: {line}");
        }
    }
}

#[test]
fn json() {
    let report = sample::report();
    assert_snapshot!("json", report.to_json());
    assert_eq!(Report::from_json(&report.to_json()), Ok(report));
}

#[test]
fn junit() {
    assert_snapshot!("junit", sample::report().to_junit());
}

#[test]
fn html() {
    // The style sheet is left out: it is looked at, not read.
    let html = sample::report().to_html();
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    assert_snapshot!("html", format!("{before}<style/>{after}"));
}

#[test]
fn a_run_that_judged_nothing_is_no_green_list() {
    let time = exchange::Time::new(1_795_298_820, 0);
    let report = Report::new("replay", "0.1.0", "nothing", time, time);
    assert!(report.to_junit().contains("errors=\"1\""), "{}", report.to_junit());
    assert!(report.to_text(Style::default()).contains("COULD NOT JUDGE"));
    assert!(report.to_html().contains("Could not judge"));
}

#[test]
fn refuses_what_it_cannot_read() {
    for (from, to, message) in [
        ("\"schema\": 1", "\"schema\": 2", "version 2"),
        ("\"schema\": 1,", "", "missing field `schema`"),
        ("do-not-deploy", "perhaps", "unknown variant"),
        ("{", "", "no report"),
    ] {
        let json = sample::report().to_json().replacen(from, to, 1);
        let error = Report::from_json(&json).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

/// A report of 30 000 checks, each with evidence.
fn large() -> Report {
    let mut report = sample::report();
    report.checks = (0..30_000)
        .map(|i| {
            let verdict = if i % 3 == 0 { Verdict::Fail } else { Verdict::Pass };
            let mut check =
                Check::new(format!("replay/{i}"), "replay", Level::Must, verdict, format!("GET /{i}"))
                    .because("the bodies differ");
            check.evidence = vec![Evidence::text("answer", "x".repeat(500))];
            check
        })
        .collect();
    report
}

#[test]
fn large_reports_stay_bounded() {
    let report = large();
    assert!(report.to_text(Style::default()).len() < 64 << 10);
    let html = report.to_html();
    assert!(html.len() < 20 << 20, "{}", html.len());
    assert!(html.contains("25000 more checks are in the JSON form"));
    assert_eq!(report.to_junit().matches("<testcase ").count(), 30_001);
    assert_eq!(Report::from_json(&report.to_json()).unwrap().checks.len(), 30_000);
}

#[test]
fn text_shows_the_end_of_a_long_story() {
    let mut report = sample::report();
    report.checks[0].evidence = (0..9).map(|i| Evidence::text(format!("step {i}"), "x")).collect();
    let text = report.to_text(Style::default());
    assert!(
        text.contains("... 5 earlier steps") && text.contains("step 8:") && text.contains("step 5:"),
        "{text}"
    );
    assert!(!text.contains("step 4:"), "{text}");
}

#[test]
fn long_evidence_is_cut() {
    let mut report = sample::report();
    report.outcome = Outcome::Fail;
    report.checks[0].evidence = vec![Evidence::text("answer", "y".repeat(50 << 20))];
    assert!(report.to_json().len() < 200 << 10);
    assert!(report.to_html().len() < 200 << 10);
    assert!(report.to_junit().len() < 200 << 10);
    assert!(report.to_text(Style::default()).len() < 64 << 10);
}
