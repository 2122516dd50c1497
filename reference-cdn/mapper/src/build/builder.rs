//! From inputs to a network, and from one network to the next with as little work as the change needs.

use std::sync::Arc;

use super::as_graph::Distances;
use super::bgp::Routes;
use super::clients::{Clients, Known};
use super::demand::Demand;
use super::geo::{self, Places};
use super::ground::Ground;
use super::plant::Plant;
use super::prefix::{Prefix, flatten};
use super::probes::{Probe, Probes};
use super::problem::BadInput;
use super::rank::{Measured, Ranker, Squares, Trust};
use super::report::{BuildReport, InputReport};
use super::score::{WHOLE, faded, measured, weight};
use super::settings::Settings;
use super::source::Source;
use super::stock::{Facts, HAS_SERVERS, Stock, stock};
use crate::network::{Family, MOST_RANKED, Network, Ranked, UnitId, Units};

/// All that a map is built from. Only the plant must be there.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    pub plant: Arc<Plant>,
    pub routes: Arc<Routes>,
    /// The first that knows a place, or a network, is believed.
    pub places: Vec<Arc<Places>>,
    pub probes: Arc<Probes>,
    pub demand: Arc<Demand>,
    /// Prefixes that are told apart in any case.
    pub prefixes: Arc<Vec<Prefix>>,
    /// Inputs that could not be read: reported, and done without.
    pub problems: Vec<BadInput>,
}

/// A network and what it rests on.
#[derive(Clone, Debug)]
pub struct Built {
    pub network: Network,
    pub report: BuildReport,
}

/// Builds networks, each a function of the time, the inputs and the settings alone: what it remembers saves work and changes
/// nothing.
#[derive(Debug)]
pub struct Builder {
    settings: Settings,
    memory: Option<Memory>,
}

/// What the last build was made of.
#[derive(Debug)]
struct Memory {
    plant: Arc<Plant>,
    stock: Stock,
    routes: Arc<Routes>,
    places: Vec<Arc<Places>>,
    ground: Option<Ground>,
    owns: Vec<Prefix>,
    demand: Arc<Demand>,
    clients: Arc<Clients>,
    shares: Vec<u32>,
    distances: Distances,
    sites_of: Vec<Vec<u32>>,
    squares: Squares,
    trust: Trust,
    /// Groups that had measurements, ascending.
    warm: Vec<u32>,
    largest: Vec<u32>,
    ranked: Vec<Ranked>,
    ends: Vec<u32>,
}

/// The same thing, or equal to it.
fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

