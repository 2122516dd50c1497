//! How a request is answered, from the store, by a fetch or by the edge itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RANGE, RETRY_AFTER,
};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri, Version};
use http_cache::{
    Decisions, Failure, Fetch, ForwardReason, Handling, Lookup, NotStored, Outcome as From, Plan, ProxyError,
    ProxyStatus, Request as View, Response,
};

use tokio::time::sleep;

use crate::access_log::Record;
use crate::ask::{Outcome, Question, Relayed};
use crate::client::{Downstream, Framing, Request, RequestBody, RequestHead, Stop};
use crate::customer::Customer;
use crate::digests;
use crate::limits::{Limit, Refused};
use crate::metrics::Answered;
use crate::send::{self, NotSent};
use crate::slices::{SliceError, Slices};
use crate::state::{Edge, view};
use crate::store::{Flight, Grounded, HashedKey, Landing, Object, Registration, Sight, Variants};

const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");
/// How many fetches made for others a request waits for before it asks on its own.
const MOST_WAITS: usize = 3;
/// After this long without a word from the origin the client is told to go on: the origin may know nothing of Expect, and
/// client and origin would wait for each other.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// How often a request is planned anew: after a bad block, or a fetch whose response it could not share.
const MOST_ROUNDS: usize = 8;

/// A request on its way to its answer.
struct Call<'a, D> {
    customer: &'a Arc<Customer>,
    head: &'a Arc<RequestHead>,
    down: &'a mut D,
    record: &'a mut Record,
}

impl<D> Call<'_, D> {
    fn question(&self, fetch: Fetch, variants: Arc<Variants>, content: Option<RequestBody>) -> Question {
        let (customer, request) = (Arc::clone(self.customer), Arc::clone(self.head));
        Question { customer, request, fetch, variants, content }
    }

    fn view(&self) -> View<'_> {
        view(self.head)
    }

    fn decisions(&self) -> &dyn Decisions {
        &*self.customer.decisions
    }
}

impl Edge {
    /// Answers a request.
    pub(crate) async fn answer<D: Downstream>(
        self: &Arc<Self>,
        request: Request,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        let Request { mut head, content, peer } = request;
        let customer = match self.customer(&mut head) {
            Ok(customer) => customer,
            Err((status, text)) => {
                if let Err(refused) =
                    self.limits.stray((peer.ip(), &head.headers), record.start, &self.metrics)
                {
                    return self.refuse(refused, None, &head, down, record).await;
                }
                record.answered = Answered::Generated;
                let proxy = rejected(ProxyError::HttpRequestError, status);
                let page = Page { status, text, proxy, fields: &[] };
                return self
                    .respond(&head.method, self.made(None, &view(&head), proxy), page, down, record)
                    .await;
            }
        };
        let taken = (customer.number, customer.limits, &customer.load);
        let _in_flight =
            match self.limits.request(taken, (peer.ip(), &head.headers), record.start, &self.metrics) {
                Ok(in_flight) => in_flight,
                Err(refused) => {
                    customer.load.refused.add(1);
                    return self.refuse(refused, Some(&customer), &head, down, record).await;
                }
            };
        let handled = self.by_itself(&head);
        let head = Arc::new(head);
        let mut call = Call { customer: &customer, head: &head, down, record };
        if let Err(refusal) = call.decisions().admit(&call.view()) {
            let error = match refusal.status {
                StatusCode::LOOP_DETECTED => {
                    self.metrics.reached(Limit::Loop);
                    ProxyError::ProxyLoopDetected
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    self.metrics.reached(Limit::Ranges);
                    ProxyError::HttpRequestError
                }
                _ => ProxyError::HttpRequestError,
            };
            return self.generate(refusal.status, refusal.reason, error, &[], &mut call).await;
        }
        if let Handled::Here(status, text) = handled {
            let allow = [(ALLOW, HeaderValue::from_static(METHODS))];
            let error = match status {
                StatusCode::OK => ProxyError::ProxyInternalResponse,
                _ => ProxyError::HttpRequestError,
            };
            return self.generate(status, text, error, &allow, &mut call).await;
        }
        if head.headers.contains_key(RANGE) && http_cache::has_greedy_ranges(&head.headers) {
            self.metrics.reached(Limit::Ranges);
        }
        match call.decisions().lookup(&call.view()) {
            Lookup::Store => self.look_up(content, &mut call).await,
            Lookup::Forward(reason) => {
                let fetch = Fetch::forward(reason);
                let key = self.key(&call);
                let (variants, registration) = loop {
                    let born = self.store.purges().at(self.clock.now());
                    let variants = self.store.look_up(&key).await;
                    if let Ok(registration) = self.store.take_off(&key, born, None, false, |_| false) {
                        break (variants, registration);
                    }
                };
                let question = call.question(fetch, variants, content);
                match Box::pin(self.fetch(registration, question, false, &mut call)).await {
                    Ok(()) => Ok(()),
                    Err(Unsent::Stop(stop)) => Err(stop),
                    Err(Unsent::Nothing | Unsent::Unread) => {
                        let text = "a stored response failed its check";
                        self.fail(ProxyError::ProxyInternalError, text, &mut call).await
                    }
                }
            }
        }
    }

