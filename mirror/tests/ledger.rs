//! What is compared, what is not, and what is written about it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod stage;

use mirror::diffs;
use stage::{
    Asked, Mirror, Played, client, connect, expect, get, honest, pattern, post, read_request, server,
};
use std::io::{BufReader, Write as _};
use std::net::SocketAddr;

/// A candidate that answers like the primary, but for what `change` does to its answers.
fn changed(change: impl Fn(&Asked, String) -> String + Send + Sync + 'static) -> SocketAddr {
    server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(asked) = read_request(&mut reader)? {
            let answer = stage::answer(&asked);
            let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            stream
                .write_all(change(&asked, String::from_utf8(answer[..head].to_vec()).unwrap()).as_bytes())?;
            stream.write_all(&answer[head..])?;
        }
        Ok(())
    })
}

fn state(ledger: &serde_json::Value, state: &str) -> u64 {
    ledger["states"][state].as_u64().unwrap()
}

#[test]
fn each_difference_is_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("diffs.jsonl");
    let candidate = changed(|asked, head| match asked.line.as_str() {
        "GET /length/7/odd HTTP/1.1" => head.replace("200 OK", "203 Changed"),
        "GET /length/8/odd HTTP/1.1" => head.replace("spelling", "other"),
        _ => head,
    });
    let mirror = Mirror::start(honest(), candidate, &["--diffs", file.to_str().unwrap()]);
    let asked = [get("/length/7/odd"), get("/length/6"), get("/length/8/odd"), get("/length/7/odd")];
    client(mirror.listen, &asked);
    mirror.ledger_when("four comparisons", |l| l["states"]["same"] == 1 && l["states"]["different"] == 3);
    let ended = mirror.end();
    assert_eq!(ended.status, 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("compared: different"), "{}", ended.stdout);

    let read = diffs::read(&file).unwrap();
    let ids: Vec<_> = read.differences.iter().map(|d| (d.id.as_str(), d.url.as_str())).collect();
    let (seven, eight) = ("http://stage.test/length/7/odd", "http://stage.test/length/8/odd");
    assert_eq!(ids, [("0-0", seven), ("0-2", eight), ("0-3", seven)]);
    let [first, second, third] = &read.differences[..] else { unreachable!() };
    assert_eq!(first.fingerprint, third.fingerprint);
    assert_ne!(first.fingerprint, second.fingerprint);
    assert!(read.differences.iter().all(|d| d.stands && read.is_stable(d)));
    let path = |d: &diffs::Differing| {
        d.differences.iter().find(|f| f.difference.stands()).unwrap().difference.path.clone()
    };
    assert_eq!((path(first), path(second)), ("status".to_owned(), "fields.x-odd".to_owned()));
    let closing = read.ledger.unwrap();
    assert!(closing.balances);
    assert_eq!((closing.exit_status, closing.totals.requests, closing.unwritten), (1, 4, 0));
}

#[test]
fn a_difference_now_and_then_is_not_stable() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("diffs.jsonl");
    let odd = std::sync::atomic::AtomicBool::new(false);
    let candidate = changed(move |_, head| {
        let odd = odd.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        if odd { head.replace("spelling", "other") } else { head }
    });
    let mirror = Mirror::start(honest(), candidate, &["--diffs", file.to_str().unwrap()]);
    client(mirror.listen, &[get("/length/7"), get("/length/7")]);
    mirror.ledger_when("two comparisons", |l| l["states"]["same"] == 1 && l["states"]["different"] == 1);
    assert_eq!(mirror.end().status, 1);
    let read = diffs::read(&file).unwrap();
    assert!(!read.is_stable(&read.differences[0]));
}

