//! TLS on the client side: certificates by name, their replacement, versions of HTTP and TLS, limits of handshakes.

mod support;

use std::sync::Arc;
use std::time::Duration;

use edge::Config;
use edge::tls::TlsLimits;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, SignatureScheme};
use rustls_pki_types::CertificateDer;
use support::tls::{Folder, Trusting, client, handshake, with_tls};
use support::{After, Client, Origin, Response, TOKEN, TestEdge, pattern, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let certificates = stream.get_ref().1.peer_certificates().expect("certificates");
    certificates[0].clone().into_owned()
}

/// One request in HTTP/1.1 on a connection of its own.
async fn get(edge: &TestEdge, name: &str, host: &str) -> (u16, String) {
    let stream =
        handshake(edge, client(rustls::ALL_VERSIONS, &["http/1.1"]), name).await.expect("a handshake");
    ask(stream, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

async fn ask(mut stream: TlsStream<TcpStream>, text: &str) -> (u16, String) {
    stream.write_all(text.as_bytes()).await.expect("write");
    let mut all = Vec::new();
    // An end without close_notify would be an error.
    soon("an answer", stream.read_to_end(&mut all)).await.expect("a proper end");
    let all = String::from_utf8_lossy(&all).into_owned();
    (all.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), all)
}

#[tokio::test]
async fn each_name_gets_its_certificate() {
    let folder = Folder::new();
    let first = folder.write("first", &["first.test", "127.0.0.1"]);
    let second = folder.write("second", &["second.test", "*.second.test"]);
    let exact = folder.write("exact", &["exact.second.test"]);
    let edwards = KeyPair::generate_for(&PKCS_ED25519).expect("key");
    folder.write_with("edwards", &["both.test"], &edwards);
    let both = folder.write("both", &["both.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let files = ["first", "second", "exact", "edwards", "both"];
    let edge = TestEdge::with(origin.address, with_tls(&folder, &files)).await;
    let show = async |name: &str, config: ClientConfig| {
        shown(&handshake(&edge, config, name).await.expect("a handshake"))
    };
    for (name, certificate) in [
        ("first.test", &first),
        ("FIRST.test", &first),
        ("second.test", &second),
        ("www.second.test", &second),
        ("exact.second.test", &exact),
        ("a.b.second.test", &first),
        ("nobody.test", &first),
        // No name is sent for an address.
        ("127.0.0.1", &first),
    ] {
        let shown = show(name, client(rustls::ALL_VERSIONS, &[])).await;
        assert!(shown == *certificate, "{name}");
    }
    // Of two for one name, the first whose key the client can verify.
    let mut provider = default_provider();
    let without_edwards = |schemes: &&SignatureScheme| **schemes != SignatureScheme::ED25519;
    let supported = provider.signature_verification_algorithms;
    let kept: Vec<_> =
        supported.mapping.iter().filter(|(scheme, _)| without_edwards(&scheme)).copied().collect();
    provider.signature_verification_algorithms.mapping = Box::leak(kept.into_boxed_slice());
    let mut config = client(rustls::ALL_VERSIONS, &[]);
    config.dangerous().set_certificate_verifier(Arc::new(Trusting(provider)));
    assert!(show("both.test", config).await == both);
    assert!(show("both.test", client(rustls::ALL_VERSIONS, &[])).await != both);
}

/// RFC 9110 section 7.4: nobody is answered for a host that the certificate does not cover.
#[tokio::test]
async fn requests_for_other_hosts_are_misdirected() {
    let folder = Folder::new();
    folder.write("first", &["first.test", "*.wild.test", "127.0.0.1", "::1"]);
    folder.write("second", &["second.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first", "second"])).await;
    for (name, host, status) in [
        ("first.test", "first.test", 200),
        ("first.test", "First.TEST:8443", 200),
        ("first.test", "first.test.", 200),
        ("first.test", "a.wild.test", 200),
        ("nobody.test", "first.test", 200),
        ("127.0.0.1", "127.0.0.1:8443", 200),
        ("127.0.0.1", "[::1]", 200),
        ("first.test", "second.test", 421),
        ("first.test", "wild.test", 421),
        ("first.test", "a.b.wild.test", 421),
        ("nobody.test", "nobody.test", 421),
        ("127.0.0.1", "127.0.0.2", 421),
    ] {
        assert_eq!(get(&edge, name, host).await.0, status, "{name} {host}");
    }
    let send = async |text: &str| {
        let config = client(rustls::ALL_VERSIONS, &["http/1.1"]);
        ask(handshake(&edge, config, "first.test").await.expect("a handshake"), text).await.0
    };
    assert_eq!(send("GET https://first.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await, 200);
    assert_eq!(send("GET https://second.test/ HTTP/1.1\r\nHost: first.test\r\n\r\n").await, 421);
    assert_eq!(send("GET http://first.test/ HTTP/1.1\r\nHost: first.test\r\n\r\n").await, 421);
    // HTTP/1.0 without Host names nobody.
    assert_eq!(send("GET / HTTP/1.0\r\n\r\n").await, 400);
    assert_eq!(send("GET / HTTP/1.0\r\nHost: first.test\r\n\r\n").await, 200);
    // One store, and https is not http.
    let before = origin.requests();
    assert!(get(&edge, "first.test", "first.test").await.1.contains("hit"));
    let mut clear = edge.client().await;
    clear.send("GET / HTTP/1.1\r\nHost: first.test\r\n\r\n").await;
    assert!(!clear.response().await.cache_status().contains("hit"));
    assert_eq!(origin.requests(), before + 1);
}

#[tokio::test]
async fn versions_of_http_and_tls() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first"])).await;
    for version in rustls::ALL_VERSIONS {
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["h2"], Some("h2")),
            (&[], None),
        ] {
            let stream =
                handshake(&edge, client(&[version], offered), "site.test").await.expect("a handshake");
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
            assert_eq!(session.protocol_version(), Some(version.version));
        }
        // Nothing that both speak (RFC 7301 section 3.2).
        assert!(handshake(&edge, client(&[version], &["spdy/3"]), "site.test").await.is_err());
    }
    // HTTP/2 without ALPN is not spoken (RFC 9113 section 3.2).
    let stream = handshake(&edge, client(rustls::ALL_VERSIONS, &[]), "site.test").await.expect("a handshake");
    assert_eq!(ask(stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.0, 505);
    edge.until("edge_connections", 0).await;
}

/// No early data, though sessions are resumed.
#[tokio::test]
async fn sessions_are_resumed_without_early_data() {
    let folder = Folder::new();
    let old = folder.write("first", &["site.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first"])).await;
    for version in rustls::ALL_VERSIONS {
        folder.write("first", &["site.test"]);
        reload(&edge).await;
        let mut config = client(&[version], &["http/1.1"]);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let kind = async || {
            let mut stream = handshake(&edge, Arc::clone(&config), "site.test").await.expect("a handshake");
            assert!(!stream.get_ref().1.is_early_data_accepted());
            // Tickets come with what is read.
            stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await.expect("write");
            let mut some = [0; 64];
            soon("an answer", stream.read_exact(&mut some)).await.expect("read");
            (stream.get_ref().1.handshake_kind().expect("made"), shown(&stream))
        };
        use rustls::HandshakeKind::{Full, Resumed};
        assert_eq!(kind().await.0, Full);
        assert_eq!(kind().await.0, Resumed);
        // Not with a certificate that has been replaced.
        folder.write("first", &["site.test"]);
        reload(&edge).await;
        let (after, shown) = kind().await;
        assert_eq!(after, Full);
        assert!(shown != old);
    }
}

async fn reload(edge: &TestEdge) -> Response {
    let mut operator = Client::connect(edge.admin).await;
    operator
        .send(format!(
            "POST /certificates/reload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    operator.response().await
}

#[tokio::test]
async fn certificates_are_replaced_while_serving() {
    let folder = Folder::new();
    let old = folder.write("first", &["site.test"]);
    folder.write("second", &["second.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first", "second"])).await;
    let show = async || {
        let config = client(rustls::ALL_VERSIONS, &["http/1.1"]);
        shown(&handshake(&edge, config, "site.test").await.expect("a handshake"))
    };
    let config = client(rustls::ALL_VERSIONS, &["http/1.1"]);
    let mut open = handshake(&edge, config, "site.test").await.expect("a handshake");
    // Bad files change nothing, and it is said what is wrong with which.
    let bad: [(&str, &str, &str); 6] = [
        ("second.pem", "", "second.pem holds no certificate"),
        (
            "second.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "second.pem cannot be",
        ),
        (
            "second.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "second.pem holds no certificate",
        ),
        ("second.key", "", "second.key holds no private key"),
        ("second.key", "the key of the first", "cannot be used with the key in"),
        ("second.pem", "nothing at all", "cannot read"),
    ];
    for (count, (file, text, says)) in bad.into_iter().enumerate() {
        folder.write("first", &["site.test", "new.test"]);
        folder.write("second", &["second.test"]);
        match text {
            "nothing at all" => std::fs::remove_file(folder.path(file)).expect("remove"),
            "the key of the first" => {
                std::fs::copy(folder.path("first.key"), folder.path(file)).map(drop).expect("copy");
            }
            text => std::fs::write(folder.path(file), text).expect("write"),
        }
        let response = reload(&edge).await;
        assert_eq!(response.status, 422, "{}", response.text());
        assert!(response.text().contains(says), "{says}: {}", response.text());
        assert!(response.text().contains("old certificates stay"), "{}", response.text());
        assert!(show().await == old, "{says}");
        assert_eq!(edge.metric("edge_tls_reloads_failed_total"), count as u64 + 1);
    }
    // One without names is one for nobody.
    let nobody = rcgen::CertificateParams::default();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("key");
    std::fs::write(folder.path("second.pem"), nobody.self_signed(&key).expect("made").pem()).expect("write");
    std::fs::write(folder.path("second.key"), key.serialize_pem()).expect("write");
    assert!(reload(&edge).await.text().contains("subjectAltName"));

    let new = folder.write("first", &["site.test"]);
    folder.write("second", &["second.test"]);
    let response = reload(&edge).await;
    assert_eq!((response.status, response.text().as_str()), (200, "{\"certificates\":2}\n"));
    assert_eq!(edge.metric("edge_tls_reloads_total"), 1);
    assert!(show().await == new);
    // The open connection goes on.
    open.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await.expect("write");
    let mut all = String::new();
    soon("an answer", open.read_to_string(&mut all)).await.expect("read");
    assert!(all.ends_with("page"), "{all}");
    // Operators only.
    let mut stranger = Client::connect(edge.admin).await;
    stranger.send("POST /certificates/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(stranger.response().await.status, 401);
    let without = TestEdge::start(origin.address).await;
    assert_eq!(reload(&without).await.status, 409);
}

/// Nobody is served in the clear.
#[tokio::test]
async fn the_clear_listener_can_be_left_out() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let mut edge = TestEdge::with(origin.address, |config| {
        with_tls(&folder, &["first"])(config);
        config.listen = None;
    })
    .await;
    let (status, answer) = get(&edge, "site.test", "site.test").await;
    assert!(status == 200 && answer.ends_with("page"), "{answer}");
    assert_eq!(edge.admin("GET", "/status", TOKEN, "").await.json()["listen"], serde_json::Value::Null);
    assert_eq!(edge.stop().await.expect("stops").cut, 0);
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:1".parse().expect("authority"));
    config.listen = None;
    let decide = |settings: &http_cache::Settings| -> Arc<dyn http_cache::Decisions> {
        Arc::new(http_cache::Standard::new(settings.clone()))
    };
    let error = edge::bind(config, decide, edge::Clock::system()).expect_err("nowhere to connect");
    assert!(error.to_string().contains("no listener for clients"), "{error}");
}

#[tokio::test]
async fn bad_certificates_at_the_start_are_said() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    std::fs::remove_file(folder.path("first.key")).expect("remove");
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), "127.0.0.1:1".parse().expect("authority"));
    with_tls(&folder, &["first"])(&mut config);
    let decide = |settings: &http_cache::Settings| -> Arc<dyn http_cache::Decisions> {
        Arc::new(http_cache::Standard::new(settings.clone()))
    };
    let error = edge::bind(config, decide, edge::Clock::system()).expect_err("no key");
    assert!(error.to_string().contains("first.key"), "{error}");
}

