//! Drives recorded traffic through a reference and a candidate and compares what they answer.
//!
//! [`extract`] takes captures apart into transactions; [`inspect`] tells what was in them; [`world`] answers as the
//! recorded servers did, and [`origin`] puts that on a listener; [`http`] replays the transactions and judges.

#![forbid(unsafe_code)]

pub mod cli;
mod counted;
pub mod extract;
pub mod http;
pub mod inspect;
pub mod origin;
mod run;
pub mod world;

pub use run::run;
