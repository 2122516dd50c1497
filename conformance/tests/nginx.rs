//! The suite against the distribution's nginx: what fails is what is known to fail.
//!
//! Without nginx, or without a list for its version, nothing is run and the test says so; with REQUIRE_PEERS=1 that is
//! a failure.

use conformance::bench::Candidate;
use conformance::peer::nginx::{self, Nginx};
use conformance::{Judged, Options, Verdict, checks, glob, report, run};
use endpoint::{Origin, Settings};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct KnownFailures {
    peer: String,
    version: String,
    not_judged: Vec<String>,
    known: Vec<Known>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Known {
    check: String,
    /// The RFC's words; there are none for levels below SHOULD.
    requires: Option<String>,
    seen: Vec<String>,
    reason: String,
    #[expect(dead_code, reason = "for people")]
    cache_tests: Option<String>,
}

/// Says why nothing is run, or fails where everything must be.
fn not_run(why: &str) {
    assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|v| v != "1"), "not run: {why}");
    println!("not run: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_fails_what_it_is_known_to_fail() {
    let version = match nginx::version().await {
        Ok(version) => version,
        Err(error) => return not_run(&error.to_string()),
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("known-failures/nginx-{version}.toml"));
    let Ok(text) = std::fs::read_to_string(&file) else {
        return not_run(&format!("there is no list of known failures for nginx {version}"));
    };
    let list: KnownFailures = toml::from_str(&text).unwrap();
    assert_eq!((list.peer.as_str(), list.version.as_str()), ("nginx", version.as_str()));

    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::local(Settings::default()).await.unwrap();
    let nginx = Nginx::start(origin.address(), dir.path()).await.unwrap();
    let options = Options {
        candidate: Candidate::parse(&format!("http://{}", nginx.address())).unwrap(),
        advertise: origin.address().to_string(),
        only: Vec::new(),
        profile: None,
        nonce: conformance::cli::nonce(),
    };
    let run = run(&options, &origin).await.unwrap();
    let mut wrong: Vec<String> = run.checks.iter().filter_map(|judged| disagreement(judged, &list)).collect();
    for known in &list.known {
        if checks::find(&known.check).is_none() {
            wrong.push(format!("{}: the list names a check that does not exist", known.check));
        }
    }
    assert!(wrong.is_empty(), "nginx {version} and {} disagree:\n{}", file.display(), wrong.join("\n"));
}

/// In what a verdict and the list differ.
fn disagreement(judged: &Judged, list: &KnownFailures) -> Option<String> {
    let id = judged.check.id;
    let known = list.known.iter().find(|k| k.check == id);
    let reason = judged.reason.as_deref().unwrap_or_default();
    let unjudged = list.not_judged.iter().any(|pattern| glob::matches(pattern, id));
    match (judged.verdict, known) {
        (Verdict::Pass, None) if !unjudged => None,
        (Verdict::NotJudged, None) if unjudged => None,
        (Verdict::Fail, Some(known)) => {
            assert!(!known.reason.is_empty(), "{id}: the list gives no reason");
            let binding = judged.check.level <= conformance::Level::Should;
            assert!(known.requires.is_some() || !binding, "{id}: the list does not quote the RFC");
            let missing = missing(judged, &known.seen)?;
            Some(format!("{id}: not seen, or not in this order: `{missing}`"))
        }
        (verdict, Some(_)) => Some(format!("{id}: listed as failing, and is {verdict:?}: {reason}")),
        (verdict, None) => Some(format!("{id}: not listed, and is {verdict:?}: {reason}")),
    }
}

/// The first text that is not in the evidence behind those before it.
fn missing<'t>(judged: &Judged, seen: &'t [String]) -> Option<&'t str> {
    let check = report::check(judged, None);
    let evidence: String = check.evidence.iter().map(|e| format!("{}\n{}\n", e.label, e.text)).collect();
    let mut rest = evidence.as_str();
    for text in seen {
        match rest.find(text.as_str()) {
            Some(at) => rest = &rest[at + text.len()..],
            None => return Some(text),
        }
    }
    None
}
