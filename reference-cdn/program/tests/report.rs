//! An edge that reports its load, and that leaves when it is told to stop.

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use control::load_report::{Keys, LoadReport, State, read};
use rustix::process::Signal;
use support::{Origin, Running, get, program};

const KEY: &str = "a key for load reports";

#[test]
fn an_edge_tells_how_loaded_it_is_and_that_it_stops_before_it_does() {
    let origin = Origin::start("Cache-Control: max-age=600", "page");
    let mapper = UdpSocket::bind("127.0.0.1:0").expect("bind");
    mapper.set_read_timeout(Some(Duration::from_secs(20))).expect("time-out");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("load.key"), KEY).expect("write");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[origin]\nurl = \"{}\"\n[report]\nto = [\"{}\"]\nserver = \"ams-1\"\nkey = 3\nkey-file = \"{}\"\nleave = \"3s\"\nnames = [\"WWW.shop.example=www.g.cdn.example\"]\n",
        origin.url(),
        mapper.local_addr().expect("address"),
        folder.path().join("load.key").display()
    );
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, config).expect("write");
    let (mut edge, ready) = Running::start_json(program(&["edge", "--json", "--config"]).arg(&file));
    let address = ready["listen"].as_str().expect("an address");

    let mut keys = Keys::default();
    keys.add(3, KEY.as_bytes()).expect("a key");
    let next = || {
        let mut datagram = [0; 1500];
        let length = mapper.recv(&mut datagram).expect("a report each second");
        read(&datagram[..length], &keys).expect("an authentic report")
    };
    let first = next();
    assert_eq!((first.server.as_str(), first.state), ("ams-1", State::Serves));
    for host in ["www.shop.example", "www.shop.example:80", "elsewhere.example"] {
        assert!(get(address, host).ends_with("page"));
    }
    let told = |holds: &dyn Fn(&LoadReport) -> bool| (0..20).map(|_| next()).find(|report| holds(report));
    let report = told(&|report| report.requests > 0).expect("a report of the requests");
    assert!(report.number > first.number && report.started == first.started && report.sent >= first.sent);
    // Two of three requests, all of one size; the second in which they came may have been cut.
    let share = report.names.first().map(|name| (name.name.as_str(), name.share));
    assert!(matches!(share, Some(("www.g.cdn.example", 300..=1000))), "{report:?}");

    edge.signal(Signal::TERM);
    told(&|report| report.state == State::Stops).expect("it says that it stops");
    assert!(get(address, "www.shop.example").ends_with("page"), "who was sent here before is served");
    assert_eq!(next().state, State::Stops, "no later report takes it back");
    assert!(edge.wait().expect("ends").success());
}
