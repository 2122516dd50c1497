//! From inputs to a network: who is near to whom, and that what a builder remembers changes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build_support;

use std::sync::Arc;

use build_support::{city, mmdb, mrt, ranking};
use mapper::build::bgp::{Collector, Limits};
use mapper::build::demand::{self, Demand};
use mapper::build::geometry::{distance, vector};
use mapper::build::plant::Plant;
use mapper::build::prefix::Prefix;
use mapper::build::probes::{self, Probes};
use mapper::build::{Builder, Built, Inputs, Settings, geo, network_file};
use mapper::map::Epoch;
use mapper::map::file::{Stamp, read_network, write_network};
use mapper::network::UnitId;
use proptest::prelude::*;

const NOW: u64 = 1_790_000_000;

/// Sites by name with place and network, two servers each, the first of which can do video where the name ends in `v`.
fn plant(sites: &[(&str, f32, f32, u32)]) -> Plant {
    let mut text = String::from("[[service]]\nname = \"web\"\nhosts = [\"www\"]\n");
    for (number, (name, north, east, asn)) in sites.iter().enumerate() {
        let features = if name.ends_with('v') { "[\"video\"]" } else { "[]" };
        text += &format!(
            "[[site]]\nname = \"{name}\"\nlatitude = {north:.3}\nlongitude = {east:.3}\nasn = {asn}\n\
             [[server]]\nname = \"{name}-a\"\nsite = \"{name}\"\naddresses = [\"10.0.{number}.1\"]\nfeatures = {features}\ncapacity = {}\n\
             [[server]]\nname = \"{name}-b\"\nsite = \"{name}\"\naddresses = [\"10.0.{number}.2\"]\n",
            number + 1
        );
    }
    if sites.iter().any(|(name, ..)| name.ends_with('v')) {
        text += "[[service]]\nname = \"video\"\nhosts = [\"v\"]\nneeds = [\"video\"]\n";
    }
    let mut plant = Plant::default();
    network_file::read("network.toml", &text, &mut plant).unwrap();
    plant.checked().unwrap()
}

const CITIES: &[(&str, f32, f32, u32)] = &[
    ("fra", 50.1, 8.7, 3320),
    ("lon", 51.5, -0.1, 2856),
    ("nyc", 40.7, -74.0, 7018),
    ("sin", 1.35, 103.8, 7473),
];

fn inputs(lines: &str) -> Inputs {
    let mut collector = Collector::new(Limits::default());
    let dump = mrt(&[
        ("198.51.100.0/24", &[&[7018, 3320, 9145]]),
        ("198.51.101.0/24", &[&[7018, 3320, 9145]]),
        ("203.0.113.0/24", &[&[3320, 7473, 9506]]),
        ("2001:db8::/32", &[&[3320, 2856]]),
        ("192.0.2.0/24", &[&[3320, 7018]]),
    ]);
    collector.read("rib", NOW, &dump[..]).unwrap();
    let places = mmdb(&[
        ("198.51.100.0/23", city(53.1, 8.2)),
        ("203.0.113.0/24", city(1.3, 103.9)),
        ("2001:db8::/33", city(52.0, 0.0)),
    ]);
    let mut measured = Probes::default();
    if !lines.is_empty() {
        probes::read("probes.jsonl", NOW, lines, &mut measured).unwrap();
    }
    Inputs {
        plant: Arc::new(plant(CITIES)),
        routes: Arc::new(collector.finish()),
        places: vec![Arc::new(geo::read("city.mmdb", NOW, &places).unwrap())],
        probes: Arc::new(measured),
        ..Inputs::default()
    }
}

fn build(inputs: &Inputs) -> Built {
    Builder::new(Settings::default()).build(NOW, inputs)
}

fn order(built: &Built, address: &str) -> Vec<String> {
    ranking(&built.network, address).into_iter().map(|(site, ..)| site).collect()
}

