//! From inputs to a [`Network`](crate::network::Network): what an operator says there is, what routing, geography and measurements say
//! about how near it is to whom. INPUTS.md has the formats.

pub mod as_graph;
pub mod bgp;
mod countries;
pub mod demand;
pub mod geo;
pub mod keys;
pub mod network_file;
pub mod plant;
pub mod prefix;
pub mod probes;
pub mod problem;
pub mod services;
pub mod source;
pub mod tables;
pub mod traces;
