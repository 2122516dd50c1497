//! From load reports and probes to conditions: a function of time, what is remembered, and what came in.
//!
//! What changes in answers takes a lifetime to be felt, so nothing is steered by how a load changes. Instead it is estimated what a
//! name, or a site's clients, would ask for in all; that sum stays the same while they move. From it follows at once how many
//! servers are enough. More are given as soon as they are needed; less is believed only after some lifetimes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use control::load_report::{LoadReport, NameLoad, State};

use super::servers::{ByHash, Servers};
use super::{Conditions, Hot, PARTS, Rules, ServerNow, SiteNow, Standing};
use crate::network::{Network, SiteId};
use crate::steer::Steerable;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Taken {
    Taken,
    /// Of a server that the network does not have.
    Unknown,
    /// Not newer than one before.
    Old,
    /// Its sender's clock and ours differ too much.
    Clock,
}

/// How far a sender's clock may be off, in milliseconds.
const CLOCK: u64 = 30_000;
/// A name's demand below this share of a server's first threshold is not worth a further server (one in so many).
const SMALL: u64 = 4;

/// How often servers report, in milliseconds.
const PERIOD: u64 = 1_000;
/// A server is silent when the chance to lose so many reports in a row is below one in this.
const CHANCE: u64 = 1_000_000_000;
/// Of a server's content, so many parts at most are shared: all of it with eight others.
const MOST_SPREAD: u16 = PARTS as u16 * 8;
/// What is assumed of a server's losses until they are known, in thousandths.
const FIRST_LOSS: u16 = 100;
/// When a start has not been heard of for so long, an earlier one may be the true one, in milliseconds.
const QUIET: u64 = 10_000;
/// When probes of so many thousandths of the servers that say they are well fail, it is taken for a fault of the probes.
const MOST_REFUTED: usize = 800;
/// However many are lost, so many in a row are too many.
const MOST_MISSING: u64 = 20;

/// What is remembered of servers, sites and names, by keys that stay the same when the network changes.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    servers: Servers<Watched>,
    sites: BTreeMap<String, Shift>,
    hot: BTreeMap<(u64, u64), Copies>,
    /// Of sites' low-level name servers, by the site's name.
    names: HashMap<String, Probes>,
    blind: bool,
    /// Since when many are silent at sites where others are heard.
    scattered: Option<u64>,
    /// So many probes fail of servers that say they are well that it is not believed; and until when that holds for those that began
    /// to fail then.
    doubting: bool,
    doubted: u64,
    /// Until when silence of a moment ago, when that was so, is not believed: reports that are lost no more need time to come.
    trusting: u64,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    last: Option<Last>,
    /// Load, smoothed over a few reports.
    load: u32,
    now: ServerNow,
    /// Since when it has its standing.
    since: u64,
    /// When its spread was last changed.
    spread_since: u64,
    /// When its load was last too high for its spread to go down.
    pressed: u64,
    withdrawn: bool,
    /// Was not to be named when an earlier mapper ended, and was not heard of since.
    unheard: bool,
    /// Fell silent together with so many others that it is not held against it.
    excused: bool,
    /// Its probes began to fail together with nearly all others.
    doubted: bool,
    /// Thousandths of its reports that do not arrive, smoothed.
    loss: u16,
    /// Of each kind of probe that is configured.
    probes: Vec<Probes>,
}

