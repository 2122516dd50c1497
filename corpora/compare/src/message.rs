//! Two messages, part by part.

use crate::collect::Collector;
use crate::field::{self, Kind};
use crate::freshness::Freshness;
use crate::named::{self, At};
use crate::{CacheState, Class, body, cache_status, hop, rules, via};
use exchange::{Body, Ending, Fields, Time};
use std::collections::BTreeSet;

/// What two requests and two responses have in common for a comparison.
pub(crate) struct Message<'m> {
    pub fields: &'m Fields,
    pub body: &'m Body,
    pub trailers: &'m Fields,
    /// When it was received, where that is known.
    pub received: Option<Time>,
    /// Whether its Content-Length tells the length of its own body: not so in answers to HEAD and in 304.
    pub own_length: bool,
    /// The status code of a response.
    pub status: Option<u16>,
    /// The authority a request names, in its target or in Host.
    pub authority: Option<&'m [u8]>,
    pub request: bool,
}

/// Compares header fields, body and trailers.
pub(crate) fn compare(out: &mut Collector<'_>, left: &Message<'_>, right: &Message<'_>) {
    let content = body::Content::new(out.settings, left, right);
    let (l, r) = (printable(left.fields), printable(right.fields));
    let (left, right) = (&Message { fields: &l, ..*left }, &Message { fields: &r, ..*right });
    fields(out, left, right, &content);
    hop::compare(out, "fields", &l, &r);
    content.compare(out);
    let trailers = Section { path: "trailers", class: Class::Trailer };
    plain_fields(out, &trailers, left.trailers, right.trailers, |_| false);
}

/// A field section that is compared: its path and the class of its differences.
pub(crate) struct Section<'p> {
    pub path: &'p str,
    pub class: Class,
}

/// Compares the fields of a section by their types alone, those that `skip` names left out.
pub(crate) fn plain_fields(
    out: &mut Collector<'_>,
    section: &Section<'_>,
    left: &Fields,
    right: &Fields,
    skip: impl Fn(&str) -> bool,
) {
    let (left, right) = (printable(left), printable(right));
    for name in names(&left, &right) {
        if !skip(&name) {
            plain_field(out, section, &name, &left, &right);
        }
    }
}

/// The same lines under names in lower case, escaped where they are not printable: names as paths show them.
pub(crate) fn printable(fields: &Fields) -> Fields {
    let name = |f: &exchange::Field| exchange::escape(&f.name).to_ascii_lowercase();
    fields.iter().map(|f| (name(f), f.value.clone())).collect()
}

/// Names of all fields of both sections, sorted.
fn names(left: &Fields, right: &Fields) -> BTreeSet<String> {
    left.iter().chain(right).map(|f| String::from_utf8_lossy(&f.name).into_owned()).collect()
}

fn fields(out: &mut Collector<'_>, left: &Message<'_>, right: &Message<'_>, content: &body::Content<'_>) {
    let section = Section { path: "fields", class: Class::Field };
    let (hop_left, hop_right) = (hop::names(left.fields), hop::names(right.fields));
    // A field is compared on the sides where it is end to end.
    let end_to_end = |fields: &Fields, hop: &BTreeSet<String>| -> Fields {
        let hop = |f: &exchange::Field| std::str::from_utf8(&f.name).is_ok_and(|name| hop.contains(name));
        Fields(fields.iter().filter(|f| !hop(f)).cloned().collect())
    };
    let (l, r) = (end_to_end(left.fields, &hop_left), end_to_end(right.fields, &hop_right));
    let freshness = Freshness::new(out.settings, (&l, left.received), (&r, right.received));
    let before = out.found.len();
    host(out, left.authority, right.authority);
    for name in names(&l, &r) {
        match field::kind(&name) {
            Kind::Caseless if name == "host" && left.request => {}
            Kind::ContentLength => content_length(out, left, right),
            Kind::Age if !left.request => freshness.age(out),
            Kind::ReceptionDate => freshness.date(out),
            Kind::Expires => freshness.expires(out),
            Kind::CacheStatus => cache_status::compare(out, &freshness, &l, &r),
            Kind::XCache => cache_status::compare_x_cache(out, &name, &l, &r),
            Kind::Via => via::compare(out, &l, &r),
            Kind::Server => server(out, &l, &r),
            Kind::Set(_) if name == "accept-ranges" && implied_ranges(left, right, &l, &r) => {}
            Kind::Set(_) if name == "accept-ranges" && ranges_by_history(&l, &r) => {
                let values = (l.combined("accept-ranges"), r.combined("accept-ranges"));
                let explanation = "a stored answer has it where the response it was made from had it";
                let values = (values.0.as_deref(), values.1.as_deref());
                out.add("fields.accept-ranges", values, &rules::SET, Class::CacheState, explanation);
            }
            Kind::Directives if name == "cache-control" => freshness.cache_control(out),
            Kind::List(_) if name == "content-encoding" && content.same_when_decoded() => {
                content.encoding(out)
            }
            Kind::MediaType if content.parts_on_both() => {}
            _ => plain_field(out, &section, &name, &l, &r),
        }
    }
    let aged =
        |d: &crate::Difference| d.class == Class::Freshness || d.path.starts_with("fields.cache-control");
    if !left.request && !out.found[before..].iter().any(aged) {
        freshness.age_where_required(out);
        freshness.staleness(out);
    }
}

