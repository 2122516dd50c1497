//! Differences that somebody accepted, until a day.

use crate::{Class, Comparison, Waived, glob};
use exchange::Time;
use serde::Deserialize;
use std::fmt;
use toml::Spanned;

/// One accepted kind of difference: an entry `[[waiver]]` of a TOML file.
///
/// ```toml
/// [[waiver]]
/// path = "fields.server"            # glob: * any run of characters, ? one
/// class = "identity"                # optional
/// url = "http://*/static/*"         # optional glob over the absolute URL
/// reason = "the new build says its version"
/// owner = "edge-team"
/// expires = "2027-01-31"            # the last day it holds, UTC
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    pub path: String,
    #[serde(default)]
    pub class: Option<Class>,
    #[serde(default)]
    pub url: Option<String>,
    pub reason: String,
    pub owner: String,
    pub expires: Spanned<String>,
    /// First moment it no longer holds.
    #[serde(skip)]
    pub ends: Time,
}

/// A waiver file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Waivers(pub Vec<Waiver>);

/// Why a waiver file was refused: which file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiverError(pub String);

impl fmt::Display for WaiverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WaiverError {}

impl Waivers {
    /// Reads the text of a waiver file; `name` is its name in errors.
    ///
    /// # Errors
    /// Not TOML, an unknown or missing key, an empty `reason` or `owner`, or an `expires` that is no date.
    pub fn parse(text: &str, name: &str) -> Result<Self, WaiverError> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            let message = exchange::escape(e.message().as_bytes());
            WaiverError(format!(
                "{name}, line {line}: {message}; a waiver has path, reason, owner and expires, and may have class and url"
            ))
        })?;
        let mut waivers = Vec::with_capacity(file.waiver.len());
        for mut waiver in file.waiver {
            let line = line_of(text, waiver.expires.span().start);
            let refused = |why: String| WaiverError(format!("{name}, line {line}: {why}"));
            for (key, value) in [("path", &waiver.path), ("reason", &waiver.reason), ("owner", &waiver.owner)]
            {
                if value.trim().is_empty() {
                    return Err(refused(format!("this waiver has an empty {key}; say it")));
                }
            }
            waiver.ends = end_of_day(waiver.expires.get_ref()).ok_or_else(|| {
                let expires = exchange::escape(waiver.expires.get_ref().as_bytes());
                refused(format!("expires = \"{expires}\" is no date; write it as \"2027-01-31\""))
            })?;
            waivers.push(waiver);
        }
        Ok(Waivers(waivers))
    }

    /// Marks the differences that a waiver accepts at `now`. `url` is the absolute URL of the request.
    pub fn apply(&self, comparison: &mut Comparison, url: &str, now: Time) {
        for difference in &mut comparison.differences {
            difference.waived = self
                .0
                .iter()
                .position(|w| w.accepts(difference, url, now))
                .map(|index| self.0[index].as_waived(index));
        }
    }

    /// Waivers whose last day is over at `now`, with their index: they accept nothing and should be removed or renewed.
    pub fn expired(&self, now: Time) -> impl Iterator<Item = (usize, &Waiver)> {
        self.0.iter().enumerate().filter(move |(_, w)| w.ends <= now)
    }
}

impl Waiver {
    fn accepts(&self, difference: &crate::Difference, url: &str, now: Time) -> bool {
        now < self.ends
            && self.class.is_none_or(|class| class == difference.class)
            && glob::fits(&self.path, &difference.path)
            && self.url.as_ref().is_none_or(|pattern| glob::fits(pattern, url))
    }

    fn as_waived(&self, index: usize) -> Waived {
        let expires = self.expires.get_ref().clone();
        Waived { reason: self.reason.clone(), owner: self.owner.clone(), expires, index }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    waiver: Vec<Waiver>,
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

/// The first moment after a day written `YYYY-MM-DD`, in UTC.
fn end_of_day(day: &str) -> Option<Time> {
    let mut parts = day.split('-');
    let mut next = |digits: usize| {
        let part = parts.next().filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<u16>().ok()
    };
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = name.get(usize::from(month).checked_sub(1)?)?;
    // The date parser knows the lengths of months; which day of the week it is, it must be told.
    let seconds = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].iter().find_map(|weekday| {
        crate::syntax::date(format!("{weekday}, {day:02} {month} {year:04} 00:00:00 GMT").as_bytes())
    })?;
    parts.next().is_none().then(|| Time::new(seconds.saturating_add(86_400), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Difference, Rule};

    const FILE: &str = r#"
[[waiver]]
path = "fields.*"
class = "identity"
url = "http://*/static/*"
reason = "says its version"
owner = "edge-team"
expires = "2027-01-31"
"#;

    fn difference(path: &str, class: Class) -> Comparison {
        let rule = Rule { id: "x".into(), cites: "y".into() };
        let difference = Difference {
            path: path.into(),
            left: None,
            right: None,
            rule,
            class,
            counts: true,
            explanation: String::new(),
            diff: None,
            waived: None,
        };
        Comparison { differences: vec![difference], ..Comparison::default() }
    }

    #[test]
    fn accepts_what_it_names_until_its_last_day() {
        let waivers = Waivers::parse(FILE, "w.toml").unwrap();
        let last = Time::new(1_801_439_999, 0); // 2027-01-31T23:59:59Z
        let check = |path, class, url, now, expected| {
            let mut comparison = difference(path, class);
            waivers.apply(&mut comparison, url, now);
            assert_eq!(comparison.agrees(), expected, "{path} {class} {url} {now}");
        };
        check("fields.server", Class::Identity, "http://h/static/a", last, true);
        check("fields.server", Class::Identity, "http://h/static/a", Time::new(1_801_440_000, 0), false);
        check("fields.server", Class::Field, "http://h/static/a", last, false);
        check("body", Class::Identity, "http://h/static/a", last, false);
        check("fields.server", Class::Identity, "http://h/a", last, false);
        assert_eq!(waivers.expired(last).count(), 0);
        assert_eq!(waivers.expired(Time::new(1_801_440_000, 0)).map(|(i, _)| i).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn refusals_say_where_and_what_to_do() {
        for (from, to, message) in [
            (
                "expires = \"2027-01-31\"",
                "expires = \"2027-02-30\"",
                "w.toml, line 8: expires = \"2027-02-30\" is no date",
            ),
            ("expires = \"2027-01-31\"", "expires = \"soon\"", "is no date; write it as"),
            ("class = \"identity\"", "class = \"colour\"", "w.toml, line 4: unknown variant"),
            ("class = \"identity\"", "class = \"\\u001b[2J\"", "unknown variant `\\x1b[2J`"),
            ("owner = \"edge-team\"", "", "missing field `owner`"),
            ("owner = \"edge-team\"", "owner = \" \"", "empty owner"),
            ("url =", "uri =", "w.toml, line 5: unknown field `uri`"),
            ("[[waiver]]", "[[waiver]", "w.toml, line 2:"),
        ] {
            let error = Waivers::parse(&FILE.replace(from, to), "w.toml").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(Waivers::parse("", "w.toml"), Ok(Waivers::default()));
    }
}
