//! What operators are told of the maps.

use std::collections::HashMap;

use serde::Serialize;

use super::Keeper;
use crate::build::BuildReport;
use crate::conditions::{Standing, Taken};
use crate::map::churn::HeldBack;

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
    /// Names that more servers carry than they must.
    pub hot: usize,
    /// Sites that give clients away.
    pub shedding: usize,
    /// So many servers are silent at once that their silence is not believed.
    pub blind: bool,
    /// Load reports by what became of them.
    pub reports: HashMap<&'static str, u64>,
    /// The last build.
    pub build: Option<BuildReport>,
    pub held_back: Option<HeldBack>,
    /// Threads that answered queries and do not any more: their share stays unanswered until the mapper is started anew.
    pub threads_gone: usize,
    /// What keeps maps from being published or read, or which servers are withdrawn from being kept; if anything.
    pub trouble: Option<String>,
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
        let wrong = [&self.reading, &self.publishing, &self.keeping].into_iter().flatten();
        let wrong = wrong.map(String::as_str).collect::<Vec<_>>();
        self.status.trouble = (!wrong.is_empty()).then(|| wrong.join("; "));
        let Some(map) = &self.map else { return };
        let (network, conditions) = (&map.network, &map.conditions);
        let count = |standing| conditions.servers.iter().filter(|now| now.standing == standing).count();
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
        status.serving = network.servers.len() - status.overloaded - status.failed - status.withdrawn;
        status.busy = conditions.servers.iter().filter(|now| now.busy).count();
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
