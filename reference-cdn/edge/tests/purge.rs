//! Purges over sockets: every scope, hard and soft, against fetches under way, scheduled, after a restart, by whom.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::purge::{Limits, PurgeToken};
use edge::{Clock, Config, CustomerConfig, Host, StartError, bind};
use http_cache::{Decisions, Settings, Standard};
use serde_json::{Value, json};
use support::{After, Client, Origin, START, TOKEN, TestEdge, door, pass, soon};
use tokio::sync::Semaphore;

const SHOP: &str = "shop-shop-shop-shop";
const OWN: &str = "default-default-default";

/// Answers with the number of the request, fresh for ten minutes, with fields that the path chooses: `/x?Name=value`.
async fn numbered() -> Origin {
    let count = Arc::new(AtomicUsize::new(0));
    Origin::start(move |seen, mut wire| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut head = "200 OK\r\nCache-Control: max-age=600".to_owned();
            for field in seen.path().split_once('?').map_or("", |(_, query)| query).split('&') {
                if let Some((name, value)) = field.split_once('=') {
                    head.push_str(&format!("\r\n{name}: {}", value.replace("%22", "\"").replace('+', " ")));
                }
            }
            wire.respond(&head, number.to_string()).await;
            (wire, After::Keep)
        }
    })
    .await
}

/// Where `get` finds a response: a hit, or a fetch.
async fn is_hit(edge: &TestEdge, host: &str, path: &str) -> bool {
    let mut client = edge.client().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let response = client.response().await;
    assert_eq!(response.status, 200);
    response.cache_status().contains("; hit")
}

