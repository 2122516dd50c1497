//! When each recorded request is due, and on which connection.

use crate::extract::{Recorded, Unusable};
use std::time::Duration;

/// How fast a capture is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// This many times the recorded pace.
    Factor(f64),
    /// As fast as the recorded order allows: a request waits only for the transactions that had ended, in the
    /// recording, before it began.
    Max,
}

impl std::str::FromStr for Speed {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("max") {
            return Ok(Speed::Max);
        }
        match text.parse::<f64>() {
            Ok(factor) if (0.001..=1e6).contains(&factor) => Ok(Speed::Factor(factor)),
            _ => Err("a speed is a number from 0.001 to 1000000, such as 1, 0.5 or 20, or max"),
        }
    }
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Speed::Factor(factor) => write!(f, "{factor}"),
            Speed::Max => f.write_str("max"),
        }
    }
}

/// A transaction to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number in the capture.
    pub index: usize,
    /// When its request is due, counted from the start of the run.
    pub due: Duration,
    /// Whether it was sent before the one before it on its connection was answered.
    pub pipelined: bool,
    /// How many of [`Plan::by_end`] had ended before it began.
    pub after: usize,
}

/// Why a transaction is not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotSent {
    Unusable(Unusable),
    /// `--only` leaves it out.
    Filtered,
    /// A proxy made it to answer another one of the capture: the builds make their own.
    AskedOn,
    /// Its target (`*`) has no path that the prefix could stand before.
    NoPath,
}

impl NotSent {
    /// As a ledger names it.
    pub fn name(self) -> &'static str {
        match self {
            NotSent::Unusable(unusable) => unusable.name(),
            NotSent::Filtered => "left out by --only",
            NotSent::AskedOn => "asked on by a proxy that was recorded too",
            NotSent::NoPath => "no path to put the prefix before",
        }
    }
}

/// What is done with each transaction of a capture.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The steps of each captured connection, in order; connections in the order of their first requests.
    pub connections: Vec<Vec<Step>>,
    /// Numbers of all steps in the order of their recorded ends.
    pub by_end: Vec<usize>,
    /// Those that are not replayed.
    pub not_sent: Vec<(usize, NotSent)>,
    pub steps: usize,
}

impl Plan {
    /// Plans a capture whose transactions are in the order of their requests. `prefixed`: whether something is put
    /// before each path; `wanted` says which transactions to replay.
    pub fn new(
        recorded: &[Recorded],
        speed: Speed,
        prefixed: bool,
        wanted: impl Fn(&Recorded) -> bool,
    ) -> Self {
        let mut plan = Plan::default();
        let mut chosen = Vec::new();
        for (index, transaction) in recorded.iter().enumerate() {
            match transaction.usable() {
                Err(reason) => plan.not_sent.push((index, NotSent::Unusable(reason))),
                Ok(_) if transaction.asked_by.is_some() => plan.not_sent.push((index, NotSent::AskedOn)),
                Ok(_) if !wanted(transaction) => plan.not_sent.push((index, NotSent::Filtered)),
                Ok((request, _)) if prefixed && !request.path_and_query().starts_with(b"/") => {
                    plan.not_sent.push((index, NotSent::NoPath));
                }
                Ok(_) => chosen.push(index),
            }
        }
        let first = chosen.iter().map(|i| recorded[*i].start()).min().unwrap_or_default();
        plan.steps = chosen.len();
        plan.by_end = chosen.clone();
        plan.by_end.sort_by_key(|i| (recorded[*i].end(), *i));
        let ends: Vec<_> = plan.by_end.iter().map(|i| recorded[*i].end()).collect();

        let mut by_place = chosen;
        by_place.sort_by_key(|i| (recorded[*i].place(), *i));
        for group in by_place.chunk_by(|a, b| recorded[*a].place().0 == recorded[*b].place().0) {
            let mut steps = Vec::with_capacity(group.len());
            let mut before = None;
            for index in group {
                let transaction = &recorded[*index];
                let start = transaction.start();
                let offset = start.since(first);
                steps.push(Step {
                    index: *index,
                    due: match speed {
                        Speed::Factor(factor) => offset.div_f64(factor),
                        Speed::Max => Duration::ZERO,
                    },
                    pipelined: before.is_some_and(|end| start < end),
                    after: ends.partition_point(|end| *end < start),
                });
                before = Some(transaction.end());
            }
            plan.connections.push(steps);
        }
        plan.connections.sort_by_key(|steps| steps.first().map(|step| (step.due, step.after, step.index)));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{Body, Fields, Request, Response, Time, Transaction};
    use wire::Notes;

    fn recorded(connection: u64, stream: u64, start: i64, end: i64) -> Recorded {
        let mut request = Request::new("GET", "/", Fields::new());
        (request.seen.connection, request.seen.stream) = (connection, stream);
        request.seen.start = Time(start);
        let mut response = Response::new(200, Fields::new(), Body::empty());
        response.seen.end = Some(Time(end));
        let transaction = Transaction {
            client_request: Some(request),
            client_response: Some(response),
            ..Transaction::default()
        };
        Recorded::new(transaction, Notes::default(), Notes::default())
    }

    #[test]
    fn connections_order_and_pipelines_are_kept() {
        let capture = [
            recorded(1, 0, 100, 200),
            recorded(0, 0, 150, 300),
            recorded(1, 1, 180, 350),
            recorded(1, 2, 400, 500),
        ];
        let plan = Plan::new(&capture, Speed::Factor(2.0), false, |_| true);
        let shape: Vec<Vec<_>> = plan
            .connections
            .iter()
            .map(|steps| steps.iter().map(|s| (s.index, s.due.as_nanos(), s.pipelined, s.after)).collect())
            .collect();
        assert_eq!(
            shape,
            [vec![(0, 0, false, 0), (2, 40, true, 0), (3, 150, false, 3)], vec![(1, 25, false, 0)]]
        );
        assert_eq!(plan.by_end, [0, 1, 2, 3]);
    }

    #[test]
    fn what_is_not_replayed_has_a_reason() {
        let mut lost = recorded(0, 0, 1, 2);
        lost.transaction.client_response = None;
        let plan = Plan::new(&[lost, recorded(0, 1, 3, 4)], Speed::Max, false, |_| false);
        assert_eq!(plan.not_sent, [(0, NotSent::Unusable(Unusable::NoResponse)), (1, NotSent::Filtered)]);
        assert_eq!((plan.steps, plan.connections.len()), (0, 0));
    }

    #[test]
    fn a_prefix_needs_a_path() {
        let mut options = recorded(0, 0, 1, 2);
        if let Some(request) = &mut options.transaction.client_request {
            (request.method, request.target) = ("OPTIONS".into(), "*".into());
        }
        let capture = [options];
        assert_eq!(Plan::new(&capture, Speed::Max, false, |_| true).steps, 1);
        assert_eq!(Plan::new(&capture, Speed::Max, true, |_| true).not_sent, [(0, NotSent::NoPath)]);
    }

    #[test]
    fn speeds() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("0.5".parse(), Ok(Speed::Factor(0.5)));
        for wrong in ["0", "-1", "NaN", "inf", "", "fast", "1e-300", "1e7"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }
}
