//! What a map does to load over time: clients, resolvers that keep answers for their lifetime, servers that report, on virtual time.
//!
//! Time goes in steps of one second. Each resolver has a demand for each name; when its answer has run out it asks again, with
//! the very code that answers queries, and divides what its clients ask for evenly over the addresses it got. Servers report
//! what that comes to. Nothing is drawn at random but what the seed draws, so a scenario plays the same each time.

mod page;
mod scenario;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use control::load_report::{LoadReport, NameLoad, State};
use serde::Serialize;

pub use page::page;
pub use scenario::{Event, Scenario, What};

use crate::conditions::{Conditions, Rules, Standing, Unrelieved, Watch};
use crate::decide::mix;
use crate::map::{Epoch, Map, Published, Steerer, wire_of};
use crate::network::{Network, ServerId, SiteId};
use crate::steer::{Client, Steerable, Steered, Steering};

/// What happened, second by second.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// Names of the servers, in the order of `loads`.
    pub servers: Vec<String>,
    /// Load of each server in each second, in thousandths of what it can do.
    pub loads: Vec<Vec<u32>>,
    /// Servers that were not named at the end of each second, by the reason.
    pub overloaded: Vec<u32>,
    pub failed: Vec<u32>,
    /// Servers of the whole network that carry any name more than they must, in each second.
    pub extra_copies: Vec<u32>,
    /// Requests per second that went to servers that were down.
    pub lost: Vec<u64>,
    /// Requests per second that had no address to go to.
    pub unanswered: Vec<u64>,
    pub rules: Shown,
    /// What the scenario says happened when.
    pub events: Vec<Happened>,
    /// Longest time without a break that any server was above the second threshold while it was up; none if none ever was.
    pub longest_over: Option<Over>,
    /// Sites with a server above the second threshold, past the first as a whole, that could give no client away: for how many seconds,
    /// and why; the longest first.
    pub unrelieved: Vec<NotRelieved>,
}

/// For how long nobody took clients of a loaded site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotRelieved {
    pub site: String,
    pub seconds: u64,
    pub why: &'static str,
}

impl NotRelieved {
    fn of(network: &Network, counts: BTreeMap<(SiteId, Unrelieved), u64>) -> Vec<Self> {
        let mut list: Vec<Self> = counts
            .into_iter()
            .map(|((site, why), seconds)| Self {
                site: network.sites[site.0 as usize].name.clone(),
                seconds,
                why: match why {
                    Unrelieved::NobodyNear => "no other site is near enough to its clients",
                    Unrelieved::LoadedToo => "the sites near enough have nearly as much to do",
                    Unrelieved::NobodyGoes => {
                        "of the clients that it gives away, none has another site that is near enough and takes them"
                    }
                },
            })
            .collect();
        list.sort_by_key(|one| std::cmp::Reverse(one.seconds));
        list
    }
}

/// An event, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Second in which it began.
    pub from: u64,
    /// First second in which it was over; none if it lasted to the end.
    pub to: Option<u64>,
    pub what: String,
}

/// How long a server was above the second threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Over {
    pub seconds: u64,
    pub server: String,
}

/// The thresholds, for who reads the outcome.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shown {
    pub first: u16,
    pub second: u16,
    pub lifetime_seconds: u64,
}

/// One resolver's answer to one name.
#[derive(Clone, Debug, Default)]
struct Kept {
    until: u64,
    servers: Vec<u32>,
}

struct Resolver {
    address: IpAddr,
    /// Its share of all demand, in parts of a million.
    weight: u64,
    /// Name of the site that its unit is nearest to.
    nearest: String,
    kept: Vec<Kept>,
}

/// Numbers that look random, from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Whether something happens that happens in so many of a thousand cases.
    fn one_in(&mut self, thousandths: u64) -> bool {
        self.next() % 1000 < thousandths
    }
}

