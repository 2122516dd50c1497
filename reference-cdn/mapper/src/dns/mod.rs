//! DNS messages on the wire.
