//! Deploy or do not deploy: one verdict from suite, replay and mirror.
//!
//! [`run::run`] drives the phases against two builds that are known by URL, on one origin listener; what they found
//! becomes [`evidence::Evidence`], on which [`verdict::judge`] decides, and [`summary::report`] writes it down.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod cli;
pub mod evidence;
pub mod run;
pub mod summary;
pub mod verdict;
