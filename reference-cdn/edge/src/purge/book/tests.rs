//! The book by itself.
