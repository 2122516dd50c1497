//! Replaying through builds on real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use capture::{Reader, Record, Writer};
use endpoint::{Clock, Origin, Script, Settings};
use exchange::{Body, Fields, Request, Response, Time, Transaction};
use replay::http::{Capture, FindingKind, Glob, Options, Outcome, Speed, State};
use replay::world::{Service, World};
use report::Outcome as Verdict;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const RECORDED: i64 = 1_795_298_820;

/// One transaction: its connection, its number there, start and end in milliseconds.
fn transaction(
    place: (u64, u64),
    times: (i64, i64),
    mut request: Request,
    mut response: Response,
) -> Transaction {
    let at = |ms: i64| Time(RECORDED * 1_000_000_000 + ms * 1_000_000);
    (request.seen.connection, request.seen.stream) = place;
    (response.seen.connection, response.seen.stream) = place;
    request.seen.start = at(times.0);
    (response.seen.start, response.seen.head_end, response.seen.end) =
        (at(times.1), Some(at(times.1)), Some(at(times.1)));
    Transaction { client_request: Some(request), client_response: Some(response), ..Transaction::default() }
}

fn get(target: &str) -> Request {
    let host: Fields = [("Host", "www.test")].into_iter().collect();
    Request::new("GET", target.to_owned(), host)
}

fn ok(body: &str) -> Response {
    let fields = [("Content-Type", "text/plain".to_owned()), ("Content-Length", body.len().to_string())];
    Response {
        reason: "OK".into(),
        ..Response::new(200, fields.into_iter().collect(), Body::complete(body.to_owned()))
    }
}

fn capture(directory: &Path, transactions: Vec<Transaction>) -> Capture {
    let path = directory.join("test.capture");
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
    for transaction in transactions {
        writer.write(&Record::Transaction(Box::new(transaction))).unwrap();
    }
    writer.finish().unwrap();
    Capture::load(&path).unwrap()
}

