//! What is read from each input, and what is said of one that is wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build_support;

use std::io::Write;

use build_support::{Value, city, mmdb, mrt};
use mapper::build::bgp::{Collector, Limits, Routes};
use mapper::build::plant::Plant;
use mapper::build::prefix::Prefix;
use mapper::build::probes::Probes;
use mapper::build::{BadInput, demand, geo, network_file, probes, tables, traces};
use mapper::network::Order;
use proptest::prelude::*;

fn network(text: &str) -> Result<Plant, Vec<BadInput>> {
    let mut plant = Plant::default();
    network_file::read("network.toml", text, &mut plant)?;
    plant.checked()
}

const SMALL: &str = r#"
[[site]]
name = "fra1"
domain = "frankfurt"
latitude = 50.1
longitude = 8.7
asn = 3320
bandwidth = 100000
name-servers = ["192.0.2.1", { v4 = "192.0.2.2", v6 = "2001:db8::2" }]

[[server]]
name = "fra1-a"
site = "fra1"
addresses = ["192.0.2.10", "2001:db8::10"]
capacity = 100
rack = "r1"
features = ["video"]

[[service]]
name = "web"
hosts = ["www", "a{0..2}", "*.shop"]
needs = ["video"]
copies = 2
near = 3
elsewhere = 1
ttl = 30
order = "random"
fallback = { alias = "origin.example.net." }
https = { alpn = ["h2"], port = 8443 }
"#;

#[test]
fn a_network_is_read() {
    let plant = network(SMALL).unwrap();
    assert_eq!(plant.sites[0].name_servers.len(), 2);
    assert_eq!(plant.sites[0].domain(), "frankfurt");
    assert_eq!(plant.servers[0].capacity, 100);
    let service = &plant.services[0];
    assert_eq!(service.hosts, ["*.shop", "a0", "a1", "a2", "www"]);
    assert_eq!(
        (service.copies, service.near, service.elsewhere, service.ttl, service.order),
        (2, 3, 1, 30, Order::Random)
    );
    assert_eq!(plant.features, ["video"]);
}

