//! What people read: help, mistakes, and the verdict at the end.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod stage;

use stage::{Mirror, client, command, get, honest, post, read_request, server};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

fn mirror(arguments: &[&str]) -> Said {
    let output = command().args(arguments).env("COLUMNS", "100").output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn help() {
    insta::assert_snapshot!("help", mirror(&["--help"]).stdout);
    insta::assert_snapshot!("help_http", mirror(&["http", "--help"]).stdout);
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let said = mirror(&["completions", shell]);
        assert_eq!(said.status, 0);
        assert!(said.stdout.contains("candidate-timeout"), "{shell}");
    }
}

/// One message each, which names what was wrong, and the status for "could not judge".
#[test]
fn mistakes() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let waivers = directory.path().join("waivers.toml");
    std::fs::write(&waivers, "[[waiver]]\npath = 7\n").unwrap();
    let waivers = waivers.to_str().unwrap();
    let free = stage::nobody().to_string();
    let free_url = format!("http://{free}");
    let ok =
        ["--listen", "127.0.0.1:0", "--primary", "http://127.0.0.1:9", "--candidate", "http://127.0.0.1:10"];
    let with = |more: &[&'static str]| [&ok[..], more].concat();
    for (arguments, expected) in [
        (
            vec!["--listen", &taken, "--primary", "http://127.0.0.1:9", "--candidate", "http://127.0.0.1:10"],
            "Another program listens there",
        ),
        (
            vec!["--listen", "nowhere", "--primary", "http://a", "--candidate", "http://b"],
            "invalid socket address",
        ),
        (vec!["--listen", "127.0.0.1:0", "--primary", "a.test:80", "--candidate", "http://b"], "is no URL"),
        (
            vec!["--listen", "127.0.0.1:0", "--primary", "https://a", "--candidate", "http://b"],
            "clear HTTP/1.1 only",
        ),
        (vec!["--listen", "127.0.0.1:0", "--primary", "http://a/x", "--candidate", "http://b"], "has a path"),
        (
            vec![
                "--listen",
                "127.0.0.1:0",
                "--primary",
                "http://no.such.name.invalid",
                "--candidate",
                "http://127.0.0.1:10",
            ],
            "the primary http://no.such.name.invalid:80 has no address",
        ),
        (
            vec![
                "--listen",
                "192.0.2.1:0",
                "--primary",
                "http://127.0.0.1:9",
                "--candidate",
                "http://127.0.0.1:10",
            ],
            "Take an address of this machine",
        ),
        (with(&["--admin", "192.0.2.1:0"]), "cannot listen on 192.0.2.1:0 for the admin pages"),
        (
            with(&["--diffs", "/no/such/directory/diffs"]),
            "cannot write differences to /no/such/directory/diffs",
        ),
        (with(&["--record", "/no/such/directory/seen"]), "cannot record to /no/such/directory/seen"),
        (with(&["--waivers", "/no/such/file"]), "cannot read the waivers in /no/such/file"),
        ([&ok[..], &["--waivers", waivers]].concat(), "waivers.toml"),
        (with(&["--sample", "200%"]), "is no share"),
        (with(&["--memory", "12x"]), "write a number of bytes"),
        (with(&["--memory", "4K"]), "Give --memory at least 1M"),
        (with(&["--candidate-timeout", "10"]), "write a time"),
        (with(&["--tag-header", "Host: x"]), "decides how a request is read"),
        (with(&["--connections", "0"]), "0 is not in"),
        (
            vec![
                "--listen",
                "127.0.0.1:0",
                "--primary",
                "http://127.0.0.1:9",
                "--candidate",
                "http://127.0.0.1:9",
            ],
            "--primary and --candidate are the same address, 127.0.0.1:9",
        ),
        (
            vec![
                "--listen",
                "127.0.0.1:0",
                "--primary",
                "http://localhost:9",
                "--candidate",
                "http://[::ffff:127.0.0.1]:9/",
            ],
            "are the same address",
        ),
        (
            vec![
                "--listen",
                "127.0.0.1:0",
                "--primary",
                "http://0.0.0.0:9",
                "--candidate",
                "http://127.0.0.1:9",
            ],
            "are the same address",
        ),
        (
            vec!["--listen", &free, "--primary", &free_url, "--candidate", "http://127.0.0.1:9"],
            "the mirror itself listens",
        ),
    ] {
        let said = mirror(&[&["http"], &arguments[..]].concat());
        assert_eq!(said.status, 2, "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{arguments:?}: {}", said.stderr);
        assert!(
            !said.stderr.contains("panicked") && said.stdout.is_empty(),
            "{arguments:?}: {}",
            said.stderr
        );
    }
}

