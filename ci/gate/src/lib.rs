//! Deploy or do not deploy: one verdict from suite, replay and mirror.

#![forbid(unsafe_code)]

pub mod evidence;
pub mod verdict;
