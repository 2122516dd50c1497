//! Connections to one origin: few, long-lived, and bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::header::{CONNECTION, HeaderMap};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::config::{OriginLimits, Protocol};
use super::connect::Connector;
use super::content::OutboundContent;
use super::driver::Driver;
use super::error::OriginError;
use super::multiplex::{Multiplexed, Place};
use super::stream::{Received, Watched};
use crate::client::request::has_token;

/// Octets of a response that are read at once. Bounds the memory of connections whose clients read slowly.
const BUFFER: usize = 128 * 1024;

/// What carries one request.
#[derive(Debug)]
pub enum Carrier {
    H1(Connection),
    H2(Stream),
}

/// An HTTP/1.1 connection in use.
#[derive(Debug)]
pub struct Connection {
    pub sender: SendRequest<OutboundContent>,
    pub driver: Driver,
    /// It carried a request before.
    pub reused: bool,
    pub received: Arc<Received>,
    name: Option<Arc<str>>,
    opened: Instant,
    generation: u64,
    carried: u64,
    /// One of the requests that may be under way at once.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// An HTTP/1.0 origin keeps the connection only when it says so.
    pub fn keeps_http10(&self, fields: &HeaderMap) -> bool {
        has_token(fields, &CONNECTION, "keep-alive")
    }
}

/// A place on an HTTP/2 connection.
#[derive(Debug)]
pub struct Stream {
    pub place: Place,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<OutboundContent>,
    driver: Driver,
    received: Arc<Received>,
    name: Option<Arc<str>>,
    opened: Instant,
    generation: u64,
    carried: u64,
    since: Instant,
}

impl Idle {
    /// Says goodbye where the protocol below has a word for it, if that can be done at once.
    fn close(self) {
        let Self { sender, mut driver, .. } = self;
        drop(sender);
        driver.settle();
    }
}

/// A connection just opened.
enum Opened {
    H1(Box<Idle>),
    H2 { multiplexed: Arc<Multiplexed>, generation: u64 },
}

/// What the origin is known to speak.
const UNKNOWN: u8 = 0;
const H1: u8 = 1;
const H2: u8 = 2;

#[derive(Debug)]
pub struct Pool {
    connector: Arc<Connector>,
    limits: OriginLimits,
    /// The most recently used last.
    idle: Mutex<Vec<Idle>>,
    multiplexed: Mutex<Vec<Arc<Multiplexed>>>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    opened: AtomicU64,
    speaks: AtomicU8,
    /// Counts the times that connections of before were given up.
    generation: AtomicU64,
    /// While a connection may turn out to carry many requests, one is opened at a time for each name.
    openings: Mutex<HashMap<Option<Arc<str>>, Arc<Opening>>>,
}

/// A connection being opened, or about to be, for all who wait for it.
#[derive(Debug, Default)]
struct Opening {
    turn: tokio::sync::Mutex<()>,
    /// It failed, for all of them. Who comes later has another.
    failure: OnceLock<Arc<OriginError>>,
}

/// One who waits for an opening. The last to leave forgets it.
struct Waiter<'a> {
    pool: &'a Pool,
    name: Option<Arc<str>>,
    opening: Arc<Opening>,
}

