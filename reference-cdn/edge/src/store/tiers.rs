//! Memory and disk as one store: what memory does not have is looked for on disk, and what is read there comes back into
//! memory.
//!
//! Looking brings the heads of all responses under a key, since only the decisions can tell which of them answers a
//! request; the content of one is brought when it is read. Both are read by threads of the disk store, once for any
//! number of requests that want them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::HeaderMap;
use http_cache::{Stored, decode_fields};

use super::body::{Body, End, Fault, Source};
use super::disk::{
    Candidate, Disk, DiskConfig, HeadAt, Located, OpenError, Place, Record, Recovered, Shared, Unreadable,
    Writer,
};
use super::filler::Filler;
use super::hash::KeyHasher;
use super::resources::{HashedKey, Object, Variants};
use super::signal::Signal;
use super::{Store, StoreLimits, purged};
use crate::purge::{Purges, Verdict};
use crate::sync::timeout;

impl Store {
    /// A store in memory and on disk, with what is on disk already. Its writer runs.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(
        limits: StoreLimits,
        purges: Arc<Purges>,
        config: DiskConfig,
    ) -> Result<(Self, Recovered), OpenError> {
        let (store, writer, recovered) = Self::open_with(limits, purges, config, None, None)?;
        if let Some(disk) = &store.disk {
            disk.start(writer)?;
        }
        Ok((store, recovered))
    }

    /// With so many threads that read (none: whoever asks reads), a writer that the caller runs, and another hash.
    pub(crate) fn open_with(
        limits: StoreLimits,
        purges: Arc<Purges>,
        config: DiskConfig,
        readers: Option<usize>,
        hasher: Option<KeyHasher>,
    ) -> Result<(Self, Writer, Recovered), OpenError> {
        let patience = config.patience;
        let ids = Arc::new(AtomicU64::new(1));
        let (disk, writer, recovered) = Disk::open(config, purges.clone(), readers, &ids)?;
        let hasher = hasher.unwrap_or_else(|| KeyHasher::new(disk.secret()));
        let store = Self { patience, ..Self::with(limits, purges, hasher, Some(disk), ids) };
        store.note_index();
        Ok((store, writer, recovered))
    }

    /// Writes what waits for the disk, and ends its threads. Takes as long as the disk takes.
    pub fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }

    /// The disk tier.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// The index of the disk tier takes memory too.
    pub(super) fn note_index(&self) {
        if let Some(disk) = &self.disk {
            self.accounts.set_index(disk.shared.memory.load(Ordering::Relaxed));
        }
    }

    /// How long a request waits for the disk before it does without.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The responses under a key, in memory or on disk. What the disk has not told in time is as good as not there.
    pub async fn look_up(self: &Arc<Self>, key: &HashedKey) -> Arc<Variants> {
        // A second time, if what was read was evicted before it could be looked at.
        for _ in 0..2 {
            match self.seek(key) {
                Seek::Here(variants) => return variants,
                // A purge came since what is here was judged.
                Seek::Unjudged => break,
                Seek::Coming(loaded) => {
                    if timeout(self.patience, loaded.wait()).await.is_err() {
                        self.refused();
                        break;
                    }
                }
                Seek::Busy => break,
            }
        }
        self.find(key).unwrap_or_default()
    }

    /// What the disk has under a key is on its way into memory, or would be if the disk had time. False if it has no
    /// more than memory.
    pub fn bring(self: &Arc<Self>, key: &HashedKey) -> bool {
        matches!(self.seek(key), Seek::Coming(_) | Seek::Busy)
    }

    fn refused(&self) {
        if let Some(disk) = &self.disk {
            disk.shared.counters.reads_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What memory has, if that is all; else what the disk has is on its way.
    pub(super) fn seek(self: &Arc<Self>, key: &HashedKey) -> Seek {
        let mut shard = self.shard(key);
        let resource = shard.resources.get_mut(key);
        let here = resource.as_ref().map(|resource| resource.variants()).unwrap_or_default();
        let judged = resource.as_ref().is_none_or(|resource| resource.checked == self.purges.version());
        let found = |variants| if judged { Seek::Here(variants) } else { Seek::Unjudged };
        let Some(disk) = &self.disk else { return found(here) };
        if let Some(resource) = resource {
            if resource.whole {
                return found(here);
            }
            if let Some(loading) = resource.traffic.as_ref().and_then(|traffic| traffic.loading.as_ref()) {
                return Seek::Coming(Arc::clone(loading));
            }
        }
        if !disk.shared.has_more(key.hash, |id| here.bodies.iter().any(|body| body.id() == id)) {
            if let Some(resource) = shard.resources.get_mut(key) {
                resource.whole = true;
            }
            return found(here);
        }
        let loading: Arc<Signal<()>> = Arc::default();
        let resource = shard.resources.entry(key.clone()).or_default();
        resource.traffic.get_or_insert_default().loading = Some(Arc::clone(&loading));
        drop(shard);
        let load = Load { store: Arc::clone(self), key: key.clone(), loading: Arc::clone(&loading) };
        if disk.shared.pool.run(move || load.run()) {
            Seek::Coming(loading)
        } else {
            self.refused();
            Seek::Busy
        }
    }

    /// Takes responses out of memory that could not be read from disk now. There they stay.
    pub fn leave(&self, key: &HashedKey, body: &Arc<Body>) {
        let mut shard = self.shard(key);
        if let Some(resource) = shard.resources.get_mut(key) {
            resource.whole = false;
        }
        self.remove(&mut shard, key, |other| Arc::ptr_eq(other, body));
    }

    fn source(self: &Arc<Self>) -> Arc<dyn Source> {
        Arc::clone(self.source.get_or_init(|| Arc::new(Loader(Arc::downgrade(self)))))
    }

    /// Puts what was read from disk beside what is in memory, but for what purges took, and what was removed or got
    /// another head meanwhile. `all`: it is all that the disk has.
    fn merge(&self, key: &HashedKey, found: &[Loaded], mut all: bool, disk: &Shared) {
        // Judged, and put where walks come by, in one step: between the two a purge could come and be forgotten.
        let (mut shard, version, verdicts) = loop {
            let version = self.purges.version();
            let judged = found.iter().map(|it| self.arriving(key, &it.object.stored, it.born).0);
            let verdicts: Vec<Verdict> = judged.collect();
            let shard = self.shard(key);
            if self.purges.version() == version {
                break (shard, version, verdicts);
            }
        };
        let shard = &mut *shard;
        let resource = shard.resources.entry(key.clone()).or_default();
        let mut objects = resource.objects();
        let were = objects.len();
        let mut new = Vec::new();
        for (loaded, verdict) in found.iter().zip(verdicts) {
            let Loaded { object, head, .. } = loaded;
            let id = object.body.id();
            if objects.iter().any(|other| other.body.id() == id) {
                continue;
            }
            if !disk.is_newest(key.hash, id, head) {
                // Removed, or to be read again.
                all = false;
                continue;
            }
            if verdict == Verdict::Gone {
                // The log of purges vouches for it.
                let _ = disk.remove(key.hash, |found| found == id);
                continue;
            }
            object.body.take_back();
            if !object.body.is_usable() {
                object.body.let_go();
                continue;
            }
            new.push(Arc::clone(&object.body));
            let stored = purged::under(verdict, &object.stored);
            objects.push(Object { stored, body: Arc::clone(&object.body) });
        }
        // The oldest first, as they would stand had they never left.
        objects.sort_by_key(|object| object.body.id());
        if !new.is_empty() {
            resource.checked = if were == 0 { version } else { resource.checked.min(version) };
        }
        let surplus = objects.len().saturating_sub(self.limits.variants.max(1));
        let gone: Vec<Object> = objects.drain(..surplus).collect();
        resource.set(objects);
        resource.whole = all;
        if let Some(traffic) = &mut resource.traffic {
            traffic.loading = None;
        }
        self.objects.fetch_add(new.len() as u64, Ordering::Relaxed);
        self.accounts.counters.surplus_variants.fetch_add(surplus as u64, Ordering::Relaxed);
        new.iter().for_each(|body| shard.queues.insert(body));
        for object in gone {
            self.left(&mut shard.queues, &object.body);
            let _ = disk.remove(key.hash, |id| id == object.body.id());
        }
    }

    fn load_content(self: &Arc<Self>, mut filler: Filler) {
        let body = Arc::clone(filler.body());
        let key = body.key();
        // Without an end, the filler says that the content was not read.
        let Some(disk) = self.disk.as_ref().map(|disk| &disk.shared) else { return };
        let Some(located) = disk.locate(key.hash, body.id()) else { return };
        if !self.make_room_for(key, located.octets.into()) {
            return self.refused();
        }
        let record = record(disk, key, located.id, |located| (located.content, located.octets));
        let end = record.and_then(|record| take_in(disk, &record, &mut filler));
        match end {
            Ok(trailers) => {
                filler.end(End::Complete(Arc::new(trailers)));
                self.shard(key).queues.weigh(&body);
                self.make_room(key);
            }
            Err(Unreadable::Moved) => {}
            Err(error) => {
                error.note(disk, located.content);
                // Gone before anybody can ask again.
                let _ = disk.remove(key.hash, |id| id == located.id);
                filler.end(End::Failed(Fault::BadBlock));
            }
        }
    }
}

/// What looking in memory came to.
#[derive(Debug)]
pub(super) enum Seek {
    Here(Arc<Variants>),
    Unjudged,
    /// Look again when this is settled.
    Coming(Arc<Signal<()>>),
    /// The disk has more, and no time.
    Busy,
}

/// Reads the heads of what the disk has under a key. Dropped, it tells those who wait.
struct Load {
    store: Arc<Store>,
    key: HashedKey,
    loading: Arc<Signal<()>>,
}

impl Load {
    fn run(self) {
        let store = &self.store;
        let Some(disk) = store.disk.as_ref().map(|disk| &disk.shared) else { return };
        let mut all = true;
        let mut found = Vec::new();
        for candidate in disk.find(self.key.hash) {
            match self.object(disk, candidate) {
                Ok(loaded) => found.push(loaded),
                // It moved after it was found.
                Err(Unreadable::Moved) => all = false,
                // Under one hash there may be another key's. What is bad was dropped.
                Err(_) => {}
            }
        }
        store.merge(&self.key, &found, all, disk);
        store.make_room(&self.key);
    }

    fn object(&self, disk: &Shared, candidate: Candidate) -> Result<Loaded, Unreadable> {
        let (located, newer) = match candidate {
            Candidate::Pending { stored, born, body, .. } => {
                let is_ours = body.key() == &self.key;
                let head = HeadAt::Pending(Arc::clone(&stored));
                let loaded = Loaded { object: Object { stored, body }, born, head };
                return is_ours.then_some(loaded).ok_or(Unreadable::Other);
            }
            Candidate::Written { located, newer } => (located, newer),
        };
        self.written(disk, &located, newer).inspect_err(|error| {
            if !matches!(error, Unreadable::Other | Unreadable::Moved) {
                error.note(disk, located.content);
                let _ = disk.remove(self.key.hash, |id| id == located.id);
            }
        })
    }

    fn written(
        &self,
        disk: &Shared,
        located: &Located,
        newer: Option<(Arc<Stored>, u64)>,
    ) -> Result<Loaded, Unreadable> {
        let id = located.id;
        // Before it is read: what a walk does to it from now on must not count for what was read.
        let met = disk.met();
        let content = record(disk, &self.key, id, |located| (located.content, located.octets))?;
        let head = record_if(located.head != located.content, || {
            record(disk, &self.key, id, |located| (located.head, 0))
        })?;
        let head = head.as_ref().unwrap_or(&content);
        let (stored, born, at) = match newer {
            Some((stored, born)) => (Arc::clone(&stored), born, HeadAt::Pending(stored)),
            None => {
                let stored = Stored::decode(head.texts().head).map_err(|_| Unreadable::Bad)?;
                (Arc::new(stored), met.born(&head.header), HeadAt::Place(head.header.place))
            }
        };
        let store = &self.store;
        let (key, accounts) = (self.key.clone(), Arc::clone(&store.accounts));
        let body = if content.is_whole() {
            // All of it came with its beginning.
            let body = Arc::new(Body::open(key, id, born, accounts));
            body.found_on_disk();
            let mut filler = Filler::of_load(Arc::clone(&body));
            let trailers = take_in(disk, &content, &mut filler)?;
            filler.end(End::Complete(Arc::new(trailers)));
            body
        } else {
            let body = Body::cold(key, id, born, content.header.content, store.source(), accounts);
            body.note_trailers(!content.texts().trailers.is_empty());
            Arc::new(body)
        };
        body.charge(store.weight(&self.key, &stored));
        Ok(Loaded { object: Object { stored, body }, born, head: at })
    }
}

/// What was found on disk.
struct Loaded {
    object: Object,
    /// The purges that it has met.
    born: u64,
    head: HeadAt,
}

fn record_if(
    wanted: bool,
    read: impl FnOnce() -> Result<Record, Unreadable>,
) -> Result<Option<Record>, Unreadable> {
    if wanted { read().map(Some) } else { Ok(None) }
}

/// Takes in the content of a record; what comes back are its trailer fields.
fn take_in(disk: &Shared, record: &Record, filler: &mut Filler) -> Result<HeaderMap, Unreadable> {
    filler.announce(record.header.content);
    record.each_block(disk, |content| {
        filler.append(content);
        true
    })?;
    decode_fields(record.texts().trailers).ok_or(Unreadable::Bad)
}

impl Drop for Load {
    fn drop(&mut self) {
        {
            // Where it was merged, that is done already.
            let mut shard = self.store.shard(&self.key);
            if let Some(resource) = shard.resources.get_mut(&self.key) {
                if let Some(traffic) = &mut resource.traffic {
                    traffic.loading.take_if(|loading| Arc::ptr_eq(loading, &self.loading));
                }
                if resource.is_empty() {
                    shard.resources.remove(&self.key);
                }
            }
        }
        self.loading.settle(());
    }
}

/// Reads a record of a response, and compares all of its identity with what is wanted. `place`: which of its records,
/// and how many octets that has, or 0.
fn record(
    disk: &Shared,
    key: &HashedKey,
    id: u64,
    place: impl Fn(&Located) -> (Place, u32),
) -> Result<Record, Unreadable> {
    // Making room may move it between these two steps, once in a long while.
    let find = || {
        let (place, octets) = place(&disk.locate(key.hash, id)?);
        Some((place, octets, disk.segment(place.segment)?))
    };
    let (place, octets, segment) = find().or_else(find).ok_or(Unreadable::Moved)?;
    let record = Record::read(disk, &segment.file, place, octets)?;
    let texts = record.texts();
    if record.header.hash != key.hash
        || texts.customer != key.customer().as_bytes()
        || texts.key != key.key.as_str().as_bytes()
    {
        return Err(Unreadable::Other);
    }
    if record.header.id != id { Err(Unreadable::Bad) } else { Ok(record) }
}

/// Reads content on the threads of the disk store.
#[derive(Debug)]
struct Loader(Weak<Store>);

impl Source for Loader {
    fn load(&self, filler: Filler) {
        let Some(store) = self.0.upgrade() else { return };
        let Some(disk) = &store.disk else { return };
        let this = Arc::clone(&store);
        // Where there is no room for the work, the filler is dropped and says so.
        if !disk.shared.pool.run(move || this.load_content(filler)) {
            store.refused();
        }
    }
}
