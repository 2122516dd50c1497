//! What is checked before anything is started.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "build_support/mod.rs"]
mod build_support;

use std::sync::Arc;

use mapper::run::{Checked, Config, Outside, build_once, check};

const NETWORK: &str = "[[site]]\nname = \"ams\"\n[[server]]\nname = \"ams-1\"\nsite = \"ams\"\naddresses = [\"192.0.2.1\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\", \"img{0..2}\", \"deep.cut\", \"*\"]\n[[service]]\nname = \"shop\"\nhosts = [\"shop\"]\n";
const ZONE: &str = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 60\n@ IN NS ns.example.\n";
const INPUTS: &str = "[inputs]\nnetwork = [\"network.toml\"]\n";

struct Play(tempfile::TempDir);

impl Play {
    fn new() -> Self {
        let play = Self(tempfile::tempdir().unwrap());
        play.put("network.toml", NETWORK);
        play.put("g.zone", ZONE);
        play
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn permit(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn config(&self, rest: &str) -> Config {
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n{rest}"
        );
        Config::parse(&text, &self.0.path().join("mapper.toml")).unwrap()
    }

    fn check(&self, rest: &str) -> Checked {
        let mut checked = check(&self.config(rest), &outside());
        // Included files are named by their true path.
        let folders = [self.0.path().to_owned(), self.0.path().canonicalize().unwrap()];
        for line in checked.wrong.iter_mut().chain(&mut checked.warnings) {
            for folder in &folders {
                *line = line.replace(&format!("{}/", folder.display()), "");
            }
        }
        checked
    }
}

fn outside() -> Outside {
    Outside { unix: Arc::new(|| 1_700_000_000_000), monotonic: Arc::new(|| 1), secret: [0; 32] }
}

#[test]
fn records_that_a_steered_name_hides_are_named() {
    let play = Play::new();
    assert_eq!(play.check(INPUTS), Checked::default());
    play.put("more.zone", "img1 IN CNAME elsewhere.example.\n");
    let records = "shop IN A 203.0.113.1\nshop IN A 203.0.113.2\nshop IN TXT \"is answered\"\n$INCLUDE more.zone\nWWW IN HTTPS 1 .\nwww IN AAAA 2001:db8::1\nwww IN A 203.0.113.3\n";
    // What the map's wildcard would make up gives way to the file, and below a delegation nothing is steered.
    let others = "mail IN A 203.0.113.4\nimg9 IN CNAME elsewhere.example.\ncut IN NS ns.example.\nimg2 IN MX 1 ns.example.\n";
    play.put("g.zone", &format!("{ZONE}{records}{others}"));
    let advice = "take the records out, or the name out of the service's hosts";
    let checked = play.check(INPUTS);
    assert_eq!(checked.wrong, Vec::<String>::new());
    assert_eq!(
        checked.warnings,
        [
            format!(
                "g.zone:4: shop.g.example. A: never answered, since the map steers the name for service \"shop\"; {advice}"
            ),
            format!(
                "more.zone:1: img1.g.example. CNAME: never answered, since the map steers the name for service \"web\"; {advice}"
            ),
            format!(
                "g.zone:8: www.g.example. A, AAAA, HTTPS: never answered, since the map steers the name for service \"web\"; {advice}"
            ),
        ]
    );
}

#[test]
fn who_reads_maps_is_told_by_the_map_of_another() {
    let play = Play::new();
    play.put("g.zone", &format!("{ZONE}www IN A 203.0.113.1\n"));
    let none = [
        "there is no map in maps yet: start the mapper that publishes there first, or give this one [inputs]",
    ];
    assert_eq!(play.check("").warnings, none);
    build_once(&play.config(INPUTS), &outside(), false).unwrap();
    let warnings = play.check("").warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("never answered"), "{warnings:?}");
    play.put("maps/current", "x");
    assert!(play.check("").wrong[0].starts_with("maps/current: names no map"), "{:?}", play.check(""));
}

