//! What a running mapper reads again, and what stays when that is wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use control::load_report::{Keys, LoadReport};
use mapper::run::{Config, Mapper, Outside};
use rustls_pki_types::ServerName;

const NETWORK: &str = "[[site]]\nname = \"ams\"\n[[server]]\nname = \"ams-1\"\nsite = \"ams\"\naddresses = [\"192.0.2.1\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n";
const ZONE: &str = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 60\n@ IN NS ns.example.\n";
const OLD: &str = "an old key of load reports";
const NEW: &str = "a new key of load reports";
const TOKEN: &str = "a token for operators";
const UNIX: u64 = 1_700_000_000_000;
const SOON: Duration = Duration::from_secs(20);

struct Play {
    folder: tempfile::TempDir,
    mapper: Mapper,
}

fn config(rest: &str) -> String {
    format!(
        "listen = [\"127.0.0.1:0\"]\nthreads = 1\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[inputs]\nnetwork = [\"network.toml\"]\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"admin.token\"\n[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"dns.pem\"\nkey = \"dns.key\"\n[load]\nlisten = \"127.0.0.1:0\"\n{rest}"
    )
}

/// A key that speaks for all servers.
const KEY: &str = "[[load.key]]\nid = 7\nfile = \"load.key\"\n";

impl Play {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("network.toml", NETWORK);
        put("g.zone", ZONE);
        put("load.key", OLD);
        put("admin.token", TOKEN);
        put("mapper.toml", &config(KEY));
        certify(folder.path());
        let config = Config::read(&folder.path().join("mapper.toml")).unwrap();
        let outside = Outside { unix: Arc::new(|| UNIX), monotonic: Arc::new(|| 1), secret: [7; 32] };
        let mapper = Mapper::start(config, outside).unwrap();
        Self { folder, mapper }
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn http(&self, method: &str, target: &str, fields: &str, content: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.mapper.addresses().admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let length = content.len();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{content}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// What `POST /reload` answers, without the folder.
    fn post_reload(&self) -> (u16, String) {
        let (status, said) = self.http("POST", "/reload", &format!("Authorization: Bearer {TOKEN}\r\n"), "");
        (status, said.replace(&format!("{}/", self.folder.path().display()), ""))
    }

    /// Whether a report that is signed with a key is taken.
    fn takes(&self, server: &str, id: u8, key: &str) -> bool {
        let mut keys = Keys::default();
        keys.add(id, key.as_bytes()).unwrap();
        // Each is later than the one before.
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let report = LoadReport { server: server.into(), number, sent: UNIX, ..LoadReport::default() };
        let document = serde_json::to_string(&report).unwrap();
        let mac = keys.sign_json(id, document.as_bytes()).unwrap();
        let (status, said) =
            self.http("POST", "/load", &format!("Load-Key: {id}\r\nLoad-MAC: {mac}\r\n"), &document);
        assert!(matches!(status, 202 | 400), "{said}");
        status == 202
    }

    /// The certificate that DNS over TLS shows.
    fn shown(&self) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let file = std::fs::read(self.folder.path().join("all.pem")).unwrap();
        let certificates = rustls_pki_types::pem::PemObject::pem_slice_iter(&file);
        certificates.for_each(|certificate| roots.add(certificate.unwrap()).unwrap());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(self.mapper.addresses().tls[0]).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        connection.peer_certificates().unwrap()[0].to_vec()
    }

    /// How many answers there are to a question for an A record below the zone.
    fn answers(&self, host: &str) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in [host, "g", "example"] {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        let address: SocketAddr = self.mapper.addresses().dns[0];
        socket.send_to(&query, address).unwrap();
        let mut answer = [0; 512];
        socket.recv(&mut answer).unwrap();
        u16::from_be_bytes([answer[6], answer[7]])
    }
}

