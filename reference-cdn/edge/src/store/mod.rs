//! The store: responses under their keys, their content in sealed blocks, in memory and on disk, and the fetches under
//! way.
//!
//! Keys are compared in full. Locks are held for a few steps, never across an await; a lock of the disk store is taken
//! under one of the memory store, never the other way round. A response being received is reachable only through its
//! [`Flight`] until it is complete; then [`Store::keep`] puts it in the store, in one step with the question whether a
//! purge came meanwhile.

mod accounts;
mod block;
mod body;
pub mod disk;
mod eviction;
mod few;
mod filler;
mod flight;
mod ghosts;
mod hash;
mod leaving;
mod purged;
mod reader;
mod registration;
mod resources;
mod signal;
mod tiers;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use http_cache::{Beside, Keep, Key, Stored};

use crate::purge::{Limits, Purges, Verdict};
use crate::sync::{Mutex, MutexGuard};
use accounts::taken;
pub use accounts::{Accounts, Counters};
pub use block::BLOCK;
#[cfg(test)]
pub(crate) use block::charge_of;
pub use body::{Body, End, Fault};
use body::{Source, Touch};
use disk::{Disk, Removal};
use eviction::Queues;
pub use filler::{Deserted, Filler};
pub use flight::{Flight, Landing, Sight};
pub use hash::KeyHasher;
use leaving::Leaving;
pub use reader::{Next, Reader};
pub use registration::{Grounded, Registration};
pub use resources::{HashedKey, Object, Variants};
use resources::{Joinable, Resource, Shard};

/// What an entry takes beside its key, its head and its content: the allocations for its body and for the list of variants,
/// a slot in a map that is three quarters full, and two in a queue.
const OVERHEAD: u64 = {
    let counts = 2 * size_of::<usize>();
    let slot = size_of::<HashedKey>() + size_of::<Resource>() + 1;
    taken(size_of::<Body>() + counts)
        + taken(size_of::<Variants>() + counts)
        + (slot * 4 / 3 + 2 * size_of::<usize>()) as u64
};

/// Memory for which a shard is worth having.
const SHARD: u64 = 16 << 20;

/// Octets of memory for which a place among the ghosts is worth having.
const GHOST: u64 = 2048;

/// Bounds of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Octets of memory in all.
    pub memory: u64,
    /// Octets of one response's content.
    pub object: u64,
    /// Responses under one key.
    pub variants: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: KeyHasher,
    accounts: Arc<Accounts>,
    limits: StoreLimits,
    /// The number of the next stored response.
    ids: Arc<AtomicU64>,
    objects: AtomicU64,
    fetches: AtomicU64,
    purges: Arc<Purges>,
    disk: Option<Disk>,
    /// How long a request waits for the disk.
    patience: Duration,
    leaving: Leaving,
    /// Brings content from disk; made when it is first needed.
    source: OnceLock<Arc<dyn Source>>,
}

/// What a purge did.
#[derive(Debug, Default)]
#[must_use = "whoever asked for it is answered when its removal is written"]
pub struct Purged {
    /// Responses that are gone.
    pub count: u64,
    /// That they stay so after a restart.
    pub removal: Removal,
}

impl Purged {
    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, removal: self.removal.and(other.removal) }
    }
}

impl Store {
    /// A store in memory alone, with purges of its own.
    pub fn new(limits: StoreLimits) -> Self {
        Self::with_purges(limits, Purges::in_memory(Limits::default(), 0))
    }

    pub fn with_purges(limits: StoreLimits, purges: Arc<Purges>) -> Self {
        Self::with(limits, purges, KeyHasher::random(), None, Arc::new(AtomicU64::new(1)))
    }

    fn with(
        limits: StoreLimits,
        purges: Arc<Purges>,
        hasher: KeyHasher,
        disk: Option<Disk>,
        ids: Arc<AtomicU64>,
    ) -> Self {
        // Enough that threads rarely meet; few enough that each holds many responses, for eviction to choose from.
        let count = (limits.memory / SHARD).clamp(1, 64);
        let ghosts = limits.memory / count / GHOST;
        let shards = (0..count)
            .map(|_| Mutex::new(Shard { resources: Default::default(), queues: Queues::new(ghosts) }));
        Self {
            shards: shards.collect(),
            hasher,
            accounts: Arc::new(Accounts::new(limits.memory)),
            limits,
            ids,
            objects: AtomicU64::new(0),
            fetches: AtomicU64::new(0),
            purges,
            disk,
            patience: Duration::ZERO,
            leaving: Leaving::default(),
            source: OnceLock::new(),
        }
    }

