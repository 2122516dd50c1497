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

/// Responses of a queue passed over in one search because they are read. With so many in a row, nearly all are.
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
        // Responses of each queue that are read, one after another.
        let (mut small_read, mut main_read) = (0, 0);
        loop {
            let are_read = |queue: &VecDeque<_>, read: usize| read >= queue.len().min(MOST_SPARED);
            let (small_is_read, main_is_read) =
                (are_read(&self.small, small_read), are_read(&self.main, main_read));
            let all_are_read = small_is_read && main_is_read;
            if all_are_read && !also_read {
                return None;
            }
            let total = self.small_octets + self.main_octets;
            let from_small = if small_is_read == main_is_read {
                self.small_octets * SMALL_SHARE > total || self.main.is_empty()
            } else {
                main_is_read
            };
            let (queue, read) = if from_small {
                (&mut self.small, &mut small_read)
            } else {
                (&mut self.main, &mut main_read)
            };
            let Some(body) = queue.pop_front()?.upgrade().filter(|body| is_queued(body)) else {
                self.gone = self.gone.saturating_sub(1);
                continue;
            };
            let is_read = Arc::strong_count(&body) > UNREAD;
            let frequency = body.frequency.load(Ordering::Relaxed);
            let stays = if from_small { frequency > 1 } else { frequency > 0 };
            self.take(&body);
            if stays {
                body.frequency.store(if from_small { 0 } else { frequency - 1 }, Ordering::Relaxed);
                // What is not read may go when its turn comes again.
                main_read = if is_read { main_read } else { 0 };
                self.push(&body, true);
            } else if is_read && !all_are_read {
                *read += 1;
                self.push(&body, !from_small);
            } else {
                if from_small {
                    self.ghosts.remember(body.key().hash);
                }
                return Some(body);
            }
        }
    }
}

fn is_queued(body: &Body) -> bool {
    body.queued.load(Ordering::Relaxed) > 0
}