/// Connections that do not speak TLS, or not to the end, cost little and not for long.
#[tokio::test]
async fn handshakes_are_bounded() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        with_tls(&folder, &["first"])(config);
        let tls = config.tls.as_mut().expect("TLS");
        tls.limits = TlsLimits { handshakes: 2, handshake_time: Duration::from_millis(300) };
    })
    .await;
    let outcomes = |outcome: &str| edge.labelled("edge_tls_handshakes_total", outcome);
    // What is no TLS is told so, with an alert.
    let mut clear = Client::connect(edge.tls).await;
    clear.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let mut alert = Vec::new();
    soon("an alert", clear.stream.read_to_end(&mut alert)).await.expect("read");
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
    assert_eq!(outcomes("failed"), 1);
    // Silent ones take all places, for as long as a handshake may take.
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(Client::connect(edge.tls).await);
    }
    for client in &mut silent {
        assert!(client.is_closed().await);
    }
    assert_eq!(outcomes("late"), 6);
    assert_eq!(edge.labelled("edge_limit_reached_total", "tls.handshake-time"), 6);
    assert_eq!(get(&edge, "site.test", "site.test").await.0, 200);
    assert_eq!(outcomes("made"), 1);
    edge.until("edge_connections", 0).await;
}

#[tokio::test]
async fn content_passes_whole_and_a_broken_end_is_seen() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::start(|seen, mut wire| async move {
        if seen.path() == "/short" {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await;
            return (wire, After::Close);
        }
        wire.respond(PAGE, pattern(3 << 20)).await;
        (wire, After::Keep)
    })
    .await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["first"])).await;
    let config = Arc::new(client(rustls::ALL_VERSIONS, &["http/1.1"]));
    let mut stream = handshake(&edge, Arc::clone(&config), "site.test").await.expect("a handshake");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await.expect("write");
    let mut all = Vec::new();
    soon("content", stream.read_to_end(&mut all)).await.expect("a proper end");
    assert!(all.ends_with(&pattern(3 << 20)));
    // HTTP/1.0 has nothing but the end of the connection to tell it by, and TLS tells a proper end from another.
    let mut stream = handshake(&edge, config, "site.test").await.expect("a handshake");
    stream.write_all(b"GET /short HTTP/1.0\r\nHost: site.test\r\n\r\n").await.expect("write");
    let mut all = Vec::new();
    let ended = soon("an end", stream.read_to_end(&mut all)).await;
    assert!(ended.is_err() && all.ends_with(b"part"), "{ended:?}");
}

#[tokio::test]
async fn stopping_closes_connections_properly() {
    let folder = Folder::new();
    folder.write("first", &["site.test"]);
    let origin = Origin::fixed(PAGE, b"page").await;
    let mut edge = TestEdge::with(origin.address, with_tls(&folder, &["first"])).await;
    let config = client(rustls::ALL_VERSIONS, &["http/1.1"]);
    let mut idle = handshake(&edge, config, "site.test").await.expect("a handshake");
    idle.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await.expect("write");
    let mut some = [0; 16];
    soon("an answer", idle.read_exact(&mut some)).await.expect("read");
    let stopped = edge.stop();
    let mut rest = Vec::new();
    soon("the end", idle.read_to_end(&mut rest)).await.expect("with close_notify");
    assert_eq!(soon("the end", stopped).await.expect("no panic").cut, 0);
    assert!(TcpStream::connect(edge.tls).await.is_err());
}
