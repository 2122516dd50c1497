//! How many of its clients a loaded site gives away.

use std::collections::VecDeque;

use super::Watch;
use crate::conditions::{PARTS, Rules, SiteNow, Standing};
use crate::network::{Network, SiteId};

#[derive(Clone, Debug, Default)]
pub(super) struct Shift {
    pub(super) shifted: u8,
    /// The most that was needed since `enough`.
    pub(super) needed: u8,
    pub(super) enough: u64,
    /// What was said in the last lifetime: answers that resolvers keep are from then.
    pub(super) said: VecDeque<(u64, u8)>,
}

impl Watch {
    /// A site that is loaded as a whole gives clients away: as many parts as bring what it would carry without that to its goal.
    pub(super) fn step_site(&mut self, now: u64, network: &Network, id: SiteId, rules: &Rules) -> SiteNow {
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
