//! Orders as JSON, and the answers to them.

use std::time::Duration;

use http::Uri;
use http_cache::{Key, LONGEST_TAG, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Refusal;
use super::book::{Draft, OWN_ID, Purge, State};
use super::generation::Mode;
use super::pattern::LONGEST_PATTERN;
use super::schedule::{End, LONGEST_INTERVAL, SHORTEST_INTERVAL, Schedule};
use super::scope::{LONGEST_HOST, Scope, What};
use super::tokens::Asker;
use crate::timestamp;

/// Tags or groups in one order. Each takes a place in the tables.
pub const MOST_NAMES: usize = 256;
/// Octets of an id.
const LONGEST_ID: usize = 128;
/// Octets of a customer's name.
const LONGEST_NAME: usize = 255;
/// Octets of a path: the longest request target.
const LONGEST_PATH: usize = 64 * 1024;
/// Latest time that can be written: the end of the year 9999.
const END_OF_TIME: Time = Time::from_secs(253_402_300_799);

const USAGE: &str = "send JSON such as {\"url\": \"http://host/path\"}; one of url, tag, tags, group, groups, prefix, pattern, host, customer and all says what to purge";

/// An order as it is sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Form {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coarser: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// An order that can be carried out, if whoever gave it may.
#[derive(Clone, Debug)]
pub struct Order {
    draft: Draft,
}

impl Order {
    /// Reads an order. `keys`: what the decisions make of the URL of a purge.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(content: &[u8], now: Time, keys: impl FnOnce(&Uri) -> Vec<Key>) -> Result<Self, Refusal> {
        let form: Form =
            serde_json::from_slice(content).map_err(|error| wrong(format!("{}; {USAGE}", told(&error))))?;
        let digest = form.digest();
        let schedule = form.schedule(now)?;
        let what = form.what(keys)?;
        let Form { customer, mode, coarser, id, .. } = form;
        if let Some(customer) = &customer {
            name("customer", customer, LONGEST_NAME)?;
        }
        if let Some(id) = &id {
            check_id(id)?;
        }
        let draft = Draft {
            by: String::new(),
            owner: None,
            id,
            digest,
            scope: Scope { customer, what },
            mode: mode.unwrap_or_default(),
            schedule,
            coarser: coarser.unwrap_or(false),
        };
        Ok(Self { draft })
    }

    /// How many names it has: what it counts for where orders are limited.
    pub fn names(&self) -> usize {
        self.draft.scope.subjects().max(1)
    }

    /// The decisions know no key for its URL: there is nothing to purge.
    pub fn is_void(&self) -> bool {
        matches!(&self.draft.scope.what, What::Url { keys, .. } if keys.is_empty())
    }

    /// What it takes.
    pub fn scope(&self) -> &Scope {
        &self.draft.scope
    }

    /// The order as `by` gives it: customers' tokens reach their own content only.
    pub(super) fn draft(self, by: &Asker) -> Result<Draft, Refusal> {
        let mut draft = self.draft;
        if let Some(own) = &by.customer {
            match &draft.scope.customer {
                Some(other) if other != own => {
                    return Err(Refusal::Forbidden(format!(
                        "this token is for the content of customer \"{own}\" only"
                    )));
                }
                None if draft.scope.what == What::Everything => {
                    return Err(Refusal::Forbidden(format!(
                        "this token cannot purge everything; {{\"customer\": \"{own}\"}} purges all of its customer's content"
                    )));
                }
                _ => draft.scope.customer = Some(own.clone()),
            }
        }
        draft.by = by.name.clone();
        draft.owner = by.customer.clone();
        Ok(draft)
    }
}

fn wrong(text: impl Into<String>) -> Refusal {
    Refusal::Order(text.into())
}

/// An error of the JSON parser, which may quote what was sent; where it is comes last, and stays.
fn told(error: &serde_json::Error) -> String {
    const MOST: usize = 200;
    let all = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let what = all.strip_suffix(&at);
    let (what, at) = what.map_or((&*all, ""), |what| (what, &*at));
    let shown = what.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut told: String = shown.clone().take(MOST).collect();
    told.push_str(if shown.count() > MOST { "…" } else { "" });
    told + at
}

/// What was sent, as it may stand in an answer and in a log: in quotes, without control characters, not too long.
fn shown(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// A name of something, as people give names: visible, without space around it.
fn name(what: &str, text: &str, longest: usize) -> Result<(), Refusal> {
    let bad = if text.is_empty() {
        "is empty"
    } else if text.len() > longest {
        return Err(wrong(format!("{what}: longer than {longest} octets")));
    } else if text.trim() != text {
        "begins or ends with space"
    } else if text.chars().any(char::is_control) {
        "has control characters"
    } else {
        return Ok(());
    };
    Err(wrong(format!("{what} {bad}")))
}

fn check_id(id: &str) -> Result<(), Refusal> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~:".contains(&octet);
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(plain) {
        return Err(wrong(format!("id: 1 to {LONGEST_ID} letters, digits and signs of - . _ ~ : are an id")));
    }
    if id.starts_with(OWN_ID) {
        return Err(wrong(format!(
            "id: those that begin with \"{OWN_ID}\" are given by the edge; choose another"
        )));
    }
    Ok(())
}

