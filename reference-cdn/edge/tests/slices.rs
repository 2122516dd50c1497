//! Large representations in slices, over sockets: what the origin is asked for, what clients get, and what happens when
//! the origin changes, fails, or somebody spoils the store.

mod support;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{After, Origin, Seen, TestEdge, Wire, pattern, soon};
use tokio::task::JoinSet;

const KIB: usize = 1024;
const SLICE: usize = 64 * KIB;

/// What the origin has, and may have changed since.
struct File {
    octets: usize,
    version: AtomicU64,
    /// Octets of content sent.
    sent: AtomicU64,
}

impl File {
    fn new(octets: usize) -> Arc<Self> {
        Arc::new(Self { octets, version: AtomicU64::new(1), sent: AtomicU64::new(0) })
    }

    fn content(&self, version: u64) -> Vec<u8> {
        let mut content = pattern(self.octets);
        content.iter_mut().for_each(|octet| *octet = octet.wrapping_add(version as u8));
        content
    }

    /// The octets that the request wants, as its conditions and its range say.
    async fn answer(&self, seen: &Seen, wire: &mut Wire) {
        let version = self.version.load(Ordering::SeqCst);
        let tag = format!("\"v{version}\"");
        let common = format!("ETag: {tag}\r\nCache-Control: max-age=600\r\nAccept-Ranges: bytes");
        if seen.field("if-none-match") == Some(&tag) {
            return wire.send(format!("HTTP/1.1 304 Not Modified\r\n{common}\r\n\r\n")).await;
        }
        let content = self.content(version);
        let range = seen.field("range").filter(|_| seen.field("if-range").is_none_or(|given| given == tag));
        let Some(range) = range else {
            self.sent.fetch_add(content.len() as u64, Ordering::SeqCst);
            return wire.respond(&format!("200 OK\r\n{common}"), content).await;
        };
        let (first, last) =
            range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
        let first: usize = first.parse().expect("a first octet");
        let end = last.parse::<usize>().map_or(content.len(), |last| (last + 1).min(content.len()));
        if first >= end {
            let head = format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{}", content.len());
            return wire.respond(&head, "").await;
        }
        self.sent.fetch_add((end - first) as u64, Ordering::SeqCst);
        let head = format!(
            "206 Partial Content\r\n{common}\r\nContent-Range: bytes {first}-{}/{}",
            end - 1,
            content.len()
        );
        wire.respond(&head, &content[first..end]).await;
    }

    async fn origin(self: &Arc<Self>) -> Origin {
        let file = Arc::clone(self);
        Origin::start(move |seen, mut wire| {
            let file = Arc::clone(&file);
            async move {
                file.answer(&seen, &mut wire).await;
                (wire, After::Keep)
            }
        })
        .await
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst) as usize
    }
}

/// Slices of 64 KiB, and no more than 256 KiB in one piece.
async fn edge(origin: &Origin) -> TestEdge {
    TestEdge::with(origin.address, |config| {
        config.customers[0].settings.slice = NonZeroU64::new(SLICE as u64);
        config.store.object = 4 * SLICE as u64;
    })
    .await
}

async fn range(edge: &TestEdge, range: &str) -> support::Response {
    edge.exchange("GET", "/", &format!("Range: bytes={range}\r\n")).await
}

