//! What the phases found, reduced to what the verdict rests on. No I/O: the phases fill these in.

use std::collections::BTreeSet;

/// What all phases of one run found.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub suite: Option<Suite>,
    pub replays: Vec<Replay>,
    pub mirror: Option<Mirror>,
    /// Faults of our own side, or of the surroundings: a phase that broke, a hop that could not be reached.
    pub faults: Vec<Fault>,
    /// What a run accepted earlier had already found: check ids and fingerprints of differences.
    pub known: BTreeSet<String>,
}

/// Why a phase could not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `suite`, `replay of FILE`, `mirror`.
    pub phase: String,
    /// What was wrong, where, and what to do.
    pub what: String,
}

/// The conformance suite's verdicts on both builds.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    pub checks: Vec<Check>,
}

/// One check on both builds.
#[derive(Clone, Debug)]
pub struct Check {
    pub id: String,
    pub area: String,
    /// Whether the check tests a MUST or MUST NOT.
    pub must: bool,
    pub reference: Outcome,
    pub candidate: Outcome,
}

/// A check's verdict on one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail,
    /// With the reason.
    NotJudged(String),
}

/// One recording driven through both builds.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The recording's file name.
    pub capture: String,
    /// Transactions that the recording holds whole.
    pub recorded: u64,
    /// Of these, how many were compared.
    pub compared: u64,
    /// Whether every transaction ended in exactly one state.
    pub balanced: bool,
    /// Requests that reached the origin and that the recording does not answer.
    pub unrecorded: u64,
    pub differences: Vec<Difference>,
}

/// What the mirror wrote down of live traffic.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// Copies that were meant to be compared: sampled, safe, whole.
    pub eligible: u64,
    pub compared: u64,
    pub balanced: bool,
    pub differences: Vec<Difference>,
}

/// One difference between reference and candidate.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Stable over runs.
    pub fingerprint: String,
    /// What was asked: `GET http://host/path`.
    pub transaction: String,
    /// Where the answers differ: `fields.vary`.
    pub path: String,
    /// Seen again when the request was repeated, or seen more than once.
    pub stable: bool,
    /// A waiver that has not ended covers it.
    pub waived: bool,
}