    /// Called four times in a second. `process`: octets that the process has resident, where that is known; the store makes
    /// room for what is too much.
    pub fn look(&self, process: Option<u64>) {
        if let Some(process) = process {
            self.accounts.observe(process);
        }
        self.leaving.look(&self.accounts);
        self.make_room_from(0, 0);
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

    /// Responses in memory.
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    pub fn purges(&self) -> &Arc<Purges> {
        &self.purges
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

    /// The responses in memory under a key that no purge took.
    pub fn find(&self, key: &HashedKey) -> Option<Arc<Variants>> {
        loop {
            let (variants, checked) = {
                let shard = self.shard(key);
                let resource = shard.resources.get(key)?;
                (resource.variants.as_ref().map(Arc::clone)?, resource.checked)
            };
            if checked == self.purges.version() {
                return Some(variants);
            }
            self.judge(key, &variants, checked);
        }
    }

    /// The fetches for a key that may be waited for, oldest first.
    pub fn flights(&self, key: &HashedKey) -> Vec<Arc<Flight>> {
        let shard = self.shard(key);
        shard
            .resources
            .get(key)
            .into_iter()
            .flat_map(|resource| resource.open_flights())
            .map(Arc::clone)
            .collect()
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
                Some(Resource { variants: Some(now), .. }) => Arc::ptr_eq(now, seen),
                _ => seen.bodies.is_empty(),
            };
            if !unchanged {
                return Err(Grounded::Late);
            }
        }
        let resource = shard.resources.entry(key.clone()).or_default();
        for other in resource.flights().iter_mut().filter(|other| other.open) {
            // Who asks after a purge gets what the origin says after it.
            other.open = self.is_current(key, &other.flight);
            if other.open && unless(&other.flight) {
                return Err(Grounded::Join(Arc::clone(&other.flight)));
            }
        }
        let flight = Arc::new(Flight::new(born));
        resource.flights().push(Joinable { flight: Arc::clone(&flight), open });
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Ok(Registration { store: Arc::clone(self), key: key.clone(), flight, ticket })
    }

    /// A place for content about to be received.
    pub fn fill(&self, registration: &Registration) -> Filler {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let body = Body::open(registration.key.clone(), id, registration.born(), Arc::clone(&self.accounts));
        Filler::new(Arc::new(body), self.limits.object.min(8 * 1024 * 1024))
    }

    /// Ends a response that was received, and puts it in the store if `decide` (told whether a purge of its key came since
    /// the fetch began) says so: in place of `replaces`, and of what `beside` says of the others that are there by now,
    /// which fetches that began at the same time may have brought. Whoever sees the end finds it in the store.
    #[allow(clippy::too_many_arguments, reason = "one step, under one lock, with all that it depends on")]
    pub fn keep(
        &self,
        registration: &Registration,
        filler: Filler,
        stored: Arc<Stored>,
        end: End,
        replaces: &[Arc<Body>],
        beside: impl Fn(&Stored) -> Beside,
        decide: impl FnOnce(bool) -> Keep,
    ) -> bool {
        let key = &registration.key;
        let body = Arc::clone(filler.body());
        {
            // Judged, and put where walks come by, in one step: between the two a purge could come and be forgotten.
            let (mut shard, number, verdict, version) = loop {
                let number = self.purges.number();
                let (verdict, version) = self.arriving(key, &stored, registration.born());
                let shard = self.shard(key);
                if self.purges.version() == version {
                    break (shard, number, verdict, version);
                }
            };
            let stored = purged::under(verdict, &stored);
            let shard = &mut *shard;
            let purged = registration.flight.is_purged() || verdict == Verdict::Gone;
            let resource = shard.resources.entry(key.clone()).or_default();
            let (mut objects, mut gone) = (Vec::new(), Vec::new());
            let mut outdone = false;
            for object in resource.objects() {
                let replaced = replaces.iter().any(|other| Arc::ptr_eq(&object.body, other));
                match beside(&object.stored) {
                    _ if replaced => gone.push(object),
                    Beside::Both => objects.push(object),
                    // Ids are given as heads come in.
                    Beside::Last if object.body.id() < body.id() => gone.push(object),
                    Beside::Last | Beside::Stored => outdone = true,
                }
            }
            if outdone || !body.is_held() || decide(purged) != Keep::Store {
                body.let_go();
            } else {
                body.charge(self.weight(key, &stored));
                let surplus = (objects.len() + 1).saturating_sub(self.limits.variants.max(1));
                gone.extend(objects.drain(..surplus));
                self.accounts.counters.surplus_variants.fetch_add(surplus as u64, Ordering::Relaxed);
                resource.checked = if objects.is_empty() { version } else { resource.checked.min(version) };
                objects.push(Object { stored: Arc::clone(&stored), body: Arc::clone(&body) });
                resource.set(objects);
                self.objects.fetch_add(1, Ordering::Relaxed);
                for object in &gone {
                    self.left(&mut shard.queues, &object.body);
                }
                shard.queues.insert(&body);
                let complete = matches!(end, End::Complete(_));
                filler.finish(end);
                if let Some(disk) = &self.disk {
                    // Also what memory let go meanwhile.
                    let ids: Vec<u64> =
                        gone.iter().map(|it| &it.body).chain(replaces).map(|it| it.id()).collect();
                    if !ids.is_empty() {
                        // Nobody waits for it: the new response is the answer.
                        let _ = disk.shared.remove(key.hash, |id| ids.contains(&id));
                    }
                    if complete {
                        disk.shared.offer(&stored, &body, number);
                    }
                }
                return true;
            }
        }
        filler.finish(end);
        false
    }

