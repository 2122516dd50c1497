//! Sites of whose load nobody tells: what rests on it stays for a time, and is then given back.

use super::Watch;
use crate::conditions::{Rules, Standing};
use crate::network::Network;

/// So many times patience what rests on load that nobody tells of stays as it is: an outage of reports must not throw the load back
/// that was given away. The first step back is one more patience later, as ever.
const KEPT: u64 = 2;
/// Where the mapper is blind, or hears nobody at all: more likely it is cut off, and will hear of them again.
const KEPT_BLIND: u64 = 9;

#[derive(Clone, Copy, Debug)]
pub(super) struct Untold {
    since: u64,
    /// For so long that nothing is to rest on it any more.
    given_up: bool,
}

impl Watch {
    /// Notes of which sites nobody tells how loaded they are.
    pub(super) fn notice_untold(&mut self, now: u64, network: &Network, rules: &Rules) {
        let mut nobody = true;
        for site in &network.sites {
            let tells = |watched: &super::Watched| {
                matches!(watched.now.standing, Standing::Serving | Standing::Overloaded)
                    && watched.last.as_ref().is_some_and(|last| now.saturating_sub(last.at) < rules.silent)
            };
            if self.servers.of(site.servers.clone()).iter().any(tells) {
                nobody = false;
                self.untold.remove(&site.name);
            } else if !self.untold.contains_key(&site.name) {
                self.untold.insert(site.name.clone(), Untold { since: now, given_up: false });
            }
        }
        let times = if self.blind || nobody { KEPT_BLIND } else { KEPT };
        let kept = rules.patience().saturating_mul(times);
        for untold in self.untold.values_mut() {
            untold.given_up = now.saturating_sub(untold.since) >= kept;
        }
    }

    /// For how long nobody has told of a site's load, if nobody does.
    pub(super) fn untold(&self, site: &str) -> Option<Untold> {
        self.untold.get(site).copied()
    }
}

impl Untold {
    /// Whether nothing is to rest on what was last told.
    pub(super) fn given_up(self) -> bool {
        self.given_up
    }
}
