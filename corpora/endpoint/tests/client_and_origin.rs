//! Client and origin against each other on real sockets.

#![expect(clippy::unwrap_used, reason = "a test that panics says where")]

use endpoint::{Client, Error, Events, Filler, Origin, Script, Settings, fetch};
use exchange::{Ending, Fields, Request, Response, Version};
use std::time::Duration;
use wire::{Anomaly, Close, Framing, Message};

fn get(target: &str) -> Request {
    Request::new("GET", target.to_owned(), [("Host", "a.test")].into_iter().collect())
}

fn impatient() -> Settings {
    Settings::with_deadline(Duration::from_millis(500))
}

async fn origin() -> Origin {
    Origin::local(Settings::default()).await.unwrap()
}

async fn client(origin: &Origin) -> Client {
    Client::connect(origin.address(), &Settings::default())
        .await
        .unwrap()
        .with_events(origin.events().clone())
}

fn text(response: &Response) -> String {
    exchange::escape(response.body.bytes.as_ref().unwrap())
}

#[tokio::test]
async fn routes_answer_by_longest_prefix_until_dropped() {
    let origin = origin().await;
    let answer = |text: &'static str| move |_: &endpoint::Received| Message::response(200).body(text).into();
    let _short = origin.route("/a", answer("short"));
    let long = origin.route("/a/b", answer("long"));
    let settings = Settings::default();
    for (path, expected) in [("/a/x", "200 short"), ("/a/b?q", "200 long"), ("/c", "404 ")] {
        let reply = fetch(origin.address(), &get(path), &settings).await.unwrap();
        assert_eq!(format!("{} {}", reply.response.status, text(&reply.response)), expected, "{path}");
    }
    assert_eq!(long.count(), 1);
    drop(long);
    let reply = fetch(origin.address(), &get("/a/b"), &settings).await.unwrap();
    assert_eq!(text(&reply.response), "short");
    assert_eq!(origin.unrouted()[0].request.target, "/c");
    origin.otherwise(|received| Message::response(200).body(&received.request.target).into());
    let reply = fetch(origin.address(), &get("/c"), &settings).await.unwrap();
    assert_eq!(text(&reply.response), "/c");
}

#[tokio::test]
async fn one_connection_carries_many_requests_pipelined_too() {
    let origin = origin().await;
    let scripts = (0..4).map(|n| Message::response(200).body(n.to_string()).into());
    let route = origin.scripts("/", scripts);
    let mut client = client(&origin).await;
    client.request(&get("/0")).await.unwrap();
    assert_eq!(text(&client.response().await.unwrap().response), "0");
    let rest: Vec<u8> = (1..6).flat_map(|n| wire::write::request(&get(&format!("/{n}")))).collect();
    client.send(rest).await.unwrap();
    for expected in ["1", "2", "3", "3", "3"] {
        assert_eq!(text(&client.response().await.unwrap().response), expected);
    }
    let seen = route.wait_for(6).await.unwrap();
    let streams: Vec<u64> = seen.iter().map(|r| r.request.seen.stream).collect();
    assert_eq!(streams, [0, 1, 2, 3, 4, 5]);
    assert_eq!(origin.connections().opened, 1);
}

#[tokio::test]
async fn interim_responses_trailers_and_oddities_come_through() {
    let origin = origin().await;
    let _route = origin.route("/", |_| {
        Script::new().message(Message::response(103).field("Link", "</a>")).message(
            Message::response(200)
                .line("X-Odd : 1")
                .field("Transfer-Encoding", "chunked")
                .chunk_as("3;a=b", "abc")
                .trailers([("Sum", "1")]),
        )
    });
    let mut client = client(&origin).await;
    client.request(&get("/")).await.unwrap();
    assert_eq!(client.head().await.unwrap().status(), Some(103));
    assert_eq!(client.head().await.unwrap().framing, Framing::Chunked);
    let reply = client.response().await.unwrap();
    assert_eq!(text(&reply.response), "abc");
    assert_eq!(reply.response.interim[0].status, 103);
    assert_eq!(reply.response.trailers, [("Sum", "1")].into_iter().collect::<Fields>());
    let expected = [Anomaly::SpaceBeforeColon("X-Odd".into()), Anomaly::ChunkExtension];
    assert_eq!(reply.notes.anomalies, expected);
    assert!(reply.response.seen.start <= reply.response.seen.end.unwrap());
    assert_eq!(client.raw().len() as u64, client.received());
}

