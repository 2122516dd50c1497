//! Secrets of those whose traffic is mirrored do not get into anything that is shown.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod stage;

use stage::{Asked, Mirror, connect, read_request, server};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Part of each secret, and of nothing else.
const MARK: &str = "hunter2";

/// Where a secret can be in an answer: a line of the head, or a body with its type. `SECRET` stands for it.
const PLACES: [(&str, &str); 19] = [
    ("cookie", "Set-Cookie: sid=SECRET; Path=/; HttpOnly"),
    ("joined-cookies", "Set-Cookie: a=1; Path=/, b=SECRET; Secure"),
    ("nameless-cookie", "Set-Cookie: SECRET"),
    ("bearer", "Authorization: Bearer SECRET"),
    ("no-scheme", "Proxy-Authorization: SECRET SECRET"),
    ("digest", "Authentication-Info: nextnonce=\"SECRET\""),
    ("request-field", "Cookie: a=1; sid=SECRET"),
    ("api-key", "X-Api-Key: SECRET"),
    ("auth-token", "X-Auth-Token: SECRET"),
    ("client-secret", "X-Client-Secret: SECRET"),
    ("location", "Location: https://user:SECRET@h.test/?access_token=SECRET#id_token=SECRET"),
    ("link", "Link: </a?sig=SECRET>; rel=next"),
    ("unknown", "X-Forwarded-Uri: /login?user=a&password=SECRET"),
    ("json", "application/json\n{\"user\": \"a\", \"access_token\": \"SECRET\"}"),
    ("json-list", "application/json\n{\"api_key\": [\"SECRET\"]}"),
    ("form", "application/x-www-form-urlencoded\nuser=a&password=SECRET&n=1"),
    ("html", "text/html\n<p>\n<a href=\"/x?a=1&amp;token=SECRET\">x</a>\n</p>\n"),
    ("trace", "message/http\nTRACE / HTTP/1.1\nAuthorization: Basic SECRET\n\n"),
    ("long", "X-Long-Token: LONG"),
];

