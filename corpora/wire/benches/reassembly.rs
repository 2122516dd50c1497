//! How fast segments become streams.
fn main() {}
