//! The primary cache key (RFC 9111 section 2) and the URIs it is made from.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// Scheme, authority, path and query of a target URI. Cheap to clone.
///
/// Scheme and host are in lower case, a default port is left out, an empty path is `/` (RFC 9110 section
/// 4.2.3). Path and query are as the client sent them: `%2F` is not `/`, `/a/../b` is not `/b`, and a query's
/// order counts. Only the origin knows whether such spellings mean the same, and to guess wrong is how one
/// page answers for another.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of an absolute URI. A missing scheme counts as `http`, a missing authority as an empty one.
    pub fn of(target: &Uri) -> Self {
        Self::from_parts(
            target.scheme_str().unwrap_or("http"),
            target.authority().map_or("", Authority::as_str),
            path(target),
        )
    }

    /// The key of the same authority, path and query with another scheme. A port stays only if it is not the scheme's
    /// default.
    pub(crate) fn with_scheme(scheme: &str, target: &Uri) -> Self {
        // The authority as keys have it, which leaves the default port of its own scheme out.
        let own = Self::of(target);
        Self::from_parts(scheme, own.authority(), own.path_and_query())
    }

    /// The key from its parts: scheme, authority (`host [":" port]`), path with query.
    pub fn from_parts(scheme: &str, authority: &str, path: &str) -> Self {
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let authority =
            authority.strip_suffix(default).or_else(|| authority.strip_suffix(':')).unwrap_or(authority);
        let mut key = String::with_capacity(scheme.len() + 3 + authority.len() + path.len() + 1);
        key.push_str(scheme);
        key.push_str("://");
        key.push_str(authority);
        key.make_ascii_lowercase();
        if !path.starts_with('/') && path != "*" {
            key.push('/');
        }
        key.push_str(path);
        Self(key.into())
    }

    /// The key that [`as_str`](Self::as_str) gave. Any other text gives some key.
    pub fn from_text(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (authority, path) = rest.split_at(rest.find(['/', '*']).unwrap_or(rest.len()));
        Self::from_parts(scheme, authority, path)
    }

    /// Where a slice of a representation is stored: the number `index` of the slices named `id`. No target URI has such a
    /// key, as none has a fragment.
    pub fn slice(&self, id: u64, index: u64) -> Self {
        Self(format!("{}#{id:x}/{index}", self.0).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme and authority, as in `http://example.com:8080`: the origin (RFC 9110 section 4.3.1), with a default port
    /// left out.
    pub fn origin(&self) -> &str {
        &self.0[..self.path_starts()]
    }

    /// Host, with the port if it is not the scheme's default.
    pub fn authority(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        &self.0[start..self.path_starts()]
    }

    /// `/path?query`, or `*`. For a [`slice`](Self::slice), that of the whole.
    pub fn path_and_query(&self) -> &str {
        &self.target()[self.path_starts()..]
    }

    /// The key as a URI; for a [`slice`](Self::slice), the key of the whole.
    pub fn target(&self) -> &str {
        self.0.split_once('#').map_or(&*self.0, |(target, _)| target)
    }

    fn path_starts(&self) -> usize {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        // An authority has neither of the two.
        self.0[start..].find(['/', '*', '#']).map_or(self.0.len(), |at| start + at)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

fn path(target: &Uri) -> &str {
    target.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// Resolves a URI reference (Location, Content-Location) against the target URI (RFC 3986 section 5.2).
/// `None` if it is none.
pub(crate) fn resolve(base: &Uri, reference: &[u8]) -> Option<Uri> {
    let reference = std::str::from_utf8(reference).ok()?.trim_matches([' ', '\t']);
    let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
    let base_path = base.path();
    let (scheme, rest) = match scheme_of(reference) {
        Some(scheme) => (Scheme::try_from(scheme).ok()?, &reference[scheme.len() + 1..]),
        None => (base.scheme().cloned().unwrap_or(Scheme::HTTP), reference),
    };
    let absolute = scheme_of(reference).is_some();
    let (authority, path_and_query) = if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        (Authority::try_from(&rest[..end]).ok()?, without_dots(&rest[end..]))
    } else if absolute {
        // "http:path" is obsolete, other schemes name no HTTP resource.
        return None;
    } else {
        let authority = base.authority()?.clone();
        let path = match rest.as_bytes().first() {
            None => path(base).to_owned(),
            Some(b'/') => without_dots(rest),
            Some(b'?') => format!("{base_path}{rest}"),
            Some(_) => {
                let directory = &base_path[..base_path.rfind('/').map_or(0, |slash| slash + 1)];
                without_dots(&format!("{directory}{rest}"))
            }
        };
        (authority, path)
    };
    let path_and_query =
        if path_and_query.starts_with('/') { path_and_query } else { format!("/{path_and_query}") };
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path_and_query).build().ok()
}

fn scheme_of(reference: &str) -> Option<&str> {
    let (scheme, _) = reference.split_once(':')?;
    let mut letters = scheme.bytes();
    let starts = letters.next()?.is_ascii_alphabetic();
    (starts && letters.all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet)))
        .then_some(scheme)
}

