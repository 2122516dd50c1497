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

    /// Waits until what was removed stays removed after a crash.
    fn settle(&self) -> impl Future<Output = ()> + Send {
        async {}
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
        if let Some(walk) = purges.begin_walk(clock.now()) {
            walk_through(&purges, &*store, &clock).await;
            end(&purges, &store, walk, &clock).await;
            // Where purges come all the time, half of it is spent walking.
            rested = Instant::now() + begun.elapsed().max(PAUSE);
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
    store.settle().await;
}

async fn end(purges: &Arc<Purges>, store: &Arc<impl Walked>, walk: Walk, clock: &Clock) {
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
