//! Fetches that others wait for, in memory alone.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::Ordering;
use shuttle::thread::{self, JoinHandle};

use crate::world::{World, explore};

fn request(world: &Arc<World>, fails: bool) -> JoinHandle<Option<u64>> {
    let world = Arc::clone(world);
    thread::spawn(move || block_on(world.request(fails)))
}

/// Nobody asks the origin while another does for all; and whoever waits is told, however the fetch ends.
pub fn one_fetch_for_all() {
    explore(2000, || {
        let world = World::in_memory();
        let fails: u64 = thread_rng().gen_range(0..2);
        let requests: Vec<_> = (0..4).map(|n| request(&world, n < fails)).collect();
        let answers: Vec<_> = requests.into_iter().map(|one| one.join().unwrap()).collect();
        let unanswered = answers.iter().filter(|answer| answer.is_none()).count() as u64;
        assert!(unanswered <= fails);
        assert_eq!(world.asked.load(Ordering::SeqCst), 1 + unanswered, "{answers:?}");
        assert_eq!(world.store.fetches(), 0);
        // And all of it went: neither flights nor waiters are left.
        assert!(world.store.flights(&world.key).is_empty());
    });
}

/// What was purged, and was confirmed, is no answer any more: not from the store, not from a fetch that had begun before,
/// not with a new head.
pub fn purges_hold() {
    explore(3000, || {
        let world = World::in_memory();
        let mut threads = vec![request(&world, false)];
        for _ in 0..2 {
            let (world, fails) = (Arc::clone(&world), thread_rng().gen_ratio(1, 6));
            threads.push(thread::spawn(move || {
                block_on(async {
                    world.request(fails).await;
                    world.request(false).await
                })
            }));
        }
        let how = thread_rng().gen_range(0..5);
        let purger = Arc::clone(&world);
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                let version = purger.change();
                match how {
                    0 => {
                        let _ = purger.invalidate();
                    }
                    1 => purger.order(r#"{"url": "http://h/"}"#),
                    2 => purger.order(r#"{"tag": "t"}"#),
                    3 => purger.order(r#"{"pattern": "*"}"#),
                    _ => purger.order(r#"{"all": true}"#),
                }
                purger.confirmed(version);
            }
            None
        }));
        let other = Arc::clone(&world);
        threads.push(thread::spawn(move || {
            block_on(other.revalidate());
            None
        }));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(block_on(world.request(false)), Some(3));
        assert_eq!(world.store.fetches(), 0);
    });
}