#[test]
fn estimates_follow_distance_and_networks() {
    let built = build(&inputs(""));
    assert_eq!(order(&built, "198.51.100.7"), ["fra", "lon", "nyc", "sin"]);
    assert_eq!(order(&built, "203.0.113.7"), ["sin", "fra", "lon", "nyc"]);
    assert_eq!(order(&built, "2001:db8::7"), ["lon", "fra", "nyc", "sin"]);
    // Oldenburg to Frankfurt: 335 km, one network between. 5.2 ms of fibre, 3 ms of last mile, 1.5 ms for the step.
    let (_, score, confidence) = ranking(&built.network, "198.51.100.7")[0].clone();
    assert!((9_500..10_000).contains(&score), "{score}");
    // 32 for the steps, and 64 for the place, of which 13 of 16 parts are left: the database is eleven days old.
    assert_eq!(confidence, 84);
    // Only its network is known, which is that of a site.
    assert_eq!(order(&built, "192.0.2.7")[0], "nyc");
    // Nothing is known: the largest site first.
    assert_eq!(order(&built, "8.8.8.8")[0], "sin");
    assert_eq!(built.network.prefixes.unit_v4("8.8.8.8".parse().unwrap()), Some(UnitId(0)));
    // Both /24 are of one network and one place.
    let unit = |address: &str| built.network.prefixes.unit_v4(address.parse().unwrap());
    assert_eq!(unit("198.51.100.1"), unit("198.51.101.1"));
    let ipv6 = |address: &str| built.network.prefixes.unit_v6(address.parse().unwrap());
    assert_ne!(ipv6("2001:db8::1"), ipv6("2001:db8:8000::1"), "only one half has a place");
    // Of that half others of its network are near one point.
    assert_eq!(order(&built, "2001:db8:8000::1")[0], "lon");
}

#[test]
fn measurements_win_while_they_are_new_and_fade() {
    let line = format!("{{\"site\":\"nyc\",\"target\":\"198.51.100.0/24\",\"rtt\":2.5,\"time\":{NOW}}}\n");
    let inputs = inputs(&line);
    let mut builder = Builder::new(Settings::default());
    let scores: Vec<(String, u32, u8)> = [0, 900, 1800, 9000, 90_000]
        .map(|age| builder.build(NOW + age, &inputs))
        .iter()
        .map(|built| {
            ranking(&built.network, "198.51.100.7").into_iter().find(|(site, ..)| site == "nyc").unwrap()
        })
        .collect();
    assert_eq!(scores[0], ("nyc".to_owned(), 2_500, 255));
    assert!(scores.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].2 >= pair[1].2), "{scores:?}");
    let estimate = ranking(&build(&self::inputs("")).network, "198.51.100.7")
        .into_iter()
        .find(|(site, ..)| site == "nyc")
        .unwrap();
    assert_eq!(scores[4].1, estimate.1);
    // The neighbour in the same network and place, not measured itself, takes after it by half.
    let built = build(&inputs);
    let near = ranking(&built.network, "198.51.101.7").into_iter().find(|(site, ..)| site == "nyc").unwrap();
    assert_eq!(near.1, (2_500 + estimate.1) / 2);
    assert_eq!(built.report.measured_units, 2);
}

#[test]
fn loss_sends_clients_elsewhere() {
    let lines = format!(
        "{{\"site\":\"fra\",\"target\":\"198.51.100.0/24\",\"rtt\":8,\"loss\":0.05,\"time\":{NOW}}}\n\
         {{\"site\":\"lon\",\"target\":\"198.51.100.0/24\",\"rtt\":20,\"time\":{NOW}}}\n"
    );
    assert_eq!(order(&build(&inputs(&lines)), "198.51.100.7")[..2], ["lon", "fra"]);
}

#[test]
fn without_anything_but_the_network_there_is_a_map() {
    let bare = Inputs { plant: Arc::new(plant(CITIES)), ..Inputs::default() };
    let built = build(&bare);
    assert_eq!(order(&built, "198.51.100.7"), ["sin", "nyc", "lon", "fra"]);
    assert_eq!(built.network.prefixes.v4.len(), 1);
    let chosen = Settings { default_sites: vec!["lon".into(), "par".into()], ..Settings::default() };
    let built = Builder::new(chosen).build(NOW, &bare);
    assert_eq!(order(&built, "::1"), ["lon", "sin", "nyc", "fra"]);
    assert_eq!(
        built.report.problems[0].to_string(),
        "the configuration: default site \"par\" is not in the network; correct the name, or add the site"
    );
}

