//! Representations that are kept in slices: finding a slice, fetching one, and cutting a response into them.
//!
//! The head of such a representation is stored under its key, without content, and names its slices by an id that no other
//! representation has. Each slice is stored, evicted and collapsed by itself. So a range costs the origin the slices that
//! it touches, and content of any size streams through memory for a few slices.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_cache::{Ended, ExpectedDigests, Failure, Fetch, Keep, ProxyError, Received, Response, Stored};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::ask::{Fill, FillPlan, Incoming, error_of};
use crate::client::RequestHead;
use crate::customer::Customer;
use crate::digests::{CheckedContent, Spoiled};
use crate::origin::Outbound;
use crate::state::{Edge, view};
use crate::store::{Body, End, Flight, Grounded, HashedKey, Landing, Object, Registration, Sight};

/// How often one request tries to get a slice whose fetch fails.
const TRIES: usize = 3;
/// Octets that a response being cut may be ahead of whoever reads it: what the origin sends faster than clients take
/// would push other content out of the store before anybody wants it. In a small store, this part of it: slices that
/// nobody has read yet are the first to go.
const AHEAD: u64 = 8 << 20;
const AHEAD_SHARE: u64 = 16;
/// How long a response being cut waits for its first reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a slice cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceError {
    /// The origin has another version by now. The head has left the store.
    Changed,
    /// The origin failed.
    Failed(Failure, ProxyError),
}

/// The slices of one representation, for one request.
pub struct Slices<'a> {
    edge: &'a Arc<Edge>,
    customer: &'a Arc<Customer>,
    request: &'a Arc<RequestHead>,
    key: &'a HashedKey,
    head: &'a Object,
    id: u64,
    size: u64,
    complete: u64,
    reading: Option<Reading>,
}

impl<'a> Slices<'a> {
    /// `None`: the content of `head` is not kept in slices.
    pub fn of(
        edge: &'a Arc<Edge>,
        customer: &'a Arc<Customer>,
        request: &'a Arc<RequestHead>,
        key: &'a HashedKey,
        head: &'a Object,
    ) -> Option<Self> {
        let slices = head.stored.slices()?;
        let complete = head.stored.extent().complete?;
        let reading = edge.cuttings.reading(slices.id);
        let size = slices.size.get();
        Some(Self { edge, customer, request, key, head, id: slices.id, size, complete, reading })
    }

    /// The octets of the slice that holds the octet `at`.
    pub fn range(&self, at: u64) -> Range<u64> {
        let first = at / self.size * self.size;
        first..self.complete.min(first.saturating_add(self.size))
    }

    /// The slice that holds the octet `at`, stored or on its way. `last` is the last octet that the request wants: the
    /// next slice is fetched ahead if it holds some of it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn open(&self, at: u64, last: u64) -> Result<Object, SliceError> {
        if let Some(reading) = &self.reading {
            if reading.0.state().damaged {
                return Err(SliceError::Failed(Failure::Response, ProxyError::HttpProtocolError));
            }
            reading.0.reached(at / self.size);
        }
        let range = self.range(at);
        let mut error = SliceError::Failed(Failure::Response, ProxyError::HttpResponseIncomplete);
        for _ in 0..TRIES {
            // From disk, if it is there.
            let _ = self.edge.store.look_up(&self.key_of(range.start)).await;
            let flight = match self.find_or_fetch(&range) {
                Ok(object) => {
                    self.fetch_ahead(range.end, last);
                    return Ok(object);
                }
                Err(flight) => flight,
            };
            let mut interims = 0;
            let landing = loop {
                if let Sight::Landed(landing) = flight.watch(&mut interims).await {
                    break landing;
                }
            };
            match landing {
                Landing::Share(object) => {
                    self.fetch_ahead(range.end, last);
                    return Ok(object);
                }
                Landing::Failed(failure, why) => error = SliceError::Failed(failure, why),
                Landing::Alone | Landing::Stale(_) => return Err(SliceError::Changed),
            }
        }
        Err(error)
    }

    /// A slice that turned out bad leaves the store.
    pub fn forget(&self, slice: &Arc<Body>, at: u64) {
        let _ = self.edge.store.forget(&self.key_of(at), std::slice::from_ref(slice));
    }

    fn key_of(&self, at: u64) -> HashedKey {
        self.edge.slice_key(self.key, self.id, at / self.size)
    }

    fn find_or_fetch(&self, range: &Range<u64>) -> Result<Object, Arc<Flight>> {
        let registration = match self.edge.take_off_slice(&self.key_of(range.start)) {
            Ok(registration) => registration,
            Err(There::Stored(object)) => {
                self.edge.store.touch(&object);
                return Ok(object);
            }
            Err(There::Coming(flight)) => return Err(flight),
        };
        let flight = Arc::clone(registration.flight());
        let wanted = Wanted {
            customer: Arc::clone(self.customer),
            request: Arc::clone(self.request),
            key: self.key.clone(),
            head: self.head.clone(),
            range: range.clone(),
        };
        // A task of its own: others may wait for it, also when this client has left.
        self.edge.fetches.spawn(Arc::clone(self.edge).fetch_slice(registration, wanted));
        Err(flight)
    }

    fn fetch_ahead(&self, at: u64, last: u64) {
        if at <= last
            && at < self.complete
            && self.reading.is_none()
            && !self.edge.store.bring(&self.key_of(at))
        {
            let _ = self.find_or_fetch(&self.range(at));
        }
    }
}

