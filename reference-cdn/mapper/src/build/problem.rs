//! What is wrong with an input: where, whose fault, what to do.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;

/// An input that cannot be used, or a line of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadInput {
    pub file: String,
    /// Counted from 1; `None` where the file as a whole is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Characters of the line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<NonZeroU32>,
    /// The key or column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::error::Error for BadInput {}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl BadInput {
    pub fn new(file: &str, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, key: None, what: what.into(), hint: None }
    }

    /// A TOML file of the wrong form, in one line.
    pub fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message();
        let mut bad = Self::new(file, message.lines().map(str::trim).collect::<Vec<_>>().join("; "));
        if let Some(span) = error.span() {
            let before = text.get(..span.start).unwrap_or_default();
            bad.line = Some(line_of(text, span.start));
            let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
            bad.column = u32::try_from(column).ok().and_then(NonZeroU32::new);
        }
        let missing = message.starts_with("missing field").then(|| "add it: it has no default".to_owned());
        let address = message.starts_with("invalid socket address").then(|| {
            "write ADDRESS:PORT, such as \"127.0.0.1:5300\" or \"[::1]:5300\"; a name is not looked up"
                .to_owned()
        });
        let lone = message
            .strip_prefix("invalid type: string ")
            .and_then(|rest| rest.strip_suffix(", expected a sequence"));
        let lone = lone.map(|text| format!("write it as [{text}]"));
        let list = message.starts_with("invalid type: sequence, expected ");
        let list = list.then(|| "give one value, without [ ]".to_owned());
        bad.hint = suggestion(message).or(missing).or(address).or(lone).or(list);
        bad
    }

    #[must_use]
    pub fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Most problems of one file that are listed; beyond, the reader stops.
pub const MOST_PROBLEMS: usize = 50;

/// The word that was probably meant: the nearest of `known`, if it is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insertions, removals, replacements, and neighbours that changed places.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

/// A hint for serde's message about a key that it does not know.
pub(crate) fn suggestion(message: &str) -> Option<String> {
    let (_, rest) =
        message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"))?;
    let mut quoted = rest.split('`').step_by(2);
    let unknown = quoted.next()?;
    let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
    nearest(unknown, known).map(|near| format!("did you mean \"{near}\"?"))
}

/// On which line an octet of a text is, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> u64 {
    text.as_bytes()[..at.min(text.len())].iter().filter(|&&octet| octet == b'\n').count() as u64 + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_of_a_toml_file_is_one_line_with_its_place_and_what_to_do() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only what is wrong is looked at")]
        struct Form {
            capacity: u64,
            rack: Option<String>,
            list: Option<Vec<String>>,
        }
        for (text, said) in [
            (
                "capcity = 1",
                "f.toml:1:1: unknown field `capcity`, expected one of `capacity`, `rack`, `list`; did you mean \"capacity\"?",
            ),
            ("rack = \"é\"", "f.toml:1:1: missing field `capacity`; add it: it has no default"),
            ("\ncapacity = \"x\"", "f.toml:2:12: invalid type: string \"x\", expected u64"),
            (
                "capacity = [1]",
                "f.toml:1:12: invalid type: sequence, expected u64; give one value, without [ ]",
            ),
            (
                "capacity = 1\nlist = \"x\"",
                "f.toml:2:8: invalid type: string \"x\", expected a sequence; write it as [\"x\"]",
            ),
        ] {
            let error = toml::from_str::<Form>(text).unwrap_err();
            assert_eq!(BadInput::of_toml("f.toml", text, &error).to_string(), said);
        }
        for text in
            ["x = [", "x = \"\"\"a", "[a\nb = 1", "capacity = 1\ncapacity = 2", "capacity = 1 2", "\u{0}"]
        {
            let error = toml::from_str::<Form>(text).unwrap_err();
            let said = BadInput::of_toml("f.toml", text, &error).to_string();
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.starts_with("f.toml:1:") || said.starts_with("f.toml:2:"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_wrong_with_a_toml_file_is_one_line(text in "[a-c\\[\\]{}=\"'\\\\\n\r\t#., 0-9é\u{0}]{0,60}") {
            if let Err(error) = toml::from_str::<toml::Table>(&text) {
                let said = BadInput::of_toml("f.toml", &text, &error).to_string();
                prop_assert_eq!(said.lines().count(), 1, "{}", said);
                prop_assert!(said.starts_with("f.toml:") && said.len() < 400, "{}", said);
            }
        }
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["capacity", "rack", "site", "features"];
        for (word, near) in [
            ("capcity", Some("capacity")),
            ("rakc", Some("rack")),
            ("feature", Some("features")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }
}
