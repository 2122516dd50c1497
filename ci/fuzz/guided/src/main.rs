//! One fuzz target under libFuzzer: `FUZZ_TARGET` names it, `FUZZ_SEEDS` a directory to write its seeds to.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

fn target() -> &'static fuzz::Target {
    static TARGET: OnceLock<fuzz::Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        fuzz::target(&name).unwrap_or_else(|| {
            let names: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
            eprintln!("FUZZ_TARGET={name:?} is no target; there are {}", names.join(", "));
            std::process::exit(2);
        })
    })
}

/// What libFuzzer begins with: seeds as files, and its dictionary beside them.
fn prepare() {
    let Some(seeds) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    let mut dictionary = String::new();
    for word in fuzz::DICTIONARY {
        dictionary.push('"');
        // Writing to a String cannot fail.
        word.iter().for_each(|byte| drop(write!(dictionary, "\\x{byte:02x}")));
        dictionary.push_str("\"\n");
    }
    let files = (target().seeds)().into_iter().enumerate();
    let files = files.map(|(number, seed)| (seeds.join(format!("seed-{number}")), seed));
    let files = files.chain([(seeds.with_extension("dict"), dictionary.into_bytes())]);
    for (path, bytes) in files {
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("cannot write {}: {error}; FUZZ_SEEDS has to be a directory", path.display());
            std::process::exit(2);
        }
    }
}

fuzz_target!(init: prepare(), |bytes: &[u8]| (target().run)(bytes));
