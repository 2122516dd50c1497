//! CDN-Loop (RFC 8586).

use http::HeaderMap;

use crate::fields::{CDN_LOOP, members};

/// Is `name` among the CDNs that the request has passed? Parameters are ignored, also where a quoted one has commas;
/// case does not matter.
pub(crate) fn contains(headers: &HeaderMap, name: &str) -> bool {
    members(headers, &CDN_LOOP).into_iter().any(|member| {
        let id = member.split(|&octet| octet == b';').next().unwrap_or_default();
        id.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let cases: &[(&[&str], bool)] = &[
            (&[], false),
            (&["cdn"], true),
            (&["CDN"], true),
            (&["other"], false),
            (&["cdn2"], false),
            (&["other, cdn"], true),
            (&["other", "cdn; v=1; trace=\"x\""], true),
            (&["foo.example:8080; cdn=1"], false),
            (&[" cdn ,"], true),
            (&["other; via=\"a,cdn,b\""], false),
            (&["other; via=\"a\\\",cdn,b\""], false),
            (&["other; via=\"a\", cdn"], true),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(CDN_LOOP, line.parse().unwrap());
            }
            assert_eq!(contains(&headers, "cdn"), *expected, "{lines:?}");
        }
    }
}
