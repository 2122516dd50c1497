//! The miniature network of `ci/demo-network`: a resolver walks from the root to the servers, in network namespaces, and things die.
//!
//! Needs root and the programs that the script names. Without them nothing is run and the test says so; with REQUIRE_PEERS=1 that
//! is a failure.

use std::path::Path;
use std::process::Command;

#[test]
fn a_real_resolver_walks_the_chain_and_what_dies_leaves_the_answers() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/demo-network");
    let output = Command::new(script)
        .args(["--check", "--program", env!("CARGO_BIN_EXE_reference-cdn")])
        .output()
        .expect("python3 runs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|it| it == "1");
        assert!(!required, "{errors}");
        eprintln!("not run: {errors}");
        return;
    }
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("all held"), "{said}");
    assert!(said.matches("  ok ").count() > 30, "it looked at too little: {said}");
}
