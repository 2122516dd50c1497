//! What a configuration and a network say of one another and hardly mean: probes of sites that are not there, hosts that have the
//! zone's name twice.

use super::config::Config;
use crate::build::plant::Plant;
use crate::build::problem::nearest;
use crate::network::Network;

/// Names that are compared with one that is not known, and hosts that are told of one zone.
const MOST_COMPARED: usize = 10_000;
const MOST_TOLD: usize = 20;

/// Sites and features that probes name and the network does not have: nobody is probed for their sake.
pub(super) fn probes(config: &Config, network: &Network) -> Vec<String> {
    let mut unknown = Vec::new();
    let sites: Vec<&str> = network.sites.iter().map(|site| site.name.as_str()).collect();
    let features: Vec<&str> = network.features.iter().map(String::as_str).collect();
    for (number, probe) in config.probes.iter().enumerate() {
        let lists = [("sites", "site", &probe.sites, &sites), ("needs", "feature", &probe.needs, &features)];
        for (key, kind, given, known) in lists {
            for (at, word) in given.iter().enumerate().filter(|(_, word)| !known.contains(&word.as_str())) {
                let hint = match nearest(word, known.iter().copied().take(MOST_COMPARED)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "correct it, or leave it out".to_owned(),
                };
                let what = format!(
                    "probe of {}: {key}: the network has no {kind} \"{word}\", so that no server is probed for it; {hint}",
                    probe.host
                );
                unknown.push(config.told(&format!("probe.{number}.{key}.{at}"), &what));
            }
        }
    }
    unknown
}

/// Hosts of services that end in the name of the zone that they are below.
fn doubled<'a>(
    config: &Config,
    services: impl Iterator<Item = (String, &'a str, &'a [String])>,
) -> Vec<String> {
    let Some(zone) = config.low_zone().map(str::to_ascii_lowercase) else { return Vec::new() };
    let mut told = Vec::new();
    let mut more = 0;
    for (place, service, hosts) in services {
        for host in hosts {
            let Some(rest) = host.strip_suffix(&zone) else { continue };
            let label = match rest.strip_suffix('.') {
                Some(label) => label,
                None if rest.is_empty() => "*",
                None => continue,
            };
            if told.len() == MOST_TOLD {
                more += 1;
                continue;
            }
            told.push(format!(
                "{place}service \"{service}\": host \"{host}\" is below the zone {zone}, so that {host}.{zone} is answered; write \"{label}\""
            ));
        }
    }
    if more > 0 {
        told.push(format!("{more} more hosts end in the zone's own name {zone}"));
    }
    told
}

/// As a map has them.
pub(super) fn hosts(config: &Config, network: &Network) -> Vec<String> {
    let services = network.services.iter();
    doubled(config, services.map(|service| (String::new(), service.name.as_str(), &*service.hosts)))
}

/// As files have them.
pub(super) fn hosts_of_files(config: &Config, plant: &Plant) -> Vec<String> {
    let services = plant.services.iter().map(|service| {
        let file = plant.files.get(usize::from(service.said.file)).map_or("", String::as_str);
        (format!("{file}:{}: ", service.said.line), service.name.as_str(), &*service.hosts)
    });
    doubled(config, services)
}

/// Says it in the log.
pub(super) fn warn(config: &Config, network: &Network) {
    for what in probes(config, network).into_iter().chain(hosts(config, network)) {
        tracing::warn!("{what}");
    }
}
