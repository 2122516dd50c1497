//! What purges cost: look-ups while many are outstanding, and a purge itself with one tagged response and a million.
//!
//! `cargo bench -p edge --bench purge` needs about 2 GiB of memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use edge::purge::{Asker, AtOnce, Identity, Limits, Mode, Order, PurgeConfig, Purges, Verdict};
use edge::store::{End, Store, StoreLimits};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_cache::{
    Beside, Decisions, Fetch, ForwardReason, Keep, Key, Received, Request, Response, Settings, Standard,
    Stored, Time,
};

const NOW: Time = Time::from_secs(2_000_000);
const LIMITS: Limits =
    Limits { outstanding: 1_000_000, patterns: 100_000, schedules: 1000, history: 10_000, rate: 1000 };

/// No purge here is of a URL.
struct Nothing;

impl AtOnce for Nothing {
    fn reach(&self, _: Option<&str>, _: &Key, _: Mode) -> u64 {
        0
    }
}

fn admin() -> Asker {
    Asker { name: "admin".into(), customer: None }
}

fn uri(path: &str) -> Uri {
    format!("http://www.example.com{path}").parse().expect("a URI")
}

fn order(text: &str) -> Order {
    Order::parse(text.as_bytes(), NOW, |uri| vec![Key::of(uri)]).expect("an order")
}

fn outstanding(purges: &Purges, count: usize, what: impl Fn(usize) -> String) {
    for n in 0..count {
        purges.order(order(&what(n)), &admin(), NOW, &Nothing).expect("accepted");
    }
}

fn head(tags: &str) -> Arc<Stored> {
    let (method, none, target) = (Method::GET, HeaderMap::new(), uri("/"));
    let request =
        Request { method: &method, target: &target, headers: &none, version: http::Version::HTTP_11 };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=600"));
    headers.insert("surrogate-key", HeaderValue::from_str(tags).expect("tags"));
    let response =
        Response { status: StatusCode::OK, headers: &headers, request_time: NOW, response_time: NOW };
    match Standard::new(Settings::default()).received(&request, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        _ => unreachable!("a plain response with max-age is storable"),
    }
}

fn store(purges: Arc<Purges>) -> Arc<Store> {
    Arc::new(Store::with_purges(StoreLimits { memory: 8 << 30, object: 8 << 20, variants: 64 }, purges))
}

fn put(store: &Arc<Store>, path: &str, stored: &Arc<Stored>) {
    let key = store.hashed(&"default".into(), Key::of(&uri(path)));
    let born = store.purges().at(NOW);
    let Ok(registration) = store.take_off(&key, born, None, false, |_| false) else { return };
    let mut filler = store.fill(&registration);
    filler.append(&[7; 64]);
    store.keep(
        &registration,
        filler,
        Arc::clone(stored),
        End::Complete(Arc::default()),
        &[],
        |_| Beside::Both,
        |_| Keep::Store,
    );
}

/// A response that is judged for the first time since so many purges.
fn judging(criterion: &mut Criterion) {
    let key = Key::of(&uri("/products/winter/hats/4711-woollen-hat.html?colour=red"));
    let mut fields = HeaderMap::new();
    let tags: Vec<String> = (0..10).map(|n| format!("product-{n}")).collect();
    fields.insert("surrogate-key", HeaderValue::from_str(&tags.join(" ")).expect("tags"));
    let it = Identity { customer: "default", key: &key, fields: Some(&fields) };
    let mut group = criterion.benchmark_group("judge");
    type Kind = (&'static str, usize, fn(usize) -> String);
    let kinds: [Kind; 6] = [
        ("nothing outstanding", 0, |_| String::new()),
        ("10 000 patterns that begin otherwise", 10_000, |n| {
            format!("{{\"pattern\": \"http://www.example.com/images/{n}/*.png\"}}")
        }),
        ("10 000 patterns that end otherwise", 10_000, |n| {
            format!("{{\"pattern\": \"/products/*{n}.css\"}}")
        }),
        ("10 000 patterns to be searched for", 10_000, |n| format!("{{\"pattern\": \"*/campaign-{n}/*\"}}")),
        ("100 000 tags", 100_000, |n| format!("{{\"tag\": \"other-{n}\"}}")),
        ("100 000 prefixes", 100_000, |n| format!("{{\"prefix\": \"http://www.example.com/products/{n}\"}}")),
    ];
    for (name, count, what) in kinds {
        let purges = Purges::in_memory(LIMITS, 1);
        outstanding(&purges, count, what);
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(purges.judge(black_box(&it), 0, 0).0, Verdict::Alive));
        });
        if count == 10_000 {
            let checked = purges.version() - 1;
            group.bench_function(format!("{name}, all but one seen before"), |bencher| {
                bencher.iter(|| assert_eq!(purges.judge(black_box(&it), 0, checked).0, Verdict::Alive));
            });
        }
    }
    group.finish();
}

