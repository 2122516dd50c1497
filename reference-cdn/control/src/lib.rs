//! What the parts of the reference CDN tell each other.

pub mod load_report;
