//! Judges any HTTP cache: header handling, freshness, validation, integrity, purge, framing and more.
//!
//! The suite plays the origin and the clients around a candidate it knows only by its URL. Each [`Check`] states one
//! requirement with its citation, drives both ends at once on pages of its own, waits for events, and keeps all it
//! saw. A failure of ours never counts against the candidate: the check is then not judged, with the reason.
//!
//! [`run::run`] works on an origin that is bound already and may serve others too; [`cli::main`] is the program.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod bench;
pub mod check;
pub mod checks;
pub mod cli;
mod describe;
pub mod glob;
pub mod peer;
pub mod preflight;
mod prelude;
pub mod profile;
pub mod report;
pub mod run;

pub use check::{Area, Check, Level, Stop};
pub use profile::Profile;
pub use run::{CannotJudge, Judged, Options, Run, Verdict, run};
