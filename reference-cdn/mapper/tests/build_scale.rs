//! A network of the size that the mapper is made for. Run by name:
//! `cargo test -p mapper --profile quick --test build_scale -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build_support;
mod scale_support;

use std::sync::Arc;
use std::time::Instant;

use mapper::build::bgp::{Collector, Limits};
use mapper::build::plant::Plant;
use mapper::build::tables::{Form, read_servers};
use mapper::build::{Builder, Settings};
use mapper::conditions::Conditions;
use mapper::map::Epoch;
use mapper::map::file::{Digest, Stamp, read_network, write_conditions, write_network};
use scale_support::{NOW, SERVERS, inputs, peak, processor};

#[test]
#[ignore = "takes a minute and a gigabyte; run by name"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn full_and_incremental() {
    let inputs = inputs();
    println!(
        "inputs: {} prefixes, {} links, {} probes, {} MiB",
        inputs.routes.origins.len(),
        inputs.routes.graph.links(),
        inputs.probes.probes.len(),
        peak()
    );
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let (start, before) = (Instant::now(), processor());
        work();
        let (took, used) = (start.elapsed().as_secs_f64(), processor() - before);
        println!("{what}: {took:.3} s, processor {used:.2} s, peak {} MiB", peak());
        // On a machine that others use too, the processor's time is the fairer one; with two threads it is the stricter as well.
        took.min(used)
    };

    let mut builder = Builder::new(Settings::default());
    let mut built = None;
    let full = timed("full build", &mut || built = Some(builder.build(NOW, &inputs)));
    let first = built.take().unwrap();
    println!(
        "{} units at {:?}, {} measured, {} runs",
        first.report.units, first.report.grain, first.report.measured_units, first.report.runs
    );

    // A second later: a hundredth of the probes anew, a hundredth of the servers changed.
    let mut later = inputs.clone();
    let mut changed = (*inputs.probes).clone();
    for probe in changed.probes.iter_mut().step_by(100) {
        (probe.time, probe.rtt) = (NOW + 1, probe.rtt / 2 + 1_000);
    }
    later.probes = Arc::new(changed);
    let mut servers = (*inputs.plant).clone();
    for server in servers.servers.iter_mut().step_by(100) {
        server.capacity += 7;
    }
    later.plant = Arc::new(servers);
    let incremental = timed("incremental build", &mut || built = Some(builder.build(NOW + 1, &later)));
    let second = built.take().unwrap();
    println!("{} units ranked anew", second.report.ranked_units);
    let mut fresh = Builder::new(Settings::default());
    let expected = fresh.build(NOW + 1, &later);
    assert!(second.network == expected.network, "an incremental build differs from a full one");

    // And one after that: a hundredth of the probes go where none went before.
    let mut moved = (*later.probes).clone();
    let fresh_targets = inputs.routes.origins.iter().skip(50).step_by(500);
    for (probe, (target, _)) in moved.probes.iter_mut().step_by(100).zip(fresh_targets) {
        (probe.target, probe.time) = (*target, NOW + 2);
    }
    later.probes = Arc::new(moved);
    let new_targets =
        timed("incremental build, new targets", &mut || built = Some(builder.build(NOW + 2, &later)));
    let third = built.take().unwrap();
    println!("{} units ranked anew", third.report.ranked_units);
    assert!(third.network == fresh.build(NOW + 2, &later).network);
    assert!(third.network == Builder::new(Settings::default()).build(NOW + 2, &later).network);

    let mut lines = String::from("name,site,addresses,capacity,rack,features\n");
    for server in &inputs.plant.servers {
        let (v4, rack) = (server.v4.unwrap(), server.rack.as_deref().unwrap());
        let features = server.features.join(" ");
        lines += &format!("{},{},{v4},{},{rack},{features}\n", server.name, server.site, server.capacity);
    }
    let mut plain = Plant::default();
    timed("read 300 000 servers as CSV", &mut || {
        read_servers("s.csv", &lines, Form::Csv, &mut plain).unwrap()
    });
    assert_eq!(plain.servers.len(), SERVERS);
    let lines: String = inputs.plant.servers.iter().map(|server| {
        let row = serde_json::json!({"name": server.name, "site": server.site, "addresses": [server.v4], "rack": server.rack, "features": server.features});
        format!("{row}\n")
    }).collect();
    let mut plain = Plant::default();
    timed("read 300 000 servers as JSON Lines", &mut || {
        read_servers("s.jsonl", &lines, Form::JsonLines, &mut plain).unwrap()
    });
    assert_eq!(plain.servers.len(), SERVERS);
    timed("check the network", &mut || drop((*inputs.plant).clone().checked().unwrap()));

    let paths: Vec<Vec<u32>> =
        (0..10).map(|peer| vec![200_001 + peer, 200_100 + peer * 7, 200_500, 201_000]).collect();
    let paths: Vec<&[u32]> = paths.iter().map(Vec::as_slice).collect();
    let prefixes: Vec<String> =
        (0..100_000_u32).map(|n| format!("{}/24", std::net::Ipv4Addr::from(0x0100_0000 + n * 256))).collect();
    let listed: Vec<(&str, &[&[u32]])> =
        prefixes.iter().map(|prefix| (prefix.as_str(), &paths[..])).collect();
    let dump = build_support::mrt(&listed);
    timed("read an MRT dump of 100 000 prefixes from 10 peers", &mut || {
        let mut collector = Collector::new(Limits::default());
        collector.read("rib", NOW, &dump[..]).unwrap();
        assert_eq!(collector.finish().origins.len(), 100_000);
    });

    let stamp = Stamp { epoch: Epoch(1), time: NOW * 1000 };
    let mut octets = Vec::new();
    timed("write network", &mut || octets = write_network(&second.network, stamp));
    let mut digest = Digest([0; 32]);
    timed("digest", &mut || digest = Digest::of(&octets));
    let mut read = None;
    timed("read network", &mut || read = Some(read_network(&octets).unwrap()));
    assert!(read.unwrap().0 == second.network);
    let conditions = Conditions::calm(&second.network);
    let mut small = Vec::new();
    timed("write conditions", &mut || small = write_conditions(&conditions, stamp, &digest));
    println!("network {} octets, conditions {}", octets.len(), small.len());
    let mut churn = None;
    timed("churn", &mut || {
        churn = Some(mapper::map::churn::churn((&first.network, &conditions), (&second.network, &conditions)))
    });
    println!("{churn:?}");
    let side = |network| mapper::map::diff::Side { network, conditions: &conditions };
    let mut report = None;
    timed("diff", &mut || {
        report =
            Some(mapper::map::diff::diff(side(&first.network), side(&third.network), Default::default()));
    });
    println!("{}", report.unwrap().to_text());
    if cfg!(debug_assertions) {
        return;
    }
    let slowest = incremental.max(new_targets);
    assert!(full <= 5.0 && slowest <= 1.0, "full {full:.2} s of 5, incremental {slowest:.2} s of 1");
}