/// Where a slice is that needs no fetch.
enum There {
    Stored(Object),
    Coming(Arc<Flight>),
}

/// A slice to fetch.
struct Wanted {
    customer: Arc<Customer>,
    request: Arc<RequestHead>,
    /// Of the head.
    key: HashedKey,
    head: Object,
    range: Range<u64>,
}

impl Edge {
    pub(crate) fn slice_key(&self, key: &HashedKey, id: u64, index: u64) -> HashedKey {
        self.store.hashed(&key.customer, key.key.slice(id, index))
    }

    /// Begins to fetch a slice, unless it is there or on its way.
    fn take_off_slice(&self, key: &HashedKey) -> Result<Registration, There> {
        let nothing = Arc::default();
        loop {
            // Its head was found before, perhaps long before: a download that began before a purge goes on after it. What is
            // stored for it then can be found through that head only.
            let born = self.store.purges().at(self.clock.now());
            if let Some(object) = self.store.find(key).and_then(|variants| variants.object(0)) {
                return Err(There::Stored(object));
            }
            match self.store.take_off(key, born, Some(&nothing), true, |_| true) {
                Ok(registration) => return Ok(registration),
                Err(Grounded::Join(flight)) => return Err(There::Coming(flight)),
                Err(Grounded::Late) => {}
            }
        }
    }

    /// Stores the head of a representation that is kept in slices.
    pub(crate) fn keep_head(
        &self,
        registration: &Registration,
        (customer, request): (&Customer, &RequestHead),
        mut head: Stored,
        replaces: &[Arc<Body>],
    ) -> Object {
        head.name_slices(self.cuttings.new_id(self.clock.now().as_millis()));
        let filler = self.store.fill(registration);
        let body = Arc::clone(filler.body());
        let at_rest = Arc::new(head.clone().at_rest());
        let keep = |purged| if purged { Keep::Discard } else { Keep::Store };
        let there = |there: &Stored| customer.decisions.beside(&view(request), &head, there);
        self.store.keep(registration, filler, at_rest, End::Complete(Arc::default()), replaces, there, keep);
        self.store.make_room(registration.key());
        registration.close();
        Object { stored: Arc::new(head), body }
    }

