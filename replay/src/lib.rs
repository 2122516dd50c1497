//! Drives recorded traffic through a reference and a candidate and compares what they answer.
