//! The purges of one customer's content, or of everybody's.

use std::collections::HashMap;

use http_cache::Time;

use super::super::generation::{Generation, Verdict};
use super::super::scope::{LONGEST_HOST, What};
use super::groups::Groups;
use super::paths::{Patterns, Prefixes, host};
use super::{Mark, Names};

#[derive(Debug, Default)]
pub(super) struct Realm {
    everything: Generation,
    urls: HashMap<Box<str>, Generation>,
    hosts: HashMap<Box<str>, Generation>,
    /// Of `*.example.com`, under `example.com`.
    below: HashMap<Box<str>, Generation>,
    /// By authority; what is for every host, under the empty name, which no authority of a purge has.
    prefixes: HashMap<Box<str>, Prefixes>,
    patterns: HashMap<Box<str>, Patterns>,
    tags: HashMap<Box<[u8]>, Generation>,
    /// The latest of `tags`: for responses of which not all tags are known.
    any_tag: Generation,
    pub(super) groups: Groups,
}

impl Realm {
    pub(super) fn raise(&mut self, what: &What, mark: Mark) {
        match what {
            What::Everything => mark.raise(&mut self.everything),
            What::Url { keys, .. } => {
                for key in keys {
                    mark.raise(self.urls.entry(key.as_str().into()).or_default());
                }
            }
            What::Tags(names) => {
                mark.raise(&mut self.any_tag);
                for name in names {
                    mark.raise(self.tags.entry(name.as_bytes().into()).or_default());
                }
            }
            What::Groups { origin, names } => {
                for name in names {
                    self.groups.raise(origin, name, mark, true);
                }
            }
            What::Prefix { authority, path } => {
                self.prefixes.entry(name(authority)).or_default().raise(path, mark);
            }
            What::Pattern { authority, pattern } => {
                self.patterns.entry(name(authority)).or_default().raise(pattern, mark);
            }
            What::Host(host) => match host.strip_prefix("*.") {
                Some(parent) => mark.raise(self.below.entry(parent.into()).or_default()),
                None => mark.raise(self.hosts.entry(host.as_str().into()).or_default()),
            },
        }
    }

    pub(super) fn judge(&self, names: &mut Names<'_>, born: u64, checked: u64) -> Verdict {
        let key = names.it.key;
        let authority = key.authority();
        let look_up = |found: Option<&Generation>| found.map_or(Verdict::Alive, |it| it.judge(born));
        let mut verdict = self.everything.judge(born).and(look_up(self.urls.get(key.target())));
        if !self.hosts.is_empty() {
            verdict = verdict.and(look_up(self.hosts.get(host(authority))));
        }
        if !self.below.is_empty() {
            let mut name = host(authority);
            while let Some((_, parent)) = name.split_once('.') {
                // Clients choose hosts: no time for names that no purge can have.
                if parent.len() <= LONGEST_HOST {
                    verdict = verdict.and(look_up(self.below.get(parent)));
                }
                name = parent;
            }
        }
        if verdict == Verdict::Gone {
            return verdict;
        }
        let path_and_query = key.path_and_query();
        for authority in [authority, ""] {
            if let Some(prefixes) = self.prefixes.get(authority) {
                verdict = verdict.and(prefixes.judge(path_and_query, born));
            }
            if let Some(patterns) = self.patterns.get(authority) {
                verdict = verdict.and(patterns.judge(path_and_query, born, checked));
            }
        }
        let any_tag = self.any_tag.judge(born);
        if any_tag != Verdict::Alive {
            verdict = verdict.and(match names.tags() {
                None => any_tag,
                Some(tags) if tags.more_names => any_tag,
                Some(tags) => {
                    let found = tags.names.iter().map(|name| look_up(self.tags.get(*name)));
                    found.fold(Verdict::Alive, Verdict::and)
                }
            });
        }
        verdict.and(self.groups.judge(names, born))
    }

    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        self.urls.keys().map(|url| &**url)
    }

    pub(super) fn forget(&mut self, to: u64, at: Time) {
        self.everything.forget(to, at);
        self.any_tag.forget(to, at);
        for table in [&mut self.urls, &mut self.hosts, &mut self.below] {
            table.retain(|_, generation| generation.forget(to, at));
            shrink(table);
        }
        self.tags.retain(|_, generation| generation.forget(to, at));
        shrink(&mut self.tags);
        self.prefixes.retain(|_, prefixes| prefixes.forget(to, at));
        self.patterns.retain(|_, patterns| patterns.forget(to, at));
        self.groups.forget(to, at);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.everything == Generation::default()
            && self.any_tag == Generation::default()
            && self.urls.is_empty()
            && self.hosts.is_empty()
            && self.below.is_empty()
            && self.prefixes.is_empty()
            && self.patterns.is_empty()
            && self.tags.is_empty()
            && self.groups.is_empty()
    }
}

/// Gives back memory after many purges were outstanding at once.
pub(super) fn shrink<K: std::hash::Hash + Eq, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > 64 && table.len() * 4 < table.capacity() {
        table.shrink_to(table.len() * 2);
    }
}

fn name(authority: &Option<String>) -> Box<str> {
    authority.as_deref().unwrap_or_default().into()
}
