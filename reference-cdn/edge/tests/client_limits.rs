//! What one client may have, and one customer: connections, requests in a second, requests in flight.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use edge::{Config, CustomerConfig, Host, OriginConfig, OriginGroupConfig, Rate};
use support::{After, Client, Origin, Response, TestEdge, soon, until};
use tokio::net::TcpSocket;

const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";

/// A connection from one of this machine's many addresses.
async fn from(last: u8, edge: &TestEdge) -> Client {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("bind");
    let stream = soon("connect", socket.connect(edge.address)).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    Client { stream, buffer: Vec::new() }
}

async fn ask(client: &mut Client, host: &str, fields: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await;
    client.response().await
}

async fn status(client: &mut Client) -> u16 {
    ask(client, "site.test", "").await.status
}

fn per_client(per_second: u32, burst: u32) -> impl Fn(&mut Config) {
    move |config| config.customers[0].limits.client_rate = Rate { per_second, burst }
}

#[tokio::test]
async fn a_client_with_too_many_connections_is_closed_at_once_and_others_are_not() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| config.per_client.connections = 3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = from(1, &edge).await;
        assert_eq!(status(&mut client).await, 200);
        open.push(client);
    }
    // A flood from one address, which never gets a word.
    for _ in 0..200 {
        assert!(from(1, &edge).await.is_closed().await);
    }
    assert_eq!(edge.labelled("edge_limit_reached_total", "per-client.connections"), 200);
    assert_eq!(edge.metric("edge_connections_accepted_total"), 3);
    // Others come and go as before, and so do the three.
    for last in 2..10 {
        assert_eq!(status(&mut from(last, &edge).await).await, 200);
    }
    for client in &mut open {
        assert_eq!(status(client).await, 200);
    }
    // A place that becomes free is theirs again.
    drop(open.pop());
    edge.until("edge_connections", 2).await;
    assert_eq!(status(&mut from(1, &edge).await).await, 200);
    drop(open);
    edge.until("edge_clients_connected", 0).await;
}

#[tokio::test]
async fn a_prefix_makes_one_client_of_its_addresses() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.per_client.connections = 1;
        config.per_client.lengths.ipv4 = 30;
    })
    .await;
    let mut first = from(4, &edge).await;
    assert_eq!(status(&mut first).await, 200);
    for same in [5, 6, 7] {
        assert!(from(same, &edge).await.is_closed().await, "127.0.0.{same}");
    }
    assert_eq!(status(&mut from(8, &edge).await).await, 200);
}

#[tokio::test]
async fn a_client_above_its_rate_is_told_when_to_come_again_and_others_go_on() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, per_client(2, 5)).await;
    // The rate is a client's, over all its connections.
    let (mut one, mut two, mut other) = (from(1, &edge).await, from(1, &edge).await, from(2, &edge).await);
    for _ in 0..2 {
        assert_eq!((status(&mut one).await, status(&mut two).await), (200, 200));
    }
    assert_eq!(status(&mut one).await, 200);
    for client in [&mut one, &mut two] {
        let refused = ask(client, "site.test", "").await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.text(), "429 too many requests from this address; try again later\n");
        assert_eq!(refused.field("retry-after"), Some("1"));
        assert_eq!(refused.field("cache-control"), Some("no-store"));
        assert!(refused.field("date").is_some());
    }
    for _ in 0..5 {
        assert_eq!(status(&mut other).await, 200);
    }
    // It was told to come in a second: two requests' worth.
    edge.advance(1);
    assert_eq!((status(&mut one).await, status(&mut two).await, status(&mut one).await), (200, 200, 429));
    edge.advance(60);
    for _ in 0..5 {
        assert_eq!(status(&mut one).await, 200);
    }
    assert_eq!(edge.labelled("edge_limit_reached_total", "per-client.rate"), 3);
    assert_eq!(edge.labelled("edge_requests_total", "limited"), 3);
    assert_eq!(edge.labelled("edge_customer_requests_refused_total", "default"), 3);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn every_kind_of_request_counts_and_a_refused_one_does_not_break_the_connection() {
    let origin = Origin::fixed("200 OK", b"page").await;
    let edge = TestEdge::with(origin.address, per_client(1, 1)).await;
    let mut client = from(1, &edge).await;
    assert_eq!(status(&mut client).await, 200);
    client.send("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(client.response().await.status, 429);
    client.send("HEAD / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let refused = client.try_response("HEAD").await.expect("an answer");
    assert_eq!((refused.status, refused.body.len()), (429, 0));
    // Pipelined ones too.
    client.send("GET / HTTP/1.1\r\nHost: site.test\r\n\r\n".repeat(50)).await;
    for _ in 0..50 {
        assert_eq!(client.response().await.status, 429);
    }
    // A client that waits to be told to send its content is not told to.
    client
        .send("PUT / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let refused = client.response().await;
    assert_eq!((refused.status, refused.interim.len()), (429, 0));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn requests_for_nobodys_hosts_count_as_well() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        config.customers[0].hosts = vec![Host::Exact("site.test".into())];
        config.stray_rate = Rate { per_second: 1, burst: 2 };
    })
    .await;
    let mut client = from(1, &edge).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&mut client, "other.test", "").await.status);
    }
    assert_eq!(statuses, [421, 421, 429, 429]);
    assert_eq!(ask(&mut client, "site.test", "").await.status, 200);
}

