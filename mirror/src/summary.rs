//! What a mirror has to say at its end: the verdict, never without the ledger.

use crate::advice::advice;
use crate::config::Config;
use crate::findings::Kind;
use crate::ledger::{Group, State};
use crate::live::{Live, Numbers};
use crate::sample::Share;
use exchange::Time;
use report::{Check, Fault, Ledger, Level, Outcome, Reason, Report, Subject, Verdict};
use std::net::SocketAddr;

/// A mirror's end.
#[derive(Clone, Debug)]
pub struct Summary {
    pub numbers: Numbers,
    /// Kinds of differences: those that most answers show first, broken answers before statuses before fields.
    pub kinds: Vec<(String, Kind)>,
    /// Differences of kinds beyond those told apart.
    pub more_kinds: u64,
    pub started: Time,
    pub ended: Time,
    pub listen: SocketAddr,
    primary: String,
    candidate: String,
    seed: u64,
    sample: Share,
    min_compared: Share,
}

impl Summary {
    pub(crate) fn new(config: &Config, listen: SocketAddr, started: Time, ended: Time, live: &Live) -> Self {
        let numbers = live.numbers();
        let findings = live.findings();
        let mut kinds: Vec<_> = findings.kinds.iter().map(|(f, k)| (f.clone(), k.clone())).collect();
        let class = |kind: &Kind| kind.difference.as_ref().map(|d| d.class);
        kinds.sort_by_key(|(_, kind)| (std::cmp::Reverse(kind.standing), class(kind)));
        Summary {
            numbers,
            kinds,
            more_kinds: findings.more_kinds,
            started,
            ended,
            listen,
            primary: config.primary.to_string(),
            candidate: config.candidate.to_string(),
            seed: config.seed,
            sample: config.sample,
            min_compared: config.min_compared,
        }
    }

    /// Requests that were to be compared, and how many of them were.
    fn exposure(&self) -> (u64, u64) {
        let totals = &self.numbers.totals;
        let compared = totals.of_group(Group::Compared);
        (compared + totals.of_group(Group::Dropped), compared)
    }

    /// Requests that speak against the candidate.
    fn failed(&self) -> u64 {
        let broken = State::ALL.iter().filter(|s| s.is_broken_answer()).map(|s| self.numbers.totals.of(*s));
        self.numbers.totals.of(State::Different) + broken.sum::<u64>()
    }

    /// The verdict. An unbalanced ledger gives none, whatever else was found.
    pub fn outcome(&self) -> Outcome {
        let (eligible, compared) = self.exposure();
        if !self.numbers.totals.is_settled() {
            Outcome::CouldNotJudge
        } else if self.failed() > 0 {
            Outcome::Differences
        } else if compared == 0 || (compared as f64) < self.min_compared.get() * eligible as f64 {
            Outcome::CouldNotJudge
        } else {
            Outcome::Agree
        }
    }

    /// The verdict as a report, with the ledger and each kind of difference.
    pub fn report(&self) -> Report {
        let version = env!("CARGO_PKG_VERSION");
        let mut report = Report::new("mirror", version, "live traffic", self.started, self.ended);
        report.title = format!("live traffic at {}", self.listen);
        report.seed = Some(self.seed);
        report.subjects =
            vec![Subject::new("reference", &*self.primary), Subject::new("candidate", &*self.candidate)];
        report.outcome = self.outcome();
        report.reasons = self.reasons();
        let totals = &self.numbers.totals;
        let ledger = State::ALL
            .iter()
            .filter(|state| totals.of(**state) > 0 || matches!(state, State::Same | State::Different))
            .fold(Ledger::new("requests", totals.requests), |ledger, state| {
                ledger.with(part(*state), totals.of(*state))
            });
        report.ledgers = vec![ledger];
        report.checks = self.kinds.iter().map(|(fingerprint, kind)| check(fingerprint, kind)).collect();
        report.notes = self.notes();
        if let Ok(numbers) = serde_json::to_value(&self.numbers) {
            report.extra.insert("mirror".into(), numbers);
        }
        report
    }

