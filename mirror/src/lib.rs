//! Tees live HTTP traffic to a candidate without touching the service, and compares the answers.
