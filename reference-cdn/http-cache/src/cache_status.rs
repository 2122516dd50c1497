//! Cache-Status (RFC 9211).

use std::fmt::Write;

use crate::fields::push_name;
use crate::{ForwardReason, Handling, Outcome};

/// One member for the cache called `name`. `ttl`: what is left of the lifetime, in seconds, if a stored
/// response was used or stored.
pub(crate) fn member(name: &str, handling: &Handling, ttl: Option<i64>) -> String {
    let mut member = String::with_capacity(64);
    push_name(&mut member, name);
    match handling.outcome {
        Outcome::Hit => member.push_str("; hit"),
        Outcome::Forward { reason, status } => {
            member.push_str("; fwd=");
            member.push_str(token(reason));
            push_status(&mut member, status);
        }
        Outcome::Stale { status } => {
            member.push_str("; fwd=stale");
            push_status(&mut member, status);
        }
        Outcome::Generated => {}
    }
    if handling.stored {
        member.push_str("; stored");
    }
    if handling.collapsed {
        member.push_str("; collapsed");
    }
    if let Some(ttl) = ttl {
        let _ = write!(member, "; ttl={}", ttl.clamp(-MAX_INTEGER, MAX_INTEGER));
    }
    if let Some(detail) = handling.detail {
        member.push_str("; detail=");
        push_name(&mut member, detail);
    }
    member
}

/// Largest integer of structured fields.
const MAX_INTEGER: i64 = 999_999_999_999_999;

fn push_status(member: &mut String, status: Option<http::StatusCode>) {
    if let Some(status) = status {
        let _ = write!(member, "; fwd-status={}", status.as_u16());
    }
}

fn token(reason: ForwardReason) -> &'static str {
    match reason {
        ForwardReason::Bypass => "bypass",
        ForwardReason::Method => "method",
        ForwardReason::UriMiss => "uri-miss",
        ForwardReason::VaryMiss => "vary-miss",
        ForwardReason::Miss => "miss",
        ForwardReason::Request => "request",
        ForwardReason::Stale => "stale",
        ForwardReason::Partial => "partial",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn members_are_structured_fields() {
        let plain = Handling::of(Outcome::Hit);
        let forward = |reason, status| Handling { outcome: Outcome::Forward { reason, status }, ..plain };
        let cases = [
            ("cdn", plain, Some(30), "cdn; hit; ttl=30"),
            ("cdn", plain, Some(-412), "cdn; hit; ttl=-412"),
            ("cdn", plain, None, "cdn; hit"),
            ("cdn", forward(ForwardReason::UriMiss, None), None, "cdn; fwd=uri-miss"),
            (
                "cdn",
                Handling { stored: true, collapsed: true, ..forward(ForwardReason::VaryMiss, None) },
                Some(9),
                "cdn; fwd=vary-miss; stored; collapsed; ttl=9",
            ),
            (
                "cdn",
                forward(ForwardReason::Stale, Some(StatusCode::NOT_MODIFIED)),
                Some(5),
                "cdn; fwd=stale; fwd-status=304; ttl=5",
            ),
            (
                "cdn",
                Handling {
                    outcome: Outcome::Stale { status: Some(StatusCode::SERVICE_UNAVAILABLE) },
                    ..plain
                },
                Some(-1),
                "cdn; fwd=stale; fwd-status=503; ttl=-1",
            ),
            (
                "cdn",
                Handling { detail: Some("no-store"), ..forward(ForwardReason::Bypass, None) },
                None,
                "cdn; fwd=bypass; detail=no-store",
            ),
            ("cdn.example:80/a", plain, None, "cdn.example:80/a; hit"),
            ("1st \"edge\"\u{e9}", plain, None, "\"1st \\\"edge\\\"\"; hit"),
            ("edge one", plain, None, "\"edge one\"; hit"),
            ("cdn", plain, Some(i64::MAX), "cdn; hit; ttl=999999999999999"),
        ];
        for (name, handling, ttl, expected) in cases {
            let found = member(name, &handling, ttl);
            assert_eq!(found, expected);
            assert!(sfv::Parser::new(&found).parse::<sfv::List>().is_ok(), "{found}");
        }
    }
}
