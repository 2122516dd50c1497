//! A network of the size that the mapper is made for: what a builder makes it from, the same each time.

use std::sync::Arc;

use mapper::build::Inputs;
use mapper::build::as_graph::AsGraph;
use mapper::build::bgp::Routes;
use mapper::build::geo::{Place, Places};
use mapper::build::plant::{Origin, Plant, ServerPlan, SitePlan};
use mapper::build::prefix::Prefix;
use mapper::build::probes::{Kind, Probe, Probes};
use mapper::build::services::{FallbackPlan, ServicePlan};
use mapper::build::source::Source;
use mapper::network::{Family, NameServer, Order};

pub const SITES: usize = 4_000;
pub const SERVERS: usize = 300_000;
const PREFIXES: usize = 1_000_000;
const NETWORKS: u32 = 75_000;
pub const NOW: u64 = 1_790_000_000;

/// The same numbers each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mapper::build::keys::spread(self.0)
    }

    pub fn below(&mut self, most: u64) -> u64 {
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

/// All of it.
pub fn inputs() -> Inputs {
    let mut dice = Dice(4);
    let cities = cities(&mut dice);
    let plant = plant(&mut dice, &cities);
    let (routes, places) = clients(&mut dice, &cities);
    let measured = probes(&mut dice, &routes);
    Inputs {
        plant: Arc::new(plant),
        routes: Arc::new(routes),
        places: vec![Arc::new(places)],
        probes: Arc::new(measured),
        ..Inputs::default()
    }
}

/// Peak resident memory of this process in MiB.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Processor time of this process, all threads, in seconds.
pub fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory of this process in MiB.
#[allow(dead_code, reason = "not every test that takes this module measures it")]
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