    /// Content that passes through is for those who read it now.
    pub fn passes(&self, body: &Arc<Body>) {
        self.leaving.add(body);
    }

    /// Octets of an entry beside its content.
    fn weight(&self, key: &HashedKey, stored: &Stored) -> u64 {
        // A piece of the head may take a quarter more than it has, and takes an eighth on average.
        let (head, key) = (stored.weight(), key.key.as_str().len() + 2 * size_of::<usize>());
        (head + head / 8) as u64 + taken(key) + OVERHEAD
    }

    /// A response is no longer reachable. True if it was until now.
    fn left(&self, queues: &mut Queues, body: &Arc<Body>) -> bool {
        let left = body.let_go();
        if left {
            queues.gone(body);
            self.objects.fetch_sub(1, Ordering::Relaxed);
            // Whoever removes it has it once or twice.
            if Arc::strong_count(body) > 2 {
                self.leaving.add(body);
            }
        }
        left
    }

    /// It is read: remembered for eviction.
    pub fn touch(&self, object: &Object) {
        let body = &object.body;
        let touch = body.touch();
        let Some(disk) = &self.disk else { return };
        let (hash, id) = (body.key().hash, body.id());
        match touch {
            Touch::Again => {}
            Touch::FromDisk => disk.shared.touch(hash, id),
            Touch::First => {
                disk.shared.set_resident(hash, id);
                if !body.is_held() {
                    disk.shared.left_memory(hash, id, true);
                }
            }
        }
    }

    /// Gives stored responses new heads (after a 304 or the like), unless they or their key were purged meanwhile.
    pub fn freshen(&self, registration: &Registration, objects: &[Object]) {
        let key = &registration.key;
        let born = registration.born();
        let number = self.purges.number();
        let judged: Vec<_> = objects
            .iter()
            .map(|object| {
                let (verdict, version) = self.arriving(key, &object.stored, born);
                let stored = purged::under(verdict, &object.stored);
                (Object { stored, body: Arc::clone(&object.body) }, verdict, version)
            })
            .collect();
        let mut shard = self.shard(key);
        if registration.flight.is_purged() {
            return;
        }
        let mut weighed = Vec::new();
        if let Some(resource) = shard.resources.get_mut(key) {
            let mut all = resource.objects();
            for object in &mut all {
                let fresh = judged.iter().find(|(fresh, ..)| Arc::ptr_eq(&fresh.body, &object.body));
                if let Some((fresh, _, version)) = fresh {
                    resource.checked = resource.checked.min(*version);
                    object.set_head(&fresh.stored);
                    object.body.confirmed_at(born);
                    weighed.push(Arc::clone(&object.body));
                }
            }
            resource.set(all);
        }
        weighed.iter().for_each(|body| shard.queues.weigh(body));
        let gone = |body: &Arc<Body>| {
            let verdict = judged.iter().find(|(it, ..)| Arc::ptr_eq(&it.body, body));
            verdict.is_some_and(|(_, verdict, _)| *verdict == Verdict::Gone)
        };
        self.remove(&mut shard, key, gone);
        if let Some(disk) = &self.disk {
            for (object, verdict, _) in &judged {
                let id = object.body.id();
                if *verdict == Verdict::Gone {
                    // The log of purges vouches for it.
                    let _ = disk.shared.remove(key.hash, |found| found == id);
                } else {
                    disk.shared.freshen(key, id, &object.stored, number);
                }
            }
        }
    }

