//! Ten edges that each break one rule, built by wrapping the reference edge's decisions.
