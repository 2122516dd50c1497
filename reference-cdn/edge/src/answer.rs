//! How a request is answered, from the store, by a fetch or by the edge itself.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use http_cache::{
    Failure, Fetch, ForwardReason, Handling, Lookup, NotStored, Outcome as From, Plan, Response,
};

use tokio::time::sleep;

use crate::access_log::Record;
use crate::ask::{Outcome, Question, Relayed};
use crate::http1::body::RequestBody;
use crate::http1::connection::Request;
use crate::http1::head::{Framing, RequestHead};
use crate::http1::respond::{Downstream, Stop};
use crate::metrics::Answered;
use crate::send::{self, NotSent};
use crate::state::{Edge, view};
use crate::store::{Flight, HashedKey, Landing, Object, Registration, Sight, Variants};

const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");
/// How many fetches made for others a request waits for before it asks on its own.
const MOST_WAITS: usize = 3;
/// After this long without a word from the origin the client is told to go on: the origin may know nothing of Expect, and
/// client and origin would wait for each other.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// How often a request is planned anew: after a bad block, or a fetch whose response it could not share.
const MOST_ROUNDS: usize = 8;

impl Edge {
    /// Answers a request.
    pub(crate) async fn answer<D: Downstream>(
        self: &Arc<Self>,
        request: Request,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        let Request { mut head, content, .. } = request;
        if head.target.authority().is_none() {
            // HTTP/1.0 without Host: the only site there is.
            head.target = self.default_target(&head.target);
        }
        if let Err(refusal) = self.decisions.admit(&view(&head)) {
            return self.generate(&head, refusal.status, refusal.reason.into(), &[], down, record).await;
        }
        match self.by_itself(&mut head) {
            Handled::No => {}
            Handled::Here(status, text) => {
                let allow = [(ALLOW, HeaderValue::from_static(METHODS))];
                return self.generate(&head, status, text.into(), &allow, down, record).await;
            }
        }
        match self.decisions.lookup(&view(&head)) {
            Lookup::Store => self.look_up(head, content, down, record).await,
            Lookup::Forward(reason) => {
                let fetch = Fetch { reason, validate: None, complete: None, whole: false };
                let key = self.store.hashed(self.decisions.key(&view(&head)));
                let variants = self.store.look_up(&key).await;
                let Ok(registration) = self.store.take_off(&key, false, |_| false) else {
                    return Err(Stop::Content);
                };
                let head = Arc::new(head);
                let question = Question { request: Arc::clone(&head), fetch, variants, content };
                match Box::pin(self.fetch(registration, question, false, down, record)).await {
                    Ok(()) => Ok(()),
                    Err(Unsent::Stop(stop)) => Err(stop),
                    Err(Unsent::BadBlock | Unsent::Unread) => {
                        let text = "a stored response failed its check".into();
                        self.generate(&head, StatusCode::BAD_GATEWAY, text, &[], down, record).await
                    }
                }
            }
        }
    }

