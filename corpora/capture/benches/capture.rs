//! Speed of the native format: records of ordinary size, and one with a large body.

use capture::{Reader, Record, Writer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::{Body, Fields, Request, Response, Source, Transaction};
use std::hint::black_box;

fn transaction(number: u32, body: usize) -> Record {
    let fields: Fields = [
        ("Host", "www.example.test"),
        ("Accept", "*/*"),
        ("User-Agent", "bench/1"),
        ("Accept-Encoding", "gzip"),
    ]
    .into_iter()
    .collect();
    let answer: Fields =
        [("Content-Type", "text/html"), ("Cache-Control", "max-age=60"), ("ETag", "\"abc\"")]
            .into_iter()
            .collect();
    let bytes: Vec<u8> =
        (0..body).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] & 0x1f).collect();
    Record::Transaction(Box::new(Transaction {
        source: Source { tool: "bench".into(), at: "memory".into() },
        client_request: Some(Request::new("GET", format!("/page/{number}?q={number}"), fields)),
        client_response: Some(Response::new(200, answer, Body::complete(bytes))),
        ..Transaction::default()
    }))
}

fn write(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory does not fail");
    records.iter().for_each(|r| writer.write(r).expect("memory does not fail"));
    writer.finish().expect("memory does not fail")
}

fn bench(c: &mut Criterion) {
    let small: Vec<Record> = (0..1000).map(|n| transaction(n, 1024)).collect();
    let large = vec![transaction(0, 16 << 20)];
    for (name, records, bytes) in
        [("1000 of 1 KiB", &small, 1000 * 1024), ("one of 16 MiB", &large, 16 << 20)]
    {
        let file = write(records);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes)).sample_size(20);
        group.bench_function("write", |b| b.iter(|| write(black_box(records)).len()));
        group.bench_function("read", |b| {
            b.iter(|| Reader::new(black_box(&file[..])).map(Iterator::count).ok())
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
