//! Bounds on what a peer can make us hold.

/// Bounds for parsing and pairing. Bodies stream through and have no bound; what is kept of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, start line and blank lines before it included. Default 256 KiB.
    pub head: usize,
    /// Field lines in a head or trailer section. Default 2000.
    pub fields: usize,
    /// Bytes of one chunk-size line with its extensions. Default 16 KiB.
    pub chunk_line: usize,
    /// Bytes of chunk extensions kept for one message; further ones are only counted as an anomaly. Default 16 KiB.
    pub extensions: usize,
    /// Bytes of a trailer section. Default 64 KiB.
    pub trailers: usize,
    /// Distinct anomalies kept for one message. Default 64.
    pub anomalies: usize,
    /// Interim responses before one final response. Default 100.
    pub interim: usize,
    /// Bytes of each body that [`crate::Connection`] and [`crate::Assembler`] keep; all are hashed. Default 1 MiB.
    pub keep_body: usize,
    /// Body bytes that the unfinished exchanges of one [`crate::Connection`] keep together; for those that begin
    /// over it lengths and digests are all. Default 16 MiB.
    pub keep_total: usize,
    /// Requests of a connection without answer; over it no further ones are read, or, where no byte of the other
    /// direction was ever seen, the oldest is given out without answer. Default 10 000.
    pub outstanding: usize,
    /// Bytes of one direction held until the other one shows what they mean: a response before its request,
    /// bytes after a request to switch protocols. Default 1 MiB.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 256 << 10,
            fields: 2000,
            chunk_line: 16 << 10,
            extensions: 16 << 10,
            trailers: 64 << 10,
            anomalies: 64,
            interim: 100,
            keep_body: 1 << 20,
            keep_total: 16 << 20,
            outstanding: 10_000,
            held: 1 << 20,
        }
    }
}