    /// Says that there were too many requests. Retry-After tells when to come again (RFC 9110 section 10.2.3); what is left
    /// of the limit is nobody's business, and the fields that would tell it (RateLimit) are still a draft.
    async fn refuse<D: Downstream>(
        &self,
        refused: Refused,
        customer: Option<&Customer>,
        head: &RequestHead,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        self.metrics.reached(refused.limit);
        record.answered = Answered::Limited;
        record.error = Some(refused.limit.name());
        let retry = [(RETRY_AFTER, HeaderValue::from(refused.retry_after()))];
        let status = refused.status();
        // RFC 9209 names 429 among those of the first (section 2.3.16), and keeps the second for what configuration rejects.
        let error = match status {
            StatusCode::TOO_MANY_REQUESTS => ProxyError::HttpRequestError,
            _ => ProxyError::HttpRequestDenied,
        };
        let proxy = rejected(error, status);
        let page = Page { status, text: refused.text(), proxy, fields: &retry };
        self.respond(&head.method, self.made(customer, &view(head), proxy), page, down, record).await
    }

    /// The fields of an answer of the edge's own making. Where nobody's site was asked for, this CDN has the name that it has
    /// for any customer.
    fn made(&self, customer: Option<&Customer>, request: &View<'_>, proxy: ProxyStatus) -> HeaderMap {
        let Some(customer) = customer.or(self.customers.all().first().map(|first| &**first)) else {
            return HeaderMap::new();
        };
        let handling = Handling { proxy: Some(proxy), ..Handling::of(From::Generated) };
        customer.decisions.generated(request, self.clock.now(), &handling)
    }

    /// The fields of a refusal of what is hardly a request.
    pub(crate) fn refusal(&self, status: StatusCode) -> HeaderMap {
        let (target, headers) = (Uri::default(), HeaderMap::new());
        let request =
            View { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &headers };
        self.made(None, &request, rejected(ProxyError::HttpRequestError, status))
    }

    /// Whose content the request is for. A target without authority (HTTP/1.0 without Host) gets one.
    fn customer(&self, head: &mut RequestHead) -> Result<Arc<Customer>, (StatusCode, &'static str)> {
        let Some(host) = head.target.host() else {
            let unclear = (StatusCode::BAD_REQUEST, "no Host field to tell which site is meant");
            let customer = self.customers.rest().ok_or(unclear)?;
            let mut parts = head.target.clone().into_parts();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(customer.origin.authority().clone());
            head.target = Uri::from_parts(parts).map_err(|_| unclear)?;
            return Ok(Arc::clone(customer));
        };
        let strange = (StatusCode::MISDIRECTED_REQUEST, "no site of this name is served here");
        self.customers.of(host).cloned().ok_or(strange)
    }

    fn key<D>(&self, call: &Call<'_, D>) -> HashedKey {
        self.store.hashed(&call.customer.name, call.decisions().key(&call.view()))
    }

