//! From load reports and probes to conditions: a function of time, what is remembered, and what came in.
//!
//! What changes in answers takes a lifetime to be felt, so nothing is steered by how a load changes. Instead it is estimated what a
//! name, or a site's clients, would ask for in all; that sum stays the same while they move. From it follows at once how many
//! servers are enough. More are given as soon as they are needed; less is believed only after some lifetimes.

mod doubt;
mod probes;
mod sharing;
mod shift;
mod standing;
mod untold;
mod watched;

use std::collections::{BTreeMap, HashMap, HashSet};

use control::load_report::{LoadReport, NameLoad};
use probes::Probes;
use sharing::Copies;
use shift::Shift;
use untold::Untold;
use watched::{Last, MOST_MISSING, Watched, quiet};

use super::servers::{ByHash, Servers};
use super::{Conditions, Rules, ServerNow, Standing};
use crate::network::{Network, ServerId, SiteId};
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

/// Why a server has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It reported, and does so no more.
    Silent,
    Probes,
    /// It was not to be named when an earlier mapper ended, and was not heard of since.
    Unheard,
}

/// How far a sender's clock may be off, in milliseconds.
const CLOCK: u64 = 30_000;

/// What is assumed of a server's losses until they are known, in thousandths.
const FIRST_LOSS: u16 = 100;
/// When a start has not been heard of for so long, an earlier one may be the true one, in milliseconds.
const QUIET: u64 = 10_000;

/// What is remembered of servers, sites and names, by keys that stay the same when the network changes.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    servers: Servers<Watched>,
    sites: BTreeMap<String, Shift>,
    hot: BTreeMap<(u64, u64), Copies>,
    /// Sites of whose load nobody tells.
    untold: HashMap<String, Untold>,
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
        (watched.excused, watched.unheard, watched.unexpected) = (false, false, false);
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

    /// A site's low-level name servers are not asked any more: what they last did is of a time that is over.
    pub fn unprobe_names(&mut self, site: &str) {
        self.names.remove(site);
    }

    /// An operator takes a server out, or back in: then it is well, until something else is heard. That ends a farewell too, and silence.
    pub fn withdraw(&mut self, key: u64, withdrawn: bool) {
        let watched = self.servers.entry(key);
        watched.withdrawn = withdrawn;
        if !withdrawn {
            watched.unheard = false;
            watched.expect_nothing();
        }
    }

    /// Takes up what an earlier mapper knew. Who could not be named then can be when it is heard of.
    pub fn resume(&mut self, now: u64, network: &Network, conditions: &Conditions) {
        for (server, known) in network.servers.iter().zip(&conditions.servers) {
            if *known != ServerNow::default() {
                let watched = self.servers.entry(server.key);
                watched.unheard =
                    matches!(known.standing, Standing::Failed | Standing::Withdrawn | Standing::Leaving);
                (watched.now, watched.since) = (*known, now);
                (watched.spread_since, watched.pressed) = (now, now);
            }
        }
        for (site, known) in network.sites.iter().zip(&conditions.sites) {
            if known.shifted > 0 {
                self.sites.insert(site.name.clone(), Shift::resumed(now, known.shifted));
            }
        }
        for hot in &conditions.hot {
            let Some(site) = network.sites.get(hot.site.0 as usize) else { continue };
            let key = (crate::map::content_of(site.name.as_bytes()), hot.content);
            self.hot.insert(key, Copies { copies: hot.copies, needed: 0, enough: now, demand: 0 });
        }
    }

    /// Forgets servers and sites that a network does not have, and with them who was withdrawn: that is for operators to remember, by name.
    pub fn forget(&mut self, network: &Network) {
        let servers: HashSet<u64> = network.servers.iter().map(|server| server.key).collect();
        self.servers.retain(|key, _| servers.contains(&key));
        let sites: HashSet<&str> = network.sites.iter().map(|site| site.name.as_str()).collect();
        self.sites.retain(|site, _| sites.contains(site.as_str()));
        self.untold.retain(|site, _| sites.contains(site.as_str()));
        self.names.retain(|site, _| sites.contains(site.as_str()));
        let keys: HashSet<u64> = sites.iter().map(|site| crate::map::content_of(site.as_bytes())).collect();
        self.hot.retain(|(site, _), _| keys.contains(site));
    }

    /// Whether so many servers are silent at once, or fail their probes while they say they are well, that it is not believed.
    pub fn is_blind(&self) -> bool {
        self.blind || self.doubting
    }

    /// Whether so many servers are silent at once that it is not believed.
    pub fn doubts_silence(&self) -> bool {
        self.blind
    }

    /// Whether so many fail their probes that say they are well that it is not believed.
    pub fn doubts_probes(&self) -> bool {
        self.doubting
    }

    /// Why a server of the network that was stepped last has failed.
    pub fn failure(&self, server: ServerId) -> Failure {
        let failure = |watched: &Watched| {
            if watched.probes.iter().any(|probes| probes.failed) {
                Failure::Probes
            } else if watched.unheard {
                Failure::Unheard
            } else {
                Failure::Silent
            }
        };
        self.servers.of(server.0..server.0.saturating_add(1)).first().map_or(Failure::Silent, failure)
    }

    /// How loaded a site was when that was last told, in thousandths of what it can do, if it gives clients away.
    pub fn shedding_for(&self, site: &str) -> Option<u64> {
        self.sites.get(site).map(|shift| shift.used)
    }

    /// Whether nobody tells how loaded a site is.
    pub fn is_untold(&self, site: &str) -> bool {
        self.untold.contains_key(site)
    }

    /// What follows for answers from now on.
    pub fn step(&mut self, now: u64, network: &Network, rules: &Rules) -> Conditions {
        self.servers.arrange(network);
        self.notice_silence(now, network, rules);
        self.notice_probes(now, network, rules);
        self.notice_untold(now, network, rules);
        let mut demands = ByHash::default();
        let mut conditions = Conditions::calm(network);
        for (at, site) in network.sites.iter().enumerate() {
            let id = SiteId(u32::try_from(at).unwrap_or(u32::MAX));
            self.step_standing(now, network, id, rules);
            let hot = self.step_names(now, network, id, &mut demands, rules);
            self.step_spread(now, network, id, &hot, rules);
            conditions.hot.extend(hot);
            let range = site.servers.start as usize..site.servers.end as usize;
            let servers = self.servers.of(site.servers.clone());
            for (now, watched) in conditions.servers[range].iter_mut().zip(servers) {
                *now = watched.now;
            }
            conditions.sites[at].names_down = self.names.get(&site.name).is_some_and(|probes| probes.failed);
        }
        self.step_sites(now, network, &mut conditions, rules);
        conditions
    }
}
