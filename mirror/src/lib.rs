//! Tees live HTTP traffic to a candidate without touching the service, and compares the answers.
//!
//! [`Mirror::start`] binds and goes to work on threads of its own; [`Mirror::stop`] ends it and gives the
//! [`Summary`] with its ledger. [`run`] is the program around it. [`diffs::read`] reads the file of differences.
//!
//! The way of the bytes, in order of what must not wait: `relay` (threads of their own; client and primary, nothing
//! else) → `tap` (follows message boundaries, copies, never waits) → `observer` (lower priority; sessions) →
//! `candidate` (its connections) → `judge` (a thread; compares and writes).

#![forbid(unsafe_code)]

mod addresses;
mod admin;
mod advice;
mod budget;
mod candidate;
mod cli;
mod clock;
mod config;
pub mod diffs;
mod files;
mod findings;
mod framing;
mod judge;
mod ledger;
mod limits;
mod listener;
mod live;
mod mirror;
mod observer;
mod outbox;
mod pipe;
mod reading;
mod relay;
mod run;
mod sample;
mod slab;
mod status;
mod stop;
mod summary;
mod tap;

pub use config::{Config, MIN_MEMORY, StartError, TagHeader, Target};
pub use findings::Kind;
pub use ledger::{Group, State, Totals};
pub use live::{Files, Memory, Numbers};
pub use mirror::{Hurry, Mirror};
pub use run::run;
pub use sample::{SampleBy, Share};
pub use status::ConnectionTotals;
pub use summary::Summary;

/// Tells a person.
fn say(message: &str) {
    anstream::eprintln!("mirror: {message}");
}
