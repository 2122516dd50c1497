//! From inputs to a [`Network`](crate::network::Network): what an operator says there is, what routing, geography and measurements say
//! about how near it is to whom. INPUTS.md has the formats.

pub mod as_graph;
pub mod bgp;
mod builder;
mod clients;
mod countries;
pub mod demand;
mod files;
pub mod geo;
pub mod geometry;
mod ground;
pub mod keys;
pub(crate) mod listed;
pub mod network_file;
pub mod plant;
pub mod prefix;
pub mod probes;
pub mod problem;
mod rank;
mod report;
mod score;
pub mod services;
mod settings;
pub mod source;
mod stock;
pub mod tables;
pub mod traces;

pub use builder::{Builder, Built, Inputs};
pub use clients::Grain;
pub use files::{Files, InputReader};
pub use problem::BadInput;
pub use report::{BuildReport, InputReport};
pub use settings::Settings;
