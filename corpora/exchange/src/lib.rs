//! Traffic as data: HTTP transactions of up to four messages, and DNS queries with their answers.
