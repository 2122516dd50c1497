//! A model of HTTP caching against the edge: random histories are played with a real edge on real sockets, and a small
//! oracle, written from RFC 9110 and RFC 9111 alone, says which answers are allowed after each and which must come.
//!
//! ```text
//! MODEL_CASES=10000 MODEL_SEED=7 cargo test -p edge --test model histories    # longer, from another start
//! ```
//!
//! A failure is shrunk and told as a story. The oracle is proven by mutants: edges with one wrong decision each, which it
//! must find.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod drive;
mod history;
mod message;
mod mutants;
mod oracle;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::sync::Arc;

use drive::Decide;
use history::History;
use http_cache::{Decisions, Settings, Standard};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Histories in one run, unless `MODEL_CASES` says otherwise.
const CASES: u32 = 2000;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn right() -> Decide {
    Arc::new(|settings: &Settings| Arc::new(Standard::new(settings.clone())) as Arc<dyn Decisions>)
}

/// Plays histories until one is not allowed; that one, shrunk, and its story.
fn search(cases: u32, seed: u64, shrinks: u32, decide: &Decide) -> Option<(History, String)> {
    let mut start = [0; 32];
    start[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &start));
    let outcome = runner.run(&history::history(), |history| {
        // One for each history: what an edge leaves behind ends with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(drive::play(&history, decide)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, history)) => Some((history, why.to_string())),
        Err(TestError::Abort(why)) => panic!("the histories could not be played: {why}"),
    }
}

#[test]
fn histories() {
    let cases = number("MODEL_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let seed = number("MODEL_SEED").unwrap_or(1);
    if let Some((history, story)) = search(cases, seed, 2000, &right()) {
        panic!("with MODEL_SEED={seed}:\n{story}\n\n{history:#?}");
    }
}
