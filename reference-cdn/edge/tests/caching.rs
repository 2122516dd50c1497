//! Collapsing, revalidation, stale answers, ranges, invalidation and purge, over sockets.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{After, Origin, TestEdge, door, pass, pattern, soon};
use tokio::io::AsyncReadExt;

const FRESH: &str = "200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"";

#[tokio::test]
async fn a_stored_response_answers_without_the_origin_until_it_is_stale() {
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.field("if-none-match") == Some("\"1\"") {
            wire.send(
                "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nX-New: yes\r\n\r\n",
            )
            .await;
        } else {
            wire.respond(FRESH, "page").await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let first = edge.get("/").await;
    assert!(first.cache_status().contains("fwd=uri-miss"), "{}", first.cache_status());
    edge.advance(30);
    let second = edge.get("/").await;
    assert!(second.cache_status().contains("hit"), "{}", second.cache_status());
    assert_eq!((second.text().as_str(), second.field("age")), ("page", Some("30")));
    assert_eq!(origin.requests(), 1);
    edge.advance(40);
    let third = edge.get("/").await;
    assert_eq!((third.text().as_str(), third.field("x-new")), ("page", Some("yes")));
    assert_eq!(origin.requests(), 2);
    assert!(edge.get("/").await.cache_status().contains("hit"));
    // Other names are other keys, whatever the path.
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert!(client.response().await.cache_status().contains("uri-miss"));
}

#[tokio::test]
async fn simultaneous_misses_make_one_fetch_and_see_content_as_it_arrives() {
    let (head, of_head) = door();
    let (rest, of_rest) = door();
    let origin = Origin::start(move |_, mut wire| {
        let (head, rest) = (Arc::clone(&of_head), Arc::clone(&of_rest));
        async move {
            pass(&head).await;
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
            wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100000\r\n\r\n").await;
            let content = pattern(100_000);
            wire.send(&content[..1000]).await;
            pass(&rest).await;
            wire.send(&content[1000..]).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = edge.client().await;
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    edge.until("edge_requests_in_flight", 50).await;
    head.add_permits(1);
    // All have the first octets while the rest is held back.
    for client in &mut clients {
        assert_eq!(client.head().await.expect("interim").0, 103);
        assert_eq!(client.head().await.expect("head").0, 200);
        while client.buffer.len() < 1000 {
            use tokio::io::AsyncReadExt;
            assert!(
                soon("first octets", client.stream.read_buf(&mut client.buffer)).await.expect("read") > 0
            );
        }
    }
    // One leaves, the first to have asked among them: nobody else minds.
    clients.remove(0).reset();
    rest.add_permits(1);
    for client in &mut clients {
        use tokio::io::AsyncReadExt;
        while client.buffer.len() < 100_000 {
            assert!(soon("the rest", client.stream.read_buf(&mut client.buffer)).await.expect("read") > 0);
        }
        assert!(client.buffer == pattern(100_000));
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_slow_joiner_delays_nobody() {
    let content = Arc::new(pattern(8 << 20));
    let sent = Arc::clone(&content);
    let (start, of_start) = door();
    let origin = Origin::start(move |_, mut wire| {
        let (sent, start) = (Arc::clone(&sent), Arc::clone(&of_start));
        async move {
            pass(&start).await;
            wire.respond(FRESH, &sent[..]).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    // This one asks first and reads nothing.
    let mut slow = edge.client().await;
    slow.send("GET /big HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(1).await;
    let mut fast = edge.client().await;
    fast.send("GET /big HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    edge.until("edge_requests_in_flight", 2).await;
    start.add_permits(1);
    let response = fast.response().await;
    assert!(response.complete && response.body == *content);
    let response = slow.response().await;
    assert!(response.complete && response.body == *content);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn content_too_large_to_keep_passes_and_a_laggard_is_cut_off_rather_than_waited_for() {
    let content = Arc::new(pattern(24 << 20));
    let sent = Arc::clone(&content);
    let (start, of_start) = door();
    let origin = Origin::start(move |_, mut wire| {
        let (sent, start) = (Arc::clone(&sent), Arc::clone(&of_start));
        async move {
            pass(&start).await;
            wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            for chunk in sent.chunks(100_000) {
                wire.send(format!("{:x}\r\n", chunk.len())).await;
                wire.send(chunk).await;
                wire.send("\r\n").await;
            }
            wire.send("0\r\n\r\n").await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.store.object = 1 << 20).await;
    let mut lazy = edge.client().await;
    lazy.send("GET /endless HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(1).await;
    let mut fast = edge.client().await;
    fast.send("GET /endless HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    edge.until("edge_requests_in_flight", 2).await;
    start.add_permits(1);
    let response = fast.response().await;
    assert!(response.complete && response.body == *content);
    assert!(edge.metric("edge_store_resident_octets") < 16 << 20);
    let response = lazy.response().await;
    assert!(!response.complete, "octets are missing, and the client must be able to tell");
    assert!(content.starts_with(&response.body));
    assert_eq!(edge.metric("edge_store_overrun_readers_total"), 1);
    assert_eq!(origin.requests(), 1);
    // Alone, even a slow reader gets all of it.
    start.add_permits(1);
    assert!(edge.get("/endless").await.body == *content);
    assert_eq!(edge.metric("edge_store_objects"), 0);
}

#[tokio::test]
async fn responses_that_cannot_be_shared_release_those_who_wait() {
    let (start, of_start) = door();
    let number = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_, mut wire| {
        let (start, number) = (Arc::clone(&of_start), number.fetch_add(1, Ordering::SeqCst));
        async move {
            if number == 0 {
                pass(&start).await;
            }
            wire.respond("200 OK\r\nCache-Control: private", number.to_string()).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = edge.client().await;
        client.send("GET /me HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    edge.until("edge_requests_in_flight", 10).await;
    assert_eq!(origin.requests(), 1);
    start.add_permits(1);
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push(client.response().await.text().parse::<usize>().expect("number"));
    }
    answers.sort_unstable();
    assert_eq!(answers, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn variants_are_not_mixed_when_requests_wait_for_each_other() {
    let (start, of_start) = door();
    let origin = Origin::start(move |seen, mut wire| {
        let start = Arc::clone(&of_start);
        async move {
            pass(&start).await;
            let language = seen.field("accept-language").unwrap_or("none").to_owned();
            wire.respond("200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language", language).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut clients = Vec::new();
    for n in 0..12 {
        let language = ["de", "fr", "pl"][n % 3];
        let mut client = edge.client().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: {language}\r\n\r\n")).await;
        clients.push((client, language));
    }
    edge.until("edge_requests_in_flight", 12).await;
    start.add_permits(100);
    for (client, language) in &mut clients {
        assert_eq!(client.response().await.text(), *language);
    }
    assert!(origin.requests() <= 5, "{}", origin.requests());
    assert_eq!(edge.metric("edge_store_objects"), 3);
}

#[tokio::test]
async fn however_many_variants_are_under_way_everybody_gets_theirs() {
    let (start, of_start) = door();
    let origin = Origin::start(move |seen, mut wire| {
        let start = Arc::clone(&of_start);
        async move {
            pass(&start).await;
            let language = seen.field("accept-language").unwrap_or("none").to_owned();
            wire.respond("200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language", language).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut clients = Vec::new();
    for n in 0..60 {
        let language = format!("x-{}", n % 30);
        let mut client = edge.client().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: {language}\r\n\r\n")).await;
        clients.push((client, language));
    }
    edge.until("edge_requests_in_flight", 60).await;
    start.add_permits(1000);
    for (client, language) in &mut clients {
        let response = client.response().await;
        assert_eq!((response.status, response.text()), (200, language.clone()));
    }
}

#[tokio::test]
async fn those_who_wait_for_a_failed_fetch_are_told() {
    let (start, of_start) = door();
    let origin = Origin::start(move |_, wire| {
        let start = Arc::clone(&of_start);
        async move {
            pass(&start).await;
            wire.reset();
            (wire, After::Close)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = edge.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    edge.until("edge_requests_in_flight", 10).await;
    start.add_permits(10);
    for client in &mut clients {
        let response = client.response().await;
        assert_eq!(response.status, 502);
        assert_eq!(response.field("cache-control"), Some("no-store"));
    }
    assert_eq!(origin.requests(), 1, "a failing origin is not asked once more for each client");
}

#[tokio::test]
async fn stale_is_served_while_one_request_refreshes() {
    let (start, of_start) = door();
    let number = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_, mut wire| {
        let (start, number) = (Arc::clone(&of_start), number.fetch_add(1, Ordering::SeqCst));
        async move {
            if number > 0 {
                pass(&start).await;
            }
            let head = "200 OK\r\nCache-Control: max-age=10, stale-while-revalidate=60";
            wire.respond(head, format!("version {number}")).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.text(), "version 0");
    edge.advance(20);
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.text(), "version 0");
    }
    origin.wait_for(2).await;
    start.add_permits(1);
    soon("the new version", async {
        while edge.get("/").await.text() != "version 1" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(origin.requests(), 2);
    assert_eq!(edge.metric("edge_background_refreshes_total"), 1);
}

#[tokio::test]
async fn stale_is_served_when_the_origin_fails_or_is_gone() {
    let broken = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&broken);
    let origin = Origin::start(move |_, mut wire| {
        let broken = switch.load(Ordering::SeqCst);
        async move {
            if broken == 1 {
                wire.respond("503 Service Unavailable", "down").await;
            } else {
                wire.respond("200 OK\r\nCache-Control: max-age=10, stale-if-error=600", "page").await;
            }
            (wire, After::Close)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.text(), "page");
    edge.advance(20);
    broken.store(1, Ordering::SeqCst);
    assert_eq!(edge.get("/").await.text(), "page");
    // Nobody listens there any more.
    drop(origin);
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "page"));
    assert_eq!(edge.get("/never-seen").await.status, 502);
    edge.advance(1000);
    assert_eq!(edge.get("/").await.status, 502);
}

#[tokio::test]
async fn a_stale_part_stands_in_for_those_who_asked_for_it_only() {
    let (opens, waits) = door();
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |seen, mut wire| {
        let (waits, asked) = (Arc::clone(&waits), Arc::clone(&asked));
        async move {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    let head = "206 Partial Content\r\nCache-Control: max-age=1\r\nETag: \"a\"\r\nContent-Range: bytes 0-4/10";
                    wire.respond(head, "01234").await;
                    (wire, After::Keep)
                }
                1 => {
                    pass(&waits).await;
                    wire.send("HTTP/1.1 200 OK\r\n").await;
                    (wire, After::Close)
                }
                _ => {
                    assert_eq!(seen.field("range"), None);
                    wire.respond("200 OK\r\nCache-Control: max-age=60\r\nETag: \"b\"", "abcdefghij").await;
                    (wire, After::Keep)
                }
            }
        }
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.customers[0].settings.slice = None).await;
    assert_eq!(edge.exchange("GET", "/", "Range: bytes=0-4\r\n").await.text(), "01234");
    edge.advance(5);
    let leader = edge.exchange("GET", "/", "Range: bytes=0-1\r\n");
    let joiner = async {
        origin.wait_for(2).await;
        // It joins: nothing more reaches the origin until the leader's fetch has failed.
        let all = edge.exchange("GET", "/", "If-None-Match: \"z\"\r\n");
        let open = async {
            let in_flight =
                || edge.edge.samples().into_iter().find(|it| it.name == "edge_requests_in_flight");
            while in_flight().expect("a gauge").value < 2 {
                tokio::task::yield_now().await;
            }
            opens.add_permits(1);
        };
        tokio::join!(all, open).0
    };
    let (leader, joiner) = tokio::join!(leader, joiner);
    assert_eq!((leader.status, leader.text().as_str()), (206, "01"));
    assert_eq!((joiner.status, joiner.text().as_str()), (200, "abcdefghij"), "{joiner:?}");
}

#[tokio::test]
async fn one_content_under_two_variants() {
    let origin = Origin::start(|seen, mut wire| async move {
        let fields = "Cache-Control: max-age=60\r\nVary: Foo\r\nETag: \"a\"";
        if seen.field("if-none-match") == Some("\"a\"") {
            wire.send(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n\r\n")).await;
        } else {
            wire.respond(&format!("200 OK\r\n{fields}"), pattern(200_000)).await;
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    for foo in ["1", "2", "3"] {
        for how in ["vary-miss; fwd-status=304", "hit"] {
            let response = edge.exchange("GET", "/", &format!("Foo: {foo}\r\n")).await;
            assert!(response.complete && response.body == pattern(200_000), "{foo}");
            let how = if (foo, how) == ("1", "vary-miss; fwd-status=304") { "uri-miss" } else { how };
            assert!(response.cache_status().contains(how), "{foo}: {}", response.cache_status());
        }
    }
    assert_eq!(edge.edge.store().objects(), 3);
    edge.purge("http://site.test/").await;
    assert_eq!(edge.edge.store().objects(), 0);
}

#[tokio::test]
async fn ranges_and_conditions_are_answered_from_the_store() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond(FRESH, pattern(200_000)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let whole = pattern(200_000);
    assert!(edge.get("/").await.body == whole);
    let part = edge.exchange("GET", "/", "Range: bytes=65530-131080\r\n").await;
    assert_eq!((part.status, part.field("content-range")), (206, Some("bytes 65530-131080/200000")));
    assert!(part.body == whole[65_530..=131_080]);
    let end = edge.exchange("GET", "/", "Range: bytes=-5\r\n").await;
    assert!(end.body == whole[199_995..]);
    let several = edge.exchange("GET", "/", "Range: bytes=0-1,199999-\r\n").await;
    assert_eq!(several.status, 206);
    assert!(
        several.complete
            && several.field("content-type").is_some_and(|it| it.starts_with("multipart/byteranges"))
    );
    assert_eq!(edge.exchange("GET", "/", "Range: bytes=200000-\r\n").await.status, 416);
    assert_eq!(edge.exchange("GET", "/", "If-None-Match: \"1\"\r\n").await.status, 304);
    let head = edge.exchange("HEAD", "/", "").await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("200000")));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_purge_takes_all_variants_and_only_them_and_says_how_many() {
    let origin = Origin::start(|seen, mut wire| async move {
        let text = format!("{} {}", seen.path(), seen.field("accept-encoding").unwrap_or("-"));
        wire.respond("200 OK\r\nCache-Control: max-age=600\r\nVary: Accept-Encoding", text).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    for coding in ["gzip", "br", "zstd"] {
        edge.exchange("GET", "/a", &format!("Accept-Encoding: {coding}\r\n")).await;
    }
    edge.get("/a/b").await;
    edge.get("/a?x").await;
    let purged = edge.purge("http://site.test/a").await;
    assert_eq!((purged.status, &purged.json()["url"]), (200, &"http://site.test/a".into()));
    assert_eq!(purged.json()["purged"], 3);
    assert_eq!(edge.purge("http://site.test/a").await.json()["purged"], 0);
    assert_eq!(edge.purge("http://other.test/a/b").await.json()["purged"], 0);
    assert!(edge.get("/a/b").await.cache_status().contains("hit"));
    assert!(edge.get("/a?x").await.cache_status().contains("hit"));
    assert!(edge.exchange("GET", "/a", "Accept-Encoding: br\r\n").await.cache_status().contains("miss"));
}

#[tokio::test]
async fn a_purge_wins_over_a_fetch_in_flight() {
    let (rest, of_rest) = door();
    let number = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_, mut wire| {
        let (rest, number) = (Arc::clone(&of_rest), number.fetch_add(1, Ordering::SeqCst));
        async move {
            wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nv").await;
            pass(&rest).await;
            wire.send(format!("{number:03}")).await;
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut early = edge.client().await;
    early.send("GET /a HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(early.head().await.expect("head").0, 200);
    assert_eq!(edge.purge("http://site.test/a").await.status, 200);
    // Who asks after the purge gets a fetch of their own.
    let mut late = edge.client().await;
    late.send("GET /a HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(2).await;
    rest.add_permits(2);
    assert_eq!(late.response().await.text(), "v001");
    soon("the early answer", async {
        use tokio::io::AsyncReadExt;
        while early.buffer.len() < 4 {
            assert!(early.stream.read_buf(&mut early.buffer).await.expect("read") > 0);
        }
    })
    .await;
    assert_eq!(early.buffer, b"v000", "who had asked before gets what was fetched for them");
    let after = edge.get("/a").await;
    assert_eq!((after.text().as_str(), after.cache_status().contains("hit")), ("v001", true));
}

#[tokio::test]
async fn an_unsafe_method_invalidates() {
    let origin = Origin::start(|seen, mut wire| async move {
        let head = if seen.line.starts_with("GET") { FRESH } else { "200 OK" };
        wire.respond(head, "x").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/a").await;
    assert!(edge.get("/a").await.cache_status().contains("hit"));
    assert_eq!(edge.exchange("POST", "/a", "Content-Length: 0\r\n").await.status, 200);
    assert!(edge.get("/a").await.cache_status().contains("miss"));
}

#[tokio::test]
async fn trailers_are_stored_and_sent_again() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    for _ in 0..2 {
        let response = edge.exchange("GET", "/", "TE: trailers\r\n").await;
        assert_eq!(response.text(), "abc");
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "9".to_owned())]);
    }
    assert_eq!(origin.requests(), 1);
}

/// Neither waits for the other, since both have credentials; each finds nothing stored when it begins.
#[tokio::test]
async fn fetches_at_the_same_time_leave_one_response_of_a_variant() {
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let first_ends = Arc::new(tokio::sync::Notify::new());
    let end = Arc::clone(&first_ends);
    let origin = Origin::start(move |seen, mut wire| {
        let (both, end) = (Arc::clone(&both), Arc::clone(&end));
        async move {
            let head =
                "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nVary: Flavour\r\nContent-Length: 6";
            let who = seen.field("authorization").unwrap_or("nobody").to_owned();
            if who == "first" {
                // Its head comes before the other's, its content after.
                wire.send(format!("{head}\r\nX-Who: {who}\r\n\r\n")).await;
                both.wait().await;
                end.notified().await;
                wire.send("conten").await;
            } else {
                both.wait().await;
                wire.send(format!("{head}\r\nX-Who: {who}\r\n\r\nconten")).await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    let mut first = edge.client().await;
    first.send("GET / HTTP/1.1\r\nHost: site.test\r\nAuthorization: first\r\n\r\n").await;
    let (status, ..) = first.head().await.expect("a head");
    assert_eq!(status, 200);
    let second = edge.exchange("GET", "/", "Authorization: second\r\n").await;
    assert_eq!(second.field("x-who"), Some("second"));
    edge.until("edge_store_objects", 1).await;
    first_ends.notify_one();
    let mut rest = [0; 6];
    soon("content", first.stream.read_exact(&mut rest[first.buffer.len()..])).await.expect("content");
    edge.until("edge_fetches_in_flight", 0).await;
    assert_eq!(edge.metric("edge_store_objects"), 1, "the same variant twice");
    // The one that the origin sent last.
    assert_eq!(edge.get("/").await.field("x-who"), Some("second"));
    assert_eq!(origin.requests(), 2);
}

/// More content than is at hand when the head goes out.
#[tokio::test]
async fn trailers_of_large_content_are_sent_again() {
    let origin = Origin::start(|_, mut wire| async move {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send(format!("{head}{:x}\r\n", 700_000)).await;
        wire.send(pattern(700_000)).await;
        wire.send("\r\n0\r\nX-Sum: 9\r\n\r\n").await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    for _ in 0..2 {
        let response = edge.get("/").await;
        assert!(response.body == pattern(700_000));
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "9".to_owned())]);
    }
    assert_eq!(origin.requests(), 1);
    // They are about the whole.
    let part = edge.exchange("GET", "/", "Range: bytes=0-599999\r\n").await;
    assert_eq!((part.status, part.field("content-length")), (206, Some("600000")));
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.field("content-length"), Some("700000"));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn memory_stays_within_its_limit_and_scans_do_not_push_out_what_is_used() {
    let origin = Origin::start(|_, mut wire| async move {
        wire.respond("200 OK\r\nCache-Control: max-age=600", pattern(50_000)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| {
        config.store.memory = 4 << 20;
        config.store.object = 1 << 20;
    })
    .await;
    let mut client = edge.client().await;
    let mut get = async |path: String| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        client.response().await
    };
    for _ in 0..3 {
        for n in 0..20 {
            get(format!("/hot/{n}")).await;
        }
    }
    for n in 0..500 {
        get(format!("/scan/{n}")).await;
        if n % 10 == 0 {
            get(format!("/hot/{}", n / 10 % 20)).await;
        }
    }
    assert!(edge.metric("edge_store_octets") <= 4 << 20);
    assert!(edge.metric("edge_store_resident_octets") <= 5 << 20);
    assert!(edge.metric("edge_store_evicted_total") > 400);
    let mut hits = 0;
    for n in 0..20 {
        hits += usize::from(get(format!("/hot/{n}")).await.cache_status().contains("hit"));
    }
    assert!(hits >= 18, "{hits} of 20 survived the scan");
}

/// RFC 9211 section 2.5, with a head that goes out before the content's end is known.
#[tokio::test]
async fn cache_status_claims_no_more_than_is_known_when_the_head_goes_out() {
    let origin = Origin::start(|seen, mut wire| async move {
        let fields = "200 OK\r\nCache-Control: max-age=60";
        match seen.path() {
            "/fits" => wire.respond(fields, "abc").await,
            "/large" => wire.respond(fields, pattern(4000)).await,
            _ => {
                let head = format!("HTTP/1.1 {fields}\r\nTransfer-Encoding: chunked\r\n\r\n");
                wire.send([head.as_str(), "3\r\nabc\r\n0\r\n\r\n"].concat()).await;
            }
        }
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, |config| config.store.object = 2000).await;
    for (path, miss, next) in [
        ("/fits", "fwd=uri-miss; stored; ttl=60", "hit; ttl=60"),
        ("/large", "fwd=uri-miss; detail=too-large", "fwd=uri-miss; detail=too-large"),
        ("/chunked", "fwd=uri-miss; detail=length-unknown", "hit; ttl=60"),
    ] {
        for expected in [miss, next] {
            let answer = edge.get(path).await;
            let (_, said) = answer.cache_status().split_once("; ").expect("a member with parameters");
            assert_eq!(said, expected, "{path}");
        }
    }
}