#[derive(Clone, Debug)]
struct Last {
    at: u64,
    started: u64,
    number: u64,
    sent: u64,
    state: State,
    octets: u64,
    /// For how long no other report is no surprise, in milliseconds.
    quiet: u64,
    names: Vec<(u64, u16)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Probes {
    /// The last ones: so many alike in a row.
    succeeded: bool,
    row: u8,
    at: u64,
    /// Between the last two.
    gap: u64,
    /// What the rows came to.
    failed: bool,
}

/// How many servers carry a name, and how long fewer would have done.
#[derive(Clone, Copy, Debug)]
struct Copies {
    copies: u16,
    /// The most that was needed since `enough`.
    needed: u16,
    enough: u64,
    /// Demand, smoothed: in thousandths of a server of capacity 1.
    demand: u64,
}

#[derive(Clone, Debug, Default)]
struct Shift {
    shifted: u8,
    /// The most that was needed since `enough`.
    needed: u8,
    enough: u64,
    /// What was said in the last lifetime: answers that resolvers keep are from then.
    said: VecDeque<(u64, u8)>,
}

impl Watch {
    /// Takes a report that came at `now` (milliseconds, never going back); `unix` is the same moment in milliseconds since 1970.
    pub fn report(
        &mut self,
        now: u64,
        unix: u64,
        key: Option<u64>,
        report: &LoadReport,
        mut steerable: impl FnMut(&str) -> Option<Steerable>,
    ) -> Taken {
        let Some(key) = key else { return Taken::Unknown };
        if report.sent.abs_diff(unix) > CLOCK {
            return Taken::Clock;
        }
        let watched = self.servers.entry(key);
        if watched.last.is_none() {
            watched.loss = FIRST_LOSS;
        }
        if let Some(last) = &watched.last {
            let newer = (report.started, report.number) > (last.started, last.number);
            // The clock was wrong when it started before, and is right now. No copy of an old report: it was sent after the last.
            let put_back = report.started < last.started
                && report.sent > last.sent
                && now.saturating_sub(last.at) >= QUIET;
            if !newer && !put_back {
                return Taken::Old;
            }
        }
        if let Some(last) = watched.last.as_ref().filter(|last| last.started == report.started) {
            // Of `gap` reports one arrived.
            let gap = (report.number - last.number).min(MOST_MISSING);
            for lost in (1..gap).map(|_| 1000).chain([0]) {
                watched.loss = ((u32::from(watched.loss) * 15 + lost) / 16) as u16;
            }
        }
        (watched.excused, watched.unheard) = (false, false);
        let load = u32::from(report.load());
        // Up quickly, down over some reports: what is too much hurts at once.
        watched.load = match &watched.last {
            None => load,
            Some(_) if load > watched.load => (watched.load + load).div_ceil(2),
            Some(_) => (watched.load * 3 + load) / 4,
        };
        let mut names = watched.last.take().map(|last| last.names).unwrap_or_default();
        names.clear();
        let mut known = |name: &NameLoad| Some((steerable(&name.name)?.content, name.share.min(1000)));
        names.extend(report.names.iter().filter_map(&mut known));
        watched.last = Some(Last {
            at: now,
            started: report.started,
            number: report.number,
            sent: report.sent,
            state: report.state,
            octets: report.octets,
            quiet: quiet(watched.loss),
            names,
        });
        Taken::Taken
    }

    /// Takes the outcome of a probe of a server. Kinds of probes are counted apart, by their number: one that always fails is
    /// not made up for by others that succeed in between.
    pub fn probe(&mut self, now: u64, key: u64, kind: usize, succeeded: bool, rules: &Rules) {
        let probes = &mut self.servers.entry(key).probes;
        if probes.len() <= kind {
            probes.resize(kind + 1, Probes::default());
        }
        probes[kind].take(now, succeeded, rules);
    }

    /// A kind of probe does not ask a server any more: what it last said is of a time that is over.
    pub fn unprobe(&mut self, key: u64, kind: usize) {
        if let Some(probes) = self.servers.entry(key).probes.get_mut(kind) {
            *probes = Probes::default();
        }
    }

    /// Takes the outcome of asking a site's low-level name servers: whether any of them answered.
    pub fn probe_names(&mut self, now: u64, site: &str, succeeded: bool, rules: &Rules) {
        self.names.entry(site.to_owned()).or_default().take(now, succeeded, rules);
    }

    /// An operator takes a server out, or back in.
    pub fn withdraw(&mut self, key: u64, withdrawn: bool) {
        self.servers.entry(key).withdrawn = withdrawn;
    }

