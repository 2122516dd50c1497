//! One origin: a request sent to it, and the head of its response.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use hyper::ext::ReasonPhrase;
use tokio::time::{Instant, timeout_at};

use super::config::{OriginConfig, OriginLimits};
use super::connect::Connector;
use super::content::{OriginContent, Progress, Uploading, upload};
use super::error::{OriginError, is_too_large};
use super::group::Watch;
use super::names::Names;
use super::outage::Outage;
use super::pool::{Carrier, Connection, Pool, Stream};
use super::request::{Head, Outbound};
use super::response::{Answer, CODED, TransferCoding, announced, fault, is_bodiless};
use super::retry::{Reached, is_idempotent};
use super::select::Role;
use super::tls::Tls;
use crate::client::RequestBody;

/// An origin and the connections to it.
#[derive(Debug)]
pub struct Origin {
    pub(super) url: String,
    pub(super) authority: Authority,
    pub(super) role: Role,
    pub(super) weight: u32,
    /// What its name hashes to.
    pub(super) identity: u64,
    pub(super) pool: Pool,
    /// Requests that a group has given it.
    pub(super) load: AtomicU32,
    pub(super) asked: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) watch: Option<Watch>,
    pub(super) outage: Outage,
    host: HeaderValue,
    /// Send the client's Host rather than the origin's own name.
    keep_host: bool,
    scheme: Scheme,
    limits: OriginLimits,
}

/// A request that got no response head.
pub struct Failed {
    pub error: OriginError,
    pub reached: Reached,
    /// The request's content, if nobody has taken any of it.
    pub content: Option<RequestBody>,
    /// Content there was is gone.
    pub content_spent: bool,
    /// It tells nothing about the origin's health: the client did not send its content or asked for a name that is none,
    /// or it was we who had no room.
    pub tells_nothing: bool,
    /// Of these: the client spoiled it.
    pub spoilt: bool,
}

/// How long a request has been under way, and what it has done.
struct Course {
    began: Instant,
    progress: Progress,
    /// A request without content whose method is idempotent.
    repeatable: bool,
}

impl Origin {
    pub(super) fn new(
        config: &OriginConfig,
        keep_host: bool,
        limits: OriginLimits,
        names: Names,
        tls: Option<Tls>,
        watch: Option<Watch>,
    ) -> Result<Self, http::Error> {
        let url = config.url();
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let connector = Connector::new(url.clone(), &config.authority, tls, config.protocol, limits, names);
        Ok(Self {
            identity: super::parents::hash(&url),
            authority: config.authority.clone(),
            role: config.role,
            weight: config.weight.max(1),
            pool: Pool::new(Arc::new(connector), limits),
            load: AtomicU32::new(0),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            watch,
            outage: Outage::default(),
            host: HeaderValue::try_from(config.authority.as_str())?,
            keep_host: keep_host || config.role == Role::Parent,
            scheme,
            limits,
            url,
        })
    }

    /// The same origin for its probes: the same addresses and trust, connections of its own that carry one request each.
    pub(super) fn for_probes(&self) -> Self {
        let limits = OriginLimits { connections: 1, idle_connections: 0, requests: 1, ..self.limits };
        Self {
            url: self.url.clone(),
            authority: self.authority.clone(),
            role: self.role,
            weight: self.weight,
            identity: self.identity,
            pool: Pool::new(Arc::clone(self.pool.connector()), limits),
            load: AtomicU32::new(0),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            watch: None,
            outage: Outage::default(),
            host: self.host.clone(),
            // A probe brings the Host that it is to have, if not the origin's own.
            keep_host: true,
            scheme: self.scheme.clone(),
            limits,
        }
    }

