//! Conditional requests (RFC 9110 section 13).

use super::date;
use exchange::{Fields, Request, Response};

/// What a request's conditions say of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were no conditions; whether a `Range` field applies.
    Proceed {
        range: bool,
    },
    NotModified,
    Failed,
}

/// Evaluates the conditions of a GET or HEAD request in the order of RFC 9110 section 13.2.2.
pub(super) fn evaluate(request: &Request, representation: &Response) -> Verdict {
    let fields = &request.fields;
    let tag = representation.fields.get("etag").map(|t| &t[..]);
    let modified = representation.fields.get("last-modified").and_then(|d| date::parse(d));
    if fields.contains("if-match") {
        if !lists(fields, "if-match", |listed| listed == b"*" || tag.is_some_and(|t| strong(listed, t))) {
            return Verdict::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (single_date(fields, "if-unmodified-since"), modified)
        && modified > limit
    {
        return Verdict::Failed;
    }
    if fields.contains("if-none-match") {
        if lists(fields, "if-none-match", |listed| listed == b"*" || tag.is_some_and(|t| weak(listed, t))) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (single_date(fields, "if-modified-since"), modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    let range = match fields.get("if-range") {
        None => true,
        Some(value) => match date::parse(value) {
            Some(date) => modified == Some(date),
            None => tag.is_some_and(|tag| strong(value, tag)),
        },
    };
    Verdict::Proceed { range }
}

/// Whether one of the entity tags in a list field fits.
fn lists(fields: &Fields, name: &str, fits: impl Fn(&[u8]) -> bool) -> bool {
    fields.members(name).any(fits)
}

/// The date of a field that stands there once and is a date; others are ignored (RFC 9110 section 13.1.3).
fn single_date(fields: &Fields, name: &str) -> Option<i64> {
    let mut values = fields.get_all(name);
    let date = date::parse(values.next()?)?;
    values.next().is_none().then_some(date)
}

/// Strong comparison (RFC 9110 section 8.8.3.2).
fn strong(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// Weak comparison (RFC 9110 section 8.8.3.2).
pub(super) fn weak(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag).to_owned();
    opaque(a) == opaque(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::Body;

    const BEFORE: &str = "Sat, 21 Nov 2026 22:06:59 GMT";
    const SAME: &str = "Sat, 21 Nov 2026 22:07:00 GMT";
    const AFTER: &str = "Sat, 21 Nov 2026 22:07:01 GMT";

    #[test]
    fn conditions_in_order() {
        let yes = Verdict::Proceed { range: true };
        let no_range = Verdict::Proceed { range: false };
        for (tag, conditions, expected) in [
            ("\"a\"", vec![], yes),
            ("\"a\"", vec![("If-None-Match", "\"a\"")], Verdict::NotModified),
            ("\"a\"", vec![("If-None-Match", "\"b\", W/\"a\"")], Verdict::NotModified),
            ("W/\"a\"", vec![("If-None-Match", "\"a\"")], Verdict::NotModified),
            ("\"a\"", vec![("If-None-Match", "*")], Verdict::NotModified),
            ("\"a\"", vec![("If-None-Match", "\"b\"")], yes),
            // If-None-Match hides If-Modified-Since.
            ("\"a\"", vec![("If-None-Match", "\"b\""), ("If-Modified-Since", SAME)], yes),
            ("\"a\"", vec![("If-Modified-Since", SAME)], Verdict::NotModified),
            ("\"a\"", vec![("If-Modified-Since", AFTER)], Verdict::NotModified),
            ("\"a\"", vec![("If-Modified-Since", BEFORE)], yes),
            ("\"a\"", vec![("If-Modified-Since", "yesterday")], yes),
            ("\"a\"", vec![("If-Match", "\"a\"")], yes),
            ("\"a\"", vec![("If-Match", "*")], yes),
            ("\"a\"", vec![("If-Match", "\"b\"")], Verdict::Failed),
            ("W/\"a\"", vec![("If-Match", "W/\"a\"")], Verdict::Failed),
            ("\"a\"", vec![("If-Unmodified-Since", BEFORE)], Verdict::Failed),
            ("\"a\"", vec![("If-Unmodified-Since", SAME)], yes),
            ("\"a\"", vec![("If-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], yes),
            ("\"a\"", vec![("If-Range", "\"a\"")], yes),
            ("\"a\"", vec![("If-Range", "\"b\"")], no_range),
            ("W/\"a\"", vec![("If-Range", "W/\"a\"")], no_range),
            ("\"a\"", vec![("If-Range", SAME)], yes),
            ("\"a\"", vec![("If-Range", AFTER)], no_range),
        ] {
            let fields = [("ETag", tag), ("Last-Modified", SAME)].into_iter().collect();
            let request = Request::new("GET", "/", conditions.clone().into_iter().collect());
            let verdict = evaluate(&request, &Response::new(200, fields, Body::empty()));
            assert_eq!(verdict, expected, "{tag} {conditions:?}");
        }
    }
}