    /// Takes up what an earlier mapper knew. Who could not be named then can be when it is heard of.
    pub fn resume(&mut self, now: u64, network: &Network, conditions: &Conditions) {
        for (server, known) in network.servers.iter().zip(&conditions.servers) {
            if *known != ServerNow::default() {
                let watched = self.servers.entry(server.key);
                watched.unheard = matches!(known.standing, Standing::Failed | Standing::Withdrawn);
                (watched.now, watched.since) = (*known, now);
                (watched.spread_since, watched.pressed) = (now, now);
            }
        }
        for (site, known) in network.sites.iter().zip(&conditions.sites) {
            if known.shifted > 0 {
                let said = VecDeque::from([(now, known.shifted.min(PARTS - 1))]);
                let shift = Shift { shifted: known.shifted.min(PARTS - 1), needed: 0, enough: now, said };
                self.sites.insert(site.name.clone(), shift);
            }
        }
        for hot in &conditions.hot {
            let Some(site) = network.sites.get(hot.site.0 as usize) else { continue };
            let key = (crate::map::content_of(site.name.as_bytes()), hot.content);
            self.hot.insert(key, Copies { copies: hot.copies, needed: 0, enough: now, demand: 0 });
        }
    }

    /// Forgets servers and sites that a network does not have. Who was withdrawn stays so, should it come back.
    pub fn forget(&mut self, network: &Network) {
        let servers: HashSet<u64> = network.servers.iter().map(|server| server.key).collect();
        self.servers.retain(|key, watched| watched.withdrawn || servers.contains(&key));
        let sites: HashSet<&str> = network.sites.iter().map(|site| site.name.as_str()).collect();
        self.sites.retain(|site, _| sites.contains(site.as_str()));
        self.names.retain(|site, _| sites.contains(site.as_str()));
        let keys: HashSet<u64> = sites.iter().map(|site| crate::map::content_of(site.as_bytes())).collect();
        self.hot.retain(|(site, _), _| keys.contains(site));
    }

    /// Whether so many servers are silent at once, or fail their probes while they say they are well, that it is not believed.
    pub fn is_blind(&self) -> bool {
        self.blind || self.doubting
    }

    /// What follows for answers from now on.
    pub fn step(&mut self, now: u64, network: &Network, rules: &Rules) -> Conditions {
        self.servers.arrange(network);
        self.notice_silence(now, network, rules);
        self.notice_probes(now, network, rules);
        let mut demands = ByHash::default();
        let mut conditions = Conditions::calm(network);
        for (at, site) in network.sites.iter().enumerate() {
            let id = SiteId(u32::try_from(at).unwrap_or(u32::MAX));
            self.step_standing(now, network, site.servers.clone(), rules);
            let hot = self.step_names(now, network, id, &mut demands, rules);
            self.step_spread(now, network, id, &hot, rules);
            conditions.sites[at] = self.step_site(now, network, id, rules);
            conditions.hot.extend(hot);
            let range = site.servers.start as usize..site.servers.end as usize;
            let servers = self.servers.of(site.servers.clone());
            for (now, watched) in conditions.servers[range].iter_mut().zip(servers) {
                *now = watched.now;
            }
        }
        conditions
    }

