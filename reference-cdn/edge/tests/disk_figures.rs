//! What the disk tier costs and gives: figures, not tests, so they run only when they are asked for.
//!
//! ```text
//! cargo test --profile quick -p edge --test disk_figures -- --ignored --nocapture --test-threads 1
//! ```
//!
//! `FIGURES_OBJECTS` says how many responses are stored in place of a million, `FIGURES_FOLDER` where. A million takes
//! about 3 GiB there, as a kill is shown on a copy.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use edge::Clock;
use edge::purge::Purges;
use edge::store::disk::{DiskConfig, DiskLimits, Folder, OtherVersion, Recovered, Sync};
use edge::store::{Body, End, HashedKey, Next, Store, StoreLimits};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use http_cache::{
    Beside, Decisions, Fetch, ForwardReason, Keep, Key, Received, Request, Response, Settings, Standard,
    Stored, Time,
};

const NOW: Time = Time::from_secs(1_795_773_600);

#[expect(clippy::disallowed_methods, reason = "how long something takes is what is measured")]
fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let value = act();
    (value, begun.elapsed())
}

fn head() -> Arc<Stored> {
    let target = Uri::from_static("http://h/");
    let none = HeaderMap::new();
    let seen = Request { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &none };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("cache-control", "public, max-age=86400"),
        ("content-type", "text/html; charset=utf-8"),
        ("etag", "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
        ("date", "Fri, 27 Nov 2026 10:00:00 GMT"),
        ("last-modified", "Thu, 26 Nov 2026 10:00:00 GMT"),
        ("server", "origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let response =
        Response { status: StatusCode::OK, headers: &headers, request_time: NOW, response_time: NOW };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    match Standard::new(Settings::default()).received(&seen, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        other => panic!("not storable: {other:?}"),
    }
}

/// A store, and what is put in it.
struct Filled {
    store: Arc<Store>,
    head: Arc<Stored>,
    customer: Arc<str>,
    content: Vec<u8>,
}

impl Filled {
    fn in_memory(memory: u64, octets: usize) -> Self {
        let limits = StoreLimits { memory, object: 1 << 20, variants: 4 };
        Self::of(Arc::new(Store::new(limits)), octets)
    }

    fn of(store: Arc<Store>, octets: usize) -> Self {
        Self { store, head: head(), customer: "customer".into(), content: vec![7; octets] }
    }

    fn on_disk(folder: &Path, memory: u64, disk: DiskLimits, octets: usize) -> (Self, Recovered) {
        let config = DiskConfig {
            files: Arc::new(Folder::new(folder)),
            limits: disk,
            sync: Sync::Sealed,
            other_version: OtherVersion::Refuse,
            patience: Duration::from_secs(10),
            clock: Clock::manual(NOW),
        };
        let limits = StoreLimits { memory, object: 1 << 20, variants: 4 };
        let purges = Purges::in_memory(Default::default(), 1);
        let (store, recovered) = Store::open(limits, purges, config).expect("opens");
        (Self::of(Arc::new(store), octets), recovered)
    }

    fn key(&self, n: u64) -> HashedKey {
        let path = format!("/products/category-{}/item-{n}.html", n % 97);
        self.store.hashed(&self.customer, Key::from_parts("http", "www.example.com", &path))
    }

    fn put(&self, n: u64) {
        let key = self.key(n);
        let registration = self.store.take_off(&key, 0, None, false, |_| false).expect("no other");
        let mut filler = self.store.fill(&registration);
        filler.append(&self.content);
        let end = End::Complete(Arc::default());
        self.store.keep(
            &registration,
            filler,
            Arc::clone(&self.head),
            end,
            &[],
            |_| Beside::Last,
            |_| Keep::Store,
        );
        drop(registration);
        self.store.make_room(&key);
        if let Some(disk) = self.store.disk() {
            // No faster than it is written: what is dropped is no figure.
            while disk.queued() > disk.limits().queue / 2 {
                std::thread::yield_now();
            }
        }
    }

    /// From memory or disk, read whole. False: it is not there.
    async fn get(&self, n: u64) -> bool {
        let variants = self.store.look_up(&self.key(n)).await;
        let Some(object) = variants.object(0) else { return false };
        self.store.touch(&object);
        assert_eq!(read(&object.body).await, self.content.len());
        self.store.make_room(object.body.key());
        true
    }

    fn written(&self) -> (u64, u64) {
        let counters = self.store.disk().expect("a disk").counters();
        (counters.written.load(Ordering::Relaxed), counters.written_octets.load(Ordering::Relaxed))
    }
}

async fn read(body: &Arc<Body>) -> usize {
    let mut reader = body.read(0);
    let mut octets = 0;
    loop {
        match reader.next(u64::MAX).expect("good content") {
            Next::Data(data) => octets += data.len(),
            Next::Wait => reader.arrival().await,
            Next::End(_) => return octets,
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn folder() -> tempfile::TempDir {
    match std::env::var_os("FIGURES_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).expect("folder"),
        None => tempfile::tempdir().expect("folder"),
    }
}

/// Octets of memory that this process occupies.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("number") * 1024
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
}

/// Numbers that follow from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
#[ignore = "measures: a million responses of 1 KiB, written, reopened, read"]
fn a_million_responses() {
    const KIB: usize = 1024;
    let objects = number("FIGURES_OBJECTS", 1_000_000);
    let (folder, killed) = (folder(), folder());
    let memory = 256 << 20;
    let limits = DiskLimits::new(8 << 30, 1 << 20, memory);
    let before = resident();
    let (filled, _) = Filled::on_disk(folder.path(), memory, limits, KIB);
    let ((), took) = timed(|| {
        (0..objects).for_each(|n| filled.put(n));
        while filled.written().0 < objects {
            std::thread::yield_now();
        }
    });
    let (written, octets) = filled.written();
    let seconds = took.as_secs_f64();
    println!(
        "written: {written} responses of 1 KiB, {} octets each on disk, in {seconds:.2} s: {:.0} a second, {:.0} MB/s",
        octets / written,
        written as f64 / seconds,
        octets as f64 / 1e6 / seconds
    );
    filled.store.make_room(&filled.key(0));
    println!(
        "index: {:.1} octets of memory for each response; with what is in memory the process has {} MiB",
        filled.store.accounts().index() as f64 / objects as f64,
        (resident() - before) >> 20,
    );
    // What a kill leaves.
    copy(folder.path(), killed.path());
    let ((), took) = timed(|| filled.store.close());
    println!("closed in {:.3} s", took.as_secs_f64());
    drop(filled);

    for (what, folder) in [("sealed", folder.path()), ("killed", killed.path())] {
        let before = resident();
        let ((filled, recovered), took) = timed(|| Filled::on_disk(folder, memory, limits, KIB));
        assert_eq!(recovered.objects, objects);
        println!(
            "opened, {what}: {:.3} s; {} segments, {} of them without an index; {} MiB more",
            took.as_secs_f64(),
            recovered.segments,
            recovered.scanned,
            (resident().saturating_sub(before)) >> 20
        );
        if what == "sealed" {
            reads(filled, objects);
        }
    }
}

/// Hits on disk, of responses that are asked for once.
fn reads(filled: Filled, objects: u64) {
    let hits = (objects / 20).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let mut random = Random(1);
    let mut one = || random.next() % objects;
    let ((), took) = timed(|| {
        runtime.block_on(async {
            for _ in 0..hits {
                assert!(filled.get(one()).await);
            }
        });
    });
    let each = took.as_secs_f64() * 1e6 / hits as f64;
    println!("read from disk, one after the other: {each:.1} µs each");
    let filled = Arc::new(filled);
    let ((), took) = timed(|| {
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..32 {
                let filled = Arc::clone(&filled);
                tasks.spawn(async move {
                    let mut random = Random(task + 100);
                    for _ in 0..hits / 32 {
                        assert!(filled.get(random.next() % objects).await);
                    }
                });
            }
            tasks.join_all().await;
        });
    });
    println!("read from disk, 32 at once: {:.0} a second", hits as f64 / took.as_secs_f64());
}

/// Which keys are asked for: Zipf's law, with scans over keys that are asked for once in between, or without.
struct Traffic {
    cumulated: Vec<f64>,
    random: Random,
    scan: Option<u64>,
    scanned: u64,
    left: u64,
}

const KEYS: usize = 100_000;

impl Traffic {
    fn new(exponent: f64, scan: Option<u64>) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=KEYS).map(|rank| {
            sum += 1.0 / (rank as f64).powf(exponent);
            sum
        });
        Self { cumulated: cumulated.collect(), random: Random(5), scan, scanned: 0, left: 0 }
    }

    /// The key, and whether it is one of a scan.
    fn next(&mut self) -> (u64, bool) {
        if let Some(length) = self.scan {
            // A third of all requests are in scans.
            if self.left == 0 && self.random.next().is_multiple_of(2 * length) {
                self.left = length;
            }
            if self.left > 0 {
                self.left -= 1;
                self.scanned += 1;
                return (1 << 32 | self.scanned, true);
            }
        }
        let wanted = self.random.share() * self.cumulated[KEYS - 1];
        (self.cumulated.partition_point(|sum| *sum < wanted) as u64, false)
    }
}

