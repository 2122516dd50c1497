//! Gathers differences, in order and within bounds.

use crate::{Class, Difference, Rule, Settings};
use exchange::Secrets;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The differences found so far.
pub(crate) struct Collector<'a> {
    pub settings: &'a Settings,
    pub found: Vec<Difference>,
    pub omitted: u64,
}

/// One side's value at a path: its bytes, or nothing.
pub(crate) type Value<'v> = Option<&'v [u8]>;

impl<'a> Collector<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Collector { settings, found: Vec::new(), omitted: 0 }
    }

    /// Adds a difference that counts if its class does. Later ones may still change what counts.
    pub fn add(
        &mut self,
        path: impl Into<String>,
        (left, right): (Value<'_>, Value<'_>),
        rule: &Rule,
        class: Class,
        explanation: impl Into<String>,
    ) -> Option<&mut Difference> {
        if self.found.len() >= self.settings.max_differences {
            self.omitted += u64::from(class.counts());
            return None;
        }
        let (path, max) = (path.into(), self.settings.max_value);
        // Before it is cut: what is left of a secret might not be known as one.
        let shown = |value: Value<'_>| value.map(|v| show(&public(&self.settings.secrets, &path, v), max));
        let (left, right) = (shown(left), shown(right));
        self.found.push(Difference {
            path,
            left,
            right,
            rule: rule.clone(),
            class,
            counts: class.counts(),
            explanation: explanation.into(),
            diff: None,
            waived: None,
        });
        self.found.last_mut()
    }

    /// What the two sides are called.
    pub fn names(&self) -> (&'a str, &'a str) {
        (&self.settings.left_name, &self.settings.right_name)
    }

    /// `only the reference has it`, `only the candidate has it`, or `otherwise` where both do.
    pub fn presence(&self, left: bool, right: bool, otherwise: &str) -> String {
        match (left, right) {
            (true, false) => format!("only the {} has it", self.settings.left_name),
            (false, true) => format!("only the {} has it", self.settings.right_name),
            _ => otherwise.to_owned(),
        }
    }
}

/// The value at a path, without its secrets.
fn public<'v>(secrets: &Secrets, path: &str, value: &'v [u8]) -> Cow<'v, [u8]> {
    if let Some((_, field)) = path.rsplit_once("fields.").or_else(|| path.rsplit_once("trailers.")) {
        return match field.split_once('[') {
            // Cookies by name had their secrets replaced line by line.
            Some(("cookie" | "set-cookie", _)) => Cow::Borrowed(value),
            None if matches!(field, "cookie" | "set-cookie") => Cow::Borrowed(value),
            Some((field, _)) => secrets.field(field.as_bytes(), value),
            None => secrets.field(field.as_bytes(), value),
        };
    }
    if path.starts_with("body") {
        // The last member on the way; items of a list under it are its values.
        let mut member = path;
        while let Some((before, index)) = member.strip_suffix(']').and_then(|p| p.rsplit_once('['))
            && index.bytes().all(|b| b.is_ascii_digit())
        {
            member = before;
        }
        let member = member.strip_suffix("\"]").unwrap_or(member);
        let name = member.rsplit(['.', '"']).next().unwrap_or_default();
        if exchange::is_secret_name(name.as_bytes()) {
            // Without its quotes a string is the same secret elsewhere.
            return match value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) {
                Some(string) => Cow::Owned([b"\"", &*secrets.value(string), b"\""].concat()),
                None => secrets.value(value),
            };
        }
    }
    secrets.text(value)
}

/// Printable and at most about `max` bytes long: what is longer loses its middle.
pub(crate) fn show(bytes: &[u8], max: usize) -> String {
    if bytes.len() <= max {
        return exchange::escape(bytes);
    }
    let half = max / 2;
    let mut text = exchange::escape(&bytes[..half]);
    // Writing to a String cannot fail.
    let _ = write!(text, " [... {} bytes ...] ", bytes.len() - 2 * half);
    text + &exchange::escape(&bytes[bytes.len() - half..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_lose_their_middle() {
        assert_eq!(show(b"abc\xff", 4), "abc\\xff");
        assert_eq!(show(b"0123456789", 4), "01 [... 6 bytes ...] 89");
    }

    #[test]
    fn secrets_are_known_by_their_path() {
        for (path, value, shown) in [
            ("fields.authorization", "Bearer a", "Bearer [secret]"),
            ("interim[0].fields.set-cookie[a]", "a=[secret-1]; Path=/", "a=[secret-1]; Path=/"),
            ("trailers.x-auth-token", "a", "[secret]"),
            ("body.parts[0].fields.x-api-key", "a", "[secret]"),
            ("body.$.a.access_token", "\"a\"", "\"[secret]\""),
            ("body.$.tokens.token[3]", "7", "[secret]"),
            ("body.$[\"client-secret\"]", "\"a\"", "\"[secret]\""),
            ("body.$.token.length", "7", "7"),
            ("target", "/a?token=b", "/a?token=[secret]"),
            ("fields.location", "/a?token=b", "/a?token=[secret]"),
            ("status", "200", "200"),
        ] {
            let public = public(&Secrets::Withheld, path, value.as_bytes());
            assert_eq!(exchange::escape(&public), shown, "{path}");
        }
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_a_value_is_cut() {
        let settings = Settings { max_value: 40, ..Settings::default() };
        let mut out = Collector::new(&settings);
        let value = format!("/?token={}", "hunter2".repeat(100));
        out.add("fields.location", (Some(value.as_bytes()), None), &crate::rules::EXACT, Class::Field, "");
        assert_eq!(out.found[0].left.as_deref(), Some("/?token=[secret]"));
    }
}
