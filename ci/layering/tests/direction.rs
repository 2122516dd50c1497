//! Who may use whom. The table is the law of ARCHITECTURE.md; a crate that is missing here fails the test.

use std::collections::BTreeSet;

const EXCHANGE: &[&str] = &["exchange"];
const ISLAND: &[&str] = &["http-cache", "control", "exchange", "capture"];
const TOOL: &[&str] = &["exchange", "capture", "wire", "endpoint", "compare", "report"];

/// Crate, and those of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("exchange", &[]),
    ("capture", EXCHANGE),
    ("wire", EXCHANGE),
    ("endpoint", &["exchange", "wire"]),
    ("compare", EXCHANGE),
    ("report", EXCHANGE),
    ("http-cache", &[]),
    ("control", &[]),
    ("edge", ISLAND),
    ("mapper", &["control"]),
    ("reference-cdn", &["edge", "http-cache", "mapper", "control"]),
    ("mirror", TOOL),
    ("replay", TOOL),
    ("conformance", TOOL),
    // The gate runs the tools' public `run` functions; it never links the CDN it judges.
    (
        "gate",
        &["mirror", "replay", "conformance", "exchange", "capture", "wire", "endpoint", "compare", "report"],
    ),
    ("faulty-edge", &["edge", "http-cache", "reference-cdn"]),
    // Starts the programs as processes; links the gate only.
    ("rehearsal", &["gate", "mirror", "replay", "conformance", "exchange", "endpoint", "report"]),
    ("layering", &[]),
    // Builds the store from the files of the edge, and takes the rest of it as it is.
    ("interleavings", &["edge", "http-cache"]),
    // Links everybody: it holds their parsers against each other.
    (
        "fuzz",
        &[
            "exchange",
            "capture",
            "wire",
            "compare",
            "report",
            "http-cache",
            "edge",
            "mapper",
            "reference-cdn",
            "mirror",
            "replay",
            "conformance",
        ],
    ),
];

#[test]
fn crates_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for (name, uses) in layering::ours(&layering::metadata(), true) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) else {
            wrong.push(format!("{name} has no line in the table of allowed dependencies"));
            continue;
        };
        wrong.extend(
            uses.iter().filter(|u| !allowed.contains(&u.as_str())).map(|u| format!("{name} uses {u}")),
        );
    }
    assert!(wrong.is_empty(), "against the dependency direction:\n{}", wrong.join("\n"));
}

/// What an edge in production must not carry: a judge, a test runner, a packet library.
#[test]
fn the_cdn_is_an_island() {
    let metadata = layering::metadata();
    let built: BTreeSet<_> =
        layering::built_into(&metadata, "reference-cdn").iter().map(|p| p.name.to_string()).collect();
    for stranger in
        ["wire", "endpoint", "compare", "report", "faulty-edge", "pcap", "pcap-file", "proptest", "insta"]
    {
        assert!(!built.contains(stranger), "the production binary is built with {stranger}");
    }
    assert!(built.contains("http-cache") && built.contains("hyper"), "this test looks at the wrong graph");
}

#[test]
fn the_gate_does_not_link_what_it_judges() {
    let metadata = layering::metadata();
    let built: BTreeSet<_> =
        layering::built_into(&metadata, "gate").iter().map(|p| p.name.to_string()).collect();
    for judged in ["reference-cdn", "edge", "http-cache"] {
        assert!(!built.contains(judged), "the gate is built with {judged}");
    }
}

/// The top-level folders are fixed; what a new one would hold has a place in one of these.
#[test]
fn the_top_level_holds_no_other_folder() {
    let root = layering::metadata().workspace_root;
    let tracked = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output();
    let Ok(tracked) = tracked else { panic!("git ls-files did not run") };
    let tracked = String::from_utf8_lossy(&tracked.stdout).into_owned();
    let folders: BTreeSet<_> =
        tracked.split('\0').filter_map(|p| p.split_once('/')).map(|(top, _)| top).collect();
    let fixed =
        [".cargo", ".ci", ".github", "ci", "conformance", "corpora", "mirror", "reference-cdn", "replay"];
    let others: Vec<_> = folders.into_iter().filter(|f| !fixed.contains(f)).collect();
    assert!(others.is_empty(), "top-level folders that have no place: {others:?}");
}
