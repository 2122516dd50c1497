//! What is read again while an edge serves: tokens for purges, and whom origins' certificates are verified with.

#[path = "support/secure.rs"]
mod secure;
mod support;

use edge::purge::PurgeToken;
use edge::{OriginConfig, Protocol};
use secure::{Authority, H2Origin, TlsFront, respond};
use support::{Origin, Response, TOKEN, TestEdge};

const FIRST: &str = "first-first-first";
const SECOND: &str = "second-second-second";

async fn reload(edge: &TestEdge, status: u16) -> Response {
    let answer = edge.admin("POST", "/reload", TOKEN, "").await;
    assert_eq!(answer.status, status, "{}", answer.text());
    answer
}

#[tokio::test]
async fn tokens_for_purges_are_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("tokens");
    let write = |text: &str| std::fs::write(&file, text).expect("write");
    write(&format!("default {FIRST}\n"));
    let origin = Origin::fixed("200 OK", b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.purge.tokens = PurgeToken::read(&file, |name| name == "default").expect("tokens");
        config.purge.token_file = Some(file.clone());
    })
    .await;
    let good = async |token: &str| {
        let status = edge.admin("POST", "/purge", token, r#"{"pattern": "*"}"#).await.status;
        assert!(status == 200 || status == 401, "{status}");
        status == 200
    };
    assert!(good(FIRST).await && !good(SECOND).await);
    // Written, and not yet read.
    write(&format!("# new\ndefault {SECOND} deploy\n"));
    assert!(good(FIRST).await && !good(SECOND).await);
    assert_eq!(reload(&edge, 200).await.json()["purge_tokens"], 1);
    assert!(!good(FIRST).await && good(SECOND).await);
    assert_eq!(edge.metric("edge_purge_token_reloads_total"), 1);
    // One that is no good changes nothing, and its tokens are not shown.
    for (text, says) in [
        (format!("default {FIRST}\ndefault short\n"), "line 2: a token has 16"),
        (format!("stranger {FIRST}\n"), "whom this edge does not have"),
    ] {
        write(&text);
        let answer = reload(&edge, 422).await.text();
        assert!(answer.contains(says) && answer.contains("old tokens for purges stay"), "{answer}");
        assert!(!answer.contains(FIRST), "{answer}");
        assert!(!good(FIRST).await && good(SECOND).await);
    }
    std::fs::remove_file(&file).expect("remove");
    assert!(reload(&edge, 422).await.text().contains("cannot read the tokens"));
    assert_eq!(edge.metric("edge_purge_token_reloads_failed_total"), 3);
    assert!(good(SECOND).await);
    // An empty file takes everybody's away.
    write("");
    reload(&edge, 200).await;
    assert!(!good(SECOND).await);
    // Operators only.
    write(&format!("default {FIRST}\n"));
    reload(&edge, 200).await;
    assert_eq!(edge.admin("POST", "/reload", FIRST, "").await.status, 403);
    assert_eq!(edge.admin("POST", "/reload", SECOND, "").await.status, 401);
}

async fn edge(origin: OriginConfig) -> TestEdge {
    let nowhere = ([127, 0, 0, 1], 9).into();
    TestEdge::with(nowhere, |config| config.customers[0].origin.origins = vec![origin]).await
}

/// Whom an edge trusts changes while it has a connection open.
async fn trust_changes(authority: &Authority, edge: &TestEdge) {
    let mine = std::fs::read(authority.file()).expect("read");
    let others = std::fs::read(Authority::new().file()).expect("read");
    let origins = |answer: Response| {
        let origins = &answer.json()["origins"];
        (origins["changed"].as_u64(), origins["unchanged"].as_u64())
    };
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(origins(reload(edge, 200).await), (Some(0), Some(1)));
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(edge.metric("edge_origin_connections_opened_total"), 1, "nothing changed");
    std::fs::write(authority.file(), "no certificate").expect("write");
    assert!(reload(edge, 422).await.text().contains("its trust stays as it was"));
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(edge.metric("edge_origin_connections_opened_total"), 1, "it stayed");
    std::fs::write(authority.file(), &others).expect("write");
    assert_eq!(origins(reload(edge, 200).await), (Some(1), Some(0)));
    let refused = edge.get("/").await;
    assert_eq!(refused.status, 502, "the connection of before was used");
    assert!(refused.proxy_status().contains("tls_certificate_error"), "{}", refused.proxy_status());
    std::fs::write(authority.file(), &mine).expect("write");
    assert_eq!(origins(reload(edge, 200).await), (Some(1), Some(0)));
    assert_eq!(edge.get("/").await.text(), "page");
    assert_eq!(edge.metric("edge_origin_tls_reloads_total"), 2);
    assert_eq!(edge.metric("edge_origin_tls_reloads_failed_total"), 1);
}

#[tokio::test]
async fn trust_towards_origins_is_replaced() {
    let (authority, behind) =
        (Authority::new(), Origin::fixed("200 OK\r\nCache-Control: no-store", b"page").await);
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &["http/1.1"], false);
    let front = TlsFront::start(acceptor, behind.address).await;
    trust_changes(&authority, &edge(authority.origin(front.address, Protocol::Auto)).await).await;

    let authority = Authority::new();
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &["h2"], false);
    let origin = H2Origin::start(Some(acceptor), 100, |_, _, mut reply| async move {
        respond(&mut reply, 200, &[("cache-control", "no-store")], "page");
    })
    .await;
    trust_changes(&authority, &edge(authority.origin(origin.address, Protocol::Auto)).await).await;
}

#[tokio::test]
async fn what_is_shown_to_origins_is_replaced() {
    let (authority, behind) =
        (Authority::new(), Origin::fixed("200 OK\r\nCache-Control: no-store", b"page").await);
    let acceptor = authority.acceptor(authority.issue(&["site.test"]), &["http/1.1"], true);
    let front = TlsFront::start(acceptor, behind.address).await;
    let mut origin = authority.origin(front.address, Protocol::Auto);
    // That of an authority which the origin does not know.
    let stranger = Authority::new();
    let (certificate, key) = stranger.files("edge", &stranger.issue(&["edge.test"]));
    origin.tls.as_mut().expect("TLS").certificate = Some((certificate.clone(), key.clone()));
    let edge = edge(origin).await;
    assert_eq!(edge.get("/").await.status, 502);
    let (good, good_key) = authority.files("edge", &authority.issue(&["edge.test"]));
    std::fs::copy(good, &certificate).expect("copy");
    // Half of the pair is no pair.
    assert!(reload(&edge, 422).await.text().contains("cannot be shown to origins"));
    std::fs::copy(good_key, &key).expect("copy");
    reload(&edge, 200).await;
    assert_eq!(edge.get("/").await.text(), "page");
}
