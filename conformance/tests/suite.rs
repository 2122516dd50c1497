//! How the suite itself behaves: what it says of candidates that hang, drop, map paths or are several, what a failure
//! looks like, and what a baseline does.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

mod scripted;

use conformance::baseline::Baseline;
use conformance::bench::Candidate;
use conformance::preflight::Stores;
use conformance::run::Kind;
use conformance::{CannotJudge, Options, Run, Verdict, report, run};
use endpoint::{Origin, Settings};
use scripted::Cache;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

async fn origin() -> Origin {
    Origin::local(Settings::default()).await.unwrap()
}

fn options(url: &str, origin: &Origin, only: &[&str]) -> Options {
    Options {
        candidate: Candidate::parse(url).unwrap(),
        advertise: origin.address().to_string(),
        only: only.iter().map(|id| (*id).to_owned()).collect(),
        profile: None,
        nonce: conformance::cli::nonce(),
    }
}

async fn judge(origin: &Origin, address: SocketAddr, only: &[&str]) -> Result<Run, CannotJudge> {
    run(&options(&format!("http://{address}"), origin, only), origin).await
}

/// Kind and verdict of a check.
fn outcome(run: &Run, id: &str) -> (Verdict, Option<Kind>) {
    let judged = run.checks.iter().find(|j| j.check.id == id).unwrap();
    (judged.verdict, judged.kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_closing_are_failures_of_their_own_kind() {
    let origin = origin().await;
    for (fault, kind) in [("hangs at vary/star", Kind::Hung), ("drops at vary/star", Kind::Dropped)] {
        let cache = Cache::start(origin.address(), fault).await;
        let run = judge(&origin, cache.address, &["vary/*"]).await.unwrap();
        assert_eq!(outcome(&run, "vary/star"), (Verdict::Fail, Some(kind)), "{fault}");
        assert_eq!(outcome(&run, "vary/selecting-fields"), (Verdict::Pass, None), "{fault}");
        assert_eq!(report::of_run(&run, None).outcome.exit_status(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_stores_nothing_fails_no_must() {
    let origin = origin().await;
    let cache = Cache::start(origin.address(), "freshness/stored-response-reused").await;
    let run = judge(&origin, cache.address, &[]).await.unwrap();
    let failed: Vec<_> =
        run.checks.iter().filter(|j| j.verdict == Verdict::Fail).map(|j| j.check.id).collect();
    assert_eq!(failed, ["freshness/stored-response-reused"]);
    assert_eq!(outcome(&run, "freshness/age-on-hit"), (Verdict::NotJudged, Some(Kind::Nothing)));
    assert_eq!(run.preflight.stores, Stores::None, "{}", run.preflight.pattern);
    assert_eq!(report::of_run(&run, None).outcome.exit_status(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_joins_a_fetch_after_its_end_makes_no_store() {
    let origin = origin().await;
    let cache = Cache::start(origin.address(), "lingers").await;
    let run = judge(&origin, cache.address, &["headers/via-request"]).await.unwrap();
    assert!(run.preflight.pattern.starts_with("mhmmm"), "{}", run.preflight.pattern);
    assert_eq!(run.preflight.stores, Stores::None, "{}", run.preflight.pattern);
}

/// Such an answer has no Age, and needs none.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_joined_a_fetch_after_its_end_is_not_judged_as_a_stored_one() {
    let origin = origin().await;
    let cache = Cache::start(origin.address(), "lingers").await;
    let run = judge(&origin, cache.address, &["freshness/age-on-hit"]).await.unwrap();
    assert_eq!(outcome(&run, "freshness/age-on-hit"), (Verdict::NotJudged, Some(Kind::Nothing)));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_may_be_mapped() {
    let origin = origin().await;
    let cache = Cache::start_below(origin.address(), "", "/shop").await;
    let url = format!("http://{}/shop/", cache.address);
    let run = run(&options(&url, &origin, &["headers/*", "vary/*"]), &origin).await.unwrap();
    assert!(
        run.checks.iter().all(|j| j.verdict == Verdict::Pass),
        "{:?}",
        report::of_run(&run, None).reasons
    );
    assert_eq!(run.preflight.base.as_deref(), Some("`/shop` at the candidate is `` at the origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_caches_behind_one_address_are_noticed() {
    let origin = origin().await;
    let caches = [Cache::start(origin.address(), "").await, Cache::start(origin.address(), "").await];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let balancer = tokio::spawn(async move {
        for turn in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(caches[turn / 2 % 2].address).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let run = judge(&origin, address, &["headers/via-request"]).await.unwrap();
    assert_eq!(run.preflight.stores, Stores::Several, "{}", run.preflight.pattern);
    let notes = report::of_run(&run, None).notes;
    assert!(notes.iter().any(|note| note.starts_with("Several caches")), "{notes:?}");
    balancer.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_new_decides_with_a_baseline() {
    let origin = origin().await;
    let mut runs = Vec::new();
    for fault in ["vary/star", "headers/via-request"] {
        let cache = Cache::start(origin.address(), fault).await;
        runs.push(judge(&origin, cache.address, &["vary/star", "headers/via-request"]).await.unwrap());
    }
    let old = Baseline::of("old.json", &report::of_run(&runs[0], None));
    let same = report::of_run(&runs[0], Some(&old));
    assert_eq!(same.outcome.exit_status(), 0);
    assert!(
        same.reasons.iter().any(|r| r.text.contains("failed as in the baseline: vary/star")),
        "{:?}",
        same.reasons
    );
    let new = report::of_run(&runs[1], Some(&old));
    assert_eq!(new.outcome.exit_status(), 1);
    assert!(
        new.reasons[0].text.ends_with("which the baseline did not: headers/via-request"),
        "{:?}",
        new.reasons
    );
    assert!(new.reasons.iter().any(|r| r.text.ends_with("passed now: vary/star")), "{:?}", new.reasons);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_what_was_seen() {
    let origin = origin().await;
    let cache = Cache::start(origin.address(), "freshness/age-on-hit").await;
    let run = judge(&origin, cache.address, &["freshness/age-on-hit", "freshness/age-received-added"])
        .await
        .unwrap();
    let text = report::of_run(&run, None).to_text(::report::Style::default());
    let text = text.replace(&run.nonce, "NONCE").replace(&cache.address.to_string(), "CANDIDATE");
    insta::assert_snapshot!(text.lines().map(steady).collect::<Vec<_>>().join("\n"));
}

/// A line without what changes from run to run.
fn steady(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    if let Some((before, _)) = line.split_once("Date: ") {
        return format!("{before}Date: …");
    }
    if let Some((before, after)) = line.split_once(" (+") {
        return format!("{before} (+… ms){}", after.trim_start_matches(|c| c != ':'));
    }
    let timed =
        line.split(' ').any(|word| word.len() > 19 && word.as_bytes()[10] == b'T' && word.starts_with("20"));
    if timed { format!("{}…", &line[..indent]) } else { line.to_owned() }
}
