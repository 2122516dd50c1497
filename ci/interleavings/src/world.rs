//! A store with an origin behind it, and requests as the edge makes them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use http_cache::{
    Beside, Decisions, Fetch, ForwardReason, Keep, Key, Received, Request, Response, Settings, Standard,
    Stored, Time,
};
use shuttle::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::files::Folder;
use crate::purge::{Asker, AtOnce, Mode, Order, Purges};
use crate::store::disk::{DiskConfig, DiskLimits, OtherVersion, Sync, Writer};
use crate::store::{
    Body, End, Fault, Grounded, HashedKey, KeyHasher, Landing, Next, Object, Purged, Registration, Sight,
    Store, StoreLimits,
};

pub const NOW: Time = Time::from_secs(1_795_773_600);
/// A segment takes two responses.
const SEGMENT: u64 = 128 * 1024;
/// Times that a request looks before it gives up; the edge does so less often.
const ROUNDS: usize = 40;

/// One URL, and all that happens around it.
#[derive(Debug)]
pub struct World {
    pub store: Arc<Store>,
    pub key: HashedKey,
    /// What the origin has now.
    version: AtomicU64,
    /// The oldest that a request from now on may be answered with.
    floor: AtomicU64,
    /// How often the origin was asked.
    pub asked: AtomicU64,
    pub folder: Arc<Folder>,
    /// Octets of content.
    size: usize,
}

/// Runs a model in many orders.
pub fn explore(orders: usize, model: impl Fn() + Send + std::marker::Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};
    let model = Arc::new(model);
    if let Ok(schedule) = std::env::var("SHUTTLE_SCHEDULE") {
        let model = Arc::clone(&model);
        shuttle::replay(move || model(), &schedule);
        return;
    }
    let times = std::env::var("INTERLEAVINGS").map_or(1, |text| text.parse().unwrap());
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    // Of these, atomic operations in another order than the program's are not explored.
    config.silence_warnings = true;
    let half = orders * times / 2;
    let random = Arc::clone(&model);
    Runner::new(RandomScheduler::new_from_seed(1, half), config.clone()).run(move || random());
    Runner::new(PctScheduler::new_from_seed(2, 3, half), config).run(move || model());
}

fn limits() -> StoreLimits {
    StoreLimits { memory: 8 << 20, object: 1 << 20, variants: 4 }
}

pub fn open(folder: &Arc<Folder>, purges: Arc<Purges>) -> (Arc<Store>, Writer) {
    let config = DiskConfig {
        files: Arc::clone(folder) as _,
        limits: DiskLimits { size: 8 * SEGMENT, segment: SEGMENT, queue: 4 << 20, index: 1 << 20 },
        sync: Sync::Never,
        other_version: OtherVersion::Empty,
        patience: Duration::from_secs(1),
        clock: Clock::manual(NOW),
    };
    // The key of the hash is always the same, so that an order gives the same steps each time.
    let hasher = Some(KeyHasher::new([1, 2]));
    let (store, writer, _) = Store::open_with(limits(), purges, config, Some(0), hasher).unwrap();
    (Arc::new(store), writer)
}

/// A head with a version and a tag.
fn head(version: u64) -> Arc<Stored> {
    let target = Uri::from_static("http://h/");
    let none = HeaderMap::new();
    let seen = Request { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &none };
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
    headers.insert("cache-tag", HeaderValue::from_static("t"));
    headers.insert("x-version", HeaderValue::from(version));
    let response =
        Response { status: StatusCode::OK, headers: &headers, request_time: NOW, response_time: NOW };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    match Standard::new(Settings::default()).received(&seen, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        other => panic!("not storable: {other:?}"),
    }
}

