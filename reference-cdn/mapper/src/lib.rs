//! The mapper of the reference CDN: which servers for which client, and the name servers that say so.
//!
//! Three layers, each a function of the one before:
//! - [`network`]: what there is (sites, servers, services) and how near it is to whom. Built every few minutes.
//! - [`conditions`]: how it is now (load, health, withdrawals). Stepped every second.
//! - [`map`]: both, stamped with an [`Epoch`](map::Epoch), with all that a query needs looked up beforehand.
//!
//! [`decide`] answers a query from a map and nothing else, so that a trace replayed against an epoch gives the same answers.
//! [`authority`] turns a DNS query into a response (RFC 1034, 1035, 6891 and others) and asks [`steer::Steering`] for what is
//! chosen per client. [`server`] carries octets between sockets and an authority.

pub mod authority;
pub mod build;
pub mod conditions;
pub mod decide;
pub mod dns;
pub mod map;
pub mod network;
pub mod respond;
pub mod run;
#[cfg(test)]
mod sample;
pub mod server;
pub mod simulate;
pub mod steer;
