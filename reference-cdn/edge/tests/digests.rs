//! Digests of content (RFC 9530): what the origin told is held against what it sent, and clients get the ones they want.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use sha2::{Digest, Sha256, Sha512};
use support::{After, Origin, Response, TestEdge};

fn told(key: &str, value: Vec<u8>) -> String {
    let key = sfv::Key::from_string(key.to_owned()).unwrap();
    let item = sfv::ListEntry::Item(sfv::Item::new(sfv::BareItem::ByteSequence(value)));
    let dictionary: sfv::Dictionary = [(key, item)].into_iter().collect();
    sfv::FieldType::serialize(&dictionary).unwrap()
}

fn sha256(content: &[u8]) -> String {
    told("sha-256", Sha256::digest(content).to_vec())
}

fn sha512(content: &[u8]) -> String {
    told("sha-512", Sha512::digest(content).to_vec())
}

fn large() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index % 251) as u8).collect()
}

/// An origin whose answers are by path: the fields of the head, and the content.
async fn origin(answers: Vec<(&'static str, String, Vec<u8>)>) -> Origin {
    let answers = std::sync::Arc::new(answers);
    Origin::start(move |seen, mut wire| {
        let answers = std::sync::Arc::clone(&answers);
        async move {
            let (_, head, content) = answers.iter().find(|(path, ..)| *path == seen.path()).unwrap();
            if head.contains("chunked") {
                let (head, trailer) = head.split_once("\r\nX-Trailer: ").unwrap_or((head, ""));
                wire.send(format!("HTTP/1.1 {head}\r\n\r\n")).await;
                for piece in content.chunks(50_000) {
                    wire.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await;
                }
                wire.send(format!("0\r\n{trailer}\r\n")).await;
            } else if seen.line.starts_with("HEAD") {
                wire.send(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", content.len())).await;
            } else {
                wire.respond(head, content).await;
            }
            (wire, After::Keep)
        }
    })
    .await
}

const FRESH: &str = "200 OK\r\nCache-Control: max-age=60";

#[track_caller]
fn is_refused(response: &Response) {
    assert_eq!(response.status, 502, "{response:?}");
    assert_eq!(response.field("proxy-status"), Some("reference-cdn; error=http_protocol_error"));
}

#[tokio::test]
async fn content_that_has_its_digests_is_stored() {
    let content = large();
    let fields = format!("Content-Digest: {}\r\nRepr-Digest: {}", sha256(&content), sha512(&content));
    let origin = origin(vec![
        ("/long", format!("{FRESH}\r\n{fields}"), content.clone()),
        ("/open", format!("{FRESH}\r\n{fields}\r\nTransfer-Encoding: chunked"), content.clone()),
        ("/short", format!("{FRESH}\r\nRepr-Digest: {}", sha256(b"page")), b"page".to_vec()),
        // What cannot be read, or is by an algorithm that nobody knows here, is ignored.
        ("/odd", format!("{FRESH}\r\nRepr-Digest: md5=:AAAA:, sha-256=:AAAA:, sha-512=7"), b"page".to_vec()),
        ("/none", format!("{FRESH}\r\nRepr-Digest: sha-256=:AAAA"), b"page".to_vec()),
        // The coding is part of what the digest is about.
        (
            "/coded",
            format!("{FRESH}\r\nContent-Encoding: gzip\r\nRepr-Digest: {}", sha256(b"coded")),
            b"coded".to_vec(),
        ),
    ])
    .await;
    let edge = TestEdge::start(origin.address).await;
    for path in ["/long", "/open", "/short", "/odd", "/none", "/coded"] {
        let first = edge.get(path).await;
        let second = edge.get(path).await;
        assert!(first.complete && second.complete && first.body == second.body, "{path}");
        assert!(second.cache_status().contains("hit"), "{path}: {second:?}");
        assert_eq!(first.field("repr-digest"), second.field("repr-digest"), "{path}");
        assert_eq!(first.field("content-digest"), second.field("content-digest"), "{path}");
    }
}

#[tokio::test]
async fn content_that_has_not_is_not_given_out_whole_and_not_stored() {
    let content = large();
    let wrong = sha256(b"something else");
    let two = format!("{}, {}", sha256(&content), sha512(b"something else"));
    let origin = origin(vec![
        ("/short", format!("{FRESH}\r\nContent-Digest: {wrong}"), b"page".to_vec()),
        ("/empty", format!("{FRESH}\r\nContent-Digest: {wrong}"), Vec::new()),
        ("/passed", format!("200 OK\r\nCache-Control: no-store\r\nRepr-Digest: {wrong}"), b"page".to_vec()),
        ("/error", format!("404 Not Found\r\nRepr-Digest: {wrong}"), b"page".to_vec()),
        (
            "/open-short",
            format!("{FRESH}\r\nRepr-Digest: {wrong}\r\nTransfer-Encoding: chunked"),
            b"page".to_vec(),
        ),
        ("/long", format!("{FRESH}\r\nRepr-Digest: {two}"), content.clone()),
        ("/open", format!("{FRESH}\r\nContent-Digest: {two}\r\nTransfer-Encoding: chunked"), content.clone()),
        (
            "/passed-long",
            format!("200 OK\r\nCache-Control: no-store\r\nRepr-Digest: {wrong}"),
            content.clone(),
        ),
        (
            "/passed-open",
            format!(
                "200 OK\r\nCache-Control: no-store\r\nRepr-Digest: {wrong}\r\nTransfer-Encoding: chunked"
            ),
            content.clone(),
        ),
    ])
    .await;
    let edge = TestEdge::start(origin.address).await;
    for path in ["/short", "/empty", "/passed", "/error", "/open-short"] {
        is_refused(&edge.get(path).await);
        is_refused(&edge.get(path).await);
    }
    assert_eq!(origin.requests(), 10);
    for path in ["/long", "/open", "/passed-long", "/passed-open"] {
        for _ in 0..2 {
            let response = edge.get(path).await;
            assert_eq!(response.status, 200, "{path}");
            assert!(!response.complete, "{path}: nobody saw that it is damaged");
        }
    }
    assert_eq!(origin.requests(), 18, "something was stored");
    let count = edge.edge.samples().into_iter().find(|it| it.name == "edge_origin_digest_mismatches_total");
    assert_eq!(count.unwrap().value, 18);
}

#[tokio::test]
async fn a_digest_may_come_as_a_trailer() {
    let content = large()[..100_000].to_vec();
    let head = |digest: &str| {
        format!(
            "{FRESH}\r\nTrailer: Repr-Digest\r\nTransfer-Encoding: chunked\r\nX-Trailer: Repr-Digest: {digest}\r\n"
        )
    };
    let origin = origin(vec![
        ("/right", head(&sha512(&content)), content.clone()),
        ("/wrong", head(&sha512(b"other")), content.clone()),
        ("/wrong-short", head(&sha512(b"other")), b"page".to_vec()),
    ])
    .await;
    let edge = TestEdge::start(origin.address).await;
    for _ in 0..2 {
        let response = edge.get("/right").await;
        assert!(response.complete);
        assert_eq!(response.trailers, [("Repr-Digest".to_owned(), sha512(&content))]);
    }
    for path in ["/wrong", "/wrong-short"] {
        assert!(!edge.get(path).await.complete, "{path}");
        assert!(!edge.get(path).await.complete, "{path}");
    }
    assert_eq!(origin.requests(), 5);
}

#[tokio::test]
async fn a_stale_response_stands_in_for_a_damaged_one() {
    let origin = Origin::start({
        let asked = std::sync::atomic::AtomicUsize::new(0);
        move |_, mut wire| {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            async move {
                let digest = sha256(if first { b"page" } else { b"other" });
                let head =
                    format!("200 OK\r\nCache-Control: max-age=1, stale-if-error=60\r\nRepr-Digest: {digest}");
                wire.respond(&head, "page").await;
                (wire, After::Keep)
            }
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.text(), "page");
    edge.advance(5);
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str(), response.field("age")), (200, "page", Some("5")));
    assert_eq!(response.field("proxy-status"), Some("reference-cdn; error=http_protocol_error"));
}

#[tokio::test]
async fn the_digest_of_a_part_is_not_that_of_the_whole() {
    let whole = b"0123456789";
    let origin = Origin::start(move |seen, mut wire| async move {
        let (first, last) = match seen.field("range") {
            Some("bytes=0-4") => (0, 4),
            Some("bytes=5-9" | "bytes=5-") => (5, 9),
            other => panic!("{other:?}"),
        };
        let part = &whole[first..=last];
        let (content, repr): (&[u8], &[u8]) = match seen.path() {
            "/right" => (part, whole),
            "/wrong-part" => (b"other", whole),
            "/wrong-whole" => (part, b"other"),
            other => panic!("{other}"),
        };
        let head = format!(
            "206 Partial Content\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Range: bytes {first}-{last}/10\r\nContent-Digest: {}\r\nRepr-Digest: {}",
            sha256(content),
            sha256(repr)
        );
        wire.respond(&head, part).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.customers[0].settings.slice = None).await;
    is_refused(&edge.exchange("GET", "/wrong-part", "Range: bytes=0-4\r\n").await);
    for path in ["/right", "/wrong-whole"] {
        let part = edge.exchange("GET", path, "Range: bytes=0-4\r\n").await;
        assert_eq!((part.status, part.text().as_str()), (206, "01234"), "{path}");
        assert!(part.field("content-digest").is_some());
        let inner = edge.exchange("GET", path, "Range: bytes=1-2\r\n").await;
        assert_eq!((inner.text().as_str(), inner.field("content-digest")), ("12", None));
    }
    let all = edge.get("/right").await;
    assert_eq!((all.status, all.text().as_str()), (200, "0123456789"));
    assert_eq!(all.field("repr-digest"), Some(sha256(whole).as_str()));
    assert!(edge.get("/right").await.cache_status().contains("hit"));
    let all = edge.get("/wrong-whole").await;
    assert!(!all.complete, "{all:?}");
    assert!(!edge.get("/wrong-whole").await.complete);
}

#[tokio::test]
async fn other_methods_have_other_digests() {
    let elsewhere = sha256(b"what a later GET would bring");
    let origin = origin(vec![
        ("/repr", format!("200 OK\r\nRepr-Digest: {elsewhere}"), b"done".to_vec()),
        ("/content", format!("200 OK\r\nContent-Digest: {elsewhere}"), b"done".to_vec()),
    ])
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.exchange("POST", "/repr", "Content-Length: 0\r\n").await.text(), "done");
    is_refused(&edge.exchange("POST", "/content", "Content-Length: 0\r\n").await);
    // A HEAD has no content to hold them against.
    for path in ["/repr", "/content"] {
        let head = edge.exchange("HEAD", path, "").await;
        assert_eq!(head.status, 200);
        assert!(head.field("repr-digest").or(head.field("content-digest")).is_some());
    }
}

#[tokio::test]
async fn clients_get_the_digests_they_want() {
    let content = large();
    let huge = vec![7; (1 << 20) + 1];
    let fresh = || format!("{FRESH}\r\nETag: \"a\"");
    let origin = origin(vec![
        ("/", fresh(), content.clone()),
        ("/told", format!("{}\r\nRepr-Digest: {}", fresh(), sha512(b"page")), b"page".to_vec()),
        ("/huge", fresh(), huge),
    ])
    .await;
    let edge = TestEdge::start(origin.address).await;
    for path in ["/", "/told", "/huge"] {
        // While it arrives, nobody knows.
        let first = edge.exchange("GET", path, "Want-Repr-Digest: sha-256=10\r\n").await;
        assert!(first.complete, "{path}");
    }
    let get = |fields: &'static str| edge.exchange("GET", "/", fields);
    let (of_all, long) = (sha256(&content), sha512(&content));
    let plain = edge.get("/").await;
    assert_eq!((plain.field("repr-digest"), plain.field("content-digest")), (None, None));
    for _ in 0..2 {
        let found = get("Want-Repr-Digest: sha-256=10\r\n").await;
        assert_eq!(
            (found.field("repr-digest"), found.field("content-digest")),
            (Some(of_all.as_str()), None)
        );
    }
    let found =
        get("Want-Repr-Digest: sha-256=1, sha-512=3\r\nWant-Content-Digest: sha-512=0, sha-256=1\r\n").await;
    assert_eq!(
        (found.field("repr-digest"), found.field("content-digest")),
        (Some(long.as_str()), Some(of_all.as_str()))
    );
    assert_eq!(found.body, content);
    let found = get("Want-Repr-Digest: md5=10, sha-256=0\r\nWant-Content-Digest: sha-256\r\n").await;
    assert_eq!((found.field("repr-digest"), found.field("content-digest")), (None, None));
    let both = "Want-Repr-Digest: sha-256=1\r\nWant-Content-Digest: sha-256=1\r\n";
    let part = edge.exchange("GET", "/", &format!("{both}Range: bytes=100-199999\r\n")).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.field("repr-digest"), Some(of_all.as_str()));
    assert_eq!(part.field("content-digest"), Some(sha256(&content[100..200_000]).as_str()));
    let parts = edge.exchange("GET", "/", &format!("{both}Range: bytes=0-1,5-6\r\n")).await;
    assert_eq!((parts.field("repr-digest"), parts.field("content-digest")), (Some(of_all.as_str()), None));
    let head = edge.exchange("HEAD", "/", both).await;
    assert_eq!((head.field("repr-digest"), head.field("content-digest")), (Some(of_all.as_str()), None));
    let unchanged = edge.exchange("GET", "/", &format!("{both}If-None-Match: \"a\"\r\n")).await;
    assert_eq!((unchanged.status, unchanged.field("repr-digest")), (304, Some(of_all.as_str())));
    assert_eq!(unchanged.field("content-digest"), None);
    let beyond = edge.exchange("GET", "/", &format!("{both}Range: bytes=900000-\r\n")).await;
    assert_eq!(
        (beyond.status, beyond.field("repr-digest"), beyond.field("content-digest")),
        (416, None, None)
    );
    // What the origin told is enough, if it is acceptable.
    let told = edge.exchange("GET", "/told", "Want-Repr-Digest: sha-256=10, sha-512=1\r\n").await;
    assert_eq!(told.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("repr-digest")).count(), 1);
    let told = edge.exchange("GET", "/told", "Want-Repr-Digest: sha-256=10, sha-512=0\r\n").await;
    let all: Vec<_> =
        told.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("repr-digest")).collect();
    assert_eq!(
        all.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        [sha512(b"page"), sha256(b"page")]
    );
    // More than is read for a hint.
    let huge = edge.exchange("GET", "/huge", both).await;
    assert_eq!((huge.status, huge.field("repr-digest")), (200, None));
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn what_is_kept_in_slices_is_checked_slice_by_slice_or_as_it_is_cut() {
    const SLICE: usize = 64 * 1024;
    let content = large();
    let origin = Origin::start({
        let content = content.clone();
        move |seen, mut wire| {
            let content = content.clone();
            async move {
                let head = "Cache-Control: max-age=60\r\nVary: Foo\r\nETag: \"a\"\r\nAccept-Ranges: bytes";
                let digest = sha256(if seen.path() == "/wrong" { b"other" } else { &content });
                let range =
                    seen.field("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
                if seen.field("if-none-match").is_some() {
                    wire.send(format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n\r\n")).await;
                } else if let Some((first, last)) = range {
                    let first: usize = first.parse().unwrap();
                    let last = last.parse().unwrap_or(usize::MAX).min(content.len() - 1);
                    let slice = &content[first..=last];
                    let own =
                        sha256(if seen.path() == "/wrong-slice" && first > 0 { b"other" } else { slice });
                    let range = format!("Content-Range: bytes {first}-{last}/{}", content.len());
                    let digests = format!("Content-Digest: {own}\r\nRepr-Digest: {digest}");
                    wire.respond(&format!("206 Partial Content\r\n{head}\r\n{range}\r\n{digests}"), slice)
                        .await;
                } else {
                    wire.respond(&format!("200 OK\r\n{head}\r\nRepr-Digest: {digest}"), &content).await;
                }
                (wire, After::Keep)
            }
        }
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.customers[0].settings.slice = std::num::NonZeroU64::new(SLICE as u64);
        config.store.object = 2 * SLICE as u64;
    })
    .await;
    // Cut as it came: the last piece shows that some slice is damaged, and all are gone.
    for _ in 0..2 {
        assert!(!edge.get("/wrong").await.complete);
    }
    let first = edge.get("/").await;
    assert!(first.complete && first.body == content);
    // Fetched by slices: a damaged one is an error where nothing was sent, and never stored.
    let part = edge.exchange("GET", "/wrong-slice", "Range: bytes=0-9\r\n").await;
    assert_eq!((part.status, part.field("content-digest")), (206, None));
    is_refused(&edge.exchange("GET", "/wrong-slice", "Range: bytes=70000-70009\r\n").await);
    assert_eq!(edge.exchange("GET", "/wrong-slice", "Range: bytes=0-9\r\n").await.body, content[..10]);
    // No digest of octets that lie in many places, and none of the head's, which has none.
    let wanted =
        edge.exchange("GET", "/", "Want-Repr-Digest: sha-512=1\r\nWant-Content-Digest: sha-256=1\r\n").await;
    assert_eq!(
        (wanted.field("repr-digest"), wanted.field("content-digest")),
        (Some(&*sha256(&content)), None)
    );
    // Another variant that is the same shares the slices.
    let requests = origin.requests();
    for _ in 0..2 {
        let other = edge.exchange("GET", "/", "Foo: 2\r\n").await;
        assert!(other.complete && other.body == content, "{}", other.cache_status());
    }
    assert_eq!(origin.requests(), requests + 1);
}