#[tokio::test]
async fn who_is_exempt_has_no_limit_and_a_proxy_stands_for_its_clients() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        per_client(1, 2)(config);
        config.per_client.connections = 1;
        config.per_client.exempt =
            vec!["127.0.0.9".parse().expect("prefix"), "192.0.2.99".parse().expect("prefix")];
        config.per_client.proxies = vec!["127.0.0.16/28".parse().expect("prefix")];
    })
    .await;
    // Monitoring.
    let mut monitors = [from(9, &edge).await, from(9, &edge).await, from(9, &edge).await];
    for client in &mut monitors {
        for _ in 0..5 {
            assert_eq!(status(client).await, 200);
        }
    }
    // A load balancer with several connections, and clients behind it.
    let mut balancer = [from(17, &edge).await, from(17, &edge).await];
    let mut through = async |client: &str| {
        let mut statuses = Vec::new();
        for connection in [0, 1, 0] {
            let fields = format!("X-Forwarded-For: 127.0.0.9, {client}\r\n");
            statuses.push(ask(&mut balancer[connection], "site.test", &fields).await.status);
        }
        statuses
    };
    assert_eq!(through("192.0.2.1").await, [200, 200, 429]);
    assert_eq!(through("192.0.2.2, 127.0.0.18").await, [200, 200, 429]);
    // Whatever the client wrote itself does not make it another, or exempt.
    assert_eq!(through("192.0.2.99, 192.0.2.1").await, [429, 429, 429]);
    assert_eq!(through("192.0.2.99").await, [200, 200, 200]);
    // The balancer's own health check names nobody.
    for _ in 0..5 {
        assert_eq!(status(&mut balancer[0]).await, 200);
    }
    // From anybody else the field is not believed.
    let mut liar = from(40, &edge).await;
    let mut statuses = Vec::new();
    for client in 1..5 {
        let fields = format!("X-Forwarded-For: 127.0.0.{client}\r\n");
        statuses.push(ask(&mut liar, "site.test", &fields).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert!(from(40, &edge).await.is_closed().await);
}

/// An edge for two customers; requests of the first hang at its origin.
async fn two(change: impl FnOnce(&mut Config)) -> (TestEdge, Origin, Origin) {
    let hanging = Origin::start(|_, mut wire| async move {
        wire.until_closed().await;
        (wire, After::Close)
    })
    .await;
    let good = Origin::fixed("200 OK", b"page").await;
    let edge = TestEdge::with(good.address, |config| {
        let customer = |name: &str, origin: &Origin| {
            let origin = OriginConfig::new(origin.address.to_string().parse().expect("authority"));
            let hosts = vec![Host::Exact(format!("{name}.test"))];
            CustomerConfig { name: name.into(), hosts, ..CustomerConfig::new(OriginGroupConfig::new(origin)) }
        };
        config.customers = vec![customer("crowded", &hanging), customer("quiet", &good)];
        change(config);
    })
    .await;
    (edge, hanging, good)
}

#[tokio::test]
async fn a_customer_whose_origin_hangs_does_not_take_every_place() {
    let (edge, hanging, good) = two(|config| config.customers[0].limits.in_flight = 20).await;
    let mut waiting = Vec::new();
    for n in 0..20 {
        let mut client = edge.client().await;
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: crowded.test\r\n\r\n")).await;
        waiting.push(client);
    }
    hanging.wait_for(20).await;
    assert_eq!(edge.labelled("edge_customer_requests_in_flight", "crowded"), 20);
    for _ in 0..10 {
        let refused = ask(&mut edge.client().await, "crowded.test", "").await;
        assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
        assert_eq!(refused.text(), "503 too many requests for this site at the moment; try again later\n");
        assert_eq!(ask(&mut edge.client().await, "quiet.test", "").await.status, 200);
    }
    assert_eq!(edge.labelled("edge_limit_reached_total", "per-customer.in-flight"), 10);
    assert_eq!(edge.labelled("edge_customer_requests_refused_total", "crowded"), 10);
    assert_eq!(edge.labelled("edge_customer_requests_refused_total", "quiet"), 0);
    assert_eq!(good.requests(), 10);
    // Those who leave make room.
    for client in waiting.drain(..) {
        client.reset();
    }
    until("room", || edge.labelled("edge_customer_requests_in_flight", "crowded") == 0).await;
}

#[tokio::test]
async fn a_crowd_at_one_customer_leaves_the_others_alone() {
    let broken = Origin::start(|_, wire| async move { (wire, After::Close) }).await;
    let (edge, _hanging, _good) = two(|config| {
        config.customers[0].origin =
            OriginGroupConfig::new(OriginConfig::new(broken.address.to_string().parse().expect("authority")));
        config.customers[1].limits.rate = Rate { per_second: 10, burst: 30 };
    })
    .await;
    // A crowd of many clients, each well within what one may ask.
    let mut statuses = Vec::new();
    for last in 1..=100 {
        statuses.push(ask(&mut from(last, &edge).await, "quiet.test", "").await);
    }
    let admitted = statuses.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 30);
    assert!(statuses[30..].iter().all(|it| it.status == 503 && it.field("retry-after") == Some("1")));
    // The other customer has its own troubles, but not this one.
    assert_eq!(ask(&mut from(1, &edge).await, "crowded.test", "").await.status, 502);
    edge.advance(2);
    let mut admitted = 0;
    for last in 1..=100 {
        admitted += usize::from(ask(&mut from(last, &edge).await, "quiet.test", "").await.status == 200);
    }
    assert_eq!(admitted, 20);
    assert_eq!(edge.labelled("edge_limit_reached_total", "per-customer.rate"), 150);
}

