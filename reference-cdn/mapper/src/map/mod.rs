//! A network and its conditions under one epoch.

mod conditions_section;
pub mod file;
mod network_sections;
mod octets;

use std::sync::Arc;

use crate::conditions::Conditions;
use crate::network::Network;

/// Which map answered: grows by one with each map that is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Everything that decides an answer.
#[derive(Clone, Debug)]
pub struct Map {
    pub epoch: Epoch,
    pub network: Arc<Network>,
    pub conditions: Conditions,
}
