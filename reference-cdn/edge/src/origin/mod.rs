//! The origin side: a customer's group of origins, and pooled connections to each, with a bound on every wait.
//!
//! | Question | File |
//! |---|---|
//! | Which origin gets a request? | [`select`], [`parents`] |
//! | Is an origin fit to use? | [`health`], by requests and by [`probe`]s |
//! | May a request be sent again? | [`retry`] |
//! | Who carries all that out? | [`group`] |
//! | What of failures is logged? | `outage` |
//! | Where is it, how is it connected to? | `names`, `addresses`, `connect`, `tls` |
//! | What carries the request? | `pool` (HTTP/1.1 on hyper), `multiplex` (HTTP/2 on h2) |
//! | How does a request get its response? | `exchange`, `request`, `response`, `content` |
//!
//! Where a request goes comes from the configuration alone, never from the request, and redirects are not followed: an
//! edge cannot be made to ask somebody else.

mod addresses;
mod config;
mod connect;
mod content;
mod driver;
mod error;
mod exchange;
mod group;
mod health;
mod multiplex;
mod names;
mod outage;
mod parents;
mod pool;
mod probe;
mod request;
mod response;
mod retry;
mod select;
mod status;
mod stream;
mod tls;

pub use config::{
    OriginConfig, OriginGroupConfig, OriginLimits, OriginTls, ParentRules, ProbeConfig, Protocol,
};
pub use content::{ContentError, OriginContent};
pub use error::OriginError;
pub(crate) use exchange::Origin;
pub use group::{OriginSetupError, Origins};
pub use health::{EjectionRules, Thresholds};
pub use names::Names;
pub use parents::Bound;
pub use request::Outbound;
pub use response::Answer;
pub use retry::RetryRules;
pub use select::{MOST_ORIGINS, Role};
pub use status::samples;
pub use tls::{SystemAuthorities, TlsSetupError};
