//! One question to the origin, and what its answer means for the store.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_cache::{
    Beside, Ended, ExpectedDigests, Failure, Fetch, ForwardReason, Keep, NotStored, ProxyError, Received,
    Response, Stored, Time,
};
use hyper::ext::ReasonPhrase;
use tokio::time::timeout;

use crate::client::{RequestBody, RequestHead};
use crate::customer::Customer;
use crate::digests::{Check, CheckedContent, Spoiled};
use crate::limits::Limit;
use crate::origin::{Answer, ContentError, OriginError, Outbound};
use crate::state::{Edge, view};
use crate::store::{Body, End, Filler, Landing, Next, Object, Purged, Registration, Variants};

/// How often a response that answers nothing (a 304 to a question without conditions) is asked for again.
const MOST_ROUNDS: usize = 3;

/// What came of it.
pub enum Outcome {
    /// A response that is in the store, or on its way into it; or not, for the reason `unstored`. `status`: what the
    /// origin answered.
    Object { object: Object, status: StatusCode, confirmed: bool, unstored: Option<NotStored> },
    /// The origin failed; this stored response may be served stale.
    Stale { object: Object, status: Option<StatusCode>, error: Option<ProxyError> },
    /// A response for this client only.
    Relay(Box<Relayed>),
    /// No response.
    Failed { failure: Failure, error: ProxyError },
}

/// A response of the origin: its head, and content still to come.
pub struct Incoming {
    pub status: StatusCode,
    pub reason: Option<ReasonPhrase>,
    pub headers: HeaderMap,
    pub content: CheckedContent,
    /// Length of the content, when announced.
    pub length: Option<u64>,
}

impl From<Answer> for Incoming {
    fn from(answer: Answer) -> Self {
        let Answer { status, reason, headers, content, length, .. } = answer;
        Self { status, reason, headers, content: CheckedContent::new(content), length }
    }
}

/// A response that is passed on.
pub struct Relayed {
    pub answer: Incoming,
    pub request_time: Time,
    pub response_time: Time,
    pub why: NotStored,
}

/// A question.
pub struct Question {
    pub customer: Arc<Customer>,
    pub request: Arc<RequestHead>,
    pub fetch: Fetch,
    /// What the plan was made from.
    pub variants: Arc<Variants>,
    pub content: Option<RequestBody>,
}

