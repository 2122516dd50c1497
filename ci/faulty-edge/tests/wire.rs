//! Each deviation shows on the wire where it should, and nowhere else: one story is told to the reference and
//! to each deviating edge, and their answers are compared octet by octet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::ValueEnum;
use edge::{Clock, bind};
use faulty_edge::{Deviation, Faulty};
use http_cache::{Decisions, Standard, Time};
use reference_cdn::edge::EdgeArgs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

const TOKEN: &str = "a-token-for-this-test";
/// Nothing here takes long; a hang must fail.
const DEADLINE: Duration = Duration::from_secs(30);

/// What is asked, in order: a name for the step, seconds that pass before it, target, Host, and one field
/// more.
const STORY: &[(&str, u64, &str, &str, &str)] = &[
    ("age: miss", 0, "/age", "a.test", ""),
    ("age: hit", 10, "/age", "a.test", ""),
    ("vary: first", 0, "/vary", "a.test", "Foo: 1\r\n"),
    ("vary: other", 0, "/vary", "a.test", "Foo: 2\r\n"),
    ("vary: first again", 0, "/vary", "a.test", "Foo: 1\r\n"),
    ("purge: miss", 0, "/purge", "a.test", ""),
    ("purge: order", 0, "PURGE", "a.test", ""),
    ("purge: after", 0, "/purge", "a.test", ""),
    ("cut: first", 0, "/cut", "a.test", ""),
    ("cut: again", 0, "/cut", "a.test", ""),
    ("range: whole", 0, "/range", "a.test", ""),
    ("range: part", 0, "/range", "a.test", "Range: bytes=2-4\r\n"),
    ("range: start", 0, "/range", "a.test", "Range: bytes=0-1\r\n"),
    ("host: one", 0, "/host", "a.test", ""),
    ("host: other", 0, "/host", "b.test", ""),
    ("hop: miss", 0, "/hop", "a.test", ""),
    ("hop: hit", 0, "/hop", "a.test", ""),
    ("hop: relayed", 0, "/hop/relayed", "a.test", ""),
    ("header: miss", 0, "/header", "a.test", ""),
    ("header: hit", 0, "/header", "a.test", ""),
    ("header: relayed", 0, "/header/relayed", "a.test", ""),
    ("stale: miss", 0, "/stale", "a.test", ""),
    ("stale: later", 5, "/stale", "a.test", ""),
    ("large: miss", 0, "/large", "a.test", ""),
    ("large: hit", 0, "/large", "a.test", ""),
    ("large: relayed", 0, "/large/relayed", "a.test", ""),
    ("large: part", 0, "/large", "a.test", "Range: bytes=1500-1600\r\n"),
];

/// The steps that a deviation shows in.
fn shows_in(deviation: Deviation) -> &'static [&'static str] {
    match deviation {
        Deviation::AgeFrozen => &["age: hit"],
        Deviation::VaryIgnored => &["vary: other"],
        Deviation::PurgeIgnored => &["purge: order", "purge: after"],
        Deviation::TruncatedStored => &["cut: again"],
        Deviation::Wrong206 => &["range: part", "range: start", "large: part"],
        Deviation::HostIgnored => &["host: other"],
        Deviation::HopByHopRelayed => &["hop: miss", "hop: hit", "hop: relayed"],
        Deviation::HeaderDropped => &["header: miss", "header: hit", "header: relayed"],
        Deviation::StaleServed => &["stale: later"],
        Deviation::BodyChanged => &["large: miss", "large: hit", "large: relayed"],
    }
}

/// The origin's answer to the `count`th request for `path`: head without framing, and content.
fn answer(path: &str, count: usize, request: &str) -> (String, String) {
    let field = |name: &str| {
        let mut fields = request.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    };
    let fresh = "Cache-Control: max-age=100\r\n".to_owned();
    let large: String = (0..2000).map(|index: u32| char::from(b'a' + (index % 26) as u8)).collect();
    match path {
        "/age" => (fresh, "a".into()),
        "/vary" => (fresh + "Vary: foo\r\n", format!("for foo {}", field("foo"))),
        "/purge" => (fresh, format!("version {count}")),
        "/cut" | "/range" => (fresh, "0123456789".into()),
        "/host" => (fresh, format!("version {count}")),
        "/hop" => (fresh + "Connection: hop\r\nHop: 1\r\n", "h".into()),
        "/hop/relayed" => ("Connection: hop\r\nHop: 1\r\n".into(), "h".into()),
        "/header" => (fresh + "X-Note: 1\r\nNote: 1\r\n", "h".into()),
        "/header/relayed" => ("X-Note: 1\r\nNote: 1\r\n".into(), "h".into()),
        "/stale" => ("Cache-Control: max-age=1\r\n".into(), format!("version {count}")),
        "/large" => (fresh, large),
        "/large/relayed" => (String::new(), large),
        other => panic!("nobody should ask for {other}"),
    }
}

