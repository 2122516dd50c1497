//! Which type each field has, and when two values of that type mean the same.

use crate::{Rule, rules, syntax};
use sfv::{Dictionary, Item, List, Parser};
use std::collections::BTreeSet;

/// The type of a field's value: what may change in it without altering its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Unknown, or opaque: the lines joined with `, `, byte by byte.
    Exact,
    /// A list whose order does not matter.
    Set(Case),
    /// A list whose order does.
    List(Case),
    /// A list of choices with weights; order does not matter.
    Weighted,
    Date,
    /// A number of seconds or a date.
    DateOrNumber,
    MediaType,
    /// A token with parameters, or only parameters, between semicolons.
    Parameters,
    EntityTag,
    /// `*` or a set of entity tags.
    EntityTags,
    /// An entity tag or a date.
    TagOrDate,
    Link,
    /// A scheme and what it needs.
    Credentials,
    Number,
    Range,
    /// Compared without case.
    Caseless,
    StructuredItem,
    StructuredList,
    StructuredDictionary,
    /// Cache-Control and its kin: names with or without value.
    Directives,
    SetCookie,
    Cookie,
    /// What follows is judged by rules of its own.
    Server,
    Via,
    CacheStatus,
    XCache,
    Age,
    ReceptionDate,
    Expires,
    ContentLength,
}

/// Whether the members of a list are compared with their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Kept,
    Ignored,
}

/// The type of the field `name`, which is in lower case.
pub(crate) fn kind(name: &str) -> Kind {
    use Case::{Ignored, Kept};
    match name {
        "vary"
        | "accept-ranges"
        | "content-language"
        | "trailer"
        | "access-control-allow-headers"
        | "access-control-expose-headers"
        | "access-control-request-headers" => Kind::Set(Ignored),
        "allow" | "access-control-allow-methods" | "cache-tag" | "surrogate-key" | "xkey" => Kind::Set(Kept),
        "content-encoding" | "pragma" | "expect" => Kind::List(Ignored),
        "x-forwarded-for" | "warning" | "server-timing" | "alt-svc" | "cdn-loop" => Kind::List(Kept),
        "accept" | "accept-encoding" | "accept-language" | "accept-charset" => Kind::Weighted,
        "last-modified" | "if-modified-since" | "if-unmodified-since" | "sunset" => Kind::Date,
        "retry-after" => Kind::DateOrNumber,
        "content-type" => Kind::MediaType,
        "content-disposition" | "strict-transport-security" => Kind::Parameters,
        "etag" => Kind::EntityTag,
        "if-match" | "if-none-match" => Kind::EntityTags,
        "if-range" => Kind::TagOrDate,
        "link" => Kind::Link,
        "authorization" | "proxy-authorization" => Kind::Credentials,
        "max-forwards" | "access-control-max-age" | "upgrade-insecure-requests" => Kind::Number,
        "range" | "content-range" => Kind::Range,
        "host" | "x-forwarded-host" | "x-forwarded-proto" | "x-content-type-options" | "x-frame-options" => {
            Kind::Caseless
        }
        "origin-agent-cluster" | "cross-origin-opener-policy" | "cross-origin-embedder-policy" => {
            Kind::StructuredItem
        }
        "proxy-status" | "accept-ch" | "cache-groups" | "cache-group-invalidation" => Kind::StructuredList,
        "cdn-cache-control"
        | "priority"
        | "content-digest"
        | "repr-digest"
        | "want-content-digest"
        | "want-repr-digest"
        | "signature"
        | "signature-input"
        | "permissions-policy" => Kind::StructuredDictionary,
        "cache-control" | "surrogate-control" => Kind::Directives,
        "set-cookie" => Kind::SetCookie,
        "cookie" => Kind::Cookie,
        "server" => Kind::Server,
        "via" => Kind::Via,
        "cache-status" => Kind::CacheStatus,
        "x-cache" | "x-cache-status" | "x-proxy-cache" | "cf-cache-status" => Kind::XCache,
        "age" => Kind::Age,
        "date" => Kind::ReceptionDate,
        "expires" => Kind::Expires,
        "content-length" => Kind::ContentLength,
        _ => Kind::Exact,
    }
}

