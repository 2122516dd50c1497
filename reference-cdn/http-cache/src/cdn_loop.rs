//! CDN-Loop (RFC 8586).
//!
//! Among single edges, a request that has passed this CDN before is a loop. Among tiers it need not be: an edge's parent is
//! of the same CDN by design. RFC 8586 leaves what to do to the CDN, and gives members parameters for that. So each edge
//! may have an id, sent as the parameter `edge`, and an edge is told how many edges of its CDN may stand before it:
//! - a request that has passed this very edge is a loop, however it got back;
//! - one that has passed more edges of this CDN than there are tiers below is a loop, whatever ids they have or lack.
//!
//! The first finds a loop at the earliest hop, before a request can come to wait for a fetch that was made for itself. The
//! second ends every loop, also among edges without ids, after as many hops as there are tiers; with none below, the
//! default, it is the plain rule.

use http::{HeaderMap, HeaderValue};

use crate::directives::is_token;
use crate::fields::CDN_LOOP;

/// Has the request been here before, more often than tiers explain?
pub(crate) fn is_loop(headers: &HeaderMap, name: &str, edge: Option<&str>, tiers_below: u32) -> bool {
    let mut passes = 0;
    for line in headers.get_all(CDN_LOOP) {
        for member in split(line.as_bytes(), b',') {
            let mut parts = split(member, b';');
            let id = parts.next().unwrap_or_default();
            if !id.trim_ascii().eq_ignore_ascii_case(name.as_bytes()) {
                continue;
            }
            passes += 1;
            let own = |edge: &str| parts.any(|parameter| is_edge(parameter, edge));
            if passes > tiers_below || edge.is_some_and(own) {
                return true;
            }
        }
    }
    false
}

/// This edge's member.
pub(crate) fn member(name: &str, edge: Option<&str>) -> Option<HeaderValue> {
    let text = match edge {
        Some(edge) => format!("{name};edge={edge}"),
        None => name.to_owned(),
    };
    HeaderValue::try_from(text).ok()
}

/// Can an edge have this id? A token.
pub fn is_edge_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(is_token)
}

/// Is this parameter `edge=ID`, quoted or not?
fn is_edge(parameter: &[u8], id: &str) -> bool {
    let Some(equals) = parameter.iter().position(|&octet| octet == b'=') else { return false };
    let (name, value) = (parameter[..equals].trim_ascii(), parameter[equals + 1..].trim_ascii());
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    name.eq_ignore_ascii_case(b"edge") && value == id.as_bytes()
}

/// The parts of a list, whose separators do not count within quoted strings. One that never ends lasts to the end.
fn split(mut text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|&octet| {
            let was_escaped = std::mem::take(&mut escaped);
            match octet {
                b'\\' if quoted && !was_escaped => escaped = true,
                b'"' if !was_escaped => quoted = !quoted,
                _ => {}
            }
            octet == separator && !quoted
        });
        let part;
        (part, text, done) = match end {
            Some(at) => (&text[..at], &text[at + 1..], false),
            None => (text, &text[..0], true),
        };
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN_LOOP, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn without_tiers_any_pass_is_a_loop() {
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
            (&["other; trace=\"a, cdn\""], false),
            (&["other; trace=\"\\\", cdn\""], false),
            (&["other; trace=\"\\\\\", cdn"], true),
            (&["cdn;edge=b"], true),
            (&["other; via=\"a,cdn,b\""], false),
            (&["other; via=\"a\\\",cdn,b\""], false),
            (&["other; via=\"a\", cdn"], true),
        ];
        for (lines, expected) in cases {
            assert_eq!(is_loop(&headers(lines), "cdn", None, 0), *expected, "{lines:?}");
            assert_eq!(is_loop(&headers(lines), "cdn", Some("a"), 0), *expected, "{lines:?}");
        }
    }

    #[test]
    fn with_tiers_the_own_id_or_too_many_passes_are_a_loop() {
        let cases: &[(&[&str], bool)] = &[
            (&["cdn;edge=b"], false),
            (&["cdn;edge=b, other, CDN ; edge=\"c\""], false),
            (&["cdn;edge=b, cdn, cdn"], true),
            (&["cdn;edge=a"], true),
            (&["cdn;edge=b", "cdn; v=1; Edge = \"a\""], true),
            (&["other;edge=a"], false),
            (&["cdn;edge=A"], false),
            (&["cdn;edge=aa, cdn;edge"], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(is_loop(&headers(lines), "cdn", Some("a"), 2), *expected, "{lines:?}");
        }
    }

    proptest! {
        /// However edges are connected, a request ends after as many hops as there are tiers, and at once where it began.
        #[test]
        fn no_request_goes_round_for_ever(ids in prop::collection::vec(prop::option::of(0_u8..4), 1..6), tiers in 0_u32..5) {
            let mut headers = HeaderMap::new();
            let mut hops = 0;
            loop {
                let id = ids[hops % ids.len()].map(|id| format!("edge-{id}"));
                if is_loop(&headers, "cdn", id.as_deref(), tiers) {
                    break;
                }
                headers.append(CDN_LOOP, member("cdn", id.as_deref()).unwrap());
                hops += 1;
                prop_assert!(hops <= tiers as usize + 1);
                let own: Vec<_> = ids.iter().take(hops).flatten().collect();
                let distinct: std::collections::HashSet<_> = own.iter().collect();
                prop_assert_eq!(own.len(), distinct.len(), "passed an edge twice");
            }
            prop_assert!(hops >= 1, "the first edge takes it");
        }

        #[test]
        fn odd_fields_do_no_harm(line in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.append(CDN_LOOP, line);
                is_loop(&headers, "cdn", Some("a"), 1);
            }
        }
    }
}