    /// Fetches a slice, and says on the registration's flight what came of it.
    async fn fetch_slice(self: Arc<Self>, registration: Registration, wanted: Wanted) {
        let Wanted { customer, request, key, head, range } = wanted;
        let get = request.clone_as(Method::GET);
        let seen = view(&get);
        let fetch = Fetch::part(range.clone());
        let request_time = self.clock.now();
        self.metrics.origin_requests.add(1);
        let outbound = Outbound {
            method: Method::GET,
            path_and_query: request.target.path_and_query().cloned(),
            fields: || customer.decisions.origin_request(&seen, &fetch, Some(&head.stored)),
            expects_continue: false,
            content: None,
            interim: |_: StatusCode, _: &http::HeaderMap| {},
            // All slices of one representation have one parent.
            key: key.key.as_str(),
        };
        let failed = |failure, error| {
            registration.close();
            registration.flight().land(Landing::Failed(failure, error));
        };
        let mut answer = match customer.origin.send(outbound).await {
            Ok(answer) => Incoming::from(answer),
            Err(error) => {
                let (failure, name) = self.unanswered(&request, &error);
                return failed(failure, name);
            }
        };
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            tracing::debug!(target = %request.target, status = %answer.status, "no slice from the origin");
            if let Some(before) = self.sliceless.turn(self.clock.now()) {
                tracing::warn!(target = %request.target, status = %answer.status, before, "no slice from the origin; others within some seconds are logged at debug only");
            }
            return failed(Failure::Response, ProxyError::HttpResponseIncomplete);
        }
        let response = Response {
            status: answer.status,
            headers: &answer.headers,
            request_time,
            response_time: self.clock.now(),
        };
        let expected = ExpectedDigests::of(&seen, &response);
        if let Err(spoiled) = answer.content.expect(expected, answer.length).await {
            self.spoiled(&request.target, &spoiled);
            return failed(Failure::Response, error_of(&spoiled));
        }
        for attempt in 1..=TRIES {
            // The head as it is by now: other slices, or a validation, may have changed it.
            let met = self.store.purges().number();
            let there = self.store.look_up(&key).await.objects().find(|it| it.body.id() == head.body.id());
            let stored = there.as_ref().map_or(&head.stored, |it| &it.stored);
            let stored = std::slice::from_ref(stored);
            let Received::Combine { stored: updated, .. } =
                customer.decisions.received(&seen, &fetch, &response, stored)
            else {
                break;
            };
            // RFC 9111 sections 3.2 and 3.4: the fields of a later part update what is stored.
            let numbers = (registration.born(), met);
            let is_current =
                there.is_none_or(|there| self.store.update(&key, numbers, &there, updated.at_rest()));
            if !is_current && attempt < TRIES {
                continue;
            }
            let plan = FillPlan::slice(head.stored.slice(range));
            self.receive(&customer, registration, answer, plan, false);
            return;
        }
        tracing::info!(target = %request.target, "the origin has another version than the one whose slices are stored");
        self.metrics.slices_changed.add(1);
        let _ = self.store.forget(&key, std::slice::from_ref(&head.body));
        registration.close();
        registration.flight().land(Landing::Alone);
    }

    /// Begins to cut the content of a response into slices. The head is in the store already.
    pub(crate) fn cut(
        self: &Arc<Self>,
        customer: &Arc<Customer>,
        key: &HashedKey,
        head: &Object,
        content: CheckedContent,
    ) {
        let (Some(slices), Some(complete)) = (head.stored.slices(), head.stored.extent().complete) else {
            return;
        };
        let mut cutter = Cutter {
            edge: Arc::clone(self),
            customer: Arc::clone(customer),
            key: key.clone(),
            head: head.clone(),
            id: slices.id,
            size: slices.size.get(),
            complete,
            at: 0,
            current: None,
            cutting: self.cuttings.begin(slices.id),
        };
        // Before anybody can look for it.
        cutter.current = cutter.begin(0);
        self.fetches.spawn(cutter.run(content));
    }
}

/// Cuts one response into slices.
struct Cutter {
    edge: Arc<Edge>,
    customer: Arc<Customer>,
    key: HashedKey,
    head: Object,
    id: u64,
    size: u64,
    complete: u64,
    /// Octets taken in.
    at: u64,
    /// The slice being filled; `None` while it is there already, or somebody else is fetching it.
    current: Option<(Fill, FillPlan)>,
    cutting: Arc<Cutting>,
}