impl Edge {
    /// Asks the origin. Whoever waits on the registration's flight is told what came of it.
    pub async fn ask(self: Arc<Self>, registration: Registration, question: Question) -> Outcome {
        let Question { customer, request, mut fetch, variants, mut content } = question;
        let decisions = &*customer.decisions;
        let seen = view(&request);
        for _ in 0..MOST_ROUNDS {
            let validated = fetch.validate.and_then(|index| variants.stored.get(index));
            let fields = || decisions.origin_request(&seen, &fetch, validated.map(|stored| &**stored));
            let request_time = self.clock.now();
            self.metrics.origin_requests.add(1);
            let outbound = Outbound {
                method: request.method.clone(),
                path_and_query: request.target.path_and_query().cloned(),
                fields,
                expects_continue: request.expects_continue && content.is_some(),
                content: content.take(),
                interim: relay_interim(&customer, &request, &registration),
                key: registration.key().key.as_str(),
            };
            let failed = |failure, error| {
                let now = self.clock.now();
                let stale = decisions.failed(&seen, &fetch, failure, &variants.stored, now);
                self.failed(&registration, stale.and_then(|index| variants.object(index)), failure, error)
            };
            let mut answer = match customer.origin.send(outbound).await {
                Ok(answer) => Incoming::from(answer),
                Err(error) => {
                    let (failure, name) = self.unanswered(&request, &error);
                    return failed(failure, name);
                }
            };
            let response_time = self.clock.now();
            let response =
                Response { status: answer.status, headers: &answer.headers, request_time, response_time };
            let invalidated = decisions.invalidated(&seen, &response).into_iter();
            let purge =
                |key| self.store.purge(&self.store.hashed(&customer.name, key), Some(registration.flight()));
            if let Some(purged) = invalidated.map(purge).reduce(Purged::and) {
                // It holds already. That it holds after a restart too is waited for, unless the disk hangs.
                let _ = timeout(self.store.patience(), purged.removal.written()).await;
            }
            let groups = decisions.invalidated_groups(&seen, &response);
            let origin = registration.key().key.origin();
            self.store.purges().invalidate_groups(&customer.name, origin, &groups);
            let expected = ExpectedDigests::of(&seen, &response);
            if let Err(spoiled) = answer.content.expect(expected, answer.length).await {
                self.spoiled(&request.target, &spoiled);
                return failed(Failure::Response, error_of(&spoiled));
            }
            let status = answer.status;
            match decisions.received(&seen, &fetch, &response, &variants.stored) {
                Received::Store { stored, replaces } => {
                    if self.is_too_large(&stored, answer.length) {
                        self.metrics.reached(Limit::StoreObject);
                        if let Some(head) = decisions.cut(&stored).filter(|_| answer.length.is_some()) {
                            let head = self.keep_head(
                                &registration,
                                (&customer, &request),
                                head,
                                &bodies(&variants, &replaces),
                            );
                            self.cut(&customer, registration.key(), &head, answer.content);
                            return self.in_slices(&registration, head, status);
                        }
                        let _ = self.store.forget(registration.key(), &bodies(&variants, &replaces));
                        return self.relay(
                            &registration,
                            answer,
                            (request_time, response_time),
                            NotStored::TooLarge,
                        );
                    }
                    let replaces = bodies(&variants, &replaces);
                    let plan = FillPlan { replaces, ..FillPlan::new(*stored, &request) };
                    return self.receive(&customer, registration, answer, plan, false);
                }
                Received::Slice { stored, replaces, range } => {
                    let head = self.keep_head(
                        &registration,
                        (&customer, &request),
                        *stored,
                        &bodies(&variants, &replaces),
                    );
                    let (key, slice) = (registration.key(), head.stored.slice(range.clone()));
                    let slices = head.stored.slices().map(|slices| (slices.id, range.start / slices.size));
                    // If somebody else fetches that slice, theirs is as good.
                    if let Some((id, index)) = slices
                        && let Ok(registration) = self.store.take_off(
                            &self.slice_key(key, id, index),
                            registration.born(),
                            None,
                            true,
                            |_| true,
                        )
                    {
                        self.receive(&customer, registration, answer, FillPlan::slice(slice), false);
                    }
                    return self.in_slices(&registration, head, status);
                }
                Received::Pass { stored, why, forget } => {
                    let _ = self.store.forget(registration.key(), &bodies(&variants, &forget));
                    self.lonely.note(registration.key().hash, response_time);
                    registration.close();
                    registration.flight().land(Landing::Alone);
                    let plan = FillPlan { unstored: Some(why), ..FillPlan::slice(*stored) };
                    return self.receive(&customer, registration, answer, plan, false);
                }
                Received::Combine { index, stored, content_at } => {
                    let Some(old) = variants.object(index) else { break };
                    let plan = combine(FillPlan::new(*stored, &request), &old, content_at, answer.length);
                    if self.is_intact(&registration, &plan).await {
                        return self.receive(&customer, registration, answer, plan, false);
                    }
                    fetch = Fetch { whole: true, ..Fetch::forward(ForwardReason::Partial) };
                }
                Received::Copy { index, stored } => {
                    if stored.slices().is_some() {
                        // The slices are shared; only the head is another.
                        let head = self.keep_head(&registration, (&customer, &request), *stored, &[]);
                        return self.in_slices(&registration, head, status);
                    }
                    let Some(old) = variants.object(index) else { break };
                    let octets = old.body.received();
                    let before = Some(Piece { body: old.body, from: 0, octets });
                    let plan = FillPlan { before, ..FillPlan::new(*stored, &request) };
                    if self.is_intact(&registration, &plan).await {
                        return self.receive(&customer, registration, answer, plan, true);
                    }
                    fetch = Fetch { whole: true, ..Fetch::forward(ForwardReason::VaryMiss) };
                }
                Received::Freshen { updated, forget } => {
                    let fresh = |(index, head): (usize, Box<Stored>)| {
                        let body = Arc::clone(variants.bodies.get(index)?);
                        Some((Object { stored: Arc::new(head.clone().at_rest()), body }, *head))
                    };
                    let (objects, mut heads): (Vec<Object>, Vec<Stored>) =
                        updated.into_iter().filter_map(fresh).unzip();
                    let Some(first) = objects.first().cloned() else { break };
                    let _ = self.store.forget(registration.key(), &bodies(&variants, &forget));
                    self.store.freshen(&registration, &objects);
                    registration.close();
                    registration.flight().land(Landing::Share(first.clone()));
                    // The client that asked gets the fields meant for it alone, too.
                    let object = Object { stored: Arc::new(heads.swap_remove(0)), body: first.body };
                    return Outcome::Object { object, status, confirmed: true, unstored: None };
                }
                Received::ServeStale { index } => {
                    let Some(object) = variants.object(index) else { break };
                    return self.stale(&registration, object, Some(status), None);
                }
                Received::Again(next) => fetch = next,
                Received::Relay { why, forget } => {
                    let _ = self.store.forget(registration.key(), &bodies(&variants, &forget));
                    return self.relay(&registration, answer, (request_time, response_time), why);
                }
            }
        }
        tracing::warn!(target = %request.target, "the origin's answers fit none of what was asked");
        self.failed(&registration, None, Failure::Response, ProxyError::HttpProtocolError)
    }

