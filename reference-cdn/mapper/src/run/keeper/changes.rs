//! What the log tells of servers that leave the answers and come back, and of sites that give clients away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Keeper, Source, tell};
use crate::conditions::{Conditions, Failure, PARTS, Standing};
use crate::map::{Epoch, Map};
use crate::network::{Features, Network, ServerId};

/// Names in one line; of more there is a count.
const MOST_NAMED: usize = 5;

/// What was told before.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The map that was looked at last.
    map: Option<Epoch>,
    /// Servers that are not named, by key.
    out: HashMap<u64, Standing>,
    /// Sites that give clients away.
    shedding: BTreeSet<String>,
    /// What is not believed, and what nobody is left for.
    pub(super) silence: Option<String>,
    probes: Option<String>,
    pub(super) unserved: Option<String>,
}

/// Why servers are told of, in the order of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Failed(Failure),
    Overloaded,
    Leaving,
    Back,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Failed(Failure::Silent) => "not named any more: silent, no load report came for too long",
            Self::Failed(Failure::Probes) => "not named any more: probes of it fail",
            Self::Failed(Failure::Unheard) => {
                "not named: out when the mapper before this one ended, and not heard of since"
            }
            Self::Overloaded => "not named any more: overloaded, past the second threshold",
            Self::Leaving => "not named any more: it said farewell, and is about to stop",
            Self::Back => "named again",
        }
    }
}

impl Keeper {
    /// Tells what changed since the last time: one line for each reason, however many servers it is about. Who only reads maps tells
    /// only what takes an operator.
    pub(super) fn tell_changes(&mut self) {
        let Some(map) = self.map.clone() else { return };
        let same = self.known.map.replace(map.epoch) == Some(map.epoch);
        if !same {
            tell(
                &mut self.known.unserved,
                unserved(&map),
                "there are servers that are well again, for all services",
            );
        }
        if !matches!(self.source, Source::Inputs { .. }) {
            return;
        }
        let silence = self.watch.doubts_silence().then(|| {
            "so many servers are silent at once that it is not believed (blind): nobody is taken out for it".into()
        });
        tell(&mut self.known.silence, silence, "silence of servers is believed again");
        let probes = self.watch.doubts_probes().then(|| {
            "so many servers fail their probes that say they are well that it is not believed (blind): what probes ask for may be wrong"
                .into()
        });
        tell(&mut self.known.probes, probes, "probes that fail are believed again");
        if !same {
            self.changes(&map.network, &map.conditions).iter().for_each(Line::log);
        }
    }

    /// What changed since the last time.
    pub(super) fn changes(&mut self, network: &Network, conditions: &Conditions) -> Vec<Line> {
        let mut lines = self.servers_changed(network, conditions);
        lines.extend(self.sites_changed(network, conditions));
        lines
    }

    fn servers_changed(&mut self, network: &Network, conditions: &Conditions) -> Vec<Line> {
        let mut out = HashMap::with_capacity(self.known.out.len());
        let mut told: BTreeMap<Why, Told> = BTreeMap::new();
        for ((at, server), now) in (0..).zip(&network.servers).zip(&conditions.servers) {
            let standing = now.standing;
            if standing != Standing::Serving {
                out.insert(server.key, standing);
            }
            let before = self.known.out.get(&server.key).copied().unwrap_or_default();
            if before == standing {
                continue;
            }
            let why = match standing {
                // What operators order is told when they do.
                Standing::Withdrawn => continue,
                Standing::Serving if before == Standing::Withdrawn => continue,
                Standing::Serving => Why::Back,
                Standing::Overloaded => Why::Overloaded,
                Standing::Leaving => Why::Leaving,
                Standing::Failed => Why::Failed(self.watch.failure(ServerId(at))),
            };
            told.entry(why).or_default().add(network.server_names.get(at as usize));
        }
        self.known.out = out;
        let line = |(why, told): (Why, Told)| Line {
            warns: !matches!(why, Why::Back | Why::Leaving),
            what: why.text(),
            told,
        };
        told.into_iter().map(line).collect()
    }

    fn sites_changed(&mut self, network: &Network, conditions: &Conditions) -> Vec<Line> {
        let (mut begin, mut over, mut untold) = (Told::default(), Told::default(), Told::default());
        let mut shedding = BTreeSet::new();
        for (site, now) in network.sites.iter().zip(&conditions.sites) {
            if now.shifted == 0 {
                if self.known.shedding.contains(&site.name) {
                    let which = if self.watch.is_untold(&site.name) { &mut untold } else { &mut over };
                    which.add(Some(&site.name));
                }
                continue;
            }
            if !self.known.shedding.contains(&site.name) {
                let load = self.watch.shedding_for(&site.name).filter(|load| *load > 0);
                let load = load.map_or_else(
                    || "as the mapper before this one had it".to_owned(),
                    |load| format!("loaded to {} %", load / 10),
                );
                let share = u32::from(now.shifted) * 100 / u32::from(PARTS);
                begin.add(Some(&format!("{} ({share} %, {load})", site.name)));
            }
            shedding.insert(site.name.clone());
        }
        self.known.shedding = shedding;
        let begins = "begins to give clients to its next sites, since it is loaded past the first threshold as a whole";
        let lines = [
            Line { warns: true, what: begins, told: begin },
            Line { warns: false, what: "gives no clients away any more: it can carry them", told: over },
            Line {
                warns: false,
                what: "gives no clients away any more: nobody has told for long how loaded it is",
                told: untold,
            },
        ];
        lines.into_iter().filter(|line| line.told.count > 0).collect()
    }
}

/// One of the log, about some servers or sites.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) warns: bool,
    pub(super) what: &'static str,
    pub(super) told: Told,
}

impl Line {
    fn log(&self) {
        let Self { warns, what, told: Told { count, first } } = self;
        if *warns {
            tracing::warn!(count, "{first}: {what}");
        } else {
            tracing::info!(count, "{first}: {what}");
        }
    }
}

/// How many, and the first of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) count: usize,
    pub(super) first: String,
}

impl Told {
    fn add(&mut self, name: Option<&String>) {
        self.count += 1;
        match (self.count, name) {
            (1, Some(name)) => self.first.clone_from(name),
            (2..=MOST_NAMED, Some(name)) => self.first += &format!(", {name}"),
            (count, _) if count == MOST_NAMED + 1 => self.first += ", and others",
            _ => {}
        }
    }
}

/// Which services have no server that is well, if any: where some could do what they need.
fn unserved(map: &Map) -> Option<String> {
    let (network, conditions) = (&map.network, &map.conditions);
    let mut known: HashMap<Features, bool> = HashMap::new();
    let is_bereft = |needs: Features| {
        let able = || (0..).zip(&network.servers).filter(|(_, server)| server.features & needs == needs);
        let is_well =
            |at| matches!(conditions.server(ServerId(at)).standing, Standing::Serving | Standing::Overloaded);
        able().next().is_some() && !able().any(|(at, _)| is_well(at))
    };
    let mut names = Told::default();
    for service in &network.services {
        if *known.entry(service.needs).or_insert_with(|| is_bereft(service.needs)) {
            names.add(Some(&service.name));
        }
    }
    (names.count > 0).then(|| {
        let all = if names.count == network.services.len() { "no server is well" } else { "no server that could is well" };
        format!(
            "{all} for {} of {} services ({}): their answers rest on what was last known, or on what their fallback says",
            names.count,
            network.services.len(),
            names.first
        )
    })
}
