//! The memory store: responses under their keys, their content in sealed blocks, and the fetches under way.
//!
//! Keys are compared in full. Locks are held for a few steps, never across an await. A response being received is
//! reachable only through its [`Flight`] until it is complete; then [`Store::keep`] puts it in the
//! store, in one step with the question whether a purge came meanwhile.
//!
//! What purges ([`crate::purge`]) took is dropped, or made stale, when it is next found, or by the walk in the background.

mod accounts;
mod block;
mod body;
mod eviction;
mod flight;
mod purged;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_cache::{Keep, Key, Stored};

use crate::purge::{Limits, Purges, Ticket, Verdict};
pub use accounts::{Accounts, Counters};
pub use block::BLOCK;
pub use body::{Body, Deserted, End, Fault, Filler, Next, Reader};
use eviction::Queues;
pub use flight::{Flight, Landing, Sight};

/// What an entry costs beside its content and fields: map, queue and bookkeeping.
const OVERHEAD: u64 = 768;

/// Memory for which a shard is worth having.
const SHARD: u64 = 16 << 20;

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Octets in all.
    pub memory: u64,
    /// Octets of one response's content.
    pub object: u64,
    /// Responses under one key.
    pub variants: usize,
}

/// A stored response: head and content.
#[derive(Clone, Debug)]
pub struct Object {
    pub stored: Arc<Stored>,
    pub body: Arc<Body>,
}

/// The responses under one key, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Variants {
    pub stored: Vec<Arc<Stored>>,
    pub bodies: Vec<Arc<Body>>,
    /// How many purges had come when the fetch of each began that brought or confirmed it.
    born: Vec<u64>,
}

impl Variants {
    pub fn object(&self, index: usize) -> Option<Object> {
        let stored = Arc::clone(self.stored.get(index)?);
        Some(Object { stored, body: Arc::clone(self.bodies.get(index)?) })
    }

    fn without(&self, gone: impl Fn(&Arc<Body>) -> bool) -> Self {
        let mut kept = Self::default();
        for ((stored, body), born) in self.stored.iter().zip(&self.bodies).zip(&self.born) {
            if !gone(body) {
                kept.push(Arc::clone(stored), Arc::clone(body), *born);
            }
        }
        kept
    }

    fn push(&mut self, stored: Arc<Stored>, body: Arc<Body>, born: u64) {
        self.stored.push(stored);
        self.bodies.push(body);
        self.born.push(born);
    }
}

/// A customer's key and its keyed hash. The hash finds the shard and the slot; equality is decided by customer and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedKey {
    pub(crate) hash: u64,
    pub(crate) customer: Arc<str>,
    pub(crate) key: Key,
}

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes on a hash made before.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug, Default)]
struct Shard {
    resources: HashMap<HashedKey, Resource, BuildHasherDefault<Ready>>,
    queues: Queues,
}

#[derive(Debug, Default)]
struct Resource {
    variants: Arc<Variants>,
    flights: Vec<Joinable>,
    /// The version of the purges at which the variants were last judged.
    checked: u64,
}

#[derive(Debug)]
struct Joinable {
    flight: Arc<Flight>,
    /// Others may wait for it.
    open: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    accounts: Arc<Accounts>,
    limits: StoreLimits,
    generations: AtomicU64,
    objects: AtomicU64,
    fetches: AtomicU64,
    purges: Arc<Purges>,
}

impl Store {
    /// A store with purges of its own.
    pub fn new(limits: StoreLimits) -> Self {
        Self::with_purges(limits, Purges::in_memory(Limits::default(), 0))
    }