#[test]
fn what_a_build_rested_on_is_reported() {
    let lines = format!(
        "{{\"site\":\"par\",\"target\":\"198.51.100.0/24\",\"rtt\":8,\"time\":{}}}\n{{}}\n",
        NOW - 900
    );
    let built = Builder::new(Settings::default()).build(NOW, &inputs(&lines));
    let report = &built.report;
    let kinds: Vec<(&str, u64, u8)> =
        report.inputs.iter().map(|input| (input.kind, input.age, input.trust)).collect();
    assert_eq!(kinds, [("bgp", 1_000, 255), ("places", 1_000_000, 207), ("probes", 900, 127)]);
    assert_eq!(report.inputs[2].skipped[0].reason, "not the JSON that is wanted");
    assert_eq!(report.strange_probes, 1);
    assert!(report.problems[0].to_string().contains("par"), "{:?}", report.problems);
    let json = serde_json::to_value(report).unwrap();
    assert_eq!(json["inputs"][0]["used-for"], "prefixes, their networks, and steps between networks");
}

/// A ranking always has a site in another failure domain, and one for each service's needs, however far it is.
#[test]
fn rankings_hold_what_services_need() {
    let mut sites: Vec<(String, f32, f32, u32)> =
        (0..30).map(|n| (format!("near{n:02}"), 50.0 + n as f32 / 100.0, 8.0, 1)).collect();
    sites.push(("far".into(), -33.0, 151.0, 2));
    sites.push(("farv".into(), -36.0, 174.0, 3));
    let listed: Vec<(&str, f32, f32, u32)> =
        sites.iter().map(|(name, n, e, asn)| (name.as_str(), *n, *e, *asn)).collect();
    let mut one_city = plant(&listed);
    one_city
        .sites
        .iter_mut()
        .filter(|site| site.name.starts_with("near"))
        .for_each(|site| site.domain = Some("city".into()));
    let inputs = Inputs { plant: Arc::new(one_city), ..inputs("") };
    let found = order(&build(&inputs), "198.51.100.7");
    assert_eq!(found.len(), 16);
    assert!(found.contains(&"farv".to_owned()), "{found:?}");
    assert!(found.contains(&"far".to_owned()) || found.contains(&"farv".to_owned()));
}

#[test]
fn demand_is_shared_out_by_addresses() {
    let mut known = Demand::default();
    demand::read(
        "d",
        NOW,
        "198.51.100.0/23,10\n198.51.100.128/25,30\n203.0.113.0/24,60\n9.9.9.0/24,100\n",
        &mut known,
    )
    .unwrap();
    let built = build(&Inputs { demand: Arc::new(known), ..inputs("") });
    let share = |address: &str| {
        let unit = built.network.prefixes.unit_v4(address.parse().unwrap()).unwrap();
        built.network.units.demand[unit.0 as usize]
    };
    assert_eq!([share("198.51.100.1"), share("203.0.113.1"), share("9.9.9.9")], [200_000, 300_000, 500_000]);
}

#[test]
fn too_many_units_become_fewer() {
    let lines: String = (0..200)
        .map(|n| format!("{{\"site\":\"fra\",\"target\":\"10.{n}.0.0/24\",\"rtt\":8,\"time\":{NOW}}}\n"))
        .collect();
    let inputs = inputs(&lines);
    for (most, expected) in [(1000, 200), (100, 1), (3, 1), (1, 0)] {
        let built = Builder::new(Settings { most_units: most, ..Settings::default() }).build(NOW, &inputs);
        assert!(built.network.units.len() <= most.max(2), "{} units of {most}", built.network.units.len());
        let probed: std::collections::BTreeSet<_> = (0..200_u8)
            .filter_map(|n| built.network.prefixes.unit_v4([10, n, 0, 1].into()))
            .filter(|unit| unit.0 > 0)
            .collect();
        assert!(probed.len() >= expected, "{} of {expected} with {most}", probed.len());
    }
}

