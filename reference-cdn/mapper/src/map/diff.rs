//! `map diff`: what putting one map in another's place would do. Which clients move from where to where, how much load each site and
//! server gains or loses, and how much content servers would have to fetch because it was on others before.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;

use super::churn::{Churn, MILLION, best, churn, dead, overlay};
use super::content_of;
use crate::conditions::Conditions;
use crate::decide::{Placed, Strictness, placement};
use crate::network::{Family, Network, ServerId, ServiceId, SiteId, UnitId};

/// A map, as far as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub network: &'a Network,
    pub conditions: &'a Conditions,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rows of each list.
    pub top: usize,
    /// Names of each service whose placement is looked at; the more, the closer the estimate.
    pub names: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { top: 10, names: 64 }
    }
}

/// The servers that carry a name at a site, the first most. What [`placed`] does, or a test's stand-in.
pub type Placement<'a> = &'a dyn Fn(Side<'_>, ServiceId, SiteId, u64) -> Vec<ServerId>;

/// The mapper's own placement.
pub fn placed(side: Side<'_>, service: ServiceId, site: SiteId, content: u64) -> Vec<ServerId> {
    let Some(service) = side.network.services.get(service.0 as usize) else { return Vec::new() };
    let mut scratch = Vec::new();
    for family in Family::ALL {
        for strictness in [Strictness::Serving, Strictness::Overloaded, Strictness::LastKnown] {
            let placed = Placed { service, content, family, site, strictness };
            let holders = placement(side.network, side.conditions, &placed, &mut scratch, &mut ());
            if !holders.as_slice().is_empty() {
                return holders.as_slice().to_vec();
            }
        }
    }
    Vec::new()
}

/// What changes. Shares are in parts of a million of all queries; where no demand is known, of all runs of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    pub churn: Churn,
    /// Where clients go from and to, most first.
    pub moves: Vec<Move>,
    /// How many pairs of sites there are in all.
    pub moves_in_all: usize,
    pub sites: Vec<SiteLoad>,
    pub servers: Vec<ServerLoad>,
    /// Of all requests, those that meet a server that did not carry the content before: cache misses to expect once.
    pub misses: u32,
    /// The sites where most of them are.
    pub misses_by_site: Vec<SiteMisses>,
    pub sites_added: Vec<String>,
    pub sites_removed: Vec<String>,
    pub servers_added: usize,
    pub servers_removed: usize,
    pub units_before: usize,
    pub units_after: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Move {
    pub from: String,
    pub to: String,
    pub demand: u32,
    /// Runs of addresses.
    pub prefixes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteLoad {
    pub site: String,
    pub before: u32,
    pub after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerLoad {
    pub server: String,
    pub site: String,
    pub before: u32,
    pub after: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteMisses {
    pub site: String,
    /// Of all requests.
    pub misses: u32,
    /// Of the site's own.
    pub of_site: u32,
}

/// Loads with more room than parts of a million, so that small parts add up.
const FINE: u64 = 1_000_000;

fn coarse(fine: u128) -> u32 {
    u32::try_from((fine + u128::from(FINE) / 2) / u128::from(FINE)).unwrap_or(u32::MAX)
}

/// Compares two maps, with the mapper's own placement.
pub fn diff(old: Side<'_>, new: Side<'_>, options: Options) -> Difference {
    diff_with(old, new, options, &placed)
}

/// Compares two maps.
pub fn diff_with(old: Side<'_>, new: Side<'_>, options: Options, placement: Placement<'_>) -> Difference {
    let flow = Flow::new(old, new);
    let name = |side: Side<'_>, site: Option<SiteId>| {
        site.and_then(|site| side.network.sites.get(site.0 as usize))
            .map_or_else(|| "(none)".to_owned(), |site| site.name.clone())
    };
    let mut moves: Vec<Move> = flow
        .pairs
        .iter()
        .map(|((from, to), (weight, runs))| Move {
            from: name(old, *from),
            to: name(new, *to),
            demand: coarse(*weight),
            prefixes: *runs,
        })
        .filter(|one| one.from != one.to)
        .collect();
    moves.sort_unstable_by(|a, b| {
        (b.demand, b.prefixes, &a.from, &a.to).cmp(&(a.demand, a.prefixes, &b.from, &b.to))
    });
    let moves_in_all = moves.len();
    moves.truncate(options.top);

    let before = loads(old, &flow.before, options, placement);
    let after = loads(new, &flow.after, options, placement);
    let (misses, misses_by_site) = misses(old, new, &flow, options, placement);

    let known = |network: &Network| -> std::collections::BTreeSet<String> {
        network.sites.iter().map(|site| site.name.clone()).collect()
    };
    let (old_sites, new_sites) = (known(old.network), known(new.network));
    let keys = |network: &Network| -> std::collections::HashSet<u64> {
        network.servers.iter().map(|server| server.key).collect()
    };
    let (old_keys, new_keys) = (keys(old.network), keys(new.network));
    Difference {
        churn: churn((old.network, old.conditions), (new.network, new.conditions)),
        moves,
        moves_in_all,
        sites: site_loads(old, new, &flow, options),
        servers: server_loads(old, new, &before, &after, options),
        misses,
        misses_by_site,
        sites_added: new_sites.difference(&old_sites).cloned().collect(),
        sites_removed: old_sites.difference(&new_sites).cloned().collect(),
        servers_added: new_keys.difference(&old_keys).count(),
        servers_removed: old_keys.difference(&new_keys).count(),
        units_before: old.network.units.len(),
        units_after: new.network.units.len(),
    }
}

/// Which share of the queries goes from which site to which.
struct Flow {
    /// Weight and runs.
    pairs: HashMap<(Option<SiteId>, Option<SiteId>), (u128, u64)>,
    /// Weight of each site, by position in its own network.
    before: Vec<u128>,
    after: Vec<u128>,
}

impl Flow {
    fn new(old: Side<'_>, new: Side<'_>) -> Self {
        // A unit's demand is shared by the runs in it: those of both maps, as each is cut by the other.
        let mut runs = vec![0_u32; old.network.units.len()];
        let mut all = 0_u64;
        overlay(old.network, new.network, |a, _| {
            all += 1;
            if let Some(runs) = runs.get_mut(a.0 as usize) {
                *runs += 1;
            }
        });
        let demand = &old.network.units.demand;
        let known: u64 = demand.iter().map(|demand| u64::from(*demand)).sum();
        let weight = |unit: UnitId| -> u128 {
            let whole = u128::from(MILLION * FINE);
            match (known, runs.get(unit.0 as usize).copied().unwrap_or(0)) {
                (0, _) | (_, 0) => whole / u128::from(all.max(1)),
                (known, runs) => {
                    u128::from(demand[unit.0 as usize]) * whole / u128::from(known) / u128::from(runs)
                }
            }
        };
        let best_of = |side: Side<'_>| -> Vec<Option<SiteId>> {
            let dead = dead(side.network, side.conditions);
            (0..side.network.units.len() as u32).map(|unit| best(side.network, &dead, UnitId(unit))).collect()
        };
        let (old_best, new_best) = (best_of(old), best_of(new));
        let mut flow = Self {
            pairs: HashMap::new(),
            before: vec![0; old.network.sites.len()],
            after: vec![0; new.network.sites.len()],
        };
        overlay(old.network, new.network, |a, b| {
            let from = old_best.get(a.0 as usize).copied().flatten();
            let to = new_best.get(b.0 as usize).copied().flatten();
            let weight = weight(a);
            let pair = flow.pairs.entry((from, to)).or_default();
            pair.0 += weight;
            pair.1 += 1;
            for (list, site) in [(&mut flow.before, from), (&mut flow.after, to)] {
                if let Some(sum) = site.and_then(|site| list.get_mut(site.0 as usize)) {
                    *sum += weight;
                }
            }
        });
        flow
    }
}

/// Some names of a service: its own hosts, evenly taken. For a host that stands for any label, labels are made up.
fn names(network: &Network, service: ServiceId, count: usize) -> Vec<u64> {
    let Some(service) = network.services.get(service.0 as usize) else { return Vec::new() };
    let hosts = &service.hosts;
    let wanted = count.max(1);
    let step = hosts.len().div_ceil(wanted).max(1);
    let mut contents: Vec<u64> = Vec::new();
    for host in hosts.iter().step_by(step) {
        let labels: Vec<String> = match host.strip_prefix('*') {
            Some(rest) => {
                (0..wanted / hosts.len().max(1) + 1).map(|number| format!("x{number}{rest}")).collect()
            }
            None => vec![host.clone()],
        };
        contents.extend(labels.iter().filter_map(|name| super::wire_of(name)).map(|wire| content_of(&wire)));
    }
    contents
}

/// How much each server gets: a site's load is shared evenly by services, by names, and by the servers that carry a name.
fn loads(side: Side<'_>, weights: &[u128], options: Options, placement: Placement<'_>) -> Vec<u128> {
    let mut loads = vec![0_u128; side.network.servers.len()];
    let services: Vec<Vec<u64>> = (0..side.network.services.len() as u32)
        .map(|service| names(side.network, ServiceId(service), options.names))
        .collect();
    for (weight, site) in weights.iter().zip(0_u32..).filter(|(weight, _)| **weight > 0) {
        for (contents, service) in services.iter().zip(0_u32..) {
            let part = weight / services.len().max(1) as u128 / contents.len().max(1) as u128;
            for content in contents {
                let servers = placement(side, ServiceId(service), SiteId(site), *content);
                for server in &servers {
                    if let Some(load) = loads.get_mut(server.0 as usize) {
                        *load += part / servers.len() as u128;
                    }
                }
            }
        }
    }
    loads
}

fn site_loads(old: Side<'_>, new: Side<'_>, flow: &Flow, options: Options) -> Vec<SiteLoad> {
    let mut sites: HashMap<&str, (u128, u128)> = HashMap::new();
    for (site, weight) in old.network.sites.iter().zip(&flow.before) {
        sites.entry(&site.name).or_default().0 += weight;
    }
    for (site, weight) in new.network.sites.iter().zip(&flow.after) {
        sites.entry(&site.name).or_default().1 += weight;
    }
    let mut rows: Vec<SiteLoad> = sites
        .into_iter()
        .map(|(site, (before, after))| SiteLoad {
            site: site.to_owned(),
            before: coarse(before),
            after: coarse(after),
        })
        .filter(|row| row.before != row.after)
        .collect();
    rows.sort_unstable_by(|a, b| {
        b.before.abs_diff(b.after).cmp(&a.before.abs_diff(a.after)).then_with(|| a.site.cmp(&b.site))
    });
    rows.truncate(options.top);
    rows
}

fn server_loads(
    old: Side<'_>,
    new: Side<'_>,
    before: &[u128],
    after: &[u128],
    options: Options,
) -> Vec<ServerLoad> {
    // By key: names may be long, and there are many.
    let mut servers: HashMap<u64, (u128, u128, Option<u32>, Option<u32>)> = HashMap::new();
    for ((server, load), at) in old.network.servers.iter().zip(before).zip(0..) {
        let row = servers.entry(server.key).or_default();
        (row.0, row.2) = (*load, Some(at));
    }
    for ((server, load), at) in new.network.servers.iter().zip(after).zip(0..) {
        let row = servers.entry(server.key).or_default();
        (row.1, row.3) = (*load, Some(at));
    }
    let named = |side: Side<'_>, at: u32| {
        let name = side.network.server_names.get(at as usize).cloned().unwrap_or_default();
        let site = side
            .network
            .servers
            .get(at as usize)
            .and_then(|server| side.network.sites.get(server.site.0 as usize));
        (name, site.map(|site| site.name.clone()).unwrap_or_default())
    };
    let mut rows: Vec<(u128, u128, Option<u32>, Option<u32>)> =
        servers.into_values().filter(|(before, after, ..)| before != after).collect();
    rows.sort_unstable_by_key(|(before, after, old, new)| {
        (std::cmp::Reverse(before.abs_diff(*after)), *new, *old)
    });
    rows.truncate(options.top);
    let row = |(before, after, old_at, new_at): (u128, u128, Option<u32>, Option<u32>)| {
        let (server, site) = match (new_at, old_at) {
            (Some(at), _) => named(new, at),
            (None, Some(at)) => named(old, at),
            (None, None) => Default::default(),
        };
        ServerLoad { server, site, before: coarse(before), after: coarse(after) }
    };
    rows.into_iter().map(row).collect()
}

/// Requests that meet a server which did not carry their content before.
fn misses(
    old: Side<'_>,
    new: Side<'_>,
    flow: &Flow,
    options: Options,
    placement: Placement<'_>,
) -> (u32, Vec<SiteMisses>) {
    let old_sites: HashMap<&str, u32> =
        old.network.sites.iter().map(|site| site.name.as_str()).zip(0..).collect();
    let old_services: HashMap<&str, u32> =
        old.network.services.iter().map(|service| service.name.as_str()).zip(0..).collect();
    let services: Vec<(Option<ServiceId>, Vec<u64>)> = new
        .network
        .services
        .iter()
        .zip(0..)
        .map(|(service, at)| {
            let before = old_services.get(service.name.as_str()).map(|at| ServiceId(*at));
            (before, names(new.network, ServiceId(at), options.names))
        })
        .collect();
    let mut all = 0_u128;
    let mut rows = Vec::new();
    for ((site, weight), at) in
        new.network.sites.iter().zip(&flow.after).zip(0_u32..).filter(|((_, weight), _)| **weight > 0)
    {
        let before = old_sites.get(site.name.as_str()).map(|at| SiteId(*at));
        let mut missed = 0_u128;
        for ((old_service, contents), service) in services.iter().zip(0_u32..) {
            let part = weight / services.len().max(1) as u128 / contents.len().max(1) as u128;
            for content in contents {
                let carried: Vec<u64> = before
                    .zip(*old_service)
                    .map(|(site, service)| placement(old, service, site, *content))
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|server| old.network.servers.get(server.0 as usize))
                    .map(|server| server.key)
                    .collect();
                let carry = placement(new, ServiceId(service), SiteId(at), *content);
                let fresh = carry
                    .iter()
                    .filter_map(|server| new.network.servers.get(server.0 as usize))
                    .filter(|server| !carried.contains(&server.key))
                    .count();
                missed += part * fresh as u128 / carry.len().max(1) as u128;
            }
        }
        all += missed;
        let of_site = (missed * u128::from(MILLION) / weight) as u32;
        if missed > 0 {
            rows.push((missed, SiteMisses { site: site.name.clone(), misses: coarse(missed), of_site }));
        }
    }
    rows.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.site.cmp(&b.1.site)));
    rows.truncate(options.top);
    (coarse(all), rows.into_iter().map(|(_, row)| row).collect())
}

