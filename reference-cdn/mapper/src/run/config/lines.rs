//! On which line each key of a configuration is, for errors about what is of the right form and means nothing.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::build::problem::line_of;

/// Lines by keys, which are written `probe.0.status` for the first of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines(BTreeMap<String, u64>);

impl Lines {
    /// Of a text that was read before; of another, none.
    pub fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.table(text, "", table.get_ref());
        }
        lines
    }

    fn table(&mut self, text: &str, within: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = match within {
                "" => key.get_ref().to_string(),
                within => format!("{within}.{}", key.get_ref()),
            };
            self.0.insert(path.clone(), line_of(text, key.span().start));
            self.value(text, &path, value);
        }
    }

    fn value(&mut self, text: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(text, path, table),
            DeValue::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    let path = format!("{path}.{at}");
                    self.0.insert(path.clone(), line_of(text, value.span().start));
                    self.value(text, &path, value);
                }
            }
            _ => {}
        }
    }

    /// Whether the file has a key.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Where a key is, or what it would be in.
    pub fn find(&self, key: &str) -> Option<u64> {
        let mut key = key;
        loop {
            if let Some(line) = self.0.get(key) {
                return Some(*line);
            }
            key = key.rsplit_once('.')?.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_are_or_would_be() {
        let text = "listen = [\n  \"a\",\n  \"b\",\n]\n[rules]\nfirst = 1\n[[probe]]\nhost = \"a\"\n[[probe]]\nhost = \"b\"\nport = 0\n";
        let lines = Lines::of(text);
        for (key, line) in [
            ("listen", Some(1)),
            ("listen.1", Some(3)),
            ("rules.first", Some(6)),
            ("rules.second", Some(5)),
            ("probe.0.port", Some(7)),
            ("probe.1", Some(9)),
            ("probe.1.port", Some(11)),
            ("zone.0", None),
        ] {
            assert_eq!(lines.find(key), line, "{key}");
        }
        assert_eq!(Lines::of("not = = toml").find("not"), None);
    }
}