    /// Counts a request that brought no response head. The origins' own log says when one begins to fail and when it ends.
    pub(crate) fn unanswered(&self, request: &RequestHead, error: &OriginError) -> (Failure, ProxyError) {
        self.metrics.origin_failures.add(1);
        tracing::debug!(target = %request.target, proxy_status = error.proxy_status(), %error);
        if let Some(limit) = error.limit() {
            self.metrics.reached(limit);
        }
        let name = ProxyError::from_name(error.proxy_status());
        (error.failure(), name.unwrap_or(ProxyError::ProxyInternalError))
    }

    /// No response came that can be used: `stale` stands in, if there is one.
    fn failed(
        &self,
        registration: &Registration,
        stale: Option<Object>,
        failure: Failure,
        error: ProxyError,
    ) -> Outcome {
        if let Some(object) = stale {
            return self.stale(registration, object, None, Some(error));
        }
        registration.close();
        registration.flight().land(Landing::Failed(failure, error));
        Outcome::Failed { failure, error }
    }

    /// Counts and logs content that ended before its time.
    pub(crate) fn spoiled(&self, what: &dyn std::fmt::Display, spoiled: &Spoiled) {
        let name = error_of(spoiled).name();
        match spoiled {
            Spoiled::Origin(error) => {
                self.metrics.origin_truncated.add(1);
                if let Some(limit) = error.limit() {
                    self.metrics.reached(limit);
                }
            }
            Spoiled::Digest(_) => self.metrics.origin_digest_mismatches.add(1),
        }
        tracing::debug!(target = %what, proxy_status = name, error = %spoiled);
        if let Some(before) = self.spoils.turn(self.clock.now()) {
            tracing::warn!(target = %what, proxy_status = name, error = %spoiled, before, "content of an origin ended before its time; others within some seconds are counted and logged at debug only");
        }
    }

    /// Are the stored octets of a plan good? Looked at before anybody is promised them; what is not leaves the store.
    async fn is_intact(&self, registration: &Registration, plan: &FillPlan) -> bool {
        for piece in plan.before.iter().chain(&plan.after) {
            let mut reader = piece.body.read(piece.from);
            let mut left = piece.octets;
            while left > 0 {
                let next = reader.next(left);
                if matches!(next, Ok(Next::Wait)) && piece.body.is_loading() {
                    reader.arrival().await;
                    continue;
                }
                let Ok(Next::Data(data)) = next else {
                    tracing::error!(key = %registration.key().key, "a stored block failed its check; the response leaves the store");
                    let _ = self.store.forget(registration.key(), std::slice::from_ref(&piece.body));
                    return false;
                };
                left -= data.len() as u64;
                tokio::task::yield_now().await;
            }
        }
        true
    }

    fn stale(
        &self,
        registration: &Registration,
        object: Object,
        status: Option<StatusCode>,
        error: Option<ProxyError>,
    ) -> Outcome {
        registration.close();
        registration.flight().land(Landing::Stale(object.clone()));
        Outcome::Stale { object, status, error }
    }

    fn relay(
        &self,
        registration: &Registration,
        answer: Incoming,
        (request_time, response_time): (Time, Time),
        why: NotStored,
    ) -> Outcome {
        self.lonely.note(registration.key().hash, response_time);
        registration.close();
        registration.flight().land(Landing::Alone);
        Outcome::Relay(Box::new(Relayed { answer, request_time, response_time, why }))
    }

    fn is_too_large(&self, stored: &Stored, length: Option<u64>) -> bool {
        let announced = length.or(stored.extent().length).unwrap_or(0);
        announced > self.store.limits().object
    }

    /// The head of what is kept in slices is in the store.
    fn in_slices(&self, registration: &Registration, object: Object, status: StatusCode) -> Outcome {
        self.lonely.clear(registration.key().hash);
        let stored = Arc::new(Stored::clone(&object.stored).at_rest());
        registration.flight().land(Landing::Share(Object { stored, body: Arc::clone(&object.body) }));
        Outcome::Object { object, status, confirmed: false, unstored: None }
    }