/// Requests of all kinds on three connections, some pipelined.
fn world_of_all_kinds() -> Vec<Transaction> {
    let mut post = Request::new(
        "POST",
        "/form",
        [("Host", "www.test"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
            .into_iter()
            .collect(),
    );
    post.body = Body::complete(vec![b'x'; 200_000]);
    post.trailers = [("X-Sum", "1")].into_iter().collect();
    let mut chunked = ok("abc");
    chunked.fields =
        [("Transfer-Encoding", "chunked"), ("Date", "Sat, 21 Nov 2026 22:07:00 GMT")].into_iter().collect();
    chunked.trailers = [("X-Sum", "2")].into_iter().collect();
    chunked.interim = vec![Response::new(103, [("Link", "</a.css>")].into_iter().collect(), Body::empty())];
    let mut until_close = ok("until the end");
    until_close.fields = [("Content-Type", "text/plain")].into_iter().collect();
    let mut head = ok("");
    head.fields.set("Content-Length", "3");
    vec![
        transaction((0, 0), (0, 5), get("/"), ok("front")),
        transaction((1, 0), (1, 9), get("/slow"), ok("slow")),
        transaction((1, 1), (2, 10), get("/pipelined"), ok("second")),
        transaction((1, 2), (3, 12), get("/pipelined?3"), ok("third")),
        transaction((0, 1), (6, 8), get("/chunked"), chunked),
        transaction((0, 2), (20, 30), post, ok("thanks")),
        transaction((0, 3), (40, 44), Request { method: "HEAD".into(), ..get("/head") }, head),
        transaction((0, 4), (50, 55), get("/until-close"), until_close),
        transaction((2, 0), (60, 61), get("/after"), ok("after")),
    ]
}

async fn serve(capture: &Capture, prefix: &str) -> (Origin, Service) {
    let origin = Origin::local(Settings::default()).await.unwrap();
    let world = World::of(&*capture.recorded);
    let service = Service::new(Arc::new(world), prefix, Clock::system());
    service.mount_everywhere(&origin);
    (origin, service)
}

fn url(origin: &Origin) -> String {
    format!("http://{}", origin.address())
}

async fn run(capture: &Capture, options: &Options) -> Outcome {
    let clock = Clock::system();
    let outcome = replay::http::run(capture, options, &clock, &|_, _| {});
    tokio::time::timeout(Duration::from_secs(60), outcome).await.expect("a replay that ends").unwrap()
}

fn fast(reference: &Origin, candidate: &Origin) -> Options {
    Options {
        speed: Speed::Max,
        timeout: Duration::from_secs(20),
        ..Options::new(url(reference), url(candidate))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_against_itself_agrees() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    for (speed, prefix) in [(Speed::Max, ""), (Speed::Factor(1.0), "/run-1")] {
        let (reference, service) = serve(&capture, prefix).await;
        let (candidate, _) = serve(&capture, prefix).await;
        let record = directory.path().join("seen.capture");
        let options = Options {
            speed,
            prefix: prefix.into(),
            record: Some(record.clone()),
            mark: true,
            ..fast(&reference, &candidate)
        };
        let outcome = run(&capture, &options).await;
        assert_eq!(outcome.report.outcome, Verdict::Agree, "{:#?}", outcome.report);
        assert_eq!((outcome.totals.compared, outcome.totals.transactions), (9, 9));
        assert!(outcome.findings.is_empty(), "{:#?}", outcome.findings);
        assert!(outcome.report.ledgers.iter().all(report::Ledger::balances));
        assert_eq!(service.counters().requests, 9);
        // One connection for each captured one; the answer that ended by a close needed no further one.
        assert_eq!(reference.connections().opened, 3);
        for one in &outcome.judged {
            let State::Compared(three) = &one.state else { panic!("{one:?}") };
            assert!(three.reference.agrees(), "{}: {:#?}", one.name, three.reference);
        }
        let seen: Vec<Record> =
            Reader::new(std::fs::File::open(record).unwrap()).unwrap().map(Result::unwrap).collect();
        assert_eq!(seen.len(), 1 + 2 * 9);
        if speed != Speed::Max {
            // The schedule is absolute: 60 ms of recording take 60 ms, whatever each request takes.
            assert!(outcome.candidate.lateness.count == 9);
        }
    }
}

/// The recorded world, but for one thing.
async fn deviating(capture: &Capture, change: impl Fn(&mut Response) + Send + Sync + 'static) -> Origin {
    let origin = Origin::local(Settings::default()).await.unwrap();
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    origin.otherwise(move |received| {
        let mut response = service.answer(&received.request).response;
        if received.request.target == "/" {
            change(&mut response);
        }
        Script::answer(&received.request, &response)
    });
    origin
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_candidate_alone_does_decides() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    let other = deviating(&capture, |response| response.body = Body::complete("frond")).await;

    let options = Options { confirm: 1, ..fast(&same, &other) };
    let outcome = run(&capture, &options).await;
    assert_eq!(outcome.report.outcome, Verdict::Differences, "{:#?}", outcome.report);
    let deciding: Vec<_> = outcome.deciding().collect();
    assert_eq!((deciding.len(), deciding[0].index, deciding[0].stable), (1, 0, Some(true)));
    assert!(matches!(&deciding[0].kind, FindingKind::Difference(d) if d.path == "body"));
    assert_eq!(outcome.report.checks.len(), 1);

    // The same difference, with the reference on the other side: the candidate is where the recording is.
    let outcome = run(&capture, &fast(&other, &same)).await;
    assert_eq!(outcome.report.outcome, Verdict::Agree, "{:#?}", outcome.report.reasons);
    assert_eq!((outcome.findings.len(), outcome.deciding().count()), (1, 0));

    // Left out, it is not seen.
    let only = vec![Glob::new("*/chunked"), Glob::new("HEAD *")];
    let outcome = run(&capture, &Options { only, ..fast(&same, &other) }).await;
    assert_eq!((outcome.report.outcome, outcome.totals.compared), (Verdict::Agree, 2));
    assert_eq!(outcome.totals.not_sent["left out by --only"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_does_not_come_again_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    let once = std::sync::atomic::AtomicBool::new(true);
    let flaky = deviating(&capture, move |response| {
        if once.swap(false, std::sync::atomic::Ordering::Relaxed) {
            response.body = Body::complete("flaky");
        }
    })
    .await;
    let outcome = run(&capture, &Options { confirm: 2, ..fast(&same, &flaky) }).await;
    assert_eq!(outcome.report.outcome, Verdict::Agree);
    assert_eq!((outcome.passes, outcome.findings[0].stable), (2, Some(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_fail_are_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    let garbage = Origin::local(Settings::default()).await.unwrap();
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    garbage.otherwise(move |received| match &received.request.target[..] {
        b"/" => Script::new().send("this is no HTTP\r\n\r\n").close(),
        b"/chunked" => Script::new().reset(),
        b"/after" => Script::new().close(),
        _ => Script::answer(&received.request, &service.answer(&received.request).response),
    });
    let outcome = run(&capture, &fast(&same, &garbage)).await;
    assert_eq!(outcome.report.outcome, Verdict::Differences, "{:#?}", outcome.report.reasons);
    assert_eq!((outcome.totals.failed_candidate, outcome.totals.compared), (3, 6));
    assert!(outcome.report.ledgers.iter().all(report::Ledger::balances));

    // At the reference it is no evidence against the candidate.
    let outcome = run(&capture, &fast(&garbage, &same)).await;
    assert_eq!(outcome.report.outcome, Verdict::CouldNotJudge);
    assert_eq!(outcome.totals.failed_reference, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_build_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    let dead = {
        let (origin, _) = serve(&capture, "").await;
        origin.shutdown().await;
        origin
    };
    for (reference, candidate, who) in [(&same, &dead, "candidate"), (&dead, &same, "reference")] {
        let outcome = run(&capture, &fast(reference, candidate)).await;
        assert_eq!(outcome.report.outcome, Verdict::CouldNotJudge);
        let reason = &outcome.report.reasons[0].text;
        assert!(reason.contains(who) && reason.contains("answered nothing"), "{reason}");
        assert!(outcome.report.ledgers.iter().all(report::Ledger::balances));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_origin_was_not_recorded_with_cannot_be_judged() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    // Its origin is not asked below the prefix that was agreed on.
    let (lost, service) = serve(&capture, "/elsewhere").await;
    let outcome = run(&capture, &fast(&same, &lost)).await;
    assert_eq!(outcome.report.outcome, Verdict::CouldNotJudge);
    let reasons: Vec<&str> = outcome.report.reasons.iter().map(|r| &*r.text).collect();
    assert!(
        reasons[0].contains("the candidate asked its origin 9 times for something that was not recorded"),
        "{reasons:?}"
    );
    assert_eq!(service.counters().unrecorded, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_connections_suffice_and_closed_ones_are_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    // Forty connections, all open at the same time, two requests each.
    let transactions = (0..80).map(|n| {
        let (connection, stream) = (n % 40, n / 40);
        let start = (stream * 1000 + connection) as i64;
        transaction((connection, stream), (start, start + 500), get(&format!("/{n}")), ok("x"))
    });
    let capture = capture(directory.path(), transactions.collect());
    let (same, _) = serve(&capture, "").await;
    // Closes after each answer without saying so.
    let closing = Origin::local(Settings::default()).await.unwrap();
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    closing.otherwise(move |received| {
        Script::answer(&received.request, &service.answer(&received.request).response).close()
    });
    for connections in [1, 3, 1000] {
        let outcome = run(&capture, &Options { connections, ..fast(&same, &closing) }).await;
        assert_eq!(outcome.report.outcome, Verdict::Agree, "{:#?}", outcome.report.reasons);
        assert_eq!(outcome.totals.compared, 80);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_does_not_delay_the_schedule() {
    let directory = tempfile::tempdir().unwrap();
    let transactions = (0..5).map(|n| {
        let start = n * 100;
        transaction((n as u64, 0), (start, start + 10), get(&format!("/{n}")), ok("x"))
    });
    let capture = capture(directory.path(), transactions.collect());
    let (same, _) = serve(&capture, "").await;
    let slow = Origin::local(Settings::default()).await.unwrap();
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    slow.otherwise(move |received| {
        let answer = Script::answer(&received.request, &service.answer(&received.request).response);
        let mut script = Script::new().pause(Duration::from_millis(300));
        script.steps.extend(answer.steps);
        script
    });
    let outcome = run(&capture, &Options { speed: Speed::Factor(1.0), ..fast(&same, &slow) }).await;
    assert_eq!(outcome.report.outcome, Verdict::Agree);
    // Each answer takes 300 ms; requests come every 100 ms all the same.
    assert!(outcome.candidate.service.min >= 300_000_000);
    assert!(outcome.candidate.lateness.p50 < 200_000_000, "{}", outcome.candidate.lateness);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_hangs_costs_its_timeout_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), world_of_all_kinds());
    let (same, _) = serve(&capture, "").await;
    let hung = Origin::local(Settings::default()).await.unwrap();
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    hung.otherwise(move |received| match &received.request.target[..] {
        b"/" => Script::new().stall(),
        b"/chunked" => Script::new().send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").stall(),
        _ => Script::answer(&received.request, &service.answer(&received.request).response),
    });
    let options = Options { timeout: Duration::from_millis(500), ..fast(&same, &hung) };
    let outcome = run(&capture, &options).await;
    assert_eq!(outcome.report.outcome, Verdict::Differences, "{:#?}", outcome.report.reasons);
    // What came within the time may be compared as cut short; what did not come at all has failed.
    let names: Vec<&str> = outcome.deciding().map(|f| &*f.name).collect();
    assert!(names.iter().all(|n| n.ends_with("test/") || n.ends_with("/chunked")), "{names:?}");
    assert!(names.iter().any(|n| n.ends_with("test/")) && names.iter().any(|n| n.ends_with("/chunked")));
    assert!(outcome.report.ledgers.iter().all(report::Ledger::balances));
}

/// Sixty requests on twenty connections.
fn many() -> Vec<Transaction> {
    let one = |n: i64| {
        let place = (n as u64 % 20, n as u64 / 20);
        transaction(place, (10 * n, 10 * n + 5), get(&format!("/{n}")), ok("hello"))
    };
    (0..60).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_never_answers_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), many());
    let (same, _) = serve(&capture, "").await;
    let hung = Origin::local(Settings::default()).await.unwrap();
    hung.otherwise(|_| Script::new().stall());
    // Each piece comes long before a time-out, the answer's end does not.
    let dripping = Origin::local(Settings::default()).await.unwrap();
    dripping.otherwise(|_| {
        let head = Script::new().send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        (0..100_000).fold(head, |script, _| script.send("x").pause(Duration::from_millis(20)))
    });
    for (bad, speed) in [(&hung, Speed::Max), (&dripping, Speed::Factor(1.0))] {
        let options = Options { timeout: Duration::from_secs(1), speed, confirm: 5, ..fast(&same, bad) };
        let outcome = run(&capture, &options).await;
        assert_eq!(outcome.report.outcome, Verdict::CouldNotJudge);
        let reason = &outcome.report.reasons[0].text;
        assert!(reason.contains("candidate") && reason.contains("not done after 1000 ms"), "{reason}");
        // What cannot be judged is not asked for again.
        assert_eq!((outcome.totals.failed_candidate, outcome.passes), (60, 1), "{:#?}", outcome.totals);
        let given_up = outcome.totals.given_up_candidate;
        // One after another, three were waited for; at the recorded pace, as many as there are connections.
        assert!(if speed == Speed::Max { given_up == 57 } else { given_up > 0 }, "{given_up}");
        let ledger = &outcome.report.ledgers[0];
        let part = ledger.parts.iter().find(|p| p.name == "failed at the candidate: it had been given up");
        assert!(ledger.balances() && part.is_some_and(|p| p.count == given_up), "{ledger:?}");
        let notes = &outcome.report.notes;
        assert!(notes.iter().any(|n| n.starts_with("the candidate was given up: 3 time-outs")), "{notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_hangs_after_a_while_fails_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let capture = capture(directory.path(), many());
    let (same, _) = serve(&capture, "").await;
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), "", Clock::system());
    let hangs = |from: usize| {
        let service = service.clone();
        move |received: &endpoint::Received| {
            let number: usize = std::str::from_utf8(&received.request.target[1..]).unwrap().parse().unwrap();
            match number < from {
                true => Script::answer(&received.request, &service.answer(&received.request).response),
                false => Script::new().stall(),
            }
        }
    };
    let late = Origin::local(Settings::default()).await.unwrap();
    late.otherwise(hangs(40));
    let options = Options { timeout: Duration::from_secs(1), ..fast(&same, &late) };
    let outcome = run(&capture, &options).await;
    assert_eq!(outcome.report.outcome, Verdict::Differences, "{:#?}", outcome.report.reasons);
    let totals = &outcome.totals;
    assert_eq!((totals.compared, totals.failed_candidate, totals.given_up_candidate), (40, 20, 17));

    // The reference's hanging is nothing against the candidate.
    let outcome = run(&capture, &Options { timeout: Duration::from_secs(1), ..fast(&late, &same) }).await;
    assert_eq!(outcome.report.outcome, Verdict::CouldNotJudge, "{:#?}", outcome.report.reasons);
    assert_eq!((outcome.totals.failed_reference, outcome.totals.given_up_reference), (20, 17));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_recorded_clients_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = get("/?token=hunter2");
    request.fields.push("Cookie", "sid=hunter3");
    request.fields.push("Authorization", "Bearer hunter4");
    let mut answer = ok("front");
    answer.fields.push("Set-Cookie", "sid=hunter5; Path=/");
    let capture = capture(directory.path(), vec![transaction((0, 0), (0, 5), request, answer)]);
    let (same, _) = serve(&capture, "").await;
    let other = Origin::local(Settings::default()).await.unwrap();
    other.otherwise(|received| Script::answer(&received.request, &ok("other")));
    let outcome = run(&capture, &fast(&same, &other)).await;
    assert_eq!(outcome.report.outcome, Verdict::Differences);
    for text in
        [outcome.report.to_json(), outcome.report.to_html(), outcome.report.to_text(report::Style::default())]
    {
        assert!(!text.contains("hunter"), "{text}");
    }
    assert!(outcome.report.to_json().contains("--only 'GET http://www.test/?token=*'"));
}
