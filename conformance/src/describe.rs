//! `list` and `explain`.

use crate::check::{Area, Check};
use crate::{checks, glob};
use std::fmt::Write as _;

/// All checks that match one of the patterns (none: all), by area.
pub(crate) fn list(only: &[String]) -> String {
    let mut text = String::new();
    let wanted = |check: &&Check| only.is_empty() || only.iter().any(|p| glob::matches(p, check.id));
    let width = checks::all().map(|check| check.id.len()).max().unwrap_or(0);
    let mut total = 0;
    for area in Area::ALL {
        let checks: Vec<&Check> = checks::all().filter(|c| c.area == area).filter(wanted).collect();
        if checks.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{} ({})", area.title(), checks.len());
        for check in &checks {
            let _ = writeln!(text, "  {:width$}  {:9}  {}", check.id, check.level, check.cite);
        }
        total += checks.len();
        text.push('\n');
    }
    let _ = writeln!(text, "{total} checks");
    text
}

/// What a check requires, why, and what it rests on.
pub(crate) fn explain(check: &Check, width: usize) -> String {
    let mut text = format!("{}  {}  {}\n\n", check.id, check.level, check.cite);
    text += &wrap(check.rule, width);
    text.push('\n');
    text += &wrap(check.reason, width);
    if !check.depends_on.is_empty() {
        let _ = write!(
            text,
            "\nRests on {}: where one of these fails, this is not judged.\n",
            check.depends_on.join(", ")
        );
    }
    let _ = write!(
        text,
        "\nTo run it alone: conformance run --candidate URL --origin-listen ADDR --only '{}'\n",
        check.id
    );
    text
}

/// The id most like `id`.
pub(crate) fn nearest(id: &str) -> Option<&'static str> {
    let topic = |id: &str| id.rsplit('/').next().unwrap_or(id).to_owned();
    checks::all()
        .map(|check| (likeness(&topic(check.id), &topic(id)), check.id))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, id)| id)
}

/// Share of pairs of neighbouring letters that two words have in common, 0 to 1.
fn likeness(a: &str, b: &str) -> f64 {
    let pairs = |word: &str| word.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (ours, mut theirs) = (pairs(a), pairs(b));
    let total = ours.len() + theirs.len();
    if total == 0 {
        return 0.0;
    }
    let mut shared = 0;
    for pair in ours {
        if let Some(at) = theirs.iter().position(|p| *p == pair) {
            theirs.swap_remove(at);
            shared += 2;
        }
    }
    f64::from(shared) / total as f64
}

fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_all() {
        insta::assert_snapshot!(list(&[]));
    }

    #[test]
    fn explains() {
        let check = checks::find("headers/via-appended").unwrap();
        insta::assert_snapshot!(explain(check, 80));
    }

    #[test]
    fn suggests() {
        assert_eq!(nearest("freshness/no-stor"), Some("freshness/no-store"));
        assert_eq!(nearest("host-in-keys"), Some("integrity/host-in-key"));
        assert_eq!(nearest("zzz"), None);
    }
}
