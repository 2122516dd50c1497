//! One version of each library. Two cost build time and make values of one type strangers to each other.

use std::collections::BTreeMap;

/// Crates that are there twice in what we build, and who would have to move first. The list is exact.
const KNOWN: &[(&str, &str)] = &[
    (
        "getrandom",
        "ring has 0.2: an option of rustls-webpki that nobody turns on, which cargo's metadata lists all the same",
    ),
    ("rand", "shuttle has 0.8, for models only; hickory has 0.10"),
    ("rand_core", "as rand"),
    (
        "syn",
        "pcap-file's derive-into-owned has 1, most derives have 2, newer ones 3; used while building only",
    ),
    ("synstructure", "asn1-rs-derive 0.6 has 0.13, yoke-derive 0.14; used while building only"),
    ("thiserror", "pcap-file 2.0.0 has 1, everybody else 2"),
    ("thiserror-impl", "as thiserror"),
    ("unicode-width", "miette 7.6 has 0.1, clap and indicatif 0.2"),
    ("untrusted", "aws-lc-rs has 0.7 for an option that nobody turns on, rustls-webpki 0.9"),
];

#[test]
fn no_library_is_built_twice() {
    let metadata = layering::metadata();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in layering::built(&metadata) {
        versions.entry(package.name.to_string()).or_default().push(package.version.to_string());
    }
    versions.retain(|_, v| v.len() > 1);
    let (found, known): (Vec<_>, Vec<_>) =
        (versions.keys().map(String::as_str).collect(), KNOWN.iter().map(|(name, _)| *name).collect());
    assert_eq!(found, known, "built in several versions: {versions:?}; the list of known ones must be exact");
}

/// What the root manifest offers and no crate takes should go.
#[test]
fn every_offered_library_is_used() {
    let metadata = layering::metadata();
    let manifest = std::fs::read_to_string(metadata.workspace_root.join("Cargo.toml")).unwrap_or_default();
    let offered = manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let offered: Vec<_> =
        offered.into_iter().flat_map(str::lines).filter_map(|l| l.split_once(" = ")).collect();
    assert!(offered.len() > 20, "this test reads the wrong part of the manifest");
    let packages = metadata.workspace_packages();
    let used: Vec<_> = packages.iter().flat_map(|p| &p.dependencies).map(|d| d.name.as_str()).collect();
    let left: Vec<_> = offered.iter().map(|(name, _)| *name).filter(|name| !used.contains(name)).collect();
    assert!(left.is_empty(), "nobody uses {left:?}");
}