    /// Servers in many places that fall silent at once are more likely cut off from us than dead: what they were, they stay. All of
    /// one site is another matter; it may well be gone. And where others of a site are heard, those who are not for a while have
    /// failed, however many they are.
    fn notice_silence(&mut self, now: u64, network: &Network, rules: &Rules) {
        let (mut sites, mut silent_sites) = (0, 0);
        let (mut others, mut silent_others) = (0, 0);
        let mut fell_silent = Vec::new();
        for site in &network.sites {
            let (mut reporting, mut silent) = (0, 0);
            for (at, watched) in site.servers.clone().zip(self.servers.of(site.servers.clone())) {
                if watched.last.is_none() {
                    continue;
                }
                let quiet = watched.is_silent(now, rules);
                // Who failed before this has been judged.
                if watched.now.standing != Standing::Failed || !quiet {
                    reporting += 1;
                    if quiet {
                        silent += 1;
                        fell_silent.push(at);
                    }
                }
            }
            sites += u64::from(reporting > 0);
            if reporting > 0 && silent == reporting {
                silent_sites += 1;
            } else {
                others += reporting;
                silent_others += silent;
            }
        }
        let many = |silent: u64, all: u64| silent > 1 && silent * 1000 > all * u64::from(rules.most_silent);
        let cut_off = sites > 0 && silent_sites == sites || many(silent_sites, sites);
        let scattered = many(silent_others, others);
        let since = scattered.then(|| self.scattered.unwrap_or(now));
        self.scattered = since;
        let patience = rules.lifetime.saturating_mul(rules.patience.into());
        self.blind = cut_off || since.is_some_and(|since| now.saturating_sub(since) < patience);
        if self.blind {
            self.trusting = now.saturating_add(rules.silent);
        }
        for at in fell_silent {
            for watched in self.servers.of_mut(at..at + 1) {
                // Who is still silent when others are heard again has no excuse any more.
                watched.excused = self.blind || watched.excused && now < self.trusting;
            }
        }
    }

    /// Probes that fail everywhere, of servers that say they are well, more likely ask for the wrong thing or are cut off themselves:
    /// no configuration of them takes all servers out at once.
    fn notice_probes(&mut self, now: u64, network: &Network, rules: &Rules) {
        let (mut asked, mut failing) = (0, 0);
        let mut fell = Vec::new();
        let all = 0..u32::try_from(network.servers.len()).unwrap_or(u32::MAX);
        for (at, watched) in all.clone().zip(self.servers.of(all)) {
            if watched.probes.is_empty() || watched.last.is_none() || watched.is_silent(now, rules) {
                continue;
            }
            let fails = watched.probes.iter().any(|probes| probes.failed);
            // Who failed before this has been judged.
            if fails && watched.now.standing == Standing::Failed {
                continue;
            }
            asked += 1;
            // The last one counts: they do not all fail so often as to be believed within one second.
            failing += usize::from(watched.probes.iter().any(|probes| probes.row > 0 && !probes.succeeded));
            if fails || watched.doubted {
                fell.push(at);
            }
        }
        self.doubting = failing > 1 && failing * 1000 > asked * MOST_REFUTED;
        if self.doubting {
            self.doubted = now.saturating_add(rules.lifetime);
        }
        for at in fell {
            for watched in self.servers.of_mut(at..at + 1) {
                watched.doubted = self.doubting || watched.doubted && now < self.doubted;
            }
        }
    }

    fn step_standing(&mut self, now: u64, network: &Network, servers: std::ops::Range<u32>, rules: &Rules) {
        let known = &network.servers[servers.start as usize..servers.end as usize];
        let mut serving = servers.len();
        // Where all have much to do, those are too loaded who have more than the others can be expected to take over.
        let mean = self.mean_load(now, network, servers.clone(), rules);
        let at_least = |threshold: u16, tenths: u32| u32::from(threshold).max(mean * tenths / 10);
        let (first, first_leave) = (at_least(rules.first, 12), at_least(rules.first_leave, 10));
        let (second, second_leave) = (at_least(rules.second, 13), at_least(rules.second_leave, 11));
        let mut overloaded: Vec<(u32, u64, usize)> = Vec::new();
        let all = self.servers.of_mut(servers);
        for (at, (watched, server)) in all.iter_mut().zip(known).enumerate() {
            watched.forget_load(now, rules);
            watched.now.busy = watched.load >= if watched.now.busy { first_leave } else { first };
            let was = watched.now.standing;
            let next = if watched.withdrawn || watched.stops() {
                Standing::Withdrawn
            } else if watched.failed(now, rules) {
                Standing::Failed
            } else {
                Standing::Serving
            };
            if next != Standing::Serving {
                serving -= 1;
                watched.stand(now, next);
                continue;
            }
            // Once withdrawn, for a lifetime at least: its load falls only then.
            let still = was == Standing::Overloaded
                && (watched.load > second_leave || now.saturating_sub(watched.since) < rules.lifetime);
            if watched.load >= second || still {
                overloaded.push((watched.load, server.key, at));
            } else {
                watched.stand(now, Standing::Serving);
            }
        }
        // The most loaded ones, as many as the others can stand in for.
        overloaded.sort_unstable_by_key(|entry| std::cmp::Reverse(*entry));
        let most = serving * usize::from(rules.most_overloaded) / 1000;
        for (place, (_, _, at)) in overloaded.iter().enumerate() {
            let watched = &mut all[*at];
            let next = if place < most { Standing::Overloaded } else { Standing::Serving };
            if next == Standing::Overloaded && watched.now.standing != next {
                // When it is back it must not have all again that was too much.
                watched.now.spread = (watched.now.spread + u16::from(PARTS) / 4).min(MOST_SPREAD);
                (watched.spread_since, watched.pressed) = (now, now);
            }
            watched.stand(now, next);
        }
    }

