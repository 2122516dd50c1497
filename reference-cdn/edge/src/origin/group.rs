//! A customer's origins: chooses one for each request, and another where that one fails and the request may go on.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderMap;
use http::uri::Authority;
use http_cache::Time;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::config::{OriginGroupConfig, ProbeConfig};
use super::error::OriginError;
use super::exchange::{Failed as Failure, Origin};
use super::health::{Change, EjectionRules, Health, standing};
use super::outage::Word;
use super::probe;
use super::request::Outbound;
use super::response::{Answer, retry_after};
use super::retry::{Budget, Failed, Reached, RetryRules, is_idempotent, may_go_on};
use super::select::{Candidate, MOST_ORIGINS, Role, Rules, Standing, Use, turn};
use super::tls::{SystemAuthorities, Tls, TlsSetupError};
use super::{parents, select};
use crate::clock::Clock;
use crate::metrics::Count;

/// How often connections that idled too long are closed and old addresses are looked up again.
const SWEEP: Duration = Duration::from_secs(5);

/// Why a group of origins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OriginSetupError {
    #[error("the origin's name \"{name}\" cannot be sent as a Host field: {source}")]
    Host { name: String, source: http::Error },
    #[error("the origin {origin}: {source}")]
    Tls { origin: String, source: TlsSetupError },
    #[error("{0} origins; a group has 1 to {MOST_ORIGINS}")]
    Count(usize),
    #[error("the path to probe, \"{0}\", is no path")]
    ProbePath(String),
    #[error("the host to probe, \"{0}\", is no host")]
    ProbeHost(String),
}

/// See the module.
#[derive(Debug)]
pub struct Origins {
    customer: Arc<str>,
    origins: Box<[Arc<Origin>]>,
    rules: Rules,
    retry: RetryRules,
    budget: Budget,
    probe: Option<ProbeConfig>,
    has_parents: bool,
    clock: Clock,
    /// Where turns begin, so that edges started together do not all ask the same origin.
    seed: u64,
    turns: AtomicU64,
    /// Requests sent to a further origin, and those that were not because there were too many.
    pub(super) again: Count,
    pub(super) denied: Count,
}

/// What is known of an origin's health, for those who ask at each request and those who are told.
#[derive(Debug)]
pub struct Watch {
    customer: Arc<str>,
    url: String,
    health: Mutex<Health>,
    /// What the health says, for readers: milliseconds of [`Health::out_until`].
    out_until: AtomicU64,
    trials: AtomicU32,
    rules: EjectionRules,
    clock: Clock,
    last: Mutex<Option<(Time, Change)>>,
    pub(super) ejections: Count,
    pub(super) probes: Count,
    pub(super) failed_probes: Count,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(super) fn standing(&self, now: Time) -> Standing {
        let out_until = Time::from_millis(self.out_until.load(Ordering::Acquire));
        let free = self.trials.load(Ordering::Acquire) < self.rules.trials;
        standing(out_until, free, self.rules.most_time, now)
    }

    /// The last change and when it was.
    pub(super) fn last_change(&self) -> Option<(Time, Change)> {
        *lock(&self.last)
    }

