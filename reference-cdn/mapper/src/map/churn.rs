//! How far a map is from the one before, and whether that is too far to put it into force unseen.

use std::collections::HashMap;

use serde::Serialize;

use crate::conditions::{Conditions, ServerNow, Standing};
use crate::network::{Network, SiteId, UnitId};

/// Parts of a million.
pub const MILLION: u64 = 1_000_000;

/// How far two maps are apart. Shares are in parts of a million of what the old one has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Churn {
    /// Of runs of addresses, whose nearest site is another.
    pub prefixes: u32,
    /// Of demand, whose nearest site is another; that of prefixes where no demand is known.
    pub demand: u32,
    /// Sites that are not there any more.
    pub sites_lost: u32,
    /// Servers that are not there any more.
    pub servers_lost: u32,
    /// Capacity that is not there any more, or must not be named any more though it was before.
    pub capacity_lost: u32,
}

/// What may change at once; beyond, a map is held back. In parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub demand: u32,
    pub sites_lost: u32,
    pub servers_lost: u32,
    pub capacity_lost: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { demand: 200_000, sites_lost: 50_000, servers_lost: 100_000, capacity_lost: 200_000 }
    }
}

/// A map that changes too much at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("the map is held back: {}; the one before stays in force. If the change is meant, accept it once: POST /accept to the mapper that runs; where none runs, map build --accept", .reasons.join("; "))]
pub struct HeldBack {
    pub churn: Churn,
    pub reasons: Vec<String>,
}

impl Churn {
    /// Lets a change through that is within bounds, or accepted by an operator.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn admit(self, bounds: &Bounds, accept: bool) -> Result<Self, HeldBack> {
        let percent = |share: u32| f64::from(share) / 10_000.0;
        let reasons: Vec<String> = [
            ("of the demand would go to other sites", self.demand, bounds.demand),
            ("of the sites are gone", self.sites_lost, bounds.sites_lost),
            ("of the servers are gone", self.servers_lost, bounds.servers_lost),
            ("of the capacity is gone or withdrawn", self.capacity_lost, bounds.capacity_lost),
        ]
        .into_iter()
        .filter(|(_, found, bound)| found > bound)
        .map(|(what, found, bound)| {
            format!("{:.2} % {what}, of at most {:.2} %", percent(found), percent(bound))
        })
        .collect();
        if accept || reasons.is_empty() { Ok(self) } else { Err(HeldBack { churn: self, reasons }) }
    }
}

/// A part of a whole in parts of a million; the whole of nothing is nothing.
fn share(part: u128, whole: u128) -> u32 {
    if whole == 0 { 0 } else { (part * u128::from(MILLION)).div_ceil(whole).min(u128::from(MILLION)) as u32 }
}

/// Runs of addresses that are alike in both networks, with the unit in each.
pub(super) fn overlay(old: &Network, new: &Network, mut each: impl FnMut(UnitId, UnitId)) {
    walk(&old.prefixes.v4, &new.prefixes.v4, &mut each);
    walk(&old.prefixes.v6, &new.prefixes.v6, &mut each);
}

fn walk<A: Ord + Copy>(old: &[(A, UnitId)], new: &[(A, UnitId)], each: &mut impl FnMut(UnitId, UnitId)) {
    let (mut a, mut b) = (0, 0);
    while let (Some((_, old_unit)), Some((_, new_unit))) = (old.get(a), new.get(b)) {
        each(*old_unit, *new_unit);
        match (old.get(a + 1), new.get(b + 1)) {
            (Some((x, _)), Some((y, _))) => {
                let (x, y) = (*x, *y);
                a += usize::from(x <= y);
                b += usize::from(y <= x);
            }
            (Some(_), None) => a += 1,
            (None, Some(_)) => b += 1,
            (None, None) => return,
        }
    }
}

/// The site of each old position in the new network.
pub(super) fn sites(old: &Network, new: &Network) -> Vec<Option<SiteId>> {
    let names: HashMap<&str, u32> = new.sites.iter().map(|site| site.name.as_str()).zip(0..).collect();
    old.sites.iter().map(|site| names.get(site.name.as_str()).map(|at| SiteId(*at))).collect()
}

