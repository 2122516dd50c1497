//! A network of the size that the mapper is made for. Run by name:
//! `cargo test -p mapper --profile quick --test build_scale -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build_support;

use std::sync::Arc;
use std::time::Instant;

use mapper::build::bgp::{Collector, Limits, Routes};
use mapper::build::geo::{Place, Places};
use mapper::build::plant::{Origin, Plant, ServerPlan, SitePlan};
use mapper::build::prefix::{Family, Prefix};
use mapper::build::probes::{Kind, Probe, Probes};
use mapper::build::services::{FallbackPlan, ServicePlan};
use mapper::build::source::Source;
use mapper::build::tables::{Form, read_servers};
use mapper::build::{Builder, Inputs, Settings, as_graph::AsGraph};
use mapper::conditions::Conditions;
use mapper::map::Epoch;
use mapper::map::file::{Digest, Stamp, read_network, write_conditions, write_network};
use mapper::network::{NameServer, Order};

const SITES: usize = 4_000;
const SERVERS: usize = 300_000;
const PREFIXES: usize = 1_000_000;
const NETWORKS: u32 = 75_000;
const NOW: u64 = 1_790_000_000;

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mapper::build::keys::spread(self.0)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Small numbers often, large ones seldom: P(n) ~ 1/n.
    fn zipf(&mut self, most: u32) -> u32 {
        let share = self.below(1 << 24) as f64 / f64::from(1 << 24);
        (f64::from(most).powf(share) as u32).min(most)
    }
}

/// Where people live: 400 places, the first with most.
fn cities(dice: &mut Dice) -> Vec<(i32, i32)> {
    (0..400).map(|_| (dice.below(110_000) as i32 - 45_000, dice.below(340_000) as i32 - 170_000)).collect()
}

fn near(dice: &mut Dice, cities: &[(i32, i32)]) -> (i32, i32) {
    let (north, east) = cities[dice.zipf(cities.len() as u32) as usize - 1];
    let mut off = || dice.below(3_000) as i32 - dice.below(3_000) as i32;
    (north + off(), east + off())
}

fn plant(dice: &mut Dice, cities: &[(i32, i32)]) -> Plant {
    let mut plant = Plant { files: vec!["made up".into()], ..Plant::default() };
    for at in 0..SITES {
        let (north, east) = near(dice, cities);
        plant.sites.push(SitePlan {
            name: format!("site{at:04}"),
            domain: Some(format!("city{}", at % 400)),
            place: Some((north as f32 / 1000.0, east as f32 / 1000.0)),
            asn: dice.zipf(NETWORKS) + 200_000,
            bandwidth: 100_000,
            name_servers: vec![NameServer {
                v4: Some(std::net::Ipv4Addr::from(0x0a00_0000 + at as u32)),
                v6: None,
            }],
            said: Origin::default(),
        });
    }
    for at in 0..SERVERS {
        let features = if at % 3 == 0 { vec!["video".to_owned()] } else { Vec::new() };
        plant.servers.push(ServerPlan {
            name: format!("server{at:06}.site{:04}", at % SITES),
            site: format!("site{:04}", at % SITES),
            v4: Some(std::net::Ipv4Addr::from(0x6440_0000 + at as u32)),
            v6: None,
            capacity: 50 + dice.below(100) as u32,
            rack: Some(format!("r{}", at % 7)),
            features,
            said: Origin::default(),
        });
    }
    for (name, needs) in [("web", Vec::new()), ("video", vec!["video".to_owned()])] {
        plant.services.push(ServicePlan {
            name: name.into(),
            hosts: (0..500).map(|host| format!("{name}{host}")).collect(),
            needs,
            copies: 2,
            near: 2,
            elsewhere: 1,
            ttl: 20,
            order: Order::Rotated,
            fallback: FallbackPlan::LastKnown,
            https: None,
            said: Origin::default(),
        });
    }
    plant.checked().unwrap()
}

/// A million prefixes, most of them /24, in networks of very different sizes; each network in a few places.
fn clients(dice: &mut Dice, cities: &[(i32, i32)]) -> (Routes, Places) {
    let homes: Vec<Vec<(i32, i32)>> =
        (0..=NETWORKS).map(|_| (0..1 + dice.zipf(4)).map(|_| near(dice, cities)).collect()).collect();
    let mut origins = Vec::with_capacity(PREFIXES);
    let mut places = Places { source: Source::new("places", NOW - 86_400), ..Places::default() };
    for at in 0..PREFIXES as u64 {
        let asn = dice.zipf(NETWORKS);
        let v6 = at % 5 == 4;
        let prefix = if v6 {
            Prefix::new(
                Family::V6,
                0x2001_0000_0000_0000 + (at << 24),
                [32, 40, 48, 48][(at % 4) as usize].max(40),
            )
        } else {
            let length = [24, 24, 24, 24, 24, 24, 23, 22, 22, 20][dice.below(10) as usize];
            Prefix::new(Family::V4, 0x0100_0000 + at * 0xd80, length)
        };
        origins.push((prefix, asn + 200_000));
        let home = &homes[asn as usize];
        let (north, east) = home[dice.below(home.len() as u64) as usize];
        let jitter = dice.below(300) as i32;
        places.places.push(Place { at: Some((north + jitter, east)), country_only: false, asn: 0 });
        places.prefixes.push((prefix, at as u32));
    }
    origins.sort_unstable();
    origins.dedup_by_key(|(prefix, _)| *prefix);
    // Each network has a provider among the larger ones, and some peers.
    let mut links = Vec::new();
    for asn in 2..=NETWORKS {
        for _ in 0..2 + dice.below(6) {
            links.push((asn + 200_000, dice.zipf(asn - 1) + 200_000));
        }
    }
    let routes =
        Routes { origins, graph: AsGraph::new(links), sources: vec![Source::new("rib", NOW - 7_200)] };
    (routes, places)
}

fn probes(dice: &mut Dice, routes: &Routes) -> Probes {
    let mut probes = Probes::default();
    probes.sources.push(Source::new("probes", NOW));
    for site in 0..SITES {
        probes.site(&format!("site{site:04}"));
    }
    for (prefix, _) in routes.origins.iter().step_by(100) {
        for _ in 0..20 {
            probes.probes.push(Probe {
                target: *prefix,
                site: dice.below(SITES as u64) as u32,
                time: NOW - dice.below(1_800),
                rtt: 5_000 + dice.below(150_000) as u32,
                loss: if dice.below(4) == 0 { dice.below(30_000) as u32 } else { 0 },
                kind: Kind::Probe,
            });
        }
    }
    probes
}

/// Peak resident memory of this process in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processor time of this process, all threads, in seconds.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
#[ignore = "takes a minute and a gigabyte; run by name"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn full_and_incremental() {
    let mut dice = Dice(4);
    let cities = cities(&mut dice);
    let plant = plant(&mut dice, &cities);
    let (routes, places) = clients(&mut dice, &cities);
    let measured = probes(&mut dice, &routes);
    let inputs = Inputs {
        plant: Arc::new(plant),
        routes: Arc::new(routes),
        places: vec![Arc::new(places)],
        probes: Arc::new(measured),
        ..Inputs::default()
    };
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
