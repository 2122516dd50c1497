//! The edge of the reference CDN: a caching HTTP proxy.