impl<'a> Waiter<'a> {
    fn new(pool: &'a Pool, name: Option<&Arc<str>>) -> Self {
        let name = name.cloned();
        let opening = Arc::clone(lock(&pool.openings).entry(name.clone()).or_default());
        Self { pool, name, opening }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut openings = lock(&self.pool.openings);
        let is_ours = openings.get(&self.name).is_some_and(|it| Arc::ptr_eq(it, &self.opening));
        // The table and this one have it.
        let is_last = Arc::strong_count(&self.opening) == 2;
        if is_ours && (is_last || self.opening.failure.get().is_some()) {
            openings.remove(&self.name);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub fn new(connector: Arc<Connector>, limits: OriginLimits) -> Self {
        let speaks = match (connector.protocol(), connector.tls()) {
            (Protocol::H2, _) => H2,
            (Protocol::H1, _) | (Protocol::Auto, None) => H1,
            (Protocol::Auto, Some(_)) => UNKNOWN,
        };
        Self {
            connector,
            limits,
            idle: Mutex::default(),
            multiplexed: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            waiting: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            speaks: AtomicU8::new(speaks),
            generation: AtomicU64::new(0),
            openings: Mutex::default(),
        }
    }

    /// Open connections that carry nothing.
    pub fn idle(&self) -> usize {
        let unused = lock(&self.multiplexed).iter().filter(|it| it.is_unused()).count();
        lock(&self.idle).len() + unused
    }

    /// Requests under way.
    pub fn in_use(&self) -> usize {
        self.limits.connections - self.permits.available_permits()
    }

    /// Requests that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    /// What carries a request as `name`: a kept connection if one is usable, else a new one. `fresh`: no kept HTTP/1.1
    /// connection.
    ///
    /// # Errors
    /// When there is no turn in time, or no connection.
    pub async fn acquire(&self, name: Option<&Arc<str>>, fresh: bool) -> Result<Carrier, OriginError> {
        let permit = self.permit().await?;
        let speaks = self.speaks.load(Ordering::Relaxed);
        if speaks != H2 {
            if !fresh && let Some(idle) = self.kept(name) {
                return Ok(Carrier::H1(connection(idle, permit, true)));
            }
            if speaks == H1 {
                let opened = self.open(name).await?;
                return Ok(self.carrier(opened, permit));
            }
        }
        if let Some(place) = self.place(name) {
            return Ok(Carrier::H2(Stream { place, _permit: permit }));
        }
        self.open_for_many(name, permit).await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, OriginError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        let turn = Arc::clone(&self.permits).acquire_owned();
        timeout(self.limits.wait, turn).await.map_err(|_| self.busy())?.map_err(|_| self.busy())
    }

    fn busy(&self) -> OriginError {
        OriginError::Busy {
            origin: self.connector.origin().to_owned(),
            most: self.limits.connections,
            limit: self.limits.wait,
        }
    }

    fn kept(&self, name: Option<&Arc<str>>) -> Option<Idle> {
        loop {
            let mut idle = {
                let mut list = lock(&self.idle);
                let index = list.iter().rposition(|idle| idle.name.as_ref() == name)?;
                list.remove(index)
            };
            idle.driver.settle();
            // Not while a request's content is still on its way, whose answer came before.
            if idle.sender.is_ready() && idle.since.elapsed() <= self.limits.idle {
                return Some(idle);
            }
            idle.close();
        }
    }

    fn place(&self, name: Option<&Arc<str>>) -> Option<Place> {
        let now = Instant::now();
        lock(&self.multiplexed).iter().find_map(|connection| connection.place(name, &self.limits, now))
    }

    /// Opens a connection that others wait for too. If it fails, it fails for all who waited.
    async fn open_for_many(
        &self,
        name: Option<&Arc<str>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Carrier, OriginError> {
        let waiter = Waiter::new(self, name);
        let opening = &waiter.opening;
        let Ok(turn) = timeout(self.limits.wait, opening.turn.lock()).await else { return Err(self.busy()) };
        if let Some(error) = opening.failure.get() {
            return Err(OriginError::Shared { error: Arc::clone(error), first: false });
        }
        if let Some(place) = self.place(name) {
            return Ok(Carrier::H2(Stream { place, _permit: permit }));
        }
        if self.speaks.load(Ordering::Relaxed) == H1 {
            // It turned out to carry one request at a time: nobody has to wait for anybody.
            drop(turn);
            return Ok(self.carrier(self.open(name).await?, permit));
        }
        match self.open(name).await {
            Ok(opened) => Ok(self.carrier(opened, permit)),
            Err(error) => {
                let error = Arc::new(error);
                let _ = opening.failure.set(Arc::clone(&error));
                Err(OriginError::Shared { error, first: true })
            }
        }
    }

    fn carrier(&self, opened: Opened, permit: OwnedSemaphorePermit) -> Carrier {
        match opened {
            Opened::H1(idle) => Carrier::H1(connection(*idle, permit, false)),
            Opened::H2 { multiplexed, generation } => {
                let place = multiplexed.first_place();
                let mut list = lock(&self.multiplexed);
                list.retain(|it| it.is_worth_keeping(&self.limits, Instant::now()));
                // Where clients choose the name that is verified, they choose how many connections there are.
                let mut spare = list.iter().filter(|it| it.is_unused()).count();
                list.retain(|it| {
                    let surplus = spare > self.limits.idle_connections && it.is_unused();
                    spare -= usize::from(surplus);
                    !surplus
                });
                if self.limits.requests > 1 && self.is_current(generation) {
                    list.push(multiplexed);
                }
                Carrier::H2(Stream { place, _permit: permit })
            }
        }
    }

    async fn open(&self, name: Option<&Arc<str>>) -> Result<Opened, OriginError> {
        let generation = self.generation.load(Ordering::Acquire);
        let (stream, h2) = self.connector.connect(name.map(|name| &**name)).await?;
        let origin = self.connector.origin();
        if self.connector.protocol() == Protocol::Auto {
            self.speaks.store(if h2 { H2 } else { H1 }, Ordering::Relaxed);
        }
        let opened = if h2 {
            let multiplexed = Multiplexed::begin(origin, stream, name.cloned(), &self.limits).await?;
            Opened::H2 { multiplexed, generation }
        } else {
            let (watched, received) = Watched::new(stream);
            let (sender, connection) = Builder::new()
                .title_case_headers(true)
                .max_headers(self.limits.fields)
                .max_header_size(self.limits.head_bytes)
                .max_buf_size(self.limits.head_bytes.max(BUFFER))
                .handshake(TokioIo::new(watched))
                .await
                .map_err(|source| OriginError::Response { origin: origin.to_owned(), source })?;
            let driver = Driver::new(connection);
            let now = Instant::now();
            let name = name.cloned();
            let (opened, since) = (now, now);
            Opened::H1(Box::new(Idle {
                sender,
                driver,
                received,
                name,
                opened,
                generation,
                carried: 0,
                since,
            }))
        };
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }

    /// Takes back a connection whose response has been read to its end.
    pub fn give_back(&self, connection: Connection) {
        let Connection { sender, driver, received, name, opened, generation, carried, .. } = connection;
        let now = Instant::now();
        let mut idle = Idle { sender, driver, received, name, opened, generation, carried, since: now };
        idle.driver.settle();
        let worn = carried >= self.limits.requests || now.duration_since(opened) >= self.limits.age;
        if !idle.sender.is_ready() || worn || self.limits.idle_connections == 0 {
            return idle.close();
        }
        let mut list = lock(&self.idle);
        // Under the lock: whoever gives up what is kept finds it, or it is not kept.
        if !self.is_current(generation) {
            return idle.close();
        }
        let oldest = (list.len() >= self.limits.idle_connections).then(|| list.remove(0));
        list.push(idle);
        drop(list);
        oldest.into_iter().for_each(Idle::close);
    }

    fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// Connections that are open, or being opened, carry no further requests.
    pub fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        std::mem::take(&mut *lock(&self.idle)).into_iter().for_each(Idle::close);
        lock(&self.multiplexed).drain(..).for_each(|it| it.retire());
    }

    /// Closes connections that have been idle for too long, and forgets closed ones.
    pub fn sweep(&self) {
        let now = Instant::now();
        let out: Vec<Idle> = lock(&self.idle)
            .extract_if(.., |idle| {
                idle.driver.settle();
                !idle.sender.is_ready()
                    || now.duration_since(idle.since) > self.limits.idle
                    || now.duration_since(idle.opened) >= self.limits.age
            })
            .collect();
        out.into_iter().for_each(Idle::close);
        lock(&self.multiplexed).retain(|it| it.is_worth_keeping(&self.limits, now));
    }
}

fn connection(idle: Idle, permit: OwnedSemaphorePermit, reused: bool) -> Connection {
    let Idle { sender, driver, received, name, opened, generation, carried, .. } = idle;
    let carried = carried + 1;
    Connection { sender, driver, reused, received, name, opened, generation, carried, _permit: permit }
}

/// Counts a request that waits, while it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
