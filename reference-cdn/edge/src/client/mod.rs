//! What the versions of HTTP have in common on the client side: requests and their content, where answers go, limits.

pub mod content;
pub mod downstream;
pub mod limits;
pub mod request;

pub use content::{BodyError, RequestBody};
pub use downstream::{Downstream, ENOUGH, Service, Stop};
pub use limits::{ConnectionLimits, Shared};
pub use request::{Framing, HeadError, HeadLimits, Request, RequestHead};
