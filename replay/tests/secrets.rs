//! Secrets in recorded traffic do not get into anything that the program shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use capture::{Record, Writer};
use endpoint::{Origin, Script, Settings};
use exchange::{Body, Fields, Request, Response, Time, Transaction};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Part of each secret, and of nothing else.
const MARK: &str = "hunter2";

/// Where a secret can be in an answer: a field, or a body under its type. `SECRET` stands for it.
const PLACES: [(&str, &str, &str); 13] = [
    ("cookie", "Set-Cookie", "sid=SECRET; Path=/; HttpOnly"),
    ("nameless-cookie", "Set-Cookie", "SECRET"),
    ("bearer", "Authorization", "Bearer SECRET"),
    ("no-scheme", "Proxy-Authorization", "SECRET SECRET"),
    ("digest", "Authentication-Info", "nextnonce=\"SECRET\""),
    ("request-field", "Cookie", "a=1; sid=SECRET"),
    ("api-key", "X-Api-Key", "SECRET"),
    ("location", "Location", "https://user:SECRET@h.test/?access_token=SECRET"),
    ("unknown", "X-Forwarded-Uri", "/login?user=a&password=SECRET"),
    ("json", "application/json", "{\"user\": \"a\", \"access_token\": \"SECRET\"}"),
    ("form", "application/x-www-form-urlencoded", "user=a&password=SECRET&n=1"),
    ("html", "text/html", "<p>\n<a href=\"/x?a=1&amp;token=SECRET\">x</a>\n</p>\n"),
    ("trailer", "", "SECRET"),
];

fn answer(place: &str, who: &str) -> Response {
    let Some((name, field, value)) = PLACES.iter().find(|(name, ..)| *name == place) else {
        return Response::new(404, [("Content-Length", "0")].into_iter().collect(), Body::empty());
    };
    let value = value.replace("SECRET", &format!("{MARK}-{name}-{who}"));
    let mut response = Response { reason: "OK".into(), ..Response::new(200, Fields::new(), Body::empty()) };
    if field.is_empty() {
        response.body = Body::complete("x");
        response.fields.push("Transfer-Encoding", "chunked");
        response.trailers.push("X-Auth-Token", value);
        return response;
    }
    if field.contains('/') {
        response.fields.push("Content-Type", *field);
        response.body = Body::complete(value);
    } else {
        response.fields.push(*field, value);
    }
    response.fields.push("Content-Length", response.body.length.to_string());
    response
}

