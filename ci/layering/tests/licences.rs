//! Everything we build from may be given on under Apache-2.0.

/// Licences that ask for no more than their notice.
const PERMISSIVE: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    // Zlib's terms in other words.
    "bzip2-1.0.6",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "Unicode-DFS-2016",
];

/// Whether an SPDX expression leaves a way to use the crate under permissive licences alone. Reads `AND`, `OR`,
/// parentheses and the old `/` for `OR`; `AND` binds tighter.
fn is_permissive(expression: &str) -> bool {
    let spaced =
        expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "\u{1}");
    let tokens: Vec<String> = spaced.split_whitespace().map(|t| t.replace('\u{1}', " WITH ")).collect();
    let mut rest = &tokens[..];
    let verdict = any(&mut rest);
    verdict && rest.is_empty()
}

fn any(rest: &mut &[String]) -> bool {
    let mut verdict = all(rest);
    while rest.first().is_some_and(|t| t == "OR") {
        *rest = &rest[1..];
        verdict |= all(rest);
    }
    verdict
}

fn all(rest: &mut &[String]) -> bool {
    let mut verdict = one(rest);
    while rest.first().is_some_and(|t| t == "AND") {
        *rest = &rest[1..];
        verdict &= one(rest);
    }
    verdict
}

fn one(rest: &mut &[String]) -> bool {
    let Some((first, tail)) = rest.split_first() else { return false };
    *rest = tail;
    if first != "(" {
        return PERMISSIVE.contains(&first.as_str());
    }
    let verdict = any(rest);
    match rest.split_first() {
        Some((close, tail)) if close == ")" => *rest = tail,
        _ => return false,
    }
    verdict
}

#[test]
fn reads_spdx() {
    for (expression, expected) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0", false),
        ("(MIT", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(is_permissive(expression), expected, "{expression}");
    }
}

#[test]
fn every_dependency_is_permissive() {
    let metadata = layering::metadata();
    let wrong: Vec<_> = metadata
        .packages
        .iter()
        .filter(|p| !p.license.as_deref().is_some_and(is_permissive))
        .map(|p| format!("{} {}: {}", p.name, p.version, p.license.as_deref().unwrap_or("no licence named")))
        .collect();
    assert!(
        wrong.is_empty(),
        "look for another crate, or tell in ARCHITECTURE.md why it may stay:\n{}",
        wrong.join("\n")
    );
}
