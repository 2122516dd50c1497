//! Names under which stored responses are purged together: Surrogate-Key, Cache-Tag, and the groups of RFC 9875.
//!
//! Surrogate-Key (names between spaces) and Cache-Tag (names between commas) are fields of no RFC that CDNs read; both
//! name tags of one kind, compared octet by octet. Cache-Groups is a List of Strings, and a group is the same only
//! within one origin (RFC 9875 section 2.1).

use http::{HeaderMap, HeaderName};

use crate::fields;
use crate::invalidation::is_safe;
use crate::lines::FieldLines;
use crate::{Request, Response};

pub(crate) const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
pub(crate) const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// Octets of one tag or group. What is longer cannot be named in a purge, so it is left out. RFC 9875 section 2 asks for
/// 32 at least; 1024 is what CDNs take.
pub const LONGEST_TAG: usize = 1024;
/// Tags, and groups, of one response. RFC 9875 section 2 asks for 32 at least. They are looked at whenever a purge came
/// since the last use of the response, so an origin that lists more pays in speed, not in purges that miss.
pub const MOST_TAGS: usize = 1000;

/// The tags and groups of one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a> {
    /// Of Surrogate-Key and Cache-Tag, in the order in which they stand.
    pub names: Vec<&'a [u8]>,
    /// Of Cache-Groups.
    pub groups: Vec<String>,
    /// There are more names than [`MOST_TAGS`]. To be safe, a purge of any tag takes the response.
    pub more_names: bool,
    /// There are more groups than [`MOST_TAGS`]. To be safe, a purge of any group of its origin takes the response.
    pub more_groups: bool,
}

impl<'a> Tags<'a> {
    /// Those of a response with these fields.
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self::of_lines(headers)
    }

    pub(crate) fn of_lines(headers: &'a impl FieldLines) -> Self {
        let mut tags = Self::default();
        for line in headers.all(SURROGATE_KEY) {
            tags.add(line.split(|octet| matches!(octet, b' ' | b'\t')));
        }
        for line in headers.all(CACHE_TAG) {
            tags.add(line.split(|&octet| octet == b','));
        }
        if let Some(groups) = strings(headers, &CACHE_GROUPS) {
            tags.more_groups = groups.len() > MOST_TAGS;
            tags.groups = groups.into_iter().take(MOST_TAGS).collect();
        }
        tags
    }

    fn add(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        for name in names.map(<[u8]>::trim_ascii) {
            if name.is_empty() || name.len() > LONGEST_TAG {
                continue;
            }
            if self.names.len() == MOST_TAGS {
                self.more_names = true;
                return;
            }
            self.names.push(name);
        }
    }
}

/// The groups that a response to an unsafe request declares invalid, for its own origin only (RFC 9875 section 3). On a
/// response to a safe request the field must be ignored.
///
/// The status does not matter: unlike the target URI, whose invalidation is inferred (RFC 9111 section 4.4 waits for an
/// answer that is no error), these are named by the origin.
pub(crate) fn invalidated_groups(request: &Request<'_>, response: &Response<'_>) -> Vec<String> {
    if is_safe(request.method) {
        return Vec::new();
    }
    strings(response.headers, &CACHE_GROUP_INVALIDATION).unwrap_or_default()
}