fn capture(directory: &Path) -> String {
    let path = directory.join("site.capture");
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
    for (number, (name, ..)) in PLACES.iter().enumerate() {
        let secret = format!("{MARK}-asked-{name}");
        let mut request = Request::new(
            "POST",
            format!("/{name}?access_token={secret}"),
            [
                ("Host", "www.test".to_owned()),
                ("Cookie", format!("a=1; sid={secret}")),
                ("Authorization", format!("Basic {secret}")),
                ("X-Api-Key", secret.clone()),
                ("Referer", format!("http://u:{secret}@www.test/")),
                ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
            ]
            .into_iter()
            .collect(),
        );
        request.body = Body::complete(format!("user=a&password={secret}"));
        request.fields.push("Content-Length", request.body.length.to_string());
        let mut response = answer(name, "recorded");
        let at = Time(1_795_298_820_000_000_000 + number as i64 * 1_000_000);
        (request.seen.start, response.seen.start, response.seen.end) = (at, at, Some(at));
        (request.seen.stream, response.seen.stream) = (number as u64, number as u64);
        let transaction = Transaction {
            client_request: Some(request),
            client_response: Some(response),
            ..Transaction::default()
        };
        writer.write(&Record::Transaction(Box::new(transaction))).unwrap();
    }
    writer.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

async fn build(who: &'static str) -> Origin {
    let origin = Origin::local(Settings::default()).await.unwrap();
    origin.otherwise(move |received| {
        let path = String::from_utf8_lossy(received.request.path_and_query()).into_owned();
        let place = path.split(['/', '?']).nth(1).unwrap_or_default();
        Script::answer(&received.request, &answer(place, who))
    });
    origin
}

async fn replay(arguments: Vec<String>) -> Output {
    let run = move || Command::new(env!("CARGO_BIN_EXE_replay")).args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// All that the program shows of a capture with a secret in each place, by what shows it.
async fn shown(directory: &Path, more: &[&str]) -> BTreeMap<&'static str, String> {
    let capture = capture(directory);
    let (reference, candidate) = (build("reference").await, build("candidate").await);
    let url = |origin: &Origin| format!("http://{}", origin.address());
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut arguments =
        ["http", &capture, "--speed", "max", "--reference", &url(&reference)].map(str::to_owned).to_vec();
    arguments.extend(["--candidate".to_owned(), url(&candidate), "--record".to_owned(), file("record")]);
    let forms = ["json", "junit", "html"];
    arguments.extend(forms.iter().flat_map(|form| [format!("--{form}"), file(form)]));
    arguments.extend(more.iter().map(|&flag| flag.to_owned()));
    let output = replay(arguments).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let mut inspect = ["inspect", &capture, "--transactions"].map(str::to_owned).to_vec();
    inspect.extend(more.iter().map(|&flag| flag.to_owned()));
    let inspected = replay(inspect).await;
    let mode = std::fs::metadata(file("record")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the record is for its owner alone");
    let mut all = BTreeMap::from([
        ("text", String::from_utf8(output.stdout).unwrap()),
        ("errors", String::from_utf8(output.stderr).unwrap()),
        ("inspect", String::from_utf8(inspected.stdout).unwrap()),
    ]);
    for form in forms {
        all.insert(form, std::fs::read_to_string(file(form)).unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_shown_holds_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let shown = shown(directory.path(), &[]).await;
    for (what, text) in &shown {
        let held: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
        assert!(held.is_empty(), "{what}: {held:#?}");
    }
    let report: serde_json::Value = serde_json::from_str(&shown["json"]).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), PLACES.len());
    for check in checks {
        let evidence = |label: &str| {
            let blocks = check["evidence"].as_array().unwrap();
            let block = blocks.iter().find(|b| b["label"] == label);
            block.unwrap_or_else(|| panic!("no {label}: {check:#}"))["text"].as_str().unwrap().to_owned()
        };
        // One secret stands in all places of the request: it is one pseudonym there.
        let request = evidence("request");
        let pseudonyms: std::collections::BTreeSet<&str> =
            request.split("[secret-").skip(1).map(|rest| &rest[..8]).collect();
        // The cookie `a` is another one, and user names are part of what stands before an @.
        assert_eq!(pseudonyms.len(), 3, "{request}");
        assert!(request.contains("Authorization: Basic [secret-"), "{request}");
        for difference in check["differences"].as_array().unwrap() {
            assert_ne!(difference["left"], difference["right"], "different secrets look different");
            let left = difference["left"].as_str().unwrap();
            let pseudonym =
                left.split("[secret-").nth(1).map(|rest| &rest[..8]).unwrap_or_else(|| panic!("{left}"));
            assert!(
                evidence("reference's answer").contains(pseudonym),
                "the same secret looks the same: {check:#}"
            );
        }
    }
}

/// The same with the flag: everything is there, so that the test above could fail in each place.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_where_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let shown = shown(directory.path(), &["--show-secrets"]).await;
    for (name, ..) in PLACES {
        for who in ["recorded", "reference", "candidate"] {
            let secret = format!("{MARK}-{name}-{who}");
            assert!(shown["json"].contains(&secret) && shown["html"].contains(&secret), "{secret}");
        }
        assert!(shown["json"].contains(&format!("{MARK}-asked-{name}")));
    }
    for form in ["text", "junit", "inspect"] {
        assert!(shown[form].contains(MARK), "{form}");
    }
}
