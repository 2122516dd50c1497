//! What operators are told of the maps.

use std::collections::HashMap;

use serde::Serialize;

use super::Keeper;
use crate::build::BuildReport;
use crate::conditions::{Conditions, PARTS, SiteNow, Standing, Taken};
use crate::map::churn::HeldBack;
use crate::network::Network;

/// What there is to know about the maps, for operators.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Of this program.
    pub version: &'static str,
    pub epoch: u64,
    /// When the map in use was made, in seconds since 1970, and how many seconds ago that was.
    pub made: u64,
    pub age: u64,
    pub sites: usize,
    pub servers: usize,
    pub services: usize,
    pub units: usize,
    pub serving: usize,
    pub busy: usize,
    pub overloaded: usize,
    pub failed: usize,
    pub withdrawn: usize,
    /// Servers that said that they are about to stop.
    pub leaving: usize,
    /// Which servers are not named: the first of each standing.
    pub out: Out,
    /// Names that more servers carry than they must.
    pub hot: usize,
    /// Sites that give clients away.
    pub shedding: usize,
    /// Which ones, the first of them.
    pub sheds: Vec<Sheds>,
    /// So many servers are silent at once that their silence is not believed.
    pub blind: bool,
    /// Load reports by what became of them.
    pub reports: HashMap<&'static str, u64>,
    /// The last build.
    pub build: Option<BuildReport>,
    pub held_back: Option<HeldBack>,
    /// Threads that answered queries and do not any more: their share stays unanswered until the mapper is started anew.
    pub threads_gone: usize,
    /// What keeps maps from being published or read, or which servers are withdrawn from being kept, and which services have no server
    /// that is well; if anything.
    pub trouble: Option<String>,
    /// Zones whose signing keys have ended or end within a week, if any.
    pub keys_trouble: Option<String>,
}

/// Names of servers that are not named in answers, at most [`MOST_LISTED`] of each standing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Out {
    pub overloaded: Vec<String>,
    pub failed: Vec<String>,
    pub withdrawn: Vec<String>,
    pub leaving: Vec<String>,
}

/// A site that gives clients away, and which share of those that are nearest to it.
#[derive(Clone, Debug, Serialize)]
pub struct Sheds {
    pub site: String,
    pub share: f64,
}

/// However many there are, no more are listed.
pub const MOST_LISTED: usize = 100;

impl Out {
    fn of(network: &Network, conditions: &Conditions) -> Self {
        let mut out = Self::default();
        for (name, now) in network.server_names.iter().zip(&conditions.servers) {
            let list = match now.standing {
                Standing::Serving => continue,
                Standing::Overloaded => &mut out.overloaded,
                Standing::Failed => &mut out.failed,
                Standing::Withdrawn => &mut out.withdrawn,
                Standing::Leaving => &mut out.leaving,
            };
            if list.len() < MOST_LISTED {
                list.push(name.clone());
            }
        }
        out
    }
}

impl Keeper {
    /// A thread that is gone leaves its share of the queries unanswered. That is said once for each.
    pub(super) fn note_threads(&mut self, gone: usize) {
        if gone > self.status.threads_gone {
            tracing::error!(
                gone,
                "threads that answer queries are gone, and their share of the queries stays unanswered: restart this mapper; why is \
                 in the log before this"
            );
        }
        self.status.threads_gone = gone;
    }

    /// Notes how the map in use is.
    pub(super) fn note(&mut self) {
        let wrong =
            [&self.reading, &self.publishing, &self.keeping, &self.known.unserved].into_iter().flatten();
        let wrong = wrong.map(String::as_str).collect::<Vec<_>>();
        self.status.trouble = (!wrong.is_empty()).then(|| wrong.join("; "));
        let Some(map) = &self.map else { return };
        let (network, conditions) = (&map.network, &map.conditions);
        let mut counts = [0; Standing::Leaving as usize + 1];
        conditions.servers.iter().for_each(|now| counts[now.standing as usize] += 1);
        let count = |standing: Standing| counts[standing as usize];
        let status = &mut self.status;
        status.version = env!("CARGO_PKG_VERSION");
        status.epoch = map.epoch.0;
        status.made = self.made / 1000;
        status.age = (self.outside.unix)().saturating_sub(self.made) / 1000;
        (status.sites, status.servers) = (network.sites.len(), network.servers.len());
        (status.services, status.units) = (network.services.len(), network.units.len());
        status.overloaded = count(Standing::Overloaded);
        status.failed = count(Standing::Failed);
        status.withdrawn = count(Standing::Withdrawn);
        status.leaving = count(Standing::Leaving);
        status.serving =
            network.servers.len() - status.overloaded - status.failed - status.withdrawn - status.leaving;
        status.busy = conditions.servers.iter().filter(|now| now.busy).count();
        status.out = Out::of(network, conditions);
        let sheds = network.sites.iter().zip(&conditions.sites).filter(|(_, now)| now.shifted > 0);
        let share = |now: &SiteNow| f64::from(now.shifted) / f64::from(PARTS);
        let sheds = sheds.map(|(site, now)| Sheds { site: site.name.clone(), share: share(now) });
        status.sheds = sheds.take(MOST_LISTED).collect();
        status.hot = conditions.hot.len();
        status.shedding = conditions.sites.iter().filter(|now| now.shifted > 0).count();
        status.blind = self.watch.is_blind();
        let name = |taken: &Taken| match taken {
            Taken::Taken => "taken",
            Taken::Unknown => "of-unknown-servers",
            Taken::Old => "old",
            Taken::Clock => "with-a-wrong-clock",
        };
        // Also those that there is none of yet: who watches wants to see them begin.
        let all = [Taken::Taken, Taken::Unknown, Taken::Old, Taken::Clock];
        let counted = |taken: &Taken| self.taken.get(taken).copied().unwrap_or_default();
        status.reports = all.iter().map(|taken| (name(taken), counted(taken))).collect();
    }
}