    /// Methods and targets that are about this hop rather than a resource.
    fn by_itself(&self, head: &RequestHead) -> Handled {
        if head.method == Method::CONNECT {
            return Handled::Here(StatusCode::METHOD_NOT_ALLOWED, "this is not a tunnel");
        }
        if head.method == Method::TRACE {
            // It would show the client what other hops added to its request.
            return Handled::Here(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not answered here");
        }
        if head.method != Method::OPTIONS {
            return Handled::No;
        }
        // RFC 9110 section 7.6.2: the recipient for whom zero is left answers; what is sent on counts down.
        let forwards =
            head.headers.get(MAX_FORWARDS).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        if head.target.path() == "*" || forwards == Some(0) {
            return Handled::Here(StatusCode::OK, "");
        }
        Handled::No
    }

    async fn look_up<D: Downstream>(
        self: &Arc<Self>,
        mut content: Option<RequestBody>,
        call: &mut Call<'_, D>,
    ) -> Result<(), Stop> {
        let key = self.key(call);
        // Content belongs to one request; so does the answer to it.
        let with_content = content.is_some();
        let mut alone = with_content;
        let mut passed_over: Vec<Arc<Flight>> = Vec::new();
        // The disk could not be read in time: this request does without.
        let mut past_disk = false;
        for round in 0..MOST_ROUNDS {
            let now = if round == 0 { call.record.start } else { self.clock.now() };
            // Before anything is looked up: a purge that comes from here on counts as later than what is found.
            let born = self.store.purges().at(now);
            let variants = match past_disk {
                false => self.store.look_up(&key).await,
                true => self.store.find(&key).unwrap_or_default(),
            };
            let fetch = match call.decisions().plan(&call.view(), &variants.stored, now) {
                Plan::Refuse(refusal) => {
                    let error = ProxyError::ProxyInternalResponse;
                    return self.generate(refusal.status, refusal.reason, error, &[], call).await;
                }
                Plan::Serve { index, stale, refresh } => {
                    let Some(object) = variants.object(index) else { continue };
                    self.store.touch(&object);
                    if let Some(fetch) = refresh {
                        self.refresh(&key, born, call.question(fetch, Arc::clone(&variants), None));
                    }
                    call.record.answered = if stale { Answered::Stale } else { Answered::Hit };
                    match self.serve(&key, &object, &Handling::of(From::Hit), call).await {
                        Ok(()) => return Ok(()),
                        Err(Unsent::Stop(stop)) => return Err(stop),
                        Err(Unsent::Nothing) => continue,
                        Err(Unsent::Unread) => {
                            past_disk = true;
                            continue;
                        }
                    }
                }
                Plan::Fetch(fetch) => fetch,
            };
            let collapsing = call.decisions().collapsing(&call.view(), &fetch);
            let lonely = self.lonely.is_noted(key.hash, now);
            let sociable = !alone && !lonely;
            let join = |flight: &Arc<Flight>| {
                let passed = passed_over.iter().any(|other| Arc::ptr_eq(other, flight));
                // One that brought a response which this request cannot have is no use waiting for.
                sociable
                    && collapsing.join
                    && !passed
                    && match flight.landing() {
                        None => true,
                        Some(Landing::Share(it)) => call.decisions().may_share(&call.view(), &it.stored, now),
                        Some(_) => false,
                    }
            };
            // Nobody waits for what nobody else can have: such a fetch needs no task of its own, and ends with its client.
            let open = collapsing.lead && !with_content && !lonely;
            // In the last round the request asks, whatever others store meanwhile.
            let seen = (round + 1 < MOST_ROUNDS).then_some(&variants);
            match self.store.take_off(&key, born, seen, open, join) {
                Ok(registration) => {
                    let question = call.question(fetch, variants, content.take());
                    // In a box, so that a hit does not carry the room that a miss needs.
                    match Box::pin(self.fetch(registration, question, open, call)).await {
                        Ok(()) => return Ok(()),
                        Err(Unsent::Stop(stop)) => return Err(stop),
                        Err(Unsent::Nothing) => {}
                        Err(Unsent::Unread) => past_disk = true,
                    }
                }
                Err(Grounded::Late) => {}
                Err(Grounded::Join(flight)) => match self.wait(&key, &flight, &fetch, &variants, call).await?
                {
                    Waited::Answered => return Ok(()),
                    Waited::Alone => alone = true,
                    Waited::PassOver => {
                        passed_over.push(flight);
                        alone |= passed_over.len() >= MOST_WAITS;
                    }
                },
            }
        }
        let text = "stored responses failed their checks again and again";
        self.fail(ProxyError::ProxyInternalError, text, call).await
    }

    /// Asks the origin and answers with what comes of it.
    async fn fetch<D: Downstream>(
        self: &Arc<Self>,
        registration: Registration,
        question: Question,
        open: bool,
        call: &mut Call<'_, D>,
    ) -> Result<(), Unsent> {
        let reason = question.fetch.reason;
        let key = registration.key().clone();
        let flight = Arc::clone(registration.flight());
        let ask = Arc::clone(self).ask(registration, question);
        // A fetch that others may wait for goes on without its first client; one that is for it alone ends with it.
        let mut ask: Pin<Box<dyn Future<Output = Outcome> + Send>> = if open {
            let task = self.fetches.spawn(ask);
            Box::pin(async move {
                let error = ProxyError::ProxyInternalError;
                let lost = |_| Outcome::Failed { failure: Failure::Response, error };
                task.await.unwrap_or_else(lost)
            })
        } else {
            Box::pin(ask)
        };
        let mut interims = 0;
        let mut awaits_continue = call.head.expects_continue && call.head.framing != Framing::None;
        let outcome = loop {
            tokio::select! {
                biased;
                sight = flight.watch(&mut interims) => match sight {
                    Sight::Interim(StatusCode::CONTINUE, _) if !awaits_continue => {}
                    Sight::Interim(status, fields) => {
                        awaits_continue &= status != StatusCode::CONTINUE;
                        call.down.interim(status, &fields).await?;
                    }
                    Sight::Landed(_) => break ask.await,
                },
                outcome = &mut ask => break outcome,
                () = sleep(CONTINUE_AFTER), if awaits_continue => {
                    awaits_continue = false;
                    call.down.interim(StatusCode::CONTINUE, &HeaderMap::new()).await?;
                }
            }
        };
        // Those that came in one read with the response.
        while let Some((status, fields)) = flight.next_interim(&mut interims) {
            if status != StatusCode::CONTINUE || awaits_continue {
                call.down.interim(status, &fields).await?;
            }
        }
        match outcome {
            Outcome::Object { object, status, confirmed, unstored } => {
                call.record.answered = match (confirmed, unstored) {
                    (true, _) => Answered::Revalidated,
                    (false, None) => Answered::Miss,
                    (false, Some(_)) => Answered::Relayed,
                };
                let status = Some(status).filter(|status| *status != object.stored.status());
                // Said before the end is known: content without an announced length may yet turn out too large.
                let fits = object.stored.extent().length.is_some();
                let handling = Handling {
                    stored: !confirmed && fits && unstored.is_none(),
                    detail: unstored
                        .map(why_not_stored)
                        .or_else(|| (!confirmed && !fits).then_some("length-unknown")),
                    ..Handling::of(From::Forward { reason, status })
                };
                Ok(self.serve(&key, &object, &handling, call).await?)
            }
            Outcome::Stale { object, status, error } => {
                call.record.answered = Answered::Stale;
                call.record.error = error.map(ProxyError::name);
                let handling = stood_in(status, error);
                Ok(self.serve(&key, &object, &handling, call).await?)
            }
            Outcome::Relay(relayed) => Ok(self.pass_on(reason, *relayed, call).await?),
            Outcome::Failed { failure, error } => Ok(self.fail(error, failed(failure), call).await?),
        }
    }

    /// Answers with a stored response. One with a bad block leaves the store.
    async fn serve<D: Downstream>(
        self: &Arc<Self>,
        key: &HashedKey,
        object: &Object,
        handling: &Handling,
        call: &mut Call<'_, D>,
    ) -> Result<(), Unsent> {
        let Call { customer, head, down, record } = call;
        let mut reply = customer.decisions.reply(&view(head), &object.stored, self.clock.now(), handling);
        let first = object.stored.extent().first;
        for wanted in http_cache::wanted_digests(&view(head), &object.stored, &reply) {
            if let Some(digest) = digests::wanted(&object.body, first, &wanted).await {
                http_cache::add_digest(&mut reply.headers, wanted.field, &digest);
            }
        }
        let slices = Slices::of(self, customer, head, key, object);
        let patience = self.store.patience();
        let content = (object, slices, patience);
        let sent = send::stored(&*customer.decisions, head, content, reply, *down, record).await;
        match &sent {
            Err(NotSent::BadBlock | NotSent::BadBlockLater) => {
                tracing::error!(key = %key.key, "a stored block failed its check; the response leaves the store");
                // Nobody asked for its removal: nobody waits.
                let _ = self.store.forget(key, std::slice::from_ref(&object.body));
            }
            Err(NotSent::Unread | NotSent::UnreadLater | NotSent::Overrun) => {
                self.store.leave(key, &object.body);
            }
            _ => {}
        }
        match sent {
            Ok(()) => Ok(()),
            Err(NotSent::BadBlock | NotSent::Overrun | NotSent::Slice(SliceError::Changed)) => {
                Err(Unsent::Nothing)
            }
            Err(NotSent::Unread) => Err(Unsent::Unread),
            Err(NotSent::BadBlockLater | NotSent::UnreadLater) => Err(Unsent::Stop(Stop::Content)),
            Err(NotSent::Slice(SliceError::Failed(failure, error))) => {
                Ok(self.fail(error, failed(failure), call).await?)
            }
            Err(NotSent::Stop(stop)) => Err(Unsent::Stop(stop)),
        }
    }

    async fn pass_on<D: Downstream>(
        &self,
        reason: ForwardReason,
        relayed: Relayed,
        call: &mut Call<'_, D>,
    ) -> Result<(), Stop> {
        let Call { customer, head, down, record } = call;
        record.answered = Answered::Relayed;
        let Relayed { answer, request_time, response_time, why } = relayed;
        let outcome = From::Forward { reason, status: None };
        let handling = Handling { detail: Some(why_not_stored(why)), ..Handling::of(outcome) };
        let response =
            Response { status: answer.status, headers: &answer.headers, request_time, response_time };
        let reply = customer.decisions.relay(&view(head), &response, self.clock.now(), &handling);
        send::relayed(self, &*customer.decisions, head, answer, reply, *down, record).await
    }

    /// Waits for a fetch made for another request.
    async fn wait<D: Downstream>(
        self: &Arc<Self>,
        key: &HashedKey,
        flight: &Flight,
        fetch: &Fetch,
        variants: &Variants,
        call: &mut Call<'_, D>,
    ) -> Result<Waited, Stop> {
        let mut interims = 0;
        let landing = loop {
            match flight.watch(&mut interims).await {
                Sight::Interim(status, fields) => call.down.interim(status, &fields).await?,
                Sight::Landed(landing) => break landing,
            }
        };
        let now = self.clock.now();
        let (decisions, seen) = (call.decisions(), call.view());
        let (object, answered, handling) = match landing {
            Landing::Share(object) if decisions.may_share(&seen, &object.stored, now) => {
                let outcome = From::Forward { reason: fetch.reason, status: None };
                (object, Answered::Collapsed, Handling::of(outcome))
            }
            // It stood in for another request: may it for this one, and does it have what this one asks for?
            Landing::Stale(object)
                if decisions
                    .failed(&seen, fetch, Failure::Connect, std::slice::from_ref(&object.stored), now)
                    .is_some() =>
            {
                (object, Answered::Stale, Handling::of(From::Stale { status: None }))
            }
            Landing::Share(_) | Landing::Stale(_) => return Ok(Waited::PassOver),
            Landing::Alone => return Ok(Waited::Alone),
            Landing::Failed(failure, error) => {
                // The origin is not asked again for each of those who waited.
                let stale = decisions.failed(&seen, fetch, failure, &variants.stored, now);
                let Some(object) = stale.and_then(|index| variants.object(index)) else {
                    self.fail(error, failed(failure), call).await?;
                    return Ok(Waited::Answered);
                };
                (object, Answered::Stale, stood_in(None, Some(error)))
            }
        };
        call.record.answered = answered;
        let handling = Handling { collapsed: true, ..handling };
        match self.serve(key, &object, &handling, call).await {
            Ok(()) => Ok(Waited::Answered),
            Err(Unsent::Stop(stop)) => Err(stop),
            Err(Unsent::Nothing | Unsent::Unread) => Ok(Waited::PassOver),
        }
    }

    /// Starts a fetch in the background, unless one is under way.
    fn refresh(self: &Arc<Self>, key: &HashedKey, born: u64, question: Question) {
        if let Ok(registration) = self.store.take_off(key, born, None, true, |_| true) {
            self.metrics.background_refreshes.add(1);
            self.fetches.spawn(Arc::clone(self).ask(registration, question));
        }
    }

    /// An error, with the status that RFC 9209 recommends for it.
    async fn fail<D: Downstream>(
        &self,
        error: ProxyError,
        text: &'static str,
        call: &mut Call<'_, D>,
    ) -> Result<(), Stop> {
        call.record.answered = match error {
            ProxyError::ProxyInternalError => Answered::Generated,
            _ => Answered::OriginFailed,
        };
        call.record.error = Some(error.name());
        let page = Page { status: error.status(), text, proxy: ProxyStatus::of(error), fields: &[] };
        self.page(page, call).await
    }

    async fn generate<D: Downstream>(
        &self,
        status: StatusCode,
        text: &'static str,
        error: ProxyError,
        fields: &[(HeaderName, HeaderValue)],
        call: &mut Call<'_, D>,
    ) -> Result<(), Stop> {
        call.record.answered = Answered::Generated;
        let proxy = rejected(error, status);
        self.page(Page { status, text, proxy, fields }, call).await
    }

    async fn page<D: Downstream>(&self, page: Page<'_>, call: &mut Call<'_, D>) -> Result<(), Stop> {
        let headers = self.made(Some(call.customer), &call.view(), page.proxy);
        self.respond(&call.head.method, headers, page, call.down, call.record).await
    }

    /// An answer of the edge's own making: never to be stored by anybody.
    async fn respond<D: Downstream>(
        &self,
        method: &Method,
        mut headers: HeaderMap,
        page: Page<'_>,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let now = Duration::from_secs(self.clock.now().as_secs());
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(std::time::UNIX_EPOCH + now)) {
            headers.entry(DATE).or_insert(date);
        }
        for (name, value) in page.fields {
            headers.insert(name, value.clone());
        }
        let text = match page.text {
            "" => Bytes::new(),
            text => Bytes::from(format!("{} {text}\n", page.status.as_str())),
        };
        if !text.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        let has_content = method != Method::HEAD;
        record.status = Some(page.status);
        down.start(page.status, None, &headers, Some(text.len() as u64), has_content);
        if has_content {
            record.octets += text.len() as u64;
            down.push(text)?;
        }
        down.finish(&HeaderMap::new()).await
    }
}

