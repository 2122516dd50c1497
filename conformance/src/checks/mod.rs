//! Every check, one file each, by area.
//!
//! To add one: a file `area/topic.rs` that opens with the requirement, a line in `area.rs`, and a fault in the
//! scripted cache of the tests that breaks just this.

use crate::check::Check;

mod collapsing;
mod framing;
mod freshness;
mod headers;
mod integrity;
mod limits;
mod purge;
mod ranges;
mod validation;
mod vary;

/// All checks, by area and topic.
pub fn all() -> impl Iterator<Item = &'static Check> {
    AREAS.iter().flat_map(|area| area.iter())
}

/// The check with this id.
pub fn find(id: &str) -> Option<&'static Check> {
    all().find(|check| check.id == id)
}

static AREAS: [&[Check]; 10] = [
    &headers::ALL,
    &freshness::ALL,
    &validation::ALL,
    &vary::ALL,
    &ranges::ALL,
    &integrity::ALL,
    &collapsing::ALL,
    &purge::ALL,
    &framing::ALL,
    &limits::ALL,
];