/// The first of a unit's ranking that has a server that may be named, or else the first.
pub(super) fn best(network: &Network, dead: &[bool], unit: UnitId) -> Option<SiteId> {
    let ranking = network.units.ranking(unit);
    let alive = ranking.iter().find(|ranked| !dead.get(ranked.site.0 as usize).copied().unwrap_or(true));
    alive.or(ranking.first()).map(|ranked| ranked.site)
}

fn may_be_named(now: ServerNow) -> bool {
    matches!(now.standing, Standing::Serving | Standing::Overloaded)
}

/// Sites none of whose servers may be named.
pub(super) fn dead(network: &Network, conditions: &Conditions) -> Vec<bool> {
    let mut dead = vec![true; network.sites.len()];
    for (server, at) in network.servers.iter().zip(0..) {
        if may_be_named(conditions.server(crate::network::ServerId(at)))
            && let Some(site) = dead.get_mut(server.site.0 as usize)
        {
            *site = false;
        }
    }
    dead
}

/// Compares two maps.
pub fn churn((old, before): (&Network, &Conditions), (new, now): (&Network, &Conditions)) -> Churn {
    let there = sites(old, new);
    let (old_dead, new_dead) = (dead(old, before), dead(new, now));
    let of_unit = |network: &Network, dead: &[bool]| -> Vec<Option<SiteId>> {
        (0..network.units.len() as u32).map(|unit| best(network, dead, UnitId(unit))).collect()
    };
    let (old_best, new_best) = (of_unit(old, &old_dead), of_unit(new, &new_dead));
    let mut runs = vec![0_u32; old.units.len()];
    let (mut moved, mut all) = (vec![0_u32; old.units.len()], 0_u64);
    overlay(old, new, |a, b| {
        let (Some(runs), Some(moved)) = (runs.get_mut(a.0 as usize), moved.get_mut(a.0 as usize)) else {
            return;
        };
        let site = |list: &[Option<SiteId>], unit: UnitId| list.get(unit.0 as usize).copied().flatten();
        let from = site(&old_best, a).and_then(|site| there.get(site.0 as usize).copied().flatten());
        all += 1;
        *runs += 1;
        *moved += u32::from(from.is_none() || from != site(&new_best, b));
    });
    let moved_runs: u64 = moved.iter().map(|moved| u64::from(*moved)).sum();
    let prefixes = share(moved_runs.into(), all.into());
    let known: u64 = old.units.demand.iter().map(|demand| u64::from(*demand)).sum();
    // In the old network's demand: what a new one says of it may itself be wrong.
    let shifted: u128 = old
        .units
        .demand
        .iter()
        .zip(moved.iter().zip(&runs))
        .filter(|(_, (_, runs))| **runs > 0)
        .map(|(demand, (moved, runs))| u128::from(*demand) * 1000 * u128::from(*moved) / u128::from(*runs))
        .sum();
    let demand = if known == 0 { prefixes } else { share(shifted, u128::from(known) * 1000) };

    let keys: HashMap<u64, u32> = new.servers.iter().map(|server| server.key).zip(0..).collect();
    let (mut servers, mut lost, mut capacity, mut gone) = (0_u128, 0_u128, 0_u128, 0_u128);
    for (server, at) in old.servers.iter().zip(0..) {
        servers += 1;
        let position = keys.get(&server.key);
        lost += u128::from(position.is_none());
        if may_be_named(before.server(crate::network::ServerId(at))) {
            capacity += u128::from(server.capacity);
            let named = position.is_some_and(|at| may_be_named(now.server(crate::network::ServerId(*at))));
            let left = position
                .filter(|_| named)
                .map_or(0, |at| new.servers[*at as usize].capacity.min(server.capacity));
            gone += u128::from(server.capacity - left);
        }
    }
    Churn {
        prefixes,
        demand,
        sites_lost: share(
            there.iter().filter(|site| site.is_none()).count() as u128,
            old.sites.len() as u128,
        ),
        servers_lost: share(lost, servers),
        capacity_lost: share(gone, capacity),
    }
}