    /// Load of a site's servers that tell, in thousandths of what they can do together.
    fn mean_load(&self, now: u64, network: &Network, servers: std::ops::Range<u32>, rules: &Rules) -> u32 {
        let (mut load, mut capacity) = (0, 0);
        let known = &network.servers[servers.start as usize..servers.end as usize];
        for (watched, server) in self.servers.of(servers).iter().zip(known) {
            if watched.last.is_some() && !watched.is_silent(now, rules) {
                load += u64::from(watched.load) * u64::from(server.capacity);
                capacity += u64::from(server.capacity);
            }
        }
        load.checked_div(capacity).map_or(0, |mean| u32::try_from(mean).unwrap_or(u32::MAX / 16))
    }

    /// Estimates what names ask for at a site, and gives each as many servers as that takes.
    fn step_names(
        &mut self,
        now: u64,
        network: &Network,
        id: SiteId,
        demands: &mut ByHash<u64>,
        rules: &Rules,
    ) -> Vec<Hot> {
        let site = &network.sites[id.0 as usize];
        let site_key = crate::map::content_of(site.name.as_bytes());
        demands.clear();
        let known = &network.servers[site.servers.start as usize..site.servers.end as usize];
        let mut capacity = 0_u64;
        let mut load = 0_u64;
        let mut count = 0_u64;
        for (watched, server) in self.servers.of(site.servers.clone()).iter().zip(known) {
            let Some(last) = watched.last.as_ref().filter(|last| now.saturating_sub(last.at) < rules.silent)
            else {
                continue;
            };
            if !matches!(watched.now.standing, Standing::Serving | Standing::Overloaded) {
                continue;
            }
            count += 1;
            capacity += u64::from(server.capacity);
            let carried = u64::from(watched.load) * u64::from(server.capacity);
            load += carried;
            for (content, share) in &last.names {
                *demands.entry(*content).or_default() += carried * u64::from(*share) / 1000;
            }
        }
        let most = u16::try_from(count.min(crate::decide::MOST_COPIES as u64)).unwrap_or(u16::MAX);
        let mean = capacity.checked_div(count).unwrap_or(1).max(1);
        let worth = mean * u64::from(rules.first) / SMALL;
        for (content, demand) in demands.iter() {
            let key = (site_key, *content);
            if *demand < worth && !self.hot.contains_key(&key) {
                continue;
            }
            let copies =
                self.hot.entry(key).or_insert(Copies { copies: 0, needed: 0, enough: now, demand: 0 });
            copies.demand = *demand;
        }
        let all = capacity.max(1);
        let mut hot = Vec::new();
        let range = (site_key, 0)..=(site_key, u64::MAX);
        let mut done = Vec::new();
        for ((_, content), copies) in self.hot.range_mut(range) {
            if !demands.contains_key(content) {
                copies.demand = 0;
            }
            // What the servers have left beside this name.
            let others = load.saturating_sub(copies.demand) / all;
            let spare = u64::from(rules.first_leave)
                .saturating_sub(others)
                .max(u64::from(rules.first_leave) / 4)
                .max(1);
            let needed = u16::try_from(copies.demand.div_ceil(mean * spare)).unwrap_or(u16::MAX).min(most);
            copies.step(now, needed, rules);
            if copies.copies <= 1 {
                done.push((site_key, *content));
            } else {
                hot.push(Hot { site: id, content: *content, copies: copies.copies });
            }
        }
        for key in done {
            self.hot.remove(&key);
        }
        hot
    }