/// A unit's key is the same whatever else there is.
#[test]
fn keys_stay_when_other_things_change() {
    let key = |inputs: &Inputs| {
        let network = build(inputs).network;
        network.units.keys[network.prefixes.unit_v4("203.0.113.1".parse().unwrap()).unwrap().0 as usize]
    };
    let line = format!("{{\"site\":\"nyc\",\"target\":\"198.51.100.0/24\",\"rtt\":2.5,\"time\":{NOW}}}\n");
    assert_eq!(key(&inputs("")), key(&inputs(&line)));
    let fewer = Inputs { plant: Arc::new(plant(&CITIES[..2])), ..inputs("") };
    assert_eq!(key(&inputs("")), key(&fewer));
}

/// What small networks do not show: clients without a place depend on which of many sites are the largest, and clients may move a
/// little without leaving their cell.
#[test]
fn an_incremental_build_sees_sites_grow_and_places_move() {
    let names: Vec<String> = (0..50).map(|number| format!("s{number:02}")).collect();
    let sites: Vec<(&str, f32, f32, u32)> =
        names.iter().zip(0..50_u16).map(|(name, n)| (name.as_str(), f32::from(n), f32::from(n), 0)).collect();
    let mut builder = Builder::new(Settings::default());
    let mut next = Inputs { plant: Arc::new(plant(&sites)), ..inputs("") };
    builder.build(NOW, &next);
    let mut grown = plant(&sites);
    grown.servers[0].capacity = 1_000;
    next.plant = Arc::new(grown);
    let built = builder.build(NOW, &next);
    assert!(built.network == build(&next).network);
    assert!(
        order(&built, "192.0.2.7").contains(&"s00".to_owned()),
        "its network has no place, and this site is the largest now"
    );
    assert!(built.report.ranked_units < built.report.units, "those with a place are not concerned");
    for east in [8.2, 8.9] {
        let places = mmdb(&[("198.51.100.0/23", city(53.1, east))]);
        next.places = vec![Arc::new(geo::read("city.mmdb", NOW, &places).unwrap())];
        assert!(builder.build(NOW, &next).network == build(&next).network, "{east}");
    }
}

/// What may differ from one build to the next.
#[derive(Clone, Debug)]
struct Change {
    sites: usize,
    capacity: u32,
    probes: Vec<(usize, u8, u32, u32, u64)>,
    demand: Vec<(u8, u32)>,
    named: Vec<u8>,
    without_routes: bool,
    without_places: bool,
    later: u64,
}