impl Form {
    /// Of all but the id.
    fn digest(&self) -> String {
        let order = Self { id: None, ..self.clone() };
        // Text and numbers only: writing it cannot fail.
        let text = serde_json::to_vec(&order).unwrap_or_default();
        Sha256::digest(&text).iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn schedule(&self, now: Time) -> Result<Option<Schedule>, Refusal> {
        let time = |what: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let time = timestamp::parse(text).filter(|time| *time <= END_OF_TIME);
            time.map(Some).ok_or_else(|| {
                wrong(format!(
                    "{what}: {} is no time in UTC such as 2026-11-27T10:00:00Z (RFC 3339)",
                    shown(text)
                ))
            })
        };
        let (at, until) = (time("at", &self.at)?, time("until", &self.until)?);
        let Some(every) = &self.every else {
            if until.is_some() || self.times.is_some() {
                return Err(wrong(
                    "until and times say how long a purge is repeated: give its interval, as in \"every\": \"1h\"",
                ));
            }
            return Ok(at.map(Schedule::once));
        };
        let interval = interval(every)
            .filter(|it| (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(it))
            .ok_or_else(|| {
                wrong(format!(
                    "every: {} is no interval such as \"30s\", \"10m\", \"1h\" or \"1d\", from 1s to 366d",
                    shown(every)
                ))
            })?;
        let end = match (until, self.times) {
            (Some(until), None) => End::At(until),
            (None, Some(times)) => End::After(times),
            _ => {
                return Err(wrong(
                    "a purge that is repeated ends: give either \"until\" (a time) or \"times\" (a count)",
                ));
            }
        };
        let schedule = Schedule::repeated(at.unwrap_or(now), interval, end);
        schedule.map(Some).ok_or_else(|| wrong("it would end before it began: see until, times and at"))
    }

    fn what(&self, keys: impl FnOnce(&Uri) -> Vec<Key>) -> Result<What, Refusal> {
        let mut given = Vec::new();
        let mut give = |is_given: bool, name: &'static str| {
            if is_given {
                given.push(name)
            }
        };
        give(self.url.is_some(), "url");
        give(self.tag.is_some() || self.tags.is_some(), "tag");
        give(self.group.is_some() || self.groups.is_some(), "group");
        give(self.prefix.is_some(), "prefix");
        give(self.pattern.is_some(), "pattern");
        give(self.host.is_some(), "host");
        give(self.all.is_some(), "all");
        let what = match given.as_slice() {
            [] if self.customer.is_some() => return Ok(What::Everything),
            [] => return Err(wrong(format!("nothing to purge is named; {USAGE}"))),
            [what] => *what,
            several => {
                return Err(wrong(format!("{} are given; send an order for each", several.join(" and "))));
            }
        };
        if self.origin.is_some() && what != "group" {
            return Err(wrong("origin goes with group: a group is one within its origin (RFC 9875)"));
        }
        match what {
            "url" => url(self.url.as_deref().unwrap_or_default(), keys),
            "tag" => Ok(What::Tags(names("tag", &self.tag, &self.tags)?)),
            "group" => groups(self.origin.as_deref(), names("group", &self.group, &self.groups)?),
            "prefix" => {
                let text = self.prefix.as_deref().unwrap_or_default();
                let (authority, path) = place("prefix", text, LONGEST_PATH)?;
                if path.contains(['?', '*']) {
                    return Err(wrong(format!(
                        "prefix: {} has a query or a star; a prefix is a path, use pattern or url",
                        shown(text)
                    )));
                }
                Ok(What::Prefix { authority, path })
            }
            "pattern" => {
                let text = self.pattern.as_deref().unwrap_or_default();
                let (authority, pattern) = place("pattern", text, LONGEST_PATTERN)?;
                Ok(What::Pattern { authority, pattern })
            }
            "host" => host(self.host.as_deref().unwrap_or_default()),
            _ if self.all == Some(true) && self.customer.is_none() => Ok(What::Everything),
            _ if self.all == Some(true) => Err(wrong("all and customer are given; send one of them")),
            _ => Err(wrong("all: true is the only value it has")),
        }
    }
}

