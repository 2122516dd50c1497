//! What each hit costs apart from the kernel: reading the request head, and finding and verifying a stored response.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edge::client::HeadLimits;
use edge::http1::chunked::{Decoded, Decoder};
use edge::http1::head::{HeadScan, parse};
use edge::store::{End, Next, Store, StoreLimits};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_cache::{
    Beside, Decisions, Fetch, ForwardReason, Keep, Key, Received, Request, Response, Settings, Standard, Time,
};

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
const BROWSER: &[u8] = b"GET /static/app-3f2a9c.js?v=12 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/\r\n\
    Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nPriority: u=1\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let limits = HeadLimits { bytes: 32 * 1024, target: 8192, fields: 100 };
    let mut group = criterion.benchmark_group("head");
    for (name, head) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        let head = Bytes::from_static(head);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let end = HeadScan::default().find_end(&head, &limits);
                assert!(matches!(end, Ok(Some(_))));
                black_box(parse(head.clone(), &Scheme::HTTP, &limits))
            });
        });
    }
    group.finish();
}

fn chunks(criterion: &mut Criterion) {
    let mut content = Vec::new();
    for _ in 0..256 {
        content.extend_from_slice(b"400\r\n");
        content.extend_from_slice(&[b'x'; 1024]);
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(b"0\r\n\r\n");
    let mut group = criterion.benchmark_group("chunked");
    group.throughput(Throughput::Bytes(content.len() as u64));
    group.bench_function("256 KiB in chunks of 1 KiB", |bencher| {
        bencher.iter(|| {
            let mut input = BytesMut::from(&content[..]);
            let mut decoder = Decoder::new(1024);
            while !matches!(decoder.decode(&mut input), Ok(Decoded::End(_))) {}
        });
    });
    group.finish();
}

fn uri(path: &str) -> http::Uri {
    format!("http://www.example.com{path}").parse().expect("a URI")
}

fn head() -> Arc<http_cache::Stored> {
    let (method, none, target) = (Method::GET, HeaderMap::new(), uri("/"));
    let request =
        Request { method: &method, target: &target, headers: &none, version: http::Version::HTTP_11 };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=600"));
    let now = Time::from_secs(1_000_000);
    let response =
        Response { status: StatusCode::OK, headers: &headers, request_time: now, response_time: now };
    match Standard::new(Settings::default()).received(&request, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        _ => unreachable!("a plain response with max-age is storable"),
    }
}

fn store(criterion: &mut Criterion) {
    let store = Arc::new(Store::new(StoreLimits { memory: 1 << 30, object: 8 << 20, variants: 64 }));
    let stored = head();
    let customer = Arc::from("default");
    let put = |path: String, octets: usize| {
        let key = store.hashed(&customer, Key::of(&uri(&path)));
        let Ok(registration) = store.take_off(&key, 0, None, false, |_| false) else { return };
        let mut filler = store.fill(&registration);
        filler.append(&vec![7; octets]);
        let end = End::Complete(Arc::default());
        store.keep(&registration, filler, Arc::clone(&stored), end, &[], |_| Beside::Both, |_| Keep::Store);
    };
    for n in 0..100_000 {
        put(format!("/small/{n}"), 1024);
    }
    put("/large".into(), 1 << 20);

    let mut group = criterion.benchmark_group("store");
    group.bench_function("look-up among 100 000", |bencher| {
        let key = store.hashed(&customer, Key::of(&uri("/small/77777")));
        bencher.iter(|| black_box(store.find(&key)));
    });
    for (name, path, octets) in [("verify 1 KiB", "/small/5", 1024), ("verify 1 MiB", "/large", 1 << 20)] {
        group.throughput(Throughput::Bytes(octets));
        let found = store.find(&store.hashed(&customer, Key::of(&uri(path)))).expect("stored");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reader = found.bodies[0].read(0);
                while let Ok(Next::Data(data)) = reader.next(u64::MAX) {
                    black_box(data);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, heads, chunks, store);
criterion_main!(benches);
