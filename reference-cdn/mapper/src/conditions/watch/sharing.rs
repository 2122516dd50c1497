//! Which content of a site's servers further ones carry too: names that are hot, and parts of what a loaded server has.

use super::{Untold, Watch};
use crate::conditions::servers::ByHash;
use crate::conditions::{Hot, PARTS, Rules, Standing};
use crate::network::{Network, SiteId};

/// A name's demand below this share of a server's first threshold is not worth a further server (one in so many).
const SMALL: u64 = 4;

/// How many servers carry a name, and how long fewer would have done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    pub(super) copies: u16,
    /// The most that was needed since `enough`.
    pub(super) needed: u16,
    pub(super) enough: u64,
    /// Demand, smoothed: in thousandths of a server of capacity 1.
    pub(super) demand: u64,
}

impl Watch {
    /// Estimates what names ask for at a site, and gives each as many servers as that takes.
    pub(super) fn step_names(
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
        let given_up = self.untold(&site.name).is_some_and(Untold::given_up);
        let mut hot = Vec::new();
        let range = (site_key, 0)..=(site_key, u64::MAX);
        let mut done = Vec::new();
        for ((_, content), copies) in self.hot.range_mut(range) {
            if count == 0 {
                // Nobody tells what is asked for: it stays as it is, for a time.
                copies.step_untold(now, given_up, rules);
            } else if !demands.contains_key(content) {
                copies.demand = 0;
            }
            if count > 0 {
                // What the servers have left beside this name.
                let others = load.saturating_sub(copies.demand) / all;
                let spare = u64::from(rules.first_leave)
                    .saturating_sub(others)
                    .max(u64::from(rules.first_leave) / 4)
                    .max(1);
                let needed =
                    u16::try_from(copies.demand.div_ceil(mean * spare)).unwrap_or(u16::MAX).min(most);
                copies.step(now, needed, rules);
            }
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
    pub(super) fn step_spread(
        &mut self,
        now: u64,
        network: &Network,
        id: SiteId,
        hot: &[Hot],
        rules: &Rules,
    ) {
        let is_hot = |content: u64| hot.binary_search_by_key(&content, |hot| hot.content).is_ok();
        let site = &network.sites[id.0 as usize];
        let keeps = self.untold(&site.name).is_some_and(|untold| !untold.given_up());
        for watched in self.servers.of_mut(site.servers.clone()) {
            if !watched.now.busy && watched.now.spread == 0 {
                continue;
            }
            if keeps {
                watched.pressed = now;
            }
            let names = watched.last.as_ref().map_or(&[][..], |last| &last.names);
            let handled: u32 = names
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
                && now.saturating_sub(watched.pressed) >= rules.patience()
                && waited >= rules.lifetime
            {
                watched.now.spread =
                    if watched.now.spread > u16::from(PARTS) / 8 { watched.now.spread / 2 } else { 0 };
                watched.spread_since = now;
            }
        }
    }
}

impl Copies {
    fn step(&mut self, now: u64, needed: u16, rules: &Rules) {
        if needed >= self.copies {
            (self.copies, self.needed, self.enough) = (needed, 0, now);
            return;
        }
        self.needed = self.needed.max(needed);
        if now.saturating_sub(self.enough) >= rules.patience() {
            (self.copies, self.needed, self.enough) = (self.needed, 0, now);
        }
    }

    /// Nobody tells what is asked for: once that is given up, half of them are enough after each patience.
    fn step_untold(&mut self, now: u64, given_up: bool, rules: &Rules) {
        if !given_up {
            self.enough = now;
        } else if now.saturating_sub(self.enough) >= rules.patience() {
            (self.copies, self.needed, self.enough) = (self.copies / 2, 0, now);
        }
    }
}
