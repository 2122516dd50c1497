//! `ci/toolchain` says what is missing and how to get it.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in what its functions share")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

/// Runs `ci/toolchain` where `rustc` prints this version and only these tools exist.
fn check(rustc: Option<&str>, tools: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let program = |name: &str, prints: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    if let Some(version) = rustc {
        program("rustc", version);
        program("cargo", "cargo");
    }
    for tool in tools {
        program(tool, "");
    }
    for tool in ["bash", "sed", "sort", "head", "dirname"] {
        let real = ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(tool)).find(|p| p.exists());
        symlink(real.unwrap(), dir.path().join(tool)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchain");
    let output = Command::new("/usr/bin/env")
        .args(["-i", &format!("PATH={}", dir.path().display()), "bash"])
        .arg(script)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const BOTH: &[&str] = &["cc", "make"];

#[test]
fn what_is_there_is_enough() {
    assert_eq!(check(Some("rustc 1.95.0 (59807616e 2026-04-14)"), BOTH), (Some(0), String::new()));
    assert_eq!(check(Some("rustc 2.0.0"), BOTH), (Some(0), String::new()));
    assert_eq!(check(Some("rustc 1.100.1-nightly"), BOTH), (Some(0), String::new()));
}

#[test]
fn what_is_missing_is_named_with_its_fix() {
    let cases = [
        (Some("rustc 1.63.0 (debian 12)"), BOTH, &["Rust 1.63 is too old", "rustup update"][..]),
        (Some("rustc 1.9.0"), BOTH, &["Rust 1.9 is too old"]),
        (None, BOTH, &["Rust is missing", "rustup.rs"]),
        (Some("rustc 1.95.0"), &["make"], &["A C compiler is missing", "apt-get install gcc"]),
        (Some("rustc 1.95.0"), &["cc"], &["make is missing", "apt-get install make"]),
        (None, &[], &["Rust is missing", "A C compiler is missing", "make is missing"]),
    ];
    for (rustc, tools, expected) in cases {
        let (status, said) = check(rustc, tools);
        assert_eq!(status, Some(2), "{rustc:?} {tools:?}: {said}");
        assert!(expected.iter().all(|text| said.contains(text)), "{rustc:?} {tools:?}: {said}");
    }
}