    /// Where load stays high for other reasons than single hot names, a growing part of the content is shared.
    fn step_spread(&mut self, now: u64, network: &Network, id: SiteId, hot: &[Hot], rules: &Rules) {
        let is_hot = |content: u64| hot.binary_search_by_key(&content, |hot| hot.content).is_ok();
        for watched in self.servers.of_mut(network.sites[id.0 as usize].servers.clone()) {
            let Some(last) = &watched.last else { continue };
            if !watched.now.busy && watched.now.spread == 0 {
                continue;
            }
            let handled: u32 = last
                .names
                .iter()
                .filter(|(content, _)| is_hot(*content))
                .map(|(_, share)| u32::from(*share))
                .sum();
            let rest = watched.load * (1000 - handled.min(1000)) / 1000;
            // Content that hot names push out of the way is not the cause.
            let excess =
                watched.load.min(rest + u32::from(rules.first) / 2).saturating_sub(u32::from(rules.first));
            if watched.now.busy && excess > 0 {
                watched.pressed = now;
            }
            let waited = now.saturating_sub(watched.spread_since);
            if watched.now.busy && excess > 0 && (watched.now.spread == 0 || waited >= rules.lifetime / 2) {
                let range = u32::from(rules.second - rules.first).max(1);
                let more = (u32::from(PARTS) * excess / range).clamp(u32::from(PARTS) / 8, u32::from(PARTS));
                let most = u32::from(PARTS) * 8;
                watched.now.spread =
                    u16::try_from((u32::from(watched.now.spread) + more).min(most)).unwrap_or(0);
                watched.spread_since = now;
            } else if !watched.now.busy
                && watched.now.spread > 0
                && now.saturating_sub(watched.pressed)
                    >= rules.lifetime.saturating_mul(u64::from(rules.patience))
                && waited >= rules.lifetime
            {
                watched.now.spread =
                    if watched.now.spread > u16::from(PARTS) / 8 { watched.now.spread / 2 } else { 0 };
                watched.spread_since = now;
            }
        }
    }

    /// A site that is loaded as a whole gives clients away: as many parts as bring what it would carry without that to its goal.
    fn step_site(&mut self, now: u64, network: &Network, id: SiteId, rules: &Rules) -> SiteNow {
        let site = &network.sites[id.0 as usize];
        let mut capacity = 0_u64;
        let mut load = 0_u64;
        let mut octets = 0_u64;
        let known = &network.servers[site.servers.start as usize..site.servers.end as usize];
        for (watched, server) in self.servers.of(site.servers.clone()).iter().zip(known) {
            let Some(last) = watched.last.as_ref().filter(|last| now.saturating_sub(last.at) < rules.silent)
            else {
                continue;
            };
            if matches!(watched.now.standing, Standing::Serving | Standing::Overloaded) {
                capacity += u64::from(server.capacity);
                load += u64::from(watched.load) * u64::from(server.capacity);
                octets = octets.saturating_add(last.octets);
            }
        }
        let used = load.checked_div(capacity).unwrap_or(0);
        // Megabits a second; in thousandths of what the site can send.
        let sent = (octets / 125).checked_div(u64::from(site.bandwidth)).unwrap_or(0);
        let used = used.max(sent);
        let shift = self.sites.entry(site.name.clone()).or_default();
        while shift.said.front().is_some_and(|(at, _)| now.saturating_sub(*at) > rules.lifetime) {
            shift.said.pop_front();
        }
        let said: u64 = shift.said.iter().map(|(_, shifted)| u64::from(PARTS - shifted)).sum();
        let kept = said.checked_div(shift.said.len() as u64).unwrap_or(u64::from(PARTS)).max(1);
        let whole = used * u64::from(PARTS) / kept;
        // Below the threshold by half the way back: servers of a site are never loaded alike.
        let goal = (u64::from(rules.first) + u64::from(rules.first_leave)) / 2;
        let begins = if shift.shifted == 0 { u64::from(rules.first) } else { goal };
        let needed = if whole <= begins { 0 } else { u64::from(PARTS) - goal * u64::from(PARTS) / whole };
        let needed = u8::try_from(needed).unwrap_or(PARTS).min(PARTS - 1);
        if needed > shift.shifted || shift.shifted == 0 {
            (shift.shifted, shift.needed, shift.enough) = (needed.max(shift.shifted), 0, now);
        } else {
            shift.needed = shift.needed.max(needed);
            if needed == shift.shifted {
                (shift.needed, shift.enough) = (0, now);
            } else if now.saturating_sub(shift.enough)
                >= rules.lifetime.saturating_mul(u64::from(rules.patience))
            {
                (shift.shifted, shift.needed, shift.enough) = (shift.needed, 0, now);
            }
        }
        shift.said.push_back((now, shift.shifted));
        let names_down = self.names.get(&site.name).is_some_and(|probes| probes.failed);
        SiteNow { shifted: shift.shifted, names_down }
    }
}

impl Probes {
    fn take(&mut self, now: u64, succeeded: bool, rules: &Rules) {
        self.row = if self.succeeded == succeeded { self.row.saturating_add(1) } else { 1 };
        self.gap = if self.at == 0 { 0 } else { now.saturating_sub(self.at) };
        (self.succeeded, self.at) = (succeeded, now);
        if self.row >= rules.probes {
            self.failed = !succeeded;
        }
    }