    /// Begins to take in a response; readers may follow at once.
    pub fn receive(
        self: &Arc<Self>,
        customer: &Arc<Customer>,
        registration: Registration,
        answer: Incoming,
        plan: FillPlan,
        confirmed: bool,
    ) -> Outcome {
        let status = answer.status;
        let unstored = plan.unstored;
        let mut fill = self.fill(customer, registration, &plan);
        // What is put together from parts is a whole of its own.
        let combined = plan.before.is_some() || plan.after.is_some();
        let expected =
            if combined { ExpectedDigests::of_whole(&plan.stored) } else { ExpectedDigests::default() };
        fill.check = Check::new(expected, plan.stored.extent().length);
        let object = Object { stored: Arc::new(plan.stored.clone()), body: Arc::clone(fill.filler.body()) };
        self.fetches.spawn(fill.run(answer.content, plan));
        Outcome::Object { object, status, confirmed, unstored }
    }

    /// A place for content to come, where readers may follow.
    pub fn fill(
        self: &Arc<Self>,
        customer: &Arc<Customer>,
        registration: Registration,
        plan: &FillPlan,
    ) -> Fill {
        let mut filler = self.store.fill(&registration);
        if let Some(octets) = plan.stored.extent().length {
            filler.announce(octets);
        }
        let stored = Arc::new(plan.stored.clone().at_rest());
        if plan.unstored.is_none() {
            self.lonely.clear(registration.key().hash);
        }
        registration.flight().land(Landing::Share(Object { stored, body: Arc::clone(filler.body()) }));
        let (edge, customer) = (Arc::clone(self), Arc::clone(customer));
        Fill { edge, customer, registration, filler, check: None, trailers: HeaderMap::new() }
    }
}

fn relay_interim(
    customer: &Arc<Customer>,
    request: &Arc<RequestHead>,
    registration: &Registration,
) -> impl Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static {
    let (customer, request) = (Arc::clone(customer), Arc::clone(request));
    let flight = Arc::clone(registration.flight());
    move |status, fields| {
        if status == StatusCode::CONTINUE {
            // For the client that waits for it, and nobody else.
            if request.expects_continue {
                flight.interim(status, HeaderMap::new());
            }
            return;
        }
        if let Some(fields) = customer.decisions.interim(&view(&request), status, fields) {
            flight.interim(status, fields);
        }
    }
}

fn bodies(variants: &Variants, indices: &[usize]) -> Vec<Arc<Body>> {
    indices.iter().filter_map(|index| variants.bodies.get(*index).map(Arc::clone)).collect()
}

/// How stored content comes together.
pub struct FillPlan {
    stored: Stored,
    /// Whose response it is, which tells what else answers the same. `None`: all that is under its key.
    request: Option<Arc<RequestHead>>,
    replaces: Vec<Arc<Body>>,
    /// Octets of an older part that go before, and after, what the origin sends.
    before: Option<Piece>,
    after: Option<Piece>,
    /// The octets that there must be in all: a part that ends early is no beginning of it, but nothing.
    exact: Option<u64>,
    /// It is for one request only.
    unstored: Option<NotStored>,
}

impl FillPlan {
    fn new(stored: Stored, request: &Arc<RequestHead>) -> Self {
        Self { request: Some(Arc::clone(request)), ..Self::alone(stored) }
    }

    fn alone(stored: Stored) -> Self {
        let (request, replaces) = (None, Vec::new());
        Self { stored, request, replaces, before: None, after: None, exact: None, unstored: None }
    }

    /// For one slice, under its head.
    pub fn slice(stored: Stored) -> Self {
        Self { exact: stored.extent().length, ..Self::alone(stored) }
    }
}

/// Octets of stored content, counted from its first stored octet.
struct Piece {
    body: Arc<Body>,
    from: u64,
    octets: u64,
}

/// Where the octets of two parts of one representation go.
fn combine(plan: FillPlan, old: &Object, content_at: u64, length: Option<u64>) -> FillPlan {
    let old_first = old.stored.extent().first;
    let old_end = old_first + old.body.received();
    let new_end = content_at.saturating_add(length.unwrap_or(u64::MAX));
    let piece = |from: u64, to: u64| {
        (from < to).then(|| Piece { body: Arc::clone(&old.body), from: from - old_first, octets: to - from })
    };
    let before = piece(old_first, content_at.min(old_end));
    let after = piece(new_end.clamp(old_first, old_end), old_end);
    FillPlan { replaces: vec![Arc::clone(&old.body)], before, after, ..plan }
}

