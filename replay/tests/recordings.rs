//! Every recording, replayed through its own world.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use endpoint::{Clock, Origin, Settings};
use exchange::Sha256;
use replay::extract::{Options as Extract, Recorded, load};
use replay::http::{Capture, Options, Speed, State};
use replay::world::{Service, World};
use report::Outcome as Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("corpora/recordings")
}

fn recordings() -> Vec<PathBuf> {
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng");
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(is_capture)
        .collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_packet_and_byte_is_accounted_for() {
    for path in recordings() {
        let (recorded, summary) = load(&path, &Extract { keep_body: 0 }).unwrap();
        for ledger in summary.ledgers() {
            assert!(ledger.balances(), "{}: {ledger:?}", path.display());
        }
        assert_eq!(summary.transactions, recorded.len() as u64);
        assert!(summary.file_error.is_none(), "{}: {:?}", path.display(), summary.file_error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_against_itself_gives_no_difference() {
    for path in recordings() {
        let capture = Capture::load(&path).unwrap();
        let is_sent = |r: &Recorded| {
            r.asked_by.is_none()
                && r.usable().is_ok_and(|(request, _)| request.path_and_query().starts_with(b"/"))
        };
        let usable = capture.recorded.iter().filter(|r| is_sent(r)).count() as u64;
        let reference = Origin::local(Settings::default()).await.unwrap();
        let candidate = Origin::local(Settings::default()).await.unwrap();
        let service = Service::new(Arc::new(World::of(&*capture.recorded)), "/n", Clock::system());
        let _routes = [service.mount(&reference), service.mount(&candidate)];
        let url = |origin: &Origin| format!("http://{}", origin.address());
        let options = Options {
            speed: Speed::Max,
            prefix: "/n".into(),
            mark: true,
            timeout: Duration::from_secs(30),
            ..Options::new(url(&reference), url(&candidate))
        };
        let clock = Clock::system();
        let run = replay::http::run(&capture, &options, &clock, &|_, _| {});
        let outcome = tokio::time::timeout(Duration::from_secs(120), run).await.expect("an end").unwrap();
        let file = path.display();
        assert!(outcome.findings.is_empty(), "{file}: {:#?}", outcome.findings);
        assert_eq!(outcome.totals.compared, usable, "{file}: {:#?}", outcome.report.reasons);
        let expected = if usable == 0 { Verdict::CouldNotJudge } else { Verdict::Agree };
        assert_eq!(outcome.report.outcome, expected, "{file}: {:#?}", outcome.report.reasons);
        assert_eq!(service.counters().unrecorded, 0, "{file}: {:#?}", service.counters().unanswered);
        // The world answers as it was recorded; behind a proxy, as the proxy was answered.
        let has_proxy = capture.recorded.iter().any(|r| r.asked_by.is_some());
        for one in outcome.judged.iter().filter(|_| !has_proxy) {
            if let State::Compared(three) = &one.state {
                assert!(three.reference.agrees(), "{file}: {}: {:#?}", one.name, three.reference);
            }
        }
    }
}

/// What was asked and answered, without times and addresses.
fn exchanged(recorded: &Recorded) -> Option<String> {
    let (request, response) = recorded.usable().ok()?;
    let Sha256(_) = request.body.sha256;
    Some(format!(
        "{} {:?} {:?} {} -> {} {:?} {:?} {} {:?}",
        recorded.transaction.name(),
        request.fields,
        request.trailers,
        request.body.sha256,
        response.status,
        response.fields,
        response.trailers,
        response.body.sha256,
        response.interim.iter().map(|i| (i.status, &i.fields)).collect::<Vec<_>>(),
    ))
}

fn all_exchanged(path: &Path) -> BTreeMap<String, usize> {
    let (recorded, _) = load(path, &Extract { keep_body: usize::MAX }).unwrap();
    let mut all = BTreeMap::new();
    recorded.iter().filter_map(exchanged).for_each(|one| *all.entry(one).or_default() += 1);
    all
}

/// Captures made from others hold the same exchanges, or where packets are missing, some of them, and no others.
#[test]
fn derived_captures_hold_what_their_sources_hold() {
    let manifest = std::fs::read_to_string(directory().join("manifest.toml")).unwrap();
    let mut derived = BTreeSet::new();
    let mut file = String::new();
    for line in manifest.lines() {
        if let Some(value) = line.strip_prefix("file = ") {
            file = value.trim_matches('"').to_owned();
        } else if let Some(value) = line.strip_prefix("derived_from = ") {
            derived.insert((file.clone(), value.trim_matches('"').to_owned()));
        }
    }
    assert!(derived.len() >= 5, "{derived:?}");
    for (file, source) in derived {
        let (has, source) =
            (all_exchanged(&directory().join(&file)), all_exchanged(&directory().join(source)));
        let loses = ["late", "lost", "snapshot"].iter().any(|word| file.contains(word));
        if loses {
            let count: usize = has.values().sum();
            assert!(count > 0 || file.contains("snapshot"), "{file}: nothing was rebuilt");
        } else {
            assert_eq!(has, source, "{file}");
        }
        for (exchange, count) in &has {
            assert!(
                source.get(exchange).is_some_and(|c| c >= count),
                "{file}: not in its source: {exchange}"
            );
        }
    }
}

#[test]
fn every_recording_is_known_to_the_manifest() {
    let manifest = std::fs::read_to_string(directory().join("manifest.toml")).unwrap();
    for path in recordings() {
        assert!(manifest.contains(&format!("file = \"{}\"", name(&path))), "{}", path.display());
    }
}
