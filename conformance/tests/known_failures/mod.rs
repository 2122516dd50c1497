//! Lists of what a peer is known to fail, and whether a run agrees with one.

use conformance::bench::Candidate;
use conformance::{Judged, Options, Profile, Verdict, checks, glob, report, run};
use endpoint::Origin;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KnownFailures {
    peer: String,
    version: String,
    not_judged: Vec<String>,
    /// Where the peer itself answers now so, now so.
    #[serde(default)]
    varies: Vec<String>,
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
pub fn not_run(why: &str) {
    assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|v| v != "1"), "not run: {why}");
    println!("not run: {why}");
}

/// The list for this version of a peer, if there is one.
pub fn list(peer: &str, version: &str) -> Option<KnownFailures> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("known-failures/{peer}-{version}.toml"));
    let Ok(text) = std::fs::read_to_string(&file) else {
        not_run(&format!("there is no list of known failures for {peer} {version}"));
        return None;
    };
    let list: KnownFailures = toml::from_str(&text).unwrap();
    assert_eq!((list.peer.as_str(), list.version.as_str()), (peer, version));
    Some(list)
}

/// Runs the suite against a peer and fails where it and the list differ.
pub async fn agree(list: &KnownFailures, address: SocketAddr, origin: &Origin, profile: &str) {
    let options = Options {
        candidate: Candidate::parse(&format!("http://{address}")).unwrap(),
        advertise: origin.address().to_string(),
        only: Vec::new(),
        profile: Some(Profile::load(profile, &|_| None).unwrap()),
        nonce: conformance::cli::nonce(),
    };
    let run = run(&options, origin).await.unwrap();
    let mut wrong: Vec<String> = run.checks.iter().filter_map(|judged| disagreement(judged, list)).collect();
    for known in &list.known {
        if checks::find(&known.check).is_none() {
            wrong.push(format!("{}: the list names a check that does not exist", known.check));
        }
    }
    assert!(wrong.is_empty(), "{} {} and its list disagree:\n{}", list.peer, list.version, wrong.join("\n"));
}

/// In what a verdict and the list differ.
fn disagreement(judged: &Judged, list: &KnownFailures) -> Option<String> {
    let id = judged.check.id;
    let known = list.known.iter().find(|k| k.check == id);
    let reason = judged.reason.as_deref().unwrap_or_default();
    let unjudged = list.not_judged.iter().any(|pattern| glob::matches(pattern, id));
    if list.varies.iter().any(|other| other == id) {
        return None;
    }
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
