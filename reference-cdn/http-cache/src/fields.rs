//! Which fields pass an intermediary (RFC 9110 section 7.6.1), and which are stored (RFC 9111 section 3.1).

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::directives::is_token;
use crate::lines::FieldLines;

pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

/// Fields that are for one connection, or for the proxy they name, and go no further.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHENTICATION_INFO,
    PROXY_AUTHORIZATION,
];

/// Fields that are for all recipients: naming them in Connection is an error at best and an attack at worst
/// (it would hide a loop, change the target, or lift a restriction on caching), and has no effect.
const FOR_ALL: [HeaderName; 5] = [HOST, CACHE_CONTROL, VIA, CDN_LOOP, CONTENT_LENGTH];

/// The field names that Connection nominates.
#[derive(Debug)]
pub(crate) struct Nominated<'a>(Option<&'a HeaderMap>);

impl<'a> Nominated<'a> {
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self(headers.contains_key(CONNECTION).then_some(headers))
    }

    pub fn contains(&self, name: &HeaderName) -> bool {
        let Some(headers) = self.0 else { return false };
        headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|&octet| octet == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
            && !FOR_ALL.contains(name)
    }

    fn names(&self) -> Vec<HeaderName> {
        let Some(headers) = self.0 else { return Vec::new() };
        headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|&octet| octet == b','))
            .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
            .filter(|name| !FOR_ALL.contains(name))
            .collect()
    }
}

/// The fields that go on to the next hop.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in Nominated::of(headers).names() {
        kept.remove(name);
    }
    for name in &HOP_BY_HOP {
        kept.remove(name);
    }
    kept
}

/// All lines of a structured field as one (RFC 9651 section 4.2); `None`: there is none. A line without a member leaves a
/// comma too many, which makes the field no List or Dictionary, so it is ignored.
pub(crate) fn combined(headers: &impl FieldLines, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.all(name.clone());
    let mut value = lines.next()?.to_vec();
    for line in lines {
        value.extend_from_slice(b", ");
        value.extend_from_slice(line);
    }
    Some(value)
}

/// Adds a member to a list field as a line of its own.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, member: &str) {
    // A name or value that is no field, or a map that is full, cannot come from the callers here; leaving the
    // line out is the harmless answer if one ever does.
    if let Ok(value) = HeaderValue::from_str(member) {
        let _ = headers.try_append(name, value);
    }
}

/// The members of a list, from all its lines, without the white space around them. Commas in quoted strings
/// separate nothing.
pub(crate) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let line = line.as_bytes();
        let (mut start, mut quoted, mut escaped) = (0, false, false);
        for (index, &octet) in line.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    members.push(line[start..index].trim_ascii());
                    start = index + 1;
                }
                _ => {}
            }
        }
        members.push(line[start..].trim_ascii());
    }
    members
}

/// A name in a structured field: as a token if it is one, else as a string.
pub(crate) fn push_name(member: &mut String, name: &str) {
    let is_sf_token = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*')
        && name.bytes().all(|octet| is_token(octet) || matches!(octet, b':' | b'/'));
    if is_sf_token {
        member.push_str(name);
    } else {
        push_string(member, name);
    }
}

/// A string of a structured field; what none may contain is left out.
pub(crate) fn push_string(member: &mut String, text: &str) {
    member.push('"');
    for letter in text.chars().filter(|letter| matches!(letter, ' '..='~')) {
        if matches!(letter, '"' | '\\') {
            member.push('\\');
        }
        member.push(letter);
    }
    member.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_no_further() {
        type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: &[Case] = &[
            (&[("a", "1")], &["a"]),
            (&[("connection", "close"), ("a", "1")], &["a"]),
            (&[("connection", "a, b"), ("a", "1"), ("b", "2"), ("c", "3")], &["c"]),
            (&[("connection", "a"), ("connection", " B ,,"), ("a", "1"), ("b", "2"), ("c", "3")], &["c"]),
            (
                &[
                    ("keep-alive", "timeout=5"),
                    ("proxy-connection", "x"),
                    ("te", "trailers"),
                    ("upgrade", "h2c"),
                ],
                &[],
            ),
            (&[("transfer-encoding", "chunked"), ("trailer", "x")], &["trailer"]),
            (
                &[
                    ("proxy-authenticate", "x"),
                    ("proxy-authorization", "x"),
                    ("proxy-authentication-info", "x"),
                ],
                &[],
            ),
            (
                &[("authorization", "x"), ("www-authenticate", "x"), ("authentication-info", "x")],
                &["authentication-info", "authorization", "www-authenticate"],
            ),
            (
                &[
                    ("connection", "host, cache-control, via, cdn-loop, content-length"),
                    ("host", "x"),
                    ("cache-control", "no-store"),
                    ("via", "1.1 x"),
                    ("cdn-loop", "x"),
                    ("content-length", "1"),
                ],
                &["cache-control", "cdn-loop", "content-length", "host", "via"],
            ),
            (&[("connection", "not a name, \"a\", a"), ("a", "1")], &[]),
            (&[("connection", "connection"), ("a", "1")], &["a"]),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in *lines {
                headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
            }
            let kept = end_to_end(&headers);
            let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, *expected, "{lines:?}");
        }
    }
}
