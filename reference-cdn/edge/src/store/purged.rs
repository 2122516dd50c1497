//! Where the store meets the purges.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use http_cache::Stored;

use super::{Flight, HashedKey, Landing, Object, Store, Variants};
use crate::purge::{Identity, Verdict};

/// A head under a verdict. What is gone is for the caller to leave out.
pub(super) fn under(verdict: Verdict, stored: &Arc<Stored>) -> Arc<Stored> {
    match verdict {
        Verdict::Soft { since } => stored.expired_at(since).map_or_else(|| Arc::clone(stored), Arc::new),
        Verdict::Alive | Verdict::Gone => Arc::clone(stored),
    }
}

fn identity<'a>(key: &'a HashedKey, fields: Option<&'a HeaderMap>) -> Identity<'a> {
    Identity { customer: &key.customer, key: &key.key, fields }
}

impl Store {
    /// What the purges mean for a response that is about to be put in.
    pub(super) fn arriving(&self, key: &HashedKey, stored: &Stored, born: u64) -> (Verdict, u64) {
        self.purges.judge_arriving(&identity(key, Some(&stored.headers())), born)
    }

    /// True if what a fetch brings answers those who ask now: no purge came since it began that takes it, or may.
    pub(super) fn is_current(&self, key: &HashedKey, flight: &Flight) -> bool {
        if flight.checked.load(Ordering::Relaxed) == self.purges.version() {
            return true;
        }
        let landing = flight.landing();
        let stored = match &landing {
            Some(Landing::Share(object) | Landing::Stale(object)) => Some(&*object.stored),
            _ => None,
        };
        let fields = stored.map(Stored::headers);
        let (verdict, version) = self.purges.judge_arriving(&identity(key, fields.as_ref()), flight.born());
        if verdict == Verdict::Alive {
            flight.checked.store(version, Ordering::Relaxed);
        }
        verdict == Verdict::Alive
    }

    /// Lets purges have what they took of `variants`, which were found under the key and had been judged at version
    /// `checked`. Says how many responses are gone, or became stale. If others change them meanwhile, nothing happens.
    pub(super) fn judge(&self, key: &HashedKey, variants: &Arc<Variants>, checked: u64) -> u64 {
        // Not under the lock: a purge may have many patterns to try.
        let mut oldest = u64::MAX;
        let verdicts: Vec<Verdict> = variants
            .objects()
            .map(|object| {
                let fields = object.stored.headers();
                let it = identity(key, Some(&fields));
                let (verdict, version) = self.purges.judge(&it, object.body.born(), checked);
                oldest = oldest.min(version);
                verdict
            })
            .collect();
        let mut shard = self.shard(key);
        let shard = &mut *shard;
        let Some(resource) = shard.resources.get_mut(key) else { return 0 };
        if !resource.variants.as_ref().is_some_and(|now| Arc::ptr_eq(now, variants)) {
            return 0;
        }
        resource.checked = oldest;
        if verdicts.iter().all(|verdict| *verdict == Verdict::Alive) {
            return 0;
        }
        let (mut changed, mut gone) = (0, 0);
        let (mut kept, mut out) = (Vec::new(), Vec::new());
        for (object, verdict) in variants.objects().zip(verdicts) {
            if verdict == Verdict::Gone {
                out.push(object);
                continue;
            }
            let stored = under(verdict, &object.stored);
            changed += u64::from(!Arc::ptr_eq(&stored, &object.stored));
            kept.push(Object { stored, ..object });
        }
        resource.set(kept);
        if resource.is_empty() {
            shard.resources.remove(key);
        }
        for object in out {
            gone += u64::from(self.left(&mut shard.queues, &object.body));
            if let Some(disk) = &self.disk {
                // The log of purges vouches for it.
                let _ = disk.shared.remove(key.hash, |id| id == object.body.id());
            }
        }
        self.accounts.counters.purged.fetch_add(gone, Ordering::Relaxed);
        gone + changed
    }

    /// How many responses under a key the purges took that it has not met yet.
    pub fn meet(&self, key: &HashedKey) -> u64 {
        let (variants, checked) = {
            let shard = self.shard(key);
            let Some(resource) = shard.resources.get(key) else { return 0 };
            (resource.variants(), resource.checked)
        };
        self.judge(key, &variants, checked)
    }

    /// In how many parts the store is.
    pub fn parts(&self) -> usize {
        self.shards.len()
    }

    /// What is in a part. Under its lock for as long as it takes to copy it, a few milliseconds for ten thousand.
    pub fn keys(&self, part: usize) -> Vec<HashedKey> {
        self.shard_at(part).resources.keys().cloned().collect()
    }
}
