//! Views of the messages a decision looks at: borrowed, without content.

use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// A request as the edge received it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a Method,
    /// The target URI (RFC 9110 section 7.1) in absolute form: scheme, authority and path, the authority
    /// taken from the request target or the Host field by the caller.
    pub target: &'a Uri,
    pub headers: &'a HeaderMap,
    /// Of HTTP, in which the request came: Via tells the origin (RFC 9110 section 7.6.3).
    pub version: Version,
}

/// The head of a final response as the origin sent it.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// When the request that led to it was sent (`request_time` in RFC 9111 section 4.2.3).
    pub request_time: crate::Time,
    /// When its head was received (`response_time`).
    pub response_time: crate::Time,
}
