//! The walk through the store, in the background: what purges took is dropped, and then the purges are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{AtOnce, Purges, Walk};
use crate::clock::Clock;

/// Responses that are judged without a rest.
const STEP: usize = 256;
/// The rest. Together a walk takes about ten seconds for a million responses, and a quarter of a core.
const REST: Duration = Duration::from_millis(1);
/// Least time between walks.
const PAUSE: Duration = Duration::from_secs(1);
/// The same when a walk could not be ended.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// How long a walk waits for fetches that began before it. Those that take longer are not stored: their purges must not
/// stay in memory for as long as an origin likes to send.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often scheduled purges are looked for when no request does so: the clock may jump.
const TICK: Duration = Duration::from_secs(1);

/// A store that can be walked through.
pub trait Walked: AtOnce + Send + Sync + 'static {
    type Name: Send;

    /// In how many parts it is.
    fn parts(&self) -> usize;

    /// Everything that is in a part now.
    fn names(&self, part: usize) -> Vec<Self::Name>;

    /// Judges what is under a name.
    fn recheck(&self, name: &Self::Name);

    /// Up to which purge everything has met them that no name tells of: what is only on a disk, where looking costs
    /// reading. There responses meet the purges when they are written, and purges are kept until all that was written
    /// before them has left, or until [`Walked::meet`].
    fn met(&self) -> u64 {
        u64::MAX
    }

    /// Shows it what of the purges it has not met. False if that failed: what it has still to meet must not be forgotten.
    /// Both hold after a crash.
    fn meet(&self, walk: &Walk) -> impl Future<Output = bool> + Send {
        let _ = walk;
        async { true }
    }
}

/// Brings scheduled purges into force when no request does, writes what the log has to hold, and walks. Never ends.
pub async fn keep(purges: Arc<Purges>, store: Arc<impl Walked>, clock: Clock) {
    let mut rested = Instant::now();
    loop {
        let _ = timeout(TICK, purges.work.notified()).await;
        purges.at(clock.now());
        write(&purges, &store).await;
        if Instant::now() < rested {
            continue;
        }
        let begun = Instant::now();
        if let Some(walk) = purges.begin_walk(clock.now(), store.met()) {
            walk_through(&purges, &*store, &clock).await;
            let met = meet(&purges, &store, &walk, &clock).await;
            if met {
                end(&purges, &store, &walk, &clock).await;
            }
            // Where purges come all the time, half of it is spent walking.
            rested = Instant::now() + begun.elapsed().max(if met { PAUSE } else { LONG_PAUSE });
        }
    }
}

async fn walk_through(purges: &Purges, store: &impl Walked, clock: &Clock) {
    let mut steps = 0;
    for part in 0..store.parts() {
        for name in store.names(part) {
            store.recheck(&name);
            steps += 1;
            if steps % STEP == 0 {
                sleep(REST).await;
                purges.at(clock.now());
            }
        }
    }
}

/// May take as long as a disk likes; what else there is to do goes on.
async fn meet(purges: &Arc<Purges>, store: &Arc<impl Walked>, walk: &Walk, clock: &Clock) -> bool {
    let mut meeting = std::pin::pin!(store.meet(walk));
    loop {
        tokio::select! {
            met = &mut meeting => return met,
            _ = timeout(TICK, purges.work.notified()) => {
                purges.at(clock.now());
                write(purges, store).await;
            }
        }
    }
}

async fn end(purges: &Arc<Purges>, store: &Arc<impl Walked>, walk: &Walk, clock: &Clock) {
    let patience = Instant::now() + PATIENCE;
    while !purges.end_walk(walk, Instant::now() >= patience) {
        let _ = timeout(TICK, purges.work.notified()).await;
        purges.at(clock.now());
        write(purges, store).await;
    }
    write(purges, store).await;
}

/// Writes the log where it may take its time.
async fn write(purges: &Arc<Purges>, store: &Arc<impl Walked>) {
    if purges.has_to_write() {
        let (purges, store) = (Arc::clone(purges), Arc::clone(store));
        // An error was counted and told, and the next tick tries again.
        let _ = tokio::task::spawn_blocking(move || purges.flush(&*store)).await;
    }
}
