//! The client side: an HTTP/2 server connection (RFC 9113).
//!
//! `h2` carries the protocol: frames, HPACK, stream states, flow control. Around it stand [`watch`], which sees each
//! frame's head pass in both directions and bounds what one connection may ask for without sending requests; [`head`],
//! which is as strict about requests as HTTP/1.1 is here; [`content`] and [`respond`], which tie flow control to whoever
//! takes or gives the octets; and [`connection`], which decides when a connection has to end.

pub mod connection;
pub mod content;
pub mod frames;
pub mod head;
pub mod respond;
mod stream;
mod transport;
pub mod watch;

use std::time::Duration;

/// What opens a connection (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// In how much time [`Http2Limits::resets`] and [`Http2Limits::frames`] are spent.
pub const PERIOD: Duration = Duration::from_secs(10);

/// What one HTTP/2 connection may cost, beyond [`ConnectionLimits`](crate::client::ConnectionLimits).
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Streams open at once; more are refused with REFUSED_STREAM.
    pub streams: u32,
    /// Octets of content that one stream may send before they are taken.
    pub stream_window: u32,
    /// The same for all streams of a connection together.
    pub connection_window: u32,
    /// Octets of responses that wait in the connection to be written, all streams together.
    pub queue: usize,
    /// Streams that a client may reset, or make us reset, within [`PERIOD`].
    pub resets: u32,
    /// Frames that bring no request, no content and no room for a response that a client may send within [`PERIOD`].
    pub frames: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            queue: 4 << 20,
            resets: 200,
            frames: 1000,
        }
    }
}
