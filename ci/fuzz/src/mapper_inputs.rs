//! What the mapper builds from: any octets are read or refused by name, always in the same way, and what is read can be built.

use std::sync::Arc;

use mapper::build::bgp::{Collector, Limits, Routes};
use mapper::build::demand::{self, Demand};
use mapper::build::geo::{self, Places};
use mapper::build::plant::Plant;
use mapper::build::probes::{self, Probes};
use mapper::build::{BadInput, Builder, Inputs, Settings, network_file, tables, traces};
use mapper::map::Epoch;
use mapper::map::file::{Stamp, read_network, write_network};

use crate::input::Input;

const NAME: &str = "fra.input";
const NOW: u64 = 1_790_000_000;

const NETWORK: &str = r#"
[[site]]
name = "fra"
domain = "frankfurt"
latitude = 50.1
longitude = 8.7
asn = 3320
name-servers = ["192.0.2.1", { v6 = "2001:db8::2" }]
[[site]]
name = "lon"
[[server]]
name = "fra-a"
site = "fra"
addresses = ["192.0.2.10", "2001:db8::10"]
rack = "r1"
features = ["video"]
[[service]]
name = "web"
hosts = ["www", "a{0..2}", "*.shop"]
needs = ["video"]
fallback = { alias = "origin.example.net." }
https = { alpn = ["h2"], port = 8443 }
"#;

/// A dump with a table of one peer, and two prefixes.
fn dump() -> Vec<u8> {
    const TIME: [u8; 4] = [0x6a, 0xb1, 0x3b, 0x80];
    let record = |subtype: u8, body: &[u8]| {
        let length = (body.len() as u32).to_be_bytes();
        [&TIME[..], &[0, 13, 0, subtype], &length, body].concat()
    };
    // Origin, the path 3356 3320, next hop.
    let attributes = [
        &[0x40, 1, 1, 0][..],
        &[0x40, 2, 10, 2, 2, 0, 0, 13, 28, 0, 0, 12, 248],
        &[0x40, 3, 4, 192, 0, 2, 9],
    ]
    .concat();
    let route = [&[0, 0][..], &TIME, &[0, attributes.len() as u8], &attributes].concat();
    let prefix = |prefix: &[u8]| [&[0, 0, 0, 0][..], prefix, &[0, 1], &route].concat();
    [
        record(1, &[192, 0, 2, 1, 0, 0, 0, 1, 2, 192, 0, 2, 2, 192, 0, 2, 2, 0, 0, 13, 28]),
        record(2, &prefix(&[24, 198, 51, 100])),
        record(4, &prefix(&[32, 0x20, 1, 0xd, 0xb8])),
    ]
    .concat()
}

/// A database of one node, half of which has a place.
fn database() -> Vec<u8> {
    let mut octets = vec![0, 0, 0, 17, 0, 0, 0, 1];
    octets.extend([0; 16]);
    octets.extend(b"\xe2\x48location\xe2\x48latitude\x68");
    octets.extend(50.1_f64.to_be_bytes());
    octets.extend(b"\x49longitude\x68");
    octets.extend(8.7_f64.to_be_bytes());
    octets.extend(b"\x58autonomous_system_number\xc2\x0c\xf8");
    octets.extend(
        b"\xab\xcd\xefMaxMind.com\xe9\x4anode_count\xc1\x01\x4brecord_size\xa1\x20\x4aip_version\xa1\x06",
    );
    octets.extend(b"\x5bbinary_format_major_version\xa1\x02\x5bbinary_format_minor_version\xa0");
    octets.extend(b"\x4bbuild_epoch\x04\x02\x6a\xb1\x3b\x80\x4ddatabase_type\x44Test\x49languages\0\x04\x4bdescription\xe0");
    octets
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let ping = "# site: fra\nPING x (203.0.113.7) 56(84) bytes of data.\n64 bytes from 203.0.113.7: icmp_seq=1 ttl=56 time=11.9 ms\n2 packets transmitted, 1 received, 50% packet loss\n";
    let trace = "traceroute to x (203.0.113.7), 30 hops max\n 1  a (192.0.2.1)  0.5 ms *\n 2  203.0.113.7 (203.0.113.7)  9 ms\n";
    let mtr =
        r#"{"report":{"mtr":{"dst":"203.0.113.7"},"hubs":[{"host":"203.0.113.7","Loss%":1.5,"Avg":8.25}]}}"#;
    let probe = r#"{"site":"fra","target":"203.0.113.0/24","rtt":11.8,"loss":0.01,"time":1790000000}"#;
    let sites = "name,domain,latitude,longitude,asn,bandwidth,name-servers\nfra,f,50.1,8.7,3320,1,192.0.2.1+2001:db8::2\n";
    let server = r#"{"name":"fra-a","site":"fra","addresses":["192.0.2.10"],"capacity":7}"#;
    let texts = [
        (0, NETWORK),
        (1, sites),
        (2, server),
        (3, probe),
        (4, ping),
        (4, trace),
        (4, mtr),
        (5, "203.0.113.0/24,12.5\n2001:db8::/32 3\n"),
    ];
    let mut seeds: Vec<Vec<u8>> =
        texts.iter().map(|(kind, text)| [&[*kind][..], text.as_bytes()].concat()).collect();
    seeds.push([&[6][..], &dump()].concat());
    seeds.push([&[7][..], &database()].concat());
    seeds
}

