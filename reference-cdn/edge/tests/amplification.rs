//! Requests that are to make much of little: ranges that overlap, many ranges, loops.

mod support;

use support::{After, Client, Origin, TestEdge, pattern};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const MIB: usize = 1 << 20;
/// What several parts may take beside their octets: 16 times a delimiter and three short fields, and the end.
const PARTS: usize = 16 * 256;

fn ranges(count: usize, range: impl Fn(usize) -> String) -> String {
    format!("bytes={}", (0..count).map(range).collect::<Vec<_>>().join(","))
}

/// Range fields that ask for as much as they can.
fn greedy() -> Vec<String> {
    vec![
        ranges(2, |_| "0-".into()),
        ranges(1000, |_| "0-".into()),
        ranges(2, |_| "-1048576".into()),
        ranges(1000, |n| format!("{n}-")),
        ranges(1000, |n| format!("0-{n}")),
        ranges(1000, |n| format!("{}-{}", 2 * n, 2 * n)),
        ranges(17, |n| format!("{}-{}", 2 * n, 2 * n)),
        format!("{},x,0-,0-", ranges(5, |_| "0-".into())),
        "bytes=1-,-1048575".into(),
        "bytes=0-1000000,5-1048575".into(),
    ]
}

/// An origin that sends each range as often as it is asked for, as the ones in the papers on RangeAmp did.
async fn obedient(content: Vec<u8>) -> Origin {
    Origin::start(move |seen, mut wire| {
        let content = content.clone();
        async move {
            let lines: Vec<&str> = seen
                .fields
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("range"))
                .map(|(_, value)| value.as_str())
                .collect();
            let members = lines.iter().flat_map(|line| line.trim_start_matches("bytes=").split(','));
            let mut parts = Vec::new();
            for member in members {
                let Some((first, last)) = member.trim().split_once('-') else { continue };
                let whole = content.len();
                let range = match (first.parse::<usize>(), last.parse::<usize>()) {
                    (Ok(first), Ok(last)) => first..(last + 1).min(whole),
                    (Ok(first), Err(_)) => first..whole,
                    (Err(_), Ok(count)) => whole.saturating_sub(count)..whole,
                    (Err(_), Err(_)) => continue,
                };
                parts.extend_from_slice(b"\r\n--x\r\n\r\n");
                parts.extend_from_slice(&content[range]);
            }
            if parts.is_empty() {
                wire.respond("200 OK\r\nCache-Control: max-age=600", &content).await;
            } else {
                wire.respond("206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x", &parts)
                    .await;
            }
            (wire, After::Keep)
        }
    })
    .await
}

#[tokio::test]
async fn no_ranges_make_an_answer_larger_than_the_representation() {
    for length in [10, MIB] {
        let origin = obedient(pattern(length)).await;
        let edge = TestEdge::start(origin.address).await;
        let mut asked = 0;
        for (n, range) in greedy().iter().enumerate() {
            let fields = format!("Range: {range}\r\n");
            // Of what is not stored yet, of what is, and past the store.
            for path in [format!("/{n}"), "/0".into(), format!("/{n}?X")] {
                let bypass = if path.ends_with('X') { "X-Forwarded-Host: x\r\n" } else { "" };
                let answer = edge.exchange("GET", &path, &format!("{fields}{bypass}")).await;
                assert!(
                    answer.body.len() <= length + PARTS,
                    "{} octets of {length} for {range}",
                    answer.body.len()
                );
                asked += 1;
            }
        }
        for seen in origin.seen() {
            // For one slice at most.
            let range = seen.field("range");
            assert!(
                range.is_none_or(|range| range == "bytes=0-1048575"),
                "the origin was asked for {range:?}"
            );
        }
        assert_eq!(edge.labelled("edge_limit_reached_total", "ranges"), asked);
    }
}

