//! Vary (RFC 9111 section 4.1). One field selects in this model, with plain values.

use super::Entry;
use crate::message::Fields;

/// Does the request select the stored response?
pub fn matches(entry: &Entry, request: &Fields) -> bool {
    match entry.head.get("vary") {
        None => true,
        Some("*") => false,
        Some(_) => entry.flavour.as_deref() == request.get("flavour"),
    }
}
