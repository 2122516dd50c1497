//! The program as users run it: arguments, messages, exit status.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

/// Exit status, standard output, standard error.
fn conformance(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A candidate that answers every connection with these bytes; empty for one that never answers.
fn candidate(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 4096]);
            if answer.is_empty() {
                silent.push(socket);
            } else {
                let _ = socket.write_all(answer);
            }
        }
    });
    format!("http://{address}")
}

#[test]
fn wrong_input_is_one_clear_message() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let profile = dir.path().join("p.toml");
    std::fs::write(&profile, "name = \"p\"\n\n[purge]\nmethode = \"PURGE\"\n").unwrap();
    let profile = profile.to_str().unwrap();
    let report = dir.path().join("old.json");
    std::fs::write(&report, "{\"tool\": 3}").unwrap();
    let report = report.to_str().unwrap();
    let (url, any) = ("http://127.0.0.1:1", "127.0.0.1:0");
    for (arguments, expected) in [
        (
            &["--candidate", "127.0.0.1:80", "--origin-listen", any][..],
            "`127.0.0.1:80` is no URL of a candidate: it does not begin with http://",
        ),
        (&["--candidate", "https://a", "--origin-listen", any], "https is not supported yet"),
        (
            &["--candidate", "http://no-such-host.invalid", "--origin-listen", any],
            "its host cannot be looked up",
        ),
        (&["--candidate", "http://a/?b", "--origin-listen", any], "it has a query or fragment"),
        (
            &["--candidate", url, "--origin-listen", "here"],
            "--origin-listen `here` is no address to listen on",
        ),
        (&["--candidate", url, "--origin-listen", &in_use], "give another address with --origin-listen"),
        (
            &["--candidate", url, "--origin-listen", any, "--profile", profile],
            "p.toml, line 4: unknown field `methode`",
        ),
        (
            &["--candidate", url, "--origin-listen", any, "--profile", "no-such"],
            "profile no-such: cannot be read",
        ),
        (&["--candidate", url, "--origin-listen", any, "--baseline", report], "old.json: is no report"),
        (
            &["--candidate", url, "--origin-listen", any, "--origin-advertise", "https://a/b"],
            "--origin-advertise `https://a/b` is no address of an origin",
        ),
        (&["--candidate", url], "--origin-listen <ADDR>"),
    ] {
        let (status, out, error) = conformance(&[&["run"], arguments].concat());
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn the_preflight_names_the_hop() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let not_found = candidate(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let bad_gateway = candidate(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let garbage = candidate(b"\x16\x03\x01 this is another protocol\r\n\r\n");
    let silent = candidate(b"");
    for (url, expected) in [
        (&dead, "client to candidate: cannot connect to the candidate"),
        (&not_found, "candidate to origin: the candidate at"),
        (&bad_gateway, "answered 502, so it cannot reach its origin"),
        (&garbage, "does not answer with HTTP"),
        (&silent, "took a request and did not answer"),
    ] {
        let (status, out, error) =
            conformance(&["run", "--candidate", url, "--origin-listen", "127.0.0.1:0"]);
        assert_eq!(status, 2, "{url}: {out}{error}");
        let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{expected}: {out}");
        assert!(text.contains("COULD NOT JUDGE"), "{out}");
    }
}

#[test]
fn help_has_examples() {
    for arguments in [&["--help"][..], &["run", "--help"], &["list", "--help"], &["explain", "--help"]] {
        let (status, out, _) = conformance(arguments);
        assert!(status == 0 && out.contains("Example"), "{arguments:?}: {out}");
    }
}

#[test]
fn checks_are_listed_and_explained() {
    let (status, out, _) = conformance(&["list", "purge/*"]);
    assert!(status == 0 && out.ends_with("12 checks\n") && !out.contains("framing/"), "{out}");
    let (status, out, _) = conformance(&["explain", "purge/removes"]);
    assert!(status == 0 && out.starts_with("purge/removes  MUST"), "{out}");
    let (status, _, error) = conformance(&["explain", "purge/remove"]);
    assert!(status == 2 && error.contains("Did you mean purge/removes?"), "{error}");
    let (status, out, _) = conformance(&["completions", "bash"]);
    assert!(status == 0 && out.contains("conformance"), "{out}");
}
