//! JSON bodies by value: the order of members does not matter, nor how a number or string is spelled.

use crate::body::excerpt;
use crate::collect::Collector;
use crate::{Class, rules};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Deepest nesting that is read.
const DEEPEST: usize = 200;

/// A JSON value (RFC 8259) with numbers as decimals of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Decimal),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// `0.digits * 10^exponent`, no zero at either end of the digits: equal exactly when the numbers are. No digits is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
    /// As it was written.
    text: Written,
}

/// Text that does not take part in comparisons.
#[derive(Clone, Debug)]
struct Written(String);

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Written {}

/// The value that `bytes` are, or nothing where they are not JSON, repeat a name in one object (which readers
/// understand differently), hold half a surrogate pair, or nest too deep.
pub(crate) fn parse(bytes: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEEPEST {
            return None;
        }
        self.space();
        match self.rest.as_bytes().first()? {
            b'n' => self.take("null").map(|()| Json::Null),
            b't' => self.take("true").map(|()| Json::Bool(true)),
            b'f' => self.take("false").map(|()| Json::Bool(false)),
            b'"' => self.string().map(Json::String),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.number().map(Json::Number),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take("[")?;
        self.space();
        let mut items = Vec::new();
        if self.take("]").is_some() {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(",").is_none() {
                self.take("]")?;
                return Some(Json::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take("{")?;
        self.space();
        let mut members = BTreeMap::new();
        if self.take("}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.take(":")?;
            let value = self.value(depth + 1)?;
            match members.entry(name) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(_) => return None,
            };
            self.space();
            if self.take(",").is_none() {
                self.take("}")?;
                return Some(Json::Object(members));
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut string = String::new();
        loop {
            let plain = self.rest.find(|c: char| c == '"' || c == '\\' || c < ' ')?;
            string.push_str(&self.rest[..plain]);
            self.rest = &self.rest[plain..];
            if self.take("\"").is_some() {
                return Some(string);
            }
            self.take("\\")?;
            let escape = self.rest.chars().next()?;
            self.rest = &self.rest[escape.len_utf8()..];
            string.push(match escape {
                '"' | '\\' | '/' => escape,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => self.unicode()?,
                _ => return None,
            });
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.four()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.take("\\u")?;
        let second = self.four()?;
        (0xdc00..0xe000).contains(&second).then_some(())?;
        char::from_u32(0x10000 + (first - 0xd800) * 0x400 + (second - 0xdc00))
    }

    fn four(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[4..];
        u32::from_str_radix(digits, 16).ok()
    }

    fn digits(&mut self) -> Option<&str> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn number(&mut self) -> Option<Decimal> {
        let start = self.rest;
        let negative = self.take("-").is_some();
        let whole = self.digits()?.to_owned();
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let fraction = match self.take(".") {
            Some(()) => self.digits()?.to_owned(),
            None => String::new(),
        };
        let mut power = 0_i64;
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let down = self.take("-").is_some();
            if !down {
                let _ = self.take("+");
            }
            // An exponent that does not fit stands for no number that anybody reads.
            power = self.digits()?.parse().ok().filter(|p| *p < 1 << 40)?;
            power = if down { -power } else { power };
        }
        let text = Written(start[..start.len() - self.rest.len()].to_owned());
        let all = whole.clone() + &fraction;
        let significant = all.trim_start_matches('0');
        if significant.is_empty() {
            return Some(Decimal { negative: false, digits: String::new(), exponent: 0, text });
        }
        let exponent =
            i64::try_from(whole.len()).ok()? - i64::try_from(all.len() - significant.len()).ok()? + power;
        Some(Decimal { negative, digits: significant.trim_end_matches('0').to_owned(), exponent, text })
    }
}

/// Adds the differences between two values, at the deepest paths where they show.
pub(crate) fn compare(out: &mut Collector<'_>, path: &str, left: &Json, right: &Json) {
    walk(out, format!("{path}.$"), left, right);
}

fn walk(out: &mut Collector<'_>, path: String, left: &Json, right: &Json) {
    match (left, right) {
        (l, r) if l == r => {}
        (Json::Object(l), Json::Object(r)) => {
            let only_left: Vec<_> = l.keys().filter(|name| !r.contains_key(*name)).collect();
            let only_right: Vec<_> = r.keys().filter(|name| !l.contains_key(*name)).collect();
            if let ([l], [r]) = (&only_left[..], &only_right[..]) {
                // One member against another is one change.
                let explanation = "a member of one name on one side, of another name on the other";
                let values = (Some(l.as_bytes()), Some(r.as_bytes()));
                out.add(path.clone(), values, &rules::JSON, Class::Body, explanation);
            } else {
                for name in only_left {
                    add(out, member(&path, name), l.get(name), None);
                }
                for name in only_right {
                    add(out, member(&path, name), None, r.get(name));
                }
            }
            for (name, value) in l {
                if let Some(other) = r.get(name) {
                    walk(out, member(&path, name), value, other);
                }
            }
        }
        (Json::Array(l), Json::Array(r)) if l.len() == r.len() => {
            for (index, (l, r)) in l.iter().zip(r).enumerate() {
                walk(out, format!("{path}[{index}]"), l, r);
            }
        }
        (Json::Array(l), Json::Array(r)) => {
            let explanation = format!("{} items against {}", l.len(), r.len());
            let values = (print(left), print(right));
            out.add(
                path,
                (Some(values.0.as_bytes()), Some(values.1.as_bytes())),
                &rules::JSON,
                Class::Body,
                explanation,
            );
        }
        (l, r) => add(out, path, Some(l), Some(r)),
    }
}

fn add(out: &mut Collector<'_>, path: String, left: Option<&Json>, right: Option<&Json>) {
    let explanation = out.presence(left.is_some(), right.is_some(), "the values differ");
    let (l, r) = (left.map(print), right.map(print));
    let values = (l.as_ref().map(|v| v.as_bytes()), r.as_ref().map(|v| v.as_bytes()));
    out.add(path, values, &rules::JSON, Class::Body, explanation);
}

/// `.name`, or `["a name"]` where it is not a plain word.
fn member(path: &str, name: &str) -> String {
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
    if plain { format!("{path}.{name}") } else { format!("{path}[\"{}\"]", excerpt(name.as_bytes())) }
}

/// A value as short text: containers by their size.
fn print(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.text.0.clone(),
        Json::String(string) => format!("\"{string}\""),
        Json::Array(items) => format!("array of {}", items.len()),
        Json::Object(members) => {
            let names: Vec<_> = members.keys().take(8).map(String::as_str).collect();
            format!("object of {}: {}", members.len(), names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_value_in_several_spellings() {
        for (left, right) in [
            ("[1,2]", " [ 1.0 , 0.2e1 ] "),
            (r#"{"a":1,"b":"x"}"#, r#"{"b":"\u0078","a":10E-1}"#),
            (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
            ("-0", "0.00e7"),
            ("12345678901234567890123", "1.2345678901234567890123e22"),
        ] {
            assert_eq!(parse(left.as_bytes()).expect(left), parse(right.as_bytes()).expect(right));
        }
    }

    #[test]
    fn other_values() {
        for (left, right) in
            [("12345678901234567890123", "12345678901234567890124"), ("1", "\"1\""), ("0.1", "0.10001")]
        {
            assert_ne!(parse(left.as_bytes()).expect(left), parse(right.as_bytes()).expect(right));
        }
    }

    #[test]
    fn not_json() {
        for text in [
            "",
            "01",
            "1.",
            "[1,]",
            "{\"a\":1,\"a\":1}",
            "nul",
            "\"\\ud800\"",
            "\"\n\"",
            "1 2",
            "+1",
            "1e",
            "{a:1}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse("[".repeat(100_000).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn agrees_with_another_reader(text in r#"[\[\]{},:"a\\u0-9eE.+ -]{0,24}"#) {
            // serde_json takes repeated names, lone surrogates in no case, and numbers too large for it not at all.
            if parse(text.as_bytes()).is_some() {
                let read = serde_json::from_str::<serde_json::Value>(&text);
                prop_assert!(read.is_ok() || text.contains(['e', 'E']), "{}", text);
            } else if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let names = text.matches(':').count();
                prop_assert!(names > 1 || text.contains('e') || text.contains('E'), "{} is {}", text, value);
            }
        }
    }
}
