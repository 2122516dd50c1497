//! DNSSEC made as it is asked for (RFC 4033 to 4035): signatures with ECDSA P-256 (RFC 6605) over what goes out, and compact denial
//! (RFC 9824).
//!
//! Answers depend on who asks, so there is no signed zone to load. What was signed once is kept by each thread and found again by what was
//! signed.

pub mod cache;
pub mod denial;
pub mod keys;
pub mod lasting;
pub mod sign;

pub use cache::Cache;
pub use keys::{Key, KeyError};
pub use sign::{Signer, Signing};
