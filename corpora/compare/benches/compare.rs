//! How long a comparison takes: the common case of two equal answers, two that differ, and bodies that are diffed.

use compare::{Settings, responses};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use exchange::{Body, Fields, Request, Response};
use std::hint::black_box;

const FIELDS: [(&str, &str); 14] = [
    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Age", "12"),
    ("Server", "edge"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "public, max-age=3600, stale-while-revalidate=60"),
    ("ETag", "\"5f3a-1c2d\""),
    ("Last-Modified", "Sat, 05 Nov 1994 08:49:37 GMT"),
    ("Vary", "Accept-Encoding, Accept-Language"),
    ("Via", "1.1 edge"),
    ("Cache-Status", "edge; hit; ttl=3588"),
    ("Set-Cookie", "session=0123456789abcdef; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Request-Id", "7f3c2b"),
    ("Link", "</style.css>; rel=preload; as=style"),
];

fn answer(body: impl Into<bytes::Bytes>) -> Response {
    Response::new(200, FIELDS.into_iter().collect(), Body::complete(body))
}

fn text(lines: usize, odd: usize) -> String {
    (0..lines).map(|i| format!("<p>line {}</p>\n", if i % odd == odd / 2 { i + 1 } else { i })).collect()
}

fn comparisons(criterion: &mut Criterion) {
    let settings = Settings::default();
    let request = Request::new("GET", "/", Fields::new());
    let page = text(2000, usize::MAX);
    let left = answer(page.clone());
    let mut aged = left.clone();
    aged.fields.set("Age", "500");
    aged.fields.set("Vary", "Accept-Encoding");
    let changed = answer(text(2000, 100));
    let json = |last: u32| {
        let items: Vec<String> =
            (0..2000).map(|i| format!(r#"{{"id":{i},"name":"item {i}","tags":["a","b"]}}"#)).collect();
        let mut response = answer(format!(r#"{{"items":[{}],"last":{last}}}"#, items.join(",")));
        response.fields.set("Content-Type", "application/json");
        response
    };
    let (json_left, json_right) = (json(1), json(2));

    let mut group = criterion.benchmark_group("compare");
    group.throughput(Throughput::Elements(1));
    for (name, left, right) in [
        ("equal", &left, &left.clone()),
        ("two fields differ", &left, &aged),
        ("text of 36 KB differs in 20 lines", &left, &changed),
        ("JSON of 80 KB differs in one value", &json_left, &json_right),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| responses(&settings, black_box(&request), black_box(left), black_box(right)));
        });
    }
    group.finish();
}

criterion_group!(benches, comparisons);
criterion_main!(benches);