impl Difference {
    /// Nothing changes for anybody.
    pub fn is_none(&self) -> bool {
        self.moves.is_empty()
            && self.misses == 0
            && self.sites.is_empty()
            && self.servers.is_empty()
            && self.servers_added == 0
            && self.servers_removed == 0
            && self.sites_added.is_empty()
            && self.sites_removed.is_empty()
    }

    /// As tables for a terminal.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        // Four digits are parts of a million: a server among many has few of them.
        let percent = |share: u32| format!("{:.4} %", f64::from(share) / 10_000.0);
        writeln!(
            out,
            "clients moved       {:>9} of demand, {} of prefixes",
            percent(self.churn.demand),
            percent(self.churn.prefixes)
        )?;
        writeln!(out, "misses to expect    {:>9} of requests, once", percent(self.misses))?;
        writeln!(out, "capacity lost       {:>9}", percent(self.churn.capacity_lost))?;
        writeln!(
            out,
            "servers             {:>9} added, {} removed",
            self.servers_added, self.servers_removed
        )?;
        writeln!(
            out,
            "sites               {:>9} added, {} removed",
            self.sites_added.len(),
            self.sites_removed.len()
        )?;
        writeln!(out, "units               {:>9} before, {} after", self.units_before, self.units_after)?;
        if !self.moves.is_empty() {
            let all = self.moves_in_all;
            writeln!(out, "\nclients moved, the first {} of {all} pairs of sites", self.moves.len())?;
            let rows = self
                .moves
                .iter()
                .map(|one| [one.from.clone(), one.to.clone(), percent(one.demand), one.prefixes.to_string()]);
            table(out, ["from", "to", "demand", "prefixes"], rows.collect())?;
        }
        if !self.sites.is_empty() {
            writeln!(out, "\nload of sites that change most")?;
            let rows = self.sites.iter().map(|row| {
                [row.site.clone(), percent(row.before), percent(row.after), change(row.before, row.after)]
            });
            table(out, ["site", "before", "after", "change"], rows.collect())?;
        }
        if !self.servers.is_empty() {
            writeln!(out, "\nload of servers that change most")?;
            let rows = self.servers.iter().map(|row| {
                [
                    format!("{} ({})", row.server, row.site),
                    percent(row.before),
                    percent(row.after),
                    change(row.before, row.after),
                ]
            });
            table(out, ["server", "before", "after", "change"], rows.collect())?;
        }
        if !self.misses_by_site.is_empty() {
            writeln!(out, "\nsites with most misses to expect")?;
            let rows = self
                .misses_by_site
                .iter()
                .map(|row| [row.site.clone(), percent(row.misses), percent(row.of_site)]);
            table(out, ["site", "of all requests", "of its own"], rows.collect())?;
        }
        Ok(())
    }
}

/// In parts of what there was.
fn change(before: u32, after: u32) -> String {
    if before == 0 {
        return "new".to_owned();
    }
    format!("{:+.1} %", (f64::from(after) - f64::from(before)) / f64::from(before) * 100.0)
}

/// First column to the left, numbers to the right.
fn table<const N: usize>(out: &mut String, heading: [&str; N], rows: Vec<[String; N]>) -> std::fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let is_text = |column: usize| column == 0 || heading[column] == "to";
    let lines = std::iter::once(heading.map(str::to_owned)).chain(rows.iter().cloned());
    for row in lines {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if is_text(column) {
                write!(line, "  {cell:<width$}")?
            } else {
                write!(line, "  {cell:>width$}")?
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
