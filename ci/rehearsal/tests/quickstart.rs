//! The whole loop as a user starts it: programs as processes, real sockets, the recorded world.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in what its functions share")]

mod programs;

use clap::CommandFactory as _;
use programs::{not_run, programs, root};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

fn rehearsal(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
    command.args(arguments).arg("--programs").arg(programs()).current_dir(root()).stdin(Stdio::null());
    command
}

/// A finished rehearsal: exit status, JSON report, what it said on standard error.
fn judged(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let html = page.to_str().unwrap();
    let Output { status, stdout, stderr } =
        rehearsal(&[arguments, &["--json", "-", "--html", html]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    let report: Value =
        serde_json::from_slice(&stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}\n{said}"));
    assert!(
        std::fs::read_to_string(html).unwrap().contains("<!doctype html>"),
        "{arguments:?} wrote no page"
    );
    let mirror = report["subjects"].as_array().unwrap().iter().find(|subject| subject["role"] == "mirror");
    let diffs = mirror.unwrap_or_else(|| panic!("{arguments:?}: no mirror in {}", report["subjects"]));
    let diffs = std::path::Path::new(diffs["name"].as_str().unwrap());
    assert!(diffs.is_file(), "{arguments:?} names {}, which is not there", diffs.display());
    assert!(said.contains(&format!("export PATH=\"{}", programs().display())), "{said}");
    (status.code(), report, said)
}

/// `ci/quickstart --help` prints this file rather than building the program first. To write it anew: UPDATE_HELP=1.
#[test]
fn the_help_that_is_kept_is_that_of_the_program() {
    let help = rehearsal::cli::Cli::command().term_width(100).render_long_help().to_string();
    let path = root().join("ci/rehearsal/help.txt");
    if std::env::var_os("UPDATE_HELP").is_some_and(|it| it == "1") {
        std::fs::write(&path, &help).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), help, "run this test with UPDATE_HELP=1");
    for flag in ["--help", "-h"] {
        let nothing = tempfile::tempdir().unwrap();
        let output = Command::new(root().join("ci/quickstart"))
            .args(["--candidate", "nginx", flag])
            .env("CARGO_TARGET_DIR", nothing.path())
            .output()
            .unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()),
            (Some(0), help.clone())
        );
        assert_eq!(std::fs::read_dir(nothing.path()).unwrap().count(), 0, "it built something");
    }
}

/// What decided: the texts of the reasons, with the checks they rest on.
fn deciding(report: &Value) -> Vec<String> {
    let reasons = report["reasons"].as_array().unwrap().iter();
    let told = |r: &Value| format!("{} {}", r["text"].as_str().unwrap(), r["checks"]);
    reasons.filter(|r| r["severity"] == "deciding").map(told).collect()
}

/// A deviation, a check of the suite that fails for it, and whether replay and mirror report it: `Some(false)` where
/// they must not, `None` where it depends on the order in which requests arrive.
const DEVIATIONS: [(&str, &str, Option<bool>, Option<bool>); 10] = [
    ("age-frozen", "freshness/age-counts", Some(true), None),
    ("vary-ignored", "vary/selecting-fields", Some(true), None),
    ("purge-ignored", "purge/removes", Some(false), Some(false)),
    ("truncated-stored", "integrity/length-cut-stored", Some(false), Some(false)),
    ("wrong-206", "ranges/part-of-stored", Some(true), None),
    ("host-ignored", "integrity/host-in-key", Some(true), None),
    ("hop-by-hop-relayed", "headers/connection-named-response", Some(true), Some(true)),
    ("header-dropped", "validation/not-modified-updates", Some(true), Some(true)),
    ("stale-served", "freshness/max-age-elapses", Some(true), None),
    ("body-changed", "integrity/body-bytes", Some(true), Some(true)),
];

