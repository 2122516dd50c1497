//! Shows the whole loop at work: a recorded world, two builds, a mirror, the gate's verdict.
//!
//! `ci/quickstart` builds the programs and runs this one; see [`cli::Cli`].

#![forbid(unsafe_code)]

pub mod cli;
pub mod program;
pub mod rehearse;
mod run;
pub mod stage;

pub use run::run;
