//! Servers that operators take out of answers, and give back.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::orders::{Done, Outcome, Told};
use super::{Keeper, Source};
use crate::conditions::Standing;
use crate::map::Map;
use crate::network::{Fallback, Family, Features, ServerId, Service};

/// What an operator names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    pub servers: Vec<String>,
    /// All servers that the network has there now.
    pub sites: Vec<String>,
}

impl Which {
    pub fn server(name: &str) -> Self {
        Self { servers: vec![name.to_owned()], sites: Vec::new() }
    }
}

/// Servers of one order that the log names.
const MOST_NAMED: usize = 20;

impl Keeper {
    /// Takes servers out, or gives them back: all of them or none. True if a step has to follow.
    pub(super) fn withdraw(&mut self, which: &Which, withdrawn: bool, force: bool, done: Done) -> bool {
        // Who only reads maps decides nothing; that nobody answers says so.
        let (Source::Inputs { .. }, Some(map)) = (&self.source, self.map.clone()) else { return false };
        let servers = match self.named(&map, which, withdrawn) {
            Ok(servers) => servers,
            Err(unknown) => {
                let _ = done.send(Outcome::Unknown(unknown).into());
                return false;
            }
        };
        let (same, changed): (Vec<_>, Vec<_>) = servers.iter().cloned().partition(|name| {
            // To restore one ends its farewell too.
            let leaves = !withdrawn && self.by_name.get(name).is_some_and(|key| self.watch.is_leaving(*key));
            self.withdrawn.contains(name) == withdrawn && !leaves
        });
        let bereft = if withdrawn { bereft(&map, &changed) } else { Vec::new() };
        if !bereft.is_empty() && !force {
            let _ = done.send(Outcome::Bereft(bereft).into());
            return false;
        }
        // Not those that were so before: to say again that one is back says nothing of how it is.
        for name in &changed {
            if let Some(key) = self.by_name.get(name) {
                self.watch.withdraw(*key, withdrawn);
            }
            if withdrawn {
                self.withdrawn.insert(name.clone());
            } else {
                self.withdrawn.remove(name);
            }
        }
        if changed.is_empty() {
            tracing::info!(
                server = listed(&same),
                "{} already, an operator was told",
                if withdrawn { "withdrawn" } else { "not withdrawn" }
            );
        } else {
            tracing::info!(
                server = listed(&changed),
                "{} by an operator",
                if withdrawn { "withdrawn" } else { "restored" }
            );
        }
        for service in &bereft {
            tracing::warn!("withdrawn by an operator in spite of this: {service}");
        }
        // Also where it was so before: whoever asks again wants it written.
        self.unwritten = true;
        self.unanswered.push((done, Told { outcome: Outcome::Done, changed, same, bereft }));
        true
    }

    /// The servers that an order names, each once; or what there is not.
    fn named(&self, map: &Map, which: &Which, withdrawn: bool) -> Result<BTreeSet<String>, Vec<String>> {
        let network = &map.network;
        let (mut servers, mut unknown) = (BTreeSet::new(), Vec::new());
        for name in &which.servers {
            // Who was withdrawn can be given back though the network does not have it now.
            if self.by_name.contains_key(name) || !withdrawn && self.withdrawn.contains(name) {
                servers.insert(name.clone());
            } else {
                unknown.push(format!("server {name}"));
            }
        }
        for name in &which.sites {
            match network.sites.iter().find(|site| site.name == *name) {
                Some(site) if !site.servers.is_empty() => {
                    let there = site.servers.start as usize..site.servers.end as usize;
                    servers.extend(network.server_names[there].iter().cloned());
                }
                _ => unknown.push(format!("site {name} with servers")),
            }
        }
        if unknown.is_empty() { Ok(servers) } else { Err(unknown) }
    }
}

/// Names, as many as can be read.
pub(in crate::run) fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// Which services would have no server left that may be named once these are withdrawn, and what their clients would get.
fn bereft(map: &Map, servers: &[String]) -> Vec<String> {
    let network = &*map.network;
    let out: HashSet<&str> = servers.iter().map(String::as_str).collect();
    let standing = |at: usize| map.conditions.server(ServerId(at as u32)).standing;
    // Of the servers that can do this, over this family: whether one goes, one is left, and at which sites some are left that failed.
    let mut known: BTreeMap<(Features, Family), Left> = BTreeMap::new();
    let mut look = |needs: Features, family: Family| {
        let found = known.entry((needs, family)).or_insert_with(|| {
            let mut left = Left::default();
            let able = network.servers.iter().enumerate();
            for (at, server) in
                able.filter(|(_, server)| server.features & needs == needs && family.of(server))
            {
                let goes = network.server_names.get(at).is_some_and(|name| out.contains(name.as_str()));
                match standing(at) {
                    Standing::Withdrawn => {}
                    _ if goes => left.goes = true,
                    Standing::Failed | Standing::Leaving => drop(left.sites.insert(server.site.0)),
                    Standing::Serving | Standing::Overloaded => left.well = true,
                }
            }
            left
        });
        (found.goes && !found.well).then(|| found.clone())
    };
    let mut told = Vec::new();
    for service in &network.services {
        for family in Family::ALL {
            if let Some(left) = look(service.needs, family) {
                told.push(format!(
                    "service {} has no server left that may be named over {}: its clients get {}",
                    service.name,
                    family.name(),
                    instead(map, service, family, &left)
                ));
            }
        }
    }
    told
}

/// What is left of the servers that can do something.
#[derive(Clone, Default)]
struct Left {
    goes: bool,
    well: bool,
    /// Of those that failed or are about to stop.
    sites: BTreeSet<u32>,
}

/// What is answered instead.
fn instead(map: &Map, service: &Service, family: Family, left: &Left) -> String {
    match &service.fallback {
        Fallback::Alias(name) if family == Family::V4 => format!("the other name, {name}"),
        Fallback::LastKnown if !left.sites.is_empty() => "servers that failed or are about to stop".into(),
        Fallback::Site(site) if left.sites.contains(&site.0) => {
            let name = map.network.sites.get(site.0 as usize).map_or("", |site| site.name.as_str());
            format!("servers of {name} that failed or are about to stop")
        }
        _ => "no addresses (NODATA)".into(),
    }
}