/// A hit with purges outstanding that it was judged by before.
fn hits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for patterns in [0, 10_000] {
        let purges = Purges::in_memory(LIMITS, 1);
        let store = store(Arc::clone(&purges));
        outstanding(&purges, patterns, |n| format!("{{\"pattern\": \"*/campaign-{n}/*\"}}"));
        put(&store, "/a", &head("t"));
        let key = store.hashed(&"default".into(), Key::of(&uri("/a")));
        group.bench_function(format!("no new purge, {patterns} patterns outstanding"), |bencher| {
            bencher.iter(|| black_box(store.find(&key)));
        });
    }
    group.finish();
}

/// From the order to its being in force for the next look-up, which is made too.
fn purging(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("folder");
    let mut group = criterion.benchmark_group("purge a tag");
    for objects in [1, 1_000_000] {
        for durable in [false, true] {
            let folder = durable.then(|| folder.path().join(objects.to_string()));
            let config = PurgeConfig { folder, limits: LIMITS, tokens: Vec::new(), token_file: None };
            let purges = Purges::open(&config, 1).expect("opens");
            let store = store(Arc::clone(&purges));
            let stored = head("everything");
            for n in 0..objects {
                put(&store, &format!("/{n}"), &stored);
            }
            assert_eq!(store.objects(), objects);
            let key = store.hashed(&"default".into(), Key::of(&uri("/0")));
            let log = if durable { "written and synced" } else { "in memory" };
            group.bench_function(format!("{objects} tagged, {log}"), |bencher| {
                let mut count = 0;
                let new_order = || {
                    count += 1;
                    // As the walk in the background does, so that not all of the benchmark's purges are outstanding.
                    if count % 1000 == 0
                        && let Some(walk) = purges.begin_walk(NOW, u64::MAX)
                    {
                        assert!(purges.end_walk(&walk, false));
                    }
                    order("{\"tag\": \"everything\"}")
                };
                let purge = |order| {
                    purges.order(order, &admin(), NOW, &Nothing).expect("accepted");
                    store.find(&key)
                };
                bencher.iter_batched(new_order, purge, BatchSize::SmallInput);
            });
            if objects > 1 && !durable {
                purges.order(order("{\"tag\": \"everything\"}"), &admin(), NOW, &Nothing).expect("accepted");
                walk(&purges, &store);
            }
        }
    }
    group.finish();
}

/// Printed once: a walk is done seldom, and changes what it measures.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn walk(purges: &Purges, store: &Store) {
    let begun = purges.begin_walk(NOW, u64::MAX).expect("outstanding");
    let (start, mut longest, mut objects) = (Instant::now(), Duration::ZERO, 0);
    for part in 0..store.parts() {
        let copying = Instant::now();
        let names = store.keys(part);
        longest = longest.max(copying.elapsed());
        objects += names.len();
        names.iter().for_each(|name| _ = store.find(name));
    }
    let walked = start.elapsed();
    let ending = Instant::now();
    assert!(purges.end_walk(&begun, false));
    println!(
        "a walk that drops {objects} responses without rests: {walked:?}, names of one part under its lock: {longest:?}, forgetting the purges: {:?}, left: {}",
        ending.elapsed(),
        store.objects()
    );
}

criterion_group!(benches, judging, hits, purging);
criterion_main!(benches);
