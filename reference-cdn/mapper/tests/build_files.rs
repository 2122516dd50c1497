//! Inputs on disk: what has changed is read, and what cannot be read leaves what there was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build_support;

use std::path::Path;
use std::sync::Arc;

use build_support::{city, mmdb, mrt, ranking};
use mapper::build::{Builder, Files, InputReader, Settings};

const NETWORK: &str = "[[service]]\nname = \"web\"\nhosts = [\"www\"]\n";

/// All kinds of inputs in a folder.
fn files(folder: &Path) -> Files {
    let put = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    };
    let sites = "name,latitude,longitude,asn\nfra,50.1,8.7,3320\nnyc,40.7,-74,7018\n";
    let servers = "{\"name\":\"a\",\"site\":\"fra\",\"addresses\":[\"10.0.0.1\"]}\n{\"name\":\"b\",\"site\":\"nyc\",\"addresses\":[\"10.0.0.2\"]}\n";
    put(
        "probes/one.jsonl",
        b"{\"site\":\"nyc\",\"target\":\"198.51.100.0/24\",\"rtt\":2.5,\"time\":1790000000}\n",
    );
    put("probes/fra--198.txt", b"PING 198.51.100.1 (198.51.100.1): 56 data bytes\n64 bytes from 198.51.100.1: icmp_seq=0 ttl=9 time=30 ms\n");
    Files {
        network: vec![put("network.toml", NETWORK.as_bytes())],
        sites: vec![put("sites.csv", sites.as_bytes())],
        servers: vec![put("servers.jsonl", servers.as_bytes())],
        bgp: vec![put(
            "rib",
            &mrt(&[("198.51.100.0/24", &[&[7018, 3320]]), ("203.0.113.0/24", &[&[7018, 3320]])]),
        )],
        places: vec![put("city.mmdb", &mmdb(&[("198.51.100.0/24", city(50.0, 8.0))]))],
        probes: vec![folder.join("probes")],
        demand: vec![put("demand.csv", b"198.51.100.0/24,5\n")],
        prefixes: vec![put("prefixes.txt", b"192.0.2.0/24\n")],
    }
}

#[test]
fn every_kind_of_input_is_read_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = InputReader::new(files(folder.path()));
    let inputs = reader.read().unwrap();
    assert_eq!(inputs.problems, []);
    let built = Builder::new(Settings::default()).build(1_790_000_000, &inputs);
    let kinds: Vec<&str> = built.report.inputs.iter().map(|input| input.kind).collect();
    assert_eq!(kinds, ["bgp", "places", "probes", "probes", "demand"]);
    assert_eq!(ranking(&built.network, "198.51.100.7")[0], ("nyc".to_owned(), 2_500, 255));
    let units = [[198, 51, 100, 1], [192, 0, 2, 1], [203, 0, 113, 1], [8, 8, 8, 8]]
        .map(|address| built.network.prefixes.unit_v4(address.into()).unwrap());
    let mut different = units.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 4, "{units:?}");
}

#[test]
fn only_what_has_changed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = InputReader::new(files(folder.path()));
    let (first, second) = (reader.read().unwrap(), reader.read().unwrap());
    assert!(Arc::ptr_eq(&first.plant, &second.plant) && Arc::ptr_eq(&first.routes, &second.routes));
    assert!(Arc::ptr_eq(&first.places[0], &second.places[0]) && Arc::ptr_eq(&first.probes, &second.probes));
    // A new file in a folder of measurements.
    let more = "{\"site\":\"fra\",\"target\":\"203.0.113.0/24\",\"rtt\":1}\n";
    std::fs::write(folder.path().join("probes/two.jsonl"), more).unwrap();
    let third = reader.read().unwrap();
    assert!(Arc::ptr_eq(&first.plant, &third.plant) && !Arc::ptr_eq(&first.probes, &third.probes));
    assert_eq!(third.probes.sources.len(), 3);
}

#[test]
fn what_cannot_be_read_leaves_what_there_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = InputReader::new(files(folder.path()));
    let before = reader.read().unwrap();
    let spoil: &[(&str, &str)] = &[
        ("sites.csv", "name,latitud\n"),
        ("rib", "no dump at all, whoever wrote it"),
        ("city.mmdb", "no database"),
        ("demand.csv", "what?\n"),
        ("prefixes.txt", "192.0.2.1/24\n"),
        ("probes/bad.jsonl", "{}\n"),
    ];
    for (name, content) in spoil {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(folder.path().join("probes/utf.txt"), b"PING \xff\n").unwrap();
    let after = reader.read().unwrap();
    assert!(Arc::ptr_eq(&before.plant, &after.plant) && Arc::ptr_eq(&before.routes, &after.routes));
    assert!(Arc::ptr_eq(&before.places[0], &after.places[0]) && Arc::ptr_eq(&before.demand, &after.demand));
    assert_eq!(after.probes.probes, before.probes.probes, "of measurements the good files are used");
    let said: Vec<String> = after.problems.iter().map(ToString::to_string).collect();
    for name in
        ["sites.csv:1", "rib:1", "city.mmdb", "demand.csv:1", "prefixes.txt:1", "bad.jsonl:1", "utf.txt:1"]
    {
        assert!(said.iter().any(|line| line.contains(name)), "{name} in {said:#?}");
    }
    assert!(said[0].ends_with("did you mean \"latitude\"?"), "{}", said[0]);
    // They are good again.
    std::fs::remove_file(folder.path().join("probes/bad.jsonl")).unwrap();
    std::fs::remove_file(folder.path().join("probes/utf.txt")).unwrap();
    files(folder.path());
    assert_eq!(reader.read().unwrap().problems, []);
}

#[test]
fn without_a_network_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.toml");
    let mut reader = InputReader::new(Files { network: vec![path.clone()], ..Files::default() });
    let missing = reader.read().unwrap_err();
    assert!(missing[0].to_string().contains("cannot be read: No such file"), "{}", missing[0]);
    std::fs::write(&path, NETWORK).unwrap();
    assert!(
        reader.read().unwrap_err()[0].to_string().ends_with("there are no sites; a map needs at least one")
    );
    let whole = format!(
        "{NETWORK}[[site]]\nname = \"a\"\n[[server]]\nname = \"s\"\nsite = \"a\"\naddresses = [\"10.0.0.1\"]\n"
    );
    std::fs::write(&path, whole).unwrap();
    assert_eq!(reader.read().unwrap().plant.sites.len(), 1);
    std::fs::remove_file(&path).unwrap();
    let kept = reader.read().unwrap();
    assert_eq!((kept.plant.sites.len(), kept.problems.len()), (1, 1));
    assert_eq!(reader.read().unwrap().plant.sites.len(), 1, "still");
    assert!(InputReader::new(Files::default()).read().unwrap_err()[0].to_string().contains("names no file"));
}