async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counts = Arc::clone(&counts);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(octet) => request.push(octet),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let count = {
                    let mut counts = counts.lock().unwrap();
                    let count = counts.entry(path.clone()).or_default();
                    *count += 1;
                    *count
                };
                let (fields, content) = answer(&path, count, &request);
                let sent = if path == "/cut" && count == 1 { &content[..5] } else { &content };
                let length = content.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
                     Connection: close\r\n{fields}\r\n"
                );
                let _ = stream.write_all(format!("{head}{sent}").as_bytes()).await;
            });
        }
    });
    address
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is reset has said what it said.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(DEADLINE, exchange).await.unwrap_or_else(|_| panic!("no answer within {DEADLINE:?} to {request}"))
}

/// The answers to the story's steps.
async fn told(
    wrap: impl Fn(Arc<dyn Decisions>) -> Arc<dyn Decisions>,
    token_file: &std::path::Path,
) -> Vec<String> {
    let origin = origin().await;
    let args = EdgeArgs {
        listen: Some("127.0.0.1:0".into()),
        origin: Some(format!("http://{origin}")),
        admin: Some("127.0.0.1:0".into()),
        admin_token_file: Some(token_file.into()),
        ..EdgeArgs::default()
    };
    let checked = args.resolve().unwrap_or_else(|error| panic!("{error}"));
    let clock = Clock::manual(Time::from_secs(1_800_000_000));
    let decide = |settings: &http_cache::Settings| wrap(Arc::new(Standard::new(settings.clone())));
    let server = bind(checked.config, decide, clock.clone()).unwrap();
    let (listen, admin) = (server.listen().unwrap(), server.admin().unwrap());
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = tokio::spawn(async move { server.serve(async move { stopped.notified().await }).await });
    let mut answers = Vec::new();
    for (_, seconds, target, host, field) in STORY {
        clock.advance(Duration::from_secs(*seconds));
        answers.push(if *target == "PURGE" {
            let order = format!("{{\"url\": \"http://{host}/purge\"}}");
            let length = order.len();
            let request = format!(
                "POST /purge HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{order}"
            );
            ask(admin, &request).await
        } else {
            ask(listen, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{field}Connection: close\r\n\r\n"))
                .await
        });
    }
    stop.notify_one();
    timeout(DEADLINE, serving).await.unwrap_or_else(|_| panic!("the edge did not stop")).unwrap();
    // The admin listener's Date is the machine's.
    answers
        .iter()
        .map(|answer| answer.lines().filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\n"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_deviation_shows_where_it_should_and_nowhere_else() {
    let folder = std::env::temp_dir().join(format!("faulty-edge-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let token_file = folder.join("token");
    std::fs::write(&token_file, TOKEN).unwrap();

    let reference = told(|standard| standard, &token_file).await;
    let again = told(|standard| standard, &token_file).await;
    assert_eq!(reference, again, "the story is not the same each time it is told to the reference");
    for (step, expected) in [
        ("age: hit", "Age: 10"),
        ("vary: other", "for foo 2"),
        ("purge: after", "version 2"),
        ("cut: again", "0123456789"),
        ("range: part", "\n234"),
        ("stale: later", "version 2"),
    ] {
        let index = STORY.iter().position(|(name, ..)| *name == step).unwrap();
        assert!(
            reference[index].contains(expected),
            "{step} should have {expected:?}:\n{}",
            reference[index]
        );
    }

    for deviation in Deviation::value_variants() {
        let found = told(|standard| Arc::new(Faulty::new(standard, *deviation)), &token_file).await;
        let differing: BTreeSet<&str> = STORY
            .iter()
            .enumerate()
            .filter(|(index, _)| found[*index] != reference[*index])
            .map(|(_, step)| step.0)
            .collect();
        let expected: BTreeSet<&str> = shows_in(*deviation).iter().copied().collect();
        let details: String = STORY
            .iter()
            .enumerate()
            .filter(|(_, (name, ..))| differing.contains(name) != expected.contains(name))
            .map(|(index, (name, ..))| format!("--- {name}\n{}\n+++\n{}\n", reference[index], found[index]))
            .collect();
        assert_eq!(differing, expected, "{}:\n{details}", deviation.name());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_deviation_has_a_name_of_its_own_and_a_description() {
    let names: BTreeSet<String> =
        Deviation::value_variants().iter().map(|deviation| deviation.name()).collect();
    let expected = [
        "age-frozen",
        "body-changed",
        "header-dropped",
        "hop-by-hop-relayed",
        "host-ignored",
        "purge-ignored",
        "stale-served",
        "truncated-stored",
        "vary-ignored",
        "wrong-206",
    ];
    assert!(names.iter().map(String::as_str).eq(expected), "{names:?}");
    assert!(Deviation::value_variants().iter().all(|deviation| deviation.does().len() > 20));
}