#[test]
fn lines_that_are_not_used_are_named() {
    let play = Play::new();
    let good = "{\"site\":\"ams\",\"target\":\"10.1.0.0/16\",\"rtt\":5,\"time\":1700000000}\n";
    play.put("measured.jsonl", &format!("{good}garbage\n{good}more garbage\n"));
    play.put("demand.txt", "10.2.0.0/16 7\n10.1.0.0/16 many\n");
    let more = "probes = [\"measured.jsonl\"]\ndemand = [\"demand.txt\"]\n";
    let checked = play.check(&format!("{INPUTS}{more}"));
    assert_eq!(checked.wrong, Vec::<String>::new());
    insta::assert_snapshot!(checked.warnings.join("\n"));
    // As it is built, the same is told.
    let built = build_once(&play.config(&format!("{INPUTS}{more}")), &outside(), false).unwrap();
    let text = built.to_text().replace(&format!("{}/", play.0.path().display()), "");
    for warning in &checked.warnings {
        assert!(text.contains(warning), "{warning} is not in {text}");
    }
    assert!(text.contains("1 site, 1 server, 2 services; "), "{text}");
}

#[test]
fn fields_of_places_that_are_not_used_are_named() {
    use build_support::{Value, city, mmdb};
    let play = Play::new();
    let wrong = Value::Map(vec![("autonomous_system_number", Value::Text("AS3320".into()))]);
    let octets = mmdb(&[("198.51.100.0/24", city(50.0, 8.0)), ("203.0.113.0/24", wrong)]);
    std::fs::write(play.0.path().join("city.mmdb"), octets).unwrap();
    let rest = format!("{INPUTS}places = [\"city.mmdb\"]\n");
    let said =
        "city.mmdb:2: not used: autonomous_system_number, which is no whole number from 0 to 4294967295";
    assert_eq!(play.check(&rest).warnings, [said]);
    let built = build_once(&play.config(&rest), &outside(), false).unwrap();
    assert_eq!(built.report.problems.len(), 1, "{:?}", built.report.problems);
}

