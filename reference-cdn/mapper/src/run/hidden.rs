//! Records of a zone's file that nobody is answered with, because the map steers their name.

use std::collections::HashMap;

use crate::authority::load::places;
use crate::authority::zone::{Found, Role, Zone, Zones};
use crate::dns::codes::rtype;
use crate::dns::name::{self, Name};
use crate::map::Names;
use crate::network::Network;

/// What a steered name has from the map alone.
const STEERED: [(u16, &str); 4] =
    [(rtype::A, "A"), (rtype::AAAA, "AAAA"), (rtype::HTTPS, "HTTPS"), (rtype::CNAME, "CNAME")];
/// Names that are told of one zone; more are counted.
const MOST_TOLD: usize = 20;

/// What to tell the operator, a line for each name: where its records are, which, and who hides them.
pub fn hidden(zones: &Zones, network: &Network) -> Vec<String> {
    let names = Names::new(network);
    zones
        .all()
        .iter()
        .filter(|zone| zone.role == Role::Low)
        .flat_map(|zone| of_zone(zone, &names, network))
        .collect()
}

fn of_zone(zone: &Zone, names: &Names, network: &Network) -> Vec<String> {
    let mut found: HashMap<&[u8], &str> = HashMap::new();
    let mut name = Name::default();
    for (owner, node) in &zone.nodes {
        if !STEERED.iter().any(|(rtype, _)| node.set(*rtype).is_some()) {
            continue;
        }
        // What a wildcard of the map would make up gives way to the file.
        let Some(steered) = names.find(zone.below_apex(owner)).filter(|steered| steered.wildcard.is_none())
        else {
            continue;
        };
        name.set(owner);
        if matches!(zone.find(&name, rtype::A), Found::Node(_)) {
            let service =
                network.services.get(steered.service.0 as usize).map_or("", |service| service.name.as_str());
            found.insert(owner, service);
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let mut places = places(&zone.file, &name::show(&zone.apex), |owner| found.contains_key(owner));
    places.retain(|place| STEERED.iter().any(|(rtype, _)| *rtype == place.rtype));
    let mut lines = Vec::new();
    let mut told: Vec<&[u8]> = Vec::new();
    // Those that the file does not have any more come last, without a line.
    let owners = places.iter().map(|place| &*place.owner).chain(found.keys().copied());
    for owner in owners {
        if told.contains(&owner) {
            continue;
        }
        if told.len() == MOST_TOLD {
            let (file, more) = (zone.file.display(), found.len() - MOST_TOLD);
            lines.push(format!(
                "{file}: {more} more names have records that are never answered, since they are steered"
            ));
            break;
        }
        told.push(owner);
        let first = places.iter().find(|place| *place.owner == *owner);
        let at = first.map_or_else(
            || zone.file.display().to_string(),
            |place| format!("{}:{}", place.file.display(), place.line),
        );
        let types: Vec<&str> = STEERED
            .iter()
            .filter(|(rtype, _)| zone.nodes.get(owner).is_some_and(|node| node.set(*rtype).is_some()))
            .map(|(_, name)| *name)
            .collect();
        lines.push(format!(
            "{at}: {} {}: never answered, since the map steers the name for service \"{}\"; take the records out, or the name out of the service's hosts",
            name::show(owner),
            types.join(", "),
            found.get(owner).copied().unwrap_or_default()
        ));
    }
    lines
}
