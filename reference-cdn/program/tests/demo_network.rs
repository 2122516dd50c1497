//! The miniature network of `ci/demo-network`: a resolver walks from the root to the servers, in network namespaces, and things die.
//!
//! Needs root and the programs that the script names. Without them nothing is run and the test says so; with REQUIRE_PEERS=1 that
//! is a failure.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// Starts it, and reads what it says up to a line that begins so; `None`: it did not come to that.
fn start(line: &str) -> (Child, Option<Vec<String>>) {
    let mut child = network().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python3 runs it");
    let mut output = BufReader::new(child.stdout.take().expect("output"));
    let mut said = Vec::new();
    for it in output.by_ref().lines() {
        said.push(it.expect("text"));
        if said.last().is_some_and(|it| it.starts_with(line)) {
            break;
        }
    }
    let there = said.last().is_some_and(|it| it.starts_with(line));
    // What else it says must go somewhere.
    child.stdout = Some(output.into_inner());
    (child, there.then_some(said))
}

fn errors(child: &mut Child) -> String {
    let mut errors = String::new();
    child.stderr.take().expect("errors").read_to_string(&mut errors).expect("text");
    errors
}

/// Names of network namespaces, one a line.
fn namespaces() -> String {
    let listed = Command::new("ip").arg("netns").output().expect("ip runs").stdout;
    String::from_utf8_lossy(&listed).into_owned()
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).status().expect("ip runs").success()
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
        let (mut child, said) = start(line);
        let there = said.is_some();
        let told = now();
        if there {
            for signal in signals {
                // A later one may find that it has ended.
                let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).output();
            }
        }
        let ended = child.wait().expect("it ends").code();
        let errors = errors(&mut child);
        if !there && ended == Some(2) {
            return not_run(&errors);
        }
        assert_eq!(ended, Some(status), "{signals:?} at {line:?}: {errors}");
        let took = now() - told;
        assert!(took < Duration::from_secs(10), "{signals:?} at {line:?}: {took:?}");
        assert!(!errors.contains("Traceback"), "{errors}");
        let left = namespaces();
        assert!(!left.contains(&format!("rcdn{}-", child.id())), "{signals:?} at {line:?}: {left}");
    }
}

#[test]
fn what_one_that_was_killed_left_is_removed_by_the_next_and_nothing_else() {
    let (mut killed, said) = start("Ctrl-C ends");
    if said.is_some() {
        killed.kill().expect("it is killed");
    }
    let ended = killed.wait().expect("it ends").code();
    let Some(said) = said else {
        let errors = errors(&mut killed);
        assert_eq!(ended, Some(2), "{errors}");
        return not_run(&errors);
    };
    let after = |before: &str| {
        let found = said.iter().find_map(|line| line.split_once(before));
        found.and_then(|(_, rest)| rest.split_whitespace().next()).expect("it says so").to_owned()
    };
    let (folder, edge) = (after("files and logs are in "), after("  kill "));
    let folder = folder.trim_end_matches('.');
    assert!(Path::new(folder).is_dir(), "{said:?}");

    // One whose process is there, and one that is not ours.
    let others =
        [format!("rcdn{}-core", std::process::id()), format!("other{}-rcdn1-core", std::process::id())];
    for other in &others {
        assert!(ip(&["netns", "add", other]), "{other}");
    }
    let (mut next, said) = start("Starting name servers");
    let _ = Command::new("kill").args(["-INT", &next.id().to_string()]).output();
    let ended = next.wait().expect("it ends").code();
    let left = namespaces();
    for other in &others {
        assert!(ip(&["netns", "del", other]), "{other} is gone: {left}");
    }
    let errors = errors(&mut next);
    assert!(said.is_some() && ended == Some(130), "{ended:?} {errors}");
    assert!(!left.contains(&format!("rcdn{}-", killed.id())), "{left}{errors}");
    assert!(!Path::new(folder).exists(), "{folder} is still there");
    let runs = std::fs::read(format!("/proc/{edge}/cmdline")).is_ok_and(|words| !words.is_empty());
    assert!(!runs, "an edge of it, {edge}, still runs");
}