/// An answer of the edge's own making.
struct Page<'a> {
    status: StatusCode,
    /// One sentence; empty for no content.
    text: &'static str,
    proxy: ProxyStatus,
    fields: &'a [(HeaderName, HeaderValue)],
}

enum Handled {
    No,
    Here(StatusCode, &'static str),
}

/// What came of waiting for another's fetch.
enum Waited {
    Answered,
    /// Its response is nobody else's: ask without waiting for anyone.
    Alone,
    /// Its response does not fit this request.
    PassOver,
}

/// Why an answer was not, or not wholly, sent.
enum Unsent {
    Stop(Stop),
    /// What is stored cannot be used after all, a bad block or slices of an older version, and nothing was sent: plan
    /// again.
    Nothing,
    /// The disk could not be read in time: plan again, without it.
    Unread,
}

impl std::convert::From<Stop> for Unsent {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

fn rejected(error: ProxyError, status: StatusCode) -> ProxyStatus {
    ProxyStatus { generated: Some(status), ..ProxyStatus::of(error) }
}

/// What is told of a stored response that stands in for the origin's, which had `status` or did not come.
fn stood_in(status: Option<StatusCode>, error: Option<ProxyError>) -> Handling {
    let proxy = error.map(ProxyStatus::of).or(status.map(ProxyStatus::received));
    Handling { detail: error.map(ProxyError::name), proxy, ..Handling::of(From::Stale { status }) }
}

fn failed(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "the origin cannot be reached",
        Failure::Response => "the origin gave no usable response",
        Failure::Timeout => "the origin did not answer in time",
    }
}

fn why_not_stored(why: NotStored) -> &'static str {
    match why {
        NotStored::Method => "method",
        NotStored::Status => "status",
        NotStored::NoStoreRequest => "request-no-store",
        NotStored::NoStore => "no-store",
        NotStored::Private => "private",
        NotStored::Authorization => "authorization",
        NotStored::VaryStar => "vary-star",
        NotStored::NoLifetime => "no-lifetime",
        NotStored::Partial => "partial",
        NotStored::NotUnderstood => "not-understood",
        NotStored::Bypass => "bypass",
        NotStored::TooLarge => "too-large",
    }
}
