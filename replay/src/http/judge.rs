//! Pairs the answers of both builds and compares them.

use super::drive::Played;
use super::outcome::{Judged, State, Timing, Totals};
use super::plan::{NotSent, Plan};
use super::silence::GIVEN_UP;
use crate::extract::Recorded;
use compare::{Settings, Waivers};
use endpoint::Reply;
use exchange::{Response, Time, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of bodies that may wait for the other build's answer; above it only digests are kept.
const WAITING: usize = 256 << 20;

/// Full answers kept as evidence.
const EVIDENCE: usize = 200;

/// Which build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Reference,
    Candidate,
}

/// What both builds answered to one transaction that differs.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub reference: Option<Response>,
    pub candidate: Option<Response>,
}

/// Takes in answers of both builds as they come.
pub(super) struct Judge {
    recorded: Arc<Vec<Recorded>>,
    settings: Settings,
    waivers: Waivers,
    now: Time,
    waiting: HashMap<usize, (Build, Result<Response, String>)>,
    waiting_bytes: usize,
    judged: Vec<Option<Judged>>,
    evidence: HashMap<usize, Answers>,
    times: [Vec<Times>; 2],
}

#[derive(Clone, Copy)]
struct Times {
    lateness: Duration,
    latency: Duration,
    service: Duration,
}

/// What one pass over a capture gave.
pub(super) struct Pass {
    /// One for each recorded transaction.
    pub judged: Vec<Judged>,
    pub evidence: HashMap<usize, Answers>,
    pub totals: Totals,
    pub reference: Timing,
    pub candidate: Timing,
}

impl Judge {
    /// `now`: for the end dates of waivers.
    pub fn new(
        recorded: Arc<Vec<Recorded>>,
        plan: &Plan,
        settings: Settings,
        waivers: Waivers,
        now: Time,
    ) -> Self {
        let mut judged = vec![None; recorded.len()];
        for (index, reason) in &plan.not_sent {
            let name = settings.secrets.printable(&recorded[*index].transaction.name());
            judged[*index] = Some(Judged { index: *index, name, state: State::NotSent(*reason) });
        }
        Judge {
            recorded,
            settings,
            waivers,
            now,
            waiting: HashMap::new(),
            waiting_bytes: 0,
            judged,
            evidence: HashMap::new(),
            times: [Vec::new(), Vec::new()],
        }
    }

    /// An answer, or that there was none.
    pub fn add(&mut self, build: Build, played: Played) {
        if played.result.is_ok() {
            self.times[build as usize].push(Times {
                lateness: played.sent.saturating_sub(played.due),
                latency: played.ended.saturating_sub(played.due),
                service: played.ended.saturating_sub(played.sent),
            });
        }
        let mut result = played.result.map(|reply| {
            let Reply { response, .. } = *reply;
            response
        });
        match self.waiting.remove(&played.index) {
            None => {
                if let Ok(response) = &mut result {
                    let kept = response.body.bytes.as_ref().map_or(0, bytes::Bytes::len);
                    if self.waiting_bytes + kept > WAITING {
                        response.body.bytes = None;
                    } else {
                        self.waiting_bytes += kept;
                    }
                }
                self.waiting.insert(played.index, (build, result));
            }
            Some((_, other)) => {
                if let Ok(response) = &other {
                    let kept = response.body.bytes.as_ref().map_or(0, bytes::Bytes::len);
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(kept);
                }
                let (reference, candidate) = match build {
                    Build::Reference => (result, other),
                    Build::Candidate => (other, result),
                };
                self.judge(played.index, reference, candidate);
            }
        }
    }

    fn judge(
        &mut self,
        index: usize,
        reference: Result<Response, String>,
        candidate: Result<Response, String>,
    ) {
        let transaction = &self.recorded[index];
        let name = transaction.transaction.name();
        let state = match (&reference, &candidate) {
            (Ok(left), Ok(right)) => match transaction.usable() {
                Ok((request, recorded)) => {
                    let mut three = compare::three_way(&self.settings, request, recorded, left, right);
                    let url = name.split_once(' ').map_or(&*name, |(_, url)| url);
                    self.waivers.apply(&mut three.builds, url, self.now);
                    State::Compared(Box::new(three))
                }
                // The plan sends usable transactions only.
                Err(reason) => State::NotSent(NotSent::Unusable(reason)),
            },
            (Err(why), Ok(_)) => State::FailedReference(why.clone()),
            (Ok(_), Err(why)) => State::FailedCandidate(why.clone()),
            (Err(a), Err(b)) => State::FailedBoth { reference: a.clone(), candidate: b.clone() },
        };
        let worth_showing = match &state {
            State::Compared(three) => !three.builds.agrees(),
            State::FailedCandidate(_) | State::FailedReference(_) => true,
            _ => false,
        };
        if worth_showing && self.evidence.len() < EVIDENCE {
            self.evidence.insert(index, Answers { reference: reference.ok(), candidate: candidate.ok() });
        }
        // Waivers know the URL as it is; from here on people read it.
        let name = self.settings.secrets.printable(&name);
        self.judged[index] = Some(Judged { index, name, state });
    }

    /// The result. What never got a second answer counts as failed there.
    pub fn finish(mut self) -> Pass {
        let never = || Err("the run ended before it was sent".to_owned());
        for (index, (build, result)) in std::mem::take(&mut self.waiting) {
            match build {
                Build::Reference => self.judge(index, result, never()),
                Build::Candidate => self.judge(index, never(), result),
            }
        }
        for index in 0..self.judged.len() {
            if self.judged[index].is_none() {
                self.judge(index, never(), never());
            }
        }
        let judged: Vec<Judged> = self.judged.into_iter().flatten().collect();
        let timing = |times: &[Times]| Timing {
            lateness: super::Distribution::of(times.iter().map(|t| t.lateness)),
            latency: super::Distribution::of(times.iter().map(|t| t.latency)),
            service: super::Distribution::of(times.iter().map(|t| t.service)),
        };
        Pass {
            totals: totals(&judged, self.recorded.len()),
            reference: timing(&self.times[0]),
            candidate: timing(&self.times[1]),
            judged,
            evidence: self.evidence,
        }
    }
}

fn totals(judged: &[Judged], transactions: usize) -> Totals {
    let mut totals = Totals { transactions: transactions as u64, ..Totals::default() };
    for one in judged {
        match &one.state {
            State::Compared(three) => {
                totals.compared += 1;
                totals.differing += u64::from(!three.builds.agrees());
            }
            State::FailedReference(why) => {
                totals.failed_reference += 1;
                totals.given_up_reference += u64::from(why.starts_with(GIVEN_UP));
            }
            State::FailedCandidate(why) => {
                totals.failed_candidate += 1;
                totals.given_up_candidate += u64::from(why.starts_with(GIVEN_UP));
            }
            State::FailedBoth { .. } => totals.failed_both += 1,
            State::NotSent(reason) => {
                *totals.not_sent.entry(reason.name().to_owned()).or_default() += 1;
            }
        }
    }
    totals
}

/// An answer as a transaction to record: the recorded request, and what this build said to it.
pub(super) fn as_transaction(recorded: &Recorded, at: &str, response: &Response) -> Transaction {
    Transaction {
        source: exchange::Source { tool: "replay".into(), at: at.to_owned() },
        client_request: recorded.request().cloned(),
        client_response: Some(response.clone()),
        ..Transaction::default()
    }
}
