//! Map files: of a damaged one nothing is read; where checksums are made good, what is read is whole and is written the same.

use std::sync::Arc;

use mapper::build::plant::Plant;
use mapper::build::{Builder, Inputs, Settings, network_file};
use mapper::conditions::Conditions;
use mapper::map::Epoch;
use mapper::map::churn::churn;
use mapper::map::diff::{Options, Side, diff};
use mapper::map::file::{
    Digest, Stamp, peek_conditions, read_conditions, read_network, write_conditions, write_network,
};
use mapper::network::{Network, UnitId};

use crate::input::Input;

const STAMP: Stamp = Stamp { epoch: Epoch(7), time: 1_790_000_000_000 };
const HEAD: usize = 72;

fn network() -> Network {
    let text = "[[site]]\nname=\"a\"\nlatitude=1\nlongitude=2\nname-servers=[\"192.0.2.9\"]\n[[site]]\nname=\"b\"\n\
        [[server]]\nname=\"s\"\nsite=\"a\"\naddresses=[\"192.0.2.1\"]\nfeatures=[\"v\"]\n\
        [[server]]\nname=\"t\"\nsite=\"b\"\naddresses=[\"2001:db8::1\"]\n\
        [[service]]\nname=\"w\"\nhosts=[\"www\"]\nfallback={site=\"b\"}\nhttps={alpn=[\"h2\"]}\n";
    let mut plant = Plant::default();
    network_file::read("n", text, &mut plant).unwrap();
    let prefixes = ["10.0.0.0/8", "2001:db8::/32"]
        .map(|text| mapper::build::prefix::Prefix::parse(text, 24, 48).unwrap());
    let inputs = Inputs {
        plant: Arc::new(plant.checked().unwrap()),
        prefixes: Arc::new(prefixes.to_vec()),
        ..Inputs::default()
    };
    Builder::new(Settings::default()).build(7, &inputs).network
}

fn conditions(network: &Network) -> Conditions {
    let mut conditions = Conditions::calm(network);
    (conditions.servers[0].busy, conditions.servers[1].spread) = (true, 9);
    conditions.sites[1].shifted = 3;
    conditions
}

/// First octet: whether checksums are made good. Then a file.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let network = network();
    let file = write_network(&network, STAMP);
    let now = write_conditions(&conditions(&network), STAMP, &Digest::of(&file));
    [file, now].iter().flat_map(|file| [0, 1].map(|first| [&[first][..], file].concat())).collect()
}

/// Checksums and lengths as they would be if this had been written.
fn make_good(octets: &mut [u8]) {
    if octets.len() < HEAD {
        return;
    }
    let length = octets.len() as u64;
    octets[60..68].copy_from_slice(&length.to_le_bytes());
    let sum = crc32fast::hash(&octets[..68]);
    octets[68..72].copy_from_slice(&sum.to_le_bytes());
    let mut at = HEAD;
    while at + 20 <= octets.len() {
        let mut length = [0; 8];
        length.copy_from_slice(&octets[at + 4..at + 12]);
        let left = octets.len() - at - 20;
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(left).min(left);
        let sum = crc32fast::hash(&octets[at + 20..at + 20 + length]);
        octets[at + 12..at + 16].copy_from_slice(&sum.to_le_bytes());
        let sum = crc32fast::hash(&octets[at..at + 16]);
        octets[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
        at += 20 + length;
    }
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let good = input.byte() & 1 == 1;
    let mut octets = input.0.to_vec();
    if good {
        make_good(&mut octets);
    }
    if let Ok((read, stamp)) = read_network(&octets) {
        // What is read can be used: no position leads beyond the end.
        for unit in 0..read.units.len() as u32 {
            assert!(
                read.units
                    .ranking(UnitId(unit))
                    .iter()
                    .all(|ranked| (ranked.site.0 as usize) < read.sites.len())
            );
        }
        let again = write_network(&read, stamp);
        assert!(read_network(&again).unwrap() == (read.clone(), stamp));
        let calm = Conditions::calm(&read);
        assert_eq!(churn((&read, &calm), (&read, &calm)).demand, 0);
        let side = Side { network: &read, conditions: &calm };
        assert!(diff(side, side, Options { top: 3, names: 2 }).moves.is_empty());
    }
    let known = network();
    let Ok((_, digest)) = peek_conditions(&octets) else { return };
    if let Ok((read, stamp)) = read_conditions(&octets, &known, &digest) {
        assert!(read.servers.len() <= known.servers.len() && read.sites.len() <= known.sites.len());
        let again = write_conditions(&read, stamp, &digest);
        assert_eq!(read_conditions(&again, &known, &digest).unwrap(), (read, stamp));
    }
}
