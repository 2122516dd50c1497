//! HTTP/1.1 without I/O that keeps what it saw, and TCP stream reassembly.
