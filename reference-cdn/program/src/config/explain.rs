//! Prints what can be configured.

use std::fmt::Write as _;

use super::fields::FIELDS;

/// Every field with its meaning, for people.
pub fn explain() -> String {
    let mut text = String::new();
    for field in FIELDS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  ({})", field.path, field.kind.form());
        for line in [field.meaning, field.bounds] {
            let _ = writeln!(text, "    {line}");
        }
        let default = field.default.unwrap_or("none");
        let _ = match field.kind.range() {
            Some(range) => writeln!(text, "    default {default}, range {range}\n"),
            None => writeln!(text, "    default {default}\n"),
        };
    }
    text
}

/// A configuration file with every field at its default, each with its meaning above it. Fields without a default are
/// commented out.
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of an edge. `reference-cdn config --explain` says more about each field.\n",
    );
    let mut section = "";
    for field in FIELDS {
        let (of, key) = field.path.split_once('.').unwrap_or(("", field.path));
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        let number = field.default.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let _ = match (field.default, number) {
            (_, Some(number)) => writeln!(text, "# {}\n{key} = {number}", field.meaning),
            (Some(value), None) => writeln!(text, "# {}\n{key} = \"{value}\"", field.meaning),
            (None, None) => writeln!(text, "# {}\n# {key} = {}", field.meaning, field.kind.form()),
        };
    }
    text
}
