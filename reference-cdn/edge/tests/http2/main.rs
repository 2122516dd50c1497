//! HTTP/2 on the client side, asked by a client that makes every frame by hand (RFC 9113, RFC 7541).

mod client;
mod floods;
mod hpack;
mod protocol;
mod requests;
mod responses;
#[path = "../support/mod.rs"]
mod support;
mod tls;

/// A response that may be stored.
const PAGE: &str = "200 OK\r\nCache-Control: max-age=600";
/// One that may not.
const FRESH: &str = "200 OK\r\nCache-Control: no-store";