#[test]
fn each_deviation_is_reported_by_the_tool_that_sees_it() {
    programs();
    let open = Mutex::new(DEVIATIONS.iter());
    let wrong = Mutex::new(Vec::new());
    // Waiting for lifetimes to pass is most of what a rehearsal does, so a few go side by side.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((name, check, replay, mirror)) = open.lock().unwrap().next() else { return };
                    let (status, report, said) = judged(&["--deviation", name]);
                    let reasons = deciding(&report);
                    let told = |tool: &str| reasons.iter().any(|r| r.starts_with(tool));
                    let by_suite = reasons.iter().any(|r| r.starts_with("suite:") && r.contains(check));
                    if status != Some(1)
                        || !by_suite
                        || replay.is_some_and(|expected| told("replay") != expected)
                        || mirror.is_some_and(|expected| told("mirror") != expected)
                    {
                        wrong
                            .lock()
                            .unwrap()
                            .push(format!("{name}: exit status {status:?}, {reasons:#?}\n{said}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_list_names_them_all() {
    let output = rehearsal(&["--list"]).output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout);
    for (name, ..) in DEVIATIONS {
        assert!(list.contains(name), "{name} is not in:\n{list}");
    }
    assert_eq!(list.lines().filter(|l| !l.trim().is_empty()).count(), DEVIATIONS.len(), "{list}");
}

#[test]
fn the_reference_as_candidate_may_be_deployed() {
    let (status, report, said) = judged(&["--candidate", "reference"]);
    assert_eq!(status, Some(0), "{:#?}\n{said}", report["reasons"]);
    assert_eq!(report["outcome"], "deploy");
    let ledgers = report["ledgers"].as_array().unwrap();
    assert!(ledgers.len() >= 3 && ledgers.iter().all(|l| l["balances"] == true), "{ledgers:#?}");
    // The reference breaks nothing that binds.
    let suite = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["area"].as_str().unwrap().starts_with("suite"));
    let broken: Vec<_> = suite.filter(|c| c["level"] == "MUST" && c["verdict"] != "pass").collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn peers_as_candidates_are_judged() {
    for (name, paths, broken) in [
        ("nginx", ["nginx", "/usr/sbin/nginx"], "headers/connection-named-response"),
        ("varnish", ["varnishd", "/usr/sbin/varnishd"], "framing/"),
    ] {
        if !paths.iter().any(|program| Command::new(program).arg("-V").output().is_ok()) {
            not_run(&format!("judging {name}: it is not installed (Debian: apt-get install {name})"));
            continue;
        }
        let (status, report, said) = judged(&["--candidate", name]);
        assert_eq!(status, Some(1), "{name}: {:#?}\n{said}", report["reasons"]);
        assert!(deciding(&report).iter().any(|r| r.contains(broken)), "{name}: {:#?}", report["reasons"]);
    }
}

#[test]
fn what_cannot_be_judged_is_said_with_its_reason() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["--candidate", &dead, "--origin-listen", "127.0.0.1:0"], "client to candidate: cannot connect"),
        (&["--deviation", "no-such"], "no-such"),
        (&["--candidate", "no-such"], "none of deviating, reference, nginx, varnish"),
        (&["--capture", "Cargo.toml"], "cannot read the capture Cargo.toml"),
        (&["--capture", "no/such/file"], "no/such/file"),
        (&["--candidate", &dead, "--origin-listen", &taken_address], &taken_address),
    ];
    for (arguments, expected) in cases {
        let output = rehearsal(&[arguments, &["--html", "target/none.html"]].concat()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

/// The processes that `pid` started and that still run.
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(listed.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    found
}

#[test]
fn nothing_is_left_behind_when_interrupted() {
    let mut child = rehearsal(&["--html", "target/none.html"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // From then on both edges and the mirror run.
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("[3/6]")), "it never came to step 3");
    let started = children(child.id());
    assert!(started.len() >= 3, "{started:?}");
    let interrupted = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for pid in started {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A process that has ended and that its new parent has not yet looked at is a zombie.
        let gone =
            stat.is_empty() || stat.rsplit(')').next().is_some_and(|s| s.trim_start().starts_with('Z'));
        assert!(gone, "process {pid} still runs: {stat}");
    }
}