#[test]
fn a_dead_candidate_is_told_at_once() {
    let mirror = Mirror::start(honest(), stage::nobody(), &[]);
    client(mirror.listen, &[get("/length/1")]);
    mirror.ledger_when("the drop", |l| l["states"]["candidate-unreachable"] == 1);
    let ended = mirror.end();
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("does not take connections now"), "{}", ended.stderr);
    assert!(
        flat(&ended.stdout).contains("1 of 1 requests found no connection to the candidate"),
        "{}",
        ended.stdout
    );
}

/// Without the line breaks of a narrow terminal.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn why_nothing_was_compared_is_told() {
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = Mirror::start(honest(), hung.local_addr().unwrap(), &["--candidate-timeout", "100ms"]);
    for n in 0..3 {
        client(mirror.listen, &[get(&format!("/length/{n}"))]);
    }
    client(mirror.listen, &[post("/length/1", Vec::new())]);
    mirror.ledger_when("the drops", |l| l["states"]["candidate-timeout"] == 3 && l["open"] == 0);
    let ended = mirror.end();
    assert_eq!(ended.status, 2);
    let said = flat(&ended.stdout);
    assert!(
        said.contains("not one answer was compared: 3 of 4 requests timed out at the candidate"),
        "{said}"
    );
    assert!(said.contains("try: See whether the candidate hangs"), "{said}");

    let mirror = Mirror::start(honest(), honest(), &[]);
    client(mirror.listen, &[post("/length/1", Vec::new())]);
    let said = flat(&mirror.end().stdout);
    assert!(
        said.contains("1 of 1 requests had a method that is not safe") && said.contains("--unsafe-methods"),
        "{said}"
    );

    let said = flat(&Mirror::start(honest(), honest(), &[]).end().stdout);
    assert!(said.contains("not one answer was compared: no request came"), "{said}");
}

#[test]
fn the_verdict() {
    let candidate = server(|stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(asked) = read_request(&mut reader)? {
            if asked.line.contains("/length/13") {
                stream.write_all(b"garbage\r\n\r\n")?;
                return Ok(());
            }
            let answer = stage::answer(&asked);
            let odd = asked.line.contains("/length/7");
            stream.write_all(&if odd {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
            } else {
                answer
            })?;
        }
        Ok(())
    });
    let primary = honest();
    let mirror = Mirror::start(primary, candidate, &["--seed", "1"]);
    let listen = mirror.listen;
    let asked = [get("/length/5"), get("/length/7"), post("/length/5", Vec::new()), get("/length/13")];
    client(mirror.listen, &asked);
    mirror.ledger_when("all requests", |l| l["requests"] == 4 && l["open"] == 0);
    let ended = mirror.end();
    assert_eq!(ended.status, 1);
    let mut text = ended.stdout;
    for (address, name) in [(listen, "LISTEN"), (primary, "PRIMARY"), (candidate, "CANDIDATE")] {
        text = text.replace(&address.to_string(), name);
    }
    insta::assert_snapshot!("verdict", masked(&text));
}

/// Times, and how much memory copies took, differ from run to run.
fn masked(text: &str) -> String {
    let mut last = "";
    let mut mask = |word: &str| {
        let masked = if word.starts_with("20") && word.ends_with('Z') {
            "TIME".to_owned()
        } else if last == "most" {
            "SOME".to_owned()
        } else {
            word.to_owned()
        };
        last = if word == "most" { "most" } else { "" };
        masked
    };
    let lines = text.lines().map(|line| line.split(' ').map(&mut mask).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_report_has_standard_output_to_itself() {
    for (option, begins) in [("--json", "{\n"), ("--junit", "<?xml"), ("--html", "<!")] {
        let mut child = command()
            .args(["http", "--listen", "127.0.0.1:0", option, "-"])
            .args([
                "--primary",
                &format!("http://{}", honest()),
                "--candidate",
                &format!("http://{}", honest()),
            ])
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        client(ready["listen"].as_str().unwrap().parse().unwrap(), &[get("/length/1")]);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.to_ascii_lowercase().starts_with(begins), "{said}");
        if option == "--json" {
            let report: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(report["outcome"], "agree");
        }
    }
}

#[test]
fn reports_as_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (json, junit, html) = (path("a.json"), path("a.xml"), path("a.html"));
    let mirror = Mirror::start(honest(), honest(), &["--json", &json, "--junit", &junit, "--html", &html]);
    let listen = mirror.listen.to_string();
    client(mirror.listen, &[get("/length/1")]);
    mirror.ledger_when("the comparison", |l| l["states"]["same"] == 1);
    assert_eq!(mirror.end().status, 0);
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["outcome"], "agree", "{report:#}");
    assert_eq!(report["ledgers"][0]["balances"], true, "{report:#}");
    assert_eq!(report["mirror"]["states"]["same"], 1, "{report:#}");
    assert!(std::fs::read_to_string(junit).unwrap().starts_with("<?xml"));
    assert!(std::fs::read_to_string(html).unwrap().contains(&listen));
}