#[test]
fn equal_builds_agree() {
    let mirror = Mirror::start(honest(), honest(), &[]);
    let asked: Vec<_> = (0..20).map(|n| get(&format!("/length/{n}"))).collect();
    client(mirror.listen, &asked);
    mirror.ledger_when("all comparisons", |l| l["states"]["same"] == 20);
    let metrics = mirror.page("/metrics");
    assert!(metrics.contains("mirror_requests_total 20\n"), "{metrics}");
    assert!(
        metrics.contains("mirror_requests_ended_total{group=\"compared\",state=\"same\"} 20\n"),
        "{metrics}"
    );
    assert_eq!(mirror.page("/health"), "ok\n");
    let ended = mirror.end();
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn unsafe_methods_are_held_back() {
    let candidate = Played::new();
    let mirror = Mirror::start(honest(), candidate.address(), &[]);
    client(mirror.listen, &[post("/length/5", pattern(1000, 0)), post("/length/6", Vec::new())]);
    let ledger = mirror.ledger_when("both requests", |l| l["open"] == 0 && l["requests"] == 2);
    assert_eq!(state(&ledger, "unsafe-method"), 2);
    assert_eq!(mirror.end().status, 2);
}

#[test]
fn a_sample_is_drawn_the_same_way_again() {
    let asked: Vec<_> = (0..200).map(|n| get(&format!("/length/{n}"))).collect();
    let draw = |options: &[&str]| {
        let mirror = Mirror::start(honest(), honest(), options);
        client(mirror.listen, &asked);
        let ledger = mirror.ledger_when("all requests", |l| l["open"] == 0 && l["requests"] == 200);
        state(&ledger, "sampled-out")
    };
    let first = draw(&["--sample", "1/2", "--seed", "7"]);
    assert!((60..140).contains(&first), "{first} of 200 sampled out");
    assert_eq!(draw(&["--sample", "0.5", "--seed", "7"]), first);
    assert_eq!(draw(&["--sample", "0"]), 200);
    assert!([0, 200].contains(&draw(&["--sample", "50%", "--sample-by", "client"])));
}

#[test]
fn the_candidate_gets_the_clients_bytes_and_the_tag() {
    let candidate = Played::new();
    let options = ["--tag-header", "X-Mirrored: yes", "--unsafe-methods"];
    let mirror = Mirror::start(honest(), candidate.address(), &options);
    // An odd spelling, and a body in chunks that the honest server does not read.
    let asked = "GET /length/3 HTTP/1.1\r\nhOST:stage.test\r\nX-A:  b \r\nx-a: c\r\n\r\n";
    let mut stream = connect(mirror.listen);
    stream.write_all(asked.as_bytes()).unwrap();
    let mut other = candidate.accept();
    expect(&mut other, asked.replacen("\r\n", "\r\nX-Mirrored: yes\r\n", 1));
    // The client has its answer, whatever becomes of the candidate's.
    expect(&mut stream, stage::answer(&get("/length/3")));
    other.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n???").unwrap();
    mirror.ledger_when("the comparison", |l| l["states"]["different"] == 1);
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced() {
    let candidate = Played::new();
    let mirror = Mirror::start(honest(), candidate.address(), &[]);
    let (asked, answer) = (get("/length/3"), stage::answer(&get("/length/3")));
    let mut stream = connect(mirror.listen);
    for _ in 0..3 {
        stream.write_all(asked.head.as_bytes()).unwrap();
        expect(&mut stream, &answer);
        let mut other = candidate.accept();
        expect(&mut other, &asked.head);
        let ledger = mirror.ledger();
        assert!(ledger["open"].as_u64() >= Some(1) && ledger["balances"] == true, "{ledger:#}");
        other.write_all(&answer).unwrap();
    }
    let ledger = mirror.ledger_when("three comparisons", |l| l["states"]["same"] == 3);
    assert_eq!(ledger["requests"], 3);
}

#[test]
fn the_record_holds_what_was_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seen.capture");
    let mirror = Mirror::start(honest(), honest(), &["--record", file.to_str().unwrap()]);
    client(mirror.listen, &[get("/chunked/3000"), post("/length/5", pattern(70_000, 1)), get("/length/0")]);
    mirror.ledger_when("all requests", |l| l["open"] == 0 && l["files"]["recorded"] == 3);
    assert_eq!(mirror.end().status, 0);
    let reader = capture::Reader::new(std::fs::File::open(&file).unwrap()).unwrap();
    let records: Vec<_> = reader.map(Result::unwrap).collect();
    let mut transactions: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            capture::Record::Transaction(t) => Some(t),
            _ => None,
        })
        .collect();
    transactions.sort_by_key(|t| t.client_request.as_ref().unwrap().seen.stream);
    let lengths: Vec<_> = transactions
        .iter()
        .map(|t| {
            let (request, response) =
                (t.client_request.as_ref().unwrap(), t.client_response.as_ref().unwrap());
            assert!(request.seen.start <= response.seen.start && response.seen.end.is_some(), "{t:?}");
            (exchange::escape(&request.method), request.body.length, response.body.length)
        })
        .collect();
    assert_eq!(lengths, [("GET".into(), 0, 3000), ("POST".into(), 70_000, 5), ("GET".into(), 0, 0)]);
    assert!(matches!(&records[0], capture::Record::About(about) if about.tool == "mirror"));
    assert!(matches!(records.last(), Some(capture::Record::Ledger(l)) if l.total == 3 && l.balances()));
}