    fn reasons(&self) -> Vec<Reason> {
        let (eligible, compared) = self.exposure();
        let totals = &self.numbers.totals;
        let mut reasons = Vec::new();
        if !self.numbers.totals.is_settled() {
            let missing = totals.lost + totals.open();
            reasons.push(
                Reason::deciding(
                    Fault::Harness,
                    format!("the ledger does not balance: the end of {missing} requests is unknown"),
                )
                .next("This is a defect of the mirror: please report it with this report."),
            );
        }
        if self.failed() > 0 {
            let ids = self.kinds.iter().filter(|(_, k)| k.standing > 0).map(|(f, _)| f.clone());
            let text = format!(
                "{} of {compared} compared answers differ in meaning, and {} more were no answers",
                totals.of(State::Different),
                self.failed() - totals.of(State::Different)
            );
            reasons.push(
                Reason::deciding(Fault::Candidate, text)
                    .resting_on(ids)
                    .next("Read the differences; accept those that are meant with --waivers."),
            );
        } else if compared == 0 {
            reasons.push(match self.most_left_out() {
                None if self.numbers.connections.primary_unreachable > 0 => Reason::deciding(
                    Fault::Reference,
                    "not one answer was compared: the primary could not be reached",
                )
                .next(advice(State::PrimaryGone).1),
                None => Reason::deciding(Fault::Input, "not one answer was compared: no request came")
                    .next("Send traffic through the mirror."),
                Some((state, count)) => {
                    let (what, next) = advice(state);
                    let requests = totals.requests;
                    let text = format!("not one answer was compared: {count} of {requests} requests {what}");
                    Reason::deciding(self.fault_for(state), text).next(next)
                }
            });
        } else if self.outcome() == Outcome::CouldNotJudge && self.numbers.totals.is_settled() {
            let percent = compared as f64 / eligible as f64 * 100.0;
            let mut text = format!(
                "only {percent:.1}% of the requests to compare were compared ({compared} of {eligible}); {} are needed",
                self.min_compared
            );
            let mut reason = Reason::deciding(self.fault_for_drops(), "");
            if let Some((state, count)) = self.most_left_out() {
                let (what, next) = advice(state);
                text.push_str(&format!("; {count} {what}"));
                reason = reason.next(next);
            }
            reason.text = text;
            reasons.push(reason);
        }
        let dropped = totals.of_group(Group::Dropped);
        if dropped > 0 && self.outcome() == Outcome::Agree {
            let text = format!("{dropped} requests to compare were dropped; the ledger says why");
            reasons.push(Reason::warning(self.fault_for_drops(), text));
        }
        reasons
    }

    /// The state that most requests without a comparison are in, and how many: of those dropped where there are any,
    /// for the others were left out by rule or by their clients.
    fn most_left_out(&self) -> Option<(State, u64)> {
        let totals = &self.numbers.totals;
        let left_out = State::ALL.iter().filter(|s| s.group() != Group::Compared && totals.of(**s) > 0);
        let most = left_out.max_by_key(|s| (s.group() == Group::Dropped, totals.of(**s)))?;
        Some((*most, totals.of(*most)))
    }

    /// Who is at fault where most requests ended in this state.
    fn fault_for(&self, state: State) -> Fault {
        match state.group() {
            Group::Dropped if matches!(state, State::RequestUnparsed | State::PrimaryUnparsed) => {
                Fault::Input
            }
            Group::Dropped => self.fault_for_drops(),
            _ if state == State::PrimaryGone => Fault::Reference,
            _ => Fault::Input,
        }
    }

    /// Who is at fault for most of what was dropped.
    fn fault_for_drops(&self) -> Fault {
        let totals = &self.numbers.totals;
        let candidate: u64 =
            State::ALL.iter().filter(|s| s.reason().starts_with("candidate-")).map(|s| totals.of(*s)).sum();
        if 2 * candidate >= totals.of_group(Group::Dropped) { Fault::Candidate } else { Fault::Harness }
    }

