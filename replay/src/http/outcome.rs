//! What a replay found.

use super::distribution::Distribution;
use super::plan::NotSent;
use compare::{Deviant, Fingerprint, ThreeWay};
use report::{Ledger, Report};
use serde::Serialize;

/// What became of one recorded transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Both builds answered; what differs, if anything.
    Compared(Box<ThreeWay>),
    NotSent(NotSent),
    /// The reference gave no answer, the candidate did.
    FailedReference(String),
    /// The candidate gave no answer, the reference did.
    FailedCandidate(String),
    /// Neither did.
    FailedBoth {
        reference: String,
        candidate: String,
    },
}

/// A recorded transaction and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its number in the capture.
    pub index: usize,
    /// `GET http://host/path`, its secrets shown as [`compare::Settings::secrets`] says.
    pub name: String,
    pub state: State,
}

/// One thing that tells the candidate from the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The transaction's number in the capture.
    pub index: usize,
    pub name: String,
    pub kind: FindingKind,
    /// The same for the same finding in another pass or run; combine it with the name.
    pub fingerprint: Option<Fingerprint>,
    /// Who stands apart, the recording being the third.
    pub deviant: Deviant,
    /// Whether it counts and nobody waived it.
    pub stands: bool,
    /// Whether it occurred in each pass; `None` where there was one only.
    pub stable: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FindingKind {
    Difference(Box<compare::Difference>),
    /// The candidate gave no answer where the reference gave one.
    NoAnswer(String),
    /// Further differences of this transaction, which were counted and not listed.
    Omitted(u64),
}

impl Finding {
    /// Whether it speaks against the candidate: it stands, the candidate is not just where the recording is, and no
    /// further pass disproved it.
    pub fn decides(&self) -> bool {
        self.stands && self.deviant != Deviant::Reference && self.stable != Some(false)
    }
}

/// How a build kept to the schedule and how fast it answered, over all passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Timing {
    /// From when a request was due to when it was sent.
    pub lateness: Distribution,
    /// From when a request was due to the end of its answer: what a client that keeps to the schedule would see,
    /// however long requests had to wait for those before them.
    pub latency: Distribution,
    /// From when a request was sent to the end of its answer.
    pub service: Distribution,
}

/// Transactions by state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Recorded in the capture.
    pub transactions: u64,
    pub compared: u64,
    /// Of those compared, how many have a finding that stands.
    pub differing: u64,
    pub failed_reference: u64,
    pub failed_candidate: u64,
    pub failed_both: u64,
    /// Of those that failed at the reference alone, how many were not tried: it had been given up.
    pub given_up_reference: u64,
    /// Of those that failed at the candidate alone, how many were not tried: it had been given up.
    pub given_up_candidate: u64,
    /// Not replayed, by reason.
    pub not_sent: std::collections::BTreeMap<String, u64>,
}

impl Totals {
    /// Transactions that were to be replayed.
    pub fn sent(&self) -> u64 {
        self.compared + self.failed_reference + self.failed_candidate + self.failed_both
    }

    /// The share of those to be replayed that could be judged: both answered, or only the candidate failed.
    pub fn judged_share(&self) -> f64 {
        let sent = self.sent();
        if sent == 0 { 0.0 } else { (self.compared + self.failed_candidate) as f64 / sent as f64 }
    }

    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new("transactions", self.transactions)
            .with("compared", self.compared)
            .with("failed at the reference", self.failed_reference.saturating_sub(self.given_up_reference))
            .with("failed at the candidate", self.failed_candidate.saturating_sub(self.given_up_candidate))
            .with("failed at both", self.failed_both);
        for (build, count) in [("reference", self.given_up_reference), ("candidate", self.given_up_candidate)]
        {
            if count > 0 {
                ledger = ledger.with(format!("failed at the {build}: it had been given up"), count);
            }
        }
        for (reason, count) in &self.not_sent {
            ledger = ledger.with(format!("not sent: {reason}"), *count);
        }
        ledger
    }
}

/// Everything a replay found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the first pass, one for each recorded transaction, in the capture's order.
    pub judged: Vec<Judged>,
    /// Of the first pass, with their stability over all.
    pub findings: Vec<Finding>,
    pub totals: Totals,
    /// How often the capture was replayed.
    pub passes: u32,
    pub reference: Timing,
    pub candidate: Timing,
    /// For people and for machines; its outcome is the verdict.
    pub report: Report,
}

impl Outcome {
    /// Findings that speak against the candidate.
    pub fn deciding(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.decides())
    }
}

/// The findings of one judged transaction.
pub(super) fn findings(judged: &Judged) -> Vec<Finding> {
    let finding = |kind, fingerprint, deviant, stands| Finding {
        index: judged.index,
        name: judged.name.clone(),
        kind,
        fingerprint,
        deviant,
        stands,
        stable: None,
    };
    match &judged.state {
        State::Compared(three) => {
            let mut all: Vec<Finding> = three
                .builds
                .differences
                .iter()
                .map(|difference| {
                    let deviation = three.deviations.iter().find(|d| d.path == difference.path);
                    let deviant = deviation.map_or(Deviant::Candidate, |d| d.deviant);
                    finding(
                        FindingKind::Difference(Box::new(difference.clone())),
                        Some(difference.fingerprint()),
                        deviant,
                        difference.stands(),
                    )
                })
                .collect();
            if three.builds.omitted > 0 {
                all.push(finding(FindingKind::Omitted(three.builds.omitted), None, Deviant::Candidate, true));
            }
            all
        }
        State::FailedCandidate(why) => {
            vec![finding(FindingKind::NoAnswer(why.clone()), None, Deviant::Candidate, true)]
        }
        State::NotSent(_) | State::FailedReference(_) | State::FailedBoth { .. } => Vec::new(),
    }
}

/// Marks each finding with whether it occurred in all later passes too.
pub(super) fn confirm(findings: &mut [Finding], passes: &[Vec<Finding>]) {
    if passes.is_empty() {
        return;
    }
    for finding in findings {
        let same = |other: &Finding| {
            other.index == finding.index
                && other.fingerprint == finding.fingerprint
                && std::mem::discriminant(&other.kind) == std::mem::discriminant(&finding.kind)
        };
        finding.stable = Some(passes.iter().all(|pass| pass.iter().any(same)));
    }
}