#[test]
fn open_exchanges_may_finish() {
    let primary = Played::new();
    let mut mirror = Mirror::start(primary.address(), honest(), &["--drain", "50s"]);
    // One after the other: the mirror's threads may open the second one's way first.
    let mut stream = connect(mirror.listen);
    let mut one = primary.accept_silent();
    let mut idle = connect(mirror.listen);
    let mut two = primary.accept_silent();
    let asked = get("/length/3");
    stream.write_all(asked.head.as_bytes()).unwrap();
    expect(&mut one, &asked.head);
    // Served one request, then idle.
    idle.write_all(asked.head.as_bytes()).unwrap();
    expect(&mut two, &asked.head);
    two.write_all(&stage::answer(&asked)).unwrap();
    expect(&mut idle, stage::answer(&asked));
    mirror.signal();
    // The idle one is closed; the other one gets its answer first.
    assert_eq!(stage::rest(&mut idle), (Vec::new(), false));
    one.write_all(&stage::answer(&asked)).unwrap();
    assert_eq!(stage::rest(&mut stream), (stage::answer(&asked), false));
    let ended = mirror.wait();
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn what_does_not_finish_is_cut_and_counted() {
    let primary = Played::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("diffs.jsonl");
    let options = ["--drain", "0s", "--diffs", file.to_str().unwrap()];
    let mirror = Mirror::start(primary.address(), honest(), &options);
    let mut stream = connect(mirror.listen);
    let mut one = primary.accept_silent();
    stream.write_all(get("/length/3").head.as_bytes()).unwrap();
    expect(&mut one, get("/length/3").head);
    let ended = mirror.end();
    assert_eq!(ended.status, 2, "{}{}", ended.stdout, ended.stderr);
    let closing = diffs::read(&file).unwrap().ledger.unwrap();
    assert!(closing.balances);
    assert_eq!(closing.totals.of(mirror::State::Shutdown), 1);
}

#[test]
fn a_second_signal_cuts_off() {
    let primary = Played::new();
    let mut mirror = Mirror::start(primary.address(), honest(), &["--drain", "3000s"]);
    let mut stream = connect(mirror.listen);
    let mut one = primary.accept_silent();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    expect(&mut one, "GET / HTTP/1.1\r\n\r\n");
    mirror.signal();
    // Once the listener is gone the first signal has been heard.
    let deadline = stage::Deadline::new();
    while std::net::TcpStream::connect(mirror.listen).is_ok() {
        assert!(!deadline.passed());
    }
    mirror.signal();
    assert_eq!(mirror.wait().status, 2);
}

#[test]
fn a_full_disk_affects_nobody() {
    let candidate = changed(|_, head| head.replace("spelling", "other"));
    let options = ["--diffs", "/dev/full", "--record", "/dev/full"];
    // Writers buffer: the header goes in, then the disk turns out to be full.
    let mirror = stage::Mirror::start_or_else(honest(), candidate, &options);
    let mirror = match mirror {
        Ok(mirror) => mirror,
        Err(ended) => {
            assert_eq!(ended.status, 2);
            assert!(ended.stderr.contains("cannot record to /dev/full"), "{}", ended.stderr);
            stage::Mirror::start(
                honest(),
                changed(|_, head| head.replace("spelling", "other")),
                &options[..2],
            )
        }
    };
    let asked: Vec<_> = (0..20).map(|n| get(&format!("/length/{n}"))).collect();
    client(mirror.listen, &asked);
    let ledger = mirror.ledger_when("all comparisons", |l| {
        l["states"]["different"] == 20 && l["files"]["diffs_error"].is_string()
    });
    assert!(ledger["files"]["diffs_lost"].as_u64() > Some(0), "{ledger:#}");
    let ended = mirror.end();
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("the file of differences cannot be written"), "{}", ended.stderr);
    assert!(ended.stdout.contains("differences are missing"), "{}", ended.stdout);
}

#[test]
fn waived_differences_do_not_fail() {
    let directory = tempfile::tempdir().unwrap();
    let (file, waivers) = (directory.path().join("diffs.jsonl"), directory.path().join("waivers.toml"));
    let text = "[[waiver]]\npath = \"fields.x-odd\"\nreason = \"renamed\"\nowner = \"edge team\"\nexpires = \"2999-01-01\"\n";
    std::fs::write(&waivers, text).unwrap();
    let candidate = changed(|_, head| head.replace("spelling", "other"));
    let options = ["--diffs", file.to_str().unwrap(), "--waivers", waivers.to_str().unwrap()];
    let mirror = Mirror::start(honest(), candidate, &options);
    client(mirror.listen, &[get("/length/7")]);
    mirror.ledger_when("the comparison", |l| l["states"]["same"] == 1);
    assert_eq!(mirror.end().status, 0);
    let read = diffs::read(&file).unwrap();
    assert_eq!(read.differences.len(), 1);
    assert!(!read.differences[0].stands);
}
