//! Every recording through two edges of the same build: no difference, nothing lost.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in what its functions share")]

mod programs;

use endpoint::{Clock, Origin, Settings};
use programs::{programs, root};
use rehearsal::stage::{Build, Place};
use replay::http::{Capture, Options, Speed};
use replay::world::{Service, World};
use std::sync::Arc;

/// Recordings in which requests cannot be answered by the recorded world, with the reason. The list is exact.
const UNRECORDED: &[(&str, &str)] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_against_itself_differs_nowhere() {
    let scratch = tempfile::tempdir().unwrap();
    let place = Place {
        programs: programs().to_owned(),
        scratch: scratch.path().to_owned(),
        diffs: scratch.path().join("diffs.jsonl"),
    };
    let origin = Origin::local(Settings::default()).await.unwrap();
    let reference =
        Build::edge(&place, "reference", "reference-cdn", &["edge"], origin.address()).await.unwrap();
    let candidate =
        Build::edge(&place, "candidate", "reference-cdn", &["edge"], origin.address()).await.unwrap();
    let clock = Clock::system();

    let mut captures: Vec<_> =
        std::fs::read_dir(root().join("corpora/recordings")).unwrap().map(|e| e.unwrap().path()).collect();
    captures.retain(|p| p.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    captures.sort();
    assert!(captures.len() >= 10, "only {captures:?}");
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (index, path) in captures.iter().enumerate() {
        let capture = Capture::load(path).unwrap();
        let service =
            Service::new(Arc::new(World::of(&*capture.recorded)), format!("/r{index}"), clock.clone());
        let _route = service.mount(&origin);
        let options = Options {
            speed: Speed::Max,
            prefix: format!("/r{index}"),
            mark: true,
            ..Options::new(&reference.url, &candidate.url)
        };
        let outcome = replay::http::run(&capture, &options, &clock, &|_, _| ()).await.unwrap();
        let name = &capture.name;
        let counting: Vec<_> = outcome.findings.iter().filter(|f| f.stands).collect();
        if !counting.is_empty() {
            wrong.push(format!("{name}: {counting:#?}"));
        }
        if !outcome.totals.ledger().balances() {
            wrong.push(format!("{name}: {:?}", outcome.totals));
        }
        if outcome.totals.compared != outcome.totals.sent() {
            wrong.push(format!("{name}: not all were compared: {:?}", outcome.totals));
        }
        let counters = service.counters();
        if (counters.unrecorded > 0) != UNRECORDED.iter().any(|(n, _)| n == name) {
            wrong.push(format!("{name}: unrecorded: {:?}", counters.unanswered));
        }
        compared += outcome.totals.compared;
    }
    candidate.stop().await;
    reference.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 500, "only {compared} transactions were compared");
}
