//! Drives recorded traffic through a reference and a candidate and compares what they answer.

#![forbid(unsafe_code)]

pub mod extract;
pub mod world;