    /// Sends a request and waits for the head of the final response.
    ///
    /// It is sent once more where that is certain to do no harm: when a kept connection closed before any octet of the
    /// answer to an idempotent request without content (RFC 9112 section 9.3.1: the origin most likely closed it for
    /// idleness just then), and when the origin says that it has done nothing with it (RFC 9113 section 8.7).
    ///
    /// # Errors
    /// When no final response head comes.
    pub(super) async fn send<F, I>(
        self: &Arc<Self>,
        outbound: &Outbound<'_, F, I>,
        mut content: Option<RequestBody>,
        began: Instant,
    ) -> Result<Answer, Failed>
    where
        F: Fn() -> HeaderMap,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let repeatable = content.is_none() && is_idempotent(&outbound.method);
        let mut again = false;
        loop {
            let head = Head::new(outbound, &self.host, self.keep_host);
            let name = match self.name(&head) {
                Ok(name) => name,
                Err(error) => return Err(Failed::before(error, content, true)),
            };
            let carrier = match self.pool.acquire(name.as_ref(), again).await {
                Ok(carrier) => carrier,
                Err(error) => {
                    let tells_nothing = self.tells_nothing(&error);
                    return Err(Failed::before(error, content, tells_nothing));
                }
            };
            let course = Course { began, progress: Progress::default(), repeatable };
            let (result, reused) = match carrier {
                Carrier::H1(connection) => {
                    let reused = connection.reused;
                    (self.over_h1(connection, outbound, head, content.take(), &course).await, reused)
                }
                Carrier::H2(stream) => {
                    let reused = stream.place.reused;
                    (Box::pin(self.over_h2(stream, outbound, head, content.take(), &course)).await, reused)
                }
            };
            let failed = match result {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let harmless = match failed.reached {
                Reached::Nobody => !failed.content_spent,
                Reached::Origin => reused && course.repeatable,
                Reached::Answer => false,
            };
            if again || !harmless {
                return Err(failed);
            }
            again = true;
            content = failed.content;
        }
    }

    /// The name that TLS is to verify; `None` in clear text.
    fn name(&self, head: &Head) -> Result<Option<Arc<str>>, OriginError> {
        let Some(tls) = self.pool.connector().tls() else { return Ok(None) };
        let authority = head.authority().ok_or_else(|| OriginError::ServerName {
            origin: self.url.clone(),
            name: String::from_utf8_lossy(head.host.as_bytes()).into_owned(),
        })?;
        Ok(Some(tls.name_for(&authority)))
    }

    /// Does it tell nothing about the origin's health?
    fn tells_nothing(&self, error: &OriginError) -> bool {
        let given = self.pool.connector().tls().is_some_and(|tls| tls.name_is_the_clients(self.keep_host));
        match error {
            OriginError::Busy { .. } => true,
            // A certificate without the name that a client made up.
            OriginError::ServerName { .. } | OriginError::Tls { .. } => given,
            // The one who opened the connection has told already.
            OriginError::Shared { first: false, .. } => true,
            OriginError::Shared { error, .. } => self.tells_nothing(error),
            _ => false,
        }
    }

    fn until(&self, course: &Course) -> (Instant, Duration) {
        (course.began + self.limits.total, self.limits.total)
    }

    async fn over_h1<F, I>(
        self: &Arc<Self>,
        mut connection: Connection,
        outbound: &Outbound<'_, F, I>,
        head: Head,
        content: Option<RequestBody>,
        course: &Course,
    ) -> Result<Answer, Failed>
    where
        F: Fn() -> HeaderMap,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let had_content = content.is_some();
        let request = head.into_h1(outbound, content, &course.progress);
        let before = connection.received.octets();
        connection.received.arm();
        let mut response = pin!(connection.sender.try_send_request(request));
        let (received, driver) = (&connection.received, &mut connection.driver);
        let mut spoilt = false;
        let response = pin!(poll_fn(|context| {
            driver.drive(context);
            if course.progress.is_spoilt() && !std::mem::replace(&mut spoilt, true) {
                // Whoever answers the client has a turn first: by now they know too, and have the right answer.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            response.as_mut().poll(context)
        }));
        let waited = Wait::new(&self.limits, course).for_head(response, || {
            let first = received.first();
            received.arm();
            first
        });
        let failed = |error, reached, content| Failed {
            error,
            reached,
            content_spent: had_content && reached != Reached::Nobody,
            content,
            tells_nothing: course.progress.is_spoilt(),
            spoilt: course.progress.is_spoilt(),
        };
        match waited.await {
            Ok(Ok(response)) => {
                self.accept_h1(&outbound.method, response, connection, course).map_err(|what| {
                    let error = OriginError::NotUnderstood { origin: self.url.clone(), what };
                    failed(error, Reached::Answer, None)
                })
            }
            Ok(Err(mut error)) => {
                let unsent = error.take_message().map(|request| request.into_body().into_inner());
                let source = error.into_error();
                let reached = match &unsent {
                    Some(_) => Reached::Nobody,
                    None if received.octets() == before && !source.is_user() => Reached::Origin,
                    None => Reached::Answer,
                };
                let origin = self.url.clone();
                // The library says of both that the head is too large. It looks at what there is whenever more has come,
                // and finds a line too many as soon as it has come; so if less came than a head may have, it was that.
                let few = received.octets() - before <= self.limits.head_bytes as u64;
                let error = match is_too_large(&source) {
                    true if few => OriginError::TooManyFields { origin, limit: self.limits.fields },
                    true => OriginError::HeadTooLarge { origin, limit: self.limits.head_bytes },
                    false => OriginError::Response { origin, source },
                };
                Err(failed(error, reached, unsent.flatten()))
            }
            Err(late) => Err(failed(late.error(&self.url), Reached::Answer, None)),
        }
    }

