//! DNS messages on the hot path: queries are read without allocation, responses are written into the caller's buffer.

pub mod codes;
pub mod edns;
pub mod name;
pub mod query;
pub mod tsig;
pub mod writer;

pub use edns::{Edns, Subnet};
pub use name::Name;
pub use query::{Query, Question};
pub use writer::{Data, Section, Writer};