/// The members of a List of Strings, without those that are too long to count. Parameters mean nothing. A field that
/// is something else is ignored as a whole (RFC 9651 section 4.2).
fn strings(headers: &impl FieldLines, name: &HeaderName) -> Option<Vec<String>> {
    let value = fields::combined(headers, name)?;
    let list: sfv::List = sfv::Parser::new(&value).parse().ok()?;
    let mut strings = Vec::with_capacity(list.len());
    for member in list {
        let sfv::ListEntry::Item(item) = member else { return None };
        let sfv::BareItem::String(text) = item.bare_item else { return None };
        if text.as_str().len() <= LONGEST_TAG {
            strings.push(text.as_str().to_owned());
        }
    }
    Some(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, StatusCode};
    use proptest::prelude::*;

    use crate::Time;

    fn fields(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        headers
    }

    #[test]
    fn tags_are_between_spaces_or_commas() {
        type Case = (&'static [(&'static str, &'static [u8])], &'static [&'static str]);
        let cases: &[Case] = &[
            (&[], &[]),
            (&[("surrogate-key", b"")], &[]),
            (&[("surrogate-key", b"a")], &["a"]),
            (&[("surrogate-key", b" a  b\tc ")], &["a", "b", "c"]),
            (&[("surrogate-key", b"a,b")], &["a,b"]),
            (&[("surrogate-key", b"a"), ("surrogate-key", b"b a")], &["a", "b", "a"]),
            (&[("cache-tag", b"a,b , c d,,")], &["a", "b", "c d"]),
            (&[("cache-tag", b"A"), ("surrogate-key", b"a")], &["a", "A"]),
            (&[("x-tags", b"a")], &[]),
        ];
        for (lines, expected) in cases {
            let headers = fields(lines);
            let names: Vec<_> =
                Tags::of(&headers).names.into_iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
            assert_eq!(names, *expected, "{lines:?}");
        }
    }

    /// RFC 9875 section 2, RFC 9651 section 3.1.
    #[test]
    fn groups_are_a_list_of_strings_or_nothing() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["\"scripts\""], &["scripts"]),
            (&["\"a\", \"b\";x=1"], &["a", "b"]),
            (&["\"a\"", "\"b\""], &["a", "b"]),
            (&["\"a b,\\\"c\\\"\\\\\""], &["a b,\"c\"\\"]),
            (&["\"\""], &[""]),
            (&[""], &[]),
            (&["a"], &[]),
            (&["\"a\", b"], &[]),
            (&["\"a\", (\"b\")"], &[]),
            (&["\"a\", 1"], &[]),
            (&["\"a"], &[]),
            (&["\"a\" \"b\""], &[]),
            (&["", "\"a\""], &[]),
            (&["\"a\"", ""], &[]),
        ];
        for (lines, expected) in cases {
            let lines: Vec<_> = lines.iter().map(|line| ("cache-groups", line.as_bytes())).collect();
            let headers = fields(&lines);
            assert_eq!(Tags::of(&headers).groups, *expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_too_much_is_marked_and_what_is_too_long_left_out() {
        let long = "x".repeat(LONGEST_TAG + 1);
        let value = format!("a {long} b");
        assert_eq!(Tags::of(&fields(&[("surrogate-key", value.as_bytes())])).names, [b"a", b"b"]);
        let value = format!("\"a\", \"{long}\"");
        assert_eq!(Tags::of(&fields(&[("cache-groups", value.as_bytes())])).groups, ["a"]);
        for (count, more) in [(MOST_TAGS, false), (MOST_TAGS + 1, true)] {
            let names = vec!["a"; count].join(" ");
            let groups = vec!["\"a\""; count].join(", ");
            let headers = fields(&[("surrogate-key", names.as_bytes()), ("cache-groups", groups.as_bytes())]);
            let tags = Tags::of(&headers);
            assert_eq!((tags.names.len(), tags.groups.len()), (MOST_TAGS, MOST_TAGS));
            assert_eq!((tags.more_names, tags.more_groups), (more, more));
        }
    }

    /// RFC 9875 section 3.
    #[test]
    fn only_unsafe_requests_invalidate_groups() {
        let headers = fields(&[("cache-group-invalidation", b"\"a\", \"b\";x")]);
        let target = "https://h/".parse().unwrap();
        let none = HeaderMap::new();
        for (method, status, expected) in [
            (Method::POST, 200, &["a", "b"][..]),
            (Method::DELETE, 204, &["a", "b"]),
            (Method::from_bytes(b"BREW").unwrap(), 200, &["a", "b"]),
            (Method::POST, 500, &["a", "b"]),
            (Method::GET, 200, &[]),
            (Method::HEAD, 200, &[]),
            (Method::OPTIONS, 200, &[]),
        ] {
            let request =
                Request { method: &method, target: &target, headers: &none, version: http::Version::HTTP_11 };
            let response = Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: &headers,
                request_time: Time::default(),
                response_time: Time::default(),
            };
            assert_eq!(invalidated_groups(&request, &response), expected, "{method} {status}");
        }
    }

    proptest! {
        /// Whatever an origin sends, tags are bounded, and are what stands between separators.
        #[test]
        fn any_fields_give_bounded_tags(lines in proptest::collection::vec((0..3_usize, ".{0,200}"), 0..6)) {
            let names = ["surrogate-key", "cache-tag", "cache-groups"];
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                if let Ok(value) = http::HeaderValue::from_str(&value) {
                    headers.append(names[name], value);
                }
            }
            let tags = Tags::of(&headers);
            prop_assert!(tags.names.len() <= MOST_TAGS && tags.groups.len() <= MOST_TAGS);
            for name in tags.names {
                prop_assert!(!name.is_empty() && name.len() <= LONGEST_TAG && name.trim_ascii() == name);
            }
        }
    }
}
