//! What is sent again, to whom, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::support::{After, Origin};
use http::StatusCode;

use super::*;

#[tokio::test]
async fn what_an_origin_may_have_acted_on_is_sent_again_only_where_that_is_harmless() {
    let check = async |method: &str, rest: &str, expected: u16| {
        let (bad, well) = (resetting().await, named("well").await);
        let edge = edge(vec![primary(bad.address), backup(well.address)], |_| {}).await;
        let response = edge.exchange(method, "/", rest).await;
        assert_eq!(response.status, expected, "{method} {rest:?}: {}", response.cache_status());
        assert_eq!(bad.requests(), 1, "{method}: the same origin is not asked again");
        assert_eq!(well.requests(), usize::from(expected == 200), "{method}");
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        check(method, "", 200).await;
    }
    check("POST", "", 502).await;
    check("PATCH", "", 502).await;
    check("PUT", "Content-Length: 2\r\n\r\nok", 502).await;
}

#[tokio::test]
async fn what_never_left_goes_to_another_with_its_content() {
    let well = Origin::start(|seen, mut wire| async move {
        wire.respond(PAGE, seen.body).await;
        (wire, After::Keep)
    })
    .await;
    let edge = edge(vec![primary(nobody().await), backup(well.address)], |_| {}).await;
    let content = "Content-Length: 5\r\n\r\nhello";
    assert_eq!(edge.exchange("POST", "/", content).await.text(), "hello");
    let content = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
    assert_eq!(edge.exchange("POST", "/", content).await.text(), "hello");
}

#[tokio::test]
async fn a_single_origin_is_asked_once() {
    let bad = resetting().await;
    let edge = edge(vec![primary(bad.address)], |group| {
        group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    })
    .await;
    for n in 1..10 {
        assert_eq!(edge.get("/").await.status, 502);
        assert_eq!(bad.requests(), n);
    }
    assert_eq!(states(&edge).await, ["up"], "there is nobody else to ask");
}

#[tokio::test]
async fn what_the_client_has_seen_the_beginning_of_is_not_sent_again() {
    let bad = Origin::start(|seen, mut wire| async move {
        match seen.path() {
            "/hints" => wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await,
            "/part" => wire.send("HTTP/1.1 200 OK\r\nCont").await,
            "/hints-503" => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
                wire.respond("503 Service Unavailable", "busy").await;
            }
            _ => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await,
        }
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(bad.address), backup(well.address)], |group| {
        group.retry.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
        group.ejection.failures = 100;
    })
    .await;
    for (path, status, interims) in
        [("/hints", 502, 1), ("/part", 502, 0), ("/hints-503", 503, 1), ("/short", 200, 0)]
    {
        let response = edge.get(path).await;
        assert_eq!((response.status, response.interim.len()), (status, interims), "{path}");
    }
    assert_eq!((bad.requests(), well.requests()), (4, 0));
}

#[tokio::test]
async fn what_an_origin_is_slow_with_is_not_sent_again() {
    let slow = Origin::start(|_, mut wire| async move {
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let well = named("well").await;
    let edge = edge(vec![primary(slow.address), backup(well.address)], |group| {
        group.limits.response = Duration::from_millis(100);
    })
    .await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await.status, 504);
    }
    assert_eq!(edge.get("/").await.text(), "well", "it is ejected for it");
    assert_eq!(slow.requests(), 5);
}

#[tokio::test]
async fn retries_have_a_budget() {
    let (bad, well) = (resetting().await, named("well").await);
    let edge = edge(vec![primary(bad.address), backup(well.address)], |group| {
        group.retry.share = 10;
        group.retry.reserve = 3;
        group.ejection.failures = 1000;
        group.ejection.requests = 1000;
    })
    .await;
    let mut answered = 0;
    for _ in 0..40 {
        answered += usize::from(edge.get("/").await.status == 200);
    }
    assert_eq!(answered, 3 + 40 / 10 - 1, "the reserve, and a tenth of the rest");
    assert_eq!(edge.metric("edge_origin_retries_total"), answered as u64);
    assert_eq!(edge.metric("edge_origin_retries_denied_total"), 40 - answered as u64);
    assert_eq!(bad.requests(), 40);
}

#[tokio::test]
async fn tries_are_bounded() {
    let mut group = Vec::new();
    for _ in 0..6 {
        group.push(primary(nobody().await));
    }
    let edge = edge(group, |group| group.retry.origins = 4).await;
    let response = edge.get("/").await;
    assert!(response.proxy_status().contains("connection_refused"), "{}", response.proxy_status());
    let asked: u64 =
        status(&edge).await.iter().map(|origin| origin["requests"].as_u64().expect("number")).sum();
    assert_eq!((response.status, asked), (502, 4));
}

/// Whatever is wrong with the origin: a stored response that allows it stands in.
#[tokio::test]
async fn stale_responses_stand_in_for_every_kind_of_failure() {
    let mode = Arc::new(AtomicUsize::new(0));
    let kind = Arc::clone(&mode);
    let origin = Origin::start(move |_, mut wire| {
        let mode = kind.load(Ordering::SeqCst);
        async move {
            match mode {
                0 => {
                    wire.respond("200 OK\r\nCache-Control: max-age=1, stale-if-error=1000", "stored").await;
                    return (wire, After::Close);
                }
                1 => wire.reset(),
                2 => wire.until_closed().await,
                3 => {
                    wire.send(
                        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    )
                    .await
                }
                4 => wire.send("nonsense\r\n\r\n").await,
                5 => wire.send("HTTP/1.1 200 OK\r\nX: ").await,
                _ => wire.respond("500 Oh", "oh").await,
            }
            (wire, After::Close)
        }
    })
    .await;
    // The origin alone, and with a second one that is dead, so that both are ejected in the end.
    for others in [0, 1] {
        mode.store(0, Ordering::SeqCst);
        let mut group = vec![primary(origin.address)];
        for _ in 0..others {
            group.push(backup(nobody().await));
        }
        let edge = edge(group, |group| {
            group.limits.response = Duration::from_millis(100);
            group.ejection.failures = 2;
        })
        .await;
        assert_eq!(edge.get("/").await.text(), "stored");
        edge.advance(5);
        for (kind, errors) in [
            (1, &["connection_terminated", "http_response_incomplete", "connection_refused"][..]),
            (2, &["http_response_timeout"]),
            (3, &["http_protocol_error"]),
            (4, &["http_protocol_error"]),
            (5, &["http_response_incomplete"]),
            (6, &[]),
        ] {
            mode.store(kind, Ordering::SeqCst);
            let response = edge.get("/").await;
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "stored"),
                "{kind}, {others} others"
            );
            let said = response.cache_status();
            assert!(errors.is_empty() || errors.iter().any(|error| said.contains(error)), "{kind}: {said}");
            if kind == 5 && others > 0 {
                assert_eq!(states(&edge).await, ["ejected", "ejected"]);
            }
        }
    }
    // Refused: somebody who answers once, and is gone.
    let listener = listener().await;
    let edge = edge(vec![primary(listener.local_addr().expect("address"))], |_| {}).await;
    let answer = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=1, stale-if-error=1000\r\nContent-Length: 6\r\n\r\nstored";
        let _ = stream.write_all(text.as_bytes()).await;
    };
    let (first, ()) = tokio::join!(edge.get("/"), answer);
    assert_eq!(first.text(), "stored");
    drop(listener);
    edge.advance(5);
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "stored"));
    assert!(response.proxy_status().contains("connection_refused"), "{}", response.proxy_status());
}