    fn begin_trial(&self) -> bool {
        let one_more = |trials: u32| (trials < self.rules.trials).then_some(trials + 1);
        self.trials.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Tells the health something, and everybody what becomes of it.
    fn tell(&self, what: impl FnOnce(&mut Health, Time) -> Option<Change>) {
        let now = self.clock.now();
        let change = {
            let mut health = lock(&self.health);
            let change = what(&mut health, now);
            self.out_until.store(health.out_until().as_millis(), Ordering::Release);
            change
        };
        let Some(change) = change else { return };
        *lock(&self.last) = Some((now, change));
        let (customer, origin) = (&*self.customer, &*self.url);
        match change {
            Change::Ejected { why, time } => {
                self.ejections.add(1);
                let seconds = time.as_secs_f64();
                tracing::warn!(customer, origin, seconds, "origin ejected: {why}");
            }
            Change::Returned => tracing::info!(customer, origin, "origin back: it answered"),
            Change::Down => tracing::warn!(customer, origin, "origin down: its probes failed"),
            Change::Up => tracing::info!(customer, origin, "origin up: its probes succeeded"),
        }
    }

    pub(super) fn probed(&self, good: bool) {
        self.probes.add(1);
        self.failed_probes.add(u64::from(!good));
        self.tell(|health, _| health.probed(good));
    }
}

/// A request that was given to an origin of several. The origin's health is told how it ends.
#[derive(Debug)]
pub struct Attempt {
    origin: Arc<Origin>,
    how: Use,
    /// A response head came, and nothing has been told since.
    answered: bool,
}

impl Attempt {
    fn begin(origin: &Arc<Origin>, how: Use) -> Self {
        origin.load.fetch_add(1, Ordering::AcqRel);
        Self { origin: Arc::clone(origin), how, answered: false }
    }

    fn tell(&self, what: impl FnOnce(&mut Health, Time) -> Option<Change>) {
        if let Some(watch) = &self.origin.watch {
            watch.tell(what);
        }
    }

    /// A response head came: whether an ejected origin is well again is known by now.
    fn answered(&mut self) {
        self.answered = true;
        if self.how != Use::Ordinary {
            let how = self.how;
            self.tell(|health, now| health.succeeded(how, now));
            self.end_trial();
            self.how = Use::Ordinary;
        }
    }

    pub(super) fn succeeded(mut self) {
        self.answered = false;
        let how = self.how;
        self.tell(|health, now| health.succeeded(how, now));
    }

    pub(super) fn failed(mut self, retry_after: Option<Duration>) {
        self.answered = false;
        let how = self.how;
        self.tell(|health, now| health.failed(how, retry_after, now));
    }