/// Each change of the example, and the message it gives.
#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "capacity = 100",
            "capcity = 100",
            "network.toml:15:1: unknown field `capcity`, expected one of `name`, `site`, `addresses`, `capacity`, `rack`, `features`; did you mean \"capacity\"?",
        ),
        (
            "capacity = 100",
            "capacity = 0",
            "network.toml:12: server.capacity: is 0; from 1 to 1000000, in a unit of your choice",
        ),
        (
            "site = \"fra1\"\n",
            "site = \"fra2\"\n",
            "network.toml:12: site: server \"fra1-a\" is at site \"fra2\", which there is not; did you mean \"fra1\"?",
        ),
        (
            "latitude = 50.1",
            "latitude = 150.1",
            "network.toml:3: site.latitude: latitude is from -90 to 90 degrees north, longitude from -180 to 180 degrees east",
        ),
        ("longitude = 8.7", "", "network.toml:3: site.latitude: latitude and longitude go together"),
        (
            "\"192.0.2.10\"",
            "\"192.0.2.300\"",
            "network.toml:12: server.addresses: \"192.0.2.300\" is not an address",
        ),
        (
            "\"192.0.2.10\"",
            "\"224.0.0.1\"",
            "network.toml:12: server.addresses: 224.0.0.1 is no address of one server",
        ),
        ("a{0..2}", "a{2..0}", "network.toml:20: service.hosts: \"a{2..0}\" has a range from 2 down to 0"),
        (
            "\"www\"",
            "\"WWW\"",
            "network.toml:20: service.hosts: \"WWW\" holds 'W'; lowercase letters, digits, - and _ may be used, and * as first label",
        ),
        (
            "needs = [\"video\"]",
            "needs = [\"vidoe\"]",
            "network.toml:20: needs: service \"web\" needs \"vidoe\", which no server offers; did you mean \"video\"?",
        ),
        ("near = 3", "near = 9", "network.toml:20: service.near: is 9; from 1 to 8 addresses"),
        (
            "elsewhere = 1",
            "elsewhere = 6",
            "network.toml:20: service.elsewhere: is 6; with near (3) at most 8 addresses",
        ),
        (
            "origin.example.net.",
            "origin.example.net",
            "network.toml:20: service.fallback: alias \"origin.example.net\" is not absolute: it needs a final dot",
        ),
        (
            "{ alias = \"origin.example.net.\" }",
            "{ site = \"fra9\" }",
            "network.toml:20: fallback: service \"web\" falls back to site \"fra9\", which there is not; did you mean \"fra1\"?",
        ),
        (
            "order = \"random\"",
            "order = \"ramdom\"",
            "network.toml:27:9: unknown variant `ramdom`, expected one of `fixed`, `rotated`, `random`; did you mean \"random\"?",
        ),
        (
            "name = \"fra1-a\"",
            "name = \"fra 1\"",
            "network.toml:12: server.name: holds ' '; letters, digits and . - _ : / + may be used",
        ),
    ];
    for (from, to, message) in cases {
        assert!(SMALL.contains(from), "{from}");
        let problems = network(&SMALL.replacen(from, to, 1)).unwrap_err();
        assert_eq!(problems[0].to_string(), *message, "{to}");
    }
    let twice =
        format!("{SMALL}\n[[server]]\nname = \"fra1-a\"\nsite = \"fra1\"\naddresses = [\"192.0.2.11\"]\n");
    let twice = network(&twice).unwrap_err();
    assert_eq!(
        twice[0].to_string(),
        "network.toml:32: name: server \"fra1-a\" is there twice; the other is at network.toml:12"
    );
    let shared =
        format!("{SMALL}\n[[server]]\nname = \"b\"\nsite = \"fra1\"\naddresses = [\"192.0.2.10\"]\n");
    let shared = network(&shared).unwrap_err()[0].to_string();
    assert!(
        shared.contains("servers \"b\" and \"fra1-a\" have the same address 192.0.2.10")
            || shared.contains("servers \"fra1-a\" and \"b\" have the same address"),
        "{shared}"
    );
    assert_eq!(
        network("").unwrap_err()[0].to_string(),
        "network.toml: there are no sites; a map needs at least one"
    );
}

#[test]
fn tables_say_the_same_as_a_network_file() {
    let expected = network(SMALL).unwrap();
    let rest = &SMALL[SMALL.find("[[service]]").unwrap()..];
    let csv = (
        "name,domain,latitude,longitude,asn,bandwidth,name-servers\nfra1,frankfurt,50.1,8.7,3320,100000,192.0.2.1 192.0.2.2+2001:db8::2\n",
        "site,name,addresses,capacity,rack,features\n# the only one\n\"fra1\",fra1-a,192.0.2.10 2001:db8::10,100,r1,video\n",
        tables::Form::Csv,
    );
    let json = (
        r#"{"name":"fra1","domain":"frankfurt","latitude":50.1,"longitude":8.7,"asn":3320,"bandwidth":100000,"name-servers":["192.0.2.1","192.0.2.2+2001:db8::2"]}"#,
        r#"{"name":"fra1-a","site":"fra1","addresses":["192.0.2.10","2001:db8::10"],"capacity":100,"rack":"r1","features":["video"]}"#,
        tables::Form::JsonLines,
    );
    for (sites, servers, form) in [csv, json] {
        let mut plant = Plant::default();
        network_file::read("services.toml", rest, &mut plant).unwrap();
        tables::read_sites("sites", sites, form, &mut plant).unwrap();
        tables::read_servers("servers", servers, form, &mut plant).unwrap();
        let plant = plant.checked().unwrap();
        let strip = |plant: &Plant| {
            let mut plain = plant.clone();
            plain.files.clear();
            plain.sites.iter_mut().for_each(|site| site.said = Default::default());
            plain.servers.iter_mut().for_each(|server| server.said = Default::default());
            plain.services.iter_mut().for_each(|service| service.said = Default::default());
            plain
        };
        assert_eq!(strip(&plant), strip(&expected));
    }
}

