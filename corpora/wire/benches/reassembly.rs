//! How fast segments become streams.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use exchange::Time;
use std::hint::black_box;
use std::net::SocketAddr;
use wire::tcp::{FlowLimits, Flows, Segment};

const SEGMENTS: u32 = 4096;
const SIZE: u32 = 1448;

fn segment(seq: u32, payload: Bytes) -> Segment {
    let (from, to) = (SocketAddr::from(([10, 0, 0, 1], 40_000)), SocketAddr::from(([10, 0, 0, 2], 80)));
    let syn = payload.is_empty();
    Segment { time: Time(0), from, to, seq, ack: None, syn, fin: false, rst: false, payload, cut_off: 0 }
}

/// A connection that has been opened, and its segments in order.
fn connection() -> (Flows, Vec<Segment>) {
    let payload = Bytes::from(vec![b'x'; SIZE as usize]);
    let mut flows = Flows::new(FlowLimits::default());
    flows.push(&segment(0, Bytes::new()));
    (flows, (0..SEGMENTS).map(|n| segment(1 + n * SIZE, payload.clone())).collect())
}

fn take(flows: &mut Flows, segments: &[Segment]) {
    for segment in segments {
        flows.push(segment);
        while let Some(event) = flows.next_event() {
            black_box(event);
        }
    }
    assert_eq!(flows.counts().delivered, u64::from(SEGMENTS * SIZE));
}

fn reassembly(c: &mut Criterion) {
    let mut group = c.benchmark_group("reassemble");
    group.throughput(Throughput::Bytes(u64::from(SEGMENTS * SIZE)));
    let mut run = |name: &str, arrange: fn(&mut Vec<Segment>)| {
        group.bench_function(name, |b| {
            let make = || {
                let (flows, mut segments) = connection();
                arrange(&mut segments);
                (flows, segments)
            };
            b.iter_batched(make, |(mut flows, segments)| take(&mut flows, &segments), BatchSize::LargeInput);
        });
    };
    run("in order", |_| {});
    run("each pair swapped", |segments| segments.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1)));
    run("everything twice", |segments| {
        *segments = segments.iter().flat_map(|s| [s.clone(), s.clone()]).collect();
    });
    run("a hole filled at the end of each 1 MiB", |segments| {
        segments.chunks_mut(724).for_each(|part| part.rotate_left(1));
    });
    group.finish();
}

criterion_group!(benches, reassembly);
criterion_main!(benches);
