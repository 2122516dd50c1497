//! How many of its clients a loaded site gives away.

use std::collections::VecDeque;

use super::{Untold, Watch};
use crate::conditions::{Conditions, PARTS, Rules, Standing};
use crate::decide::sites::{furthest, part_at};
use crate::network::{Network, Ranked, Site, SiteId, UnitId};

/// A site gives clients away when it is loaded by so many hundredths of what it and those that could take them are together, and until
/// it is loaded by so many.
const BEGINS: u64 = 110;
const ENDS: u64 = 105;
/// How often patience is doubled at most, for a site that took clients back too early.
const MOST_RELAPSES: u32 = 4;
/// A whole, in parts by which shares of clients are told.
const WHOLE: u64 = 1 << 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Shift {
    shifted: u8,
    /// The most that was needed since `enough`.
    needed: u8,
    enough: u64,
    /// Which share of those that are nearest to it it had in the last lifetime: answers that resolvers keep are from then.
    kept: VecDeque<(u64, u64)>,
    /// When it last took clients back, and how often in a row that was too early.
    taken_back: Option<u64>,
    relapses: u32,
    /// What was last told that there is to do.
    pub(super) used: u64,
}

impl Shift {
    /// As an earlier mapper left it.
    pub(super) fn resumed(now: u64, shifted: u8) -> Self {
        Self { shifted: shifted.min(PARTS - 1), enough: now, ..Self::default() }
    }

    /// For how long less must be enough before clients are taken back.
    fn patience(&self, rules: &Rules) -> u64 {
        rules.patience() << self.relapses
    }

    /// Notes which share of its clients it has now; and says which it had in the last lifetime, on average. Before the first that is
    /// known, the same.
    fn kept(&mut self, now: u64, share: u64, lifetime: u64) -> u64 {
        self.kept.push_back((now, share));
        let begin = now.saturating_sub(lifetime);
        while self.kept.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.kept.pop_front();
        }
        let (mut sum, mut until) = (0, begin);
        for (at, (_, share)) in self.kept.iter().enumerate() {
            let next = self.kept.get(at + 1).map_or(now, |(next, _)| *next);
            sum += share * next.saturating_sub(until);
            until = next;
        }
        sum.checked_div(now - begin).unwrap_or(share)
    }

    /// Whether there is nothing to be remembered.
    fn is_over(&self, now: u64, rules: &Rules) -> bool {
        self.shifted == 0
            && self.taken_back.is_none_or(|at| now.saturating_sub(at) > self.patience(rules) * 2)
    }

    /// `in_vain`: nobody went.
    fn step(&mut self, now: u64, needed: u8, in_vain: bool, rules: &Rules) {
        if needed >= self.shifted {
            if needed > self.shifted
                && let Some(at) = self.taken_back.take()
            {
                // What was taken back has to go again: the next time it takes longer.
                let soon = now.saturating_sub(at) <= self.patience(rules) * 2;
                self.relapses = if soon { (self.relapses + 1).min(MOST_RELAPSES) } else { 0 };
            }
            (self.shifted, self.needed, self.enough) = (needed, 0, now);
            return;
        }
        self.needed = self.needed.max(needed);
        if in_vain {
            // Nobody comes back. But others can send clients here again.
            (self.shifted, self.needed, self.enough) = (needed, 0, now);
        } else if now.saturating_sub(self.enough) >= self.patience(rules) {
            // A part or two more or less say nothing.
            if (self.shifted - self.needed) * 4 >= self.shifted {
                self.taken_back = Some(now);
            }
            (self.shifted, self.needed, self.enough) = (self.needed, 0, now);
        }
    }

    /// Nobody tells what there is to do: once what was told before is given up, half of the clients come back after each patience.
    fn step_untold(&mut self, now: u64, given_up: bool, rules: &Rules) {
        if !given_up {
            self.enough = now;
        } else if now.saturating_sub(self.enough) >= rules.patience() {
            let rest = if self.shifted > PARTS / 8 { self.shifted / 2 } else { 0 };
            (self.shifted, self.needed, self.enough) = (rest, 0, now);
        }
    }
}

/// What a site has to do, in thousandths of what it can.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    used: u64,
    /// Of its servers that may be named.
    capacity: u64,
    /// Whether any of these tells.
    told: bool,
}

/// The clients that are nearest to a loaded site, by their expected demand.
#[derive(Clone, Debug, Default)]
struct Clients {
    all: u64,
    /// Those that it has.
    kept: u64,
    /// Sites that could take some.
    relief: Vec<SiteId>,
}

impl Clients {
    /// The share that it has, of [`WHOLE`].
    fn share(&self) -> u64 {
        let share = (u128::from(self.kept) * u128::from(WHOLE)).checked_div(u128::from(self.all));
        share.and_then(|share| u64::try_from(share).ok()).unwrap_or(WHOLE)
    }
}

/// What sites have to do together.
fn mean(loads: impl Iterator<Item = Load>) -> u64 {
    let (used, capacity) = loads.fold((0_u128, 0_u128), |(used, capacity), load| {
        (used + u128::from(load.used) * u128::from(load.capacity), capacity + u128::from(load.capacity))
    });
    used.checked_div(capacity).and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0)
}