    pub fn with_purges(limits: StoreLimits, purges: Arc<Purges>) -> Self {
        // Enough that threads rarely meet; few enough that each holds many responses, for eviction to choose from.
        let shards = (limits.memory / SHARD).clamp(1, 64);
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            accounts: Arc::new(Accounts::new(limits.memory)),
            limits,
            generations: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            purges,
        }
    }

    pub fn purges(&self) -> &Arc<Purges> {
        &self.purges
    }

    pub fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn counters(&self) -> &Counters {
        &self.accounts.counters
    }

    /// Responses in the store.
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Fetches under way, from their announcement until their content is stored or let go.
    pub fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::Acquire)
    }

    pub fn hashed(&self, customer: &Arc<str>, key: Key) -> HashedKey {
        let hash = self.hasher.hash_one((&**customer, key.as_str()));
        HashedKey { hash, customer: Arc::clone(customer), key }
    }

    fn shard(&self, key: &HashedKey) -> MutexGuard<'_, Shard> {
        self.shard_at(self.shard_of(key))
    }

    /// By bits that the maps within shards do not use.
    fn shard_of(&self, key: &HashedKey) -> usize {
        (key.hash >> 32) as usize % self.shards.len()
    }

    fn shard_at(&self, index: usize) -> MutexGuard<'_, Shard> {
        // No step under the lock can panic halfway but for lack of memory.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The responses stored under a key that no purge took.
    pub fn find(&self, key: &HashedKey) -> Option<Arc<Variants>> {
        loop {
            let (variants, checked) = {
                let shard = self.shard(key);
                let resource = shard.resources.get(key)?;
                (Arc::clone(&resource.variants), resource.checked)
            };
            if variants.bodies.is_empty() {
                return None;
            }
            if checked == self.purges.version() {
                return Some(variants);
            }
            self.judge(key, &variants, checked);
        }
    }

    /// The fetches for a key that may be waited for, oldest first.
    pub fn flights(&self, key: &HashedKey) -> Vec<Arc<Flight>> {
        let shard = self.shard(key);
        let Some(resource) = shard.resources.get(key) else { return Vec::new() };
        resource.flights.iter().filter(|one| one.open).map(|one| Arc::clone(&one.flight)).collect()
    }

    /// Announces a fetch, so that a purge reaches it and, if `open`, others can wait for it. If `unless` finds a
    /// flight to wait for at that moment, that one is given instead. `born`: how many purges had come before the
    /// request looked anything up ([`Purges::at`]); `seen`: what it found then. If another has changed that meanwhile,
    /// the request has to look again rather than fetch what is there by now; without `seen` it fetches in any case.
    pub fn take_off(
        self: &Arc<Self>,
        key: &HashedKey,
        born: u64,
        seen: Option<&Arc<Variants>>,
        open: bool,
        unless: impl Fn(&Arc<Flight>) -> bool,
    ) -> Result<Registration, Grounded> {
        let ticket = self.purges.ticket(born).ok_or(Grounded::Late)?;
        let mut shard = self.shard(key);
        if let Some(seen) = seen {
            let unchanged = match shard.resources.get(key) {
                Some(now) if !now.variants.bodies.is_empty() => Arc::ptr_eq(&now.variants, seen),
                _ => seen.bodies.is_empty(),
            };
            if !unchanged {
                return Err(Grounded::Late);
            }
        }
        let resource = shard.resources.entry(key.clone()).or_default();
        for other in resource.flights.iter_mut().filter(|other| other.open) {
            // Who asks after a purge gets what the origin says after it.
            other.open = self.is_current(key, &other.flight);
            if other.open && unless(&other.flight) {
                return Err(Grounded::Join(Arc::clone(&other.flight)));
            }
        }
        let flight = Arc::new(Flight::new(born));
        resource.flights.push(Joinable { flight: Arc::clone(&flight), open });
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Ok(Registration { store: Arc::clone(self), key: key.clone(), flight, ticket })
    }

    /// A place for content about to be received.
    pub fn fill(self: &Arc<Self>, key: &HashedKey) -> Filler {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let body = Body::new(key.hash, generation, Arc::clone(&self.accounts));
        Filler::new(Arc::new(body), self.limits.object.min(8 * 1024 * 1024))
    }

    /// Puts a received response in the store, in place of `replaces`, if `decide` (told whether a purge of its key came
    /// since the fetch began) says so.
    pub fn keep(
        &self,
        registration: &Registration,
        object: &Object,
        replaces: &[Arc<Body>],
        decide: impl FnOnce(bool) -> Keep,
    ) -> bool {
        let key = &registration.key;
        let head = object.stored.weight();
        let born = registration.born();
        let (verdict, version) = self.arriving(key, &object.stored, born);
        let mut shard = self.shard(key);
        let shard = &mut *shard;
        let purged = registration.flight.is_purged() || verdict == Verdict::Gone;
        let wanted = object.body.is_held() && decide(purged) == Keep::Store;
        if !wanted {
            object.body.let_go();
            return false;
        }
        object.body.charge(head as u64 + key.key.as_str().len() as u64 + OVERHEAD);
        let resource = shard.resources.entry(key.clone()).or_default();
        let mut variants =
            resource.variants.without(|body| replaces.iter().any(|other| Arc::ptr_eq(body, other)));
        while variants.bodies.len() >= self.limits.variants.max(1) {
            variants.bodies.remove(0);
            variants.stored.remove(0);
            variants.born.remove(0);
        }
        let before = Arc::clone(&resource.variants);
        resource.checked = if variants.bodies.is_empty() { version } else { resource.checked.min(version) };
        variants.push(purged::under(verdict, &object.stored), Arc::clone(&object.body), born);
        resource.variants = Arc::new(variants);
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.left(&mut shard.queues, &before, &resource.variants);
        shard.queues.insert(key.clone(), &object.body);
        true
    }

    /// Lets go of the content of responses that are in `before` and not in `after`.
    fn left(&self, queues: &mut Queues, before: &Variants, after: &Variants) -> u64 {
        let mut count = 0;
        for body in &before.bodies {
            let stays = after.bodies.iter().any(|other| Arc::ptr_eq(body, other));
            if !stays && body.let_go() {
                queues.gone();
                self.objects.fetch_sub(1, Ordering::Relaxed);
                count += 1;
            }
        }
        count
    }

    /// Gives stored responses new heads (after a 304 or the like), unless they or their key were purged meanwhile.
    pub fn freshen(&self, registration: &Registration, objects: &[Object]) {
        let key = &registration.key;
        let born = registration.born();
        let judged: Vec<_> =
            objects.iter().map(|object| (object, self.arriving(key, &object.stored, born))).collect();
        let mut shard = self.shard(key);
        if registration.flight.is_purged() {
            return;
        }
        let Some(resource) = shard.resources.get_mut(key) else { return };
        let mut variants = Variants::clone(&resource.variants);
        let mut gone = Vec::new();
        for (object, (verdict, version)) in judged {
            if let Some(index) = variants.bodies.iter().position(|body| Arc::ptr_eq(body, &object.body)) {
                variants.stored[index] = purged::under(verdict, &object.stored);
                variants.born[index] = born;
                resource.checked = resource.checked.min(version);
                if verdict == Verdict::Gone {
                    gone.push(&object.body);
                }
            }
        }
        resource.variants = Arc::new(variants);
        self.remove(&mut shard, key, |body| gone.iter().any(|other| Arc::ptr_eq(body, other)));
    }

    /// Removes some of the responses under a key.
    pub fn forget(&self, key: &HashedKey, bodies: &[Arc<Body>]) {
        if bodies.is_empty() {
            return;
        }
        let mut shard = self.shard(key);
        self.remove(&mut shard, key, |body| bodies.iter().any(|other| Arc::ptr_eq(body, other)));
    }

    /// Removes all responses under a key, and sees to it that fetches under way, but for `except`, bring none back.
    /// Says how many were removed.
    pub fn purge(&self, key: &HashedKey, except: Option<&Arc<Flight>>) -> u64 {
        let mut shard = self.shard(key);
        if let Some(resource) = shard.resources.get_mut(key) {
            for joinable in &mut resource.flights {
                if except.is_some_and(|flight| Arc::ptr_eq(flight, &joinable.flight)) {
                    continue;
                }
                joinable.flight.purge();
                // Who asks from now on gets what the origin says from now on.
                joinable.open = false;
            }
        }
        let count = self.remove(&mut shard, key, |_| true);
        self.accounts.counters.purged.fetch_add(count, Ordering::Relaxed);
        count
    }

    fn remove(&self, shard: &mut Shard, key: &HashedKey, gone: impl Fn(&Arc<Body>) -> bool) -> u64 {
        let Some(resource) = shard.resources.get_mut(key) else { return 0 };
        let before = Arc::clone(&resource.variants);
        resource.variants = Arc::new(before.without(gone));
        let count = self.left(&mut shard.queues, &before, &resource.variants);
        if resource.variants.bodies.is_empty() && resource.flights.is_empty() {
            shard.resources.remove(key);
        }
        count
    }

    /// Evicts until the store is within its memory, beginning where `key` lives. False if that is not possible: what
    /// is left is being received, or pinned by readers.
    pub fn make_room(&self, key: &HashedKey) -> bool {
        let first = self.shard_of(key);
        for step in 0..self.shards.len() {
            let index = (first + step) % self.shards.len();
            while self.accounts.over() {
                let mut shard = self.shard_at(index);
                let Some((victim, body)) = shard.queues.evict() else { break };
                self.remove(&mut shard, &victim, |other| Arc::ptr_eq(other, &body));
                self.accounts.counters.evicted.fetch_add(1, Ordering::Relaxed);
            }
            if !self.accounts.over() {
                return true;
            }
        }
        false
    }
}

