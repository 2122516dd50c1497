//! One version of each library. Two cost build time and make values of one type strangers to each other.

use std::collections::BTreeMap;

/// Crates that are there twice in what we build, and who would have to move first. The list is exact.
const KNOWN: &[(&str, &str)] = &[
    (
        "syn",
        "pcap-file's derive-into-owned has 1, most derives have 2, newer ones 3; used while building only",
    ),
    ("thiserror", "pcap-file 2.0.0 has 1, everybody else 2"),
    ("thiserror-impl", "as thiserror"),
    ("unicode-width", "miette 7.6 has 0.1, clap and indicatif 0.2"),
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
