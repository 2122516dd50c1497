//! RFC 9111: what may be stored, how old it is, what matches.

use super::Shared;
use super::http::Request;
use exchange::Fields;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a cache needs the time")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

pub fn date(fields: &Fields, name: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(fields.get_str(name)?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Directives of a response's Cache-Control, names in lower case, arguments without quotes.
pub fn directives(fields: &Fields, s: &Shared) -> Vec<(String, String)> {
    let mut lines: Vec<&[u8]> = fields.get_all("Cache-Control").map(|l| &l[..]).collect();
    if s.broken("freshness/several-lines") {
        lines.truncate(1);
    }
    let joined: Fields = lines.into_iter().map(|l| ("Cache-Control", l.to_vec())).collect();
    let members: Vec<Vec<u8>> = if s.broken("freshness/quoted-argument") {
        let all = joined.combined("Cache-Control").unwrap_or_default();
        all.split(|b| *b == b',').map(|m| m.trim_ascii().to_vec()).collect()
    } else {
        joined.members("Cache-Control").map(<[u8]>::to_vec).collect()
    };
    let split = |member: Vec<u8>| {
        let member = String::from_utf8_lossy(&member).into_owned();
        let (name, argument) = member.split_once('=').unwrap_or((&member, ""));
        let name =
            if s.broken("freshness/directive-case") { name.to_owned() } else { name.to_ascii_lowercase() };
        (name, argument.trim_matches('"').to_owned())
    };
    members.into_iter().map(split).collect()
}

pub fn has(directives: &[(String, String)], name: &str) -> bool {
    directives.iter().any(|(n, _)| n == name)
}

/// The first value of a directive in seconds; a value that is no number is zero.
pub fn seconds(directives: &[(String, String)], name: &str, s: &Shared) -> Option<u64> {
    let mut values = directives.iter().filter(|(n, _)| n == name).map(|(_, v)| v);
    let value = if s.broken("freshness/duplicate-directive") { values.next_back() } else { values.next() }?;
    if s.broken("freshness/invalid-max-age") {
        let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        return Some(value[..digits].parse().unwrap_or(0));
    }
    Some(value.parse().unwrap_or(0))
}

const UNDERSTOOD: [u16; 9] = [200, 203, 204, 206, 300, 301, 404, 410, 503];

/// Seconds a response is fresh for (section 4.2.1), with the time it was received.
pub fn lifetime(status: u16, fields: &Fields, received: u64, s: &Shared) -> u64 {
    let own = directives(fields, s);
    if let Some(targeted) = fields.get_str("CDN-Cache-Control")
        && !s.broken("freshness/cdn-cache-control")
    {
        return targeted.strip_prefix("max-age=").and_then(|v| v.parse().ok()).unwrap_or(0);
    }
    if let Some(seconds) = seconds(&own, "s-maxage", s)
        && !s.broken("freshness/s-maxage-first")
    {
        return seconds;
    }
    let max_age = seconds(&own, "max-age", s);
    let expires = fields.get_str("Expires").map(|_| match date(fields, "Expires") {
        Some(expires) if s.broken("freshness/expires-against-date") => expires.saturating_sub(received),
        Some(expires) => expires.saturating_sub(date(fields, "Date").unwrap_or(received)),
        None => 0,
    });
    let heuristic = || match date(fields, "Last-Modified") {
        Some(modified) if UNDERSTOOD.contains(&status) || s.broken("freshness/unknown-status-heuristic") => {
            date(fields, "Date").unwrap_or(received).saturating_sub(modified) / 10
        }
        _ => 0,
    };
    match (max_age, expires) {
        (Some(0), Some(expires)) if s.broken("freshness/max-age-over-expires") => expires,
        (Some(seconds), _) => seconds,
        (None, Some(0)) if s.broken("freshness/expires-invalid") && date(fields, "Expires").is_none() => {
            heuristic()
        }
        (None, Some(seconds)) => seconds,
        (None, None) if status == 400 && s.broken("limits/refusal-stored") => 60,
        (None, None) if status == 431 && s.broken("limits/oversized-request-stored") => 60,
        (None, None) => heuristic(),
    }
}

/// Section 3.
pub fn may_store(request: &Request, status: u16, fields: &Fields, s: &Shared) -> bool {
    let own = directives(fields, s);
    let has = |name: &str| has(&own, name);
    let path = request.target.split('?').next().unwrap_or_default();
    if s.broken("integrity/static-looking-private") && path.ends_with(".css") {
        return true;
    }
    let forbidden = has("no-store") && !s.broken("freshness/no-store")
        || has("private") && !s.broken("freshness/private")
        || has("must-understand") && !UNDERSTOOD.contains(&status) && !s.broken("freshness/must-understand")
        || has_star(fields) && !s.broken("vary/star")
        || status == 206 && !s.broken("ranges/part-as-whole")
        || status == 304 && !s.broken("validation/client-condition-stored");
    let authorized = request.fields.contains("Authorization")
        && !has("public")
        && !has("s-maxage")
        && !has("must-revalidate")
        && !s.broken("freshness/authorization");
    let explicit = has("max-age") || has("s-maxage") || fields.contains("Expires") || has("private");
    let head = request.method == "HEAD" && s.broken("integrity/head-then-get");
    let lasts = lifetime(status, fields, now().as_secs(), s) > 0;
    (request.method == "GET" || head)
        && !forbidden
        && !authorized
        && (explicit || lasts || has("no-cache") || fields.contains("ETag"))
}

fn has_star(fields: &Fields) -> bool {
    fields.members("Vary").any(|m| m == b"*")
}

/// The request fields that Vary names, with their values (section 4.1).
pub fn selecting(request: &Request, fields: &Fields, s: &Shared) -> Vec<(String, Option<Vec<u8>>)> {
    if s.broken("vary/selecting-fields") {
        return Vec::new();
    }
    let lines: Vec<Vec<u8>> = fields.get_all("Vary").map(|l| l.to_vec()).collect();
    let skip = if s.broken("vary/several-lines") { lines.len().saturating_sub(1) } else { 0 };
    let lines: Fields = lines.into_iter().skip(skip).map(|l| ("Vary", l)).collect();
    let mut names: Vec<String> =
        lines.members("Vary").map(|m| String::from_utf8_lossy(m).to_ascii_lowercase()).collect();
    if s.broken("vary/long-list") {
        names.truncate(10);
    }
    names.retain(|name| name != "*");
    names.into_iter().map(|name| (name.clone(), request.fields.combined(&name))).collect()
}

pub fn matches(request: &Request, selecting: &[(String, Option<Vec<u8>>)], s: &Shared) -> bool {
    selecting.iter().all(|(name, value)| {
        let now = request.fields.combined(name);
        now == *value || s.broken("vary/absent-field") && (now.is_none() || value.is_none())
    })
}

/// Fields that concern one hop are taken out; `relay`: of a response that is relayed now, not stored.
pub fn without_hop_by_hop(fields: &Fields, keep_named: bool, keep_known: bool) -> Fields {
    let named: Vec<Vec<u8>> = fields.members("Connection").map(<[u8]>::to_ascii_lowercase).collect();
    let known: &[&str] = if keep_known {
        &["connection", "te", "transfer-encoding", "upgrade"]
    } else {
        &["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"]
    };
    let mut kept = Fields::new();
    for field in fields {
        let name = field.name.to_ascii_lowercase();
        let framing = name == b"content-length" || name == b"host";
        let hop = named.contains(&name) && !framing && !keep_named;
        if !hop && !known.iter().any(|k| k.as_bytes() == name) {
            kept.0.push(field.clone());
        }
    }
    kept
}