#[test]
fn a_table_says_what_is_wrong_with_it() {
    let read = |text: &str, form| {
        let mut plant = Plant::default();
        tables::read_servers("s.csv", text, form, &mut plant)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        read("name,sites\n", tables::Form::Csv),
        ["s.csv:1: there is no column \"sites\"; did you mean \"site\"?"]
    );
    assert_eq!(read("name,name\n", tables::Form::Csv), ["s.csv:1: column \"name\" is there twice"]);
    assert_eq!(
        read(
            "name,site,addresses,capacity\na,x,192.0.2.1,many\nb,x,,1\nc,x,192.0.2.3,1,7\n\"d,x\n",
            tables::Form::Csv
        ),
        [
            "s.csv:2: capacity: \"many\" is no number that fits",
            "s.csv:3: addresses: no address",
            "s.csv:4: has 5 fields, but the heading names 4 columns",
            "s.csv:5: has a quote that does not end",
        ]
    );
    let json =
        read("{\"name\":\"a\",\"site\":\"x\",\"adresses\":[\"192.0.2.1\"]}\n{\n", tables::Form::JsonLines);
    assert!(
        json[0].starts_with("s.csv:1: unknown field `adresses`")
            && json[0].ends_with("did you mean \"addresses\"?"),
        "{json:?}"
    );
    assert!(json[1].starts_with("s.csv:2: EOF while parsing"), "{json:?}");
}

fn routes(dump: &[u8]) -> Result<Routes, BadInput> {
    let mut collector = Collector::new(Limits::default());
    collector.read("rib", 5, dump)?;
    Ok(collector.finish())
}

#[test]
fn a_dump_gives_origins_and_neighbours() {
    let dump = mrt(&[
        ("198.51.100.0/24", &[&[3356, 1299, 3320], &[174, 3320, 3320]]),
        ("203.0.113.0/24", &[&[3356, 2914], &[174, 9009], &[6939, 9009]]),
        ("2001:db8::/32", &[&[3356, 3320]]),
        ("0.0.0.0/0", &[&[3356]]),
        ("192.0.2.0/24", &[&[3356, 64512]]),
    ]);
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&dump).unwrap();
    // As bzip2 makes them on several cores: streams one after another.
    let squeezed = dump.chunks(dump.len() / 2 + 1).flat_map(|part| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap()
    });
    let squeezed: Vec<u8> = squeezed.collect();
    let routes = routes(&dump).unwrap();
    let origins: Vec<(String, u32)> =
        routes.origins.iter().map(|(prefix, asn)| (prefix.to_string(), *asn)).collect();
    let expected = [("198.51.100.0/24", 3320), ("203.0.113.0/24", 9009), ("2001:db8::/32", 3320)];
    assert_eq!(origins, expected.map(|(prefix, asn)| (prefix.to_owned(), asn)));
    let distances = routes.graph.distances(vec![3320], 1);
    let steps = |asn| distances.to(asn).map(|to| to.from(0));
    assert_eq!(
        [3320, 174, 1299, 3356, 9009, 64512].map(steps),
        [Some(0), Some(1), Some(1), Some(1), Some(2), None]
    );
    let source = &routes.sources[0];
    assert_eq!((source.time, source.lines, source.used), (1_789_999_000, 6, 3));
    let reasons: Vec<_> =
        source.skipped.iter().map(|skipped| (skipped.reason, skipped.count, skipped.first)).collect();
    assert_eq!(reasons, [("a default route", 1, 5), ("no route with an origin", 1, 6)]);
    assert_eq!(self::routes(&zipped.finish().unwrap()).unwrap(), routes);
    assert_eq!(self::routes(&squeezed).unwrap(), routes);
}

