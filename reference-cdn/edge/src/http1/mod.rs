//! The client side: an HTTP/1.1 server connection that is strict about framing (RFC 9112).
//!
//! [`head`] and [`chunked`] are pure; [`connection`] does the I/O. Anything that two parsers could read differently
//! (both framings, odd lengths, bare line feeds, folded lines) is refused and the connection closed, because a peer
//! in front of or behind this edge may read it the other way.

pub mod body;
pub mod chunked;
pub mod connection;
pub mod encode;
pub mod head;
pub mod respond;
#[cfg(test)]
mod tests;