impl Kind {
    pub fn rule(self) -> &'static Rule {
        match self {
            Kind::Exact => &rules::EXACT,
            Kind::Set(_) | Kind::EntityTags => &rules::SET,
            Kind::List(_) => &rules::LIST,
            Kind::Weighted => &rules::WEIGHTED,
            Kind::Date | Kind::DateOrNumber | Kind::TagOrDate => &rules::DATE,
            Kind::MediaType => &rules::MEDIA_TYPE,
            Kind::Parameters => &rules::PARAMETERS,
            Kind::EntityTag => &rules::ENTITY_TAG,
            Kind::Link => &rules::LINK,
            Kind::Credentials => &rules::CREDENTIALS,
            Kind::Number => &rules::NUMBER,
            Kind::Range => &rules::RANGE,
            Kind::Caseless => &rules::CASELESS,
            Kind::StructuredItem | Kind::StructuredList | Kind::StructuredDictionary => &rules::STRUCTURED,
            Kind::Directives => &rules::DIRECTIVES,
            Kind::SetCookie => &rules::SET_COOKIE,
            Kind::Cookie => &rules::COOKIE,
            Kind::Server => &rules::SERVER,
            Kind::Via => &rules::VIA,
            Kind::CacheStatus => &rules::CACHE_STATUS,
            Kind::XCache => &rules::X_CACHE,
            Kind::Age => &rules::AGE,
            Kind::ReceptionDate => &rules::DATE_RECEIVED,
            Kind::Expires => &rules::EXPIRES,
            Kind::ContentLength => &rules::CONTENT_LENGTH,
        }
    }

    /// A form that two values share exactly when they mean the same. `value`: all lines joined with `, `. A value
    /// that breaks its field's syntax stands for itself.
    pub fn canonical(self, value: &[u8]) -> Vec<u8> {
        self.meaning(value).unwrap_or_else(|| value.to_vec())
    }

    fn meaning(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Kind::Set(case) => Some(join(members(value, case).into_iter().collect::<BTreeSet<_>>())),
            Kind::List(case) => Some(join(members(value, case))),
            Kind::Weighted => Some(join(
                syntax::split(value, b',', None).into_iter().map(weighted).collect::<BTreeSet<_>>(),
            )),
            Kind::Date | Kind::ReceptionDate | Kind::Expires => syntax::date(value).map(stamp),
            Kind::DateOrNumber => syntax::date(value).map(stamp).or_else(|| digits(value)),
            Kind::TagOrDate => syntax::date(value).map(stamp),
            Kind::MediaType => media_type(value),
            Kind::Parameters => Some(parameters(value, b';')),
            Kind::EntityTags => {
                Some(join(syntax::split(value, b',', None).into_iter().collect::<BTreeSet<_>>()))
            }
            Kind::Link => Some(join(syntax::split(value, b',', Some((b'<', b'>'))).into_iter().map(link))),
            Kind::Credentials => credentials(value),
            Kind::Number | Kind::Age | Kind::ContentLength => digits(value),
            Kind::Range => range(value),
            Kind::Caseless => Some(value.to_ascii_lowercase()),
            Kind::StructuredItem => structured(Parser::new(value).parse::<Item>().ok()?),
            Kind::StructuredList | Kind::CacheStatus => structured(Parser::new(value).parse::<List>().ok()?),
            Kind::StructuredDictionary => {
                let mut dictionary = Parser::new(value).parse::<Dictionary>().ok()?;
                dictionary.sort_keys();
                structured(dictionary)
            }
            Kind::Directives => Some(parameters(value, b',')),
            Kind::Exact
            | Kind::EntityTag
            | Kind::SetCookie
            | Kind::Cookie
            | Kind::Server
            | Kind::Via
            | Kind::XCache => None,
        }
    }

    /// One sentence on how two values of this type differ.
    pub fn explain(self, left: &[u8], right: &[u8], names: (&str, &str)) -> String {
        match self {
            Kind::Set(case) => {
                let (l, r) = (members(left, case), members(right, case));
                let missing = |from: &[Vec<u8>], of: &[Vec<u8>]| {
                    let missing: BTreeSet<_> = of.iter().filter(|m| !from.contains(m)).collect();
                    missing.into_iter().map(|m| exchange::escape(m)).take(8).collect::<Vec<_>>().join(", ")
                };
                let only = |side: &str, members: String| match members.as_str() {
                    "" => None,
                    members => Some(format!("only the {side} lists {members}")),
                };
                [only(names.0, missing(&r, &l)), only(names.1, missing(&l, &r))]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("; ")
            }
            Kind::List(_) => "the lists differ; their order matters".to_owned(),
            Kind::Date => match (syntax::date(left), syntax::date(right)) {
                (Some(l), Some(r)) => format!("the dates lie {} s apart", l.abs_diff(r)),
                _ => "the values differ, and not both are dates".to_owned(),
            },
            Kind::EntityTag => {
                let weak = |v: &[u8]| v.strip_prefix(b"W/").map(<[u8]>::to_vec);
                match (weak(left), weak(right)) {
                    (Some(l), None) if l == right => {
                        format!("weak on the {}, strong on the {}", names.0, names.1)
                    }
                    (None, Some(r)) if r == left => {
                        format!("strong on the {}, weak on the {}", names.0, names.1)
                    }
                    _ => "the entity tags differ".to_owned(),
                }
            }
            _ => "the values differ in meaning".to_owned(),
        }
    }
}

