//! Age, lifetime, and when a stale response may be used (RFC 9111 sections 4.2 and 5.1, RFC 5861).

use super::directives::Wishes;
use super::{Directives, Entry, explicit};
use crate::message::{Answer, seconds};

/// Section 4.2.3 allows two ways to calculate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    pub least: u64,
    pub most: u64,
}

pub fn age(entry: &Entry, now: u64) -> Age {
    let given: u64 = entry.head.get("age").map_or(0, |age| age.parse().expect("a number"));
    // On loopback there is no delay that a clock in seconds sees.
    let apparent = entry.received.saturating_sub(entry.date());
    let resident = now - entry.received;
    Age { least: given + resident, most: given.max(apparent) + resident }
}

/// Section 5.1: Age is true; a stored response that is used without validation has it.
pub fn check_age(age: Age, answer: &Answer, required: bool) -> Result<(), String> {
    let told: Vec<&str> =
        answer.fields.lines().filter(|(name, _)| *name == "age").map(|(_, value)| value).collect();
    match told.as_slice() {
        [] if required => Err("Age is missing (section 4)".into()),
        [] => Ok(()),
        [one] if one.parse() == Ok(age.least) || one.parse() == Ok(age.most) => Ok(()),
        other => Err(format!("Age is {other:?}, not {} or {} (section 4.2.3)", age.least, age.most)),
    }
}

/// Section 4.2.1.
pub enum Lifetime {
    /// From the origin.
    Explicit(u64),
    /// A cache may guess up to this.
    Guessed(u64),
}

pub fn lifetime(entry: &Entry) -> Lifetime {
    let directives = entry.directives();
    if let Some(lifetime) = directives.s_maxage.or(directives.max_age) {
        return Lifetime::Explicit(lifetime);
    }
    if let Some(expires) = entry.head.get("expires").filter(|_| !directives.targeted) {
        return Lifetime::Explicit(seconds(expires).unwrap_or(0).saturating_sub(entry.date()));
    }
    let allowed = directives.public || is_heuristically_cacheable(entry.status);
    let modified = entry.head.get("last-modified").and_then(seconds).filter(|_| allowed);
    // Section 4.2.2 knows a typical fraction of a tenth.
    Lifetime::Guessed(modified.map_or(0, |modified| entry.date().saturating_sub(modified) / 10))
}

/// RFC 9110 section 15.1.
pub fn is_heuristically_cacheable(status: u16) -> bool {
    [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status)
}

fn longest(entry: &Entry) -> u64 {
    match lifetime(entry) {
        _ if entry.obsolete => 0,
        Lifetime::Explicit(seconds) | Lifetime::Guessed(seconds) => seconds,
    }
}

/// A cache may hold it for fresh.
pub fn may_be_fresh(entry: &Entry, now: u64) -> bool {
    longest(entry) > age(entry, now).least
}

/// Every cache holds it for fresh.
pub fn must_be_fresh(entry: &Entry, now: u64) -> bool {
    !entry.obsolete && explicit(entry).is_some_and(|lifetime| lifetime > age(entry, now).most)
}

/// What is left of its lifetime at most.
pub fn most_left(entry: &Entry, now: u64) -> u64 {
    longest(entry).saturating_sub(age(entry, now).least)
}

/// How the origin is.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// It gave no usable answer.
    pub failed: bool,
    /// It answered with an error that RFC 5861 section 4 means.
    pub error: bool,
}

/// RFC 5861 section 4; what is no valid status counts as a server error (RFC 9110 section 15).
pub fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504 | 600..)
}

/// Section 4.2.4: may it be used though it is stale?
pub fn stale_use(entry: &Entry, now: u64, wishes: &Wishes, situation: Situation) -> Result<(), String> {
    let Directives { must_revalidate, proxy_revalidate, no_cache, s_maxage, .. } = entry.directives();
    let Directives { stale_while_revalidate, stale_if_error, .. } = entry.directives();
    let staleness = age(entry, now).least.saturating_sub(longest(entry));
    if must_revalidate || proxy_revalidate || no_cache {
        return Err(format!("it is stale by {staleness} s, and must be validated"));
    }
    let within = |window: Option<u64>| window.is_some_and(|window| staleness <= window);
    // An extension may override what s-maxage forbids (section 4).
    let permitted = within(stale_while_revalidate)
        || (situation.failed || situation.error) && within(stale_if_error)
        || situation.failed && stale_if_error.is_none() && s_maxage.is_none()
        || within(wishes.max_stale) && s_maxage.is_none();
    permitted
        .then_some(())
        .ok_or(format!("it is stale by {staleness} s, and nothing permits that (section 4.2.4)"))
}
