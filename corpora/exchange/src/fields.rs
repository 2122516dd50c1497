//! Header and trailer fields as they stood on the wire.

use crate::text::bytes_as_text;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One field line (RFC 9110 section 5): its name in the sender's spelling, its value without surrounding
/// whitespace. Values are bytes: RFC 9110 section 5.5 allows more than ASCII, and senders send more than it allows.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    #[serde(with = "bytes_as_text")]
    pub name: Bytes,
    #[serde(with = "bytes_as_text")]
    pub value: Bytes,
}

impl Field {
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Field { name: name.into(), value: value.into() }
    }

    /// Whether this is the field `name`; names are compared without case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", crate::escape(&self.name), crate::escape(&self.value))
    }
}

/// A field section: lines in the order they came, repeated names kept apart.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.0.iter()
    }

    /// Appends a line.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Field::new(name, value));
    }

    /// The value of the first line with this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.iter().find(|f| f.is(name)).map(|f| &f.value)
    }

    /// The first line's value as text, where it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// The values of all lines with this name, in order.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Bytes> + use<'a, 'n> {
        self.iter().filter(move |f| f.is(name)).map(|f| &f.value)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All lines of this name joined with `, ` as RFC 9110 section 5.3 allows; `None` where there are none.
    pub fn combined(&self, name: &str) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self.get_all(name).map(|v| &v[..]).collect();
        (!values.is_empty()).then(|| values.join(&b", "[..]))
    }

    /// The members of a comma-separated list field over all its lines (RFC 9110 section 5.6.1), trimmed, empty
    /// members left out; commas inside quoted strings do not separate.
    pub fn members<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name).flat_map(|v| split_list(v)).filter(|m| !m.is_empty())
    }

    /// Removes every line with this name and says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.0.len();
        self.0.retain(|f| !f.is(name));
        before - self.0.len()
    }

    /// Replaces the first line with this name and removes the others, or appends one.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let field = Field::new(name, value);
        let at = self.0.iter().position(|f| f.name.eq_ignore_ascii_case(&field.name));
        let mut index = 0;
        self.0.retain(|f| {
            index += 1;
            Some(index - 1) == at || !f.name.eq_ignore_ascii_case(&field.name)
        });
        match at {
            Some(at) => self.0[at] = field,
            None => self.0.push(field),
        }
    }

    /// Bytes of the section as HTTP/1.1 prints it, without the empty line at its end.
    pub fn wire_len(&self) -> usize {
        self.iter().map(|f| f.name.len() + f.value.len() + 4).sum()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        Fields(lines.into_iter().map(|(name, value)| Field::new(name, value)).collect())
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Fields {
    type Item = Field;
    type IntoIter = std::vec::IntoIter<Field>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Splits a list value at its commas outside quoted strings; members are trimmed of spaces and tabs.
fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&b| {
            if escaped {
                escaped = false;
            } else if quoted && b == b'\\' {
                escaped = true;
            } else if b == b'"' {
                quoted = !quoted;
            }
            b == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        [("Host", "a"), ("Via", "1.1 x"), ("vIa", "1.1 \"y, z\", 1.0 w,,"), ("A", "1")].into_iter().collect()
    }

    #[test]
    fn names_ignore_case_and_keep_spelling() {
        let f = fields();
        assert_eq!(f.combined("via").as_deref(), Some(&b"1.1 x, 1.1 \"y, z\", 1.0 w,,"[..]));
        assert_eq!(f.members("VIA").collect::<Vec<_>>(), [&b"1.1 x"[..], b"1.1 \"y, z\"", b"1.0 w"]);
        assert_eq!(f.0[2].name, "vIa");
    }

    #[test]
    fn set_replaces_in_place() {
        let mut f = fields();
        f.set("VIA", "2");
        assert_eq!(f, [("Host", "a"), ("VIA", "2"), ("A", "1")].into_iter().collect());
        f.set("New", "3");
        assert_eq!(f.len(), 4);
        assert_eq!((f.remove("new"), f.remove("new")), (1, 0));
    }

    #[test]
    fn json_is_lossless() {
        let f: Fields = [(&b"X"[..], &b"\xff\\ \xc3\xa9"[..])]
            .into_iter()
            .map(|(n, v)| (n.to_vec(), v.to_vec()))
            .collect();
        let json = serde_json::to_string(&f).unwrap();
        assert_eq!(json, r#"[{"name":"X","value":"\\xff\\x5c é"}]"#);
        assert_eq!(serde_json::from_str::<Fields>(&json).unwrap(), f);
    }
}