/// A new certificate; `all.pem` keeps those of before too.
fn certify(folder: &std::path::Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("dns.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("dns.key"), made.signing_key.serialize_pem()).unwrap();
    let all = std::fs::read_to_string(folder.join("all.pem")).unwrap_or_default();
    std::fs::write(folder.join("all.pem"), all + &made.cert.pem()).unwrap();
}

#[test]
fn keys_of_load_reports_and_whom_they_speak_for_are_read_again() {
    let play = Play::new();
    assert!(play.takes("ams-1", 7, OLD) && !play.takes("ams-1", 7, NEW));
    // An old key and a new one side by side, of which the new one speaks for one server.
    play.put("new.key", NEW);
    let bound = "[[load.key]]\nid = 8\nfile = \"new.key\"\nservers = [\"ams-*\"]\n";
    play.put("mapper.toml", &config(&format!("{KEY}{bound}")));
    assert_eq!(play.post_reload().0, 200);
    assert!(play.takes("ams-1", 7, OLD) && play.takes("ams-1", 8, NEW));
    assert!(!play.takes("nyc-1", 8, NEW), "the new key speaks for ams alone");
    play.put("mapper.toml", &config(bound));
    assert!(play.mapper.reload().is_right());
    assert!(play.takes("ams-1", 8, NEW) && !play.takes("ams-1", 7, OLD));
}

#[test]
fn a_wrong_key_file_changes_nothing_and_is_told_and_the_rest_is_read_all_the_same() {
    let play = Play::new();
    play.put("g.zone", &format!("{ZONE}new IN A 203.0.113.7\n"));
    play.put("load.key", "too short");
    let (status, said) = play.post_reload();
    assert_eq!(status, 409);
    assert_eq!(
        said,
        "read again: certificate, zones, token\nstays as it was: keys of load reports: load.key: key 7 has 9 octets; give it at least 16, from a random source\n"
    );
    assert!(play.takes("ams-1", 7, OLD));
    assert_eq!(play.answers("new"), 1);
    std::fs::remove_file(play.folder.path().join("load.key")).unwrap();
    assert!(play.post_reload().1.contains("load.key: cannot be read"));
    assert!(play.takes("ams-1", 7, OLD));
    // A configuration that says nothing clear takes nothing away either.
    play.put("mapper.toml", &config(&format!("{KEY}{KEY}")));
    let (status, said) = play.post_reload();
    assert_eq!(
        (status, said.as_str()),
        (
            409,
            "read again: certificate\nstays as it was: configuration: mapper.toml:24: load.key: id 7 is there twice; give each key a number of its own\n"
        )
    );
    assert!(play.takes("ams-1", 7, OLD));
    assert_eq!(play.answers("new"), 1);
}

#[test]
fn a_post_and_a_signal_read_the_same_again() {
    let play = Play::new();
    let first = play.shown();
    certify(play.folder.path());
    let (status, said) = play.post_reload();
    assert_eq!(
        (status, said.as_str()),
        (200, "read again: certificate, zones, keys of load reports, token\n")
    );
    let second = play.shown();
    assert_ne!(first, second);
    certify(play.folder.path());
    // What SIGHUP does.
    assert_eq!(play.mapper.reload().to_text() + "\n", said);
    assert_ne!(play.shown(), second);
    // A wrong certificate keeps neither itself nor the rest from working.
    play.put("dns.pem", "nothing");
    play.put("g.zone", &format!("{ZONE}new IN A 203.0.113.7\n"));
    let third = play.shown();
    let (status, said) = play.post_reload();
    assert_eq!(status, 409);
    assert!(said.contains("stays as it was: certificate: dns.pem"), "{said}");
    assert_eq!((play.shown(), play.answers("new")), (third, 1));
}

#[test]
fn zones_may_come_and_go_and_what_needs_a_restart_is_named() {
    let play = Play::new();
    let more = "[[zone]]\napex = \"new.g.example\"\nfile = \"g.zone\"\n[rules]\nfirst = 650\n";
    play.put("mapper.toml", &config(&format!("{KEY}{more}")));
    let (status, said) = play.post_reload();
    assert_eq!(status, 200);
    assert!(said.ends_with("changed, but only after a restart: rules\n"), "{said}");
    // Which names are steered is known to others than the zones.
    play.put("mapper.toml", &config(KEY).replace("role = \"low\"\n", ""));
    let (status, said) = play.post_reload();
    assert_eq!(status, 409);
    assert!(said.contains("stays as it was: zones: top and low zones"), "{said}");
    assert_eq!(play.answers("www"), 1);
}

#[test]
fn parts_that_are_taken_out_leave_in_use_what_is_not_what_was_at_the_start() {
    let play = Play::new();
    play.put("new.key", NEW);
    play.put("new.token", "another token for operators");
    let next = config("[[load.key]]\nid = 8\nfile = \"new.key\"\n").replace("admin.token", "new.token");
    play.put("mapper.toml", &next);
    assert!(play.mapper.reload().is_right());
    let (rest, _) = next.split_once("[load]").unwrap();
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"new.token\"\n";
    play.put("mapper.toml", &rest.replace(admin, ""));
    let reloaded = play.mapper.reload();
    assert_eq!(
        (reloaded.read, reloaded.wrong, reloaded.after_restart),
        (vec!["certificate", "zones"], vec![], vec!["load", "admin"])
    );
    assert!(play.takes("ams-1", 8, NEW) && !play.takes("ams-1", 7, OLD));
    let status =
        |token: &str| play.http("POST", "/reload", &format!("Authorization: Bearer {token}\r\n"), "").0;
    assert_eq!((status(TOKEN), status("another token for operators")), (401, 200));
}

/// A key of dnssec-keygen for cdn.test, with these lines of times.
fn dnssec_key(play: &std::path::Path, times: &str) {
    let secret = "PrivateKey: WRF8r4/tWenSZIfrUJlxKJU30+BGC0dxSEo1PRY9B1k=\nPublish: 20230101000000\nActivate: 20230101000000\n";
    let public = "cdn.test. IN DNSKEY 257 3 13 Yf5Zfsez4+4SA+xf4Tj7EP+N26k7p4ss/teop9u068VffkKrrE9LWOh3 sEXysgMjWAy+v4PJGfRWY64Oq/rkKA==\n";
    std::fs::write(play.join("Kcdn.test.+013+51300.key"), public).unwrap();
    std::fs::write(play.join("Kcdn.test.+013+51300.private"), format!("{secret}{times}")).unwrap();
}

#[test]
fn keys_and_certificates_that_end_are_in_status_and_metrics() {
    let play = Play::new();
    let get = |target: &str| play.http("GET", target, &format!("Authorization: Bearer {TOKEN}\r\n"), "").1;
    let expires = "mapper_tls_certificate_expires_seconds ";
    assert!(get("/metrics").lines().any(|line| line.starts_with(expires)), "{}", get("/metrics"));
    assert!(
        get("/metrics").contains("\nmapper_keys_trouble 0\n")
            && !get("/metrics").contains("zone_keys_expire")
    );

    // It is 2023-11-14.
    dnssec_key(play.folder.path(), "Inactive: 20231101000000\nDelete: 20231102000000\n");
    let signed = "[[zone]]\napex = \"cdn.test\"\nfile = \"g.zone\"\nkeys = \".\"\n";
    play.put("mapper.toml", &config(&format!("{KEY}{signed}")));
    assert_eq!(play.post_reload().0, 200);
    assert!(get("/metrics").contains("\nmapper_keys_trouble 1\n"));
    assert!(get("/metrics").contains("\nmapper_zone_keys_expire_seconds{zone=\"cdn.test.\"} 1698796800\n"));
    // The keeper says it with its next step.
    let says = |what: &str| {
        std::iter::repeat_with(|| get("/status")).take(100_000).any(|status| status.contains(what))
    };
    assert!(says("no key of cdn.test. is active or published: its answers are not signed"));

    dnssec_key(play.folder.path(), "");
    assert_eq!(play.post_reload().0, 200);
    assert!(
        get("/metrics").contains("\nmapper_keys_trouble 0\n")
            && !get("/metrics").contains("zone_keys_expire")
    );
    assert!(says("\"keys-trouble\": null"));
}
