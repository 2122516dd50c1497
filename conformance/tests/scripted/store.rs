//! What is stored, and for how long.

use super::Shared;
use super::http::Request;
use super::rules::{self, directives, has, lifetime, matches, selecting};
use exchange::Fields;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Default)]
pub struct Store {
    pub entries: HashMap<String, Vec<Arc<Entry>>>,
    /// How often a key was purged.
    pub purges: HashMap<String, u64>,
    /// For faults only: heads apart, pieces of 206, keys not to be stored, failures kept, ends noticed late.
    pub heads: HashMap<String, Arc<Entry>>,
    pub pieces: HashMap<String, Vec<(usize, Vec<u8>)>>,
    pub barred: HashSet<String>,
    pub failures: HashSet<String>,
    /// Keys whose first fetch could be joined after its end.
    pub lingered: HashSet<String>,
}

pub struct Entry {
    /// Fields of the request it answered.
    pub asked: Fields,
    pub selecting: Vec<(String, Option<Vec<u8>>)>,
    pub status: u16,
    pub fields: Fields,
    pub body: Arc<Vec<u8>>,
    received: u64,
    pub lifetime: u64,
    pub no_cache: bool,
    pub must_revalidate: bool,
    pub stale_while_revalidate: u64,
    pub stale_if_error: u64,
}

impl Entry {
    pub fn new(request: &Request, status: u16, fields: Fields, body: Arc<Vec<u8>>, s: &Shared) -> Self {
        let received = rules::now().as_secs();
        let own = directives(&fields, s);
        let seconds = |name| rules::seconds(&own, name, s).unwrap_or(0);
        let mut lasts = lifetime(status, &fields, received, s);
        if s.broken("integrity/static-looking-private") && request.target.ends_with(".css") {
            lasts = 60;
        }
        Entry {
            asked: request.fields.clone(),
            selecting: selecting(request, &fields, s),
            status,
            body,
            received,
            lifetime: lasts,
            no_cache: own.iter().any(|(n, v)| n == "no-cache" && v.is_empty())
                && !s.broken("freshness/no-cache"),
            must_revalidate: has(&own, "must-revalidate"),
            stale_while_revalidate: seconds("stale-while-revalidate"),
            stale_if_error: seconds("stale-if-error"),
            fields,
        }
    }

    fn age(&self, with_date: bool, with_age: bool, with_resident: bool) -> u64 {
        let date = rules::date(&self.fields, "Date").unwrap_or(self.received);
        let apparent = if with_date { self.received.saturating_sub(date) } else { 0 };
        let said = self.fields.get_str("Age").and_then(|a| a.parse().ok()).unwrap_or(0);
        let resident = if with_resident { rules::now().as_secs().saturating_sub(self.received) } else { 0 };
        apparent.max(if with_age { said } else { 0 }) + resident
    }

    /// What Age says (section 4.2.3).
    pub fn shown_age(&self, s: &Shared) -> u64 {
        self.age(true, !s.broken("freshness/age-received-added"), !s.broken("freshness/age-counts"))
    }

    fn true_age(&self, s: &Shared) -> u64 {
        self.age(
            !s.broken("freshness/apparent-age"),
            !s.broken("freshness/age-received-stale"),
            !s.broken("freshness/max-age-elapses"),
        )
    }

    pub fn is_fresh(&self, s: &Shared) -> bool {
        !self.no_cache && self.lifetime > self.true_age(s)
    }

    /// Seconds past its lifetime.
    pub fn staleness(&self, s: &Shared) -> u64 {
        self.true_age(s).saturating_sub(self.lifetime)
    }
}

impl Store {
    pub fn find(&self, key: &str, request: &Request, s: &Shared) -> Option<Arc<Entry>> {
        let entries = self.entries.get(key)?;
        let newest = entries.last()?;
        let matching = |entry: &&Arc<Entry>| {
            if s.broken("vary/each-its-own") {
                return newest
                    .selecting
                    .iter()
                    .all(|(n, _)| request.fields.combined(n) == entry.asked.combined(n));
            }
            matches(request, &entry.selecting, s)
        };
        entries.iter().rev().find(matching).cloned()
    }

    pub fn insert(&mut self, key: &str, entry: Entry) {
        let entries = self.entries.entry(key.to_owned()).or_default();
        entries.retain(|old| old.selecting != entry.selecting);
        entries.push(Arc::new(entry));
    }

    /// Puts `new` where `old` is, if it still is.
    pub fn replace(&mut self, key: &str, old: &Arc<Entry>, new: Arc<Entry>) -> bool {
        let Some(entries) = self.entries.get_mut(key) else { return false };
        let Some(at) = entries.iter().position(|e| Arc::ptr_eq(e, old)) else { return false };
        entries[at] = new;
        true
    }

    pub fn invalidate(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

/// The key of a target on a host.
pub fn key(host: &str, target: &str, s: &Shared) -> String {
    let mut target = target.to_owned();
    if s.broken("integrity/query-in-key") {
        target.truncate(target.find('?').unwrap_or(target.len()));
    }
    if s.broken("integrity/path-case-in-key") {
        let path = target.find('?').unwrap_or(target.len());
        target = target[..path].to_ascii_lowercase() + &target[path..];
    }
    if s.broken("integrity/encoded-slash-in-key") {
        target = target.replace("%2F", "/");
    }
    let host = if s.broken("integrity/host-in-key") { "" } else { host };
    format!("{host}{target}")
}