/// RFC 9111 section 3.4: what a later slice says of the representation holds from then on.
#[tokio::test]
async fn a_later_slice_updates_the_head() {
    let origin = Origin::start(|seen, mut wire| async move {
        let first: usize = if seen.field("range") == Some("bytes=0-65535") { 0 } else { SLICE };
        let head = format!(
            "206 Partial Content\r\nETag: \"1\"\r\nCache-Control: max-age=600\r\nX-From: {first}\r\nContent-Range: bytes {first}-{}/{}",
            first + SLICE - 1,
            2 * SLICE
        );
        wire.respond(&head, vec![b'a'; SLICE]).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.customers[0].settings.slice = NonZeroU64::new(SLICE as u64);
    })
    .await;
    let ask = async |range: &str| edge.exchange("GET", "/", &format!("Range: bytes={range}\r\n")).await;
    assert_eq!(ask("0-0").await.field("x-from"), Some("0"));
    edge.advance(10);
    assert_eq!(ask("65536-65537").await.status, 206);
    edge.advance(5);
    let after = ask("0-0").await;
    assert_eq!((after.field("x-from"), after.field("age")), (Some("65536"), Some("5")));
    assert!(after.cache_status().contains("hit"), "{}", after.cache_status());
    // A purge still takes what came before it.
    assert!(edge.purge("http://site.test/").await.text().contains("\"purged\""));
    ask("0-0").await;
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn one_octet_of_a_large_file_moves_one_slice_and_many_clients_share_it() {
    let file = File::new(10_000_000);
    let origin = file.origin().await;
    let edge = Arc::new(edge(&origin).await);
    for response in crowd(&edge, 20, "Range: bytes=5000000-5000000\r\n").await {
        assert_eq!(
            (response.status, response.field("content-range")),
            (206, Some("bytes 5000000-5000000/10000000"))
        );
        assert_eq!(response.body, file.content(1)[5_000_000..=5_000_000]);
    }
    assert_eq!((file.sent(), origin.requests()), (SLICE, 1));
    let first = 5_000_000 / SLICE * SLICE;
    assert_eq!(origin.seen()[0].field("range"), Some(&*format!("bytes={first}-{}", first + SLICE - 1)));
    assert!(range(&edge, "5000001-5000002").await.cache_status().contains("hit"));
}

/// The answers to `clients` requests at once, for a range or for all.
async fn crowd(edge: &Arc<TestEdge>, clients: usize, range: &'static str) -> Vec<support::Response> {
    let mut crowd = JoinSet::new();
    for _ in 0..clients {
        let edge = Arc::clone(edge);
        crowd.spawn(async move { edge.exchange("GET", "/", range).await });
    }
    crowd.join_all().await
}

#[tokio::test]
async fn ranges_of_every_kind_are_put_together_from_slices() {
    let file = File::new(10 * SLICE + 1234);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    let content = file.content(1);
    range(&edge, "0-0").await;
    let length = content.len();
    for (first, last) in [
        (0, 0),
        (SLICE - 1, SLICE),
        (SLICE, 2 * SLICE - 1),
        (100, 5 * SLICE + 7),
        (9 * SLICE, length - 1),
        (length - 1, length - 1),
        (0, length - 1),
    ] {
        let response = range(&edge, &format!("{first}-{last}")).await;
        assert!(response.complete && response.status == 206, "{first}-{last}");
        assert!(response.body == content[first..=last], "{first}-{last}");
    }
    assert_eq!(file.sent(), length, "each octet came from the origin once");
    assert!(range(&edge, "-10").await.body == content[length - 10..]);
    assert_eq!(range(&edge, &format!("{length}-")).await.status, 416);
    let several = range(&edge, &format!("0-9,{}-{}", 3 * SLICE - 5, 3 * SLICE + 4)).await;
    assert_eq!(several.status, 206);
    let has = |part: &[u8]| several.body.windows(part.len()).any(|window| window == part);
    assert!(has(&content[..10]) && has(&content[3 * SLICE - 5..3 * SLICE + 5]));
    assert!(edge.get("/").await.body == content);
    assert_eq!(edge.exchange("HEAD", "/", "").await.field("content-length"), Some(&*length.to_string()));
    assert_eq!(file.sent(), length);
}

#[tokio::test]
async fn a_whole_response_too_large_for_one_piece_is_cut_into_slices_as_it_passes() {
    let file = File::new(20 * SLICE + 5);
    let origin = file.origin().await;
    let edge = Arc::new(edge(&origin).await);
    let content = file.content(1);
    for response in crowd(&edge, 5, "").await {
        assert!(response.complete && response.body == content);
    }
    assert_eq!((file.sent(), origin.requests()), (content.len(), 1));
    let response = range(&edge, "700000-700009").await;
    assert!(response.cache_status().contains("hit") && response.body == content[700_000..700_010]);
    assert!(edge.get("/").await.cache_status().contains("hit"));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_change_between_slices_breaks_the_response_off_and_the_next_is_all_new() {
    let file = File::new(10 * SLICE);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    range(&edge, "0-0").await;
    file.version.store(2, Ordering::SeqCst);
    // The first slice is there, the second is not, and the origin has none of that version any more.
    let response = range(&edge, &format!("0-{}", 3 * SLICE)).await;
    assert!(!response.complete && file.content(1).starts_with(&response.body));
    let response = range(&edge, &format!("0-{}", 3 * SLICE)).await;
    assert_eq!(response.field("etag"), Some("\"v2\""));
    assert!(response.complete && response.body == file.content(2)[..=3 * SLICE]);
    assert_eq!(edge.metric("edge_slices_changed_total"), 1);
}

#[tokio::test]
async fn a_change_before_the_first_slice_is_not_seen_by_the_client() {
    let file = File::new(10 * SLICE);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    range(&edge, "0-0").await;
    file.version.store(2, Ordering::SeqCst);
    let response = range(&edge, &format!("{}-{}", 5 * SLICE, 6 * SLICE)).await;
    assert!(response.complete && response.body == file.content(2)[5 * SLICE..=6 * SLICE]);
    assert_eq!(response.field("etag"), Some("\"v2\""));
}

#[tokio::test]
async fn a_stale_head_is_confirmed_and_the_slices_stay() {
    let file = File::new(10 * SLICE);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    range(&edge, &format!("0-{}", 2 * SLICE - 1)).await;
    let sent = file.sent();
    edge.advance(1000);
    assert!(range(&edge, "7-8").await.body == file.content(1)[7..9]);
    assert_eq!(file.sent(), sent);
    edge.advance(1000);
    file.version.store(2, Ordering::SeqCst);
    assert!(range(&edge, "7-8").await.body == file.content(2)[7..9]);
    assert_eq!(
        file.sent(),
        sent + SLICE,
        "the new version came with the answer to the question whether there is one"
    );
}

#[tokio::test]
async fn a_purge_takes_the_slices_with_it() {
    let file = File::new(10 * SLICE);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    range(&edge, "0-0").await;
    edge.purge("http://site.test/").await;
    range(&edge, &format!("{}-{}", 3 * SLICE, 3 * SLICE)).await;
    let sent = file.sent();
    // The entity tag is the one from before the purge, the octets are not.
    range(&edge, "0-0").await;
    assert_eq!(file.sent(), sent + SLICE);
}

#[tokio::test]
async fn an_origin_that_fails_between_slices_is_asked_again() {
    let file = File::new(10 * SLICE);
    let count = Arc::new(AtomicU64::new(0));
    let (of_origin, asked) = (Arc::clone(&file), Arc::clone(&count));
    let origin = Origin::start(move |seen, mut wire| {
        let (file, asked) = (Arc::clone(&of_origin), Arc::clone(&asked));
        async move {
            if asked.fetch_add(1, Ordering::SeqCst) % 3 == 1 {
                // The beginning of the slice, then no more.
                let first = seen.field("range").expect("a range")[6..].split_once('-').expect("-").0;
                let first: usize = first.parse().expect("a number");
                let (last, complete) = (first + SLICE - 1, 10 * SLICE);
                wire.send(format!(
                    "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Length: {SLICE}\r\n\
                     Content-Range: bytes {first}-{last}/{complete}\r\n\r\n"
                ))
                .await;
                wire.send(&file.content(1)[first..first + 5]).await;
                return (wire, After::Close);
            }
            file.answer(&seen, &mut wire).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = edge(&origin).await;
    range(&edge, "0-0").await;
    let response = range(&edge, &format!("0-{}", 10 * SLICE - 1)).await;
    assert!(response.complete && response.body == file.content(1));
    assert!(edge.metric("edge_origin_truncated_total") >= 3);
}

#[tokio::test]
async fn an_origin_that_is_down_leaves_what_is_stored() {
    let file = File::new(10 * SLICE);
    let of_origin = Arc::clone(&file);
    let origin = Origin::start(move |seen, mut wire| {
        let file = Arc::clone(&of_origin);
        async move {
            file.answer(&seen, &mut wire).await;
            (wire, After::Close)
        }
    })
    .await;
    let edge = edge(&origin).await;
    range(&edge, "0-0").await;
    drop(origin);
    assert_eq!(range(&edge, "5-9").await.status, 206);
    let response = range(&edge, &format!("{}-", 5 * SLICE)).await;
    assert_eq!(response.status, 502, "nothing was sent yet");
}

#[tokio::test]
async fn a_slow_client_does_not_make_the_edge_take_in_everything() {
    let file = File::new(64 << 20);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let (status, ..) = client.head().await.expect("a head");
    assert_eq!(status, 200);
    // It takes nothing, so that the edge stops taking in at some point, well before the end.
    edge.until_still("edge_store_objects").await;
    assert!(edge.metric("edge_store_octets") < 24 << 20, "{}", edge.metric("edge_store_octets"));
    drop(client);
    edge.until("edge_requests_in_flight", 0).await;
}

/// Octet `at` of a file too long to hold: each word says where it is.
fn word(at: u64) -> [u8; 8] {
    (at / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

fn long_file(first: u64, octets: usize) -> Vec<u8> {
    (first..first + octets as u64).step_by(8).flat_map(word).collect()
}

/// Resident memory of this process, in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Origin, edge and client in one process: `cargo test -p edge --profile quick --test slices -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "moves 10 GiB twice"]
async fn ten_gibibytes_stream_through_bounded_memory() {
    const LENGTH: u64 = 10 << 30;
    const PIECE: usize = 256 * KIB;
    let origin = Origin::start(|seen, mut wire| async move {
        let common = "ETag: \"long\"\r\nCache-Control: max-age=600\r\nAccept-Ranges: bytes";
        let range = seen.field("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (first, end) = match range {
            None => {
                wire.send(format!("HTTP/1.1 200 OK\r\n{common}\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
                (0, LENGTH)
            }
            Some((first, last)) => {
                let first: u64 = first.parse().expect("a first octet");
                let end = last.parse::<u64>().map_or(LENGTH, |last| LENGTH.min(last + 1));
                wire.send(format!(
                    "HTTP/1.1 206 Partial Content\r\n{common}\r\nContent-Range: bytes {first}-{}/{LENGTH}\r\n\
                     Content-Length: {}\r\n\r\n",
                    end - 1,
                    end - first
                ))
                .await;
                (first, end)
            }
        };
        for at in (first..end).step_by(PIECE) {
            wire.send(long_file(at, PIECE.min((end - at) as usize))).await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.store.memory = 64 << 20).await;
    let before = resident();
    // The first time the response is cut as it passes; the second, slices are fetched, as most have been evicted.
    for turn in ["cut", "fetched"] {
        let mut client = edge.client().await;
        client.send("GET /long HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        client.head().await.expect("a head");
        let mut most = 0;
        let mut at = 0_u64;
        let mut piece = std::mem::take(&mut client.buffer);
        while at < LENGTH {
            let whole = piece.len() / 8 * 8;
            assert!(piece[..whole] == long_file(at, whole), "wrong octets from {at} on");
            let next = at + whole as u64;
            if at / (64 << 20) != next / (64 << 20) {
                most = most.max(resident());
            }
            at = next;
            piece.drain(..whole);
            piece.reserve(PIECE);
            if at + (piece.len() as u64) < LENGTH {
                let read =
                    soon("content", tokio::io::AsyncReadExt::read_buf(&mut client.stream, &mut piece)).await;
                assert!(read.expect("content") > 0, "broken off at {at}");
            }
        }
        let grown = most.saturating_sub(before) >> 20;
        println!("{turn}: {} origin requests, {grown} MiB more resident than before", origin.requests());
        // The store, what readers pin, and the buffers of origin, edge and client.
        assert!(grown < 200, "{grown} MiB");
    }
    assert!(range_of_long(&edge).await, "a range from the middle");
}

async fn range_of_long(edge: &TestEdge) -> bool {
    let at = 7 << 30;
    let response = edge.exchange("GET", "/long", &format!("Range: bytes={at}-{}\r\n", at + 99_999)).await;
    response.complete && response.body == long_file(at, 100_000)
}

#[tokio::test]
async fn a_purge_takes_the_slices_with_their_head() {
    for order in [
        r#"{"url": "http://site.test/"}"#,
        r#"{"prefix": "http://site.test/"}"#,
        r#"{"pattern": "/"}"#,
        r#"{"host": "site.test"}"#,
        r#"{"all": true}"#,
    ] {
        let file = File::new(1_000_000);
        let origin = file.origin().await;
        let edge = edge(&origin).await;
        range(&edge, "0-200000").await;
        assert_eq!(edge.metric("edge_store_objects"), 5, "a head and four slices");
        assert_eq!(edge.order(order).await.status, 200);
        file.version.store(2, Ordering::SeqCst);
        edge.until("edge_store_objects", 0).await;
        let part = range(&edge, "70000-70009").await;
        assert!(part.body == file.content(2)[70_000..70_010], "{order}");
        edge.until("edge_purge_names", 0).await;
        let sent = file.sent();
        assert!(range(&edge, "70000-70009").await.body == file.content(2)[70_000..70_010]);
        assert_eq!(file.sent(), sent, "the new slices stay");
    }
}

#[tokio::test]
async fn after_a_soft_purge_slices_are_used_again_if_the_origin_says_so() {
    let file = File::new(1_000_000);
    let origin = file.origin().await;
    let edge = edge(&origin).await;
    range(&edge, "0-200000").await;
    let sent = file.sent();
    edge.order(r#"{"prefix": "/", "mode": "soft"}"#).await;
    edge.until("edge_purge_names", 0).await;
    assert!(range(&edge, "0-200000").await.body == file.content(1)[..=200_000]);
    assert_eq!(origin.seen().last().expect("asked").field("if-none-match"), Some("\"v1\""));
    assert_eq!(file.sent(), sent, "the origin said that they are still good");
    file.version.store(2, Ordering::SeqCst);
    edge.order(r#"{"all": true, "mode": "soft"}"#).await;
    assert!(range(&edge, "0-200000").await.body == file.content(2)[..=200_000]);
}
