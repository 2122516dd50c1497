//! HTTP/2 over TLS, by hand-made frames and by a client that everybody uses.

use std::process::Output;
use std::sync::Arc;

use super::client::*;
use super::support::tls::{Folder, client, handshake, with_tls};
use super::support::{After, Origin, TestEdge, pattern};
use super::{PAGE, hpack};

async fn connect(edge: &TestEdge, name: &str) -> Client {
    let config = client(rustls::ALL_VERSIONS, &["h2"]);
    let stream = handshake(edge, config, name).await.expect("a handshake");
    let mut client = Client::on(Box::new(stream), "https");
    client.greet(&[]).await;
    client
}

/// RFC 9113 section 9.1.2: one connection may carry requests for several hosts, and each is answered by itself.
#[tokio::test]
async fn streams_for_other_hosts_are_misdirected() {
    let folder = Folder::new();
    folder.write("first", &["site.test", "*.wild.test"]);
    folder.write("second", &["second.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first", "second"])).await;
    let mut client = connect(&edge, "site.test").await;
    for (scheme, host, status) in [
        ("https", "site.test", 200),
        ("https", "SITE.test:443", 200),
        ("https", "a.wild.test", 200),
        ("https", "second.test", 421),
        ("https", "wild.test", 421),
        ("http", "site.test", 421),
        ("https", "site.test", 200),
    ] {
        let fields = [(":method", "GET"), (":scheme", scheme), (":authority", host), (":path", "/")];
        let stream = client.open(&fields, END_STREAM).await;
        assert_eq!(client.answer(stream).await.status(), status, "{scheme}://{host}");
    }
    // Named by Host alone.
    let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "second.test")];
    let stream = client.open(&fields, END_STREAM).await;
    assert_eq!(client.answer(stream).await.status(), 421);
    assert_eq!(edge.metric("edge_heads_refused_total"), 4);
    // What breaks the protocol is said through TLS as well.
    client.send(frame(DATA, 0, 0, b"x")).await;
    assert_eq!(client.end().await, Some(PROTOCOL_ERROR));
    // A preface is due where ALPN said HTTP/2.
    let mut client = connect(&edge, "second.test").await;
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "second.test"), (":path", "/")];
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack::encode(&fields))).await;
    assert_eq!(client.answer(1).await.text(), "page");
}

/// Whatever curl can do, or why it cannot be asked.
async fn curl(arguments: &[&str]) -> Option<Output> {
    let required = std::env::var_os("REQUIRE_PEERS").is_some();
    let version = tokio::process::Command::new("curl").arg("--version").output().await;
    let speaks = version.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains("nghttp2"));
    if !speaks {
        assert!(!required, "curl with HTTP/2 is not here, and REQUIRE_PEERS is set");
        eprintln!("not run: there is no curl with HTTP/2");
        return None;
    }
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]).args(arguments);
    Some(command.output().await.expect("curl runs"))
}

#[tokio::test]
async fn curl_is_served() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::start(|seen, mut wire| async move {
        match seen.line.split(' ').next() {
            Some("POST") => wire.respond("200 OK", format!("{} octets", seen.body.len())).await,
            _ => wire.respond(PAGE, pattern(300_000)).await,
        }
        (wire, After::Keep)
    })
    .await;
    let edge = Arc::new(TestEdge::with(origin.address, with_tls(&folder, &["first"])).await);
    let authority = folder.path("first.pem");
    let authority = authority.to_str().expect("path");
    let upload = folder.path("upload");
    std::fs::write(&upload, pattern(700_000)).expect("write");
    let upload = format!("@{}", upload.to_str().expect("path"));
    let secured = format!("https://site.test:{}/a", edge.tls.port());
    let resolve = format!("site.test:{}:127.0.0.1", edge.tls.port());
    let clear = format!("http://{}/a", edge.address);
    let tls = ["--http2", "--cacert", authority, "--resolve", &resolve];
    let prior = ["--http2-prior-knowledge"];
    for (how, url) in [(&tls[..], secured.as_str()), (&prior, clear.as_str())] {
        let Some(got) = curl(&[how, &[url]].concat()).await else { return };
        assert!(got.stdout == pattern(300_000), "{}", String::from_utf8_lossy(&got.stderr));
        let posted = curl(&[how, &["--data-binary", &upload, url]].concat()).await.expect("here");
        assert_eq!(String::from_utf8_lossy(&posted.stdout), "700000 octets");
        let head = curl(&[how, &["--head", url]].concat()).await.expect("here");
        let head = String::from_utf8_lossy(&head.stdout).into_owned();
        assert!(head.starts_with("HTTP/2 200") && head.contains("content-length: 300000"), "{head}");
    }
    // Several on one connection. With prior knowledge, curl 7.88 cannot, whatever the server.
    let said = ["--write-out", "%{http_version} %{http_code} %{num_connects}\n", "--output", "/dev/null"];
    let again = curl(&[&tls[..], &said, &[&secured], &["--output", "/dev/null", &secured]].concat()).await;
    assert_eq!(String::from_utf8_lossy(&again.expect("here").stdout), "2 200 1\n2 200 0\n");
    // And HTTP/1.1 beside it.
    let old = curl(&["--http1.1", "--cacert", authority, "--resolve", &resolve, "--head", &secured]).await;
    let old = old.expect("here").stdout;
    assert!(old.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&old));
}