#[test]
fn keys_that_have_ended_and_certificates_that_cannot_be_used_are_named() {
    let play = Play::new();
    let secret = "PrivateKey: WRF8r4/tWenSZIfrUJlxKJU30+BGC0dxSEo1PRY9B1k=\n";
    let public = "cdn.test. IN DNSKEY 257 3 13 Yf5Zfsez4+4SA+xf4Tj7EP+N26k7p4ss/teop9u068VffkKrrE9LWOh3 sEXysgMjWAy+v4PJGfRWY64Oq/rkKA==\n";
    let times = "Publish: 20230101000000\nActivate: 20230101000000\n";
    play.put("Kcdn.test.+013+51300.key", public);
    let signed = format!("[[zone]]\napex = \"cdn.test\"\nfile = \"g.zone\"\nkeys = \".\"\n{INPUTS}");
    // It is 2023-11-14T22:13:20Z.
    for (rest, said) in [
        ("", None),
        ("Inactive: 20240101000000\n", None),
        ("Inactive: 20231120000000\n", Some("becomes inactive at 2023-11-20T00:00:00Z, and none follows")),
        ("Inactive: 20231101000000\n", Some("no key of cdn.test. is active: those that are published sign")),
        ("Inactive: 20231101000000\nDelete: 20231102000000\n", Some("its answers are not signed")),
    ] {
        play.put("Kcdn.test.+013+51300.private", &format!("{secret}{times}{rest}"));
        play.permit("Kcdn.test.+013+51300.private", 0o640);
        let checked = play.check(&signed);
        assert_eq!(checked.wrong, Vec::<String>::new());
        assert_eq!(checked.warnings.len(), usize::from(said.is_some()), "{:?}", checked.warnings);
        assert!(said.is_none_or(|said| checked.warnings[0].contains(said)), "{:?}", checked.warnings);
    }

    let tls =
        format!("{INPUTS}[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"dns.pem\"\nkey = \"dns.key\"\n");
    let made = |begins: i32, ends: i32| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["ns.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(begins, 1, 1);
        params.not_after = rcgen::date_time_ymd(ends, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    assert!(play.check(&tls).wrong[0].starts_with("cannot read dns.pem"), "{:?}", play.check(&tls));
    let (certificate, key) = made(2023, 2024);
    play.put("dns.pem", &certificate);
    play.put("dns.key", &key);
    play.permit("dns.key", 0o600);
    assert_eq!(play.check(&tls), Checked::default());
    play.put("dns.key", &made(2023, 2024).1);
    assert!(play.check(&tls).wrong[0].contains("cannot be used with the key"), "{:?}", play.check(&tls));
    play.put("dns.pem", "junk");
    assert!(play.check(&tls).wrong[0].contains("holds no certificate"), "{:?}", play.check(&tls));
    for (begins, ends, said) in [
        (2021, 2023, "dns.pem: a certificate expired at 2023-01-01T00:00:00Z"),
        (2024, 2025, "dns.pem: a certificate is valid from 2024-01-01T00:00:00Z on"),
    ] {
        let (certificate, key) = made(begins, ends);
        play.put("dns.pem", &certificate);
        play.put("dns.key", &key);
        let checked = play.check(&tls);
        assert_eq!(checked.wrong, Vec::<String>::new());
        assert!(checked.warnings.len() == 1 && checked.warnings[0].starts_with(said), "{checked:?}");
    }
}

#[test]
fn a_folder_that_maps_cannot_be_written_to_is_named() {
    let play = Play::new();
    play.put("maps", "a file");
    let wrong = ["maps: maps cannot be published there: maps is no folder; name another"];
    assert_eq!(play.check(INPUTS).wrong, wrong);
    std::fs::remove_file(play.0.path().join("maps")).unwrap();
    // Some may write where nobody is allowed to: the superuser.
    let inside = play.0.path().join("locked");
    std::fs::create_dir(&inside).unwrap();
    std::fs::set_permissions(&inside, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let may = std::fs::write(inside.join("file"), "").is_ok();
    let path = play.0.path().join("mapper.toml");
    let text = format!(
        "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"locked/maps\"\n{INPUTS}"
    );
    let warnings = check(&Config::parse(&text, &path).unwrap(), &outside()).warnings;
    assert_eq!(warnings.is_empty(), may, "{warnings:?}");
}

#[test]
fn many_hidden_names_are_counted() {
    let play = Play::new();
    play.put("network.toml", &NETWORK.replace("{0..2}", "{0..99}"));
    let records: String = (0..100).map(|number| format!("img{number} IN A 203.0.113.1\n")).collect();
    play.put("g.zone", &format!("{ZONE}{records}"));
    let warnings = play.check(INPUTS).warnings;
    assert_eq!(warnings.len(), 21);
    assert!(warnings[20].starts_with("g.zone: 80 more names"), "{}", warnings[20]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let play = Play::new();
    play.put("g.zone", "x");
    play.put("network.toml", "[[site]]\nname = 7\n");
    play.put("load.key", "sesame");
    let load = "[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 1\nfile = \"load.key\"\n";
    let wrong = play.check(&format!("{INPUTS}{load}")).wrong;
    for part in ["g.zone:", "network.toml:2", "load.key: key 1 has 6 octets"] {
        assert!(wrong.iter().any(|what| what.starts_with(part)), "{part}: {wrong:?}");
    }
    assert!(!wrong.iter().any(|what| what.contains("sesame")), "{wrong:?}");
}

#[test]
fn a_damaged_folder_of_maps_stops_only_where_withdrawals_would_be_lost() {
    use mapper::run::Mapper;
    let play = Play::new();
    let config = play.config(INPUTS);
    let first = build_once(&config, &outside(), false).unwrap().epoch.unwrap();
    for damage in ["", "{", "{\"version\":1}", &"x".repeat(9000)] {
        play.put("maps/current", damage);
        let error = build_once(&config, &outside(), false).unwrap_err().to_string();
        assert!(error.contains("maps/current: ") && error.contains("--accept publishes it"), "{error}");
        let mapper = Mapper::start(config.clone(), outside()).unwrap();
        mapper.stop();
        let current = std::fs::read_to_string(play.0.path().join("maps/current")).unwrap();
        assert!(current.contains("\"epoch\""), "{current}");
    }
    play.put("maps/current", "damaged");
    let next = build_once(&config, &outside(), true).unwrap().epoch.unwrap();
    assert!(next > first, "{next} {first}");

    for damage in ["", "ams-1", "[1]", "{\"ams-1\":true}"] {
        play.put("maps/withdrawn", damage);
        let Err(error) = Mapper::start(config.clone(), outside()) else { panic!("started with {damage:?}") };
        let error = error.to_string();
        for said in
            ["maps/withdrawn: does not say which servers", "as in [\"ams-1\"]", "To remove it forgets them"]
        {
            assert!(error.contains(said), "{error}");
        }
    }
    play.put("maps/withdrawn", "[\"ams-1\"]");
    Mapper::start(config, outside()).unwrap().stop();
}

#[test]
fn probes_that_ask_nobody_and_hosts_with_the_zone_twice_are_named() {
    let play = Play::new();
    let features = "features = [\"video\"]\n";
    let sites =
        NETWORK.replace("addresses = [\"192.0.2.1\"]\n", &format!("addresses = [\"192.0.2.1\"]\n{features}"));
    play.put("network.toml", &sites);
    let probe = format!("{INPUTS}[[probe]]\nhost = \"www.g.example\"\n");
    assert_eq!(play.check(&format!("{probe}sites = [\"ams\"]\nneeds = [\"video\"]\n")), Checked::default());
    let checked = play.check(&format!("{probe}sites = [\"ams\",\n\"asm\", \"lon\"]\nneeds = [\"vidio\"]\n"));
    let none = |line: u32, key: &str, kind: &str, word: &str, hint: &str| {
        format!(
            "mapper.toml:{line}: probe of www.g.example: {key}: the network has no {kind} \"{word}\", so that no server is probed for it; {hint}"
        )
    };
    let wrong = [
        none(13, "sites", "site", "asm", "did you mean \"ams\"?"),
        none(13, "sites", "site", "lon", "correct it, or leave it out"),
        none(14, "needs", "feature", "vidio", "did you mean \"video\"?"),
    ];
    assert_eq!((checked.wrong, checked.warnings), (wrong.to_vec(), vec![]));

    play.put("network.toml", &sites.replace("\"www\"", "\"www.g.example\", \"g.example\", \"fig.example\""));
    let checked = play.check(INPUTS);
    let twice = |host: &str, label: &str| {
        format!(
            "network.toml:9: service \"web\": host \"{host}\" is below the zone g.example, so that {host}.g.example is answered; write \"{label}\""
        )
    };
    assert_eq!(checked.wrong, Vec::<String>::new());
    assert_eq!(checked.warnings, [twice("g.example", "*"), twice("www.g.example", "www")]);

    for (host, said) in [("-a", "begins or ends with -"), ("a-.b", "begins or ends with -")] {
        play.put("network.toml", &NETWORK.replace("\"www\"", &format!("\"{host}\"")));
        let wrong = play.check(INPUTS).wrong;
        assert!(
            wrong.len() == 1 && wrong[0].starts_with("network.toml:") && wrong[0].contains(said),
            "{wrong:?}"
        );
    }
    play.put("network.toml", &NETWORK.replace("name = \"web\"", "name = \"web\"\nttl = 0"));
    assert!(play.check(INPUTS).wrong[0].contains("ttl: is 0 s; from 1 to 86400"), "{:?}", play.check(INPUTS));
}

#[test]
fn all_databases_of_a_folder_are_used_and_an_empty_one_is_named() {
    use build_support::{city, mmdb};
    let play = Play::new();
    let rest = format!("{INPUTS}places = [\"places\"]\n");
    std::fs::create_dir(play.0.path().join("places")).unwrap();
    let said = "places: is a folder without files: no place is known from it; put MMDB databases into it, or take it out of inputs.places";
    assert_eq!(play.check(&rest).wrong, [said]);
    for (name, network) in [("a.mmdb", "198.51.100.0/24"), ("b.mmdb", "203.0.113.0/24")] {
        std::fs::write(play.0.path().join("places").join(name), mmdb(&[(network, city(50.0, 8.0))])).unwrap();
    }
    assert_eq!(play.check(&rest), Checked::default());
    let report = build_once(&play.config(&rest), &outside(), false).unwrap().report;
    assert_eq!(
        report.inputs.iter().map(|input| (input.kind, input.used)).collect::<Vec<_>>(),
        [("places", 1); 2]
    );
}

#[test]
fn secrets_that_everybody_can_read_are_named() {
    let play = Play::new();
    play.put("admin.token", "a token for operators");
    play.put("load.key", "a key for load reports");
    play.put("cookie.key", "00112233445566778899aabbccddeeff\n");
    let rest = format!(
        "{INPUTS}[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"admin.token\"\n[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 1\nfile = \"load.key\"\n[dns]\ncookie-secret = \"cookie.key\"\n"
    );
    for name in ["admin.token", "load.key", "cookie.key"] {
        play.permit(name, 0o640);
    }
    assert_eq!(play.check(&rest), Checked::default());
    play.permit("load.key", 0o644);
    play.permit("admin.token", 0o666);
    let said = [
        "admin.token: everybody on this machine can change this secret; take that from others: chmod o= admin.token",
        "load.key: everybody on this machine can read this secret; take that from others: chmod o= load.key",
    ];
    assert_eq!(play.check(&rest).warnings, said);
}

#[test]
fn lists_of_one_may_be_written_without_brackets_and_errors_have_lines() {
    let play = Play::new();
    let parse = |text: &str| Config::parse(text, std::path::Path::new("mapper.toml"));
    let zone = "[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\n";
    let one = parse(&format!("listen = \"127.0.0.1:0\"\n{zone}[map]\nfolder = \"maps\"\n[inputs]\nnetwork = \"network.toml\"\n[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"a\"\nkey = \"b\"\n[[probe]]\nhost = \"a\"\nsites = \"ams\"\n")).unwrap();
    assert_eq!(
        (one.listen.len(), one.tls.unwrap().listen.len(), &*one.probes[0].sites),
        (1, 1, &["ams".to_owned()][..])
    );
    assert_eq!(one.inputs.unwrap().network, [std::path::PathBuf::from("network.toml")]);
    let error = parse(&format!("listen = \"localhost\"\n{zone}")).unwrap_err().to_string();
    assert!(
        error.starts_with("mapper.toml:1:10: invalid socket address") && error.contains("write ADDRESS:PORT"),
        "{error}"
    );

    let said = |rest: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\n{rest}");
        let config = Config::parse(&text, &play.0.path().join("mapper.toml")).unwrap();
        let error = config.authority([0; 16]).unwrap_err().to_string();
        error.replace(&format!("{}/", play.0.path().display()), "")
    };
    let top = "[[zone]]\napex = \"example\"\nfile = \"g.zone\"\nrole = \"top\"\n";
    let map = "[map]\nfolder = \"maps\"\n";
    for (rest, begins) in [
        (
            format!("{top}cut = \"g.elsewhere\"\n{map}"),
            "mapper.toml:6: zone example.: the cut \"g.elsewhere\" is not below",
        ),
        (
            format!("{top}cut = \"g.example\"\nlifetime = 5\n{map}"),
            "mapper.toml:7: zone example.: the cut's lifetime is 5 s",
        ),
        (
            format!("{top}cut = \"g.example\"\nname-servers = [\"x.elsewhere\"]\n{map}"),
            "mapper.toml:7: zone example.: the name server",
        ),
        (
            "[[zone]]\napex = \"a..b\"\nfile = \"g.zone\"\n".to_owned(),
            "mapper.toml:3: zone a..b: its name is no domain name",
        ),
        (format!("{zone}[dns]\npayload = 5\n"), "mapper.toml:6: dns: payload 5 must be 512 to 4096"),
        (format!("{zone}[dns]\nhostname = \"{}\"\n", "x".repeat(256)), "mapper.toml:6: dns: "),
    ] {
        assert!(said(&rest).starts_with(begins), "{}", said(&rest));
    }
    play.put("g.zone", &format!("{ZONE}@ IN SOA ns.example. h.example. 9 2 3 4 60\n"));
    assert!(said(zone).starts_with("g.zone:2: g.example. has several SOA records"), "{}", said(zone));
}
