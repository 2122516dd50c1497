//! How fast captures are taken apart, and how fast the recorded world answers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::Time;
use replay::extract::{Options, load, read};
use replay::world::World;
use std::hint::black_box;
use std::path::Path;

fn bench(c: &mut Criterion) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora/recordings/world-daily.pcapng");
    let bytes = std::fs::metadata(&file).map_or(0, |m| m.len());
    let mut group = c.benchmark_group("world-daily.pcapng");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("extract", |b| {
        b.iter(|| read(black_box(&file), &Options { keep_body: 0 }, |_| {}).map(|s| s.transactions).ok());
    });
    group.finish();

    let Ok((recorded, _)) = load(&file, &Options { keep_body: usize::MAX }) else { return };
    let world = World::of(&recorded);
    let requests: Vec<_> = recorded.iter().filter_map(|r| r.request()).collect();
    let mut group = c.benchmark_group("world");
    group.throughput(Throughput::Elements(requests.len() as u64));
    group.bench_function("answer", |b| {
        b.iter(|| {
            for (moment, request) in requests.iter().enumerate() {
                black_box(world.answer(request, Some(moment), Time::new(1_795_298_820, 0)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
