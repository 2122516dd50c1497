//! Where the store meets the purges.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;
use http_cache::Stored;

use super::disk::{Met, Record, Shared};
use super::{Flight, HashedKey, Landing, Object, Store, Variants};
use crate::purge::{Identity, Rest, Verdict, Walk};

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

    /// Up to which purge everything on disk has met them; [`u64::MAX`] without one.
    pub fn met_on_disk(&self) -> u64 {
        self.disk.as_ref().map_or(u64::MAX, |disk| disk.shared.met_by_all())
    }

    /// Shows the disk what of the purges it has not met; `urls`: those of a [`Rest::Urls`]. False if that, or writing it
    /// down, failed.
    pub async fn meet_on_disk(self: &Arc<Self>, walk: &Walk, urls: Vec<HashedKey>) -> bool {
        let Some(disk) = self.disk.as_ref().map(|disk| Arc::clone(&disk.shared)) else { return true };
        if *walk.rest() == Rest::Nothing {
            return true;
        }
        // What is written behind this has met them all.
        let Some(sequence) = disk.queue.mark(None).wait().await else { return false };
        if *walk.rest() == Rest::All {
            let segments: Vec<u32> = disk.segments().keys().copied().collect();
            for segment in segments {
                let index = Arc::clone(&disk);
                let heads = tokio::task::spawn_blocking(move || index.heads_in(segment)).await;
                let Ok(heads) = heads else { return false };
                if !self.meet_written(&disk, &heads).await {
                    return false;
                }
            }
        } else {
            let written =
                urls.iter().flat_map(|key| disk.find(key.hash).into_iter().map(|it| (key.hash, it.id())));
            if !self.meet_written(&disk, &written.collect::<Vec<_>>()).await {
                return false;
            }
        }
        disk.queue.mark(Some(Met { number: walk.to(), sequence })).wait().await.is_some()
    }

    /// Reads the heads of responses on disk (hash and id) and lets purges have what they took. False if it was broken off.
    async fn meet_written(&self, disk: &Arc<Shared>, written: &[(u64, u64)]) -> bool {
        for some in written.chunks(AT_ONCE) {
            let (shared, some) = (Arc::clone(disk), some.to_vec());
            let reading = move || some.iter().for_each(|(hash, id)| meet_one(&shared, *hash, *id));
            // New heads have room in the queue when those before are written.
            let read = tokio::task::spawn_blocking(reading).await.is_ok();
            if !read || disk.queue.mark(None).wait().await.is_none() {
                return false;
            }
            tokio::time::sleep(REST).await;
        }
        true
    }
}

/// Heads that are read from disk without a rest, so that requests get at the disk too.
const AT_ONCE: usize = 256;
const REST: Duration = Duration::from_millis(1);

/// Judges what is on disk under a hash, with an id.
fn meet_one(disk: &Shared, hash: u64, id: u64) {
    let read = || {
        let place = disk.locate(hash, id)?.head;
        Some((place, disk.segment(place.segment)?))
    };
    // Making room may move it between these two steps.
    let Some((place, segment)) = read().or_else(read) else { return };
    let judged = Record::read(disk, &segment.file, place, 0).and_then(|record| {
        let (customer, key, stored) = record.response()?;
        let key = HashedKey { hash: record.header.hash, customer: customer.into(), key };
        Ok((disk.judge(&key.customer, &key.key, &stored, disk.born(&record.header)), key))
    });
    match judged {
        Ok((None, key)) => disk.remove_read(key.hash, id, place),
        Ok((Some((Some(expired), born)), key)) => disk.expire(&key, id, &Arc::new(expired), born, place),
        Ok((Some((None, _)), _)) => {}
        Err(error) => {
            error.note(disk, place);
            // Nobody waits for it.
            let _ = disk.remove(hash, |found| found == id);
        }
    }
}
