//! The configuration: the shipped example, what is refused, and how it is said.

use std::path::Path;

use reference_cdn::config::Draft;
use reference_cdn::config::explain::{example, explain};
use reference_cdn::config::fields::FIELDS;
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
    let with_origin = example().replace("# url = \"http://HOST:PORT\"", "url = \"http://127.0.0.1:9000\"");
    assert_eq!(
        shipped(),
        with_origin,
        "run `reference-cdn config > reference-cdn/edge.example.toml` and set url"
    );
    assert_eq!(judged(&shipped()), "valid\n");
}

#[test]
fn every_default_is_what_an_edge_without_configuration_has() {
    for field in FIELDS {
        let Some(default) = field.default else { continue };
        let mut draft = Draft::default();
        field
            .kind
            .set(&mut draft, Given::Text(default))
            .unwrap_or_else(|wrong| panic!("{}: {wrong:?}", field.path));
        assert_eq!(format!("{draft:?}"), format!("{:?}", Draft::default()), "{}", field.path);
    }
}

#[test]
fn every_field_changes_something_and_has_its_bounds() {
    for field in FIELDS {
        let mut draft = Draft::default();
        let other = match field.kind {
            Kind::Size { least, most, .. } | Kind::Count { least, most, .. } => {
                for outside in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
                    let outside = outside.to_string();
                    assert!(
                        field.kind.set(&mut draft, Given::Text(&outside)).is_err(),
                        "{} {outside}",
                        field.path
                    );
                }
                if field.default.is_some_and(|it| it == least.to_string()) {
                    most.to_string()
                } else {
                    least.to_string()
                }
            }
            Kind::Time { .. } => "1234ms".to_owned(),
            Kind::Choice { words, .. } => {
                words.iter().find(|word| Some(**word) != field.default).expect("another").to_string()
            }
            Kind::Text { form, .. } if form.contains("http") => "http://h:1".to_owned(),
            Kind::Text { form, .. } if form.contains("ADDRESS") => "[::1]:1".to_owned(),
            Kind::Text { .. } | Kind::Texts { .. } => "other".to_owned(),
        };
        field
            .kind
            .set(&mut draft, Given::Text(&other))
            .unwrap_or_else(|wrong| panic!("{} {other}: {wrong:?}", field.path));
        assert_ne!(format!("{draft:?}"), format!("{:?}", Draft::default()), "{} changes nothing", field.path);
    }
}

/// Each key of the example, misspelled, moved, or with a value of another type, is refused at its line.
#[test]
fn mutations_of_the_example_are_refused() {
    let text = shipped();
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
        (format!("{listen}\ncertificate = \"{a}\"\nkey = \"{key}\""), "valid"),
        (format!("{listen}\ncertificate = [\"{a}\", \"{a}\"]\nkey = [\"{key}\", \"{key}\"]"), "valid"),
        (format!("{listen}\ncertificate = [\"{both}\"]"), "valid"),
        (listen.to_owned(), "tls.listen: a TLS listener without a certificate"),
        (
            format!("certificate = \"{a}\"\nkey = \"{key}\""),
            "tls.certificate: a certificate or key without a TLS listener",
        ),
        (format!("{listen}\ncertificate = \"{a}\""), "a.pem holds no private key"),
        (
            format!("{listen}\ncertificate = [\"{a}\", \"{both}\"]\nkey = \"{key}\""),
            "tls.key: 1 for 2 certificates",
        ),
        (format!("{listen}\ncertificate = \"{key}\"\nkey = \"{key}\""), "a.key holds no certificate"),
        (format!("{listen}\ncertificate = []"), "expected a path"),
        (format!("{listen}\ncertificate = [\"{a}\", 1]"), "expected a path"),
        (format!("{listen}\ncertificate = [\"{a}\", \"\"]"), "expected a path"),
        ("listen = [\"127.0.0.1:0\"]".to_owned(), "expected \"ADDRESS:PORT\", found a value of type array"),
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
fn every_field_is_explained() {
    insta::assert_snapshot!("explain", explain());
}
