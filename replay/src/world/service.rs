//! The recorded world on a listener.

use super::{Answer, How, MARK, Unrecorded, World};
use bytes::Bytes;
use endpoint::{Clock, Origin, Received, Route, Script};
use exchange::{Request, Secrets, escape};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Unrecorded requests that are remembered; more are only counted.
const REMEMBERED: usize = 1000;

/// Most sides (prefix and pass) whose moment is remembered.
const SIDES: usize = 1000;

/// Serves a [`World`] below a path prefix. Clones share it.
#[derive(Clone, Debug)]
pub struct Service {
    world: Arc<World>,
    prefix: String,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    moments: HashMap<Vec<u8>, usize>,
}

/// What a [`Service`] was asked and what it answered. `requests` is the sum of the four counts after it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    pub requests: u64,
    /// Answered as recorded.
    pub recorded: u64,
    /// Answered by evaluating conditions or ranges on what was recorded.
    pub derived: u64,
    /// Answered likewise where only parts were recorded, with filler between them.
    pub filled: u64,
    /// Answered with 599.
    pub unrecorded: u64,
    /// Unrecorded requests by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The first unrecorded requests.
    pub unanswered: Vec<Unanswered>,
}

/// A request that the recording has no answer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswered {
    pub method: String,
    pub host: String,
    pub target: String,
    pub reason: String,
    pub explanation: String,
}

impl Service {
    /// `prefix`: what stands before each recorded path, empty for nothing. After it, a `~` and a number may tell
    /// several passes of one replay apart.
    pub fn new(world: Arc<World>, prefix: impl Into<String>, clock: Clock) -> Self {
        Service { world, prefix: prefix.into(), clock, state: Arc::default() }
    }

    /// Puts it on a listener that others may use too. It answers as long as the route is kept.
    pub fn mount(&self, origin: &Origin) -> Route {
        let service = self.clone();
        origin.route(self.prefix.clone(), move |received| service.handle(received))
    }

    /// Answers everything that comes to a listener and that no route takes.
    pub fn mount_everywhere(&self, origin: &Origin) {
        let service = self.clone();
        origin.otherwise(move |received| service.handle(received));
    }

    fn handle(&self, received: &Received) -> Script {
        let answer = self.answer(&received.request);
        Script::answer(&received.request, &answer.response)
    }

    /// The answer to a request as it came, prefix and mark included; counts it.
    pub fn answer(&self, request: &Request) -> Answer {
        let Some((request, side)) = self.without_prefix(request) else {
            // Not of this world: what was recorded is to be had below the prefix only.
            let answer = super::unrecorded(request, Unrecorded::Path);
            self.count(request, &answer);
            return answer;
        };
        let marked = request.fields.get_str(MARK).and_then(|mark| mark.trim().parse::<usize>().ok());
        let moment = {
            let mut state = self.state();
            if let Some(moment) = marked {
                if state.moments.len() >= SIDES {
                    state.moments.clear();
                }
                let latest = state.moments.entry(side.clone()).or_default();
                *latest = moment.max(*latest);
            }
            marked.or_else(|| state.moments.get(&side).copied())
        };
        let answer = self.world.answer(&request, moment, self.clock.now());
        self.count(&request, &answer);
        answer
    }

    fn count(&self, request: &Request, answer: &Answer) {
        let counters = &mut self.state().counters;
        counters.requests += 1;
        match &answer.how {
            How::Recorded(_) => counters.recorded += 1,
            How::Derived(_) => counters.derived += 1,
            How::Filled(_) => counters.filled += 1,
            How::Unrecorded(why) => {
                counters.unrecorded += 1;
                *counters.reasons.entry(why.name().to_owned()).or_default() += 1;
                if counters.unanswered.len() < REMEMBERED {
                    counters.unanswered.push(Unanswered {
                        method: escape(&request.method),
                        host: request.authority().map_or_else(String::new, escape),
                        target: escape(&Secrets::Withheld.text(request.path_and_query())),
                        reason: why.name().to_owned(),
                        explanation: why.explanation(),
                    });
                }
            }
        }
    }

    /// The request as it was recorded, and the side it came from: what stood before the recorded path.
    fn without_prefix(&self, request: &Request) -> Option<(Request, Vec<u8>)> {
        let path = request.path_and_query();
        // `*` and authority form have no path that a prefix could stand before.
        if !path.starts_with(b"/") {
            return Some((request.clone(), Vec::new()));
        }
        let rest = path.strip_prefix(self.prefix.as_bytes())?;
        let pass = match rest.strip_prefix(b"~") {
            Some(pass) if !self.prefix.is_empty() => {
                1 + pass.iter().take_while(|digit| digit.is_ascii_digit()).count()
            }
            _ => 0,
        };
        let (side, target) = path.split_at(self.prefix.len() + pass);
        let (side, target) = (side.to_vec(), Bytes::copy_from_slice(target));
        let mut recorded = request.clone();
        // The authority of an absolute target takes the place of Host.
        if recorded.target.len() != path.len()
            && let Some(authority) = request.authority()
        {
            recorded.fields.set("Host", authority.to_vec());
        }
        recorded.target = target;
        Some((recorded, side))
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each update is complete by itself, also where a thread ended in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
