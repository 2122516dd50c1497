//! The configuration: the shipped example, what is refused, and how it is said.

use std::path::Path;

use reference_cdn::config::Draft;
use reference_cdn::config::customer::{CustomerDraft, OriginDraft};
use reference_cdn::config::explain::{example, explain};
use reference_cdn::config::fields::{CUSTOMER_FIELDS, CUSTOMER_ORIGIN_FIELDS, FIELDS, Field};
use reference_cdn::config::file::Settings;
use reference_cdn::config::value::{Given, Kind};

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge.example.toml");
    std::fs::read_to_string(path).expect("the shipped example")
}

/// What a person reads about `text`, or that it is valid.
fn judged(text: &str) -> String {
    match Settings::parse("edge.toml", text).finish() {
        Ok(_) => "valid\n".to_owned(),
        Err(faults) => faults.render(false),
    }
}

#[test]
fn the_shipped_example_is_the_generated_one_with_an_origin_and_is_valid() {
    let with_origin = example().replacen(
        "# url = \"http://HOST:PORT\" or \"https://HOST:PORT\"",
        "url = \"http://127.0.0.1:9000\"",
        1,
    );
    assert_eq!(
        shipped(),
        with_origin,
        "run `reference-cdn config > reference-cdn/edge.example.toml` and set url"
    );
    assert_eq!(judged(&shipped()), "valid\n");
}

/// Every default is what a draft has anyway, and every field changes something and has its bounds.
fn hold<D: Default + std::fmt::Debug>(fields: &[Field<D>]) {
    let untouched = format!("{:?}", D::default());
    for Field { path, kind, default, .. } in fields {
        let set = |value: Given<'_>| {
            let mut draft = D::default();
            kind.set(&mut draft, value).map(|()| format!("{draft:?}"))
        };
        if let Some(default) = default {
            assert_eq!(set(Given::Text(default)).as_ref(), Ok(&untouched), "{path}");
        }
        let other = match kind {
            Kind::Size { least, most, .. } | Kind::Count { least, most, .. } => {
                for outside in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
                    assert!(set(Given::Text(&outside.to_string())).is_err(), "{path} {outside}");
                }
                if default.is_some_and(|it| it == least.to_string()) {
                    most.to_string()
                } else {
                    least.to_string()
                }
            }
            Kind::Time { .. } => "1234ms".to_owned(),
            Kind::Choice { words, .. } => {
                words.iter().find(|word| Some(**word) != *default).expect("another").to_string()
            }
            Kind::Text { form, .. } if form.contains("http") => "http://h:1".to_owned(),
            Kind::Text { form, .. } if form.contains("ADDRESS") => "[::1]:1".to_owned(),
            Kind::List { form, .. } if form.contains("ADDRESS") => "[::1]:1".to_owned(),
            Kind::List { form, .. } if form.contains("HOST=") => "host=name".to_owned(),
            Kind::List { form, .. } if form.contains("prefixes") => "10.0.0.0/8".to_owned(),
            Kind::Text { form, .. } if form.contains("PATH") => "/other".to_owned(),
            Kind::Text { form, .. } | Kind::List { form, .. } if form.contains("statuses") => {
                "503".to_owned()
            }
            Kind::List { .. } | Kind::Text { .. } => "other".to_owned(),
        };
        let given = match kind {
            Kind::List { .. } => set(Given::List(&[&other])),
            _ => set(Given::Text(&other)),
        };
        let changed = given.unwrap_or_else(|wrong| panic!("{path} {other}: {wrong:?}"));
        assert_ne!(changed, untouched, "{path} changes nothing");
    }
}

#[test]
fn every_default_is_what_an_edge_has_anyway_and_every_field_changes_something() {
    hold::<Draft>(FIELDS);
    hold::<CustomerDraft>(CUSTOMER_FIELDS);
    hold::<OriginDraft>(CUSTOMER_ORIGIN_FIELDS);
}

const CUSTOMERS: &str = r#"
[[customer]]
name = "acme"
hosts = ["www.acme.test", "*.acme.test"]
client-directives = "honor"
host = "origin"
[[customer.origin]]
url = "http://127.0.0.1:9001"

[[customer]]
name = "zeta"
hosts = ["Zeta.test."]
[[customer.origin]]
url = "http://127.0.0.1:9002"
"#;