#[tokio::test]
async fn a_flood_of_addresses_has_nobody_refused_and_takes_no_memory() {
    let origin = Origin::fixed(PAGE, b"page").await;
    let edge = TestEdge::with(origin.address, |config| {
        per_client(1, 3)(config);
        config.per_client.remembered = 1024;
        config.per_client.proxies = vec!["127.0.0.1".parse().expect("prefix")];
    })
    .await;
    let mut client = edge.client().await;
    // 20 000 addresses, one request each, in a table for 1024.
    for batch in 0..200_u32 {
        let requests: String = (0..100)
            .map(|n| {
                let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + batch * 100 + n));
                format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n")
            })
            .collect();
        client.send(requests).await;
        for _ in 0..100 {
            assert_eq!(client.response().await.status, 200);
        }
    }
    assert!(edge.metric("edge_clients_forgotten_total") > 18_000);
    // Whoever asks too much is still refused while the flood goes on around it.
    let mut refused = 0;
    for n in 0..20 {
        let own = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
        let other = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.{n}\r\n\r\n");
        client.send(format!("{own}{other}")).await;
        refused += usize::from(client.response().await.status == 429);
        assert_eq!(client.response().await.status, 200);
    }
    assert!(refused >= 10, "{refused} of 20 refused");
}