#[tokio::test]
async fn each_scope_takes_what_it_names_and_nothing_else() {
    let origin = numbered().await;
    let pages = [
        ("a.test", "/"),
        ("a.test", "/shop?Surrogate-Key=red+shop"),
        ("a.test", "/shop/hat?Cache-Tag=red,hat"),
        ("a.test", "/shopping?Cache-Groups=%22g%22"),
        ("sub.a.test", "/shop/hat"),
        ("b.test:8080", "/style.css"),
        ("b.test:8080", "/?Cache-Groups=%22g%22"),
        ("shop.test", "/shop?Surrogate-Key=blue"),
    ];
    let cases: &[(&str, &[usize])] = &[
        (r#"{"url": "http://a.test/"}"#, &[0]),
        (r#"{"url": "https://b.test:8080/style.css"}"#, &[5]),
        (r#"{"tag": "red"}"#, &[1, 2]),
        (r#"{"tags": ["hat", "shop"]}"#, &[1, 2]),
        (r#"{"tag": "g"}"#, &[]),
        (r#"{"group": "g", "origin": "http://a.test"}"#, &[3]),
        (r#"{"prefix": "http://a.test/shop"}"#, &[1, 2]),
        (r#"{"prefix": "http://a.test/shop/"}"#, &[2]),
        (r#"{"prefix": "/shop"}"#, &[1, 2, 4, 7]),
        (r#"{"pattern": "http://b.test:8080/*.css"}"#, &[5]),
        (r#"{"pattern": "/*h*"}"#, &[1, 2, 3, 4, 6, 7]),
        (r#"{"host": "a.test"}"#, &[0, 1, 2, 3]),
        (r#"{"host": "*.a.test"}"#, &[4]),
        (r#"{"host": "b.test"}"#, &[5, 6]),
        (r#"{"customer": "default"}"#, &[0, 1, 2, 3, 4, 5, 6]),
        (r#"{"customer": "shop"}"#, &[7]),
        (r#"{"customer": "shop", "url": "http://a.test/"}"#, &[]),
        (r#"{"customer": "shop", "prefix": "/shop"}"#, &[7]),
        (r#"{"customer": "default", "prefix": "/shop"}"#, &[1, 2, 4]),
        (r#"{"all": true}"#, &[0, 1, 2, 3, 4, 5, 6, 7]),
    ];
    for mode in ["hard", "soft"] {
        let edge = TestEdge::with(origin.address, tokens).await;
        for (order, gone) in cases {
            for (host, path) in pages {
                is_hit(&edge, host, path).await;
            }
            let order = order.replace('}', &format!(", \"mode\": \"{mode}\"}}"));
            let answer = edge.order(&order).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.json()["state"], "in-force");
            for (index, (host, path)) in pages.iter().enumerate() {
                assert_eq!(is_hit(&edge, host, path).await, !gone.contains(&index), "{order} {host}{path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_purged_softly_is_served_while_it_is_revalidated_or_the_origin_fails() {
    let down = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&down);
    let origin = Origin::start(move |seen, mut wire| {
        let down = switch.load(Ordering::SeqCst) == 1;
        async move {
            let life = "Cache-Control: max-age=600, stale-while-revalidate=60, stale-if-error=600";
            if down {
                wire.respond("503 Service Unavailable", "down").await;
            } else if seen.field("if-none-match").is_some() {
                wire.send(format!("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n{life}\r\n\r\n")).await;
            } else {
                wire.respond(&format!("200 OK\r\nETag: \"1\"\r\nSurrogate-Key: t\r\n{life}"), "page").await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/").await;
    edge.advance(100);
    let answer = edge.order(r#"{"url": "http://site.test/", "mode": "soft"}"#).await;
    assert_eq!(answer.json()["purged"], 1);
    let stale = edge.get("/").await;
    assert_eq!((stale.text().as_str(), stale.field("age")), ("page", Some("100")));
    // The refresh confirms it.
    origin.wait_for(2).await;
    soon("a fresh response", async {
        while edge.get("/").await.field("age") != Some("0") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(origin.seen()[1].field("if-none-match"), Some("\"1\""));
    // What was confirmed since stays fresh, whatever else is purged.
    edge.order(r#"{"tag": "other"}"#).await;
    assert!(edge.get("/").await.cache_status().contains("; hit; ttl=600"));
    // Past the window of stale-while-revalidate, counted from the purge, one waits.
    edge.order(r#"{"tag": "t", "mode": "soft"}"#).await;
    edge.advance(61);
    assert!(edge.get("/").await.cache_status().contains("fwd=stale"));
    // And in place of an error it does.
    down.store(1, Ordering::SeqCst);
    edge.order(r#"{"all": true, "mode": "soft"}"#).await;
    edge.advance(100);
    assert_eq!(edge.get("/").await.text(), "page");
    edge.order(r#"{"all": true}"#).await;
    assert_eq!(edge.get("/").await.status, 503, "nothing is left of what is gone");
}

/// An origin whose answers wait for a door, before their head or within their content.
async fn held(at_head: bool, door: Arc<Semaphore>) -> Origin {
    let count = Arc::new(AtomicUsize::new(0));
    Origin::start(move |_, mut wire| {
        let (door, number) = (Arc::clone(&door), count.fetch_add(1, Ordering::SeqCst));
        async move {
            if at_head {
                pass(&door).await;
            }
            wire.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600, stale-while-revalidate=60\r\nSurrogate-Key: t\r\nContent-Length: 2\r\n\r\nv").await;
            if !at_head {
                pass(&door).await;
            }
            wire.send(number.to_string()).await;
            (wire, After::Keep)
        }
    })
    .await
}

async fn ask(edge: &TestEdge) -> Client {
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    client
}

#[tokio::test]
async fn a_purge_wins_over_fetches_under_way_and_those_who_come_later_do_not_wait_for_them() {
    for at_head in [true, false] {
        for order in [r#"{"tag": "t"}"#, r#"{"prefix": "/"}"#, r#"{"all": true}"#, r#"{"pattern": "*"}"#] {
            let (open, of_origin) = door();
            let origin = held(at_head, of_origin).await;
            let edge = TestEdge::start(origin.address).await;
            let mut early = ask(&edge).await;
            origin.wait_for(1).await;
            let mut joined = ask(&edge).await;
            edge.until("edge_requests_in_flight", 2).await;
            if !at_head {
                assert_eq!(early.head().await.expect("head").0, 200);
            }
            assert_eq!(edge.order(order).await.status, 200);
            let mut late = ask(&edge).await;
            origin.wait_for(2).await;
            open.add_permits(2);
            assert_eq!(late.response().await.text(), "v1", "{order} {at_head}");
            let joined = joined.response().await;
            assert!(
                joined.complete && joined.text() == "v0",
                "who asked before gets what was fetched for them"
            );
            let after = edge.get("/").await;
            assert_eq!((after.text().as_str(), after.cache_status().contains("; hit")), ("v1", true));
            assert_eq!(origin.requests(), 2);
        }
    }
}

#[tokio::test]
async fn what_a_fetch_brings_after_a_soft_purge_is_stored_stale() {
    for at_head in [true, false] {
        let (open, of_origin) = door();
        let origin = held(at_head, of_origin).await;
        let edge = TestEdge::start(origin.address).await;
        let mut early = ask(&edge).await;
        origin.wait_for(1).await;
        edge.order(r#"{"tag": "t", "mode": "soft"}"#).await;
        open.add_permits(1);
        assert_eq!(early.response().await.text(), "v0");
        // It may be used stale, and is being revalidated.
        let next = edge.get("/").await;
        assert_eq!(next.text(), "v0");
        origin.wait_for(2).await;
        open.add_permits(1);
        soon("the new version", async {
            while edge.get("/").await.text() != "v1" {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_purge_of_another_tag_disturbs_no_fetch_whose_head_has_come() {
    let (open, of_origin) = door();
    let origin = held(false, of_origin).await;
    let edge = TestEdge::start(origin.address).await;
    let mut early = ask(&edge).await;
    assert_eq!(early.head().await.expect("head").0, 200);
    edge.order(r#"{"tag": "other"}"#).await;
    edge.order(r#"{"host": "other.test"}"#).await;
    let mut late = ask(&edge).await;
    edge.until("edge_requests_in_flight", 2).await;
    open.add_permits(1);
    assert_eq!(late.response().await.text(), "v0");
    assert!(edge.get("/").await.cache_status().contains("; hit"));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_failing_fetch_that_would_serve_what_is_purged() {
    let (open, of_origin) = door();
    let count = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_, mut wire| {
        let (door, number) = (Arc::clone(&of_origin), count.fetch_add(1, Ordering::SeqCst));
        async move {
            if number == 1 {
                pass(&door).await;
                wire.respond("500 Internal Server Error", "error").await;
            } else {
                let head = "200 OK\r\nCache-Control: max-age=10, stale-if-error=600\r\nSurrogate-Key: t";
                wire.respond(head, format!("v{number}")).await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.get("/").await.text(), "v0");
    edge.advance(20);
    let mut early = ask(&edge).await;
    origin.wait_for(2).await;
    edge.order(r#"{"tag": "t"}"#).await;
    let mut late = ask(&edge).await;
    assert_eq!(late.response().await.text(), "v2");
    open.add_permits(1);
    assert_eq!(early.response().await.text(), "v0", "who had asked before may have the stale one");
    assert_eq!(edge.get("/").await.text(), "v2");
}

/// The origin's content changes, a purge is accepted, and the next to ask gets nothing older, whoever else asks at the
/// same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_is_lost_under_load() {
    let version = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&version);
    let origin = Origin::start(move |seen, mut wire| {
        let version = current.load(Ordering::SeqCst);
        async move {
            if seen.field("if-none-match") == Some(&format!("\"{version}\"")) {
                wire.send("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=600\r\n\r\n").await;
            } else {
                let head = format!(
                    "200 OK\r\nCache-Control: max-age=600\r\nSurrogate-Key: t\r\nETag: \"{version}\""
                );
                wire.respond(&head, version.to_string()).await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let edge = Arc::new(TestEdge::start(origin.address).await);
    let mut load = tokio::task::JoinSet::new();
    for n in 0..8 {
        let edge = Arc::clone(&edge);
        load.spawn(async move {
            let mut client = edge.client().await;
            loop {
                client.send(format!("GET /{} HTTP/1.1\r\nHost: site.test\r\n\r\n", n % 2)).await;
                assert_eq!(client.response().await.status, 200);
            }
        });
    }
    let orders = [
        r#"{"tag": "t"}"#,
        r#"{"tag": "t", "mode": "soft"}"#,
        r#"{"url": "http://site.test/0"}"#,
        r#"{"prefix": "http://site.test/0"}"#,
        r#"{"all": true, "mode": "soft"}"#,
        r#"{"pattern": "/0*"}"#,
    ];
    for round in 1..=300 {
        version.store(round, Ordering::SeqCst);
        assert_eq!(edge.order(orders[round % orders.len()]).await.status, 200);
        let response = edge.get("/0").await;
        assert_eq!(response.text(), round.to_string(), "{}: {response:?}", orders[round % orders.len()]);
    }
    load.abort_all();
}

/// RFC 9875 section 3.
#[tokio::test]
async fn an_origin_invalidates_its_groups() {
    let (open, of_origin) = door();
    let count = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |seen, mut wire| {
        let (door, number) = (Arc::clone(&of_origin), count.fetch_add(1, Ordering::SeqCst));
        async move {
            if seen.line.starts_with("POST") {
                wire.respond("200 OK\r\nCache-Group-Invalidation: \"news\", \"home\"", "done").await;
            } else {
                let head = format!(
                    "200 OK\r\nCache-Control: max-age=600\r\nCache-Groups: {}",
                    seen.path().replace("/", "\"").replace("?", "\"")
                );
                if seen.path() == "/news?slow" {
                    pass(&door).await;
                }
                wire.respond(&head.replace("\"slow", "\"").replace("\"x", "\""), number.to_string()).await;
            }
            (wire, After::Keep)
        }
    })
    .await;
    let edge = TestEdge::start(origin.address).await;
    for path in ["/news?", "/sport?"] {
        edge.get(path).await;
    }
    is_hit(&edge, "other.test", "/news?").await;
    let mut slow = edge.client().await;
    slow.send("GET /news?slow HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.wait_for(4).await;
    assert_eq!(edge.exchange("POST", "/publish", "Content-Length: 0\r\n").await.text(), "done");
    assert!(!is_hit(&edge, "site.test", "/news?").await);
    assert!(is_hit(&edge, "site.test", "/sport?").await);
    assert!(is_hit(&edge, "other.test", "/news?").await, "another origin's group of that name");
    open.add_permits(9);
    assert_eq!(slow.response().await.status, 200);
    assert!(!is_hit(&edge, "site.test", "/news?slow").await, "it was asked for before");
    assert_eq!(edge.metric("edge_purge_groups_total"), 2);
}

fn decide(settings: &Settings) -> Arc<dyn Decisions> {
    Arc::new(Standard::new(settings.clone()))
}

/// A second customer, and a token for each of the two.
fn tokens(config: &mut Config) {
    let mut shop = CustomerConfig::new(config.customers[0].origin.clone());
    shop.name = "shop".to_owned();
    shop.hosts = vec![Host::Exact("shop.test".to_owned())];
    config.customers.push(shop);
    let text = format!("default {OWN}\nshop {SHOP} deploy\n");
    config.purge.tokens = PurgeToken::parse(&text).expect("tokens");
}

#[tokio::test]
async fn customers_purge_their_own_content_only_and_see_their_own_purges_only() {
    let origin = numbered().await;
    let edge = TestEdge::with(origin.address, tokens).await;
    edge.get("/a").await;
    is_hit(&edge, "shop.test", "/a").await;
    assert_eq!(edge.admin("POST", "/purge", OWN, r#"{"pattern": "*"}"#).await.status, 200);
    assert!(is_hit(&edge, "shop.test", "/a").await && !is_hit(&edge, "site.test", "/a").await);
    assert_eq!(edge.order(r#"{"customer": "nobody"}"#).await.status, 400);
    for order in [
        r#"{"host": "site.test"}"#,
        r#"{"url": "http://site.test/a"}"#,
        r#"{"customer": "shop"}"#,
        r#"{"pattern": "*"}"#,
    ] {
        let answer = edge.admin("POST", "/purge", SHOP, order).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(is_hit(&edge, "site.test", "/a").await, "{order} took another's content");
    }
    for (token, order, status) in [
        (SHOP, r#"{"all": true}"#, 403),
        (SHOP, r#"{"customer": "default"}"#, 403),
        (SHOP, r#"{"customer": "default", "url": "http://site.test/a"}"#, 403),
        (OWN, r#"{"all": true}"#, 403),
        ("", r#"{"all": true}"#, 401),
        ("shop-shop-shop-shoq", r#"{"all": true}"#, 401),
        ("shop", r#"{"all": true}"#, 401),
    ] {
        let answer = edge.admin("POST", "/purge", token, order).await;
        assert_eq!(answer.status, status, "{order}: {}", answer.text());
        assert!(is_hit(&edge, "site.test", "/a").await);
    }
    is_hit(&edge, "shop.test", "/a").await;
    let own = edge.admin("POST", "/purge", OWN, r#"{"prefix": "/a", "id": "mine"}"#).await;
    assert_eq!((&own.json()["by"], &own.json()["customer"]), (&json!("default/default"), &json!("default")));
    assert!(!is_hit(&edge, "site.test", "/a").await && is_hit(&edge, "shop.test", "/a").await);
    assert_eq!(
        edge.admin("POST", "/purge", SHOP, r#"{"url": "http://shop.test/a"}"#).await.json()["purged"],
        1
    );
    let show = async |token: &str, path: &str| edge.admin("GET", path, token, "").await;
    assert_eq!(show(OWN, "/purge/mine").await.json()["prefix"], "/a");
    assert_eq!(show(SHOP, "/purge/mine").await.status, 404);
    assert_eq!(show(SHOP, "/purge/mine?owner=default").await.status, 404);
    assert_eq!(show(TOKEN, "/purge/mine").await.status, 404);
    assert_eq!(show(TOKEN, "/purge/mine?owner=default").await.json()["prefix"], "/a");
    assert_eq!(edge.admin("DELETE", "/purge/mine", SHOP, "").await.status, 404);
    let count = |list: &Value| list["purges"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&show(SHOP, "/purge").await.json()), 5);
    assert_eq!(count(&show(OWN, "/purge").await.json()), 2);
    assert_eq!(count(&show(TOKEN, "/purge").await.json()), 7);
    assert_eq!(show(SHOP, "/status").await.status, 403);
    assert_eq!(show(SHOP, "/metrics").await.status, 200);
}

#[tokio::test]
async fn a_purge_can_be_asked_about_repeated_scheduled_and_cancelled() {
    let origin = numbered().await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/a").await;
    let first = edge.order(r#"{"url": "http://site.test/a", "id": "once"}"#).await;
    assert_eq!((first.status, first.field("location")), (200, Some("/purge/once")));
    edge.get("/a").await;
    let again = edge.order(r#"{"url": "http://site.test/a", "id": "once"}"#).await;
    for member in ["purged", "accepted", "since", "url", "mode"] {
        assert_eq!(again.json()[member], first.json()[member]);
    }
    assert!(is_hit(&edge, "site.test", "/a").await, "nothing was done twice");
    assert_eq!(edge.order(r#"{"url": "http://site.test/b", "id": "once"}"#).await.status, 409);

    let later = edge.order(r#"{"host": "site.test", "id": "later", "at": "2026-01-01T01:00:00Z"}"#).await;
    assert_eq!((later.status, &later.json()["state"]), (202, &json!("scheduled")));
    let never = edge.order(r#"{"all": true, "id": "never", "at": "2026-01-01T01:00:00Z"}"#).await;
    assert_eq!(never.status, 202);
    let cancelled = edge.admin("DELETE", "/purge/never", TOKEN, "").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("cancelled")));
    edge.advance(3599);
    // The clients' clock is the edge's: kept from going stale meanwhile.
    edge.get("/a").await;
    is_hit(&edge, "other.test", "/a").await;
    assert!(is_hit(&edge, "site.test", "/a").await);
    edge.advance(1);
    assert!(!is_hit(&edge, "site.test", "/a").await, "from the first request at its time on");
    assert!(is_hit(&edge, "other.test", "/a").await);
    assert_eq!(edge.admin("DELETE", "/purge/later", TOKEN, "").await.status, 409);
    let shown = edge.admin("GET", "/purge/later", TOKEN, "").await.json();
    assert_eq!(shown["since"], "2026-01-01T01:00:00.000Z");
    assert_eq!(edge.admin("GET", "/purge/unknown", TOKEN, "").await.status, 404);
    assert_eq!(edge.admin("GET", "/purge?limit=0", TOKEN, "").await.status, 400);
    let list = edge.admin("GET", "/purge?limit=2", TOKEN, "").await.json();
    assert_eq!((&list["purges"][0]["id"], &list["purges"][1]["id"]), (&json!("never"), &json!("later")));
    let rest = edge.admin("GET", &format!("/purge?before={}", list["before"]), TOKEN, "").await.json();
    assert_eq!((&rest["purges"][0]["id"], &rest["before"]), (&json!("once"), &Value::Null));
    assert_eq!(edge.admin("PUT", "/purge/once", TOKEN, "").await.status, 405);
}

#[tokio::test]
async fn a_scheduled_purge_comes_into_force_without_any_request() {
    let origin = numbered().await;
    let edge = TestEdge::start(origin.address).await;
    edge.get("/a").await;
    edge.order(r#"{"all": true, "at": "2026-01-01T00:01:00Z", "id": "x"}"#).await;
    edge.advance(3600);
    edge.until("edge_purges_fired_total", 1).await;
    edge.until("edge_store_objects", 0).await;
}

#[tokio::test]
async fn what_is_purged_leaves_memory_and_then_the_purge_does() {
    let origin = numbered().await;
    let edge = TestEdge::start(origin.address).await;
    for n in 0..50 {
        edge.get(&format!("/{n}?Surrogate-Key=t")).await;
        edge.get(&format!("/{n}")).await;
    }
    assert_eq!(edge.metric("edge_store_objects"), 100);
    edge.order(r#"{"tag": "t", "id": "x"}"#).await;
    edge.until("edge_store_objects", 50).await;
    edge.until("edge_purge_names", 0).await;
    assert_eq!(edge.admin("GET", "/purge/x", TOKEN, "").await.json()["state"], "compacted");
    assert_eq!(edge.metric("edge_store_purged_total"), 50);
    assert!(is_hit(&edge, "site.test", "/7").await);
}

#[tokio::test]
async fn orders_are_limited_in_size_number_and_rate() {
    let origin = numbered().await;
    let edge = TestEdge::with(origin.address, |config| {
        tokens(config);
        config.purge.limits = Limits { patterns: 2, rate: 10, ..Limits::default() };
    })
    .await;
    let pattern = |n: usize| format!("{{\"pattern\": \"/{n}*\", \"at\": \"2027-01-01T00:00:00Z\"}}");
    for n in 0..2 {
        assert_eq!(edge.order(&pattern(n)).await.status, 202);
    }
    let full = edge.order(&pattern(2)).await;
    assert_eq!((full.status, full.field("retry-after")), (503, Some("10")));
    assert!(full.text().contains("coarser"), "{}", full.text());
    assert_eq!(edge.order(r#"{"pattern": "/2*", "coarser": true}"#).await.json()["prefix"], "/");
    assert_eq!(edge.order(r#"{"tags": ["1", "2", "3", "4", "5", "6"]}"#).await.status, 200);
    let often = edge.order(r#"{"tag": "7"}"#).await;
    assert_eq!((often.status, often.field("retry-after")), (429, Some("1")));
    assert_eq!(
        edge.admin("POST", "/purge", OWN, r#"{"tag": "7"}"#).await.status,
        200,
        "others have their own"
    );
    edge.advance(1);
    assert_eq!(edge.order(r#"{"tag": "7"}"#).await.status, 200);
    let large = format!("{{\"tags\": [\"{}\"]}}", "x".repeat(70_000));
    assert_eq!(edge.order(&large).await.status, 413);
}

async fn config(origin: &Origin, folder: &std::path::Path) -> impl FnOnce(&mut Config) {
    let _ = origin;
    let folder = folder.to_owned();
    move |config| config.purge.folder = Some(folder)
}

#[tokio::test]
async fn purges_survive_a_restart_of_the_edge_and_the_folder_is_for_one() {
    let origin = numbered().await;
    let folder = tempfile::tempdir().expect("folder");
    let mut edge = TestEdge::with(origin.address, config(&origin, folder.path()).await).await;
    edge.get("/a").await;
    let first = edge.order(r#"{"url": "http://site.test/a", "id": "x"}"#).await.json();
    assert_eq!((&first["durable"], &first["purged"]), (&json!(true), &json!(1)));
    edge.order(r#"{"all": true, "id": "later", "at": "2026-01-01T00:01:00Z"}"#).await;
    let mut second = Config::new(edge.address, "a:1".parse().expect("authority"));
    second.listen = Some(([127, 0, 0, 1], 0).into());
    second.purge.folder = Some(folder.path().to_owned());
    let refused = bind(second, decide, Clock::manual(START));
    match refused.err() {
        Some(error @ StartError::PurgeLog(_)) => {
            assert!(error.to_string().contains("in use by another edge"))
        }
        other => panic!("{other:?}"),
    }
    soon("the end", edge.stop()).await.expect("stopped");
    drop(edge);
    let edge = TestEdge::with(origin.address, config(&origin, folder.path()).await).await;
    let again = edge.order(r#"{"url": "http://site.test/a", "id": "x"}"#).await.json();
    assert_eq!((&again["purged"], &again["accepted"]), (&json!(1), &first["accepted"]));
    edge.get("/b").await;
    edge.advance(60);
    assert!(!is_hit(&edge, "site.test", "/b").await, "it was scheduled before the restart");
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(folder.path().join(name)).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode("purge.log"), 0o600, "it is nobody else's business who purges what");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_stops_the_edge_from_starting() {
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "a:1".parse().expect("authority"));
    config.purge.folder = Some("/dev/null/purges".into());
    let error = bind(config, decide, Clock::manual(START)).err();
    assert!(error.is_some_and(|error| error.to_string().contains("/dev/null/purges")));
}

#[tokio::test]
async fn purging_does_not_wait_behind_a_slow_client() {
    // Orders go through blocking threads; the listener answers others meanwhile.
    let origin = numbered().await;
    let edge = TestEdge::start(origin.address).await;
    let mut slow = Client::connect(edge.admin).await;
    slow.send(format!(
        "POST /purge HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 20\r\n\r\n{{"
    ))
    .await;
    let quick = tokio::time::timeout(Duration::from_secs(5), edge.order(r#"{"tag": "t"}"#)).await;
    assert_eq!(quick.expect("in time").status, 200);
}