impl Builder {
    pub fn new(settings: Settings) -> Self {
        Self { settings, memory: None }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Builds a network. `now` in seconds since 1970.
    pub fn build(&mut self, now: u64, inputs: &Inputs) -> Built {
        let settings = &self.settings;
        let before = self.memory.take();
        let mut problems = inputs.problems.clone();

        // Sites and servers.
        let (stock, old_facts) = match &before {
            Some(memory) if same(&memory.plant, &inputs.plant) => (memory.stock.clone(), None),
            Some(memory) => (stock(&inputs.plant), Some(&memory.stock.facts)),
            None => (stock(&inputs.plant), None),
        };
        let facts_stay = before.is_some() && old_facts.is_none_or(|old| *old == stock.facts);

        // Neighbourhoods and what was measured in them.
        let (owns, measurements, strange_probes) = resolve(now, inputs, &stock.facts, settings);

        // Clients.
        let (mut old, mut clients, mut shares, mut distances, mut sites_of) = Default::default();
        let mut squares = Squares::default();
        let mut ground = None;
        if let Some(mut memory) = before {
            let routes_stay = same(&memory.routes, &inputs.routes);
            let places_stay = memory.places.len() == inputs.places.len()
                && memory.places.iter().zip(&inputs.places).all(|(a, b)| same(a, b));
            if facts_stay {
                squares = std::mem::take(&mut memory.squares);
                if routes_stay {
                    distances = Some(std::mem::take(&mut memory.distances));
                    sites_of = Some(std::mem::take(&mut memory.sites_of));
                }
            }
            if routes_stay && places_stay {
                ground = memory.ground.take();
            }
            if routes_stay && places_stay && memory.owns == owns {
                clients = Some(Arc::clone(&memory.clients));
                if same(&memory.demand, &inputs.demand) {
                    shares = Some(std::mem::take(&mut memory.shares));
                }
            }
            // A group is ranked by its place, its network and the sites: rankings stay where these do.
            old = Some(memory).filter(|_| facts_stay && routes_stay);
        }
        let clients: Arc<Clients> = clients.unwrap_or_else(|| {
            let ground = ground.get_or_insert_with(|| {
                let places: Vec<&Places> = inputs.places.iter().map(Arc::as_ref).collect();
                Ground::new(&inputs.routes.origins, &places)
            });
            Arc::new(Clients::new(ground, &owns, settings.most_units))
        });
        let shares: Vec<u32> = shares.unwrap_or_else(|| demand_shares(&inputs.demand, &clients));
        let distances: Distances = distances.unwrap_or_else(|| {
            let from = stock.facts.asn.iter().copied().filter(|asn| *asn != 0).collect();
            inputs.routes.graph.distances(from, settings.threads)
        });
        let sites_of: Vec<Vec<u32>> = sites_of.unwrap_or_else(|| by_network(&stock.facts, &distances));
        let trust = trust(now, inputs, settings);

        // Rankings.
        let warm = warm_groups(&clients, &measurements);
        let old = old.filter(|memory| memory.trust == trust && memory.clients.grain == clients.grain);
        let moved = old.as_ref().is_none_or(|memory| memory.largest != stock.largest);
        let mut ranker = Ranker {
            settings,
            facts: &stock.facts,
            largest: &stock.largest,
            clients: &clients,
            distances: &distances,
            trust,
            measured: &measurements,
            squares: &Squares::default(),
            sites_of: &sites_of,
        };
        let few = ranker.few();
        let known = old
            .as_ref()
            .map(|memory| matches(&clients, &memory.clients, &warm, &memory.warm))
            .unwrap_or_default();
        let known = |group: u32| {
            let leans = moved && ranker.leans(&clients.groups[group as usize], few);
            known.get(group as usize).copied().flatten().filter(|_| !leans)
        };
        let matched: Vec<Option<u32>> = (0..clients.groups.len() as u32).map(known).collect();
        let groups: Vec<u32> =
            matched.iter().zip(0..).filter(|(known, _)| known.is_none()).map(|(_, at)| at).collect();
        let places =
            groups.iter().filter_map(|group| clients.groups[*group as usize].place).map(|place| place.at);
        squares.see_to(places, &stock.facts, settings);
        ranker.squares = &squares;
        let fresh = ranker.rank(&groups);
        let old_rankings =
            old.as_ref().map(|memory| (memory.clients.as_ref(), &memory.ranked[..], &memory.ends[..]));
        let (ranked, ends) = assemble(&clients, ranker.default_ranking(), &matched, old_rankings, fresh);
        let computed =
            groups.iter().map(|group| clients.groups[*group as usize].units.len()).sum::<usize>() + 1;

        problems.extend(unused(inputs, &stock.facts, strange_probes, settings));
        let report = BuildReport {
            now,
            inputs: ages(now, inputs, settings),
            problems,
            sites: stock.sites.len(),
            servers: stock.servers.len(),
            services: stock.services.len(),
            sites_without_place: stock.facts.at.iter().filter(|at| at.is_none()).count(),
            sites_without_servers: stock
                .facts
                .offers
                .iter()
                .filter(|offers| **offers & HAS_SERVERS == 0)
                .count(),
            units: clients.units.len(),
            grain: clients.grain,
            measured_units: measured_units(&clients, &measurements),
            placed_units: count_units(&clients, |group| {
                group.place.is_some_and(|place| place.known >= Known::Country)
            }),
            routed_units: count_units(&clients, |group| distances.to(group.asn).is_some()),
            runs: clients.prefixes.v4.len() + clients.prefixes.v6.len(),
            ranked_units: computed,
            strange_probes,
        };
        let network = Network {
            features: inputs.plant.features.clone(),
            sites: stock.sites.clone(),
            servers: stock.servers.clone(),
            server_names: stock.server_names.clone(),
            services: stock.services.clone(),
            units: Units {
                ranked: ranked.clone(),
                ends: ends.clone(),
                keys: clients.keys.clone(),
                demand: shares.clone(),
            },
            prefixes: clients.prefixes.clone(),
        };
        let largest = stock.largest.clone();
        self.memory = Some(Memory {
            plant: Arc::clone(&inputs.plant),
            stock,
            routes: Arc::clone(&inputs.routes),
            places: inputs.places.clone(),
            ground,
            owns,
            demand: Arc::clone(&inputs.demand),
            clients,
            shares,
            distances,
            sites_of,
            squares,
            trust,
            warm,
            largest,
            ranked,
            ends,
        });
        Built { network, report }
    }
}

/// Neighbourhoods (measured and named prefixes, sorted), what was measured in each of each site, and how many measurements were of
/// sites that are not there.
fn resolve(
    now: u64,
    inputs: &Inputs,
    facts: &Facts,
    settings: &Settings,
) -> (Vec<Prefix>, Vec<Measured>, u64) {
    let sites: Vec<Option<u32>> = inputs
        .probes
        .sites
        .iter()
        .map(|name| facts.names.binary_search_by(|known| known.as_str().cmp(name)).ok().map(|at| at as u32))
        .collect();
    let site = |probe: &Probe| sites.get(probe.site as usize).copied().flatten();
    let mut owns: Vec<Prefix> =
        inputs.probes.probes.iter().filter(|probe| site(probe).is_some()).map(|probe| probe.target).collect();
    owns.extend(inputs.prefixes.iter());
    owns.sort_unstable();
    owns.dedup();
    let numbers: super::keys::QuickMap<Prefix, u32> = owns.iter().copied().zip(0..).collect();
    let mut strange = 0;
    let mut measurements = Vec::with_capacity(inputs.probes.probes.len());
    for probe in &inputs.probes.probes {
        let Some((site, own)) = site(probe).zip(numbers.get(&probe.target)) else {
            strange += 1;
            continue;
        };
        let weight = weight(probe, now, settings);
        if weight > 0 {
            measurements.push(Measured {
                own: *own,
                site,
                cost: measured(probe.rtt, probe.loss, settings),
                weight,
            });
        }
    }
    measurements.sort_unstable();
    (owns, measurements, strange)
}

/// Groups with neighbourhoods that have measurements, ascending.
fn warm_groups(clients: &Clients, measurements: &[Measured]) -> Vec<u32> {
    let is_measured = |own: &u32| measurements.binary_search_by_key(own, |measured| measured.own).is_ok();
    let warm = |group: &super::clients::Group| {
        clients.owns[group.owns.start as usize..group.owns.end as usize].iter().any(is_measured)
    };
    clients.groups.iter().zip(0..).filter(|(group, _)| warm(group)).map(|(_, at)| at).collect()
}

/// For each group its counterpart in the last build whose rankings are still right: the same network, cell and place, and not
/// measured, neither then nor now.
fn matches(clients: &Clients, before: &Clients, warm: &[u32], warm_before: &[u32]) -> Vec<Option<u32>> {
    let is_cold = |list: &[u32], at: &u32| list.binary_search(at).is_err();
    if std::ptr::eq(clients, before) {
        let both = |at: u32| Some(at).filter(|at| is_cold(warm, at) && is_cold(warm_before, at));
        return (0..clients.groups.len() as u32).map(both).collect();
    }
    let key = |clients: &Clients, group: &super::clients::Group| {
        let unit = clients.units[group.units.start as usize];
        (unit.asn, unit.cell)
    };
    let mut next = 0;
    let mut find = |(group, at): (&super::clients::Group, u32)| {
        let wanted = key(clients, group);
        while before.groups.get(next).is_some_and(|old| key(before, old) < wanted) {
            next += 1;
        }
        let old =
            before.groups.get(next).filter(|old| key(before, old) == wanted && old.place == group.place)?;
        let old_at = next as u32;
        debug_assert_eq!(old.asn, group.asn);
        Some(old_at).filter(|old_at| is_cold(warm, &at) && is_cold(warm_before, old_at))
    };
    clients.groups.iter().zip(0..).map(&mut find).collect()
}

/// All rankings: the default one, those of matched groups from the last build, the others fresh. The units of a group that is not
/// measured all have the same.
fn assemble(
    clients: &Clients,
    first: Vec<Ranked>,
    matched: &[Option<u32>],
    old: Option<(&Clients, &[Ranked], &[u32])>,
    (fresh, fresh_ends): (Vec<Ranked>, Vec<u32>),
) -> (Vec<Ranked>, Vec<u32>) {
    let mut ranked = first;
    let mut ends: Vec<u32> = Vec::with_capacity(clients.units.len());
    ends.push(ranked.len() as u32);
    ranked.reserve(clients.units.len() * MOST_RANKED);
    let (mut done, mut from) = (0_usize, 0_usize);
    for (group, matched) in clients.groups.iter().zip(matched) {
        let known = matched.zip(old).map(|(at, (clients, ranked, ends))| {
            let unit = clients.groups[at as usize].units.start as usize;
            // Unit 0 is in no group.
            &ranked[ends[unit - 1] as usize..ends[unit] as usize]
        });
        for _ in group.units.clone() {
            let ranking = known.unwrap_or_else(|| {
                let to = fresh_ends[done] as usize;
                let ranking = &fresh[from..to];
                (done, from) = (done + 1, to);
                ranking
            });
            ranked.extend_from_slice(ranking);
            ends.push(ranked.len() as u32);
        }
    }
    (ranked, ends)
}

/// By position in `distances`, the sites of each network.
fn by_network(facts: &Facts, distances: &Distances) -> Vec<Vec<u32>> {
    let mut sites: Vec<Vec<u32>> = Vec::new();
    for (asn, site) in facts.asn.iter().zip(0..) {
        if let Some(source) = distances.source(*asn) {
            let source = source as usize;
            if sites.len() <= source {
                sites.resize_with(source + 1, Vec::new);
            }
            sites[source].push(site);
        }
    }
    sites
}

/// What share of all queries each unit has, in parts of a million.
fn demand_shares(demand: &Demand, clients: &Clients) -> Vec<u32> {
    // With 16 more bits than the inputs, so that small parts add up.
    let mut queries = vec![0_u128; clients.units.len()];
    for family in Family::ALL {
        let own: Vec<(Prefix, u32)> = demand
            .prefixes
            .iter()
            .zip(0..)
            .filter(|((prefix, _), _)| prefix.family == family)
            .map(|((prefix, _), at)| (*prefix, at))
            .collect();
        if own.is_empty() {
            continue;
        }
        let runs = flatten(family, own);
        let end = Prefix::new(family, 0, 0).last();
        let last_of = |at: usize| runs.get(at + 1).map_or(end, |(next, _)| next - 1);
        let mut spans = vec![0_u128; demand.prefixes.len()];
        for (at, (start, value)) in runs.iter().enumerate() {
            if let Some(value) = value {
                spans[*value as usize] += u128::from(last_of(at) - start) + 1;
            }
        }
        let units: Vec<(u64, UnitId)> = match family {
            Family::V4 => {
                clients.prefixes.v4.iter().map(|(start, unit)| (u64::from(*start), *unit)).collect()
            }
            Family::V6 => clients.prefixes.v6.clone(),
        };
        let mut unit = 0;
        for (at, (start, value)) in runs.iter().enumerate() {
            let Some(value) = value else { continue };
            let last = last_of(at);
            while units.get(unit + 1).is_some_and(|(next, _)| next <= start) {
                unit += 1;
            }
            // A run may go over several units; the share of each is by its addresses.
            let mut from = *start;
            loop {
                let to = units.get(unit + 1).map_or(end, |(next, _)| next - 1).min(last);
                let part = (u128::from(demand.prefixes[*value as usize].1) << 16)
                    * (u128::from(to - from) + 1)
                    / spans[*value as usize];
                queries[units[unit].1.0 as usize] += part;
                if to >= last {
                    break;
                }
                unit += 1;
                from = to + 1;
            }
        }
    }
    let all: u128 = queries.iter().sum();
    let share = |queries: u128| (queries * 1_000_000 + all / 2).checked_div(all).unwrap_or(0) as u32;
    queries.into_iter().map(share).collect()
}

/// How much of the whole trust in a table is left, in whole sixteenths: finer steps would have every ranking computed again for
/// nothing.
fn left(now: u64, time: u64, settings: &Settings) -> u32 {
    faded(WHOLE, now.saturating_sub(time), settings.table_half_life).div_ceil(WHOLE / 16)
}

fn trust(now: u64, inputs: &Inputs, settings: &Settings) -> Trust {
    let newest = |sources: &mut dyn Iterator<Item = &Source>| {
        sources.map(|source| left(now, source.time, settings)).max().unwrap_or(0)
    };
    let places = newest(&mut inputs.places.iter().map(|places| &places.source));
    let routes = newest(&mut inputs.routes.sources.iter());
    let of = |most: u32, left: u32| (most * left / 16) as u8;
    Trust { place: of(64, places), country: of(24, places), network: of(12, places), steps: of(32, routes) }
}

fn ages(now: u64, inputs: &Inputs, settings: &Settings) -> Vec<InputReport> {
    let mut reports = Vec::new();
    let mut add = |kind, source: &Source, used_for, half_life| {
        reports.push(InputReport {
            kind,
            file: source.file.clone(),
            age: now.saturating_sub(source.time),
            ahead: source.time.saturating_sub(now),
            lines: source.lines,
            used: source.used,
            skipped: source.skipped.clone(),
            used_for,
            trust: faded(255, now.saturating_sub(source.time), half_life) as u8,
        })
    };
    for source in &inputs.routes.sources {
        add("bgp", source, "prefixes, their networks, and steps between networks", settings.table_half_life);
    }
    for places in &inputs.places {
        let located = places.places.iter().any(|place| place.at.is_some());
        let numbered = places.places.iter().any(|place| place.asn != 0);
        let used_for = match (located, numbered) {
            (true, true) => "places of prefixes, and networks of those that BGP does not have",
            (true, false) => "places of prefixes",
            _ => "networks of prefixes that BGP does not have",
        };
        add("places", &places.source, used_for, settings.table_half_life);
    }
    for source in &inputs.probes.sources {
        add("probes", source, "scores", settings.half_life);
    }
    for source in &inputs.demand.sources {
        add("demand", source, "shares of units", settings.table_half_life);
    }
    reports
}

/// What is configured and has no effect.
fn unused(inputs: &Inputs, facts: &Facts, strange: u64, settings: &Settings) -> Vec<BadInput> {
    let mut problems = Vec::new();
    for name in settings.default_sites.iter().filter(|name| facts.names.binary_search(name).is_err()) {
        problems.push(
            BadInput::new("the configuration", format!("default site \"{name}\" is not in the network"))
                .hint("correct the name, or add the site"),
        );
    }
    if strange > 0 {
        let unknown = inputs.probes.sites.iter().filter(|name| facts.names.binary_search(name).is_err());
        let names: Vec<&str> = unknown.take(3).map(String::as_str).collect();
        problems.push(
            BadInput::new(
                "probes",
                format!(
                    "{strange} measurements are from sites that are not in the network: {}",
                    names.join(", ")
                ),
            )
            .hint("name sites in measurements as in the network"),
        );
    }
    for source in inputs.places.iter().map(|places| &places.source) {
        let told = source.skipped.iter().filter(|skipped| geo::hardly_meant(source.lines, skipped));
        problems.extend(told.map(|skipped| {
            BadInput::new(&source.file, format!("not used: {}{}", skipped.reason, skipped.more()))
                .line(skipped.first)
        }));
    }
    problems
}

fn count_units(clients: &Clients, has: impl Fn(&super::clients::Group) -> bool) -> usize {
    clients.groups.iter().filter(|group| has(group)).map(|group| group.units.len()).sum()
}

/// Units that have a measurement of their own or of a neighbour.
fn measured_units(clients: &Clients, measurements: &[Measured]) -> usize {
    warm_groups(clients, measurements).iter().map(|group| clients.groups[*group as usize].units.len()).sum()
}
