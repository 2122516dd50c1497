//! Reads pcap and pcapng files.

use bytes::Bytes;
use exchange::Time;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::{
    ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, PACKET_BLOCK, SIMPLE_PACKET_BLOCK,
};
use pcap_file::{Endianness, PcapError, TsResolution};
use std::io::Read;
use thiserror::Error;

/// What the first bytes of a captured packet are: a number of the public registry of link types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: the address family in the capturing machine's byte order.
    pub const NULL: LinkType = LinkType(0);
    pub const ETHERNET: LinkType = LinkType(1);
    /// Starts with the IP header.
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux "cooked" capture, as of `tcpdump -i any`.
    pub const LINUX_SLL: LinkType = LinkType(113);
    pub const IPV4: LinkType = LinkType(228);
    pub const IPV6: LinkType = LinkType(229);
    /// The second version of Linux "cooked" capture.
    pub const LINUX_SLL2: LinkType = LinkType(276);
}

/// One captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was seen; `None` where the file does not say (pcapng's simple packet block).
    pub time: Option<Time>,
    pub link: LinkType,
    /// The bytes that were kept: fewer than `length` where the capture had a snapshot length.
    pub data: Bytes,
    /// Bytes that the packet had on the wire.
    pub length: u32,
}

/// Why a packet file could not be read (further). Packets before it were read.
#[derive(Debug, Error)]
pub enum PacketError {
    #[error("neither pcap nor pcapng: it starts with {found:02x?}")]
    NotPackets { found: Vec<u8> },
    #[error("the file is cut short {}: what comes before was read, the rest is lost", after(*packets))]
    Truncated { packets: u64 },
    #[error("the file is damaged {}: {what}; what comes before was read", after(*packets))]
    Damaged { packets: u64, what: String },
    #[error("reading the file failed {}: {source}", after(*packets))]
    Io { packets: u64, source: std::io::Error },
}

fn after(packets: u64) -> String {
    if packets == 0 { "before its first packet".to_owned() } else { format!("after packet {packets}") }
}

/// Reads packets from a pcap or a pcapng file, whichever it is, in either byte order.
///
/// After an error it is at its end.
pub struct Packets<R: Read> {
    format: Format<Prefixed<R>>,
    count: u64,
    ended: bool,
    /// Link type and clock of each interface of the present pcapng section.
    interfaces: Vec<Interface>,
    unknown_blocks: u64,
}

/// Bytes looked at to tell the format, and what follows them.
type Prefixed<R> = std::io::Chain<std::io::Cursor<Vec<u8>>, R>;

enum Format<R: Read> {
    Pcap(PcapReader<R>),
    PcapNg(Box<PcapNgReader<R>>),
}

const MAGICS: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

impl<R: Read> Packets<R> {
    /// Whether a file that starts with these bytes is one that this can read.
    pub fn recognises(start: &[u8]) -> bool {
        MAGICS.iter().any(|magic| start.starts_with(magic))
    }

    /// Reads the file's header.
    ///
    /// # Errors
    /// Where it is neither pcap nor pcapng, or its header is cut short or damaged.
    pub fn new(mut source: R) -> Result<Self, PacketError> {
        let mut start = Vec::new();
        let io = |source| PacketError::Io { packets: 0, source };
        source.by_ref().take(4).read_to_end(&mut start).map_err(io)?;
        if !Self::recognises(&start) {
            return Err(PacketError::NotPackets { found: start });
        }
        let is_ng = start == MAGICS[4];
        let source = std::io::Cursor::new(start).chain(source);
        let format = if is_ng {
            Format::PcapNg(Box::new(PcapNgReader::new(source).map_err(|e| explain(e, 0))?))
        } else {
            Format::Pcap(PcapReader::new(source).map_err(|e| explain(e, 0))?)
        };
        Ok(Packets { format, count: 0, ended: false, interfaces: Vec::new(), unknown_blocks: 0 })
    }

    /// Packets read so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Blocks of a pcapng file that hold neither a packet nor an interface, so far.
    pub fn other_blocks(&self) -> u64 {
        self.unknown_blocks
    }

    fn read(&mut self) -> Result<Option<Packet>, PacketError> {
        match &mut self.format {
            Format::Pcap(reader) => {
                let header = reader.header();
                let Some(raw) = reader.next_raw_packet() else { return Ok(None) };
                // Not `next_packet`: it refuses packets that were longer than the snapshot length.
                let raw = raw.map_err(|e| explain(e, self.count))?;
                let unit = match header.ts_resolution {
                    TsResolution::MicroSecond => 1000,
                    TsResolution::NanoSecond => 1,
                };
                // The upper bits of the link type tell about frame check sequences, which etherparse ignores.
                let link = LinkType((u32::from(header.datalink) & 0xffff) as u16);
                let time = i64::from(raw.ts_sec) * 1_000_000_000 + i64::from(raw.ts_frac) * unit;
                Ok(Some(Packet {
                    time: Some(Time(time)),
                    link,
                    length: raw.orig_len.max(raw.incl_len),
                    data: Bytes::from(raw.data.into_owned()),
                }))
            }
            Format::PcapNg(_) => self.read_ng(),
        }
    }