    fn default_target(&self, target: &Uri) -> Uri {
        let mut parts = target.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.origin.authority().clone());
        Uri::from_parts(parts).unwrap_or_else(|_| target.clone())
    }

    /// Methods and targets that are about this hop rather than a resource.
    fn by_itself(&self, head: &mut RequestHead) -> Handled {
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
        // RFC 9110 section 7.6.2: the recipient for whom zero is left answers; others count down.
        let forwards =
            head.headers.get(MAX_FORWARDS).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        if head.target.path() == "*" || forwards == Some(0) {
            return Handled::Here(StatusCode::OK, "");
        }
        if let Some(forwards) = forwards {
            head.headers.insert(MAX_FORWARDS, HeaderValue::from(forwards - 1));
        }
        Handled::No
    }

    async fn look_up<D: Downstream>(
        self: &Arc<Self>,
        head: RequestHead,
        mut content: Option<RequestBody>,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        let key = self.store.hashed(self.decisions.key(&view(&head)));
        let head = Arc::new(head);
        // Content belongs to one request; so does the answer to it.
        let with_content = content.is_some();
        let mut alone = with_content;
        let mut passed_over: Vec<Arc<Flight>> = Vec::new();
        // The disk could not be read in time: this request does without.
        let mut past_disk = false;
        for _ in 0..MOST_ROUNDS {
            let variants = match past_disk {
                false => self.store.look_up(&key).await,
                true => self.store.find(&key).unwrap_or_default(),
            };
            let now = self.clock.now();
            let fetch = match self.decisions.plan(&view(&head), &variants.stored, now) {
                Plan::Refuse(refusal) => {
                    return self
                        .generate(&head, refusal.status, refusal.reason.into(), &[], down, record)
                        .await;
                }
                Plan::Serve { index, stale, refresh } => {
                    let Some(object) = variants.object(index) else { continue };
                    self.store.touch(&object);
                    if let Some(fetch) = refresh {
                        self.refresh(&key, &head, fetch, &variants);
                    }
                    record.answered = if stale { Answered::Stale } else { Answered::Hit };
                    let handling =
                        Handling { outcome: From::Hit, stored: false, collapsed: false, detail: None };
                    match self.serve(&key, &head, &object, &handling, down, record).await {
                        Ok(()) => return Ok(()),
                        Err(Unsent::Stop(stop)) => return Err(stop),
                        Err(Unsent::BadBlock) => continue,
                        Err(Unsent::Unread) => {
                            past_disk = true;
                            continue;
                        }
                    }
                }
                Plan::Fetch(fetch) => fetch,
            };
            let collapsing = self.decisions.collapsing(&view(&head), &fetch);
            let sociable = !alone && !self.lonely.is_noted(key.hash, now);
            let join = |flight: &Arc<Flight>| {
                let passed = passed_over.iter().any(|other| Arc::ptr_eq(other, flight));
                // One that brought a response which this request cannot have is no use waiting for.
                sociable
                    && collapsing.join
                    && !passed
                    && match flight.landing() {
                        None => true,
                        Some(Landing::Share(it)) => self.decisions.may_share(&view(&head), &it.stored, now),
                        Some(_) => false,
                    }
            };
            let open = collapsing.lead && !with_content;
            match self.store.take_off(&key, open, join) {
                Ok(registration) => {
                    let question =
                        Question { request: Arc::clone(&head), fetch, variants, content: content.take() };
                    // In a box, so that a hit does not carry the room that a miss needs.
                    match Box::pin(self.fetch(registration, question, open, down, record)).await {
                        Ok(()) => return Ok(()),
                        Err(Unsent::Stop(stop)) => return Err(stop),
                        Err(Unsent::BadBlock) => {}
                        Err(Unsent::Unread) => past_disk = true,
                    }
                }
                Err(flight) => {
                    match self.wait(&key, &head, &flight, &fetch, &variants, down, record).await? {
                        Waited::Answered => return Ok(()),
                        Waited::Alone => alone = true,
                        Waited::PassOver => {
                            passed_over.push(flight);
                            alone |= passed_over.len() >= MOST_WAITS;
                        }
                    }
                }
            }
        }
        let text = "stored responses failed their checks again and again".into();
        self.generate(&head, StatusCode::BAD_GATEWAY, text, &[], down, record).await
    }

    /// Asks the origin and answers with what comes of it.
    async fn fetch<D: Downstream>(
        self: &Arc<Self>,
        registration: Registration,
        question: Question,
        open: bool,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Unsent> {
        let head = Arc::clone(&question.request);
        let reason = question.fetch.reason;
        let key = registration.key().clone();
        let flight = Arc::clone(registration.flight());
        let ask = Arc::clone(self).ask(registration, question);
        // A fetch that others may wait for goes on without its first client; one that is for it alone ends with it.
        let mut ask: Pin<Box<dyn Future<Output = Outcome> + Send>> = if open {
            let task = tokio::spawn(ask);
            Box::pin(async move {
                let lost = |_| Outcome::Failed { failure: Failure::Response, error: "proxy_internal_error" };
                task.await.unwrap_or_else(lost)
            })
        } else {
            Box::pin(ask)
        };
        let mut interims = 0;
        let mut awaits_continue = head.expects_continue && head.framing != Framing::None;
        let outcome = loop {
            tokio::select! {
                biased;
                sight = flight.watch(&mut interims) => match sight {
                    Sight::Interim(StatusCode::CONTINUE, _) if !awaits_continue => {}
                    Sight::Interim(status, fields) => {
                        awaits_continue &= status != StatusCode::CONTINUE;
                        down.interim(status, &fields).await?;
                    }
                    Sight::Landed(_) => break ask.await,
                },
                outcome = &mut ask => break outcome,
                () = sleep(CONTINUE_AFTER), if awaits_continue => {
                    awaits_continue = false;
                    down.interim(StatusCode::CONTINUE, &HeaderMap::new()).await?;
                }
            }
        };
        match outcome {
            Outcome::Object { object, status, confirmed } => {
                record.answered = if confirmed { Answered::Revalidated } else { Answered::Miss };
                let status = Some(status).filter(|status| *status != object.stored.status());
                // Said before the end is known: content without an announced length may yet turn out too large.
                let fits = object.stored.extent().length.is_some();
                let handling = Handling {
                    outcome: From::Forward { reason, status },
                    stored: !confirmed && fits,
                    collapsed: false,
                    detail: (!confirmed && !fits).then_some("length-unknown"),
                };
                Ok(self.serve(&key, &head, &object, &handling, down, record).await?)
            }
            Outcome::Stale { object, status, error } => {
                record.answered = Answered::Stale;
                record.error = error;
                let outcome = From::Stale { status };
                let handling = Handling { outcome, stored: false, collapsed: false, detail: error };
                Ok(self.serve(&key, &head, &object, &handling, down, record).await?)
            }
            Outcome::Relay(relayed) => Ok(self.pass_on(&head, reason, *relayed, down, record).await?),
            Outcome::Failed { failure, error } => Ok(self.fail(&head, failure, error, down, record).await?),
        }
    }

    /// Answers with a stored response. One with a bad block leaves the store.
    async fn serve<D: Downstream>(
        &self,
        key: &HashedKey,
        head: &RequestHead,
        object: &Object,
        handling: &Handling,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Unsent> {
        let reply = self.decisions.reply(&view(head), &object.stored, self.clock.now(), handling);
        let patience = self.store.patience();
        let sent = send::stored(&*self.decisions, head, object, reply, patience, down, record).await;
        match &sent {
            Err(NotSent::BadBlock | NotSent::BadBlockLater) => {
                tracing::error!(key = %key.key, "a stored block failed its check; the response leaves the store");
                // Nobody asked for its removal: nobody waits.
                let _ = self.store.forget(key, std::slice::from_ref(&object.body));
            }
            Err(NotSent::Unread | NotSent::UnreadLater) => self.store.leave(key, &object.body),
            Ok(()) | Err(NotSent::Stop(_)) => {}
        }
        sent.map_err(|not_sent| match not_sent {
            NotSent::BadBlock => Unsent::BadBlock,
            NotSent::Unread => Unsent::Unread,
            NotSent::BadBlockLater | NotSent::UnreadLater => Unsent::Stop(Stop::Content),
            NotSent::Stop(stop) => Unsent::Stop(stop),
        })
    }

    async fn pass_on<D: Downstream>(
        &self,
        head: &RequestHead,
        reason: ForwardReason,
        relayed: Relayed,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        record.answered = Answered::Relayed;
        let Relayed { answer, request_time, response_time, why } = relayed;
        let handling = Handling {
            outcome: From::Forward { reason, status: None },
            stored: false,
            collapsed: false,
            detail: Some(why_not_stored(why)),
        };
        let response =
            Response { status: answer.status, headers: &answer.headers, request_time, response_time };
        let reply = self.decisions.relay(&view(head), &response, self.clock.now(), &handling);
        send::relayed(&*self.decisions, head, answer, reply, down, record).await
    }

    /// Waits for a fetch made for another request.
    #[expect(clippy::too_many_arguments, reason = "all that is known about the request so far")]
    async fn wait<D: Downstream>(
        &self,
        key: &HashedKey,
        head: &RequestHead,
        flight: &Flight,
        fetch: &Fetch,
        variants: &Variants,
        down: &mut D,
        record: &mut Record,
    ) -> Result<Waited, Stop> {
        let mut interims = 0;
        let landing = loop {
            match flight.watch(&mut interims).await {
                Sight::Interim(status, fields) => down.interim(status, &fields).await?,
                Sight::Landed(landing) => break landing,
            }
        };
        let now = self.clock.now();
        let seen = view(head);
        let (object, answered) = match landing {
            Landing::Share(object) if self.decisions.may_share(&seen, &object.stored, now) => {
                (object, Answered::Collapsed)
            }
            Landing::Stale(object)
                if self.decisions.select(&seen, std::slice::from_ref(&object.stored)).is_some() =>
            {
                (object, Answered::Stale)
            }
            Landing::Share(_) | Landing::Stale(_) => return Ok(Waited::PassOver),
            Landing::Alone => return Ok(Waited::Alone),
            Landing::Failed(failure) => {
                // The origin is not asked again for each of those who waited.
                let stale = self.decisions.failed(&seen, fetch, failure, &variants.stored, now);
                let Some(object) = stale.and_then(|index| variants.object(index)) else {
                    self.fail(head, failure, "collapsed_fetch_failed", down, record).await?;
                    return Ok(Waited::Answered);
                };
                (object, Answered::Stale)
            }
        };
        record.answered = answered;
        let outcome = match answered {
            Answered::Stale => From::Stale { status: None },
            _ => From::Forward { reason: fetch.reason, status: None },
        };
        let handling = Handling { outcome, stored: false, collapsed: true, detail: None };
        match self.serve(key, head, &object, &handling, down, record).await {
            Ok(()) => Ok(Waited::Answered),
            Err(Unsent::Stop(stop)) => Err(stop),
            Err(Unsent::BadBlock | Unsent::Unread) => Ok(Waited::PassOver),
        }
    }

    /// Starts a fetch in the background, unless one is under way.
    fn refresh(
        self: &Arc<Self>,
        key: &HashedKey,
        head: &Arc<RequestHead>,
        fetch: Fetch,
        variants: &Arc<Variants>,
    ) {
        if let Ok(registration) = self.store.take_off(key, true, |_| true) {
            self.metrics.background_refreshes.add(1);
            let question =
                Question { request: Arc::clone(head), fetch, variants: Arc::clone(variants), content: None };
            tokio::spawn(Arc::clone(self).ask(registration, question));
        }
    }

    async fn fail<D: Downstream>(
        &self,
        head: &RequestHead,
        failure: Failure,
        error: &'static str,
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        record.answered = Answered::OriginFailed;
        record.error = Some(error);
        let (status, text) = match failure {
            Failure::Connect => (StatusCode::BAD_GATEWAY, "the origin cannot be reached"),
            Failure::Response => (StatusCode::BAD_GATEWAY, "the origin gave no usable response"),
            Failure::Timeout => (StatusCode::GATEWAY_TIMEOUT, "the origin did not answer in time"),
        };
        self.respond(head, status, text.into(), Some(error), &[], down, record).await
    }

    async fn generate<D: Downstream>(
        &self,
        head: &RequestHead,
        status: StatusCode,
        text: Cow<'static, str>,
        fields: &[(HeaderName, HeaderValue)],
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        record.answered = Answered::Generated;
        self.respond(head, status, text, None, fields, down, record).await
    }

    /// An answer of the edge's own making: never to be stored by anybody.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the answer")]
    async fn respond<D: Downstream>(
        &self,
        head: &RequestHead,
        status: StatusCode,
        text: Cow<'static, str>,
        detail: Option<&'static str>,
        fields: &[(HeaderName, HeaderValue)],
        down: &mut D,
        record: &mut Record,
    ) -> Result<(), Stop> {
        let now = self.clock.now();
        let handling = Handling { outcome: From::Generated, stored: false, collapsed: false, detail };
        let mut headers: HeaderMap = self.decisions.generated(&view(head), now, &handling);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now.as_secs()));
        if let Ok(date) = HeaderValue::try_from(date) {
            headers.entry(DATE).or_insert(date);
        }
        for (name, value) in fields {
            headers.insert(name, value.clone());
        }
        let text =
            if text.is_empty() { Bytes::new() } else { Bytes::from(format!("{} {text}\n", status.as_str())) };
        if !text.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        let has_content = head.method != Method::HEAD;
        record.status = Some(status);
        down.start(status, None, &headers, Some(text.len() as u64), has_content);
        if has_content {
            record.octets += text.len() as u64;
            down.push(text)?;
        }
        down.finish(&HeaderMap::new()).await
    }
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
    /// A stored block failed its check before anything was sent: plan again.
    BadBlock,
    /// The disk could not be read in time: plan again, without it.
    Unread,
}

impl std::convert::From<Stop> for Unsent {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
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
        NotStored::TooLarge => "too-large",
    }
}