    fn accept_h1(
        self: &Arc<Self>,
        method: &Method,
        response: http::Response<hyper::body::Incoming>,
        connection: Connection,
        course: &Course,
    ) -> Result<Answer, &'static str> {
        let (mut parts, incoming) = response.into_parts();
        if let Some(what) = fault(parts.status, &parts.headers) {
            return Err(what);
        }
        let coding = TransferCoding::of(&parts.headers);
        if coding == TransferCoding::Coded && method != Method::HEAD {
            return Err(CODED);
        }
        parts.headers.remove(TRANSFER_ENCODING);
        let bodiless = is_bodiless(method, parts.status);
        let length = if bodiless { Some(0) } else { incoming.size_hint().exact() };
        let keep = coding != TransferCoding::Void
            && (parts.version == Version::HTTP_11 || connection.keeps_http10(&parts.headers));
        let (stall, until) = (self.limits.content_stall, self.until(course));
        let content = OriginContent::h1(incoming, Arc::clone(self), connection, keep, stall, until);
        Ok(Answer {
            status: parts.status,
            reason: parts.extensions.remove::<ReasonPhrase>(),
            headers: parts.headers,
            content,
            length,
            after_interim: course.progress.interims() > 0,
        })
    }

    async fn over_h2<F, I>(
        self: &Arc<Self>,
        mut stream: Stream,
        outbound: &Outbound<'_, F, I>,
        head: Head,
        content: Option<RequestBody>,
        course: &Course,
    ) -> Result<Answer, Failed>
    where
        F: Fn() -> HeaderMap,
        I: Fn(StatusCode, &HeaderMap) + Clone + Send + Sync + 'static,
    {
        let request = match head.into_h2(outbound, content.as_ref(), self.scheme.clone()) {
            Ok(request) => request,
            Err(source) => {
                let error = OriginError::Request { origin: self.url.clone(), source };
                return Err(Failed::before(error, content, true));
            }
        };
        let received = stream.place.octets_received();
        let broken = |source| OriginError::Stream { origin: self.url.clone(), source };
        let sent = match poll_fn(|context| stream.place.sender.poll_ready(context)).await {
            Ok(()) => stream.place.sender.send_request(request, content.is_none()),
            Err(error) => Err(error),
        };
        let (response, sending) = match sent {
            Ok(sent) => sent,
            Err(source) => {
                // It takes no more requests; this one never left.
                stream.place.retire();
                return Err(Failed::before(broken(source), content, false));
            }
        };
        let had_content = content.is_some();
        let uploading =
            content.map(|content| Uploading(tokio::spawn(upload(content, sending, course.progress.clone()))));
        let mut response = pin!(response);
        let response = poll_fn(|context| {
            // Interim responses stand before the final one in the stream's queue.
            while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
                course.progress.interim();
                (outbound.interim)(interim.status(), interim.headers());
            }
            response.as_mut().poll(context)
        });
        let waited = Wait::new(&self.limits, course).for_head(pin!(response), || None).await;
        let failed = |error, reached| Failed {
            error,
            reached,
            content: None,
            content_spent: had_content,
            tells_nothing: course.progress.is_spoilt(),
            spoilt: course.progress.is_spoilt(),
        };
        match waited {
            Ok(Ok(response)) => {
                let answer = self.accept_h2(&outbound.method, response, stream, uploading, course);
                answer.map_err(|error| failed(error, Reached::Answer))
            }
            Ok(Err(source)) => {
                if !source.is_reset() {
                    stream.place.retire();
                }
                let reached = reached(&source, course.progress.interims() > 0);
                let tls = stream.place.tls_fault().map(|(name, source)| OriginError::Tls {
                    origin: self.url.clone(),
                    name: name.to_owned(),
                    source: source.clone(),
                });
                Err(failed(tls.unwrap_or_else(|| broken(source)), reached))
            }
            Err(late) => {
                if stream.place.octets_received() == received {
                    // Not a word for anybody: others had better not wait for this connection.
                    stream.place.retire();
                }
                Err(failed(late.error(&self.url), Reached::Answer))
            }
        }
    }

    fn accept_h2(
        &self,
        method: &Method,
        response: http::Response<h2::RecvStream>,
        stream: Stream,
        uploading: Option<Uploading>,
        course: &Course,
    ) -> Result<Answer, OriginError> {
        let (mut parts, receiving) = response.into_parts();
        if let Some(what) = fault(parts.status, &parts.headers) {
            return Err(OriginError::NotUnderstood { origin: self.url.clone(), what });
        }
        if parts.headers.len() > self.limits.fields {
            let (origin, limit) = (self.url.clone(), self.limits.fields);
            return Err(OriginError::TooManyFields { origin, limit });
        }
        // Said several times in the same words, it is said once.
        if let Some(length) = parts.headers.get(CONTENT_LENGTH).cloned() {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
        let bodiless = is_bodiless(method, parts.status);
        let length = match bodiless || receiving.is_end_stream() {
            true => Some(0),
            false => announced(&parts.headers),
        };
        let stall = self.limits.content_stall;
        let until = self.until(course);
        let content = OriginContent::h2(receiving, stream, uploading, bodiless, stall, until);
        let after_interim = course.progress.interims() > 0;
        Ok(Answer {
            status: parts.status,
            reason: None,
            headers: parts.headers,
            content,
            length,
            after_interim,
        })
    }
}

