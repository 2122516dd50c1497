//! Prints what can be configured.

use std::fmt::Write as _;

use super::fields::{CUSTOMER_FIELDS, CUSTOMER_ORIGIN_FIELDS, FIELDS, Field};

/// Every field with its meaning, for people.
pub fn explain() -> String {
    let mut text = String::new();
    fields(&mut text, "", FIELDS);
    fields(&mut text, "customer.", CUSTOMER_FIELDS);
    fields(&mut text, "customer.origin.", CUSTOMER_ORIGIN_FIELDS);
    text
}

fn fields<D>(text: &mut String, within: &str, fields: &[Field<D>]) {
    for field in fields {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{within}{}  ({})", field.path, field.kind.form());
        for line in [field.meaning, field.bounds] {
            let _ = writeln!(text, "    {line}");
        }
        let default = field.default.unwrap_or("none");
        let _ = match field.kind.range() {
            Some(range) => writeln!(text, "    default {default}, range {range}\n"),
            None => writeln!(text, "    default {default}\n"),
        };
    }
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
    table(&mut text, "[[customer]]", CUSTOMER_FIELDS);
    table(&mut text, "[[customer.origin]]", CUSTOMER_ORIGIN_FIELDS);
    text
}

/// A table that may be there several times: commented out.
fn table<D>(text: &mut String, name: &str, fields: &[Field<D>]) {
    let _ = write!(text, "\n# {name}\n");
    for field in fields {
        let _ = writeln!(text, "# # {}\n# {} = {}", field.meaning, field.path, field.kind.form());
    }
}