fn answer(asked: &Asked, build: &str) -> Vec<u8> {
    let path = asked.line.split(' ').nth(1).unwrap_or_default();
    let name = path.split(['/', '?']).find(|p| PLACES.iter().any(|(n, _)| n == p)).unwrap_or_default();
    let Some((_, what)) = PLACES.iter().find(|(n, _)| *n == name) else {
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let secret = format!("{MARK}-{name}-{build}");
    let what = what.replace("SECRET", &secret).replace("LONG", &format!("{secret}{}", "x".repeat(2000)));
    let (head, body) = match what.split_once('\n') {
        Some((media_type, body)) => (format!("Content-Type: {media_type}"), body),
        None => (what.clone(), ""),
    };
    format!("HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn build(name: &'static str) -> SocketAddr {
    server(move |stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(asked) = read_request(&mut reader)? {
            stream.write_all(&answer(&asked, name))?;
        }
        Ok(())
    })
}

/// Everything a mirror shows of traffic in which each place holds a secret, by what shows it.
fn shown(directory: &Path, more: &[&str]) -> BTreeMap<&'static str, String> {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let files = [("--diffs", "d"), ("--json", "j"), ("--junit", "u"), ("--html", "h"), ("--record", "r")];
    let arguments: Vec<String> = files.iter().flat_map(|(flag, f)| [(*flag).to_owned(), file(f)]).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let mirror = Mirror::start(build("primary"), build("candidate"), &arguments);
    let mut stream = connect(mirror.listen);
    // Twice, so that the same secret is seen in two answers.
    for round in ["one", "two"] {
        for (name, _) in PLACES {
            let path = format!("/{name}/{round}?a=b&access_token={MARK}-query-{name}");
            let target = if round == "one" { path } else { format!("http://u:{MARK}@stage.test{path}") };
            let asked = format!("GET {target} HTTP/1.1\r\nHost: stage.test\r\nCookie: c={MARK}\r\n\r\n");
            stream.write_all(asked.as_bytes()).unwrap();
            let asked = Asked { line: asked.lines().next().unwrap().into(), head: asked, body: Vec::new() };
            let expected = answer(&asked, "primary");
            let mut got = vec![0; expected.len()];
            stream.read_exact(&mut got).unwrap();
            assert!(got == expected, "{name}: what clients get is not touched");
        }
    }
    drop(stream);
    mirror.ledger_when("all answers", |l| l["open"] == 0 && l["requests"] == 2 * PLACES.len());
    let pages = ["/ledger", "/metrics"].map(|page| mirror.page(page)).concat();
    let ended = mirror.end();
    assert_eq!(ended.status, 1, "{}", ended.stderr);
    let mut all = BTreeMap::from([("text", ended.stdout), ("errors", ended.stderr), ("pages", pages)]);
    for (flag, name) in files.into_iter().filter(|(flag, _)| *flag != "--record") {
        all.insert(flag, std::fs::read_to_string(file(name)).unwrap());
    }
    let mode = std::fs::metadata(file("r")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the record is for its owner alone");
    all
}

#[test]
fn nothing_shown_holds_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let shown = shown(directory.path(), &[]);
    for (what, text) in &shown {
        let held: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
        assert!(held.is_empty(), "{what}: {held:#?}");
        // Each pseudonym may stand for a secret whose length is not told either.
        assert!(!text.contains(&"x".repeat(100)), "{what}");
    }
    let diffs = mirror::diffs::read(&directory.path().join("d")).unwrap();
    assert!(!diffs.differences.is_empty());
    let mut seen: BTreeMap<String, BTreeSet<[Option<String>; 2]>> = BTreeMap::new();
    for differing in &diffs.differences {
        assert!(differing.url.contains("access_token=[secret-"), "{}", differing.url);
        for found in &differing.differences {
            let d = &found.difference;
            assert_ne!(d.left, d.right, "different secrets look different: {}", d.path);
            let place = differing.url.split('/').nth(3).unwrap();
            seen.entry(format!("{place} {}", d.path)).or_default().insert([d.left.clone(), d.right.clone()]);
        }
    }
    assert!(seen.len() >= PLACES.len(), "{seen:#?}");
    for (path, values) in &seen {
        assert_eq!(values.len(), 1, "the same secret looks the same: {path}: {values:#?}");
    }
    let left = |path: &str| seen[path].iter().next().unwrap()[0].clone().unwrap();
    assert!(left("cookie fields.set-cookie[sid]").starts_with("sid=[secret-"));
    assert!(left("cookie fields.set-cookie[sid]").ends_with("]; Path=/; HttpOnly"));
    assert!(left("bearer fields.authorization").starts_with("Bearer [secret-"));
}

/// The same with the flag: everything is there, so that the test above could fail in each place.
#[test]
fn secrets_are_shown_where_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let shown = shown(directory.path(), &["--show-secrets"]);
    for (name, _) in PLACES {
        for secret in [
            format!("{MARK}-{name}-primary"),
            format!("{MARK}-{name}-candidate"),
            format!("{MARK}-query-{name}"),
        ] {
            assert!(shown["--diffs"].contains(&secret), "{secret}");
        }
    }
    for form in ["text", "--json", "--junit", "--html"] {
        assert!(shown[form].contains(MARK), "{form}");
    }
}

/// What names a difference in several runs neither depends on a run's key nor on the secret.
#[test]
fn fingerprints_are_those_of_other_runs() {
    let fingerprints = |more: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        shown(directory.path(), more);
        let diffs = mirror::diffs::read(&directory.path().join("d")).unwrap();
        diffs.differences.into_iter().map(|d| d.fingerprint).collect::<BTreeSet<_>>()
    };
    assert_eq!(fingerprints(&[]), fingerprints(&["--show-secrets"]));
}
