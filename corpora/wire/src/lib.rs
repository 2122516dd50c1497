//! HTTP/1.1 without I/O that keeps what it saw, and TCP stream reassembly.
//!
//! Three tools read traffic that others wrote, and one of them writes traffic that nobody should write. So this
//! parser keeps what a normal one throws away: the order and spelling of field lines, the head's exact bytes,
//! interim responses, chunk extensions, trailers, and every liberty a sender took, as [`Anomaly`]. It fails only
//! where RFC 9112 gives the bytes no meaning: no start line, or no way to tell where a message ends.
//!
//! - [`Parser`]: one direction of a connection. Bytes in, [`Event`]s out; nothing is buffered but a head.
//! - [`Connection`]: both directions. Pairs responses with their requests, however they are pipelined, cut short
//!   or missing, and assembles [`exchange::Request`] and [`exchange::Response`] with their [`Notes`].
//! - [`Message`]: bytes to send, as wrong as you like. [`write`](mod@write) prints `exchange` messages.
//! - [`tcp`]: segments in any cutting, order and number to the streams they came from.
//!
//! Nothing here opens a socket or reads a clock; times come in with the bytes. Bytes are hostile: each size,
//! count and depth has a bound in [`Limits`], and no input panics.
//!
//! ```
//! use exchange::Time;
//! use wire::{Anomaly, Close, Connection, ConnectionEvent, Direction, Limits};
//!
//! let mut connection = Connection::new(0, Limits::default());
//! connection.push(Direction::ToServer, Time(1), &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]);
//! connection.push(Direction::ToClient, Time(2), &b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi"[..]);
//! connection.finish(Direction::ToClient, Time(3), Close::Fin);
//! connection.finish(Direction::ToServer, Time(4), Close::Fin);
//!
//! let mut exchanges = Vec::new();
//! while let Some(event) = connection.next_event() {
//!     if let ConnectionEvent::Exchanged(exchanged) = event {
//!         exchanges.push(*exchanged);
//!     }
//! }
//! let response = exchanges[0].response.as_ref().unwrap();
//! assert_eq!(response.body.whole().unwrap(), "hi");
//! assert_eq!(exchanges[0].response_notes.anomalies, [Anomaly::BareLf]);
//! ```

#![forbid(unsafe_code)]

mod anomaly;
mod connection;
mod error;
mod event;
mod framing;
mod head;
mod limits;
mod message;
mod notes;
mod parser;
mod resync;
pub mod tcp;
pub mod write;

pub use anomaly::Anomaly;
pub use connection::{Connection, ConnectionEvent, Direction, Exchanged};
pub use error::{Error, ErrorKind};
pub use event::{Asked, Close, Counts, Event, Extension, MessageEnd, Trailers};
pub use framing::Framing;
pub use head::{Head, StartLine};
pub use limits::Limits;
pub use message::Message;
pub use notes::{Assembler, Notes};
pub use parser::Parser;
