//! One check at work.

use super::page::PageScript;
use super::{Gate, Line, Page, Purger, Reply, Seen, Sighting, Stage, Switch};
use crate::check::Stop;
use exchange::{Request, Side, Time};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The hands of a check: pages at the origin, clients, gates, a clock. Clones are the same trial.
#[derive(Clone, Debug)]
pub struct Trial(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: Arc<Stage>,
    /// The check's id as one path segment.
    slug: String,
    sightings: Mutex<Vec<Sighting>>,
    started: Time,
    numbers: AtomicUsize,
    timed: AtomicBool,
}

impl Trial {
    pub fn new(stage: Arc<Stage>, id: &str) -> Self {
        let started = stage.clock().now();
        Trial(Arc::new(Inner {
            stage,
            slug: id.replace('/', "-"),
            sightings: Mutex::default(),
            started,
            numbers: AtomicUsize::new(0),
            timed: AtomicBool::new(false),
        }))
    }

    pub(super) fn stage(&self) -> &Arc<Stage> {
        &self.0.stage
    }

    /// A page that always gets this reply.
    pub fn page(&self, name: &str, reply: Reply) -> Page {
        self.script(name, move |_, _| reply.clone())
    }

    /// A page whose n-th request gets the n-th reply, and the last one ever after.
    pub fn pages<const N: usize>(&self, name: &str, replies: [Reply; N]) -> Page {
        self.script(name, move |number, _| replies[(number - 1).min(N - 1)].clone())
    }

    /// A page whose conditional requests get the second reply and others the first.
    pub fn validated(&self, name: &str, whole: Reply, conditional: Reply) -> Page {
        self.script(name, move |_, request| {
            let asks = ["If-None-Match", "If-Modified-Since"].iter().any(|n| request.fields.contains(n));
            if asks { conditional.clone() } else { whole.clone() }
        })
    }

    /// A page whose replies are chosen by the number of the request, from 1, and the request.
    pub fn script(
        &self,
        name: &str,
        script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Page {
        let script: PageScript = Arc::new(script);
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let path = format!("/{}/{}/{number}/{name}", self.0.stage.nonce, self.0.slug);
        Page::new(self.clone(), &path, script)
    }

    /// Another page whose path is that of `page` with more at its end.
    pub fn longer(&self, page: &Page, more: &str, reply: Reply) -> Page {
        Page::new(self.clone(), &format!("{}{more}", page.name()), Arc::new(move |_, _| reply.clone()))
    }

    pub fn gate(&self) -> Gate {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let stage = &self.0.stage;
        Gate::new(stage.origin.events().clone(), format!("{}/{}/{number}", stage.nonce, self.0.slug))
    }

    pub fn switch(&self) -> Switch {
        Switch::default()
    }

    /// A connection to the candidate, to send whatever bytes over.
    pub async fn connect(&self) -> Result<Line, Stop> {
        Line::open(self.clone()).await
    }

    /// Lets time pass: for requirements about time only.
    pub async fn pass(&self, time: Duration) {
        self.0.timed.store(true, Ordering::Relaxed);
        self.event(format!("{} ms pass", time.as_millis()));
        tokio::time::sleep(time).await;
    }

    pub fn now(&self) -> Time {
        self.0.stage.clock().now()
    }

    /// The candidate's own host, as clients put it into Host.
    pub fn authority(&self) -> &str {
        &self.0.stage.candidate.authority
    }

    pub fn candidate(&self) -> &super::Candidate {
        &self.0.stage.candidate
    }

    /// What stands before the nonce in paths at the origin.
    pub fn origin_base(&self) -> &str {
        &self.0.stage.origin_base
    }

    /// How to purge, if the profile says.
    pub fn purger(&self) -> Result<Trialled<'_>, Stop> {
        match &self.0.stage.purger {
            Some(purger) => Ok(Trialled { purger, trial: self }),
            None => Err(Stop::Nothing(Purger::MISSING.to_owned())),
        }
    }

    pub(super) fn note(&self, side: Side, seen: Seen) {
        self.push(Some(side), seen.shortened());
    }

    pub(super) fn event(&self, what: String) {
        self.push(None, Seen::Event(what));
    }

    fn push(&self, side: Option<Side>, seen: Seen) {
        let time = self.now();
        self.0.sightings.lock().unwrap_or_else(PoisonError::into_inner).push(Sighting { time, side, seen });
    }

    /// What was seen so far.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.0.sightings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn started(&self) -> Time {
        self.0.started
    }

    /// Whether the check let time pass.
    pub fn is_timed(&self) -> bool {
        self.0.timed.load(Ordering::Relaxed)
    }

    /// What a failed step of a client means.
    pub(super) fn stop(&self, error: endpoint::Error) -> Stop {
        use endpoint::Error;
        match error {
            Error::Connect { peer, source } => {
                Stop::Dropped(format!("the candidate at {peer} {}{source}", Stop::NO_CONNECTION))
            }
            Error::Closed { step, how, .. } => Stop::Dropped(format!(
                "the candidate ended the connection ({how:?}) instead of answering: {step}"
            )),
            Error::Deadline { after, .. } => {
                Stop::Hung(format!("the candidate was silent for {} ms", after.as_millis()))
            }
            Error::Meaningless { source, .. } => {
                Stop::Broken(format!("the candidate sent bytes that are no HTTP response: {source}"))
            }
            Error::Short { got, wanted, .. } => {
                Stop::Broken(format!("the content ended after {got} of {wanted} bytes"))
            }
            error @ (Error::Bind { .. } | Error::Io { .. }) => Stop::Harness(error.to_string()),
        }
    }
}

/// A purger at work in a trial.
#[derive(Debug)]
pub struct Trialled<'t> {
    pub(super) purger: &'t Purger,
    pub(super) trial: &'t Trial,
}
