//! Fields whose members have names: Cache-Control, Set-Cookie, Cookie. Each member has a path of its own.

use crate::collect::Collector;
use crate::{Class, Rule, rules, syntax};
use exchange::Secrets;
use std::collections::BTreeMap;

/// Members by name: what is shown, and a form that is the same when the meaning is.
pub(crate) type Named = BTreeMap<Vec<u8>, Member>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub shown: Vec<u8>,
    pub meaning: Vec<u8>,
    /// When it expires, in seconds since the epoch, where that is part of it and not of `meaning`.
    pub expires: Option<i64>,
}

impl Member {
    /// A repeated member joins the earlier one: their order stays part of the meaning.
    fn join(&mut self, other: Member) {
        if self.shown.is_empty() && self.meaning.is_empty() {
            *self = other;
            return;
        }
        self.shown.extend_from_slice(b", ");
        self.shown.extend_from_slice(&other.shown);
        self.meaning.push(b'\n');
        self.meaning.extend_from_slice(&other.meaning);
        self.expires = self.expires.or(other.expires);
    }
}

/// Directives of Cache-Control and its kin (RFC 9111 section 5.2).
pub(crate) fn directives<'v>(lines: impl IntoIterator<Item = &'v [u8]>) -> Named {
    let mut named = Named::new();
    for piece in lines.into_iter().flat_map(|line| syntax::split(line, b',', None)) {
        let (name, value) = syntax::parameter(piece);
        let meaning = match &value {
            None => b"-".to_vec(),
            // A list of field names (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
            Some(value) if matches!(&name[..], b"no-cache" | b"private") => {
                let mut names: Vec<_> =
                    syntax::split(value, b',', None).into_iter().map(<[u8]>::to_ascii_lowercase).collect();
                names.sort();
                names.dedup();
                [b"=", &names.join(&b","[..])[..]].concat()
            }
            Some(value) => match syntax::number(value) {
                Some(number) => format!("={number}").into_bytes(),
                None => [b"=", &value[..]].concat(),
            },
        };
        named.entry(name).or_default().join(Member { shown: piece.to_vec(), meaning, expires: None });
    }
    named
}

/// Cookies that a response sets, by name (RFC 6265 section 4.1). Lines are never combined.
pub(crate) fn set_cookies<'v>(secrets: &Secrets, lines: impl IntoIterator<Item = &'v [u8]>) -> Named {
    let mut named = Named::new();
    for line in lines {
        // Cookies know no quoted strings around semicolons: the first one ends the value.
        let mut pieces = line.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let pair = pieces.next().unwrap_or_default();
        let (name, value) = cookie(pair);
        let mut attributes = BTreeMap::new();
        let mut expires = None;
        for (attribute, value) in pieces.filter(|p| !p.is_empty()).map(syntax::parameter) {
            let value = value.unwrap_or_default();
            match &attribute[..] {
                b"expires" => {
                    expires = syntax::cookie_date(&value);
                    let kept = if expires.is_some() { Vec::new() } else { value };
                    attributes.insert(attribute, kept)
                }
                b"domain" => attributes
                    .insert(attribute, value.strip_prefix(b".").unwrap_or(&value).to_ascii_lowercase()),
                b"samesite" => attributes.insert(attribute, value.to_ascii_lowercase()),
                _ => attributes.insert(attribute, value),
            };
        }
        let meaning = format!("{value:?}{attributes:?}").into_bytes();
        let shown = secrets.field(b"set-cookie", line).into_owned();
        named.entry(name.to_vec()).or_default().join(Member { shown, meaning, expires });
    }
    named
}

/// Cookies that a request carries, by name (RFC 6265 section 4.2); several lines are one list (RFC 9113 section 8.2.3).
pub(crate) fn cookies<'v>(secrets: &Secrets, lines: impl IntoIterator<Item = &'v [u8]>) -> Named {
    let mut named = Named::new();
    let pairs = lines.into_iter().flat_map(|line| line.split(|&b| b == b';'));
    for pair in pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let (name, value) = cookie(pair);
        let shown = secrets.field(b"cookie", pair).into_owned();
        let member = Member { shown, meaning: value.to_vec(), expires: None };
        named.entry(name.to_vec()).or_default().join(member);
    }
    named
}

/// Name and value of a cookie. Without `=` it is a value without a name, as browsers take it, and so no secret becomes
/// part of a path.
fn cookie(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|&b| b == b'=') {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
        None => (b"", pair.trim_ascii()),
    }
}

/// What is shown of all members, one after the other.
pub(crate) fn joined(named: &Named) -> Option<Vec<u8>> {
    let shown: Vec<&[u8]> = named.values().map(|member| &member.shown[..]).collect();
    (!shown.is_empty()).then(|| shown.join(&b", "[..]))
}

/// Where members are compared: the field's path and how differences are judged.
pub(crate) struct At<'p> {
    pub path: &'p str,
    pub rule: &'p Rule,
    pub class: Class,
}

/// Names whose members differ.
pub(crate) fn differing(
    left: &Named,
    right: &Named,
    same: impl Fn(&Member, &Member) -> bool,
) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = left
        .iter()
        .filter(|(name, l)| right.get(*name).is_none_or(|r| !same(l, r)))
        .map(|(name, _)| name.clone())
        .collect();
    names.extend(right.keys().filter(|name| !left.contains_key(*name)).cloned());
    names.sort();
    names
}

/// Adds one difference for each name given.
pub(crate) fn add_each(out: &mut Collector<'_>, at: &At<'_>, names: &[Vec<u8>], left: &Named, right: &Named) {
    for name in names {
        let (l, r) = (left.get(name), right.get(name));
        let explanation = out.presence(l.is_some(), r.is_some(), "the values differ in meaning");
        let path = format!("{}[{}]", at.path, exchange::escape(name));
        let values = (l.map(|m| &m.shown[..]), r.map(|m| &m.shown[..]));
        out.add(path, values, at.rule, at.class, explanation);
    }
}

/// Whether the names that differ are one that only the left has and one that only the right has.
pub(crate) fn renamed(names: &[Vec<u8>], left: &Named, right: &Named) -> bool {
    names.len() == 2 && names.iter().filter(|n| left.contains_key(*n)).count() == 1 && {
        names.iter().filter(|n| right.contains_key(*n)).count() == 1
    }
}

/// The rule for a field of named members.
pub(crate) fn rule(set_cookie: bool) -> &'static Rule {
    if set_cookie { &rules::SET_COOKIE } else { &rules::COOKIE }
}