#[tokio::test]
async fn a_range_field_that_is_there_twice_is_not_passed_on() {
    let origin = obedient(pattern(1000)).await;
    let edge = TestEdge::start(origin.address).await;
    assert_eq!(edge.exchange("GET", "/", &"Range: bytes=0-\r\n".repeat(50)).await.status, 416);
    let answer = edge.exchange("GET", "/", &"Range: bytes=0-\r\n".repeat(2)).await;
    assert_eq!((answer.status, answer.body.len()), (200, 1000));
    assert_eq!(origin.seen()[0].field("range"), None);
    assert_eq!(edge.labelled("edge_limit_reached_total", "ranges"), 2);
}

#[tokio::test]
async fn honest_ranges_pass() {
    let origin = obedient(pattern(1000)).await;
    let edge = TestEdge::start(origin.address).await;
    for range in ["bytes=0-9", "bytes=990-", "bytes=-10", "bytes=0-9,20-29"] {
        edge.exchange("GET", "/", &format!("Range: {range}\r\nX-Forwarded-Host: x\r\n")).await;
        assert_eq!(origin.seen().last().expect("a request").field("range"), Some(range));
    }
    assert_eq!(edge.labelled("edge_limit_reached_total", "ranges"), 0);
}

/// Ranges that nobody needs are refused before anybody is asked.
#[tokio::test]
async fn greedy_ranges_cost_the_origin_nothing() {
    let origin = obedient(pattern(MIB)).await;
    let edge = TestEdge::start(origin.address).await;
    for n in 0..20 {
        let range = ranges(20, |part| format!("{}-{}", 30 * part + n, 30 * part + n));
        let answer = edge.exchange("GET", "/", &format!("Range: {range}\r\n")).await;
        assert_eq!(answer.status, 416);
        assert!(answer.text().contains("too many ranges"));
    }
    assert_eq!(origin.requests(), 0);
}

/// A place that leads to wherever is said later.
async fn passage() -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<std::net::SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (say, said) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let Ok(target) = said.await else { return };
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.expect("connect");
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, say)
}

async fn named(origin: std::net::SocketAddr, name: &str) -> TestEdge {
    TestEdge::with(origin, |config| config.customers[0].settings.name = name.into()).await
}

#[tokio::test]
async fn a_loop_of_two_cdns_is_cut_at_the_first_return() {
    let (passage, lead_to) = passage().await;
    let one = named(passage, "one").await;
    let two = named(one.address, "two").await;
    lead_to.send(two.address).expect("waiting");
    // One asks two, which asks one, which sees that the request has been there.
    for (turn, method) in [(1, "GET"), (2, "POST")] {
        let fields = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
        let answer = one.exchange(method, &format!("/{turn}"), fields).await;
        assert_eq!(answer.status, 508);
        assert_eq!(answer.text(), "508 the request has passed this CDN before\n");
        assert_eq!(one.labelled("edge_limit_reached_total", "loop"), turn);
        assert_eq!(one.metric("edge_origin_requests_total"), turn);
        assert_eq!(two.metric("edge_origin_requests_total"), turn);
    }
    assert_eq!(two.labelled("edge_limit_reached_total", "loop"), 0);
}

#[tokio::test]
async fn an_edge_that_is_its_own_origin_asks_itself_once() {
    let (passage, lead_to) = passage().await;
    let edge = named(passage, "one").await;
    lead_to.send(edge.address).expect("waiting");
    assert_eq!(edge.get("/").await.status, 508);
    assert_eq!(edge.metric("edge_origin_requests_total"), 1);
    // A chain of others does not hide it.
    let mut client = Client::connect(edge.address).await;
    let chain: String = (0..50).map(|n| format!("CDN-Loop: cdn{n}; v=1\r\n")).collect();
    client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\n{chain}CDN-Loop: a, ONE; v=2\r\n\r\n")).await;
    assert_eq!(client.response().await.status, 508);
    assert_eq!(edge.metric("edge_origin_requests_total"), 1);
}