#[test]
fn what_is_no_dump_is_refused_and_a_torn_one_is_used() {
    let message = |octets: &[u8]| routes(octets).unwrap_err().to_string();
    assert!(message(b"").contains("is empty"));
    assert!(message(b"BZh91AY").contains("none is a route"));
    assert!(message(b"hello, this is no dump of anything").contains("is no MRT dump"));
    let dump = mrt(&[("198.51.100.0/24", &[&[3356, 3320]]), ("203.0.113.0/24", &[&[3356, 9009]])]);
    let torn = routes(&dump[..dump.len() - 3]).unwrap();
    assert_eq!(torn.origins.len(), 1);
    assert!(torn.sources[0].skipped[0].reason.contains("breaks off"));
}

#[test]
fn a_database_gives_places() {
    let country = Value::Map(vec![("country", Value::Map(vec![("iso_code", Value::Text("DE".into()))]))]);
    let network = Value::Map(vec![("autonomous_system_number", Value::Number(3320))]);
    let nothing = Value::Map(vec![("continent", Value::Text("EU".into()))]);
    let octets = mmdb(&[
        ("198.51.100.0/24", city(50.11, 8.68)),
        ("203.0.113.0/25", country),
        ("2001:db8::/32", network),
        ("192.0.2.0/24", nothing),
        ("2001:db9::/80", city(1.0, 1.0)),
    ]);
    let places = geo::read("city.mmdb", 5, &octets).unwrap();
    let mut found: Vec<_> = places
        .prefixes
        .iter()
        .map(|(prefix, at)| (prefix.to_string(), places.places[*at as usize]))
        .map(|(p, place)| (p, place.at, place.country_only, place.asn))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("198.51.100.0/24".to_owned(), Some((50_110, 8_680)), false, 0),
            ("2001:db8::/32".to_owned(), None, false, 3320),
            ("203.0.113.0/25".to_owned(), Some((51_000, 9_000)), true, 0),
        ]
    );
    assert_eq!((places.source.time, places.source.lines, places.source.used), (1_789_000_000, 5, 3));
    assert!(geo::read("x", 5, b"no database").unwrap_err().to_string().contains("is no MMDB database"));
}