    fn read_ng(&mut self) -> Result<Option<Packet>, PacketError> {
        let Format::PcapNg(reader) = &mut self.format else { return Ok(None) };
        loop {
            let Some(block) = reader.next_raw_block() else { return Ok(None) };
            let block = block.map_err(|e| explain(e, self.count))?;
            let kind = block.type_;
            if kind == SECTION_HEADER {
                self.interfaces.clear();
            }
            if !matches!(kind, ENHANCED_PACKET_BLOCK | PACKET_BLOCK | SIMPLE_PACKET_BLOCK) {
                self.unknown_blocks +=
                    u64::from(kind != SECTION_HEADER && kind != INTERFACE_DESCRIPTION_BLOCK);
                drop(block);
                let known = self.interfaces.len();
                self.interfaces.extend(reader.interfaces()[known..].iter().map(Interface::new));
                continue;
            }
            let body = block.body.into_owned();
            let endianness = reader.section().endianness;
            let packet = packet_of(kind, body, endianness, &self.interfaces);
            return packet
                .map(Some)
                .map_err(|what| PacketError::Damaged { packets: self.count, what: what.to_owned() });
        }
    }
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;

impl<R: Read> Iterator for Packets<R> {
    type Item = Result<Packet, PacketError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        match &next {
            Some(Ok(_)) => self.count += 1,
            _ => self.ended = true,
        }
        next
    }
}

/// What a pcapng interface description says about its packets.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snap: u32,
    /// `if_tsresol`: units per second as a power of ten, or of two where the top bit is set.
    resolution: u8,
    /// `if_tsoffset`: seconds to add.
    offset: i64,
}

impl Interface {
    fn new(block: &pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock<'_>) -> Self {
        let mut interface = Interface {
            link: LinkType((u32::from(block.linktype) & 0xffff) as u16),
            snap: block.snaplen,
            resolution: 6,
            offset: 0,
        };
        for option in &block.options {
            match option {
                InterfaceDescriptionOption::IfTsResol(value) => interface.resolution = *value,
                InterfaceDescriptionOption::IfTsOffset(value) => interface.offset = *value as i64,
                _ => {}
            }
        }
        interface
    }

    /// The time of a timestamp in this interface's units.
    fn time(&self, units: u64) -> Time {
        let per_second: u128 = match self.resolution {
            binary if binary & 0x80 != 0 => 1 << (binary & 0x7f).min(96),
            decimal => 10_u128.pow(u32::from(decimal).min(28)),
        };
        let nanoseconds = u128::from(units).saturating_mul(1_000_000_000) / per_second;
        let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        Time(nanoseconds.saturating_add(self.offset.saturating_mul(1_000_000_000)))
    }
}

/// The packet in the body of an enhanced, simple or (obsolete) plain packet block.
fn packet_of(
    kind: u32,
    body: Vec<u8>,
    endianness: Endianness,
    interfaces: &[Interface],
) -> Result<Packet, &'static str> {
    let short = "a packet block is shorter than its fields";
    let word = |at: usize| -> Result<u32, &'static str> {
        let bytes = body.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).ok_or(short)?;
        Ok(match endianness {
            Endianness::Big => u32::from_be_bytes(bytes),
            Endianness::Little => u32::from_le_bytes(bytes),
        })
    };
    let (interface, start) = match kind {
        SIMPLE_PACKET_BLOCK => (0, 4),
        PACKET_BLOCK => {
            // Two 16-bit fields: the interface's number and a count of drops.
            let both = word(0)?;
            (if endianness == Endianness::Big { both >> 16 } else { both & 0xffff }, 20)
        }
        _ => (word(0)?, 20),
    };
    let interface =
        interfaces.get(interface as usize).ok_or("a packet names an interface that is not described")?;
    let (time, kept, length) = if kind == SIMPLE_PACKET_BLOCK {
        let length = word(0)?;
        let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
        (None, length.min(snap), length)
    } else {
        let units = u64::from(word(4)?) << 32 | u64::from(word(8)?);
        (Some(interface.time(units)), word(12)?, word(16)?)
    };
    let end = (kept as usize).checked_add(start).filter(|end| *end <= body.len()).ok_or(short)?;
    let data = Bytes::from(body).slice(start..end);
    Ok(Packet { time, link: interface.link, data, length: length.max(kept) })
}

fn explain(error: PcapError, packets: u64) -> PacketError {
    match error {
        PcapError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            PacketError::Truncated { packets }
        }
        PcapError::IncompleteBuffer => PacketError::Truncated { packets },
        PcapError::IoError(source) => PacketError::Io { packets, source },
        other => PacketError::Damaged { packets, what: other.to_string() },
    }
}
