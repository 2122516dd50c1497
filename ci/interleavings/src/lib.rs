//! Models of the two parts of the edge whose concurrency is written by hand: fetches that others wait for, and the disk
//! store's index with what waits for its writer.
//!
//! The store is the edge's, from its own files, with another `sync`: locks, condition variables and notifications are
//! shuttle's, and between any two of their steps shuttle chooses who goes on. A model runs some requests, purges and the
//! writer at once, thousands of times in different orders, and asserts what must hold in each. Purges are the edge's as
//! they are: their locks are held for no step of these, so each of theirs is one step here.
//!
//! ```text
//! cargo test -p interleavings                        # a minute at most, the same orders each time
//! INTERLEAVINGS=100 cargo test -p interleavings      # a hundred times as many
//! SHUTTLE_SCHEDULE=… cargo test -p interleavings NAME  # the order that a failure printed, once more
//! ```

#![allow(dead_code, unused_imports, unreachable_pub, reason = "of the store the models use a part")]
#![allow(clippy::unwrap_used, reason = "models are tests: what cannot go on fails")]

#[path = "../../../reference-cdn/edge/src/store/mod.rs"]
mod store;
mod sync;

mod clock {
    pub use edge::Clock;
}
mod purge {
    pub use edge::purge::*;
}

pub mod collapsing;
pub mod disk;
mod files;
mod world;
