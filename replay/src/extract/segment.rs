//! From a captured packet to the TCP segment in it.

use capture::{LinkType, Packet};
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, LenSource, TransportSlice};
use exchange::Time;
use std::net::{IpAddr, SocketAddr};
use wire::tcp::Segment;

/// Why a packet gives no TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// A link type that is not understood here.
    UnknownLink,
    /// ARP and others that are not IP.
    NotIp,
    /// A fragment of an IP packet: these are not put together.
    Fragment,
    /// UDP, ICMP and others.
    NotTcp,
    /// Headers that are cut off or contradict themselves.
    Malformed,
}

impl Skipped {
    /// As a ledger names it.
    pub fn name(self) -> &'static str {
        match self {
            Skipped::UnknownLink => "link type not known",
            Skipped::NotIp => "not IP",
            Skipped::Fragment => "IP fragment",
            Skipped::NotTcp => "not TCP",
            Skipped::Malformed => "malformed or cut headers",
        }
    }
}

/// The TCP segment that a packet carries. `now` is the time of a packet that has none.
pub fn segment(packet: &Packet, now: Time) -> Result<Segment, Skipped> {
    let data = &packet.data[..];
    let sliced = match packet.link {
        LinkType::ETHERNET => LaxSlicedPacket::from_ethernet(data).map_err(|_| Skipped::Malformed)?,
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => from_ip(data)?,
        // Four bytes of address family, whose values differ between systems: the IP version tells.
        LinkType::NULL | LinkType::LOOP => from_ip(data.get(4..).ok_or(Skipped::Malformed)?)?,
        LinkType::LINUX_SLL => cooked(data, 14, 16)?,
        LinkType::LINUX_SLL2 => cooked(data, 0, 20)?,
        _ => return Err(Skipped::UnknownLink),
    };
    let Some(net) = &sliced.net else {
        return Err(if sliced.stop_err.is_some() { Skipped::Malformed } else { Skipped::NotIp });
    };
    // The length that the IP header gives to its payload, where it gives one.
    let (from, to, promised) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                IpAddr::from(header.source_addr()),
                IpAddr::from(header.destination_addr()),
                usize::from(header.total_len()).saturating_sub(header.slice().len()),
            )
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            // The length counts extension headers too.
            let extensions = ip.extensions().slice().len();
            (
                IpAddr::from(header.source_addr()),
                IpAddr::from(header.destination_addr()),
                usize::from(header.payload_length()).saturating_sub(extensions),
            )
        }
        LaxNetSlice::Arp(_) => return Err(Skipped::NotIp),
    };
    let Some(ip) = net.ip_payload_ref() else { return Err(Skipped::NotIp) };
    if ip.fragmented {
        return Err(Skipped::Fragment);
    }
    let tcp = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => tcp,
        None if ip.ip_number == etherparse::IpNumber::TCP => return Err(Skipped::Malformed),
        _ => return Err(Skipped::NotTcp),
    };
    // A length of zero stands for a segment that the network card was to cut (segmentation offload).
    let cut_off = if ip.len_source == LenSource::Slice && promised == 0 {
        (packet.length as usize).saturating_sub(packet.data.len())
    } else {
        promised.saturating_sub(ip.payload.len())
    };
    Ok(Segment {
        time: packet.time.unwrap_or(now),
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: packet.data.slice_ref(tcp.payload()),
        cut_off: u32::try_from(cut_off).unwrap_or(u32::MAX),
    })
}

fn from_ip(data: &[u8]) -> Result<LaxSlicedPacket<'_>, Skipped> {
    LaxSlicedPacket::from_ip(data).map_err(|_| Skipped::Malformed)
}

