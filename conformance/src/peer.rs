//! Caches from the distribution's packages, started in front of an origin.

pub mod nginx;
