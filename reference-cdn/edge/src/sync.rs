//! What the store's concurrency is made of. `ci/interleavings` builds the store from its files with a `sync` of its own, in
//! which shuttle chooses the order of all steps.

pub use std::sync::atomic::{AtomicBool, AtomicU64};
pub use std::sync::{Condvar, Mutex, MutexGuard};
pub use tokio::sync::Notify;
pub use tokio::time::timeout;