/// Least recently used, of so many.
#[derive(Default)]
struct Lru {
    uses: HashMap<u64, u64>,
    order: BTreeMap<u64, u64>,
    time: u64,
}

impl Lru {
    fn ask(&mut self, key: u64, room: usize) -> bool {
        self.time += 1;
        let before = self.uses.insert(key, self.time);
        if let Some(before) = before {
            self.order.remove(&before);
        }
        self.order.insert(self.time, key);
        while self.uses.len() > room {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.uses.remove(&oldest);
        }
        before.is_some()
    }
}

/// Shares of hits among the requests that are in no scan, the first half of all left out.
fn shares(
    scan: Option<u64>,
    requests: u64,
    mut ask: impl FnMut(u64) -> bool,
    room: impl Fn() -> usize,
) -> (f64, f64) {
    let (mut traffic, mut lru) = (Traffic::new(0.9, scan), Lru::default());
    let (mut counted, mut ours, mut theirs) = (0_u64, 0_u64, 0_u64);
    for n in 0..requests {
        let (key, scanned) = traffic.next();
        let (hit, other) = (ask(key), lru.ask(key, room()));
        if n > requests / 2 && !scanned {
            counted += 1;
            ours += u64::from(hit);
            theirs += u64::from(other);
        }
    }
    let share = |hits: u64| hits as f64 * 100.0 / counted as f64;
    (share(ours), share(theirs))
}