/// How far a request came whose stream ended with this error. Refused streams, and those beyond the last that a GOAWAY
/// names, were not processed in any way (RFC 9113 sections 6.8 and 8.7).
fn reached(error: &h2::Error, had_interim: bool) -> Reached {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    match error {
        _ if had_interim => Reached::Answer,
        error if error.is_remote() && (refused || error.is_go_away()) => Reached::Nobody,
        // What the library refuses is an answer, a bad one.
        error if error.is_library() => Reached::Answer,
        _ => Reached::Origin,
    }
}

impl Failed {
    fn before(error: OriginError, content: Option<RequestBody>, tells_nothing: bool) -> Self {
        Self { error, reached: Reached::Nobody, content, content_spent: false, tells_nothing, spoilt: false }
    }
}

/// Waits for a response head.
struct Wait<'a> {
    limits: &'a OriginLimits,
    course: &'a Course,
}

/// No response head in time.
enum Late {
    Response(Duration),
    Head(Duration),
    Fetch(Duration),
}

impl Late {
    fn error(self, origin: &str) -> OriginError {
        let origin = origin.to_owned();
        match self {
            Self::Response(limit) => OriginError::ResponseTimeout { origin, limit },
            Self::Head(limit) => OriginError::HeadTimeout { origin, limit },
            Self::Fetch(limit) => OriginError::FetchTimeout { origin, limit },
        }
    }
}

impl<'a> Wait<'a> {
    fn new(limits: &'a OriginLimits, course: &'a Course) -> Self {
        Self { limits, course }
    }

    /// `first`: when the first octet of the head came, if it has; what came before an interim response is forgotten.
    ///
    /// An upload that goes on, and an interim response, give the origin its time anew.
    async fn for_head<T>(
        self,
        mut response: Pin<&mut impl Future<Output = T>>,
        first: impl Fn() -> Option<Instant>,
    ) -> Result<T, Late> {
        let OriginLimits { response: limit, head, total, .. } = *self.limits;
        let progress = &self.course.progress;
        let end = self.course.began + total;
        let (mut pieces, mut interims) = (0, 0);
        let mut quiet_since = Instant::now();
        let mut head_ends = None;
        // Looking once in every `head` is enough to know the end of a head that has begun before it is due.
        let mut until = quiet_since + limit.min(head);
        loop {
            if let Ok(response) = timeout_at(until.min(end), response.as_mut()).await {
                return Ok(response);
            }
            let now = Instant::now();
            if now >= end {
                return Err(Late::Fetch(total));
            }
            let begun = first();
            if progress.interims() != interims {
                interims = progress.interims();
                (quiet_since, head_ends) = (now, None);
            } else if let Some(begun) = begun {
                head_ends.get_or_insert(begun + head);
            }
            if progress.pieces() != pieces {
                pieces = progress.pieces();
                quiet_since = now;
            }
            until = match head_ends {
                Some(ends) if now >= ends => return Err(Late::Head(head)),
                Some(ends) => ends,
                None if now >= quiet_since + limit => return Err(Late::Response(limit)),
                None => (quiet_since + limit).min(now + head),
            };
        }
    }
}
