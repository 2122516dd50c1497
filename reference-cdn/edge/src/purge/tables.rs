//! The purges in force, by what they take: the answer to "did a purge come since this response was born?" takes a few
//! look-ups by the response's own names, however many responses there are.

mod groups;
mod paths;
mod realm;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use http_cache::{Key, Tags, Time};

use super::generation::{Generation, Mode, Verdict};
use super::scope::{Scope, What};
use realm::Realm;

/// A stored response, or one on its way into the store, as purges know it.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub customer: &'a str,
    pub key: &'a Key,
    /// The fields in which its tags and groups are. `None`: its head has not come, so that it may have any.
    pub fields: Option<&'a http::HeaderMap>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tables {
    anyone: Realm,
    customers: HashMap<Box<str>, Realm>,
    /// Purges up to this number are complete: what was in the store then has met them. What was born before it and was
    /// not in the store can no longer be judged.
    horizon: u64,
    /// The latest purge of anything but URLs.
    wide: u64,
    /// Grows with each purge.
    version: u64,
}

impl Tables {
    pub fn horizon(&self) -> u64 {
        self.horizon
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// Purge `number` is in force, since `at`.
    pub fn raise(&mut self, scope: &Scope, number: u64, mode: Mode, at: Time) {
        self.version += 1;
        let mark = Mark { number, mode, at, version: self.version };
        if !matches!(scope.what, What::Url { .. }) {
            self.wide = self.wide.max(number);
        }
        self.realm(scope.customer.as_deref()).raise(&scope.what, mark);
    }

    /// The groups of one origin are invalid (RFC 9875 section 3). `room`: how many names of groups there may be in all;
    /// without room more is invalidated than need be.
    pub fn invalidate_groups(&mut self, scope: (&str, &str), names: &[String], number: u64, room: usize) {
        self.version += 1;
        let mark = Mark { number, mode: Mode::Hard, at: Time::default(), version: self.version };
        let (customer, origin) = scope;
        let held = self.group_names();
        self.wide = self.wide.max(number);
        let groups = &mut self.realm(Some(customer)).groups;
        for (more, name) in names.iter().enumerate() {
            groups.raise(origin, name, mark, held + more < room);
        }
    }

    /// Names of groups.
    pub fn group_names(&self) -> usize {
        self.realms().map(|(_, realm)| realm.groups.len()).sum()
    }

    fn realms(&self) -> impl Iterator<Item = (Option<&str>, &Realm)> {
        let customers = self.customers.iter().map(|(customer, realm)| (Some(&**customer), realm));
        std::iter::once((None, &self.anyone)).chain(customers)
    }

    /// The number of the latest purge of anything but URLs; 0: there was none.
    pub fn wide(&self) -> u64 {
        self.wide
    }

    /// The URLs of purges that are not forgotten, with their customers (`None`: all).
    pub fn urls(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.realms().flat_map(|(customer, realm)| realm.urls().map(move |url| (customer, url)))
    }

    fn realm(&mut self, customer: Option<&str>) -> &mut Realm {
        match customer {
            None => &mut self.anyone,
            Some(customer) => self.customers.entry(customer.into()).or_default(),
        }
    }

    /// What the purges mean for a response born when `born` of them had come, and judged before when the tables had
    /// version `checked` (0: never).
    pub fn judge(&self, it: &Identity<'_>, born: u64, checked: u64) -> Verdict {
        let mut names = Names { it, tags: None };
        let mut verdict = self.anyone.judge(&mut names, born, checked);
        if verdict != Verdict::Gone
            && let Some(realm) = self.customers.get(it.customer)
        {
            verdict = verdict.and(realm.judge(&mut names, born, checked));
        }
        verdict
    }

    /// The same for one that is not in the store: purges that are complete and forgotten may have meant it.
    pub fn judge_arriving(&self, it: &Identity<'_>, born: u64) -> Verdict {
        if born < self.horizon { Verdict::Gone } else { self.judge(it, born, 0) }
    }

    /// Purges up to number `to` are complete; later ones came after `at`.
    pub fn forget(&mut self, to: u64, at: Time) {
        self.horizon = self.horizon.max(to);
        self.anyone.forget(to, at);
        self.customers.retain(|_, realm| {
            realm.forget(to, at);
            !realm.is_empty()
        });
    }

    /// True if no purge is outstanding.
    pub fn is_empty(&self) -> bool {
        self.anyone.is_empty() && self.customers.is_empty()
    }
}

/// A purge as the tables note it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    mode: Mode,
    at: Time,
    version: u64,
}

impl Mark {
    fn raise(self, generation: &mut Generation) {
        generation.raise(self.number, self.mode, self.at);
    }
}

/// An identity, with its tags once they are needed.
struct Names<'a> {
    it: &'a Identity<'a>,
    tags: Option<Tags<'a>>,
}

impl<'a> Names<'a> {
    /// `None`: they are not known.
    fn tags(&mut self) -> Option<&Tags<'a>> {
        let fields = self.it.fields?;
        Some(self.tags.get_or_insert_with(|| Tags::of(fields)))
    }
}
