//! Writes pcap and pcapng files, with nanoseconds.

use crate::{LinkType, Packet};
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgBlock as _;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// Which format a [`PacketWriter`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketFormat {
    /// All packets must have the first one's link type.
    Pcap,
    PcapNg,
}

/// Writes packets to a pcap or pcapng file.
pub struct PacketWriter<W: Write>(Inner<W>);

enum Inner<W: Write> {
    /// Waits for the first packet: the file's header names its link type.
    NoPcapYet(Option<W>),
    Pcap(PcapWriter<W>, LinkType),
    PcapNg(Box<PcapNgWriter<W>>, Vec<LinkType>),
}

const SNAP: u32 = 262_144;

impl<W: Write> PacketWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn new(destination: W, format: PacketFormat) -> io::Result<Self> {
        Ok(PacketWriter(match format {
            PacketFormat::Pcap => Inner::NoPcapYet(Some(destination)),
            PacketFormat::PcapNg => {
                let writer =
                    PcapNgWriter::with_endianness(destination, Endianness::Little).map_err(explain)?;
                Inner::PcapNg(Box::new(writer), Vec::new())
            }
        }))
    }

    /// Appends a packet. A packet without a time gets the epoch's.
    ///
    /// # Errors
    /// Those of the destination; and `InvalidInput` where the format cannot hold the packet.
    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let time = packet.time.map_or(0, |t| t.0);
        let since_epoch = Duration::from_nanos(
            u64::try_from(time).map_err(|_| invalid("packet files hold no time before 1970"))?,
        );
        let captured =
            u32::try_from(packet.data.len()).map_err(|_| invalid("a packet is longer than 4 GiB"))?;
        match &mut self.0 {
            Inner::NoPcapYet(destination) => {
                let destination = destination.take().ok_or_else(|| invalid("an earlier write failed"))?;
                let mut writer = start_pcap(destination, packet.link)?;
                write_pcap(&mut writer, packet, since_epoch, captured)?;
                self.0 = Inner::Pcap(writer, packet.link);
                Ok(())
            }
            Inner::Pcap(writer, link) if *link == packet.link => {
                write_pcap(writer, packet, since_epoch, captured)
            }
            Inner::Pcap(..) => Err(invalid("a pcap file has one link type; write pcapng")),
            Inner::PcapNg(writer, links) => {
                let interface = match links.iter().position(|l| *l == packet.link) {
                    Some(known) => known,
                    None => {
                        links.push(packet.link);
                        let mut block =
                            InterfaceDescriptionBlock::new(DataLink::from(u32::from(packet.link.0)), 0);
                        // Without it readers take the nanoseconds for microseconds.
                        block.options.push(InterfaceDescriptionOption::IfTsResol(9));
                        writer.write_block(&block.into_block()).map_err(explain)?;
                        links.len() - 1
                    }
                };
                let block = EnhancedPacketBlock {
                    interface_id: interface as u32,
                    timestamp: since_epoch,
                    original_len: packet.length.max(captured),
                    data: Cow::Borrowed(&packet.data),
                    options: Vec::new(),
                };
                writer.write_block(&block.into_block()).map_err(explain)?;
                Ok(())
            }
        }
    }

    /// Ends the file and gives the destination back, flushed.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish(self) -> io::Result<W> {
        let mut destination = match self.0 {
            Inner::NoPcapYet(Some(destination)) => start_pcap(destination, LinkType::ETHERNET)?.into_writer(),
            Inner::NoPcapYet(None) => return Err(io::Error::other("an earlier write failed")),
            Inner::Pcap(writer, _) => writer.into_writer(),
            Inner::PcapNg(writer, _) => writer.into_inner(),
        };
        destination.flush()?;
        Ok(destination)
    }
}

fn start_pcap<W: Write>(destination: W, link: LinkType) -> io::Result<PcapWriter<W>> {
    let header = PcapHeader {
        snaplen: SNAP,
        datalink: DataLink::from(u32::from(link.0)),
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    PcapWriter::with_header(destination, header).map_err(explain)
}

fn write_pcap<W: Write>(
    writer: &mut PcapWriter<W>,
    packet: &Packet,
    since_epoch: Duration,
    captured: u32,
) -> io::Result<()> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let raw = RawPcapPacket {
        ts_sec: u32::try_from(since_epoch.as_secs())
            .map_err(|_| invalid("a pcap file ends in the year 2106"))?,
        ts_frac: since_epoch.subsec_nanos(),
        incl_len: captured,
        orig_len: packet.length.max(captured),
        data: Cow::Borrowed(&packet.data),
    };
    writer.write_raw_packet(&raw).map_err(explain)?;
    Ok(())
}

fn explain(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidInput, other),
    }
}