/// Plays a scenario. `progress` is told each second that is over.
pub fn simulate(scenario: &Scenario, mut progress: impl FnMut(u64)) -> Outcome {
    let network = Arc::new(scenario.network.clone());
    let rules = &scenario.rules;
    let mut watch = Watch::default();
    let mut random = Random(scenario.seed);
    let map = Map::new(Epoch(1), network.clone(), Conditions::calm(&network), 1);
    let published = Published::new(Arc::new(map));
    let mut steerer = Steerer::new(published.clone(), 1 << 16);
    let names: Vec<(String, Steerable)> = scenario
        .names
        .iter()
        .filter_map(|name| Some((name.clone(), steerer.find(&wire_of(name)?)?)))
        .collect();
    let of_name: HashMap<&str, Steerable> =
        names.iter().map(|(name, found)| (name.as_str(), *found)).collect();
    let at_address: HashMap<Ipv4Addr, u32> =
        network.servers.iter().zip(0..).filter_map(|(server, at)| Some((server.v4?, at))).collect();
    let mut resolvers: Vec<Resolver> = scenario
        .resolvers
        .iter()
        .map(|(address, weight)| Resolver {
            address: *address,
            weight: *weight,
            nearest: nearest(&network, *address),
            kept: vec![Kept::default(); names.len()],
        })
        .collect();
    let weights: u64 = resolvers.iter().map(|resolver| resolver.weight).sum::<u64>().max(1);
    let mut outcome = Outcome::new(&network, rules, scenario);
    let mut over = vec![0_u64; network.servers.len()];
    let mut unrelieved = BTreeMap::new();
    for second in 0..scenario.seconds {
        let world = World::at(scenario, second);
        let mut carried: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); network.servers.len()];
        let (mut lost, mut unanswered) = (0, 0);
        for resolver in &mut resolvers {
            for (at, (name, steerable)) in names.iter().enumerate() {
                // Milli-requests a second.
                let demand = scenario.demand(at) * 1000 * resolver.weight / weights
                    * world.factor(name, &resolver.nearest)
                    / 100;
                if demand == 0 {
                    continue;
                }
                let kept = &mut resolver.kept[at];
                // Not all resolvers ask in the same second: the first answer is as old as their number says.
                if kept.until <= second {
                    let client = Client { address: resolver.address, length: 32 };
                    let (servers, ttl) = match steerer.steer(*steerable, client, second as u32) {
                        Steered::Addresses { v4, ttl, .. } => {
                            (v4.iter().filter_map(|address| at_address.get(address).copied()).collect(), ttl)
                        }
                        Steered::Alias { ttl, .. } => (Vec::new(), ttl),
                    };
                    let ttl = u64::from(ttl).max(1);
                    let until = if kept.until == 0 { second + 1 + random.next() % ttl } else { second + ttl };
                    *kept = Kept { until, servers };
                }
                let up = kept.servers.iter().filter(|server| !world.is_down(**server)).count() as u64;
                if kept.servers.is_empty() {
                    unanswered += demand;
                } else if up == 0 {
                    lost += demand;
                }
                // Clients go on to the next address when one does not answer.
                for server in kept.servers.iter().filter(|server| !world.is_down(**server)) {
                    *carried[*server as usize].entry(at).or_default() += demand / up;
                }
            }
        }
        let now = second * 1000;
        let mut loads = Vec::with_capacity(network.servers.len());
        for (at, names_of) in carried.iter().enumerate() {
            let server = &network.servers[at];
            let requests: u64 = names_of.values().sum();
            let load = requests / (scenario.requests_of_capacity * u64::from(server.capacity)).max(1);
            let load = u32::try_from(load).unwrap_or(u32::MAX);
            loads.push(load);
            let down = world.is_down(at as u32);
            if down || world.reports_stopped(at as u32) || random.one_in(world.reports_lost) {
                continue;
            }
            let mut list: Vec<NameLoad> = names_of
                .iter()
                .map(|(name, requested)| NameLoad {
                    name: names[*name].0.clone(),
                    share: u16::try_from(requested * 1000 / requests.max(1)).unwrap_or(1000),
                })
                .collect();
            list.sort_by_key(|name| std::cmp::Reverse(name.share));
            list.truncate(if scenario.names_in_reports { control::load_report::MOST_NAMES } else { 0 });
            let report = LoadReport {
                server: network.server_names[at].clone(),
                started: 1,
                number: second,
                sent: now,
                // A server cannot tell of more than all it has.
                processor: load.min(1000) as u16,
                state: State::Serves,
                requests: u32::try_from(requests / 1000).unwrap_or(u32::MAX),
                names: list,
                ..LoadReport::default()
            };
            watch.report(now, now, Some(server.key), &report, |name| of_name.get(name).copied());
        }
        let conditions = watch.step(now, &network, rules);
        for (site, why) in watch.unrelieved() {
            let servers = &network.sites[site.0 as usize].servers;
            let over = |load: &u32| *load > u32::from(rules.second);
            if !loads[servers.start as usize..servers.end as usize].iter().any(over) {
                continue;
            }
            *unrelieved.entry((*site, *why)).or_default() += 1;
        }
        outcome.note(&network, &world, loads, &conditions, lost / 1000, unanswered / 1000, &mut over, rules);
        published.publish(Arc::new(published.current().next(Epoch(second + 2), conditions)));
        steerer.refresh();
        progress(second);
    }
    outcome.unrelieved = NotRelieved::of(&network, unrelieved);
    outcome
}

fn nearest(network: &Network, address: IpAddr) -> String {
    let unit = match address {
        IpAddr::V4(address) => network.prefixes.unit_v4(address),
        IpAddr::V6(address) => network.prefixes.unit_v6(address),
    };
    let first = unit.and_then(|unit| network.units.ranking(unit).first());
    first.map_or_else(String::new, |ranked| network.sites[ranked.site.0 as usize].name.clone())
}