/// Takes in the content of one response.
pub struct Fill {
    edge: Arc<Edge>,
    customer: Arc<Customer>,
    registration: Registration,
    filler: Filler,
    check: Option<Check>,
    trailers: HeaderMap,
}

/// Why taking in ended before the content did.
pub enum Broken {
    Content(Spoiled),
    /// Stored content that it needs.
    Block,
    Deserted,
}

impl<E: Into<Spoiled>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Content(error.into())
    }
}

/// What content that ended before its time is called in RFC 9209. It has no name for a wrong digest.
pub fn error_of(spoiled: &Spoiled) -> ProxyError {
    match spoiled {
        Spoiled::Origin(ContentError::Stalled(_)) => ProxyError::ConnectionReadTimeout,
        Spoiled::Origin(_) => ProxyError::HttpResponseIncomplete,
        Spoiled::Digest(_) => ProxyError::HttpProtocolError,
    }
}

impl Fill {
    async fn run(mut self, content: CheckedContent, plan: FillPlan) {
        let ended = match self.take_in(content, &plan).await {
            Ok(()) => Ended::Complete,
            Err(Broken::Deserted | Broken::Block) => Ended::Truncated,
            Err(Broken::Content(spoiled)) => {
                self.edge.spoiled(&self.registration.key().key, &spoiled);
                Ended::Truncated
            }
        };
        self.end(plan, ended);
    }

    /// The content is there, or will not come.
    pub fn end(self, plan: FillPlan, ended: Ended) {
        let received = self.filler.body().received();
        let ended = if plan.exact.is_none_or(|exact| exact == received) { ended } else { Ended::Truncated };
        let Self { edge, customer, registration, filler, trailers, .. } = self;
        let stored = Arc::new(plan.stored.with_length(received));
        let end = match ended {
            Ended::Complete => End::Complete(Arc::new(trailers)),
            Ended::Truncated => End::Truncated,
        };
        let beside = |there: &Stored| match &plan.request {
            Some(request) => customer.decisions.beside(&view(request), &stored, there),
            None => Beside::Last,
        };
        let keep = |purged| match plan.unstored {
            Some(_) => Keep::Discard,
            None => customer.decisions.keep(&stored, ended, purged),
        };
        edge.store.keep(&registration, filler, Arc::clone(&stored), end, &plan.replaces, beside, keep);
        edge.store.make_room(registration.key());
    }

    async fn take_in(&mut self, mut content: CheckedContent, plan: &FillPlan) -> Result<(), Broken> {
        self.copy(plan.before.as_ref()).await?;
        while let Some(frame) = content.frame().await {
            match frame?.into_data() {
                Ok(data) => self.append(&data).await?,
                Err(frame) => self.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        self.copy(plan.after.as_ref()).await
    }

    pub async fn append(&mut self, data: &Bytes) -> Result<(), Broken> {
        if self.check.as_mut().is_some_and(|check| check.update(data))
            && let Some(check) = self.check.take()
        {
            check.end()?;
        }
        self.filler.room().await.map_err(|_| Broken::Deserted)?;
        self.filler.append(data);
        if self.filler.is_kept()
            && let Some(limit) = self.limit()
        {
            self.edge.metrics.reached(limit);
            self.registration.close();
            self.filler.pass_on();
            self.edge.store.passes(self.filler.body());
        }
        Ok(())
    }

    /// The limit that keeps what has come so far out of the store.
    fn limit(&self) -> Option<Limit> {
        let store = &self.edge.store;
        if self.filler.body().received() > store.limits().object {
            return Some(Limit::StoreObject);
        }
        (!store.make_room(self.registration.key())).then_some(Limit::StoreMemory)
    }

    async fn copy(&mut self, piece: Option<&Piece>) -> Result<(), Broken> {
        let Some(piece) = piece else { return Ok(()) };
        let mut reader = piece.body.read(piece.from);
        let mut left = piece.octets;
        while left > 0 {
            match reader.next(left) {
                Ok(Next::Data(data)) => {
                    left -= data.len() as u64;
                    self.append(&data).await?;
                }
                Ok(Next::Wait) => {
                    // From disk, or from an origin that has its own limits.
                    let patience = self.edge.store.patience();
                    if !piece.body.is_loading() {
                        reader.arrival().await;
                    } else if timeout(patience, reader.arrival()).await.is_err() {
                        return Err(Broken::Block);
                    }
                }
                Ok(Next::End(_)) | Err(_) => return Err(Broken::Block),
            }
        }
        Ok(())
    }
}