/// The seeds are what they are meant to be.
#[test]
fn seeds_are_read() {
    assert_eq!(routes(&dump()).unwrap().origins.len(), 2);
    assert_eq!(geo::read(NAME, NOW, &database()).unwrap().prefixes.len(), 1);
}

fn named(problems: &[BadInput]) {
    assert!(!problems.is_empty());
    for problem in problems {
        assert_eq!(problem.file, NAME, "which file? {problem}");
    }
}

fn routes(octets: &[u8]) -> Result<Routes, BadInput> {
    let mut collector = Collector::new(Limits { octets: 1 << 20, prefixes: 100, links: 100 });
    collector.read(NAME, NOW, octets)?;
    Ok(collector.finish())
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.byte();
    let octets = input.0;
    let text = std::str::from_utf8(octets).ok();
    let mut base = Plant::default();
    network_file::read(NAME, NETWORK, &mut base).unwrap();
    let mut inputs = Inputs::default();
    match (kind % 8, text) {
        (0..=2, Some(text)) => {
            let mut plant = Plant::default();
            let result = match kind % 8 {
                0 => network_file::read(NAME, text, &mut plant),
                1 => tables::read_sites(NAME, text, tables::Form::Csv, &mut plant),
                _ => tables::read_servers(NAME, text, tables::Form::JsonLines, &mut plant),
            };
            if kind % 8 != 0 {
                plant.services = base.services.clone();
            }
            match result.and_then(|()| plant.checked()) {
                Ok(plant) => inputs.plant = Arc::new(plant),
                Err(problems) => return named(&problems),
            }
        }
        (3 | 4, Some(text)) => {
            let mut probes = Probes::default();
            let read = if kind % 8 == 3 { probes::read } else { traces::read };
            match read(NAME, NOW, text, &mut probes) {
                Ok(()) => assert_eq!(probes.sources.len(), 1),
                Err(problem) => return named(&[problem]),
            }
            inputs.probes = Arc::new(probes);
        }
        (5, Some(text)) => {
            let mut demand = Demand::default();
            match demand::read(NAME, NOW, text, &mut demand) {
                Ok(()) => inputs.demand = Arc::new(demand),
                Err(problem) => return named(&[problem]),
            }
        }
        (6, _) => match routes(octets) {
            Ok(read) => inputs.routes = Arc::new(read),
            Err(problem) => return named(&[problem]),
        },
        (7, _) => {
            let read = geo::read(NAME, NOW, octets);
            assert_eq!(read.is_ok(), geo::read(NAME, NOW, octets).is_ok());
            match read {
                Ok(places) => inputs.places = vec![Arc::<Places>::new(places)],
                Err(problem) => return named(&[problem]),
            }
        }
        _ => return,
    }
    if kind % 8 > 2 {
        inputs.plant = Arc::new(base.checked().unwrap());
    }
    // What was read can be built, the same with other threads and by a builder that did something else before, and be kept in a file.
    let built =
        Builder::new(Settings { threads: 1, ..Settings::default() }).build(NOW + 900, &inputs).network;
    let mut builder = Builder::new(Settings { threads: 3, ..Settings::default() });
    builder.build(NOW, &Inputs { plant: Arc::clone(&inputs.plant), ..Inputs::default() });
    assert!(builder.build(NOW + 900, &inputs).network == built);
    let stamp = Stamp { epoch: Epoch(1), time: NOW };
    assert!(read_network(&write_network(&built, stamp)).unwrap().0 == built);
}
