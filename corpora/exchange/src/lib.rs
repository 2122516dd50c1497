//! Traffic as data.
//!
//! A [`Transaction`] is one HTTP request with its answer, seen at up to four places: what the client sent, what
//! the cache sent to its origin, what the origin answered, and what the client got. Any of the four messages may
//! be missing: a packet capture on the client side holds two, an origin that was never asked holds none.
//! A [`DnsExchange`] is one DNS query with its answer.
//!
//! Nothing here reads a clock, opens a socket or knows a file format: `capture` writes these values, `wire`
//! parses and prints their bytes, `compare` judges two of them.

#![forbid(unsafe_code)]

mod body;
mod dns;
mod fields;
mod message;
mod secrets;
mod text;
mod time;

pub use body::{Body, BodyHasher, Ending, Sha256};
pub use dns::{DnsExchange, DnsMessage, DnsTransport};
pub use fields::{Field, Fields};
pub use message::{Request, Response, Seen, Side, Source, Transaction, Version};
pub use secrets::{FIELDS as SECRET_FIELDS, Secrets, is_secret_name};
pub use text::{escape, unescape};
pub use time::Time;
