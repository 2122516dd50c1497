//! How fast one direction is parsed, and both are paired.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::Time;
use std::hint::black_box;
use wire::{Asked, Connection, Direction, Limits, Parser};

const REQUEST: &[u8] = b"GET /images/logo.png?v=3 HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: image/avif,image/webp,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.5\r\nConnection: keep-alive\r\nReferer: https://www.example.test/\r\nIf-None-Match: \"5f1-2a\"\r\n\r\n";

fn response() -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 22:07:00 GMT\r\nServer: example\r\nContent-Type: image/png\r\nContent-Length: 4096\r\nETag: \"5f1-2a\"\r\nCache-Control: max-age=3600\r\nAge: 12\r\nVary: Accept-Encoding\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 4096, b'x');
    bytes
}

fn chunked() -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..256 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.resize(bytes.len() + 1024, b'x');
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    let pipelined = bytes::Bytes::from(REQUEST.repeat(64));
    group.throughput(Throughput::Elements(64));
    group.bench_function("64 requests", |b| {
        b.iter(|| {
            let mut parser = Parser::requests(Limits::default());
            parser.push(Time(0), pipelined.clone());
            std::iter::from_fn(|| parser.next_event()).for_each(|event| drop(black_box(event)));
        });
    });
    let body = bytes::Bytes::from(chunked());
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("256 chunks of 1 KiB", |b| {
        b.iter(|| {
            let mut parser = Parser::responses(Limits::default());
            parser.expect(Asked::default());
            parser.push(Time(0), body.clone());
            std::iter::from_fn(|| parser.next_event()).for_each(|event| drop(black_box(event)));
        });
    });
    let answer = bytes::Bytes::from(response());
    group.throughput(Throughput::Elements(1));
    group.bench_function("pair and hash one exchange of 4 KiB", |b| {
        let mut connection = Connection::new(0, Limits::default()).whole_messages();
        b.iter(|| {
            connection.push(Direction::ToServer, Time(1), REQUEST);
            connection.push(Direction::ToClient, Time(2), answer.clone());
            std::iter::from_fn(|| connection.next_event()).for_each(|event| drop(black_box(event)));
        });
    });
    group.finish();
}

criterion_group!(benches, parsing);
criterion_main!(benches);
