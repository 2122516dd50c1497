//! Which origin is asked, which is passed over, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::{After, Client, Origin, pattern, soon};
use edge::{OriginConfig, OriginGroupConfig};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn each_origin_gets_its_share() {
    let origins = [named("a").await, named("b").await, named("c").await];
    let mut group: Vec<OriginConfig> = origins.iter().map(|origin| primary(origin.address)).collect();
    group[1].weight = 2;
    let edge = edge(group, |_| {}).await;
    let mut client = edge.client().await;
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        assert_eq!(client.response().await.status, 200);
    }
    let counts: Vec<usize> = origins.iter().map(Origin::requests).collect();
    for (count, due) in counts.iter().zip([50_usize, 100, 50]) {
        assert!(count.abs_diff(due) <= 5, "{counts:?}");
    }
}

#[tokio::test]
async fn a_dead_origin_costs_no_request_is_ejected_and_comes_back() {
    let (dead, well) = (nobody().await, named("well").await);
    let edge = edge(vec![primary(dead), primary(well.address)], |_| {}).await;
    for n in 0..40 {
        let response = edge.exchange(["GET", "POST"][n % 2], "/", "").await;
        assert_eq!((response.status, response.text().as_str()), (200, "well"));
    }
    assert_eq!(states(&edge).await, ["ejected", "up"]);
    assert_eq!(metric(&edge, "edge_origin_up", 1), 0);
    assert_eq!(metric(&edge, "edge_origin_ejections_total", 1), 1);
    assert_eq!(metric(&edge, "edge_origin_failed_total", 1), 5, "then it was left alone");
    assert_eq!(edge.metric("edge_origin_retries_total"), 5);
    let what = status(&edge).await[0]["last_change"]["what"].as_str().expect("text").to_owned();
    assert_eq!(what, "ejected for 5 s: 5 failures in a row");

    // Its time is over: one request tries it, and it is out for twice as long.
    edge.advance(5);
    assert_eq!(states(&edge).await, ["on_trial", "up"]);
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    assert_eq!(metric(&edge, "edge_origin_failed_total", 1), 6);
    edge.advance(9);
    assert_eq!(states(&edge).await, ["ejected", "up"]);

    // It lives again.
    let listener = TcpListener::bind(dead).await.expect("bind");
    let revived = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let answer =
                        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 7\r\n\r\nrevived";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    edge.advance(1);
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..10 {
        texts.insert(edge.get("/").await.text());
    }
    assert_eq!(texts.into_iter().collect::<Vec<_>>(), ["revived", "well"]);
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(metric(&edge, "edge_origin_ejections_total", 1), 2);
    revived.abort();
}

