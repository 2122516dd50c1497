//! One report model, written as text, JSON, JUnit and HTML.
//!
//! A tool fills a [`Report`] and calls [`Outputs::write`]; the verdict's [`exit_status`](Outcome::exit_status) is
//! the program's. Nothing here reads a clock or judges traffic.
//!
//! The model is flat: a report has one list of [`Check`]s, each with an id, an area, a level and a verdict. For the
//! suite a check is a conformance check; for replay and mirror it is a transaction that differed (those that agreed
//! are only counted); for the gate, whatever its phases found. [`Ledger`]s carry the totals, and must balance.

#![forbid(unsafe_code)]

mod clean;
mod completions;
mod evidence;
mod html;
mod json;
mod junit;
mod ledger;
mod model;
mod output;
mod secrets;
mod text;

pub use completions::completions;
pub use evidence::{Evidence, EvidenceKind};
pub use ledger::{Count, Ledger};
pub use model::{Check, Difference, Fault, Level, Outcome, Reason, Report, Severity, Subject, Tool, Verdict};
pub use output::{Outputs, Style, WriteError};
pub use secrets::ShowSecrets;
