//! Purged paths: prefixes by segment, and patterns.

use std::collections::{BTreeMap, HashMap};

use http_cache::Time;

use super::super::generation::{Generation, Verdict};
use super::super::pattern::{Pairs, Pattern};
use super::Mark;
use super::realm::shrink;

/// The host of an authority: without its port.
pub(super) fn host(authority: &str) -> &str {
    let after = authority.rfind(']').unwrap_or(0);
    authority[after..].find(':').map_or(authority, |at| &authority[..after + at])
}

/// The prefixes purged on one authority. A path is looked up by its own prefixes, those of lengths that occur.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    paths: HashMap<Box<str>, Generation>,
    /// How many of them have each length.
    lengths: BTreeMap<usize, usize>,
}

impl Prefixes {
    pub(super) fn raise(&mut self, path: &str, mark: Mark) {
        let generation = self.paths.entry(path.into()).or_insert_with(|| {
            *self.lengths.entry(path.len()).or_default() += 1;
            Generation::default()
        });
        mark.raise(generation);
    }

    pub(super) fn judge(&self, path_and_query: &str, born: u64) -> Verdict {
        let path = path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path);
        let octets = path.as_bytes();
        let mut verdict = Verdict::Alive;
        for &length in self.lengths.range(1..=octets.len()).map(|(length, _)| length) {
            // It ends with a segment, or with the slash behind one.
            let ends = octets[length - 1] == b'/' || octets.get(length).is_none_or(|next| *next == b'/');
            if ends
                && let Some(prefix) = path.get(..length)
                && let Some(generation) = self.paths.get(prefix)
            {
                verdict = verdict.and(generation.judge(born));
            }
        }
        verdict
    }

    /// False when nothing is left.
    pub(super) fn forget(&mut self, to: u64, at: Time) -> bool {
        self.paths.retain(|_, generation| generation.forget(to, at));
        shrink(&mut self.paths);
        self.lengths.clear();
        for path in self.paths.keys() {
            *self.lengths.entry(path.len()).or_default() += 1;
        }
        !self.paths.is_empty()
    }
}

/// The patterns purged on one authority. Each has to be tried, so they are kept in the order in which they came: a
/// response that was judged before is tried with later ones only.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    list: Vec<Entry>,
    /// The version of each, by which it is found in the list.
    versions: HashMap<Box<str>, u64>,
}

#[derive(Debug)]
struct Entry {
    version: u64,
    generation: Generation,
    pattern: Pattern,
    text: Box<str>,
}

impl Patterns {
    pub(super) fn raise(&mut self, text: &str, mark: Mark) {
        let before = self.versions.insert(text.into(), mark.version);
        let at =
            before.and_then(|before| self.list.binary_search_by_key(&before, |entry| entry.version).ok());
        let mut entry = match at {
            Some(at) => self.list.remove(at),
            None => Entry {
                version: 0,
                generation: Generation::default(),
                pattern: Pattern::new(text),
                text: text.into(),
            },
        };
        entry.version = mark.version;
        mark.raise(&mut entry.generation);
        self.list.push(entry);
    }

    pub(super) fn judge(&self, path_and_query: &str, born: u64, checked: u64) -> Verdict {
        if self.list.last().is_none_or(|latest| latest.version <= checked) {
            return Verdict::Alive;
        }
        let text = path_and_query.as_bytes();
        let pairs = Pairs::of(text);
        let mut verdict = Verdict::Alive;
        for entry in self.list.iter().rev().take_while(|entry| entry.version > checked) {
            let found = entry.generation.judge(born);
            if found != Verdict::Alive && entry.pattern.matches(text, &pairs) {
                verdict = verdict.and(found);
                if verdict == Verdict::Gone {
                    break;
                }
            }
        }
        verdict
    }

    /// False when nothing is left.
    pub(super) fn forget(&mut self, to: u64, at: Time) -> bool {
        let versions = &mut self.versions;
        self.list.retain_mut(|entry| {
            let stays = entry.generation.forget(to, at);
            if !stays {
                versions.remove(&entry.text);
            }
            stays
        });
        shrink(versions);
        if self.list.len() * 4 < self.list.capacity() {
            self.list.shrink_to(self.list.len() * 2);
        }
        !self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::generation::Mode;
    use super::*;

    #[test]
    fn nothing_stays_of_what_is_forgotten() {
        let mark = |number| Mark { number, mode: Mode::Hard, at: Time::default(), version: number };
        let (mut prefixes, mut patterns) = (Prefixes::default(), Patterns::default());
        for (number, path) in [(1, "/a"), (2, "/b"), (3, "/a")] {
            prefixes.raise(path, mark(number));
            patterns.raise(path, mark(number));
        }
        assert!(prefixes.forget(2, Time::default()) && patterns.forget(2, Time::default()));
        assert_eq!((prefixes.paths.len(), prefixes.lengths.len()), (1, 1));
        assert_eq!((patterns.list.len(), patterns.versions.len()), (1, 1));
        assert!(!prefixes.forget(3, Time::default()) && !patterns.forget(3, Time::default()));
        assert!(prefixes.lengths.is_empty() && patterns.versions.is_empty());
    }

    #[test]
    fn a_host_is_an_authority_without_its_port() {
        for (authority, expected) in [
            ("a", "a"),
            ("a:80", "a"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("", ""),
            ("a.b:1", "a.b"),
        ] {
            assert_eq!(host(authority), expected);
        }
    }
}