#[tokio::test]
async fn head_has_no_body_and_the_connection_goes_on() {
    let origin = origin().await;
    let _route = origin.route("/", |received| {
        let fields: Fields = [("Content-Length", "4")].into_iter().collect();
        let response = Response::new(200, fields, exchange::Body::complete("body"));
        Script::answer(&received.request, &response)
    });
    let mut client = client(&origin).await;
    client.request(&Request { method: "HEAD".into(), ..get("/") }).await.unwrap();
    client.request(&get("/")).await.unwrap();
    assert_eq!(text(&client.response().await.unwrap().response), "");
    assert_eq!(text(&client.response().await.unwrap().response), "body");
}

#[tokio::test]
async fn answers_that_need_a_close_are_closed() {
    let origin = origin().await;
    let _route = origin.route("/", |received| {
        let response = Response::new(200, Fields::new(), exchange::Body::complete("to the end"));
        Script::answer(&received.request, &response)
    });
    let reply = fetch(origin.address(), &get("/"), &Settings::default()).await.unwrap();
    assert_eq!(
        (text(&reply.response).as_str(), reply.response.body.ending),
        ("to the end", Ending::Complete)
    );
    assert_eq!(reply.notes.closed, Some(Close::Fin));

    let _kept = origin.route("/kept", |_| Message::response(200).body("x").into());
    for (version, fields) in
        [(Version::Http10, "Host: a\r\n"), (Version::Http11, "Host: a\r\nConnection: close\r\n")]
    {
        let mut client = client(&origin).await;
        client.send(format!("GET /kept {version}\r\n{fields}\r\n")).await.unwrap();
        client.response().await.unwrap();
        assert_eq!(client.closed().await.unwrap(), Close::Fin);
    }
}

#[tokio::test]
async fn truncated_and_reset_answers_say_so() {
    let origin = origin().await;
    let short = Message::response(200).field("Content-Length", "10").content("only").bytes();
    let _cut = origin.scripts("/cut", [Script::from(short.clone()).close()]);
    let _reset = origin.scripts("/reset", [Script::from(short).wait("seen").reset()]);
    let reply = fetch(origin.address(), &get("/cut"), &Settings::default()).await.unwrap();
    assert_eq!((text(&reply.response).as_str(), reply.response.body.ending), ("only", Ending::Truncated));

    let mut client = client(&origin).await;
    client.request(&get("/reset")).await.unwrap();
    client.body_bytes(4).await.unwrap();
    origin.events().signal("seen");
    let reply = client.response().await.unwrap();
    assert_eq!(reply.response.body.ending, Ending::Reset);
    assert_eq!(client.closed().await.unwrap(), Close::Reset);
}

