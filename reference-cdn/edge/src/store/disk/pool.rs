//! Threads that wait for the disk, so that those that serve do not.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crate::sync::{Condvar, Mutex};

/// Work that waits. Beyond that the disk does not keep up, and the origin is the faster one.
const MOST_WAITING: usize = 1024;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

/// Some threads; none does all work at once, on the thread that brings it.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    inline: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("inline", &self.inline).finish_non_exhaustive()
    }
}

impl Pool {
    /// # Errors
    /// When the system gives no thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("disk-read-{number}"));
            handles.push(thread.spawn(move || shared.serve())?);
        }
        Ok(Self { shared, threads: Mutex::new(handles), inline: threads == 0 })
    }

    /// False when too much waits, or the threads have ended.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> bool {
        if self.inline {
            work();
            return true;
        }
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed || state.waiting.len() >= MOST_WAITING {
            return false;
        }
        state.waiting.push_back(Box::new(work));
        drop(state);
        self.shared.bell.notify_one();
        true
    }

    /// Does what waits, and ends the threads.
    pub fn close(&self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.bell.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread of the pool may be the one that drops the last of the store.
            if thread.thread().id() != std::thread::current().id() {
                // One that panicked has said so.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // One that panics ends its own work only; what it had begun is told by its guards.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            } else if state.closed {
                return;
            } else {
                state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}