impl Cutter {
    async fn run(mut self, mut content: CheckedContent) {
        while let Some(frame) = content.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => {
                    if !self.take_in(data).await {
                        break;
                    }
                }
                Ok(Err(_trailers)) => {}
                Err(spoiled) => {
                    self.edge.spoiled(&self.key.key, &spoiled);
                    if matches!(spoiled, Spoiled::Digest(_)) {
                        // Some slice of it is damaged, and nobody knows which.
                        self.cutting.state().damaged = true;
                        let _ = self.edge.store.forget(&self.key, std::slice::from_ref(&self.head.body));
                    }
                    break;
                }
            }
        }
        if let Some((fill, plan)) = self.current.take() {
            fill.end(plan, Ended::Truncated);
        }
    }

    /// False: nobody wants more of it.
    async fn take_in(&mut self, mut data: Bytes) -> bool {
        while !data.is_empty() {
            let end = self.complete.min((self.at / self.size + 1).saturating_mul(self.size));
            let room = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            if room == 0 {
                return false;
            }
            let piece = data.split_to(room.min(data.len()));
            self.at += piece.len() as u64;
            // The next one begins before the last octets of this one can be read: whoever comes to its end finds it.
            let index = self.at / self.size;
            let next = (self.at == end && end < self.complete).then(|| self.begin(index));
            if let Some((fill, _)) = &mut self.current
                && fill.append(&piece).await.is_err()
            {
                // Nobody reads it, and it cannot be kept.
                self.current = None;
            }
            if self.at == end {
                if let Some((fill, plan)) = std::mem::replace(&mut self.current, next.flatten()) {
                    fill.end(plan, Ended::Complete);
                }
                let ahead = AHEAD.min(self.edge.store.limits().memory / AHEAD_SHARE) / self.size;
                if self.at < self.complete && !self.cutting.wanted(index, ahead.max(1)).await {
                    return false;
                }
            }
        }
        true
    }

    fn begin(&self, index: u64) -> Option<(Fill, FillPlan)> {
        let key = self.edge.slice_key(&self.key, self.id, index);
        let registration = self.edge.take_off_slice(&key).ok()?;
        let first = index * self.size;
        let plan = FillPlan::slice(self.head.stored.slice(first..self.complete.min(first + self.size)));
        Some((self.edge.fill(&self.customer, registration, &plan), plan))
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.edge.cuttings.end(self.id);
    }
}

/// The responses being cut, by the id of their slices.
#[derive(Debug, Default)]
pub struct Cuttings {
    under_way: Mutex<HashMap<u64, Arc<Cutting>>>,
    hasher: std::hash::RandomState,
    ids: std::sync::atomic::AtomicU64,
}

impl Cuttings {
    /// An id that no other slices of the same resource have, in this process or an earlier one.
    fn new_id(&self, millis: u64) -> u64 {
        let count = self.ids.fetch_add(1, Ordering::Relaxed);
        self.hasher.hash_one((millis, count)).max(1)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<u64, Arc<Cutting>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: u64) -> Arc<Cutting> {
        let cutting = Arc::new(Cutting::default());
        self.under_way().insert(id, Arc::clone(&cutting));
        cutting
    }

    fn end(&self, id: u64) {
        self.under_way().remove(&id);
    }

    fn reading(&self, id: u64) -> Option<Reading> {
        let cutting = Arc::clone(self.under_way().get(&id)?);
        cutting.state().readers += 1;
        cutting.moved.notify_one();
        Some(Reading(cutting))
    }
}

/// How far the readers of a response being cut are.
#[derive(Debug, Default)]
struct Cutting {
    state: Mutex<Readers>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Readers {
    readers: usize,
    /// The last slice that anybody asked for.
    furthest: u64,
    /// The content does not have the digest that its origin told.
    damaged: bool,
}

impl Cutting {
    fn state(&self) -> MutexGuard<'_, Readers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self, index: u64) {
        let mut state = self.state();
        state.furthest = state.furthest.max(index);
        drop(state);
        self.moved.notify_one();
    }

    /// Waits until the slice `index` is no more than `ahead` in front of a reader. False: there is none any more.
    async fn wanted(&self, index: u64, ahead: u64) -> bool {
        loop {
            let moved = self.moved.notified();
            let readers = {
                let state = self.state();
                if index <= state.furthest.saturating_add(ahead) {
                    return true;
                }
                state.readers
            };
            if readers > 0 {
                moved.await;
            } else if timeout(PATIENCE, moved).await.is_err() && self.state().readers == 0 {
                return false;
            }
        }
    }
}

/// One who reads a response being cut.
struct Reading(Arc<Cutting>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.state().readers -= 1;
        self.0.moved.notify_one();
    }
}
