//! Which stored response goes when room is needed: S3-FIFO (Yang et al., SOSP 2023).
//!
//! New responses enter a small queue. Most are asked for once: they leave from there, and a scan cannot push out what
//! is asked for often. What was read again moves to the main queue; what comes back soon after it left enters the main
//! queue at once (the ghosts remember that).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::body::Body;
use super::ghosts::Ghosts;

/// Share of the octets that the small queue may have before it has to give.
const SMALL_SHARE: u64 = 10;

/// Who has a body that nobody reads: the store, and whoever evicts it.
const UNREAD: usize = 2;

/// Responses passed over in one search because they are read. With so many in a row, nearly all are.
const MOST_SPARED: usize = 16;

/// The queues of a shard. What left the store another way frees its memory while its entry waits here.
#[derive(Debug)]
pub struct Queues {
    small: VecDeque<Weak<Body>>,
    main: VecDeque<Weak<Body>>,
    small_octets: u64,
    main_octets: u64,
    ghosts: Ghosts,
    gone: usize,
}

impl Queues {
    /// With room for the memory of so many ghosts.
    pub fn new(ghosts: u64) -> Self {
        Self {
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_octets: 0,
            main_octets: 0,
            ghosts: Ghosts::new(ghosts),
            gone: 0,
        }
    }

    pub fn insert(&mut self, body: &Arc<Body>) {
        let main = self.ghosts.recall(body.key().hash);
        self.push(body, main);
    }

    fn push(&mut self, body: &Arc<Body>, main: bool) {
        let weight = body.weight();
        body.queued.store(weight, Ordering::Relaxed);
        body.in_main.store(main, Ordering::Relaxed);
        let (queue, octets) = if main {
            (&mut self.main, &mut self.main_octets)
        } else {
            (&mut self.small, &mut self.small_octets)
        };
        *octets += weight;
        queue.push_back(Arc::downgrade(body));
    }

    /// Takes what a body counts for out of the octets of its queue. False if it was in none.
    fn take(&mut self, body: &Body) -> bool {
        let weight = body.queued.swap(0, Ordering::Relaxed);
        let octets =
            if body.in_main.load(Ordering::Relaxed) { &mut self.main_octets } else { &mut self.small_octets };
        *octets = octets.saturating_sub(weight);
        weight > 0
    }

    /// A response in a queue weighs something else now.
    pub fn weigh(&mut self, body: &Body) {
        if self.take(body) {
            let weight = body.weight();
            body.queued.store(weight, Ordering::Relaxed);
            let main = body.in_main.load(Ordering::Relaxed);
            *if main { &mut self.main_octets } else { &mut self.small_octets } += weight;
        }
    }

    /// A response left the store another way (purged, replaced).
    pub fn gone(&mut self, body: &Body) {
        self.take(body);
        self.gone += 1;
        if self.gone * 2 > self.small.len() + self.main.len() + 64 {
            self.gone = 0;
            for queue in [&mut self.small, &mut self.main] {
                queue.retain(|entry| entry.upgrade().is_some_and(|body| is_queued(&body)));
                queue.shrink_to(queue.len() * 2);
            }
        }
    }

    /// Takes the response that should go. One that somebody reads stays, if there is another: to evict it frees nothing as
    /// long as that goes on, and where it is it can answer others. `also_read`: one that is read may go if there is no
    /// other.
    pub fn evict(&mut self, also_read: bool) -> Option<Arc<Body>> {
        let mut spared = 0;
        loop {
            let total = self.small_octets + self.main_octets;
            let from_small = self.small_octets * SMALL_SHARE > total || self.main.is_empty();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let Some(body) = queue.pop_front()?.upgrade().filter(|body| is_queued(body)) else {
                self.gone = self.gone.saturating_sub(1);
                continue;
            };
            self.take(&body);
            let frequency = body.frequency.load(Ordering::Relaxed);
            if from_small && frequency > 1 {
                body.frequency.store(0, Ordering::Relaxed);
            } else if !from_small && frequency > 0 {
                body.frequency.store(frequency - 1, Ordering::Relaxed);
            } else if Arc::strong_count(&body) > UNREAD && spared < MOST_SPARED {
                spared += 1;
                self.push(&body, !from_small);
                continue;
            } else if Arc::strong_count(&body) > UNREAD && !also_read {
                self.push(&body, !from_small);
                return None;
            } else {
                if from_small {
                    self.ghosts.remember(body.key().hash);
                }
                return Some(body);
            }
            self.push(&body, true);
        }
    }
}

fn is_queued(body: &Body) -> bool {
    body.queued.load(Ordering::Relaxed) > 0
}