/// Linux "cooked" headers: the EtherType at one offset, the payload at another.
fn cooked(data: &[u8], protocol: usize, payload: usize) -> Result<LaxSlicedPacket<'_>, Skipped> {
    let (head, rest) = data.split_at_checked(payload).ok_or(Skipped::Malformed)?;
    let ether_type = EtherType(u16::from_be_bytes([head[protocol], head[protocol + 1]]));
    Ok(LaxSlicedPacket::from_ether_type(ether_type, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use etherparse::PacketBuilder;

    const PAYLOAD: &[u8] = b"GET / HTTP/1.1\r\n";

    fn packet(link: LinkType, data: Vec<u8>) -> Packet {
        let length = data.len() as u32;
        Packet { time: Some(Time(7)), link, data: Bytes::from(data), length }
    }

    fn tcp(builder: etherparse::PacketBuilderStep<etherparse::IpHeaders>) -> Vec<u8> {
        let builder = builder.tcp(1000, 80, 5, 100).ack(9).psh();
        let mut data = Vec::new();
        builder.write(&mut data, PAYLOAD).unwrap();
        data
    }

    fn ipv4() -> Vec<u8> {
        let mut data = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
            .tcp(1000, 80, 5, 100)
            .ack(9)
            .write(&mut data, PAYLOAD)
            .unwrap();
        data
    }

    fn ethernet(vlans: &[u16], ether_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut data = vec![2; 12];
        for vlan in vlans {
            data.extend([0x81, 0x00]);
            data.extend(vlan.to_be_bytes());
        }
        data.extend(ether_type.to_be_bytes());
        data.extend(payload);
        data
    }

    #[test]
    fn every_link_type_gives_the_same_segment() {
        let expected = Segment {
            time: Time(7),
            from: "10.0.0.1:1000".parse().unwrap(),
            to: "10.0.0.2:80".parse().unwrap(),
            seq: 5,
            ack: Some(9),
            syn: false,
            fin: false,
            rst: false,
            payload: Bytes::from_static(PAYLOAD),
            cut_off: 0,
        };
        let ip = ipv4();
        let with = |head: &[u8]| [head, &ip].concat();
        let mut sll = [0; 16];
        sll[14] = 8;
        let mut sll2 = [0; 20];
        sll2[0] = 8;
        for (link, data) in [
            (LinkType::ETHERNET, ethernet(&[], 0x800, &ip)),
            (LinkType::ETHERNET, ethernet(&[5], 0x800, &ip)),
            (LinkType::ETHERNET, ethernet(&[5, 6], 0x800, &ip)),
            // Short frames are padded: what follows the IP packet is no payload.
            (LinkType::ETHERNET, [ethernet(&[], 0x800, &ip), vec![0; 20]].concat()),
            (LinkType::RAW, ip.clone()),
            (LinkType::IPV4, ip.clone()),
            (LinkType::NULL, with(&[2, 0, 0, 0])),
            (LinkType::LOOP, with(&[0, 0, 0, 2])),
            (LinkType::LINUX_SLL, with(&sll)),
            (LinkType::LINUX_SLL2, with(&sll2)),
        ] {
            assert_eq!(segment(&packet(link, data), Time(1)), Ok(expected.clone()), "{link:?}");
        }
        let v6 = tcp(PacketBuilder::ipv6([1; 16], [2; 16], 9));
        let got = segment(&packet(LinkType::ETHERNET, ethernet(&[], 0x86dd, &v6)), Time(1)).unwrap();
        assert_eq!((got.payload, got.cut_off), (expected.payload, 0));
    }

    #[test]
    fn a_snapshot_length_leaves_a_gap() {
        let ip = ipv4();
        let short = Packet { length: ip.len() as u32, ..packet(LinkType::RAW, ip[..ip.len() - 6].to_vec()) };
        let got = segment(&short, Time(1)).unwrap();
        assert_eq!((got.payload.len(), got.cut_off), (PAYLOAD.len() - 6, 6));
        // Segmentation offload: the IP header gives no length.
        let mut offloaded = ip.clone();
        offloaded[2..4].copy_from_slice(&[0, 0]);
        let got = segment(&packet(LinkType::RAW, offloaded), Time(1)).unwrap();
        assert_eq!((got.payload.len(), got.cut_off), (PAYLOAD.len(), 0));
    }

    #[test]
    fn other_packets_are_told_apart() {
        let ip = ipv4();
        let mut udp = Vec::new();
        PacketBuilder::ipv4([1; 4], [2; 4], 9).udp(1, 2).write(&mut udp, b"x").unwrap();
        let mut fragment = ip.clone();
        fragment[6] = 0x20;
        for (link, data, expected) in [
            (LinkType(999), ip.clone(), Skipped::UnknownLink),
            (LinkType::ETHERNET, ethernet(&[], 0x88cc, b"lldp"), Skipped::NotIp),
            (LinkType::ETHERNET, vec![1; 9], Skipped::Malformed),
            (LinkType::ETHERNET, ethernet(&[], 0x800, &ip[..10]), Skipped::Malformed),
            (LinkType::RAW, udp, Skipped::NotTcp),
            (LinkType::RAW, fragment, Skipped::Fragment),
            (LinkType::RAW, ip[..30].to_vec(), Skipped::Malformed),
            (LinkType::RAW, Vec::new(), Skipped::Malformed),
            (LinkType::NULL, vec![2], Skipped::Malformed),
        ] {
            assert_eq!(segment(&packet(link, data), Time(1)), Err(expected), "{link:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(link in 0_u16..300, data: Vec<u8>) {
            let _ = segment(&packet(LinkType(link), data), Time(1));
        }
        #[test]
        fn changed_headers_never_panic(at in 0_usize..54, byte: u8, cut in 0_usize..80) {
            let mut data = ethernet(&[], 0x800, &ipv4());
            data[at] = byte;
            data.truncate(data.len() - cut.min(data.len()));
            let _ = segment(&packet(LinkType::ETHERNET, data), Time(1));
        }
    }
}