/// Removes `.` and `..` segments from the path of `path [ "?" query ]` (RFC 3986 section 5.2.4).
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(mark) => path_and_query.split_at(mark),
        None => (path_and_query, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Do two URIs have the same scheme, host and port?
pub(crate) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let origin = |uri: &Uri| {
        Key::from_parts(
            uri.scheme_str().unwrap_or("http"),
            uri.authority().map_or("", Authority::as_str),
            "/",
        )
    };
    origin(a) == origin(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_key() {
        let cases = [
            ("http://example.com/", "http://example.com/"),
            ("http://example.com", "http://example.com/"),
            ("HTTP://Example.COM/A", "http://example.com/A"),
            ("http://example.com:80/", "http://example.com/"),
            ("https://example.com:443/", "https://example.com/"),
            ("http://example.com:443/", "http://example.com:443/"),
            ("https://example.com:80/", "https://example.com:80/"),
            ("http://example.com:8080/", "http://example.com:8080/"),
            ("http://user:secret@example.com/", "http://example.com/"),
            ("http://example.com?a=b", "http://example.com/?a=b"),
            ("http://example.com/?", "http://example.com/?"),
            ("http://example.com/a/../b", "http://example.com/a/../b"),
            ("http://example.com/%7Ea", "http://example.com/%7Ea"),
            ("http://example.com/%2f", "http://example.com/%2f"),
            ("http://example.com//a", "http://example.com//a"),
            ("http://example.com/a;x.css", "http://example.com/a;x.css"),
            ("http://example.com/?b&a", "http://example.com/?b&a"),
            ("http://[::1]:80/", "http://[::1]/"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
        ];
        for (uri, expected) in cases {
            assert_eq!(Key::of(&uri.parse().unwrap()).as_str(), expected, "{uri}");
        }
        assert_eq!(Key::from_parts("http", "example.com:", "/").as_str(), "http://example.com/");
        assert_eq!(Key::from_parts("http", "example.com", "").as_str(), "http://example.com/");
    }

    #[test]
    fn a_key_has_an_origin_an_authority_and_a_path() {
        for (uri, origin, authority, path) in [
            ("http://example.com/a/b?c=/d", "http://example.com", "example.com", "/a/b?c=/d"),
            ("https://example.com:8443?x", "https://example.com:8443", "example.com:8443", "/?x"),
            ("http://[::1]:8080//a", "http://[::1]:8080", "[::1]:8080", "//a"),
            ("http://a:80/*", "http://a", "a", "/*"),
        ] {
            let key = Key::of(&uri.parse().unwrap());
            assert_eq!(Key::from_text(key.as_str()), key);
            assert_eq!((key.origin(), key.authority(), key.path_and_query()), (origin, authority, path));
        }
        let key = Key::from_parts("http", "a", "*");
        assert_eq!((key.origin(), key.path_and_query()), ("http://a", "*"));
        let key = Key::from_parts("http", "", "/a");
        assert_eq!(Key::from_text(key.as_str()), key);
        assert_eq!((key.origin(), key.authority(), key.path_and_query()), ("http://", "", "/a"));
    }

    #[test]
    fn a_slice_has_the_parts_of_the_whole() {
        let whole = Key::of(&"https://h:1/a?b".parse().unwrap());
        let slice = whole.slice(0xab, 7);
        assert_eq!(slice.as_str(), "https://h:1/a?b#ab/7");
        assert_eq!((slice.target(), slice.path_and_query()), ("https://h:1/a?b", "/a?b"));
        assert_eq!((slice.origin(), slice.authority()), (whole.origin(), whole.authority()));
    }

    #[test]
    fn the_other_scheme_has_the_same_authority() {
        for (uri, scheme, expected) in [
            ("http://a/b?c", "https", "https://a/b?c"),
            ("https://a:443/", "http", "http://a/"),
            ("http://a:8080/", "https", "https://a:8080/"),
            ("http://a:443/", "https", "https://a/"),
            ("https://a:80/", "http", "http://a/"),
        ] {
            assert_eq!(Key::with_scheme(scheme, &uri.parse().unwrap()).as_str(), expected, "{uri}");
        }
    }

    #[test]
    fn references_rfc_3986_section_5_4() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        let cases = [
            ("http://g/", Some("http://g/")),
            ("g", Some("http://a/b/c/g")),
            ("./g", Some("http://a/b/c/g")),
            ("g/", Some("http://a/b/c/g/")),
            ("/g", Some("http://a/g")),
            ("//g", Some("http://g/")),
            ("?y", Some("http://a/b/c/d;p?y")),
            ("g?y", Some("http://a/b/c/g?y")),
            ("#s", Some("http://a/b/c/d;p?q")),
            ("g#s", Some("http://a/b/c/g")),
            ("g?y#s", Some("http://a/b/c/g?y")),
            (";x", Some("http://a/b/c/;x")),
            ("g;x", Some("http://a/b/c/g;x")),
            ("", Some("http://a/b/c/d;p?q")),
            (".", Some("http://a/b/c/")),
            ("./", Some("http://a/b/c/")),
            ("..", Some("http://a/b/")),
            ("../", Some("http://a/b/")),
            ("../g", Some("http://a/b/g")),
            ("../..", Some("http://a/")),
            ("../../g", Some("http://a/g")),
            ("../../../g", Some("http://a/g")),
            ("/./g", Some("http://a/g")),
            ("/../g", Some("http://a/g")),
            ("g.", Some("http://a/b/c/g.")),
            ("..g", Some("http://a/b/c/..g")),
            ("./../g", Some("http://a/b/g")),
            ("g/./h", Some("http://a/b/c/g/h")),
            ("g/../h", Some("http://a/b/c/h")),
            ("g?y/./x", Some("http://a/b/c/g?y/./x")),
            (" /g ", Some("http://a/g")),
            ("https://a:8443/x?y", Some("https://a:8443/x?y")),
            ("g:h", None),
            ("mailto:x@y", None),
            ("http:g", None),
            ("http://", None),
            ("a b", None),
            ("/\u{7f}", None),
        ];
        for (reference, expected) in cases {
            let found = resolve(&base, reference.as_bytes()).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{reference:?}");
        }
        assert_eq!(resolve(&base, b"/\xff"), None);
    }

    #[test]
    fn origins() {
        let cases = [
            ("http://a/x", "http://A:80/y", true),
            ("http://a/x", "https://a/x", false),
            ("http://a/x", "http://a:8080/x", false),
            ("http://a/x", "http://b/x", false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(same_origin(&a.parse().unwrap(), &b.parse().unwrap()), expected, "{a} {b}");
        }
    }
}
