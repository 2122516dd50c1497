//! The primary cache key (RFC 9111 section 2).

use std::sync::Arc;

/// Scheme, authority, path and query of a target URI, normalised. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key {
    /// The key of an absolute URI.
    pub fn of(target: &http::Uri) -> Self {
        Self(target.to_string().into())
    }
}