#[tokio::test]
async fn when_all_are_ejected_the_least_bad_is_tried() {
    let fail = Arc::new(AtomicBool::new(true));
    let failing = |name: &'static str, fail: Arc<AtomicBool>| {
        Origin::start(move |_, mut wire| {
            let fail = fail.load(Ordering::SeqCst);
            async move {
                if fail {
                    wire.reset();
                    return (wire, After::Close);
                }
                wire.respond(PAGE, name).await;
                (wire, After::Keep)
            }
        })
    };
    let (one, two) = (failing("one", Arc::clone(&fail)).await, failing("two", Arc::clone(&fail)).await);
    let edge =
        edge(vec![primary(one.address), backup(two.address)], |group| group.ejection.failures = 1).await;
    assert_eq!(edge.get("/").await.status, 502);
    assert_eq!(states(&edge).await, ["ejected", "ejected"]);
    assert_eq!(edge.get("/").await.status, 502, "it was tried");
    fail.store(false, Ordering::SeqCst);
    assert_eq!(edge.get("/").await.text(), "one", "and is well again as soon as it answers");
    assert_eq!(states(&edge).await, ["up", "ejected"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_dies_under_load_costs_no_request() {
    let dies = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dies);
    let mortal = Origin::start(move |_, mut wire| {
        let flag = Arc::clone(&flag);
        async move {
            if flag.load(Ordering::SeqCst) {
                wire.reset();
                return (wire, After::Close);
            }
            wire.respond(PAGE, pattern(5000)).await;
            (wire, After::Keep)
        }
    })
    .await;
    let well = Origin::start(|_, mut wire| async move {
        wire.respond(PAGE, pattern(5000)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = edge_of(&[mortal.address, well.address], |_| {}).await;
    let (address, done) = (edge.address, Arc::new(AtomicBool::new(false)));
    let mut loads = tokio::task::JoinSet::new();
    for n in 0..24 {
        let done = Arc::clone(&done);
        loads.spawn(async move {
            let whole = pattern(5000);
            let mut client = Client::connect(address).await;
            let mut answered = 0;
            while !done.load(Ordering::SeqCst) {
                client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
                let response = client.response().await;
                assert!(
                    response.status == 200 && response.complete && response.body == whole,
                    "{response:?}"
                );
                answered += 1;
            }
            answered
        });
    }
    mortal.wait_for(500).await;
    dies.store(true, Ordering::SeqCst);
    drop(mortal);
    let from = well.requests();
    well.wait_for(from + 1000).await;
    done.store(true, Ordering::SeqCst);
    let mut answered = 0;
    while let Some(load) = soon("the load's end", loads.join_next()).await {
        answered += load.expect("every request was answered");
    }
    assert!(answered >= 1500, "{answered}");
    assert_eq!(states(&edge).await, ["ejected", "up"]);
    assert!(edge.metric("edge_origin_retries_total") >= 5);
}

#[tokio::test]
async fn one_request_at_a_time_tries_an_origin_whose_time_is_over() {
    let door = Arc::new(Semaphore::new(0));
    let (opened, fail) = (Arc::clone(&door), Arc::new(AtomicBool::new(true)));
    let flag = Arc::clone(&fail);
    let sick = Origin::start(move |_, mut wire| {
        let (opened, fail) = (Arc::clone(&opened), flag.load(Ordering::SeqCst));
        async move {
            if fail {
                wire.reset();
                return (wire, After::Close);
            }
            opened.acquire().await.expect("open").forget();
            wire.respond(PAGE, "well again").await;
            (wire, After::Keep)
        }
    })
    .await;
    let well = named("well").await;
    let edge =
        edge(vec![primary(sick.address), backup(well.address)], |group| group.ejection.failures = 1).await;
    assert_eq!(edge.get("/").await.text(), "well");
    edge.advance(5);
    fail.store(false, Ordering::SeqCst);
    let mut trial = edge.client().await;
    trial.send("POST /trial HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    sick.wait_for(2).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.text(), "well");
    }
    // A client that leaves decides nothing, and makes room for another trial.
    trial.reset();
    edge.until("edge_requests_in_flight", 0).await;
    let mut trial = edge.client().await;
    trial.send("POST /trial HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    sick.wait_for(3).await;
    assert_eq!(edge.get("/").await.text(), "well");
    door.add_permits(9);
    assert_eq!(trial.response().await.text(), "well again");
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(edge.get("/").await.text(), "well again");
}

#[tokio::test]
async fn statuses_are_failures_only_where_configured() {
    let busy = || {
        Origin::start(|_, mut wire| async move {
            wire.respond("503 Service Unavailable\r\nRetry-After: 120\r\nCache-Control: no-store", "busy")
                .await;
            (wire, After::Keep)
        })
    };
    let (bad, well) = (busy().await, named("well").await);
    let off = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
    for _ in 0..10 {
        assert_eq!(off.get("/").await.status, 503);
    }
    assert_eq!(states(&off).await, ["up", "up"]);

    let on = |group: &mut OriginGroupConfig| group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    let edge = edge(vec![primary(bad.address), backup(well.address)], on).await;
    assert_eq!(edge.exchange("POST", "/", "").await.status, 503, "a POST was answered, whatever with");
    assert_eq!(states(&edge).await, ["ejected", "up"], "it asked for that");
    assert_eq!(status(&edge).await[0]["seconds_out"], 120);
    edge.advance(120);
    assert_eq!(edge.get("/").await.text(), "well");
    assert_eq!(states(&edge).await, ["ejected", "up"]);

    // Where nobody does better, the client gets what the origin said.
    let (one, two) = (busy().await, busy().await);
    let edge = edge_of(&[one.address, two.address], on).await;
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (503, "busy"));
    assert_eq!(response.field("retry-after"), Some("120"));
    assert_eq!(one.requests() + two.requests(), 2);
}

#[tokio::test]
async fn content_that_breaks_off_counts_against_an_origin() {
    let bad = Origin::start(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9\r\n\r\nabc").await;
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
    for _ in 0..5 {
        assert!(!edge.get("/").await.complete);
    }
    assert_eq!(edge.get("/").await.text(), "well");
}

#[tokio::test]
async fn a_client_that_spoils_its_request_tells_nothing_about_the_origin() {
    let origin = named("page").await;
    let other = named("other").await;
    let edge =
        edge(vec![primary(origin.address), backup(other.address)], |group| group.ejection.failures = 1).await;
    for _ in 0..5 {
        let mut client = edge.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        client.send("what?\r\n").await;
        assert_eq!(client.response().await.status, 400);
    }
    assert_eq!(states(&edge).await, ["up", "up"]);
    assert_eq!(edge.get("/").await.text(), "page");
}

#[tokio::test]
async fn requests_go_where_the_configuration_says() {
    let (elsewhere, origin) = (named("elsewhere").await, {
        Origin::start(|_, mut wire| async move {
            let to = "302 Found\r\nLocation: http://127.0.0.1:1/\r\nCache-Control: no-store";
            wire.respond(to, "origin").await;
            (wire, After::Keep)
        })
        .await
    });
    let edge = edge(vec![primary(origin.address)], |_| {}).await;
    let other = elsewhere.address;
    for head in [
        format!("GET http://{other}/ HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: {other}\r\nForwarded: host={other}\r\n\r\n"),
    ] {
        let mut client = edge.client().await;
        client.send(&head).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text().as_str()), (302, "origin"), "{head}");
    }
    assert_eq!((origin.requests(), elsewhere.requests()), (3, 0), "nor is a redirect followed");
}