const SCANS: [(&str, Option<u64>); 2] = [("without scans", None), ("with scans", Some(5000))];

#[test]
#[ignore = "measures: shares of hits beside LRU"]
fn hits_in_memory_beside_lru() {
    for (what, scan) in SCANS {
        for mib in [8, 24] {
            let filled = Filled::in_memory(mib << 20, 1024);
            let mut most = 0;
            let ask = |key| match filled.store.find(&filled.key(key)).and_then(|it| it.object(0)) {
                Some(object) => {
                    filled.store.touch(&object);
                    true
                }
                None => {
                    filled.put(key);
                    false
                }
            };
            // As many as there are in the store.
            let room = || filled.store.objects().max(100) as usize;
            let (ours, lru) = shares(scan, 1_000_000, ask, room);
            most = most.max(filled.store.objects());
            println!(
                "memory, {what}, room for {:.1} % of the keys: {ours:.1} % hits, LRU {lru:.1} %",
                most as f64 * 100.0 / KEYS as f64
            );
        }
    }
}

#[test]
#[ignore = "measures: shares of hits beside LRU"]
fn hits_on_disk_beside_lru() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    for (what, scan) in SCANS {
        let folder = folder();
        let mib = 1 << 20;
        let limits = DiskLimits { size: 64 * mib, segment: mib, queue: 4 * mib, index: 16 * mib };
        let (filled, _) = Filled::on_disk(folder.path(), 4 * mib, limits, 4096);
        let mut stored = 0_u64;
        let ask = |key| {
            let hit = runtime.block_on(filled.get(key));
            if !hit {
                filled.put(key);
                stored += 1;
                // So that evicting keeps step with what comes in.
                while stored.is_multiple_of(64) && filled.store.disk().expect("a disk").queued() > 0 {
                    std::thread::yield_now();
                }
            }
            hit
        };
        // All that fits on the disk, if nothing else did.
        let record = 4096 + 16 + 88 + 400;
        let room = || (limits.size / record) as usize;
        let (ours, lru) = shares(scan, 400_000, ask, room);
        let (objects, _) = filled.store.disk().expect("a disk").size();
        println!(
            "disk, {what}, {:.1} % of the keys on it: {ours:.1} % hits with 4 MiB of memory before it, LRU of its whole size ({:.1} %) {lru:.1} %",
            objects as f64 * 100.0 / KEYS as f64,
            room() as f64 * 100.0 / KEYS as f64,
        );
    }
}