fn join<M: AsRef<[u8]>>(members: impl IntoIterator<Item = M>) -> Vec<u8> {
    let mut joined = Vec::new();
    for member in members {
        // Lengths keep the borders of members apart, whatever bytes they hold.
        joined.extend_from_slice(format!("{}:", member.as_ref().len()).as_bytes());
        joined.extend_from_slice(member.as_ref());
    }
    joined
}

fn members(value: &[u8], case: Case) -> Vec<Vec<u8>> {
    let members = syntax::split(value, b',', None).into_iter();
    members.map(|m| if case == Case::Ignored { m.to_ascii_lowercase() } else { m.to_vec() }).collect()
}

fn stamp(seconds: i64) -> Vec<u8> {
    format!("@{seconds}").into_bytes()
}

fn digits(value: &[u8]) -> Option<Vec<u8>> {
    syntax::number(value).map(|n| n.to_string().into_bytes())
}

/// `name`, `name=value`: sorted and unquoted.
fn parameters(value: &[u8], separator: u8) -> Vec<u8> {
    let pieces = syntax::split(value, separator, None).into_iter().map(syntax::parameter);
    join(pieces.collect::<BTreeSet<_>>().into_iter().map(flat))
}

fn flat((name, value): (Vec<u8>, Option<Vec<u8>>)) -> Vec<u8> {
    match value {
        Some(value) => [&name[..], b"=", &value].concat(),
        None => name,
    }
}

/// A member of `Accept` and its kin: the choice without case, parameters, and the weight as thousandths.
fn weighted(member: &[u8]) -> Vec<u8> {
    let mut pieces = syntax::split(member, b';', None).into_iter();
    let choice = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let mut weight = 1000;
    let mut rest = Vec::new();
    for (name, value) in pieces.map(syntax::parameter) {
        let text = value.as_deref().and_then(|v| std::str::from_utf8(v).ok());
        match text.and_then(|t| t.parse::<f32>().ok()).filter(|q| name == b"q" && (0.0..=1.0).contains(q)) {
            // Within 0 to 1000, by the filter.
            #[expect(clippy::cast_possible_truncation)]
            Some(q) => weight = (q * 1000.0).round() as i32,
            None => rest.push((name, value)),
        }
    }
    rest.sort();
    [choice, join(rest.into_iter().map(flat)), format!(";{weight}").into_bytes()].concat()
}

fn media_type(value: &[u8]) -> Option<Vec<u8>> {
    // Two lines make no media type: a comma can stand in quotes only.
    if syntax::split(value, b',', None).len() != 1 {
        return None;
    }
    let mut pieces = syntax::split(value, b';', None).into_iter();
    let essence = pieces.next()?.to_ascii_lowercase();
    let parameters = pieces.map(syntax::parameter).map(|(name, value)| match &name[..] {
        b"charset" => (name, value.map(|v| v.to_ascii_lowercase())),
        _ => (name, value),
    });
    Some([essence, b";".to_vec(), join(parameters.collect::<BTreeSet<_>>().into_iter().map(flat))].concat())
}