    /// Gives a stored response the head `new`, which was made from that of `old` by a fetch that was `born` then. False: its
    /// head is another by now. Purges meet it as before: unlike after [`freshen`](Self::freshen), those that came before
    /// that fetch still concern it, since a download that began before a purge goes on after it. `met`: how many purges
    /// there were before `old` was looked up, all of which it has met.
    pub fn update(&self, key: &HashedKey, (born, met): (u64, u64), old: &Object, new: Stored) -> bool {
        let (verdict, version) = self.arriving(key, &new, born);
        if verdict == Verdict::Gone {
            // It will be met as it is.
            return true;
        }
        let new = purged::under(verdict, &Arc::new(new));
        let mut shard = self.shard(key);
        let Some(resource) = shard.resources.get_mut(key) else { return false };
        let mut all = resource.objects();
        let same =
            |it: &&mut Object| Arc::ptr_eq(&it.body, &old.body) && Arc::ptr_eq(&it.stored, &old.stored);
        let Some(object) = all.iter_mut().find(same) else { return false };
        object.set_head(&new);
        resource.checked = resource.checked.min(version);
        resource.set(all);
        shard.queues.weigh(&old.body);
        if let Some(disk) = &self.disk {
            disk.shared.freshen(key, old.body.id(), &new, met);
        }
        true
    }

    /// Removes some of the responses under a key, from memory and disk.
    pub fn forget(&self, key: &HashedKey, bodies: &[Arc<Body>]) -> Removal {
        if bodies.is_empty() {
            return Removal::default();
        }
        let mut shard = self.shard(key);
        self.remove(&mut shard, key, |body| bodies.iter().any(|other| Arc::ptr_eq(body, other)));
        let disk = self
            .disk
            .as_ref()
            .map(|disk| disk.shared.remove(key.hash, |id| bodies.iter().any(|body| body.id() == id)).1);
        disk.unwrap_or_default()
    }

    /// Removes all responses under a key, and sees to it that fetches under way, but for `except`, bring none back.
    pub fn purge(&self, key: &HashedKey, except: Option<&Arc<Flight>>) -> Purged {
        let mut shard = self.shard(key);
        let mut ids = Vec::new();
        if let Some(resource) = shard.resources.get_mut(key) {
            for joinable in resource.traffic.iter_mut().flat_map(|traffic| &mut traffic.flights) {
                if except.is_some_and(|flight| Arc::ptr_eq(flight, &joinable.flight)) {
                    continue;
                }
                joinable.flight.purge();
                // Who asks from now on gets what the origin says from now on.
                joinable.open = false;
            }
            ids.extend(resource.bodies().iter().map(|body| body.id()));
        }
        self.remove(&mut shard, key, |_| true);
        let removal = self.disk.as_ref().map(|disk| {
            let (on_disk, removal) = disk.shared.remove(key.hash, |_| true);
            ids.extend(on_disk);
            removal
        });
        drop(shard);
        ids.sort_unstable();
        ids.dedup();
        let count = ids.len() as u64;
        self.accounts.counters.purged.fetch_add(count, Ordering::Relaxed);
        Purged { count, removal: removal.unwrap_or_default() }
    }

    /// Takes responses out of memory.
    fn remove(&self, shard: &mut Shard, key: &HashedKey, gone: impl Fn(&Arc<Body>) -> bool) {
        let Some(resource) = shard.resources.get_mut(key) else { return };
        let (out, stay): (Vec<_>, Vec<_>) = resource.objects().into_iter().partition(|it| gone(&it.body));
        if !out.is_empty() {
            resource.set(stay);
        }
        if resource.is_empty() {
            shard.resources.remove(key);
        }
        for object in out {
            self.left(&mut shard.queues, &object.body);
        }
    }

    /// Evicts until memory is within its bounds, beginning where `key` lives. False if that is not possible: what is
    /// left is being received, or pinned by readers.
    pub fn make_room(&self, key: &HashedKey) -> bool {
        self.make_room_for(key, 0)
    }

    fn make_room_for(&self, key: &HashedKey, octets: u64) -> bool {
        self.make_room_from(self.shard_of(key), octets)
    }

    fn make_room_from(&self, first: usize, octets: u64) -> bool {
        self.note_index();
        for step in 0..self.shards.len() {
            let index = (first + step) % self.shards.len();
            while self.accounts.over(octets) {
                let mut shard = self.shard_at(index);
                // Where readers pin much, more would be of no use.
                let also_read = self.accounts.pinned() < self.limits.memory / 2;
                let Some(body) = shard.queues.evict(also_read) else { break };
                self.evict(&mut shard, &body);
            }
            if !self.accounts.over(octets) {
                return true;
            }
        }
        false
    }

    /// Takes a response out of memory; on disk it stays.
    fn evict(&self, shard: &mut Shard, body: &Arc<Body>) {
        let was_read = body.was_read();
        let victim = body.key();
        if let Some(resource) = shard.resources.get_mut(victim) {
            resource.whole = false;
        }
        self.remove(shard, victim, |other| Arc::ptr_eq(other, body));
        self.accounts.counters.evicted.fetch_add(1, Ordering::Relaxed);
        if let Some(disk) = &self.disk {
            disk.shared.left_memory(victim.hash, body.id(), was_read);
        }
    }
}
