//! Formats in which traffic is kept.
//!
//! The native format holds HTTP transactions and DNS exchanges with their bodies: [`Writer`] appends [`Record`]s,
//! [`Reader`] gives them back, [`Recorder`] writes from a thread of its own so that a server never waits for a
//! disk. `FORMAT.md` beside this crate specifies it byte by byte. [`Packets`] reads pcap and pcapng files,
//! [`PacketWriter`] writes them. [`open`] tells by a file's first bytes which of the formats it has.
//!
//! What a packet means is not decided here: this crate knows no protocol.

#![forbid(unsafe_code)]

mod error;
mod open;
mod packet_writer;
mod packets;
mod part;
mod reader;
mod record;
mod recorder;
mod writer;

pub use error::Error;
pub use open::{Input, OpenError, open};
pub use packet_writer::{PacketFormat, PacketWriter};
pub use packets::{LinkType, Packet, PacketError, Packets};
pub use part::{MAGIC, MAX_PART, VERSION};
pub use reader::{Progress, Reader};
pub use record::{About, Ledger, Note, Record};
pub use recorder::{Full, Recorder, Written};
pub use writer::{Recovery, Writer};