fn link(member: &[u8]) -> Vec<u8> {
    let mut pieces = syntax::split(member, b';', Some((b'<', b'>'))).into_iter();
    let target = pieces.next().unwrap_or_default().to_vec();
    let parameters = pieces.map(syntax::parameter).map(|(name, value)| match &name[..] {
        b"rel" => (name, value.map(|v| v.to_ascii_lowercase())),
        _ => (name, value),
    });
    [target, b";".to_vec(), join(parameters.collect::<BTreeSet<_>>().into_iter().map(flat))].concat()
}

fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let at = value.iter().position(|&b| b == b' ')?;
    Some([&value[..at].to_ascii_lowercase(), &b" "[..], value[at..].trim_ascii()].concat())
}

fn range(value: &[u8]) -> Option<Vec<u8>> {
    let at = value.iter().position(|&b| b == b'=' || b == b' ')?;
    let (unit, set) = (value[..at].to_ascii_lowercase(), &value[at + 1..]);
    Some([unit, value[at..=at].to_vec(), join(syntax::split(set, b',', None))].concat())
}

fn structured(value: impl std::fmt::Debug) -> Option<Vec<u8>> {
    Some(format!("{value:?}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether two values of a field mean the same.
    fn check(name: &str, left: &str, right: &str, same: bool) {
        let kind = kind(name);
        assert_eq!(
            kind.canonical(left.as_bytes()) == kind.canonical(right.as_bytes()),
            same,
            "{name}: {left:?} against {right:?}"
        );
    }

    #[test]
    fn same_meaning() {
        for (name, left, right) in [
            ("vary", "Accept, cookie", "Cookie,accept,,accept"),
            ("allow", "GET, HEAD", "HEAD,GET"),
            ("content-encoding", "GZIP", "gzip"),
            ("accept-encoding", "gzip, br;q=0.8", "br; q=0.80, GZIP;q=1.0"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"),
            ("content-type", "text/html; charset=UTF-8", "Text/HTML;Charset=\"utf-8\""),
            ("link", "</a>; rel=preload; as=style", "</a>;as=\"style\";REL=\"Preload\""),
            ("range", "bytes=0-1, 5-", "Bytes=0-1,5-"),
            ("if-none-match", "\"a\", W/\"b\"", "W/\"b\",\"a\""),
            ("authorization", "basic YQ==", "Basic  YQ=="),
            ("priority", "u=1, i", "i=?1,u=1"),
            ("cdn-cache-control", "max-age=60, public", "public,max-age=60"),
            ("strict-transport-security", "max-age=1; includeSubDomains", "includesubdomains;max-age=\"1\""),
            ("host", "A.test", "a.TEST"),
            ("retry-after", "010", "10"),
        ] {
            check(name, left, right, true);
        }
    }

    #[test]
    fn other_meaning() {
        for (name, left, right) in [
            ("vary", "accept", "accept, cookie"),
            ("allow", "GET", "get"),
            ("content-encoding", "gzip, br", "br, gzip"),
            ("accept-encoding", "gzip, br;q=0.8", "gzip, br;q=0.9"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"),
            ("content-type", "text/html; charset=utf-8", "text/html"),
            ("content-type", "text/html; x=A", "text/html; x=a"),
            ("etag", "\"a\"", "W/\"a\""),
            ("etag", "\"a\"", "\"A\""),
            ("link", "</a>; rel=preload", "</A>; rel=preload"),
            ("link", "</a>;rel=a, </b>;rel=a", "</b>;rel=a, </a>;rel=a"),
            ("range", "bytes=0-1", "bytes=0-2"),
            ("x-unknown", "a", "A"),
            ("x-unknown", "a,b", "a, b"),
            ("content-disposition", "attachment; filename=\"a;b\"", "attachment; filename=a; b"),
            ("priority", "u=1", "u=2"),
            ("age", "1, 1", "1"),
        ] {
            check(name, left, right, false);
        }
    }
}
