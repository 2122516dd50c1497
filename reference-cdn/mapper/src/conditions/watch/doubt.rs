//! When silence and failing probes are not believed: where they are so many at once that we are more likely cut off.

use super::Watch;
use crate::conditions::{Rules, Standing};
use crate::network::Network;

/// When probes of so many thousandths of the servers that say they are well fail, it is taken for a fault of the probes.
const MOST_REFUTED: usize = 800;

impl Watch {
    /// Servers in many places that fall silent at once are more likely cut off from us than dead: what they were, they stay. All of
    /// one site is another matter, and one server: they may well be gone, unless nobody else is left to be named. And where others of a
    /// site are heard, those who are not for a while have failed, however many they are.
    pub(super) fn notice_silence(&mut self, now: u64, network: &Network, rules: &Rules) {
        let (mut sites, mut silent_sites) = (0, 0);
        let (mut others, mut silent_others) = (0, 0);
        let mut fell_silent = Vec::new();
        // Who may be named, and is not just silent.
        let mut left = false;
        let all = 0..u32::try_from(network.servers.len()).unwrap_or(u32::MAX);
        self.servers.of_mut(all).iter_mut().for_each(|watched| watched.end_expectation(now, rules));
        for site in &network.sites {
            let (mut reporting, mut silent) = (0, 0);
            for (at, watched) in site.servers.clone().zip(self.servers.of(site.servers.clone())) {
                let quiet = watched.is_silent(now, rules);
                left |= matches!(watched.now.standing, Standing::Serving | Standing::Overloaded)
                    && (!quiet || watched.is_reached(now, rules));
                if !watched.is_reporter() {
                    continue;
                }
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
        let all_silent = sites > 0 && silent_sites == sites && (sites > 1 || !left);
        let cut_off = all_silent || many(silent_sites, sites);
        let scattered = many(silent_others, others);
        let since = scattered.then(|| self.scattered.unwrap_or(now));
        self.scattered = since;
        self.blind = cut_off || since.is_some_and(|since| now.saturating_sub(since) < rules.patience());
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
    pub(super) fn notice_probes(&mut self, now: u64, network: &Network, rules: &Rules) {
        let (mut asked, mut failing) = (0, 0);
        let mut fell = Vec::new();
        let all = 0..u32::try_from(network.servers.len()).unwrap_or(u32::MAX);
        for (at, watched) in all.clone().zip(self.servers.of(all)) {
            if watched.probes.is_empty() || !watched.tells(now, rules) {
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
}