/// An interval such as `10m`.
fn interval(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

fn names(what: &str, one: &Option<String>, several: &Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let mut names = match (one, several) {
        (Some(one), None) => vec![one.clone()],
        (None, Some(several)) => several.clone(),
        _ => return Err(wrong(format!("{what} and {what}s are given; send one of them"))),
    };
    names.iter().try_for_each(|text| name(what, text, LONGEST_TAG))?;
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.len() > MOST_NAMES {
        return Err(wrong(format!("{what}s: 1 to {MOST_NAMES} of them go into one order")));
    }
    Ok(names)
}

fn absolute(what: &str, text: &str) -> Result<Uri, Refusal> {
    let hint = "write it as http://host/path, as clients send it";
    let uri: Uri =
        text.parse().map_err(|error| wrong(format!("{what}: {}: {error}; {hint}", shown(text))))?;
    let of_http = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
    if !of_http || uri.authority().is_none() {
        return Err(wrong(format!("{what}: {} is not an absolute URL; {hint}", shown(text))));
    }
    Ok(uri)
}

fn url(text: &str, keys: impl FnOnce(&Uri) -> Vec<Key>) -> Result<What, Refusal> {
    let uri = absolute("url", text)?;
    let keys = keys(&uri).iter().map(|key| key.as_str().to_owned()).collect();
    Ok(What::Url { url: text.to_owned(), keys })
}

fn groups(origin: Option<&str>, names: Vec<String>) -> Result<What, Refusal> {
    let origin = origin.ok_or_else(|| {
        wrong("a group is one within its origin (RFC 9875): send \"origin\": \"https://host\" with it")
    })?;
    let uri = absolute("origin", origin)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong(format!(
            "origin: {} has a path; scheme, host and port are the origin",
            shown(origin)
        )));
    }
    Ok(What::Groups { origin: Key::of(&uri).origin().to_owned(), names })
}

/// A path, on one authority (`http://host/path`) or on every one (`/path`). The scheme does not matter, but for the
/// port that it implies.
fn place(what: &str, text: &str, longest: usize) -> Result<(Option<String>, String), Refusal> {
    let hint = "write it as http://host/path, or /path for every host";
    let bad = |why: &str| wrong(format!("{what}: {} {why}; {hint}", shown(text)));
    if text.len() > longest + LONGEST_HOST {
        return Err(wrong(format!("{what}: longer than {longest} octets")));
    }
    if !text.bytes().all(|octet| octet > b' ' && octet != 0x7f && octet != b'#') {
        return Err(bad("has characters that no request target has"));
    }
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '*', '?']))
    else {
        let rooted = text.starts_with('/') || what == "pattern" && text.starts_with('*');
        return if rooted { Ok((None, text.to_owned())) } else { Err(bad("does not begin with /")) };
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("is no URL of http or https"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '*']).unwrap_or(rest.len()));
    if !path.is_empty() && !path.starts_with('/') {
        return Err(bad("has no / behind its host"));
    }
    let uri = absolute(what, &format!("{scheme}://{authority}/"))?;
    let authority = Key::of(&uri).authority().to_owned();
    if authority.len() > LONGEST_HOST + 6 {
        return Err(bad("names a host that is too long"));
    }
    Ok((Some(authority), if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
}

fn host(text: &str) -> Result<What, Refusal> {
    let hint = "write it as www.example.com, or *.example.com for those below it";
    let bad = |why: &str| wrong(format!("host: {} {why}; {hint}", shown(text)));
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    if name.is_empty() || name.len() > LONGEST_HOST {
        return Err(bad(&format!("does not have 1 to {LONGEST_HOST} octets")));
    }
    let in_brackets = name.starts_with('[') && name.ends_with(']');
    if name.contains(':') && !in_brackets {
        return Err(bad("has a port or scheme; a prefix such as http://host:8080/ names one port"));
    }
    let uri = format!("http://{name}/").parse::<Uri>().ok();
    match uri.as_ref().and_then(Uri::authority) {
        Some(authority) if authority.as_str() == name && !name.contains(['*', '@']) => {
            Ok(What::Host(format!("{star}{}", name.to_ascii_lowercase())))
        }
        _ => Err(bad("is no host")),
    }
}

/// A purge as it is told.
pub fn answer(purge: &Purge, durable: bool) -> Value {
    let accepted = &purge.accepted;
    let time = |time: Time| json!(timestamp::format(time));
    let mut members = Map::new();
    accepted.scope.tell(&mut members);
    let mut tell = |name: &str, value: Value| members.insert(name.to_owned(), value);
    tell("id", json!(accepted.id));
    tell("mode", json!(accepted.mode));
    tell("accepted", time(accepted.time()));
    tell("by", json!(accepted.by));
    tell("durable", json!(durable));
    tell("purged", json!(purge.purged));
    if let Some(owner) = &accepted.owner {
        tell("owner", json!(owner));
    }
    if accepted.coarsened {
        tell("coarsened", json!(true));
    }
    if let Some(force) = purge.force {
        tell("since", time(force.last.1));
    }
    if let Some((every, times)) = accepted.schedule.and_then(|schedule| schedule.repeats()) {
        tell("every", json!(format!("{}s", every.as_secs())));
        tell("times", json!(times));
        tell("fired", json!(purge.fired));
    }
    if let Some((at, by)) = &purge.cancelled {
        tell("cancelled", time(*at));
        tell("cancelled-by", json!(by));
    }
    let state = match purge.state() {
        State::Scheduled(next) => {
            tell("at", time(next));
            "scheduled"
        }
        State::InForce => "in-force",
        State::Cancelled => "cancelled",
        State::Compacted => "compacted",
    };
    tell("state", json!(state));
    Value::Object(members)
}

#[cfg(test)]
mod tests;
