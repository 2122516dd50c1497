//! Origins in TLS: who is trusted, what name is asked for, and how each failure is told.

#[path = "support/secure.rs"]
mod secure;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::{Clock, Config, OriginConfig, OriginGroupConfig, Protocol, Role, bind};
use http_cache::{Settings, Standard};
use secure::{Authority, H2Origin, TlsFront, respond};
use support::{After, Client, Origin, Response, TestEdge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn edge(origins: Vec<OriginConfig>, change: impl FnOnce(&mut OriginGroupConfig)) -> TestEdge {
    let any = SocketAddr::from(([127, 0, 0, 1], 9));
    TestEdge::with(any, |config: &mut Config| {
        let group = &mut config.customers[0].origin;
        group.origins = origins;
        change(group);
    })
    .await
}

async fn page() -> Origin {
    Origin::fixed("200 OK\r\nCache-Control: no-store", b"page").await
}

/// A request for this host.
async fn get(edge: &TestEdge, host: &str) -> Response {
    let mut client = edge.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.response().await
}

fn says(response: &Response, error: &str) {
    let expected = if error == "connection_timeout" { 504 } else { 502 };
    assert_eq!(response.status, expected, "{}", response.proxy_status());
    assert!(response.proxy_status().contains(error), "{}", response.proxy_status());
}

#[tokio::test]
async fn the_name_is_that_of_the_host_sent() {
    let (authority, behind) = (Authority::new(), page().await);
    let acceptor = authority.acceptor(authority.issue(&["a.test", "b.test", "127.0.0.1"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let edge = edge(vec![authority.origin(front.address, Protocol::Auto)], |_| {}).await;
    for host in ["a.test", "A.Test:8080", "b.test", "a.test", "127.0.0.1:1"] {
        assert_eq!(get(&edge, host).await.text(), "page", "{host}");
    }
    // A connection carries requests for the name that it was verified for, and no other.
    assert_eq!(front.names(), ["a.test", "b.test", "none"]);
    says(&get(&edge, "c.test").await, "tls_certificate_error");
    let hosts: Vec<_> =
        behind.seen().iter().map(|seen| seen.field("host").expect("host").to_owned()).collect();
    assert_eq!(hosts, ["a.test", "A.Test:8080", "b.test", "a.test", "127.0.0.1:1"], "Host goes on as it was");
}

#[tokio::test]
async fn a_name_can_be_configured() {
    let (authority, behind) = (Authority::new(), page().await);
    let acceptor = authority.acceptor(authority.issue(&["origin.test"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let mut origin = authority.origin(front.address, Protocol::Auto);
    origin.tls.as_mut().expect("tls").server_name = Some("origin.test".into());
    let edge = edge(vec![origin], |_| {}).await;
    for host in ["a.test", "b.test"] {
        assert_eq!(get(&edge, host).await.text(), "page");
    }
    assert_eq!(front.names(), ["origin.test"], "one connection for both");
}

#[tokio::test]
async fn an_origin_that_nobody_vouches_for_gets_no_request() {
    let (ours, theirs, behind) = (Authority::new(), Authority::new(), page().await);
    let acceptor = theirs.acceptor(theirs.issue(&["site.test"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let edge = edge(vec![ours.origin(front.address, Protocol::Auto)], |_| {}).await;
    says(&edge.get("/").await, "tls_certificate_error");
    assert_eq!((behind.requests(), front.names().len()), (0, 0));
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_ours() {
    let (authority, behind) = (Authority::new(), page().await);
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let mut origin = authority.origin(front.address, Protocol::Auto);
    origin.tls.as_mut().expect("tls").ca = None;
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), "h".parse().expect("authority"));
    config.customers[0].origin.origins = vec![origin.clone()];
    let decide =
        |settings: &Settings| Arc::new(Standard::new(settings.clone())) as Arc<dyn http_cache::Decisions>;
    if let Err(error) = bind(config, decide, Clock::system()) {
        // A machine without any says so at once.
        assert!(error.to_string().contains("trusts no certificate authority"), "{error}");
        return;
    }
    let edge = edge(vec![origin], |_| {}).await;
    says(&edge.get("/").await, "tls_certificate_error");
}

#[tokio::test]
async fn an_origin_may_want_a_certificate_of_ours() {
    let (authority, behind) = (Authority::new(), page().await);
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let address;
        let acceptor = authority.acceptor(authority.issue(&["site.test"]), alpn, true);
        let (front, h2);
        if alpn[0] == "h2" {
            let script = |_, _, mut reply| async move { respond(&mut reply, 200, &[], "page") };
            h2 = H2Origin::start(Some(acceptor), 10, script).await;
            address = h2.address;
        } else {
            front = TlsFront::start(acceptor, behind.address).await;
            address = front.address;
        }
        let mut origin = authority.origin(address, Protocol::Auto);
        let without = edge(vec![origin.clone()], |_| {}).await;
        says(&without.get("/").await, "tls_alert_received");
        let ours = authority.issue(&["edge.test"]);
        origin.tls.as_mut().expect("tls").certificate = Some(authority.files("edge", &ours));
        let with = edge(vec![origin], |_| {}).await;
        assert_eq!(with.get("/").await.text(), "page", "{alpn:?}");
    }
}

/// A server that does this with each connection.
async fn server(act: &'static str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            match act {
                "hang" => kept.push(stream),
                "close" => {}
                _ => {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn what_goes_wrong_in_the_handshake_is_told_apart() {
    let authority = Authority::new();
    for (act, error) in [
        ("hang", "connection_timeout"),
        ("close", "tls_protocol_error"),
        ("clear text", "tls_protocol_error"),
    ] {
        let (address, task) = server(act).await;
        let edge = edge(vec![authority.origin(address, Protocol::Auto)], |group| {
            group.limits.handshake = Duration::from_millis(100);
        })
        .await;
        says(&edge.get("/").await, error);
        task.abort();
    }
}

/// Clients choose the name that is asked for, and could eject a healthy origin by choosing wrong ones.
#[tokio::test]
async fn names_that_clients_make_up_tell_nothing_about_the_origin() {
    let (authority, behind) = (Authority::new(), page().await);
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let origin = authority.origin(front.address, Protocol::Auto);
    let other =
        OriginConfig { role: Role::Backup, ..OriginConfig::new("127.0.0.1:1".parse().expect("authority")) };
    let edge = edge(vec![origin, other], |group| group.ejection.failures = 1).await;
    for _ in 0..3 {
        assert_eq!(get(&edge, "wrong.test").await.status, 502);
    }
    let up: Vec<u64> = edge
        .edge
        .samples()
        .iter()
        .filter(|sample| sample.name == "edge_origin_up")
        .map(|sample| sample.value)
        .collect();
    assert_eq!(up, [1, 0], "the other was tried, and is dead");
    assert_eq!(get(&edge, "site.test").await.text(), "page");
}

#[tokio::test]
async fn those_who_wait_for_a_handshake_fail_with_it() {
    let authority = Authority::new();
    let accepted = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let count = Arc::clone(&accepted);
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept().await.expect("accept"));
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let edge = edge(vec![authority.origin(address, Protocol::Auto)], |group| {
        group.limits.handshake = Duration::from_millis(300);
    })
    .await;
    let began = tokio::time::Instant::now();
    let mut clients: Vec<Client> = Vec::new();
    for n in 0..20 {
        let mut client = edge.client().await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        clients.push(client);
    }
    for client in &mut clients {
        says(&client.response().await, "connection_timeout");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "not one after the other: {:?}", began.elapsed());
    assert!(accepted.load(Ordering::SeqCst) <= 2);
    task.abort();
}

#[tokio::test]
async fn stale_responses_stand_in_when_the_handshake_fails() {
    let authority = Authority::new();
    let behind = Origin::start(|_, mut wire| async move {
        wire.respond("200 OK\r\nCache-Control: max-age=1, stale-if-error=1000", "stored").await;
        (wire, After::Close)
    })
    .await;
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &[], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    let edge = edge(vec![authority.origin(front.address, Protocol::Auto)], |_| {}).await;
    assert_eq!(edge.get("/").await.text(), "stored");
    edge.advance(5);
    // Somebody else has the address now.
    let strangers = Authority::new();
    front.become_one(strangers.acceptor(strangers.issue(&["site.test"]), &[], false));
    let response = edge.get("/").await;
    assert_eq!((response.status, response.text().as_str()), (200, "stored"));
    assert!(response.proxy_status().contains("tls_certificate_error"), "{}", response.proxy_status());
}

#[test]
fn what_cannot_be_used_is_said_before_the_edge_starts() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").expect("write");
    let identity = authority.issue(&["edge.test"]);
    let (certificate, key) = authority.files("edge", &identity);
    let (_, other_key) = authority.files("other", &authority.issue(&["other.test"]));
    let says = |change: &dyn Fn(&mut edge::OriginTls), expected: &str| {
        let mut tls =
            authority.origin(SocketAddr::from(([127, 0, 0, 1], 1)), Protocol::Auto).tls.expect("tls");
        change(&mut tls);
        match tls.check() {
            Ok(()) => assert!(expected.is_empty(), "expected: {expected}"),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
        }
    };
    says(&|_| {}, "");
    says(&|tls| tls.certificate = Some((certificate.clone(), key.clone())), "");
    says(&|tls| tls.ca = Some("/nonexistent".into()), "/nonexistent");
    says(&|tls| tls.ca = Some(empty.clone()), "holds no certificate");
    says(&|tls| tls.server_name = Some("a b".into()), "no name that a certificate can have");
    says(&|tls| tls.certificate = Some((certificate.clone(), empty.clone())), "holds no private key");
    says(&|tls| tls.certificate = Some((certificate.clone(), other_key.clone())), "cannot be shown");
}
