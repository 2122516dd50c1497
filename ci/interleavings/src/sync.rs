//! What the store's concurrency is made of here: see the edge's `sync.rs`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::sync::atomic::Ordering;

pub use shuttle::sync::atomic::{AtomicBool, AtomicU64};
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};

/// Somebody else may go on here.
#[derive(Debug, Default)]
pub struct Step(AtomicU64);

impl Step {
    pub fn step(&self) {
        self.0.load(Ordering::SeqCst);
    }
}

/// Tokio's, whose operations are one step each.
#[derive(Debug, Default)]
pub struct Notify {
    notify: tokio::sync::Notify,
    step: Step,
}

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.step.step();
        self.notify.notified()
    }

    pub fn notify_waiters(&self) {
        self.step.step();
        self.notify.notify_waiters();
        self.step.step();
    }

    pub fn notify_one(&self) {
        self.step.step();
        self.notify.notify_one();
        self.step.step();
    }
}

/// The time that was allowed has passed.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed;

/// Time passes when the scheduler says so: of those who wait for long, some go on without.
///
/// # Errors
/// When time was shorter.
pub async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let impatient = shuttle::rand::thread_rng().gen_ratio(1, 8);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending if impatient => Poll::Ready(Err(Elapsed)),
        Poll::Pending => Poll::Pending,
    })
    .await
}