    fn end_trial(&self) {
        if self.how == Use::Trial
            && let Some(watch) = &self.origin.watch
        {
            watch.trials.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.answered {
            // The client left in the middle of content: the origin had done nothing wrong so far.
            self.tell(|health, now| health.succeeded(Use::Ordinary, now));
        }
        self.end_trial();
        self.origin.load.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Origins {
    /// `customer`: whose they are, for logs. `seed`: a random number.
    ///
    /// # Errors
    /// When an origin's name cannot be sent, or its TLS cannot be set up.
    pub fn new(
        customer: &str,
        config: OriginGroupConfig,
        clock: Clock,
        seed: u64,
        system: &mut SystemAuthorities,
    ) -> Result<Arc<Self>, OriginSetupError> {
        let count = config.origins.len();
        if count == 0 || count > MOST_ORIGINS {
            return Err(OriginSetupError::Count(count));
        }
        let is_parent = |role: Role| role == Role::Parent;
        if let Some(probe) = &config.probe {
            probe::check(probe)?;
        }
        let customer: Arc<str> = customer.into();
        // A single origin is asked whatever its health; nobody needs to know it unless probes were asked for.
        let is_watched = count > 1 || config.probe.is_some();
        let mut origins = Vec::with_capacity(count);
        for origin in &config.origins {
            let watch = is_watched.then(|| Watch {
                customer: Arc::clone(&customer),
                url: origin.url(),
                health: Mutex::new(Health::new(
                    config.ejection,
                    config.probe.clone().unwrap_or_default().thresholds,
                )),
                out_until: AtomicU64::new(0),
                trials: AtomicU32::new(0),
                rules: config.ejection,
                clock: clock.clone(),
                last: Mutex::default(),
                ejections: Count::default(),
                probes: Count::default(),
                failed_probes: Count::default(),
            });
            let tls = match &origin.tls {
                None => None,
                Some(settings) => Some(
                    Tls::new(settings, origin.protocol, system)
                        .map_err(|source| OriginSetupError::Tls { origin: origin.url(), source })?,
                ),
            };
            let made = Origin::new(origin, config.keep_host, config.limits, config.names.clone(), tls, watch);
            origins.push(Arc::new(
                made.map_err(|source| OriginSetupError::Host { name: origin.authority.to_string(), source })?,
            ));
        }
        Ok(Arc::new(Self {
            customer,
            has_parents: config.origins.iter().any(|it| is_parent(it.role)),
            origins: origins.into(),
            rules: Rules {
                bound: config.parents.bound,
                origins_without_parents: config.parents.origins_without_parents,
            },
            budget: Budget::new(&config.retry),
            retry: config.retry,
            probe: config.probe,
            clock,
            seed,
            turns: AtomicU64::new(0),
            again: Count::default(),
            denied: Count::default(),
        }))
    }

    /// Reads what the origins in TLS trust and show again: for each, whether that changed. Where it did, connections that were
    /// made before carry no further requests.
    pub fn reload_tls<'a>(
        &'a self,
        system: &'a mut SystemAuthorities,
    ) -> impl Iterator<Item = Result<bool, OriginSetupError>> + 'a {
        self.origins.iter().filter_map(|origin| {
            let changed = origin.pool.connector().tls()?.reload(system);
            if matches!(changed, Ok(true)) {
                origin.pool.renew();
            }
            Some(changed.map_err(|source| OriginSetupError::Tls { origin: origin.url.clone(), source }))
        })
    }

    /// The first origin's host and port: what a request without Host is for.
    pub fn authority(&self) -> &Authority {
        let own = self.origins.iter().find(|origin| origin.role != Role::Parent);
        &own.unwrap_or(&self.origins[0]).authority
    }

    pub(super) fn origins(&self) -> &[Arc<Origin>] {
        &self.origins
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Closes idle connections in time, looks names up again, and probes. Ends never; whoever drops it ends it.
    pub async fn tend(self: Arc<Self>) {
        let mut probing = JoinSet::new();
        if let Some(probe) = &self.probe {
            for (index, origin) in self.origins.iter().enumerate() {
                let seed = parents::mix(self.seed ^ index as u64);
                probing.spawn(probe::run(Arc::clone(origin), probe.clone(), seed));
            }
        }
        loop {
            sleep(SWEEP).await;
            for origin in &self.origins {
                origin.pool.sweep();
                origin.pool.connector().renew();
            }
        }
    }

    /// Sends a request to an origin, and to another where that is harmless, and waits for the head of the final response.
    ///
    /// # Errors
    /// When no final response head comes.
    pub async fn send<F, I>(&self, mut outbound: Outbound<'_, F, I>) -> Result<Answer, OriginError>
    where
        F: Fn() -> HeaderMap + Send + Sync,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let began = Instant::now();
        if let [only] = &*self.origins {
            let content = outbound.content.take();
            only.asked.fetch_add(1, Ordering::Relaxed);
            let result = only.send(&outbound, content, began).await;
            self.heard(only, &result);
            return result.map_err(|failed| {
                only.failed.fetch_add(1, Ordering::Relaxed);
                failed.error
            });
        }
        // In a box, so that the common case does not carry the room that this needs.
        let several: Pin<Box<dyn Future<Output = _> + Send + '_>> =
            Box::pin(self.send_to_one_of_several(outbound, began));
        several.await
    }

    async fn send_to_one_of_several<F, I>(
        &self,
        mut outbound: Outbound<'_, F, I>,
        began: Instant,
    ) -> Result<Answer, OriginError>
    where
        F: Fn() -> HeaderMap + Send + Sync,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        self.budget.earn();
        let key = if self.has_parents { parents::hash(outbound.key) } else { 0 };
        let mut content = outbound.content.take();
        let repeatable = content.is_none() && is_idempotent(&outbound.method);
        let (mut tried, mut tries) = (0_u32, 0);
        // What the client gets if nobody does better.
        let mut best: Option<Result<Answer, OriginError>> = None;
        let mut free = true;
        loop {
            let Some((index, mut attempt)) = self.choose(tried, key) else { break };
            if best.is_some() {
                // One that reached nobody adds nobody's load.
                let is_free = free && attempt.how != Use::LastResort;
                if !is_free && !self.budget.spend() {
                    self.denied.add(1);
                    break;
                }
                self.again.add(1);
            }
            tried |= 1 << index;
            tries += 1;
            let origin = &self.origins[index];
            origin.asked.fetch_add(1, Ordering::Relaxed);
            let result = origin.send(&outbound, content.take(), began).await;
            self.heard(origin, &result);
            let (reached, spent) = match result {
                Ok(mut answer) if !self.retry.statuses.contains(&answer.status) => {
                    attempt.answered();
                    answer.content.watch(attempt);
                    return Ok(answer);
                }
                Ok(answer) => {
                    origin.failed.fetch_add(1, Ordering::Relaxed);
                    attempt.failed(retry_after(&answer.headers, self.now()));
                    // A response that the client has seen nothing of may be passed over like one that never came.
                    let seen = answer.after_interim;
                    best = Some(Ok(answer));
                    (if seen { Reached::Answer } else { Reached::Origin }, !repeatable)
                }
                Err(failed) => {
                    origin.failed.fetch_add(1, Ordering::Relaxed);
                    if !failed.tells_nothing {
                        attempt.failed(None);
                    }
                    content = failed.content;
                    if !matches!(best, Some(Ok(_))) {
                        best = Some(Err(failed.error));
                    }
                    (failed.reached, failed.content_spent)
                }
            };
            free = reached == Reached::Nobody;
            let passed = began.elapsed();
            let failed = Failed { method: &outbound.method, content_spent: spent, reached, tries, passed };
            if !may_go_on(&self.retry, &failed) {
                break;
            }
        }
        // The first choice never comes to nothing: no origin has been tried then, and a group has one.
        best.unwrap_or_else(|| {
            Err(OriginError::NotUnderstood { origin: self.customer.to_string(), what: "nothing" })
        })
    }

    /// Logs what came of a request that was given to an origin: each failure at debug, and what is worth a warning.
    fn heard(&self, origin: &Origin, result: &Result<Answer, Failure>) {
        let (customer, url) = (&*self.customer, &*origin.url);
        match result {
            Ok(_) => {
                if let Some(Word::Answers { failed, time }) = origin.outage.answered(self.now()) {
                    let seconds = time.as_secs_f64();
                    tracing::warn!(customer, origin = url, failed, seconds, "the origin answers again");
                }
            }
            Err(Failure { error, spoilt, .. }) => {
                let proxy_status = error.proxy_status();
                tracing::debug!(customer, origin = url, proxy_status, %error, "origin failed");
                if *spoilt {
                    return;
                }
                if let Some(Word::Fails { before }) = origin.outage.failed(self.now()) {
                    tracing::warn!(customer, origin = url, proxy_status, %error, before, "the origin fails; until it answers again, failures are counted and logged at debug only");
                }
            }
        }
    }

    /// An origin for a request, and the attempt begun.
    fn choose(&self, tried: u32, key: u64) -> Option<(usize, Attempt)> {
        loop {
            let now = self.now();
            let mut candidates =
                [Candidate { role: Role::Primary, weight: 1, standing: Standing::Up, load: 0, identity: 0 };
                    MOST_ORIGINS];
            for (candidate, origin) in candidates.iter_mut().zip(&self.origins) {
                *candidate = Candidate {
                    role: origin.role,
                    weight: origin.weight,
                    standing: origin.watch.as_ref().map_or(Standing::Up, |watch| watch.standing(now)),
                    load: origin.load.load(Ordering::Acquire),
                    identity: origin.identity,
                };
            }
            let turn = turn(self.seed, self.turns.fetch_add(1, Ordering::Relaxed));
            let candidates = &candidates[..self.origins.len()];
            let (index, how) = select::choose(candidates, tried, turn, key, &self.rules)?;
            let origin = &self.origins[index];
            let begun = how != Use::Trial || origin.watch.as_ref().is_none_or(Watch::begin_trial);
            if begun {
                return Some((index, Attempt::begin(origin, how)));
            }
            // Another request took the trial meanwhile.
        }
    }
}
