//! Which stored response goes when room is needed: S3-FIFO (Yang et al., SOSP 2023).
//!
//! New responses enter a small queue. Most are asked for once: they leave from there, and a scan cannot push out what
//! is asked for often. What was read again moves to the main queue; what comes back soon after it left enters the main
//! queue at once (the ghosts remember that).

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::HashedKey;
use super::body::Body;

/// Share of the octets that the small queue may have before it has to give.
const SMALL_SHARE: u64 = 10;

/// A stored response in a queue. What left the store another way frees its memory while its entry waits here.
#[derive(Debug)]
pub struct Entry {
    pub key: HashedKey,
    pub body: Weak<Body>,
    weight: u64,
}

/// The queues of a shard.
#[derive(Debug, Default)]
pub struct Queues {
    small: VecDeque<Entry>,
    main: VecDeque<Entry>,
    small_octets: u64,
    main_octets: u64,
    ghosts: VecDeque<u64>,
    ghost_set: HashSet<u64>,
    gone: usize,
}

impl Queues {
    pub fn insert(&mut self, key: HashedKey, body: &Arc<Body>) {
        let entry = Entry { key, body: Arc::downgrade(body), weight: body.weight() };
        if self.ghost_set.contains(&entry.key.hash) {
            self.main_octets += entry.weight;
            self.main.push_back(entry);
        } else {
            self.small_octets += entry.weight;
            self.small.push_back(entry);
        }
    }

    /// A response that has an entry here left the store (purged, replaced).
    pub fn gone(&mut self) {
        self.gone += 1;
        if self.gone * 2 > self.small.len() + self.main.len() + 64 {
            self.gone = 0;
            let held = |entry: &Entry| entry.body.upgrade().is_some_and(|body| body.is_held());
            self.small.retain(held);
            self.main.retain(held);
            self.small_octets = self.small.iter().map(|entry| entry.weight).sum();
            self.main_octets = self.main.iter().map(|entry| entry.weight).sum();
        }
    }

    /// Takes the response that should go.
    pub fn evict(&mut self) -> Option<(HashedKey, Arc<Body>)> {
        loop {
            let total = self.small_octets + self.main_octets;
            let from_small = self.small_octets * SMALL_SHARE > total || self.main.is_empty();
            let entry = if from_small { self.small.pop_front()? } else { self.main.pop_front()? };
            let octets = if from_small { &mut self.small_octets } else { &mut self.main_octets };
            *octets = octets.saturating_sub(entry.weight);
            let Some(body) = entry.body.upgrade().filter(|body| body.is_held()) else {
                self.gone = self.gone.saturating_sub(1);
                continue;
            };
            let frequency = body.frequency.load(Ordering::Relaxed);
            if from_small && frequency > 1 {
                body.frequency.store(0, Ordering::Relaxed);
            } else if !from_small && frequency > 0 {
                body.frequency.store(frequency - 1, Ordering::Relaxed);
            } else {
                if from_small {
                    self.remember(entry.key.hash);
                }
                return Some((entry.key, body));
            }
            self.main_octets += entry.weight;
            self.main.push_back(entry);
        }
    }

    fn remember(&mut self, hash: u64) {
        if self.ghost_set.insert(hash) {
            self.ghosts.push_back(hash);
        }
        while self.ghosts.len() > self.main.len().max(256) {
            if let Some(oldest) = self.ghosts.pop_front() {
                self.ghost_set.remove(&oldest);
            }
        }
    }
}