/// A fetch that the store knows of, until this is dropped.
#[derive(Debug)]
pub struct Registration {
    store: Arc<Store>,
    key: HashedKey,
    flight: Arc<Flight>,
    /// Held until what it brought is in the store, so that no purge that it has to meet is forgotten.
    ticket: Ticket,
}

/// Why a fetch does not begin.
#[derive(Clone, Debug)]
pub enum Grounded {
    /// There is one to wait for.
    Join(Arc<Flight>),
    /// What is stored changed, or purges were forgotten, since the request looked anything up; it has to look again.
    Late,
}

impl Registration {
    pub fn key(&self) -> &HashedKey {
        &self.key
    }

    /// How many purges had come before the request looked anything up.
    pub fn born(&self) -> u64 {
        self.ticket.born()
    }

    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// Nobody else may wait for it from now on.
    pub fn close(&self) {
        let mut shard = self.store.shard(&self.key);
        if let Some(resource) = shard.resources.get_mut(&self.key) {
            for joinable in &mut resource.flights {
                if Arc::ptr_eq(&joinable.flight, &self.flight) {
                    joinable.open = false;
                }
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        {
            let mut shard = self.store.shard(&self.key);
            if let Some(resource) = shard.resources.get_mut(&self.key) {
                resource.flights.retain(|joinable| !Arc::ptr_eq(&joinable.flight, &self.flight));
                if resource.variants.bodies.is_empty() && resource.flights.is_empty() {
                    shard.resources.remove(&self.key);
                }
            }
        }
        self.store.fetches.fetch_sub(1, Ordering::Release);
        // Whoever waits must not wait for ever, however the fetch ended (even by a panic).
        self.flight
            .land(Landing::Failed(http_cache::Failure::Response, http_cache::ProxyError::ProxyInternalError));
    }
}
