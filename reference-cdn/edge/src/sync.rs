//! What the store's concurrency is made of. `tests/loom.rs` builds the store from its files with a `sync` of its own, in
//! which loom chooses the order of all steps.

pub use std::sync::atomic::AtomicBool;
pub use std::sync::{Condvar, Mutex, MutexGuard};
pub use tokio::sync::Notify;
