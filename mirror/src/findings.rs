//! What the judge has found so far, for the pages of the admin listener and for the report at the end.

use crate::diffs::{CachePair, Differing, Stability};
use crate::ledger::State;
use compare::CacheState;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Most kinds of differences that are told apart; further ones are only counted.
const MAX_KINDS: usize = 500;

/// Most requests of which it is counted how often they were compared.
const MAX_REQUESTS: usize = 100_000;

/// Most bytes of method and URL of those that differed.
const MAX_NAMES: usize = 4 << 20;

/// One kind of difference, over all requests that show it.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// How many answers show it.
    pub count: u64,
    /// How many of them nobody waived.
    pub standing: u64,
    /// The first request that showed it.
    pub method: String,
    pub url: String,
    /// `different`, or how the candidate broke off.
    pub outcome: State,
    /// As the first request showed it; `None` for a broken answer.
    pub difference: Option<Box<compare::Difference>>,
}

/// A request, as far as requests are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Asked {
    pub method: String,
    pub url: String,
    /// Stands for its field lines.
    pub variant: String,
}

impl Asked {
    fn hash_key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) kinds: BTreeMap<String, Kind>,
    /// Differences of kinds beyond the bound.
    pub(crate) more_kinds: u64,
    /// Answers by where primary and candidate took them from.
    pub(crate) caches: BTreeMap<(&'static str, &'static str), u64>,
    /// By hash of what was asked.
    compared: HashMap<u64, u64>,
    different: BTreeMap<Asked, u64>,
    /// Bytes of the names in `different`.
    names: usize,
    pub(crate) diffs_written: u64,
    pub(crate) diffs_lost: u64,
    pub(crate) diffs_error: Option<String>,
    pub(crate) recorded: u64,
    pub(crate) unrecorded: u64,
    pub(crate) record_error: Option<String>,
}

impl Findings {
    /// A request was judged; `differing` where its answers differ or the candidate's broke off.
    pub(crate) fn judged(&mut self, asked: Asked, caches: Option<CachePair>, differing: Option<&Differing>) {
        if let Some(pair) = caches {
            *self.caches.entry((name(pair.primary), name(pair.candidate))).or_default() += 1;
        }
        let key = asked.hash_key();
        if self.compared.len() < MAX_REQUESTS || self.compared.contains_key(&key) {
            *self.compared.entry(key).or_default() += 1;
        }
        let Some(differing) = differing else { return };
        let length = asked.method.len() + asked.url.len() + asked.variant.len();
        if let Some(times) = self.different.get_mut(&asked) {
            *times += 1;
        } else if self.names + length <= MAX_NAMES {
            self.names += length;
            self.different.insert(asked, 1);
        }
        for found in differing.differences.iter().filter(|found| found.difference.counts) {
            self.kind(&found.fingerprint, differing, Some(&found.difference));
        }
        if !matches!(differing.outcome, State::Different | State::Same) {
            self.kind(differing.outcome.reason(), differing, None);
        }
    }

    fn kind(&mut self, fingerprint: &str, first: &Differing, difference: Option<&compare::Difference>) {
        let stands = u64::from(difference.is_none_or(compare::Difference::stands));
        if let Some(kind) = self.kinds.get_mut(fingerprint) {
            kind.count += 1;
            kind.standing += stands;
        } else if self.kinds.len() < MAX_KINDS {
            let kind = Kind {
                count: 1,
                standing: stands,
                method: first.method.clone(),
                url: first.url.clone(),
                outcome: first.outcome,
                difference: difference.map(|d| Box::new(d.clone())),
            };
            self.kinds.insert(fingerprint.to_owned(), kind);
        } else {
            self.more_kinds += 1;
        }
    }

    /// How often the requests that differed were compared.
    pub(crate) fn stability(&self) -> impl Iterator<Item = Stability> {
        self.different.iter().map(|(asked, &different)| {
            let compared = self.compared.get(&asked.hash_key()).copied().unwrap_or(0).max(different);
            let Asked { method, url, variant } = asked.clone();
            Stability { method, url, variant, compared, different }
        })
    }
}

fn name(state: CacheState) -> &'static str {
    match state {
        CacheState::Hit => "hit",
        CacheState::Revalidated => "revalidated",
        CacheState::Miss => "miss",
        CacheState::Unknown => "unknown",
    }
}
