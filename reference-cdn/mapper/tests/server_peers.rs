//! Clients that others wrote: dig, kdig and dnsperf, each of which has its own idea of how to use UDP, TCP and TLS.

mod server_support;

use std::io::Write as _;
use std::process::Command;

use mapper::server::{self, Config, Count, TlsConfig};
use server_support::{Obedient, framed, have, local, query, start};

/// Runs a client to its end; what it said.
fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().expect("starts");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{program} {arguments:?}: {}\n{said}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

#[test]
fn dig_is_answered_over_udp_and_tcp_in_both_families() {
    if !have("dig") {
        return;
    }
    let (server, addresses) = start(&["127.0.0.1:0", "[::1]:0"], |_| {});
    for at in &addresses {
        let (host, port) = (format!("@{}", at.ip()), at.port().to_string());
        for way in ["+notcp", "+tcp", "+tcp +keepopen", "+noedns +ignore"] {
            let mut arguments = vec![&*host, "-p", &*port, "+tries=1", "+short"];
            arguments.extend(way.split(' '));
            arguments.extend(["one.test", "A", "two.test", "A"]);
            assert_eq!(run("dig", &arguments), "192.0.2.1\n192.0.2.1\n", "{arguments:?}");
        }
    }
    server.stop();
}

#[test]
fn kdig_pipelines_and_speaks_tls() {
    if !have("kdig") {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let mut config = Config::listening(vec![local("127.0.0.1:0")]);
    let listen = vec![local("127.0.0.1:0")];
    config.tls = Some(TlsConfig {
        listen,
        certificate: certificate.clone(),
        key,
        handshake: std::time::Duration::from_secs(60),
    });
    let bound = server::bind(config).expect("binds");
    let (clear, secured) = (bound.addresses()[0], bound.tls_addresses()[0]);
    let server = bound.run(|_| Obedient::default()).expect("runs");

    let authority = format!("+tls-ca={}", certificate.display());
    for (at, way) in [
        (clear, &["+tcp", "+keepopen"][..]),
        (secured, &["+tls", "+tls-host=localhost", "+keepopen", &authority]),
    ] {
        let port = at.port().to_string();
        let mut arguments = vec!["@127.0.0.1", "-p", &*port, "+retry=0", "+short"];
        arguments.extend(way);
        arguments.extend(["one.test", "A", "two.test", "A", "three.test", "A"]);
        let said = run("kdig", &arguments);
        assert_eq!(said.matches("192.0.2.1").count(), 3, "{said}");
    }
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::StreamAnswers), metrics.get(Count::Handshakes)), (6, 1));
}

/// The number that dnsperf reports under this heading.
fn number(report: &str, heading: &str) -> u64 {
    let line = report.lines().find_map(|line| line.trim().strip_prefix(heading));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {heading:?} in\n{report}"))
}

#[test]
fn what_dnsperf_sends_is_what_is_counted_and_answered() {
    if !have("dnsperf") {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("queries");
    let mut file = std::fs::File::create(&path).expect("a file");
    for number in 0..100 {
        file.write_all(&framed(&query(0, &format!("n{number}.test")))).expect("written");
    }
    let path = path.to_str().expect("a plain path");
    let (server, addresses) = start(&["127.0.0.1:0", "[::1]:0"], |_| {});
    let (mut datagrams, mut streams) = (0, 0);
    for at in &addresses {
        let (host, port) = (at.ip().to_string(), at.port().to_string());
        for way in ["udp", "tcp"] {
            let arguments = [
                "-s", &*host, "-p", &*port, "-d", path, "-B", "-n", "100", "-c", "20", "-q", "50", "-m", way,
            ];
            let report = run("dnsperf", &arguments);
            let sent = number(&report, "Queries sent:");
            assert_eq!((sent, number(&report, "Queries completed:")), (10_000, 10_000), "{report}");
            assert!(report.contains("NOERROR 10000 (100.00%)"), "{report}");
            if way == "udp" { datagrams += sent } else { streams += sent }
        }
    }
    let metrics = server.metrics();
    server.stop();
    assert_eq!((metrics.get(Count::Received), metrics.get(Count::Answered)), (datagrams, datagrams));
    assert_eq!((metrics.get(Count::StreamQueries), metrics.get(Count::StreamAnswers)), (streams, streams));
    assert_eq!(metrics.get(Count::Connections), 40);
    assert_eq!(metrics.overflowed(), 0);
}