fn version_of(stored: &Stored) -> u64 {
    let value = stored.field(http::HeaderName::from_static("x-version")).next().unwrap();
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Everything of a body: the version that its octets are of.
async fn read(body: &Arc<Body>) -> Result<u64, Fault> {
    let mut reader = body.read(0);
    let mut version = None;
    loop {
        match reader.next(u64::MAX)? {
            Next::Data(data) => {
                assert!(data.iter().all(|octet| *octet == *version.get_or_insert(data[0])), "mixed content");
            }
            Next::End(_) => return Ok(version.unwrap().into()),
            Next::Wait => reader.arrival().await,
        }
    }
}

fn unless_purged(purged: bool) -> Keep {
    if purged { Keep::Discard } else { Keep::Store }
}

fn hashed(store: &Store, path: &str) -> HashedKey {
    store.hashed(&Arc::from("customer"), Key::of(&format!("http://h{path}").parse().unwrap()))
}

impl World {
    pub fn in_memory() -> Arc<Self> {
        Self::with(Arc::new(Store::new(limits())), Arc::default())
    }

    pub fn on_disk() -> (Arc<Self>, Writer) {
        let folder: Arc<Folder> = Arc::default();
        let (store, writer) = open(&folder, Purges::in_memory(Default::default(), 1));
        (Self::with(store, folder), writer)
    }

    fn with(store: Arc<Store>, folder: Arc<Folder>) -> Arc<Self> {
        let key = hashed(&store, "/");
        let (version, floor) = (AtomicU64::new(1), AtomicU64::new(0));
        let asked = AtomicU64::new(0);
        Arc::new(Self { store, key, version, floor, asked, folder, size: 60_000 })
    }

    /// Fills the disk with other URLs, until there is room for nothing more: what is written next needs that a segment
    /// goes, the first.
    pub fn fill(&self, writer: &mut Writer, count: usize) {
        for n in 0..count {
            let key = hashed(&self.store, &format!("/other/{n}"));
            let registration = self.store.take_off(&key, 0, None, false, |_| false).unwrap();
            let object = self.receive(&registration, 7, &[], |_| Keep::Store);
            writer.work();
            self.store.leave(&key, &object.body);
            if n < 2 {
                // Worth copying on, which takes a while.
                let found = shuttle::future::block_on(self.store.look_up(&key));
                self.store.touch(&found.object(0).unwrap());
                self.store.leave(&key, &found.object(0).unwrap().body);
            }
        }
    }

    fn receive(
        &self,
        registration: &Registration,
        version: u64,
        replaces: &[Arc<Body>],
        decide: impl FnOnce(bool) -> Keep,
    ) -> Object {
        let mut filler = self.store.fill(registration);
        let object = Object { stored: head(version), body: Arc::clone(filler.body()) };
        registration.flight().land(Landing::Share(object.clone()));
        filler.append(&vec![version as u8; self.size]);
        let end = End::Complete(Arc::default());
        self.store.keep(
            registration,
            filler,
            Arc::clone(&object.stored),
            end,
            replaces,
            |_| Beside::Last,
            decide,
        );
        object
    }

    /// One request. `fails`: should it fetch, then the fetch ends as by a panic. Gives the version that it is answered
    /// with, if it is.
    pub async fn request(self: &Arc<Self>, fails: bool) -> Option<u64> {
        let floor = self.floor.load(Ordering::SeqCst);
        for _ in 0..ROUNDS {
            let born = self.store.purges().at(NOW);
            let variants = self.store.look_up(&self.key).await;
            if let Some(object) = variants.object(0) {
                self.store.touch(&object);
                match read(&object.body).await {
                    Ok(version) => return Some(self.answered(floor, version, version_of(&object.stored))),
                    Err(Fault::Unread) => self.store.leave(&self.key, &object.body),
                    Err(_) => drop(self.store.forget(&self.key, std::slice::from_ref(&object.body))),
                }
                continue;
            }
            let may_share = |flight: &Arc<crate::store::Flight>| {
                matches!(flight.landing(), None | Some(Landing::Share(_)))
            };
            match self.store.take_off(&self.key, born, Some(&variants), true, may_share) {
                Ok(registration) => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    if fails {
                        return None;
                    }
                    let version = self.version.load(Ordering::SeqCst);
                    self.receive(&registration, version, &[], unless_purged);
                    self.store.make_room(&self.key);
                    drop(registration);
                    return Some(self.answered(floor, version, version));
                }
                Err(Grounded::Late) => {}
                Err(Grounded::Join(flight)) => match flight.watch(&mut 0).await {
                    Sight::Landed(Landing::Share(object)) => match read(&object.body).await {
                        Ok(version) => {
                            return Some(self.answered(floor, version, version_of(&object.stored)));
                        }
                        Err(fault) => panic!("what was fetched is whole: {fault:?}"),
                    },
                    Sight::Landed(Landing::Failed(..)) => {}
                    other => panic!("nothing else is fetched: {other:?}"),
                },
            }
        }
        panic!("a request that is never answered");
    }

    fn answered(&self, floor: u64, version: u64, head: u64) -> u64 {
        assert!(version >= floor, "version {version} after {floor} had been confirmed");
        assert!(head >= floor, "a head of version {head} after {floor} had been confirmed");
        version
    }

    /// What is stored is confirmed by the origin, if it is what the origin has: it gets a new head (after a 304). Else what
    /// the origin has takes its place.
    pub async fn revalidate(self: &Arc<Self>) {
        let born = self.store.purges().at(NOW);
        let variants = self.store.look_up(&self.key).await;
        let Some(object) = variants.object(0) else { return };
        let Ok(registration) = self.store.take_off(&self.key, born, Some(&variants), true, |_| true) else {
            return;
        };
        let version = self.version.load(Ordering::SeqCst);
        if version_of(&object.stored) != version {
            self.receive(&registration, version, &[object.body], unless_purged);
            return;
        }
        let fresh = Object { stored: head(version), body: object.body };
        self.store.freshen(&registration, std::slice::from_ref(&fresh));
        registration.flight().land(Landing::Share(fresh));
    }

    /// The origin has something new.
    pub fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whoever asks from now on gets this version or a later one.
    pub fn confirmed(&self, version: u64) {
        self.floor.fetch_max(version, Ordering::SeqCst);
    }

    pub fn floor(&self) -> u64 {
        self.floor.load(Ordering::SeqCst)
    }

    /// As an unsafe method does (RFC 9111 section 4.4).
    pub fn invalidate(&self) -> Purged {
        self.store.purge(&self.key, None)
    }

    /// As an operator does.
    pub fn order(&self, order: &str) {
        let order = Order::parse(order.as_bytes(), NOW, |_| vec![Key::from_text("http://h/")]).unwrap();
        let asker = Asker { name: "admin".into(), customer: None };
        self.store.purges().order(order, &asker, NOW, self).unwrap();
    }

    /// How many responses were written, and how many left with their segments or were copied on.
    pub fn moved(&self) -> (u64, u64) {
        let counters = self.store.disk().unwrap().counters();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (count(&counters.written), count(&counters.evicted) + count(&counters.copied))
    }

    /// Out of memory; on disk it stays.
    pub fn evict(&self) {
        for body in self.store.find(&self.key).unwrap_or_default().bodies.iter() {
            self.store.leave(&self.key, body);
        }
    }

    /// A process that finds the folder like this gives nothing that was purged: `floor` is what was confirmed then.
    pub async fn check_as_left(&self, folder: &Arc<Folder>, floor: u64) {
        let (store, _) = open(folder, Arc::clone(self.store.purges()));
        let key = hashed(&store, "/");
        for object in store.look_up(&key).await.objects() {
            let version = version_of(&object.stored);
            assert!(
                version >= floor,
                "after a restart version {version} is back, and {floor} had been confirmed"
            );
            if let Ok(version) = read(&object.body).await {
                assert!(version >= floor, "the content of {version}");
            }
        }
    }
}

impl AtOnce for World {
    fn reach(&self, _: Option<&str>, _: &Key, mode: Mode) -> u64 {
        match mode {
            Mode::Hard => self.store.purge(&self.key, None).count,
            Mode::Soft => self.store.meet(&self.key),
        }
    }
}
