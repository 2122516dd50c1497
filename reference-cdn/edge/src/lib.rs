//! The edge of the reference CDN: a caching HTTP proxy.
//!
//! What a request may get is decided by [`http_cache::Decisions`]; this crate carries it out: connections, the store,
//! the origin, collapsing, the admin listener. [`bind`] takes what makes the decisions as an argument, so that another
//! program can start the same edge with other decisions.

mod access_log;
mod admin;
mod answer;
mod ask;
pub mod client;
mod clock;
mod config;
mod customer;
mod digests;
#[cfg(test)]
#[path = "store/disk_tests.rs"]
mod disk_tests;
pub mod http1;
pub mod http2;
pub mod limits;
mod lonely;
pub mod memory;
mod metrics;
mod origin;
pub mod purge;
mod rarely;
mod reload;
mod report;
mod send;
mod server;
mod slices;
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
mod timestamp;
pub mod tls;

#[cfg(test)]
extern crate self as edge;

pub use clock::Clock;
pub use config::{AdminConfig, Config, CustomerConfig, DiskSettings, Host, Token};
pub use customer::{Customer, Customers};
pub use limits::{ClientLimits, CustomerLimits, Limit, Prefix, PrefixError, Rate};
pub use metrics::Sample;
pub use origin::{
    Bound, EjectionRules, MOST_ORIGINS, Names, OriginConfig, OriginGroupConfig, OriginLimits,
    OriginSetupError, OriginTls, Origins, ParentRules, ProbeConfig, Protocol, RetryRules, Role, Thresholds,
    TlsSetupError,
};
pub use reload::{Reload, Reloaded};
pub use report::ReportConfig;
pub use server::{Server, StartError, Stopped, bind};
pub use state::Edge;
pub use tls::{CertificateFiles, Certificates, TlsConfig};