    fn notes(&self) -> Vec<String> {
        let numbers = &self.numbers;
        let connections = &numbers.connections;
        let mut notes = vec![format!(
            "connections: {}, bytes to the primary: {}, bytes to clients: {}; copies held at most {} of {} bytes",
            connections.accepted,
            connections.bytes_to_primary,
            connections.bytes_to_clients,
            numbers.memory.peak,
            numbers.memory.limit
        )];
        if self.sample != Share::ALL {
            notes.push(format!("sample {}, drawn with --seed {}", self.sample, self.seed));
        }
        if !numbers.caches.is_empty() {
            let caches: Vec<_> = numbers.caches.iter().map(|(pair, n)| format!("{pair} {n}")).collect();
            notes.push(format!("answers by cache state, primary/candidate: {}", caches.join(", ")));
        }
        for (count, text) in [
            (
                connections.primary_unreachable,
                "connections were reset because the primary could not be reached",
            ),
            (
                connections.unfollowed,
                "connections stopped being HTTP/1.1 as far as could be told, and were relayed unseen from there on",
            ),
            (
                connections.tunnelled,
                "connections became another protocol, and were relayed unseen from there on",
            ),
            (
                connections.cut,
                "connections were cut at the end with a message under way; --drain gives them longer",
            ),
            (
                connections.accept_errors,
                "times accepting failed; raise the limit of descriptors (ulimit -n) or lower --connections",
            ),
            (numbers.files.diffs_lost, "differences are missing in the file of differences"),
            (numbers.files.unrecorded, "transactions are missing in the record"),
            (self.more_kinds, "differences were of kinds beyond those listed"),
        ] {
            if count > 0 {
                notes.push(format!("{count} {text}"));
            }
        }
        for (what, error) in
            [("differences", &numbers.files.diffs_error), ("the record", &numbers.files.record_error)]
        {
            if let Some(error) = error {
                notes.push(format!("writing {what} failed: {error}"));
            }
        }
        notes
    }
}

/// A state as a part of the ledger: `compared: same`.
fn part(state: State) -> String {
    let group = match state.group() {
        Group::Compared => "compared",
        Group::SampledOut => return "sampled out".into(),
        Group::HeldBack => "held back",
        Group::Dropped => "dropped",
        Group::Incomplete => "incomplete",
    };
    format!("{group}: {}", state.reason())
}

/// What a candidate did that broke its answer.
fn broken(state: State) -> &'static str {
    match state {
        State::CandidateClosed => "the candidate closed the connection without an answer",
        State::CandidateGarbage => "what the candidate sent is no HTTP/1.1 response",
        State::CandidateTooLong => "the candidate's answer went on long after the primary's had ended",
        _ => "the candidate gave no whole answer",
    }
}

fn check(fingerprint: &str, kind: &Kind) -> Check {
    let verdict = if kind.standing > 0 { Verdict::Fail } else { Verdict::Waived };
    let times = if kind.count == 1 { "once".to_owned() } else { format!("{} times", kind.count) };
    let found = kind.difference.as_deref();
    let (area, title, reason) = match found {
        Some(d) => (d.class.name().to_owned(), format!("{}, {times}", d.path), d.explanation.clone()),
        None => (
            "answer".to_owned(),
            format!("{}, {times}", kind.outcome.reason()),
            broken(kind.outcome).to_owned(),
        ),
    };
    let mut check = Check::new(fingerprint, area, Level::Must, verdict, title)
        .because(format!("{reason}; first seen: {} {}", kind.method, kind.url));
    if let Some(d) = found {
        check.cites = Some(d.rule.cites.to_string());
        check.differences = vec![report::Difference {
            path: d.path.clone(),
            class: d.class.name().to_owned(),
            rule: d.rule.to_string(),
            left: d.left.clone(),
            right: d.right.clone(),
            counts: d.stands(),
            explanation: d.explanation.clone(),
            diff: d.diff.clone(),
            waived: d.waived.as_ref().map(|w| format!("{} ({}, until {})", w.reason, w.owner, w.expires)),
        }];
    }
    check
}
