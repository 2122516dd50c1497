//! The programs under test, built as the tests were.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where `reference-cdn`, `faulty-edge`, `mirror` and the others are; builds them first.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let dir = Path::new(env!("CARGO_BIN_EXE_rehearsal")).parent().unwrap().to_owned();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--workspace", "--bins", "--locked", "--quiet", "--target-dir"])
            .arg(dir.parent().unwrap())
            .current_dir(root())
            .status()
            .unwrap();
        assert!(built.success(), "cargo build failed");
        dir
    })
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Says on standard error, past what the test runner captures, that something could not run.
#[allow(dead_code, reason = "not every test needs a peer")]
pub fn not_run(what: &str) {
    assert!(std::env::var_os("REQUIRE_PEERS").is_none(), "{what}, and REQUIRE_PEERS is set");
    let _ = writeln!(std::io::stderr(), "not run: {what}");
}
