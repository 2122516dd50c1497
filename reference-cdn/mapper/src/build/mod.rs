//! From inputs to a network.
