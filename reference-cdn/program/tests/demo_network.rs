//! The miniature network of `ci/demo-network`: a resolver walks from the root to the servers, in network namespaces, and things die.
//!
//! Needs root and the programs that the script names. Without them nothing is run and the test says so; with REQUIRE_PEERS=1 that
//! is a failure.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn network() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/demo-network"));
    command.args(["--program", env!("CARGO_BIN_EXE_reference-cdn")]);
    command
}

/// Says that nothing was run, if that is no failure.
fn not_run(errors: &str) {
    let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|it| it == "1");
    assert!(!required, "{errors}");
    eprintln!("not run: {errors}");
}

#[test]
fn a_real_resolver_walks_the_chain_and_what_dies_leaves_the_answers() {
    let output = network().arg("--check").output().expect("python3 runs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        return not_run(&errors);
    }
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("all held"), "{said}");
    assert!(said.matches("  ok ").count() > 30, "it looked at too little: {said}");
}

#[expect(clippy::disallowed_methods, reason = "how long it takes to end is what is tested")]
fn now() -> Instant {
    Instant::now()
}

/// Edges that are told to stop go on serving for a while; who ends the demonstration does not wait for them, nor presses Ctrl-C twice.
#[test]
fn however_it_is_ended_nothing_of_it_is_left() {
    for (line, signals, status) in [
        ("Ctrl-C ends", &["INT", "INT", "TERM"][..], 0),
        ("Ctrl-C ends", &["TERM"], 143),
        ("Starting name servers", &["INT", "INT"], 130),
    ] {
        let mut child =
            network().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python3 runs it");
        let mut said = BufReader::new(child.stdout.take().expect("output")).lines();
        let there = said.by_ref().any(|it| it.expect("text").starts_with(line));
        let told = now();
        if there {
            for signal in signals {
                // A later one may find that it has ended.
                let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).output();
            }
        }
        let ended = child.wait().expect("it ends").code();
        let mut errors = String::new();
        child.stderr.take().expect("errors").read_to_string(&mut errors).expect("text");
        if !there && ended == Some(2) {
            return not_run(&errors);
        }
        assert_eq!(ended, Some(status), "{signals:?} at {line:?}: {errors}");
        let took = now() - told;
        assert!(took < Duration::from_secs(10), "{signals:?} at {line:?}: {took:?}");
        assert!(!errors.contains("Traceback"), "{errors}");
        let left = Command::new("ip").arg("netns").output().expect("ip runs").stdout;
        let left = String::from_utf8_lossy(&left).into_owned();
        assert!(!left.contains(&format!("rcdn{}-", child.id())), "{signals:?} at {line:?}: {left}");
    }
}