fn change() -> impl Strategy<Value = Change> {
    let probe = (0..5_usize, 0..6_u8, 100..200_000_u32, 0..100_000_u32, 0..4000_u64);
    (
        1..=CITIES.len(),
        1..4_u32,
        prop::collection::vec(probe, 0..12),
        prop::collection::vec((0..6_u8, 0..100_u32), 0..4),
        prop::collection::vec(0..6_u8, 0..2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop_oneof![Just(0_u64), 0..5000_u64, Just(40 * 86_400)],
    )
        .prop_map(|(sites, capacity, probes, demand, named, without_routes, without_places, later)| {
            Change { sites, capacity, probes, demand, named, without_routes, without_places, later }
        })
}

fn target(number: u8) -> Prefix {
    let text = [
        "198.51.100.0/24",
        "198.51.101.0/25",
        "198.51.0.0/16",
        "203.0.113.0/24",
        "2001:db8:1::/48",
        "10.9.8.0/24",
    ];
    Prefix::parse(text[usize::from(number)], 24, 48).unwrap()
}

fn changed(base: &Inputs, change: &Change) -> Inputs {
    let mut plant = plant(&CITIES[..change.sites]);
    plant.servers[0].capacity = change.capacity;
    let mut probes = Probes::default();
    for (site, to, rtt, loss, age) in &change.probes {
        let name = CITIES.get(*site).map_or("gone", |site| site.0);
        let site = probes.site(name).unwrap();
        let kind = mapper::build::probes::Kind::Probe;
        probes.probes.push(probes::Probe {
            target: target(*to),
            site,
            time: NOW - age,
            rtt: *rtt,
            loss: *loss,
            kind,
        });
    }
    let mut demand = Demand::default();
    demand.prefixes.extend(change.demand.iter().map(|(to, queries)| (target(*to), u64::from(*queries))));
    Inputs {
        plant: Arc::new(plant),
        routes: if change.without_routes { Arc::default() } else { Arc::clone(&base.routes) },
        places: if change.without_places { Vec::new() } else { base.places.clone() },
        probes: Arc::new(probes),
        demand: Arc::new(demand),
        prefixes: Arc::new(change.named.iter().map(|number| target(*number)).collect()),
        problems: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a builder went through, and however many threads it has, the network is that of a builder that knows nothing.
    #[test]
    fn an_incremental_build_is_a_full_one(changes in prop::collection::vec(change(), 1..6), threads in 1..4_usize, candidates in 1..40_usize) {
        let base = inputs("");
        let settings = Settings { threads, candidates, ..Settings::default() };
        let mut builder = Builder::new(settings.clone());
        for change in &changes {
            let inputs = changed(&base, change);
            let now = NOW + change.later;
            let built = builder.build(now, &inputs);
            let fresh = Builder::new(Settings { threads: 1, ..settings.clone() }).build(now, &inputs);
            prop_assert_eq!(&built.network, &fresh.network);
            let problems = |built: &Built| built.report.problems.clone();
            prop_assert_eq!(problems(&built), problems(&fresh));
            // What is built is what a file may hold.
            let stamp = Stamp { epoch: Epoch(1), time: 1 };
            prop_assert_eq!(read_network(&write_network(&built.network, stamp)).unwrap().0, built.network);
        }
    }

    /// Looking up the nearest sites by squares finds what looking at all of them does.
    #[test]
    fn the_nearest_sites_are_found(
        places in prop::collection::vec((-88.0..88.0_f32, -180.0..180.0_f32), 60..90),
        client in (-89_000..89_000_i32, -180_000..180_000_i32),
    ) {
        let names: Vec<String> = (0..places.len()).map(|number| format!("s{number:03}")).collect();
        let sites: Vec<(&str, f32, f32, u32)> =
            names.iter().zip(&places).map(|(name, (north, east))| (name.as_str(), *north, *east, 0)).collect();
        let database = mmdb(&[("198.51.100.0/24", city(f64::from(client.0) / 1000.0, f64::from(client.1) / 1000.0))]);
        let places = vec![Arc::new(geo::read("city.mmdb", NOW, &database).unwrap())];
        let plant = Arc::new(plant(&sites));
        let mut all: Vec<(f64, String)> = plant
            .sites
            .iter()
            .map(|site| {
                let (north, east) = site.place.unwrap();
                let at = vector(((f64::from(north) * 1000.0).round() as i32, (f64::from(east) * 1000.0).round() as i32));
                (distance(&vector(client), &at), site.name.clone())
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let built = build(&Inputs { plant, places, ..Inputs::default() });
        let found = order(&built, "198.51.100.7");
        // Scores are whole microseconds, so that sites within some metres may change places.
        for (name, (km, _)) in found.iter().zip(&all) {
            let at = all.iter().find(|(_, known)| known == name).unwrap().0;
            prop_assert!((at - km).abs() < 0.1, "{} at {} km, not {} km", name, at, km);
        }
    }

    /// Only measured groups are ranked anew when only measurements change.
    #[test]
    fn little_is_done_when_little_changes(rtt in 1..100_u32) {
        let line = |rtt: u32| format!("{{\"site\":\"nyc\",\"target\":\"203.0.113.0/24\",\"rtt\":{rtt},\"time\":{NOW}}}\n");
        let mut builder = Builder::new(Settings::default());
        let first = inputs(&line(3));
        let all = builder.build(NOW, &first).report.ranked_units;
        let mut next = first.clone();
        next.probes = inputs(&line(rtt)).probes;
        let some = builder.build(NOW + 1, &next).report.ranked_units;
        // That one, and the default unit.
        prop_assert!(some == 2 && all > some, "{} of {}", some, all);
    }
}
