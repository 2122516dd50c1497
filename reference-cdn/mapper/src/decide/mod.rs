//! The decision: which servers a client is given.