impl Happened {
    fn in_time(event: &Event, seconds: u64) -> Self {
        let to = event.lasts.map(|lasts| event.at.saturating_add(lasts)).filter(|to| *to < seconds);
        Self { from: event.at, to, what: event.what.to_string() }
    }
}

impl Outcome {
    fn new(network: &Network, rules: &Rules, scenario: &Scenario) -> Self {
        Self {
            servers: network.server_names.clone(),
            loads: Vec::new(),
            overloaded: Vec::new(),
            failed: Vec::new(),
            extra_copies: Vec::new(),
            lost: Vec::new(),
            unanswered: Vec::new(),
            rules: Shown {
                first: rules.first,
                second: rules.second,
                lifetime_seconds: rules.lifetime / 1000,
            },
            events: scenario.events.iter().map(|event| Happened::in_time(event, scenario.seconds)).collect(),
            longest_over: None,
            unrelieved: Vec::new(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one second, whole")]
    fn note(
        &mut self,
        network: &Network,
        world: &World<'_>,
        loads: Vec<u32>,
        conditions: &Conditions,
        lost: u64,
        unanswered: u64,
        over: &mut [u64],
        rules: &Rules,
    ) {
        for (at, load) in loads.iter().enumerate() {
            over[at] =
                if *load > u32::from(rules.second) && !world.is_down(at as u32) { over[at] + 1 } else { 0 };
            if over[at] > self.longest_over.as_ref().map_or(0, |longest| longest.seconds) {
                self.longest_over =
                    Some(Over { seconds: over[at], server: network.server_names[at].clone() });
            }
        }
        let count =
            |standing| conditions.servers.iter().filter(|server| server.standing == standing).count() as u32;
        self.overloaded.push(count(Standing::Overloaded));
        self.failed.push(count(Standing::Failed));
        let spread: u32 = conditions.servers.iter().map(|server| u32::from(server.spread > 0)).sum();
        let hot: u32 = conditions.hot.iter().map(|hot| u32::from(hot.copies.saturating_sub(2))).sum();
        self.extra_copies.push(spread + hot);
        self.lost.push(lost);
        self.unanswered.push(unanswered);
        self.loads.push(loads);
    }

    /// Whether no server was above the second threshold for longer than so many lifetimes, and at the end none had more that is extra
    /// than before the first event.
    pub fn holds(&self, lifetimes: u64) -> Result<(), String> {
        let most = lifetimes * self.rules.lifetime_seconds;
        if let Some(Over { seconds, server }) = &self.longest_over
            && *seconds > most
        {
            return Err(format!(
                "{server} was above the second threshold for {seconds} s, longer than {most} s"
            ));
        }
        let Some(first) = self.events.iter().map(|event| event.from).min() else { return Ok(()) };
        let at = |second: Option<u64>| {
            second.and_then(|at| self.extra_copies.get(usize::try_from(at).ok()?)).copied().unwrap_or(0)
        };
        let before = at(first.checked_sub(1));
        match self.extra_copies.last().map_or(0, |end| end.saturating_sub(before)) {
            0 => Ok(()),
            extra => Err(format!("{extra} extra copies were not given back by the end")),
        }
    }
}

/// What the events come to in one second.
struct World<'a> {
    factors: Vec<(&'a str, u64, Option<&'a str>)>,
    down: Vec<ServerId>,
    silent: Vec<ServerId>,
    reports_lost: u64,
}

impl<'a> World<'a> {
    fn at(scenario: &'a Scenario, second: u64) -> Self {
        let mut world = Self { factors: Vec::new(), down: Vec::new(), silent: Vec::new(), reports_lost: 0 };
        for event in scenario.events.iter().filter(|event| event.is_on(second)) {
            match &event.what {
                What::Surge { names, factor, near } => world.factors.push((names, *factor, near.as_deref())),
                What::ServerDown { server } => world.down.extend(scenario.servers_named(server)),
                What::SiteDown { site } => world.down.extend(scenario.servers_at(site)),
                What::ReportsLost { thousandths } => {
                    world.reports_lost = world.reports_lost.max(*thousandths)
                }
                What::ReportsStop { site } => world.silent.extend(scenario.servers_at(site)),
            }
        }
        world.down.sort_unstable();
        world.silent.sort_unstable();
        world
    }

    fn is_down(&self, server: u32) -> bool {
        self.down.binary_search(&ServerId(server)).is_ok()
    }

    fn reports_stopped(&self, server: u32) -> bool {
        self.silent.binary_search(&ServerId(server)).is_ok()
    }

    /// In hundredths.
    fn factor(&self, name: &str, nearest: &str) -> u64 {
        let of = |(pattern, factor, near): &(&str, u64, Option<&str>)| {
            (scenario::matches(pattern, name) && near.is_none_or(|near| near == nearest)).then_some(*factor)
        };
        self.factors.iter().find_map(of).map_or(100, |factor| factor.saturating_mul(100))
    }
}