fn plain_field(out: &mut Collector<'_>, section: &Section<'_>, name: &str, left: &Fields, right: &Fields) {
    // The common case. Only a cookie's lifetime depends on more than its own bytes, and not where those are the same.
    if left.get_all(name).eq(right.get_all(name)) {
        return;
    }
    let kind = field::kind(name);
    let path = format!("{}.{name}", section.path);
    match kind {
        Kind::SetCookie => return cookies(out, &path, section.class, true, left, right),
        Kind::Cookie => return cookies(out, &path, section.class, false, left, right),
        _ => {}
    }
    let (l, r) = (left.combined(name), right.combined(name));
    let explanation = match (&l, &r) {
        (Some(l), Some(r)) if kind.canonical(l) == kind.canonical(r) => return,
        // Outside a final response's header, where its moment of reception judges it, only that it is a date.
        (Some(l), Some(r)) if kind == Kind::ReceptionDate && both_dates(l, r) => return,
        (Some(l), Some(r)) => kind.explain(l, r, out.names()),
        _ => out.presence(l.is_some(), r.is_some(), ""),
    };
    out.add(path, (l.as_deref(), r.as_deref()), kind.rule(), section.class, explanation);
}

fn both_dates(left: &[u8], right: &[u8]) -> bool {
    crate::syntax::date(left).is_some() && crate::syntax::date(right).is_some()
}

fn cookies(out: &mut Collector<'_>, path: &str, class: Class, set: bool, left: &Fields, right: &Fields) {
    let name = if set { "set-cookie" } else { "cookie" };
    let read = |fields: &Fields| {
        let lines = fields.get_all(name).map(|v| &v[..]);
        let secrets = &out.settings.secrets;
        if set { named::set_cookies(secrets, lines) } else { named::cookies(secrets, lines) }
    };
    let (l, r) = (read(left), read(right));
    let tolerance = out.settings.tolerance_seconds();
    let dates = [left, right].map(|f| f.get("date").and_then(|d| crate::syntax::date(d)));
    let differing = named::differing(&l, &r, |l, r| {
        l.meaning == r.meaning
            && match (l.expires, r.expires) {
                (None, None) => true,
                // The same moment, or as long after each answer was made.
                (Some(a), Some(b)) => {
                    let since = |t: i64, date: Option<i64>| Some(t.saturating_sub(date?));
                    let relative = since(a, dates[0]).zip(since(b, dates[1]));
                    a == b
                        || dates[0] != dates[1] && relative.is_some_and(|(a, b)| a.abs_diff(b) <= tolerance)
                }
                _ => false,
            }
    });
    let at = At { path, rule: named::rule(set), class };
    if named::renamed(&differing, &l, &r) {
        let values = (named::joined(&l), named::joined(&r));
        let explanation = "a cookie of one name on one side, of another name on the other";
        out.add(path, (values.0.as_deref(), values.1.as_deref()), at.rule, class, explanation);
    } else {
        named::add_each(out, &at, &differing, &l, &r);
    }
}