    /// Whether the last one succeeded, and the next is not long overdue.
    fn reach(&self, now: u64, rules: &Rules) -> bool {
        self.succeeded && now.saturating_sub(self.at) < rules.lifetime.max(self.gap.saturating_mul(2))
    }
}

impl Copies {
    fn step(&mut self, now: u64, needed: u16, rules: &Rules) {
        if needed >= self.copies {
            (self.copies, self.needed, self.enough) = (needed, 0, now);
            return;
        }
        self.needed = self.needed.max(needed);
        if now.saturating_sub(self.enough) >= rules.lifetime.saturating_mul(u64::from(rules.patience)) {
            (self.copies, self.needed, self.enough) = (self.needed, 0, now);
        }
    }
}

/// How long a server may be quiet, in milliseconds, of whose reports so many thousandths are lost.
fn quiet(loss: u16) -> u64 {
    let mut chance = CHANCE;
    let mut missing = 0;
    while chance > 1 && missing < MOST_MISSING {
        chance = chance * u64::from(loss) / 1000;
        missing += 1;
    }
    (missing + 1) * PERIOD
}

impl Watched {
    fn stand(&mut self, now: u64, standing: Standing) {
        if self.now.standing != standing {
            (self.now.standing, self.since) = (standing, now);
        }
    }

    fn stops(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.state == State::Stops)
    }

    /// What was said of the load long ago says nothing of now: a server that only probes reach would stay out for ever.
    fn forget_load(&mut self, now: u64, rules: &Rules) {
        let long = rules.silent.saturating_add(rules.lifetime);
        if self.last.as_ref().is_some_and(|last| now.saturating_sub(last.at) >= long) {
            self.load = 0;
        }
    }

    /// Whether more reports are missing in a row than its losses explain.
    fn is_silent(&self, now: u64, rules: &Rules) -> bool {
        let Some(last) = &self.last else { return false };
        now.saturating_sub(last.at) >= rules.silent.max(last.quiet)
    }

    fn failed(&self, now: u64, rules: &Rules) -> bool {
        if self.probes.iter().any(|probes| probes.failed) && !self.doubted {
            return true;
        }
        if self.unheard {
            return !self.probes.iter().any(|probes| probes.succeeded && probes.row >= rules.probes);
        }
        let reached = self.probes.iter().any(|probes| probes.reach(now, rules));
        self.is_silent(now, rules) && !reached && !self.excused
    }
}
