//! Every check passes on a cache that keeps all rules, and fails on one that breaks just its own.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

mod scripted;

use conformance::bench::Candidate;
use conformance::{Options, Profile, Run, Verdict, checks, run};
use endpoint::{Origin, Settings};
use scripted::Cache;

/// How the scripted cache is purged.
const PROFILE: &str = r#"
name = "scripted"
[purge]
method = "PURGE"
url = "{candidate}{path}"
headers = { Host = "{host}" }
[purge.credentials]
field = "X-Purge-Key"
value = "{secret}"
secret_env = "KEY"
"#;

/// Caches judged at once: their waits overlap, their work does not.
const AT_ONCE: usize = 6;

async fn judge(origin: &Origin, fault: &str) -> Run {
    let cache = Cache::start(origin.address(), fault).await;
    let secret = |_: &str| Some(scripted::KEY.1.to_owned());
    let options = Options {
        candidate: Candidate::parse(&format!("http://{}", cache.address)).unwrap(),
        advertise: origin.address().to_string(),
        only: Vec::new(),
        profile: Some(Profile::parse(PROFILE, "scripted", &secret).unwrap()),
        nonce: conformance::cli::nonce(),
    };
    run(&options, origin).await.unwrap()
}

/// What failed, and why.
fn failures(run: &Run) -> Vec<(&'static str, String)> {
    let failed = run.checks.iter().filter(|j| j.verdict == Verdict::Fail);
    failed.map(|j| (j.check.id, j.reason.clone().unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_keeps_all_rules_passes_all_checks() {
    let origin = Origin::local(Settings::default()).await.unwrap();
    let run = judge(&origin, "").await;
    let others: Vec<String> = run
        .checks
        .iter()
        .filter(|j| j.verdict != Verdict::Pass)
        .map(|j| format!("{}: {:?}: {}", j.check.id, j.verdict, j.reason.as_deref().unwrap_or_default()))
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// For each check: the cache that breaks its rule fails it, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_breaks_one_rule_fails_its_check_alone() {
    let origin = Origin::local(Settings::default()).await.unwrap();
    let mut waiting = checks::all();
    let mut running = tokio::task::JoinSet::new();
    let mut wrong = Vec::new();
    loop {
        while running.len() < AT_ONCE {
            let Some(check) = waiting.next() else { break };
            let origin = origin.clone();
            running.spawn(async move {
                let run = judge(&origin, check.id).await;
                // A fault of ours (this machine stood still) is no verdict, so there is nothing to hide in asking again.
                let ours = run.harness_faults().any(|j| j.check.id == check.id);
                (check, if ours { judge(&origin, check.id).await } else { run })
            });
        }
        let Some(done) = running.join_next().await else { break };
        let (check, run) = done.unwrap();
        let failed = failures(&run);
        if !failed.iter().any(|(id, _)| *id == check.id) {
            let own = run.checks.iter().find(|j| j.check.id == check.id).unwrap();
            let reason = own.reason.as_deref().unwrap_or_default();
            wrong.push(format!("{}: its fault is not found: {:?} {reason}", check.id, own.verdict));
        }
        for (id, reason) in failed {
            if id != check.id {
                wrong.push(format!("{}: its fault also fails {id}: {reason}", check.id));
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
