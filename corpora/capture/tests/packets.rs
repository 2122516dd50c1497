//! pcap and pcapng files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use capture::{Input, LinkType, OpenError, Packet, PacketError, PacketFormat, PacketWriter, Packets};
use exchange::Time;
use proptest::prelude::*;

fn packet(time: i64, link: LinkType, data: &'static [u8], length: u32) -> Packet {
    Packet { time: Some(Time(time)), link, data: Bytes::from_static(data), length }
}

fn write(format: PacketFormat, packets: &[Packet]) -> Vec<u8> {
    let mut writer = PacketWriter::new(Vec::new(), format).unwrap();
    packets.iter().for_each(|p| writer.write(p).unwrap());
    writer.finish().unwrap()
}

fn read(file: &[u8]) -> (Vec<Packet>, Option<PacketError>) {
    let mut packets = Vec::new();
    let reader = match Packets::new(file) {
        Ok(reader) => reader,
        Err(error) => return (packets, Some(error)),
    };
    for packet in reader {
        match packet {
            Ok(packet) => packets.push(packet),
            Err(error) => return (packets, Some(error)),
        }
    }
    (packets, None)
}

fn samples() -> Vec<Packet> {
    vec![
        packet(1_795_298_820_123_456_789, LinkType::ETHERNET, b"first", 5),
        packet(1_795_298_820_123_456_790, LinkType::ETHERNET, b"cut by a snapshot length", 300_000),
        packet(0, LinkType::ETHERNET, b"", 0),
    ]
}

#[test]
fn both_formats_keep_nanoseconds() {
    for format in [PacketFormat::Pcap, PacketFormat::PcapNg] {
        let (packets, error) = read(&write(format, &samples()));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packets, samples());
        assert!(read(&write(format, &[])).0.is_empty());
    }
}

#[test]
fn a_pcapng_file_has_several_link_types_a_pcap_file_one() {
    let mixed = [packet(1, LinkType::RAW, b"a", 1), packet(2, LinkType::NULL, b"b", 1)];
    assert_eq!(read(&write(PacketFormat::PcapNg, &mixed)).0, mixed);
    let mut writer = PacketWriter::new(Vec::new(), PacketFormat::Pcap).unwrap();
    writer.write(&mixed[0]).unwrap();
    assert!(writer.write(&mixed[1]).is_err());
}

/// A pcapng block in either byte order.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |w: u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
    let length = word(12 + body.len() as u32);
    [&word(kind)[..], &length, body, &length].concat()
}

#[test]
fn clocks_of_interfaces_are_honoured() {
    for big in [false, true] {
        let word = |w: u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
        let half = |w: u16| if big { w.to_be_bytes() } else { w.to_le_bytes() };
        let section =
            block(big, 0x0a0d_0d0a, &[&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat());
        // (if_tsresol, units, nanoseconds)
        for (resolution, units, expected) in [
            (6, 1_500_000_u32, 1_500_000_000_i64),
            (9, 1_500_000, 1_500_000),
            (3, 1500, 1_500_000_000),
            (0x81, 3, 1_500_000_000),
            (0x8a, 1536, 1_500_000_000),
        ] {
            let offset = [0_u8, 0, 0, 0, 0, 0, 0, 7];
            let offset = if big { offset } else { u64::from_be_bytes(offset).to_le_bytes() };
            let interface = [
                &half(101)[..],
                &half(0),
                &word(0),
                &half(9),
                &half(1),
                &[resolution, 0, 0, 0],
                &half(14),
                &half(8),
                &offset,
                &half(0),
                &half(0),
            ]
            .concat();
            let enhanced = [&word(0)[..], &word(0), &word(units), &word(3), &word(9), b"abc\0"].concat();
            let file = [
                section.clone(),
                block(big, 1, &interface),
                block(big, 77, b"skip"),
                block(big, 6, &enhanced),
            ]
            .concat();
            let (packets, error) = read(&file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(
                packets,
                [packet(7_000_000_000 + expected, LinkType::RAW, b"abc", 9)],
                "{resolution:#x}"
            );
        }
        let bare = [&half(1)[..], &half(0), &word(0)].concat();
        let simple = [&word(2)[..], b"ab\0\0"].concat();
        let obsolete = [&half(0)[..], &half(0), &word(0), &word(5), &word(2), &word(2), b"cd\0\0"].concat();
        let file = [section.clone(), block(big, 1, &bare), block(big, 3, &simple), block(big, 2, &obsolete)]
            .concat();
        let (packets, error) = read(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packets[0], Packet { time: None, ..packet(0, LinkType::ETHERNET, b"ab", 2) });
        assert_eq!(packets[1], packet(5000, LinkType::ETHERNET, b"cd", 2));
        // A packet of an interface that nobody described.
        let (packets, error) = read(&[section, block(big, 6, &[0; 24])].concat());
        assert!(packets.is_empty() && matches!(error, Some(PacketError::Damaged { packets: 0, .. })));
    }
}

#[test]
fn a_file_cut_anywhere_gives_the_packets_before_the_cut() {
    for format in [PacketFormat::Pcap, PacketFormat::PcapNg] {
        let file = write(format, &samples());
        let mut last = 0;
        for cut in 0..file.len() {
            let (packets, error) = read(&file[..cut]);
            assert!(packets.len() >= last && samples().starts_with(&packets), "{format:?} cut at {cut}");
            last = packets.len();
            if let Some(PacketError::Truncated { packets: count }) = &error {
                assert_eq!(*count, packets.len() as u64);
            }
        }
        assert_eq!(last, 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn changed_bytes_never_panic(ng: bool, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let format = if ng { PacketFormat::PcapNg } else { PacketFormat::Pcap };
        let mut file = write(format, &samples());
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let _ = read(&file);
    }
}

#[test]
fn files_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        capture::open(&path)
    };
    let pcap = write(PacketFormat::Pcap, &samples());
    for file in
        [pcap.clone(), zstd::bulk::compress(&pcap, 3).unwrap(), write(PacketFormat::PcapNg, &samples())]
    {
        let Ok(Input::Packets(packets)) = open("a", &file) else { panic!("packets are not recognised") };
        assert_eq!(packets.map(Result::unwrap).collect::<Vec<_>>(), samples());
    }
    let native = capture::Writer::new(Vec::new()).unwrap().finish().unwrap();
    assert!(matches!(open("b", &native), Ok(Input::Records(_))));

    let message = |result: Result<Input, OpenError>| {
        let text = result.err().map_or_else(|| "no error".to_owned(), |e| e.to_string());
        text.replace(&format!("{}/", directory.path().display()), "")
    };
    let messages = [
        message(capture::open(&directory.path().join("missing"))),
        message(open("empty", b"")),
        message(open("text", b"GET / HTTP/1.1\r\n")),
        message(open("a.pcap.gz", &[0x1f, 0x8b, 8, 0])),
        message(open("short.pcap", &pcap[..10])),
        message(open("short.capture", &native[..10])),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}
