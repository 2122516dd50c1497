//! Judges any HTTP cache: header handling, freshness, integrity, purge and framing.