#[test]
fn customers_have_their_own_hosts_origins_and_settings() {
    let read =
        |text: &str| Settings::parse("edge.toml", text).finish().map(|checked| checked.config.customers);
    let customers = read(CUSTOMERS).expect("valid");
    let shown = |customers: &[edge::CustomerConfig]| {
        customers
            .iter()
            .map(|it| {
                let (directives, origin) = (it.settings.client_directives, &it.origin);
                let (keep, authority) = (origin.keep_host, &origin.origins[0].authority);
                format!("{} {:?} {directives:?} {authority} {keep}", it.name, it.hosts)
            })
            .collect::<Vec<_>>()
    };
    let own = [
        r#"acme [Exact("www.acme.test"), Under("acme.test")] Honor 127.0.0.1:9001 false"#,
        r#"zeta [Exact("zeta.test")] Ignore 127.0.0.1:9002 true"#,
    ];
    assert_eq!(shown(&customers), own);
    let with_rest = format!("[origin]\nurl = \"http://h:1\"\n{CUSTOMERS}");
    let rest = "default [Any] Ignore h:1 true";
    assert_eq!(shown(&read(&with_rest).expect("valid")), [rest, own[0], own[1]]);
}

#[test]
fn customers_have_the_limits_of_the_edge_and_their_own() {
    let text = r#"
[origin]
url = "http://h:1"
[per-client]
rate = 100
burst = 500
[per-customer]
rate = 1000
in-flight = 50

[[customer]]
name = "own"
hosts = ["own.test"]
client-rate = 10
rate = 0
in-flight = 7
[[customer.origin]]
url = "http://h:1"

[[customer]]
name = "bursts"
hosts = ["bursts.test"]
client-burst = 9
burst = 3000
[[customer.origin]]
url = "http://h:1"
"#;
    let customers = Settings::parse("edge.toml", text).finish().expect("valid").config.customers;
    let rate = |it: edge::Rate| format!("{}+{}", it.per_second, it.burst);
    let shown = customers.iter().map(|it| {
        let limits = it.limits;
        format!("{} {} {} {}", it.name, rate(limits.client_rate), rate(limits.rate), limits.in_flight)
    });
    let expected = ["default 100+500 1000+0 50", "own 10+0 0+0 7", "bursts 100+9 1000+3000 50"];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

/// The example of the README, and every field of an origin.
#[test]
fn customers_have_groups_of_origins() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("README");
    let example =
        readme.split("## Origins").nth(1).and_then(|it| it.split("```toml\n").nth(1)).expect("an example");
    let example = example.split("```").next().expect("its end");
    let customers = |text: &str| {
        let checked = Settings::parse("edge.toml", text).finish();
        checked.map(|it| it.config.customers).unwrap_or_else(|faults| panic!("{}", faults.render(false)))
    };
    let group = customers(example).remove(0).origin;
    let shown: Vec<String> =
        group.origins.iter().map(|it| format!("{} {:?} {}", it.url(), it.role, it.weight)).collect();
    let expected = [
        "https://one.acme.example Primary 2",
        "https://two.acme.example Primary 1",
        "http://10.0.0.1:8000 Backup 1",
    ];
    assert_eq!(shown, expected);
    assert_eq!(group.probe.expect("probes").path, "/health");
    assert_eq!(group.retry.statuses.len(), 3);

    let more = r#"
edge-id = "a"
tiers-below = 1
[origin]
protocol = "h2"
probe-interval = "3s"
probe-expect = "200"
[[customer]]
name = "acme"
hosts = ["www.acme.test"]
probe = "*"
probe-host = "probe.test"
failure-statuses = ["503"]
[[customer.origin]]
url = "https://127.0.0.1:9001"
role = "parent"
server-name = "parent.test"
protocol = "h1"
[[customer.origin]]
url = "http://127.0.0.1:9002"
"#;
    let customer = customers(more).remove(0);
    assert_eq!((customer.settings.edge.as_deref(), customer.settings.tiers_below), (Some("a"), 1));
    let probe = customer.origin.probe.expect("probes");
    assert_eq!(
        (probe.path.as_str(), probe.host.as_deref(), probe.expect),
        ("*", Some("probe.test"), (200, 200))
    );
    assert_eq!(probe.interval, std::time::Duration::from_secs(3));
    assert_eq!(customer.origin.retry.statuses, [http::StatusCode::SERVICE_UNAVAILABLE]);
    let protocols: Vec<_> = customer.origin.origins.iter().map(|it| it.protocol).collect();
    assert_eq!(protocols, [edge::Protocol::H1, edge::Protocol::H2]);
    let tls = customer.origin.origins[0].tls.as_ref().expect("tls");
    assert_eq!(tls.server_name.as_deref(), Some("parent.test"));
}

