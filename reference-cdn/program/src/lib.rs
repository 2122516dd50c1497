//! The reference CDN.