#[test]
fn numbers_of_places_are_read_in_any_width_and_a_wrong_field_costs_only_itself() {
    let asn = |number: Value| ("autonomous_system_number", number);
    let at = |latitude: Value, longitude: Value| {
        ("location", Value::Map(vec![("latitude", latitude), ("longitude", longitude)]))
    };
    let (uint16, uint32, int32, uint64, uint128) = (5, 6, 8, 9, 10);
    let wide = |kind: u8, number: u64| Value::Integer(kind, number.to_be_bytes().to_vec());
    /// A record, the place and the number that are read of it.
    type Read = (Value, Option<(i32, i32)>, u32);
    let records: Vec<Read> = vec![
        (Value::Map(vec![asn(Value::Integer(uint16, vec![0x0c, 0xf8]))]), None, 3320),
        (Value::Map(vec![asn(Value::Integer(uint32, vec![0x0c, 0xf8]))]), None, 3320),
        (Value::Map(vec![asn(Value::Integer(int32, vec![0, 0, 0x0c, 0xf8]))]), None, 3320),
        (Value::Map(vec![asn(wide(uint64, 3320))]), None, 3320),
        (Value::Map(vec![asn(wide(uint128, 3320))]), None, 3320),
        (Value::Map(vec![at(Value::Float(50.5), Value::Integer(uint16, vec![8]))]), Some((50_500, 8_000)), 0),
        (
            Value::Map(vec![at(
                Value::Integer(int32, (-33_i32).to_be_bytes().to_vec()),
                Value::Double(151.0),
            )]),
            Some((-33_000, 151_000)),
            0,
        ),
        // What is wrong costs its field.
        (
            Value::Map(vec![at(Value::Double(50.0), Value::Double(8.0)), asn(Value::Text("AS3320".into()))]),
            Some((50_000, 8_000)),
            0,
        ),
        (
            Value::Map(vec![at(Value::Text("50".into()), Value::Double(8.0)), asn(Value::Number(3320))]),
            None,
            3320,
        ),
        (
            Value::Map(vec![
                ("location", Value::Bool(true)),
                ("country", Value::Array(vec![Value::Number(7)])),
                ("registered_country", Value::Map(vec![("iso_code", Value::Text("DE".into()))])),
                asn(wide(uint64, 1 << 40)),
            ]),
            Some((51_000, 9_000)),
            0,
        ),
    ];
    let networks: Vec<String> = (0..records.len()).map(|n| format!("198.51.{n}.0/24")).collect();
    let named: Vec<(&str, Value)> =
        networks.iter().map(String::as_str).zip(records.iter().map(|(value, ..)| value.clone())).collect();
    let places = geo::read("city.mmdb", 5, &mmdb(&named)).unwrap();
    let mut found: Vec<_> =
        places.prefixes.iter().map(|(prefix, at)| (*prefix, places.places[*at as usize])).collect();
    found.sort();
    let found: Vec<_> = found.iter().map(|(_, place)| (place.at, place.asn)).collect();
    assert_eq!(found, records.iter().map(|(_, at, asn)| (*at, *asn)).collect::<Vec<_>>());
    assert_eq!((places.source.lines, places.source.used), (10, 10));
    let told: Vec<String> = places.source.skipped.iter().map(|skipped| skipped.tell("city.mmdb")).collect();
    assert_eq!(
        told,
        [
            "city.mmdb:8: not used: autonomous_system_number, which is no whole number from 0 to 4294967295; and one more like it",
            "city.mmdb:9: not used: location, where latitude and longitude are no numbers of degrees; and one more like it",
            "city.mmdb:10: not used: country or registered_country, which is neither a code nor has one as text in iso_code",
        ]
    );
    assert!(places.source.skipped.iter().all(|skipped| geo::hardly_meant(10, skipped)));
    // Records that are no maps, and a database that hardly says anything.
    let nothing = Value::Map(vec![("continent", Value::Text("EU".into()))]);
    let octets = mmdb(&[
        ("192.0.2.0/24", Value::Text("DE".into())),
        ("198.51.100.0/24", city(1.0, 2.0)),
        ("203.0.113.0/24", nothing.clone()),
    ]);
    let places = geo::read("city.mmdb", 5, &octets).unwrap();
    let hardly = |places: &geo::Places| -> Vec<&str> {
        let source = &places.source;
        let told = source.skipped.iter().filter(|skipped| geo::hardly_meant(source.lines, skipped));
        told.map(|skipped| skipped.reason).collect()
    };
    assert_eq!(hardly(&places), ["a record that is no map, or is damaged"]);
    let octets = mmdb(&[
        ("192.0.2.0/24", nothing.clone()),
        ("198.51.100.0/24", city(1.0, 2.0)),
        ("203.0.113.0/24", nothing),
    ]);
    assert_eq!(hardly(&geo::read("city.mmdb", 5, &octets).unwrap()), ["says neither place nor network"]);
}

