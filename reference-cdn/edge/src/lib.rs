//! The edge of the reference CDN: a caching HTTP proxy.
//!
//! What a request may get is decided by [`http_cache::Decisions`]; this crate carries it out: connections, the store,
//! the origin, collapsing, the admin listener. [`bind`] takes the decisions as an argument, so that another program can
//! start the same edge with other decisions.

mod access_log;
mod admin;
mod answer;
mod ask;
mod clock;
mod config;
pub mod http1;
mod lonely;
mod metrics;
mod origin;
mod send;
mod server;
#[cfg(test)]
mod spoiled_tests;
mod state;
pub mod store;
#[cfg(test)]
#[path = "store/tests.rs"]
mod store_tests;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod sync;

#[cfg(test)]
extern crate self as edge;

pub use clock::Clock;
pub use config::{AdminConfig, Config, OriginConfig, Token};
pub use origin::OriginLimits;
pub use server::{Server, StartError, Stopped, bind};
pub use state::Edge;