/// Whether `Accept-Ranges: bytes` stands on one side only and both are partial responses, which say the same by what
/// they are (RFC 9110 sections 14.3 and 15.3.7): a cache that cuts the range out of a whole answer has the field, one
/// that relays the origin's 206 may not.
fn implied_ranges(left: &Message<'_>, right: &Message<'_>, l: &Fields, r: &Fields) -> bool {
    let values = (l.combined("accept-ranges"), r.combined("accept-ranges"));
    let ((Some(value), None) | (None, Some(value))) = values else { return false };
    let ranges = |fields: &Fields| {
        let has = |name: &str, start: &str| {
            fields
                .get_str(name)
                .and_then(|v| v.get(..start.len()))
                .is_some_and(|v| v.eq_ignore_ascii_case(start))
        };
        has("content-range", "bytes ") || has("content-type", "multipart/byteranges")
    };
    value.eq_ignore_ascii_case(b"bytes")
        && (left.status, right.status) == (Some(206), Some(206))
        && ranges(l)
        && ranges(r)
}

/// Whether `Accept-Ranges: bytes` stands on one side only and an answer comes from a store: origins send it with 200
/// and not with 206 (RFC 9110 section 14.3), so it tells from which of these a stored whole was put together.
fn ranges_by_history(l: &Fields, r: &Fields) -> bool {
    let values = (l.combined("accept-ranges"), r.combined("accept-ranges"));
    let ((Some(value), None) | (None, Some(value))) = values else { return false };
    let stored = |fields| matches!(cache_status::state(fields), CacheState::Hit | CacheState::Revalidated);
    value.eq_ignore_ascii_case(b"bytes") && (stored(l) || stored(r))
}

/// Who a request is for, by its target or by Host (RFC 9110 section 7.2).
fn host(out: &mut Collector<'_>, left: Option<&[u8]>, right: Option<&[u8]>) {
    if left.map(<[u8]>::to_ascii_lowercase) != right.map(<[u8]>::to_ascii_lowercase) {
        let explanation = out.presence(left.is_some(), right.is_some(), "for another host");
        out.add("fields.host", (left, right), &rules::CASELESS, Class::Field, explanation);
    }
}

fn server(out: &mut Collector<'_>, left: &Fields, right: &Fields) {
    let (l, r) = (left.combined("server"), right.combined("server"));
    if l == r {
        return;
    }
    let class = if l.is_some() && r.is_some() { Class::Identity } else { Class::Field };
    let explanation = out.presence(l.is_some(), r.is_some(), "another name for the software");
    out.add("fields.server", (l.as_deref(), r.as_deref()), &rules::SERVER, class, explanation);
}

/// Whether a length is announced is the sender's choice; that an announced length is wrong is not.
fn content_length(out: &mut Collector<'_>, left: &Message<'_>, right: &Message<'_>) {
    let [l, r] = [left, right].map(|m| m.fields.combined("content-length"));
    let values = (l.as_deref(), r.as_deref());
    let rule = &rules::CONTENT_LENGTH;
    let announced = |value: &Option<Vec<u8>>| value.as_ref().map(|v| announced_length(v));
    let (al, ar) = (announced(&l), announced(&r));
    if !(left.own_length && right.own_length) {
        if let (Some(al), Some(ar)) = (al, ar)
            && (al != ar || al.is_none() && l != r)
        {
            let explanation = "the lengths of the content that was not sent differ";
            out.add("fields.content-length", values, rule, Class::Framing, explanation);
        }
        return;
    }
    // A body that was cut short is judged by how it ended.
    let lies = |m: &Message<'_>, announced: Option<Option<u64>>| {
        m.body.ending == Ending::Complete && announced.is_some_and(|a| a != Some(m.body.length))
    };
    let (wrong_left, wrong_right) = (lies(left, al), lies(right, ar));
    if wrong_left != wrong_right || wrong_left && l != r {
        let (side, m) = if wrong_right { (out.names().1, right) } else { (out.names().0, left) };
        let explanation =
            format!("the {side}'s body has {} bytes, which it does not announce", m.body.length);
        out.add("fields.content-length", values, rule, Class::Framing, explanation);
    } else if al.is_some() && ar.is_some() && al != ar && left.body.length == right.body.length {
        // Both cut short at the same byte, of different lengths announced.
        let explanation = "the announced lengths differ";
        out.add("fields.content-length", values, rule, Class::Framing, explanation);
    }
}

/// The one length that all members agree on (RFC 9110 section 8.6).
fn announced_length(value: &[u8]) -> Option<u64> {
    let mut lengths = value.split(|&b| b == b',').map(|m| crate::syntax::number(m.trim_ascii()));
    let first = lengths.next()??;
    lengths.all(|l| l == Some(first)).then_some(first)
}
