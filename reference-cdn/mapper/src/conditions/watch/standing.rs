//! Which of a site's servers may be named.

use super::{Untold, Watch};
use crate::conditions::{PARTS, Rules, Standing};
use crate::network::{Network, SiteId};

/// Of a server's content, so many parts at most are shared: all of it with eight others.
const MOST_SPREAD: u16 = PARTS as u16 * 8;

impl Watch {
    pub(super) fn step_standing(&mut self, now: u64, network: &Network, id: SiteId, rules: &Rules) {
        let site = &network.sites[id.0 as usize];
        let servers = site.servers.clone();
        let known = &network.servers[servers.start as usize..servers.end as usize];
        let mut serving = servers.len();
        // Where all have much to do, those are too loaded who have more than the others can be expected to take over.
        let (load, capacity) = self.told_load(now, network, servers.clone(), rules);
        let mean = load.checked_div(capacity).unwrap_or(0).min(u64::from(u32::MAX / 16)) as u32;
        let at_least = |threshold: u16, tenths: u32| u32::from(threshold).max(mean * tenths / 10);
        let (first, first_leave) = (at_least(rules.first, 12), at_least(rules.first_leave, 10));
        let (second, second_leave) = (at_least(rules.second, 13), at_least(rules.second_leave, 11));
        let mut overloaded: Vec<(u32, u64, usize)> = Vec::new();
        // While it is not known whether they are silent or not heard, it stays; but not for ever.
        let keeps = self.blind && !self.untold(&site.name).is_some_and(Untold::given_up);
        let all = self.servers.of_mut(servers);
        for (at, (watched, server)) in all.iter_mut().zip(known).enumerate() {
            if !keeps {
                watched.forget_load(now, rules);
            }
            watched.now.busy = watched.load >= if watched.now.busy { first_leave } else { first };
            let was = watched.now.standing;
            watched.end_farewell(now, rules);
            let next = if watched.withdrawn {
                Standing::Withdrawn
            } else if watched.stops() {
                Standing::Leaving
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
        // The most loaded ones, as many as the others can stand in for: at their number, and at what all of them have to do.
        overloaded.sort_unstable_by_key(|entry| std::cmp::Reverse(*entry));
        let most = serving * usize::from(rules.most_overloaded) / 1000;
        let mut left = capacity;
        for (place, (_, _, at)) in overloaded.iter().enumerate() {
            let watched = &mut all[*at];
            let rest = left.saturating_sub(u64::from(known[*at].capacity));
            let can = place < most && load < rest.saturating_mul(u64::from(second));
            if can {
                left = rest;
            }
            let next = if can { Standing::Overloaded } else { Standing::Serving };
            if next == Standing::Overloaded && watched.now.standing != next {
                // When it is back it must not have all again that was too much.
                watched.now.spread = (watched.now.spread + u16::from(PARTS) / 4).min(MOST_SPREAD);
                (watched.spread_since, watched.pressed) = (now, now);
            }
            watched.stand(now, next);
        }
    }

    /// Load of a site's servers that tell, in thousandths of a server of capacity 1, and the capacity of those of them that can be named.
    /// Who was named until a moment ago still has clients that the others will have.
    fn told_load(
        &self,
        now: u64,
        network: &Network,
        servers: std::ops::Range<u32>,
        rules: &Rules,
    ) -> (u64, u64) {
        let (mut load, mut capacity) = (0_u64, 0_u64);
        let known = &network.servers[servers.start as usize..servers.end as usize];
        for (watched, server) in self.servers.of(servers).iter().zip(known) {
            if watched.tells(now, rules) {
                let able = !watched.withdrawn && !watched.stops() && !watched.failed(now, rules);
                let was_able = now.saturating_sub(watched.since) < rules.lifetime.saturating_mul(2);
                if able || was_able {
                    load += u64::from(watched.load) * u64::from(server.capacity);
                }
                capacity += if able { u64::from(server.capacity) } else { 0 };
            }
        }
        (load, capacity)
    }
}
