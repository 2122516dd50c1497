use proptest::prelude::*;

use super::Epoch;
use super::file::{
    Digest, FileError, Stamp, VERSION, peek_conditions, read_conditions, read_network, write_conditions,
    write_network,
};
use crate::conditions::Conditions;
use crate::network::Network;
use crate::sample;

const STAMP: Stamp = Stamp { epoch: Epoch(7), time: 1_790_000_000_000 };

fn small() -> (Network, Conditions) {
    let mut network = sample::network(&[2, 1]);
    network.services[0].https = Some(b"\x00\x01\x00\x03\x02h2".to_vec());
    network.prefixes.v4.truncate(4);
    network.prefixes.v6.truncate(4);
    let mut conditions = Conditions::calm(&network);
    conditions.servers[1].spread = 70;
    conditions.servers[1].busy = true;
    conditions.sites[1].shifted = 9;
    (network, conditions)
}

#[test]
fn another_kind_or_version_is_refused_by_name() {
    let (network, conditions) = small();
    let octets = write_network(&network, STAMP);
    let digest = Digest::of(&octets);
    let conditions = write_conditions(&conditions, STAMP, &digest);
    assert_eq!(read_network(&conditions).unwrap_err(), FileError::Magic("network"));
    assert_eq!(read_conditions(&octets, &network, &digest).unwrap_err(), FileError::Magic("conditions"));
    assert_eq!(peek_conditions(&conditions).unwrap(), (STAMP, digest));
    for version in [0, VERSION + 1, u16::MAX] {
        let mut other = octets.clone();
        other[8..10].copy_from_slice(&version.to_le_bytes());
        assert_eq!(read_network(&other).unwrap_err(), FileError::Version(version));
    }
    let other = Digest([1; 32]);
    assert_eq!(
        read_conditions(&conditions, &network, &other).unwrap_err(),
        FileError::Network { found: digest, wanted: other }
    );
}

#[test]
fn each_damaged_octet_is_found() {
    let (network, conditions) = small();
    let octets = write_network(&network, STAMP);
    let digest = Digest::of(&octets);
    for at in 0..octets.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = octets.clone();
            damaged[at] ^= flip;
            assert!(read_network(&damaged).is_err(), "octet {at} of a network");
        }
    }
    let now = write_conditions(&conditions, STAMP, &digest);
    for at in 0..now.len() {
        let mut damaged = now.clone();
        damaged[at] ^= 0x10;
        assert!(read_conditions(&damaged, &network, &digest).is_err(), "octet {at} of conditions");
    }
    for length in 0..octets.len() {
        assert!(read_network(&octets[..length]).is_err(), "cut at {length}");
    }
}

/// With checksums that match, what is inside is still not believed.
#[test]
fn what_cannot_be_is_refused_though_its_checksum_is_right() {
    let (network, conditions) = small();
    type Change = fn(&mut Network);
    let wrong: [(&str, Change); 8] = [
        ("site of a server", |network| network.servers[0].site.0 = 1),
        ("servers of a site", |network| network.sites[0].servers = 0..9),
        ("name of a server", |network| drop(network.server_names.pop())),
        ("site of a ranking", |network| network.units.ranked[0].site.0 = 2),
        ("unit of a prefix", |network| network.prefixes.v4[1].1.0 = 9999),
        ("order of prefixes", |network| network.prefixes.v6.swap(1, 2)),
        ("first prefix", |network| network.prefixes.v4[0].0 = 1),
        ("place of a site", |network| network.sites[0].latitude = f32::NAN),
    ];
    for (what, change) in wrong {
        let mut other = network.clone();
        change(&mut other);
        let read = read_network(&write_network(&other, STAMP));
        assert!(matches!(read, Err(FileError::Malformed { .. })), "{what}: {read:?}");
    }
    let digest = Digest([0; 32]);
    let mut more = conditions;
    more.servers.resize(9, Default::default());
    let read = read_conditions(&write_conditions(&more, STAMP, &digest), &network, &digest);
    assert!(matches!(read, Err(FileError::Malformed { .. })), "{read:?}");
}

/// The example of MAP-FILE.md: version 1 as it will be read for ever.
#[test]
fn the_documented_file_is_read() {
    let document = include_str!("../../MAP-FILE.md");
    let hex = document.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let digits: String = hex
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split_whitespace())
        .collect();
    let octets: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    let digest = Digest([0xab; 32]);
    let (network, mut conditions) = small();
    conditions.hot.clear();
    assert_eq!(
        write_conditions(&conditions, STAMP, &digest),
        octets,
        "the documented file is not what is written"
    );
    assert_eq!(read_conditions(&octets, &network, &digest).unwrap(), (conditions, STAMP));
}

proptest! {
    #[test]
    fn maps_come_back_as_they_were((network, conditions) in sample::any_map(), epoch: u64, time: u64) {
        let stamp = Stamp { epoch: Epoch(epoch), time };
        let octets = write_network(&network, stamp);
        let (read, found) = read_network(&octets).unwrap();
        prop_assert_eq!(&read, &network);
        prop_assert_eq!(found, stamp);
        prop_assert_eq!(write_network(&read, stamp), octets.clone());
        let digest = Digest::of(&octets);
        prop_assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        let now = write_conditions(&conditions, stamp, &digest);
        prop_assert_eq!(read_conditions(&now, &network, &digest).unwrap(), (conditions, stamp));
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..400), sealed: bool) {
        let mut octets = octets;
        if sealed && octets.len() > 72 {
            octets[..8].copy_from_slice(b"\x93MAPN\r\n\x1a");
            octets[8..10].copy_from_slice(&1_u16.to_le_bytes());
            let length = (octets.len() as u64).to_le_bytes();
            octets[60..68].copy_from_slice(&length);
            let sum = crc32fast::hash(&octets[..68]).to_le_bytes();
            octets[68..72].copy_from_slice(&sum);
        }
        let _ = read_network(&octets);
        let _ = peek_conditions(&octets);
    }
}
