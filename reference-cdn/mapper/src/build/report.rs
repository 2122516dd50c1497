//! What a build rested on.

use serde::Serialize;

use super::clients::Grain;
use super::problem::BadInput;
use super::source::Skipped;

/// Of one build: how old each input was and what it was used for, and what came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuildReport {
    /// Seconds since 1970.
    pub now: u64,
    pub inputs: Vec<InputReport>,
    /// Inputs that could not be read at all, inputs that say nothing that can be used, and what of databases of places was not used.
    pub problems: Vec<BadInput>,
    pub sites: usize,
    pub servers: usize,
    pub services: usize,
    /// Sites that no place is known of: estimates do not reach them.
    pub sites_without_place: usize,
    pub sites_without_servers: usize,
    pub units: usize,
    /// How finely clients were told apart so that the units were not too many.
    pub grain: Grain,
    /// Of the units: with a measurement that still counts; placed; in a network that BGP paths lead to.
    pub measured_units: usize,
    pub placed_units: usize,
    pub routed_units: usize,
    /// Runs of addresses in both families.
    pub runs: usize,
    /// Units whose ranking was computed in this build; the others were known.
    pub ranked_units: usize,
    /// Measurements of sites that are not in the network: they say nothing.
    pub strange_probes: u64,
}

/// One file of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InputReport {
    pub kind: &'static str,
    pub file: String,
    /// Seconds; 0 if it is from the future.
    pub age: u64,
    /// It is from the future by this many seconds: a clock is wrong.
    #[serde(skip_serializing_if = "is_zero")]
    pub ahead: u64,
    pub lines: u64,
    pub used: u64,
    pub skipped: Vec<Skipped>,
    pub used_for: &'static str,
    /// Of 255, how much it is trusted at its age.
    pub trust: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