#[test]
fn errors_in_origins_are_shown_at_their_place() {
    insta::assert_snapshot!(
        "origins",
        judged(
            r#"
tiers-below = 1
[origin]
url = "https://h"
ca = "/nonexistent/ca.pem"
probe = "health"
probe-expect = "399-200"
failure-statuses = ["200"]

[[customer]]
name = "a"
hosts = ["a.test"]
[[customer.origin]]
url = "http://h"
server-name = "h"
[[customer.origin]]
role = "parrot"
[[customer.origin]]
url = "https://h"
server-name = "a b"
[[customer.origin]]
url = "https://h"
key = "key.pem"
[[customer.origin]]
url = "ftp://h"
weight = 0
"#
        )
    );
}

#[test]
fn errors_in_customers_are_shown_at_their_place() {
    insta::assert_snapshot!(
        "customers",
        judged(
            r#"
[[customer]]
name = "a b"
hosts = ["a.test:80"]
hots = []
[[customer.origin]]
ulr = "http://h"

[[customer]]
name = "b"
hosts = "b.test"
[[customer.origin]]
url = "http://h:1"
[[customer.origin]]
url = "http://h:2"

[[customer]]

[[customer]]
name = "c"
hosts = ["c.test", "*.c.test"]
[[customer.origin]]
url = "http://h:1"

[[customer]]
name = "c"
hosts = ["C.test"]
[customer.origin]
url = "http://h:1"

[[customer]]
name = "default"
hosts = ["d.test", "c.test", "*.c.test"]
[[customer.origin]]
url = "http://h:1"
"#
        )
    );
    insta::assert_snapshot!("customer_as_section", judged("[customer]\nname = \"a\"\n"));
    insta::assert_snapshot!("customer_as_value", judged("customer = [1, \"a\"]\n"));
}

/// Each key of the example, misspelled, moved, or with a value of another type, is refused at its line.
#[test]
fn mutations_of_the_example_are_refused() {
    let text = shipped() + CUSTOMERS;
    let lines: Vec<&str> = text.lines().collect();
    let mut mutants = 0;
    for (number, line) in lines.iter().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
        for mutant in [
            format!("x{line}"),
            format!("{key} = [1]"),
            format!("{key} = true"),
            format!("{key} = -1"),
            format!("{key} = \"?\""),
            format!("{key} = {{ a = 1 }}"),
            format!("{key} ="),
            format!("{line}\n{line}"),
        ] {
            let mut changed = lines.clone();
            changed[number] = &mutant;
            let text = changed.join("\n");
            let said = judged(&text);
            assert!(said.contains("edge.toml has"), "accepted: {mutant}");
            let (one, next) = (format!("edge.toml:{}:", number + 1), format!("edge.toml:{}:", number + 2));
            assert!(said.contains(&one) || said.contains(&next), "{mutant}: {said}");
            mutants += 1;
        }
    }
    assert!(mutants > 200, "{mutants}");
}

#[test]
fn errors_are_shown_at_their_place_with_a_hint() {
    let broken = r#"
listen = ":8080"
naem = "my-cdn"
client-directives = "honour"

[origin]
url = "https://example.com/path"
conections = 10
idle = 30

[client]
head = "64 kb"
fields = 100000

[stoer]
memory = "1GiB"

[store]
memory = "2MiB"
object = "1.5MiB"

[admin]
listen = "127.0.0.1:9001"
"#;
    insta::assert_snapshot!("many_errors", judged(broken));
    insta::assert_snapshot!("syntax", judged("listen = \"127.0.0.1:80\n[origin\nurl = 1\n"));
    insta::assert_snapshot!("nothing", judged(""));
    insta::assert_snapshot!(
        "together",
        judged(
            "[origin]\nurl = \"http://a\"\n[store]\nmemory = \"1MiB\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
        )
    );
    insta::assert_snapshot!(
        "token",
        judged(
            "[origin]\nurl = \"http://a\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken-file = \"/nonexistent/token\"\n"
        )
    );
    insta::assert_snapshot!(
        "independent",
        judged(
            "listen = \"[::]:8080\"\n[origin]\nurl = \"http://a:70000\"\n[store]\nmemory = \"1MiB\"\nobject = \"2MiB\"\n[admin]\nlisten = \"127.0.0.1:8080\"\n"
        )
    );
    insta::assert_snapshot!("twice", judged("[origin]\nidle = \"3s\"\nidle = \"4s\"\nconnect = 3\n"));
    insta::assert_snapshot!("no_origin", judged("[origin]\nidle = \"3s\"\n"));
    insta::assert_snapshot!("no_origin_section", judged("[store]\nmemory = \"64MiB\"\n"));
    insta::assert_snapshot!(
        "limits",
        judged(
            r#"
[origin]
url = "http://a"
[per-client]
burst = 10
ipv6-prefix = 129
exempt = ["10.0.0.1/8", "::1", "monitor.test"]
proxies = ["::/129"]
[[customer]]
name = "a"
hosts = ["a.test"]
burst = 5
[[customer.origin]]
url = "http://h:1"
"#
        )
    );
    insta::assert_snapshot!("section_as_value", judged("origin = \"http://a\"\n"));
}