#[tokio::test]
async fn expect_100_continue_is_answered_unless_the_route_decides() {
    let origin = origin().await;
    let upload = origin.route("/auto", |received| {
        Message::response(200).body(received.request.body.length.to_string()).into()
    });
    let _refuse = origin.route_at_head("/refuse", |_| Script::from(Message::response(417).body("")).close());
    let head = |path: &str| {
        format!("PUT {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    let mut first = client(&origin).await;
    first.send(head("/auto")).await.unwrap();
    assert_eq!(first.head().await.unwrap().status(), Some(100));
    first.send("12345").await.unwrap();
    assert_eq!(text(&first.response().await.unwrap().response), "5");
    assert_eq!(upload.requests()[0].request.body.whole().unwrap(), "12345");

    let mut second = client(&origin).await;
    second.send(head("/refuse")).await.unwrap();
    assert_eq!(second.response().await.unwrap().response.status, 417);
}

#[tokio::test]
async fn answers_while_the_request_still_comes() {
    let origin = origin().await;
    let route = origin.route_at_head("/", |received| {
        assert_eq!(received.request.body.ending, Ending::Truncated);
        Script::from(Message::response(200).field("Content-Length", "2").content("a"))
            .request_end()
            .signal("all here")
            .send("b")
    });
    let mut client = client(&origin).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1").await.unwrap();
    client.body_bytes(1).await.unwrap();
    route.wait_for_heads(1).await.unwrap();
    assert_eq!((route.count(), origin.events().count("all here")), (0, 0));
    client.send("23").await.unwrap();
    assert_eq!(text(&client.response().await.unwrap().response), "ab");
    assert_eq!(route.wait_for(1).await.unwrap()[0].request.body.whole().unwrap(), "123");
}

#[tokio::test]
async fn half_closed_clients_get_their_answer() {
    let origin = origin().await;
    let _route = origin.route("/", |_| Message::response(200).body("still").into());
    let mut client = client(&origin).await;
    client.request(&get("/")).await.unwrap();
    client.half_close().await.unwrap();
    assert_eq!(text(&client.response().await.unwrap().response), "still");
    assert_eq!(client.closed().await.unwrap(), Close::Fin);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request() {
    let origin = origin().await;
    let route = origin.route("/", |_| Message::response(200).body("").into());
    for reset in [false, true] {
        let mut client = client(&origin).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await.unwrap();
        route.wait_for_heads(1 + u64::from(reset)).await.unwrap();
        if reset {
            client.reset().await;
        }
    }
    let seen = route.wait_for(2).await.unwrap();
    let endings: Vec<Ending> = seen.iter().map(|r| r.request.body.ending).collect();
    assert_eq!(endings, [Ending::Truncated, Ending::Reset]);
}

#[tokio::test]
async fn huge_bodies_pass_without_being_held() {
    const LENGTH: u64 = 64 << 20;
    let origin = origin().await;
    let _plain = origin.route("/plain", |_| {
        Script::from(Message::response(200).field("Content-Length", LENGTH.to_string()).end_head())
            .fill(1, LENGTH)
    });
    let _chunked = origin.route("/chunked", |_| {
        Script::from(Message::response(200).field("Transfer-Encoding", "chunked").end_head())
            .fill_chunked(2, LENGTH)
            .send("0\r\n\r\n")
    });
    for (path, seed) in [("/plain", 1), ("/chunked", 2)] {
        let reply = fetch(origin.address(), &get(path), &Settings::default()).await.unwrap();
        assert_eq!(reply.response.body.length, LENGTH);
        assert_eq!(reply.response.body.sha256, Filler::sha256(seed, LENGTH));
        assert_eq!(reply.response.body.bytes.unwrap().len(), 1 << 20);
    }
    // And the other way round.
    let upload = origin.route("/up", |_| Message::response(200).body("").into());
    let mut client = client(&origin).await;
    let head = format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    client.play(&Script::new().send(head).fill(3, LENGTH)).await.unwrap();
    client.response().await.unwrap();
    assert_eq!(upload.requests()[0].request.body.sha256, Filler::sha256(3, LENGTH));
}

#[tokio::test]
async fn a_trickle_arrives_whole() {
    let origin = origin().await;
    let _route = origin.route("/", |_| {
        Script::new().trickle(Message::response(200).body("drop by drop").bytes(), Duration::from_micros(100))
    });
    let reply = fetch(origin.address(), &get("/"), &Settings::default()).await.unwrap();
    assert_eq!(text(&reply.response), "drop by drop");
}

#[tokio::test]
async fn both_may_send_at_once_without_blocking_each_other() {
    const LENGTH: u64 = 16 << 20;
    let origin = origin().await;
    let route = origin.route_at_head("/", |_| {
        Script::from(Message::response(200).field("Content-Length", LENGTH.to_string()).end_head())
            .fill(1, LENGTH)
            .request_end()
    });
    let mut client = client(&origin).await;
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
    client.play(&Script::new().send(head).fill(1, LENGTH)).await.unwrap();
    assert_eq!(client.response().await.unwrap().response.body.sha256, Filler::sha256(1, LENGTH));
    assert_eq!(route.wait_for(1).await.unwrap()[0].request.body.length, LENGTH);
}

#[tokio::test]
async fn garbage_to_an_origin_is_refused_and_remembered() {
    let origin = origin().await;
    let route = origin.route("/", |_| panic!("must not be asked"));
    for bytes in [
        &b"\x16\x03\x01\x00garbage"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut client = client(&origin).await;
        client.send(bytes).await.unwrap();
        assert_eq!(client.response().await.unwrap().response.status, 400, "{}", bytes.escape_ascii());
        assert_eq!(client.closed().await.unwrap(), Close::Fin);
    }
    assert_eq!(origin.faults().len(), 3);
    assert_eq!(origin.faults()[0].error.kind, wire::ErrorKind::RequestLine);
    // What had a head is on the route's list all the same.
    let seen = route.wait_for(2).await.unwrap();
    assert_eq!(seen[0].notes.framing, Some(Framing::Undefined));
    assert!(seen[1].notes.error.is_some());
}

#[tokio::test]
async fn garbage_to_a_client_is_an_error_that_names_the_peer() {
    let origin = origin().await;
    let _route = origin.route("/", |_| Script::new().garbage(7, 100).close());
    let _late =
        origin.route("/late", |_| Script::from(Message::response(200).body("ok")).garbage(7, 100).close());
    let error = fetch(origin.address(), &get("/"), &Settings::default()).await.unwrap_err();
    assert!(matches!(error, Error::Meaningless { .. }), "{error}");
    assert!(error.to_string().contains(&origin.address().to_string()), "{error}");

    let mut client = client(&origin).await;
    client.request(&get("/late")).await.unwrap();
    assert_eq!(text(&client.response().await.unwrap().response), "ok");
    assert!(matches!(client.response().await.unwrap_err(), Error::Meaningless { .. }));
}

#[tokio::test]
async fn waits_end_at_their_deadline_and_say_what_for() {
    let origin = Origin::local(impatient()).await.unwrap();
    let stall = origin.route("/stall", |_| {
        Script::from(Message::response(200).field("Content-Length", "9").content("x")).stall()
    });
    let waits = origin.route("/waits", |_| Script::new().wait("never"));
    let mut client = Client::connect(origin.address(), &impatient()).await.unwrap();
    client.request(&get("/stall")).await.unwrap();
    let late = client.response().await.unwrap_err();
    assert_eq!(late.to_string(), format!("{}: read a response: not done after 500 ms", origin.address()));
    let late = stall.wait_for(5).await.unwrap_err();
    assert_eq!(
        late.to_string(),
        "origin route \"/stall\": wait for 5 requests, got 1: not done after 500 ms"
    );
    let late = Events::new(Duration::from_millis(10)).wait("x").await.unwrap_err();
    assert_eq!(
        late.to_string(),
        "events: wait for \"x\" to be signalled 1 time(s), was 0: not done after 10 ms"
    );

    let settings = Settings::default();
    let closed = fetch(origin.address(), &get("/waits"), &settings).await.unwrap_err();
    assert!(matches!(closed, Error::Closed { how: Close::Fin, .. }), "{closed}");
    assert_eq!(waits.count(), 1);
    assert_eq!(origin.failures()[0].request, "GET /waits");
    assert!(origin.failures()[0].reason.contains("\"never\""), "{:?}", origin.failures());
}

#[tokio::test]
async fn reading_can_be_cancelled_and_begun_again() {
    let origin = origin().await;
    let _route = origin.route("/", |_| {
        Script::from(Message::response(200).field("Content-Length", "4").content("ab"))
            .wait("more")
            .send("cd")
    });
    let mut client = client(&origin).await;
    client.request(&get("/")).await.unwrap();
    assert_eq!(client.body_bytes(2).await.unwrap(), 2);
    assert!(tokio::time::timeout(Duration::from_millis(5), client.response()).await.is_err());
    assert_eq!(client.head().await.unwrap().status(), Some(200));
    assert!(tokio::time::timeout(Duration::from_millis(5), client.head()).await.is_err());
    origin.events().signal("more");
    assert_eq!(text(&client.response().await.unwrap().response), "abcd");
}

#[tokio::test]
async fn nobody_there() {
    let address = {
        let origin = origin().await;
        origin.shutdown().await;
        origin.address()
    };
    let error = Client::connect(address, &Settings::default()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { peer, .. } if peer == address), "{error}");
    let taken = origin().await;
    let error = Origin::bind(taken.address(), Settings::default()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {}", taken.address())), "{error}");
}

#[tokio::test]
async fn shutdown_ends_connections() {
    let origin = origin().await;
    let route = origin.route("/", |_| Script::new().stall());
    let mut client = client(&origin).await;
    client.request(&get("/")).await.unwrap();
    route.wait_for(1).await.unwrap();
    origin.shutdown().await;
    client.closed().await.unwrap();
    assert_eq!(origin.connections(), endpoint::Connections { opened: 1, open: 0 });
}

#[tokio::test]
async fn dropping_the_origin_frees_its_address() {
    let address = origin().await.address();
    // The listening task ends on its own; binding again works once it has.
    let bound = async {
        while Origin::bind(address, Settings::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), bound).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_clients_share_an_origin() {
    let origin = origin().await;
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let origin = origin.clone();
            tokio::spawn(async move {
                let path = format!("/check-{n}/");
                let body = n.to_string();
                let route = origin.route(path.clone(), move |_| Message::response(200).body(&body).into());
                let mut client = Client::connect(origin.address(), &Settings::default()).await.unwrap();
                for _ in 0..3 {
                    client.request(&get(&format!("{path}x"))).await.unwrap();
                    assert_eq!(text(&client.response().await.unwrap().response), n.to_string());
                }
                assert_eq!(route.wait_for(3).await.unwrap().len(), 3);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(origin.connections().opened, 300);
    assert!(origin.unrouted().is_empty() && origin.faults().is_empty() && origin.failures().is_empty());
}

#[tokio::test]
async fn records_are_bounded() {
    let settings = Settings { records: 2, record_bytes: 4, ..Settings::default() };
    let origin = Origin::local(settings).await.unwrap();
    let route = origin.route("/", |_| Message::response(200).body("").into());
    let mut client = client(&origin).await;
    for _ in 0..4 {
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
        client.response().await.unwrap();
    }
    let seen = route.wait_for(4).await.unwrap();
    assert_eq!((seen.len(), route.count()), (2, 4));
    assert_eq!(seen[1].number, 3);
    assert!(seen.iter().all(|r| r.request.body.length == 3));
}

#[tokio::test]
async fn upgrades_end_http() {
    let origin = origin().await;
    let _yes = origin
        .route("/yes", |_| Script::from(Message::response(101).field("Upgrade", "x")).send("frames").stall());
    let no = origin.route("/no", |_| Message::response(200).body("no").into());
    let upgrade =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    let mut first = client(&origin).await;
    first.send(upgrade("/yes")).await.unwrap();
    assert_eq!(first.response().await.unwrap().response.status, 101);

    let mut second = client(&origin).await;
    second.send(upgrade("/no") + &upgrade("/no")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(text(&second.response().await.unwrap().response), "no");
    }
    assert_eq!(no.wait_for(2).await.unwrap()[1].request.seen.stream, 1);
}
