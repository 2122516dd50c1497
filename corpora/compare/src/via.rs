//! Via (RFC 9110 section 7.6.3): which protocols a message came over. Who relayed it may name itself as it likes.

use crate::collect::Collector;
use crate::{Class, rules, syntax};
use exchange::Fields;

/// Judges `Via`, present on at least one side.
pub(crate) fn compare(out: &mut Collector<'_>, left: &Fields, right: &Fields) {
    let [l, r] = [left, right].map(|fields| fields.combined("via"));
    let explanation = match (&l, &r) {
        (Some(raw_left), Some(raw_right)) => match (protocols(raw_left), protocols(raw_right)) {
            (Some(protocols_left), Some(protocols_right)) if protocols_left == protocols_right => return,
            (Some(protocols_left), Some(protocols_right))
                if protocols_left.len() == protocols_right.len() =>
            {
                format!("received over {} against {}", protocols_left.join(", "), protocols_right.join(", "))
            }
            (Some(protocols_left), Some(protocols_right)) => {
                format!("{} hops against {}", protocols_left.len(), protocols_right.len())
            }
            _ if raw_left == raw_right => return,
            (parsed_left, parsed_right) => out
                .presence(
                    parsed_left.is_some(),
                    parsed_right.is_some(),
                    "malformed on both sides, and not the same",
                )
                .replace("has it", "is well-formed"),
        },
        _ => out.presence(l.is_some(), r.is_some(), ""),
    };
    out.add("fields.via", (l.as_deref(), r.as_deref()), &rules::VIA, Class::Field, explanation);
}

/// The protocol of each hop, `HTTP/` left out as the RFC allows; nothing where a member is malformed.
fn protocols(value: &[u8]) -> Option<Vec<String>> {
    let members = syntax::split(value, b',', Some((b'(', b')')));
    if members.is_empty() {
        return None;
    }
    members.into_iter().map(protocol).collect()
}

fn protocol(member: &[u8]) -> Option<String> {
    let mut words = member.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let (protocol, _received_by) = (words.next()?, words.next()?);
    if words.next().is_some_and(|comment| !comment.starts_with(b"(")) {
        return None;
    }
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(b);
    let protocol = std::str::from_utf8(protocol).ok().filter(|p| p.bytes().all(|b| token(&b)))?;
    let protocol = protocol.to_ascii_uppercase();
    let version = protocol.strip_prefix("HTTP/").unwrap_or(&protocol);
    Some(version.strip_suffix(".0").filter(|v| matches!(*v, "2" | "3")).unwrap_or(version).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_of_each_hop() {
        for (value, expected) in [
            ("1.1 a", Some("1.1")),
            ("HTTP/1.1 a (Some (old), Cache/1.0), 2.0 b:80, 3 c", Some("1.1 2 3")),
            ("1.1", None),
            ("1.1 a b", None),
            ("", None),
            ("1.1 a,,1.0 b", Some("1.1 1.0")),
        ] {
            assert_eq!(protocols(value.as_bytes()).map(|p| p.join(" ")).as_deref(), expected, "{value}");
        }
    }
}