#[test]
fn what_tls_needs_is_asked_for() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("path").to_owned();
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(path("a.pem"), &certificate).expect("write");
    std::fs::write(path("a.key"), &key).expect("write");
    std::fs::write(path("both.pem"), certificate + &key).expect("write");
    let (a, key, both) = (path("a.pem"), path("a.key"), path("both.pem"));
    let listen = "listen = \"127.0.0.1:0\"";
    for (tls, says) in [
        (format!("{listen}\ncertificate = [\"{a}\"]\nkey = [\"{key}\"]"), "valid"),
        (format!("{listen}\ncertificate = [\"{a}\", \"{a}\"]\nkey = [\"{key}\", \"{key}\"]"), "valid"),
        (format!("{listen}\ncertificate = [\"{both}\"]"), "valid"),
        (listen.to_owned(), "tls.listen: a TLS listener without a certificate"),
        (
            format!("certificate = [\"{a}\"]\nkey = [\"{key}\"]"),
            "tls.certificate: a certificate or key without a TLS listener",
        ),
        (format!("{listen}\ncertificate = [\"{a}\"]"), "a.pem holds no private key"),
        (
            format!("{listen}\ncertificate = [\"{a}\", \"{both}\"]\nkey = [\"{key}\"]"),
            "tls.key: 1 for 2 certificates",
        ),
        (format!("{listen}\ncertificate = [\"{key}\"]\nkey = [\"{key}\"]"), "a.key holds no certificate"),
        (format!("{listen}\ncertificate = []"), "a path is missing"),
        (format!("{listen}\ncertificate = [\"{a}\", 1]"), "expected a list of paths"),
        (format!("{listen}\ncertificate = \"{a}\""), "write it as ["),
        (format!("{listen}\ncertificate = [\"{a}\", \"\"]"), "a path is missing"),
        ("listen = [\"127.0.0.1:0\"]".to_owned(), "expected \"ADDRESS:PORT\", found a list"),
    ] {
        let said = judged(&format!("[origin]\nurl = \"http://a\"\n[tls]\n{tls}\n"));
        assert!(said.contains(says), "{tls}\n{said}");
    }
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    for (listen, admin, collide) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "[::]:80", true),
        ("[::1]:80", "0.0.0.0:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        let text =
            format!("listen = \"{listen}\"\n[origin]\nurl = \"http://a\"\n[admin]\nlisten = \"{admin}\"\n");
        assert_eq!(judged(&text).contains("is taken by `listen`"), collide, "{listen} {admin}");
    }
    let text = "[origin]\nurl = \"http://a\"\n[tls]\nlisten = \"127.0.0.1:8080\"\n[admin]\nlisten = \"0.0.0.0:8080\"\n";
    let said = judged(text);
    for says in [
        "tls.listen: 127.0.0.1:8080 is taken by `listen`",
        "admin.listen: 0.0.0.0:8080 is taken by `listen`",
        "admin.listen: 0.0.0.0:8080 is taken by `tls.listen`",
    ] {
        assert!(said.contains(says), "{says}\n{said}");
    }
}

#[test]
fn limits_are_counted_by_the_field_that_sets_them() {
    for limit in edge::Limit::ALL {
        let named = FIELDS.iter().any(|field| field.path == limit.name());
        assert_ne!(named, matches!(limit.name(), "http2-excess" | "ranges" | "loop"), "{}", limit.name());
    }
}

#[test]
fn every_field_is_explained() {
    insta::assert_snapshot!("explain", explain());
}

#[test]
fn hints_are_about_the_section_and_the_field_that_they_stand_at() {
    let origin = "[origin]\nurl = \"http://127.0.0.1:9000\"\n";
    for (section, wanted, unwanted) in [
        ("[disk]\nfolder = \"x\"\n", "did you mean `disk.path`?", "purge.folder"),
        ("[purge]\npath = \"x\"\n", "did you mean `purge.folder`?", "disk.path"),
        ("[report]\nto = [\"x:1\"]\n", "\"x:1\" is not an address to send to", "to listen on"),
        ("[report]\nto = [\"192.0.2.1:0\"]\n", "its load.listen", "takes a free one"),
    ] {
        let said = judged(&format!("{origin}{section}"));
        assert!(said.contains(wanted) && !said.contains(unwanted), "{said}");
    }
}