impl Watch {
    /// A site that is loaded as a whole gives clients away, as many parts as bring what it would carry without that to its goal: below
    /// the first threshold, or, where those that could take them have much to do too, near to what all of them have.
    ///
    /// What it would carry follows from which share of its clients really moved: those that no other site takes stay, whatever was
    /// said.
    pub(super) fn step_sites(
        &mut self,
        now: u64,
        network: &Network,
        conditions: &mut Conditions,
        rules: &Rules,
    ) {
        for (site, next) in network.sites.iter().zip(&mut conditions.sites) {
            next.shifted = self.sites.get(&site.name).map_or(0, |shift| shift.shifted);
        }
        let loads: Vec<Load> =
            (0..network.sites.len()).map(|at| self.site_load(now, network, at, rules)).collect();
        let first = u64::from(rules.first);
        let loaded: Vec<usize> = (0..loads.len())
            .filter(|at| loads[*at].used > first || self.sites.contains_key(&network.sites[*at].name))
            .collect();
        if !loaded.is_empty() {
            let clients = clients(network, conditions, &loads, &loaded);
            let is_given_up = |site: &Site| self.untold(&site.name).is_some_and(Untold::given_up);
            let given_up: Vec<bool> = network.sites.iter().map(is_given_up).collect();
            for (at, clients) in loaded.into_iter().zip(clients) {
                let shift = self.sites.entry(network.sites[at].name.clone()).or_default();
                let share = clients.share();
                let kept = shift.kept(now, share, rules.lifetime);
                if !loads[at].told {
                    // What has to be done there is not known: it stays as it is, for a time.
                    shift.step_untold(now, given_up[at], rules);
                    conditions.sites[at].shifted = shift.shifted;
                    continue;
                }
                shift.used = loads[at].used;
                let all = clients.relief.iter().map(|site| loads[site.0 as usize]).chain([loads[at]]);
                let mean = mean(all);
                // What little is left is mostly not of these clients.
                let whole = loads[at].used * WHOLE / kept.max(WHOLE / 8);
                // Below the threshold by half the way back: servers of a site are never loaded alike.
                let goal = ((first + u64::from(rules.first_leave)) / 2).max(mean * ENDS / 100);
                let begins = if shift.shifted == 0 { first.max(mean * BEGINS / 100) } else { goal };
                let parts = u64::from(PARTS);
                let needed = if whole <= begins { 0 } else { parts - goal * parts / whole };
                let needed = u8::try_from(needed).unwrap_or(PARTS).min(PARTS - 1);
                shift.step(now, needed, kept == WHOLE, rules);
                conditions.sites[at].shifted = shift.shifted;
            }
        }
        self.sites.retain(|_, shift| !shift.is_over(now, rules));
    }

    fn site_load(&self, now: u64, network: &Network, at: usize, rules: &Rules) -> Load {
        let site = &network.sites[at];
        let (mut capacity, mut told, mut load, mut octets) = (0_u64, 0_u64, 0_u64, 0_u64);
        let known = &network.servers[site.servers.start as usize..site.servers.end as usize];
        for (watched, server) in self.servers.of(site.servers.clone()).iter().zip(known) {
            if !matches!(watched.now.standing, Standing::Serving | Standing::Overloaded) {
                continue;
            }
            capacity += u64::from(server.capacity);
            let heard = |at: u64| now.saturating_sub(at) < rules.silent;
            if let Some(last) = watched.last.as_ref().filter(|last| heard(last.at)) {
                told += u64::from(server.capacity);
                load += u64::from(watched.load) * u64::from(server.capacity);
                octets = octets.saturating_add(last.octets);
            }
        }
        // Megabits a second; in thousandths of what the site can send.
        let sent = (octets / 125).checked_div(u64::from(site.bandwidth)).unwrap_or(0);
        // A number that does not make sense is much, and no more.
        let used = load.checked_div(told).unwrap_or(0).max(sent).min(1_000_000);
        Load { used, capacity, told: told > 0 }
    }
}

/// Whose clients loaded sites have, of those that are nearest to them.
fn clients(network: &Network, conditions: &Conditions, loads: &[Load], loaded: &[usize]) -> Vec<Clients> {
    let mut of = vec![Clients::default(); loaded.len()];
    let mut place = vec![None; network.sites.len()];
    for (at, site) in loaded.iter().enumerate() {
        place[*site] = Some(at);
    }
    let is_usable =
        |ranked: &&Ranked| loads.get(ranked.site.0 as usize).is_some_and(|load| load.capacity > 0);
    for (at, key) in network.units.keys.iter().enumerate() {
        let ranking = network.units.ranking(UnitId(u32::try_from(at).unwrap_or(u32::MAX)));
        let mut usable = ranking.iter().filter(is_usable);
        let Some(nearest) = usable.next() else { continue };
        let Some(home) = place.get(nearest.site.0 as usize).copied().flatten() else { continue };
        let far = furthest(nearest);
        // Nobody is expected to ask for nothing: what is not measured is not nothing.
        let demand = network.units.demand.get(at).map_or(1, |demand| u64::from((*demand).max(1)));
        let home: &mut Clients = &mut of[home];
        let sheds = |site: SiteId| part_at(*key, site) < conditions.site(site).shifted;
        let mut stays = true;
        for ranked in usable.take_while(|ranked| ranked.score <= far) {
            stays &= sheds(ranked.site);
            if !home.relief.contains(&ranked.site) {
                home.relief.push(ranked.site);
            }
        }
        home.all += demand;
        home.kept += if stays || !sheds(nearest.site) { demand } else { 0 };
    }
    of
}
