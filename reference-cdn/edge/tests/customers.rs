//! Several customers behind one edge: each request goes to the origin of whoever its host belongs to, and nothing that is
//! stored for one answers for another.

mod support;

use edge::{Config, CustomerConfig, Host, OriginConfig, OriginGroupConfig};
use support::{After, Origin, TestEdge};

async fn origin(text: &'static str) -> Origin {
    Origin::start(move |_, mut wire| async move {
        wire.respond("200 OK\r\nCache-Control: max-age=600", text).await;
        (wire, After::Keep)
    })
    .await
}

fn customer(name: &str, hosts: &[Host], origin: &Origin) -> CustomerConfig {
    let authority = origin.address.to_string().parse().expect("authority");
    let mut config = CustomerConfig::new(OriginGroupConfig::new(OriginConfig::new(authority)));
    config.name = name.into();
    config.hosts = hosts.to_vec();
    config
}

/// `one` has one.test and all below two.test, `two` has two.test.
async fn edge(one: &Origin, two: &Origin, change: impl FnOnce(&mut Config)) -> TestEdge {
    TestEdge::with(one.address, |config| {
        let hosts = [Host::Exact("one.test".into()), Host::Under("two.test".into())];
        config.customers =
            vec![customer("one", &hosts, one), customer("two", &[Host::Exact("two.test".into())], two)];
        change(config);
    })
    .await
}

async fn get(edge: &TestEdge, host: &str) -> (u16, String) {
    let mut client = edge.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let response = client.try_response("GET").await.expect("a response");
    (response.status, response.text())
}

#[tokio::test]
async fn the_host_decides_whose_origin_is_asked() {
    let (one, two) = (origin("one").await, origin("two").await);
    let edge = edge(&one, &two, |_| {}).await;
    for (host, expected) in [
        ("one.test", "one"),
        ("ONE.test:8080", "one"),
        ("two.test", "two"),
        ("www.two.test", "one"),
        ("two.test.", "two"),
    ] {
        assert_eq!(get(&edge, host).await, (200, expected.into()), "{host}");
    }
    for host in ["three.test", "www.one.test", "127.0.0.1"] {
        let (status, text) = get(&edge, host).await;
        assert_eq!(status, 421, "{host}");
        assert!(text.contains("no site of this name"), "{text}");
    }
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.try_response("GET").await.expect("a response").status, 400);
    assert_eq!((one.requests(), two.requests()), (3, 2));
}

#[tokio::test]
async fn a_purge_reaches_the_customer_whose_host_it_names() {
    let (one, two) = (origin("one").await, origin("two").await);
    let edge = edge(&one, &two, |config| {
        config.customers.push(customer("rest", &[Host::Any], &one));
    })
    .await;
    for host in ["one.test", "two.test", "other.test"] {
        get(&edge, host).await;
    }
    for (url, purged) in [
        ("http://two.test/", 1),
        ("http://two.test/", 0),
        ("http://other.test/", 1),
        ("http://unheard.test/", 0),
    ] {
        let answer = edge.purge(url).await;
        assert!(answer.text().contains(&format!("\"purged\":{purged}")), "{url}: {}", answer.text());
    }
    for host in ["one.test", "two.test", "other.test"] {
        get(&edge, host).await;
    }
    assert_eq!((one.requests(), two.requests()), (3, 2));
}
