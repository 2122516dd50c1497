//! The disk store: its index, what waits for the writer, and removals.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

use crate::files::Folder;
use crate::world::{World, explore};

/// What a kill would have left, and what had been confirmed by then.
type Left = Arc<Mutex<Vec<(Arc<Folder>, u64)>>>;

fn act(world: &Arc<World>, act: impl FnOnce(&Arc<World>) + Send + 'static) -> JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

/// What was written, and what was moved or evicted.
fn run(full: bool) -> (u64, u64) {
    let (world, mut writer) = World::on_disk();
    if full && thread_rng().gen_bool(0.5) {
        // In the segment that will go, and worth copying on.
        block_on(world.request(false));
        writer.work();
        world.evict();
        block_on(world.request(false));
        world.fill(&mut writer, 13);
    } else if full {
        world.fill(&mut writer, 14);
    }
    let left: Left = Arc::default();
    let writing = thread::spawn(move || writer.run());
    let mut threads = Vec::new();
    // They ask again and again, so that some are reading from disk whenever something is removed.
    for _ in 0..2 {
        threads.push(act(&world, |world| {
            for _ in 0..3 {
                block_on(world.request(false));
                if thread_rng().gen_bool(0.7) {
                    world.evict();
                }
            }
        }));
    }
    let (how, times, kills) = (thread_rng().gen_range(0..5), thread_rng().gen_range(1..3), Arc::clone(&left));
    threads.push(act(&world, move |world| {
        for _ in 0..times {
            let version = world.change();
            match how {
                0 => world.order(r#"{"tag": "t"}"#),
                1 => world.order(r#"{"url": "http://h/"}"#),
                _ => {
                    let purged = world.invalidate();
                    assert!(block_on(purged.removal.written()), "nothing fails here");
                }
            }
            world.confirmed(version);
            let floor = world.floor();
            kills.lock().unwrap().push((world.folder.as_left(), floor));
        }
    }));
    match thread_rng().gen_range(0..3) {
        0 => {}
        1 => threads.push(act(&world, |world| block_on(world.revalidate()))),
        // The origin has something new, and another request brings it before somebody purges.
        _ => threads.push(act(&world, |world| {
            world.change();
            block_on(world.revalidate());
            let version = world.change();
            let purged = world.invalidate();
            assert!(block_on(purged.removal.written()), "nothing fails here");
            world.confirmed(version);
        })),
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let floor = world.floor();
    left.lock().unwrap().push((world.folder.as_left(), floor));
    world.store.close();
    writing.join().unwrap();
    left.lock().unwrap().push((world.folder.as_left(), floor));
    // Here too, from memory and without it.
    assert!(block_on(world.request(false)) >= Some(floor));
    world.evict();
    assert!(block_on(world.request(false)) >= Some(floor));
    let left = std::mem::take(&mut *left.lock().unwrap());
    for (folder, floor) in left {
        block_on(world.check_as_left(&folder, floor));
    }
    // The accounts are right: nothing is in memory any more, and nothing counts.
    world.invalidate().removal.is_written();
    let accounts = world.store.accounts();
    assert_eq!((accounts.held(), accounts.resident()), (0, 0));
    world.moved()
}

/// What was removed does not come back from disk, not in this process, nor in one that finds what a kill left.
pub fn removals_hold() {
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    explore(1500, move || {
        count.fetch_add(run(false).0, Ordering::Relaxed);
    });
    assert!(written.load(Ordering::Relaxed) > 1000, "the disk was not used");
}

/// The same while segments are reclaimed for what is written.
pub fn removals_hold_while_room_is_made() {
    let moved = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&moved);
    explore(1600, move || {
        count.fetch_add(run(true).1, Ordering::Relaxed);
    });
    assert!(moved.load(Ordering::Relaxed) > 500, "no room was made");
}

/// Whoever waits for a removal is told, also when the store closes meanwhile.
pub fn whoever_waits_for_a_removal_is_told() {
    explore(2000, || {
        let (world, writer) = World::on_disk();
        let writing = thread::spawn(move || writer.run());
        block_on(world.request(false));
        let waiting = act(&world, |world| {
            let version = world.change();
            let purged = world.invalidate();
            if block_on(purged.removal.written()) {
                world.confirmed(version);
            }
        });
        let closing = act(&world, |world| world.store.close());
        let asking = act(&world, |world| {
            block_on(world.request(false));
        });
        for thread in [waiting, closing, asking] {
            thread.join().unwrap();
        }
        writing.join().unwrap();
        let floor = world.floor();
        block_on(world.check_as_left(&world.folder.as_left(), floor));
    });
}
