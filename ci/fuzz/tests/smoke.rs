//! A bounded run of every target: each seed as it is, then mutated ones. The same inputs each time, unless
//! `FUZZ_CASES` or `FUZZ_SEED` say otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use fuzz::{DICTIONARY, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::sync::Arc;

/// A change of an input. Places are 16-bit shares of its length.
#[derive(Clone, Debug)]
enum Change {
    Byte(u16, u8),
    Insert(u16, &'static [u8]),
    Overwrite(u16, &'static [u8]),
    Remove(u16, u8),
    Repeat(u16, u8, u16),
    Truncate(u16),
    /// Goes on with the rest of another seed.
    Splice(u16, usize, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let word = || select(DICTIONARY.to_vec());
    prop_oneof![
        4 => any::<(u16, u8)>().prop_map(|(at, byte)| Change::Byte(at, byte)),
        // The first bytes choose what is done with an input.
        2 => (0..200_u16, any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        5 => (any::<u16>(), word()).prop_map(|(at, word)| Change::Insert(at, word)),
        3 => (any::<u16>(), word()).prop_map(|(at, word)| Change::Overwrite(at, word)),
        3 => any::<(u16, u8)>().prop_map(|(at, count)| Change::Remove(at, count)),
        2 => any::<(u16, u8, u16)>().prop_map(|(at, count, to)| Change::Repeat(at, count, to)),
        1 => any::<u16>().prop_map(Change::Truncate),
        2 => any::<(u16, usize, u16)>().prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
    ]
}

fn place(share: u16, length: usize) -> usize {
    (usize::from(share) * (length + 1)) >> 16
}

fn apply(input: &mut Vec<u8>, change: &Change, seeds: &[Vec<u8>]) {
    let length = input.len();
    match *change {
        Change::Byte(at, byte) if length > 0 => input[place(at, length - 1)] = byte,
        Change::Byte(_, byte) => input.push(byte),
        Change::Insert(at, word) => {
            let at = place(at, length);
            drop(input.splice(at..at, word.iter().copied()));
        }
        Change::Overwrite(at, word) => {
            let at = place(at, length);
            drop(input.splice(at..length.min(at + word.len()), word.iter().copied()));
        }
        Change::Remove(at, count) => {
            let at = place(at, length);
            input.drain(at..length.min(at + usize::from(count)));
        }
        Change::Repeat(at, count, to) => {
            let at = place(at, length);
            let copy = input[at..length.min(at + usize::from(count))].to_vec();
            let to = place(to, length);
            drop(input.splice(to..to, copy));
        }
        Change::Truncate(at) => input.truncate(place(at, length)),
        Change::Splice(at, seed, from) => {
            let other = &seeds[seed % seeds.len()];
            input.truncate(place(at, length));
            input.extend_from_slice(&other[place(from, other.len())..]);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn smoke(target: Target) {
    let seeds: Arc<[Vec<u8>]> = (target.seeds)().into();
    for seed in seeds.iter() {
        (target.run)(seed);
    }
    let cases = number("FUZZ_CASES").map_or(target.smoke, |cases| u32::try_from(cases).unwrap());
    let mut start = [0; 32];
    start[..8].copy_from_slice(&number("FUZZ_SEED").unwrap_or(1).to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &start));
    let mutated = (0..seeds.len(), vec(change(), 0..10)).prop_map(move |(seed, changes)| {
        let mut input = seeds[seed].clone();
        changes.iter().for_each(|change| apply(&mut input, change, &seeds));
        input.truncate(64 << 10);
        Input(input)
    });
    match runner.run(&mutated, |Input(input)| {
        (target.run)(&input);
        Ok(())
    }) {
        Ok(()) => {}
        Err(TestError::Fail(why, Input(input))) => {
            panic!("{} fails: {why}\nwith the input {:?}", target.name, exchange::escape(&input));
        }
        Err(TestError::Abort(why)) => panic!("{} could not be run: {why}", target.name),
    }
}

/// An input that is printed escaped.
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&exchange::escape(&self.0))
    }
}

macro_rules! smoke {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                smoke(fuzz::target(stringify!($name)).unwrap());
            }
        )*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            let names: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, run);
        }
    };
}

smoke! {
    wire_requests
    wire_responses
    wire_connection
    wire_flows
    edge_forwarded
    edge_http1
    edge_http2
    capture_packets
    capture_damaged
    capture_bytes
    compare_answers
    cache_decisions
    stored_head
    digest_fields
    proxy_status
    targeted_fields
    tag_fields
    disk_damaged
    disk_octets
    report_json
    report_text
    text
    waivers
    profile
    edge_config
    purge_orders
    purge_log
    purge_tokens
    mapper_inputs
    mapper_map
    mapper_queries
    mapper_zone_file
    tool_files
}
