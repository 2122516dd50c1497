//! Sites, servers and services at their positions, and what the choice of sites has to know about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::geometry::{Vector, vector};
use super::plant::Plant;
use super::services::FallbackPlan;
use crate::network::{Fallback, Features, Server, Service, Site, SiteId};

/// Most sets of needs that every ranking is seen to cover.
pub const MOST_NEEDS: usize = 4;

/// The part of a network that does not depend on clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stock {
    pub sites: Vec<Site>,
    pub servers: Vec<Server>,
    pub server_names: Vec<String>,
    pub services: Vec<Service>,
    pub facts: Facts,
    /// The largest sites, the largest first. Apart from the facts, as it changes with each server and matters to few clients.
    pub largest: Vec<u32>,
}

/// What the rankings depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub names: Vec<String>,
    pub at: Vec<Option<Vector>>,
    pub asn: Vec<u32>,
    pub domain: Vec<u32>,
    /// Bit `n`: it has a server that offers the `n`th set of needs. The last bit: it has a server at all.
    pub offers: Vec<u8>,
    /// How many sets of needs there are, without the empty one.
    pub needs: usize,
}

/// How many of the largest sites are known: twice as many as a ranking has.
const LARGEST: usize = 2 * crate::network::MOST_RANKED;

/// The bit of sites that have servers.
pub const HAS_SERVERS: u8 = 0x80;

pub fn stock(plant: &Plant) -> Stock {
    let domains = plant.domains();
    let bits: HashMap<&str, u32> = plant.features.iter().map(String::as_str).zip(0..).collect();
    let features = |names: &[String]| -> Features {
        names.iter().filter_map(|name| bits.get(name.as_str())).fold(0, |all, bit| all | 1 << bit)
    };
    let mut stock = Stock::default();
    let services: Vec<Service> = plant
        .services
        .iter()
        .map(|plan| Service {
            name: plan.name.clone(),
            hosts: plan.hosts.clone(),
            needs: features(&plan.needs),
            copies: plan.copies,
            near: plan.near,
            elsewhere: plan.elsewhere,
            ttl: plan.ttl,
            order: plan.order,
            fallback: match &plan.fallback {
                FallbackPlan::LastKnown => Fallback::LastKnown,
                FallbackPlan::Alias(alias) => Fallback::Alias(alias.clone()),
                // Checked to be there.
                FallbackPlan::Site(site) => plant
                    .sites
                    .binary_search_by(|known| known.name.as_str().cmp(site))
                    .map_or(Fallback::LastKnown, |at| Fallback::Site(SiteId(at as u32))),
            },
            https: plan.https.clone(),
        })
        .collect();
    // The needs of most services first; of as many, the smaller number.
    let mut counts: BTreeMap<Features, usize> = BTreeMap::new();
    for service in services.iter().filter(|service| service.needs != 0) {
        *counts.entry(service.needs).or_default() += 1;
    }
    let mut needs: Vec<(usize, Features)> = counts.into_iter().map(|(needs, count)| (count, needs)).collect();
    needs.sort_by_key(|(count, needs)| (std::cmp::Reverse(*count), *needs));
    needs.truncate(MOST_NEEDS);

    let mut next = 0;
    let mut capacities = Vec::with_capacity(plant.sites.len());
    stock.servers.reserve(plant.servers.len());
    stock.server_names.reserve(plant.servers.len());
    for (plan, number) in plant.sites.iter().zip(0..) {
        let first = next;
        let own = &plant.servers[first..];
        let own = &own[..own.iter().position(|server| server.site != plan.name).unwrap_or(own.len())];
        next += own.len();
        let racks: BTreeSet<&str> = own.iter().filter_map(|server| server.rack.as_deref()).collect();
        let racks: BTreeMap<&str, u16> = racks.into_iter().zip(1..=u16::MAX).collect();
        let (mut capacity, mut offers) = (0_u64, 0_u8);
        for server in own {
            let offered = features(&server.features);
            capacity += u64::from(server.capacity);
            offers |= HAS_SERVERS;
            for (bit, (_, needs)) in needs.iter().enumerate() {
                offers |= u8::from(offered & needs == *needs) << bit;
            }
            stock.servers.push(Server {
                key: super::keys::of_name(&server.name),
                site: SiteId(number),
                v4: server.v4,
                v6: server.v6,
                capacity: server.capacity,
                rack: server.rack.as_deref().and_then(|rack| racks.get(rack)).copied().unwrap_or(0),
                features: offered,
            });
            stock.server_names.push(server.name.clone());
        }
        let (latitude, longitude) = plan.place.unwrap_or_default();
        stock.sites.push(Site {
            name: plan.name.clone(),
            domain: domains.get(plan.domain()).copied().unwrap_or(0),
            latitude,
            longitude,
            asn: plan.asn,
            bandwidth: plan.bandwidth,
            servers: first as u32..next as u32,
            name_servers: plan.name_servers.clone(),
        });
        let thousandths = |degrees: f32| (f64::from(degrees) * 1000.0).round() as i32;
        stock.facts.at.push(plan.place.map(|(north, east)| vector((thousandths(north), thousandths(east)))));
        stock.facts.offers.push(offers);
        capacities.push(capacity);
    }
    stock.facts.names = stock.sites.iter().map(|site| site.name.clone()).collect();
    stock.facts.asn = stock.sites.iter().map(|site| site.asn).collect();
    stock.facts.domain = stock.sites.iter().map(|site| site.domain).collect();
    stock.facts.needs = needs.len();
    let mut order: Vec<u32> =
        (0..stock.sites.len() as u32).filter(|site| capacities[*site as usize] > 0).collect();
    order.sort_by_key(|site| (std::cmp::Reverse(capacities[*site as usize]), *site));
    order.truncate(LARGEST);
    stock.largest = order;
    stock.services = services;
    stock
}