#[test]
fn lines_of_measurements_and_of_demand() {
    let mut read = Probes::default();
    let text = r#"{"site":"fra1","target":"203.0.113.9","rtt-min":9,"rtt-median":11.8,"loss":0.01,"time":1790000000}
{"site":"fra1","target":"2001:db8::/32","rtt":0.0001}
{"site":"lon1","target":"198.51.100.0/24","loss":1}
{"site":"lon1","target":"198.51.100.0/24"}
{"site":"lon1","target":"198.51.100.0/24","rtt":-1}
{"site":"lon1","target":"198.51.100.0/24","rttt":1}
{"site":"lon1","target":"0.0.0.0/0","rtt":1}
"#;
    probes::read("p.jsonl", 7, text, &mut read).unwrap();
    let rows: Vec<_> = read
        .probes
        .iter()
        .map(|probe| (probe.target.to_string(), probe.time, probe.rtt, probe.loss))
        .collect();
    let expected = [
        ("203.0.113.0/24", 1_790_000_000, 11_800, 10_000),
        ("2001:db8::/32", 7, 1, 0),
        ("198.51.100.0/24", 7, 10_000_000, 1_000_000),
    ];
    assert_eq!(rows, expected.map(|(target, time, rtt, loss)| (target.to_owned(), time, rtt, loss)));
    let reasons: Vec<_> =
        read.sources[0].skipped.iter().map(|skipped| (skipped.first, skipped.reason)).collect();
    assert_eq!(
        reasons,
        [
            (4, "no rtt, though not all was lost"),
            (5, "rtt is no time in milliseconds"),
            (6, "a key that is misspelt"),
            (7, "target is all addresses")
        ]
    );

    let mut known = demand::Demand::default();
    demand::read("d.csv", 7, "# busy\n203.0.113.0/24,12.5\n2001:db8::1 3 # v6\n203.0.113.0/24\n", &mut known)
        .unwrap();
    let rows: Vec<_> =
        known.prefixes.iter().map(|(prefix, queries)| (prefix.to_string(), *queries)).collect();
    assert_eq!(rows, [("203.0.113.0/24".to_owned(), 12_500), ("2001:db8::/48".to_owned(), 3_000)]);
    let bad = demand::read_prefixes("p.txt", "10.0.0.0/8\n10.0.0.1/8\n").unwrap_err();
    assert_eq!(bad.to_string(), "p.txt:2: \"10.0.0.1/8\" has bits beyond its length");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_dumps_and_databases_never_panic(at in any::<prop::sample::Index>(), value: u8, cut in any::<prop::sample::Index>(), cuts: bool) {
        let dump = mrt(&[("198.51.100.0/24", &[&[3356, 3320], &[174, 3320]]), ("2001:db8::/32", &[&[3356, 9009]])]);
        let base = mmdb(&[("198.51.100.0/24", city(50.11, 8.68)), ("2001:db8::/32", city(1.0, 2.0))]);
        for (octets, is_dump) in [(dump, true), (base, false)] {
            let mut octets = octets;
            let place = at.index(octets.len());
            octets[place] = value;
            if cuts {
                octets.truncate(cut.index(octets.len()));
            }
            if is_dump {
                let _ = routes(&octets);
            } else {
                let _ = geo::read("x", 5, &octets);
            }
        }
    }

    #[test]
    fn any_text_is_a_network_or_errors_that_name_the_file(
        text in "(\\[\\[(site|server|service)\\]\\]|name|site|hosts|addresses|=|\"[a-z{}.0-9*]{0,8}\"|\\[|\\]|[0-9.-]{1,5}|\n| |,){0,60}|\\PC{0,80}"
    ) {
        if let Err(problems) = network(&text) {
            prop_assert!(problems.iter().all(|problem| problem.to_string().starts_with("network.toml")));
        }
        let mut plant = Plant::default();
        let _ = tables::read_sites("s.csv", &text, tables::Form::Csv, &mut plant);
        let _ = tables::read_servers("s.jsonl", &text, tables::Form::JsonLines, &mut plant);
        let mut probes = Probes::default();
        let _ = probes::read("p", 1, &text, &mut probes);
        let _ = traces::read("p", 1, &text, &mut probes);
        let mut known = demand::Demand::default();
        let _ = demand::read("d", 1, &text, &mut known);
        prop_assert!(known.prefixes.iter().all(|(prefix, _)| Prefix::parse(&prefix.to_string(), 1, 1) == Ok(*prefix)));
    }
}
