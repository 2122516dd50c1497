//! For every client address, which sites answer it: computed when a map is made, looked up by queries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Table as Used;
use super::runs::{Address, Runs};
use crate::conditions::{Conditions, PARTS, Standing};
use crate::decide::{Family, Route, Strictness, Usable, part_of_unit, sites::sites};
use crate::network::{
    Fallback, Features, NameServer, Network, Ranked, ServerId, ServiceId, SiteId, UnitId, upper,
};

/// What routes depend on beside the network: services that agree in it share them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Basis {
    usable: Usable,
    elsewhere: bool,
    /// Parts that each site gives away.
    shifted: Vec<u8>,
}

/// Where the clients of all units go, for services of one need.
#[derive(Clone, Debug)]
pub struct Routes(Arc<Table>);

#[derive(Debug)]
struct Table {
    basis: Basis,
    /// Each route once.
    routes: Vec<Route>,
    v4: Both<u32>,
    v6: Both<u64>,
}

/// The address space twice: cut where routes change, and cut where routes or parts of units change.
#[derive(Debug)]
struct Both<A> {
    coarse: Runs<A>,
    fine: Runs<A>,
}

/// What is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The same for all clients of one route.
    pub number: u32,
    pub route: Route,
    /// The unit's part; 0 where it was not asked for.
    pub part: u8,
    /// Length of the widest prefix whose clients are all routed so.
    pub scope: u8,
}

impl Routes {
    fn new(network: &Network, conditions: &Conditions, basis: Basis) -> Self {
        let mut numbers: HashMap<Route, u32> = HashMap::new();
        let mut routes = Vec::new();
        let of_unit: Vec<u32> = (0..network.units.len())
            .map(|at| {
                let unit = UnitId(u32::try_from(at).unwrap_or(u32::MAX));
                let ranking = network.units.ranking(unit);
                let key = network.units.keys[at];
                let route = sites(network, conditions, &basis.usable, key, ranking, basis.elsewhere, &mut ());
                *numbers.entry(route).or_insert_with(|| {
                    routes.push(route);
                    u32::try_from(routes.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        let coarse = |unit: UnitId| of_unit.get(unit.0 as usize).copied().unwrap_or(0);
        let fine = |unit: UnitId| {
            let part = network.units.keys.get(unit.0 as usize).map_or(0, |key| part_of_unit(*key));
            coarse(unit) * u32::from(PARTS) + u32::from(part)
        };
        let prefixes = &network.prefixes;
        let v4 = Both {
            coarse: Runs::new(prefixes.v4.iter().map(|(start, unit)| (*start, coarse(*unit)))),
            fine: Runs::new(prefixes.v4.iter().map(|(start, unit)| (*start, fine(*unit)))),
        };
        let v6 = Both {
            coarse: Runs::new(prefixes.v6.iter().map(|(start, unit)| (*start, coarse(*unit)))),
            fine: Runs::new(prefixes.v6.iter().map(|(start, unit)| (*start, fine(*unit)))),
        };
        Self(Arc::new(Table { basis, routes, v4, v6 }))
    }

    pub fn strictness(&self) -> Strictness {
        self.0.basis.usable.strictness
    }

    pub fn usable(&self) -> &Usable {
        &self.0.basis.usable
    }

    /// The route of a client's address. With `fine`, the unit's part too, and the scope counts for both.
    pub fn find(&self, client: IpAddr, fine: bool) -> Routed {
        match client {
            IpAddr::V4(address) => self.in_space(&self.0.v4, u32::from(address), fine),
            IpAddr::V6(address) => self.in_space(&self.0.v6, upper(address), fine),
        }
    }

    fn in_space<A: Address>(&self, space: &Both<A>, address: A, fine: bool) -> Routed {
        let runs = if fine { &space.fine } else { &space.coarse };
        // A network without prefixes has no units: everybody gets what is there, or nothing.
        let Some((value, scope)) = runs.find(address) else {
            let route = Route { near: self.usable().most(), elsewhere: None };
            return Routed { number: u32::MAX, route, part: 0, scope: 0 };
        };
        let (number, part) =
            if fine { (value / u32::from(PARTS), value % u32::from(PARTS)) } else { (value, 0) };
        let route = self.0.routes.get(number as usize).copied().unwrap_or_default();
        Routed { number, route, part: part as u8, scope }
    }
}

/// Routes for all services, each different one once, and which of them each service uses. What `before` has and nothing changed
/// is taken from it.
///
/// A family that no server of a service has an address of is nobody's: its fallback stands for servers that are down. It stands for a
/// service without any server too.
pub(super) fn for_services(
    network: &Network,
    conditions: &Conditions,
    before: &[Routes],
) -> (Vec<Routes>, Vec<[Option<Used>; 2]>) {
    let shifted: Vec<u8> = conditions.sites.iter().map(|site| site.shifted).collect();
    let mut known: HashMap<(Features, bool, bool), [Option<Used>; 2]> = HashMap::new();
    let mut all: Vec<Routes> = Vec::new();
    let mut number_of = |usable: Usable, elsewhere: bool| {
        let basis = Basis { usable, elsewhere, shifted: shifted.clone() };
        let number = all.iter().position(|routes| routes.0.basis == basis).unwrap_or_else(|| {
            let same = before.iter().find(|routes| routes.0.basis == basis);
            let routes = same.cloned().unwrap_or_else(|| Routes::new(network, conditions, basis));
            all.push(routes);
            all.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    };
    let of_service = network
        .services
        .iter()
        .map(|service| {
            let last_known = service.fallback == Fallback::LastKnown;
            let elsewhere = service.elsewhere > 0;
            *known.entry((service.needs, last_known, elsewhere)).or_insert_with(|| {
                let of = |family| Usable::count(network, conditions, service.needs, family, last_known);
                let usable = [Family::V4, Family::V6].map(of);
                let nobody = !usable.iter().any(Usable::is_able);
                let [v4, v6] =
                    usable.map(|usable| (nobody || usable.is_able()).then(|| number_of(usable, elsewhere)));
                if v4 == v6 {
                    return [v4.map(|number| Used { number, v4: true, v6: true }), None];
                }
                [
                    v4.map(|number| Used { number, v4: true, v6: false }),
                    v6.map(|number| Used { number, v4: false, v6: true }),
                ]
            })
        })
        .collect();
    (all, of_service)
}

/// To which name servers the top level refers resolvers.
#[derive(Clone, Debug)]
pub(super) struct Referrals(Arc<ReferralTable>);

#[derive(Debug)]
struct ReferralTable {
    names: usize,
    /// What it depends on beside the network, by site.
    basis: Vec<(u8, bool)>,
    lists: Vec<Vec<NameServer>>,
    v4: Runs<u32>,
    v6: Runs<u64>,
}

/// Sites that a referral names, if there are as many.
const SITES_OF_REFERRAL: usize = 3;

impl Referrals {
    pub(super) fn new(
        network: &Network,
        conditions: &Conditions,
        names: usize,
        before: Option<&Self>,
    ) -> Self {
        let answers = |at: usize| {
            let site = &network.sites[at];
            let now = conditions.site(SiteId(u32::try_from(at).unwrap_or(u32::MAX)));
            // A site where nobody serves is likely to be gone as a whole.
            let serves = site
                .servers
                .clone()
                .any(|server| conditions.server(ServerId(server)).standing == Standing::Serving);
            !site.name_servers.is_empty() && !now.names_down && (serves || site.servers.is_empty())
        };
        let mut basis: Vec<_> = (0..network.sites.len())
            .map(|at| (conditions.sites.get(at).map_or(0, |now| now.shifted), answers(at)))
            .collect();
        if basis.iter().all(|(_, answers)| !answers) {
            // Better one that may be down than none.
            for (at, entry) in basis.iter_mut().enumerate() {
                entry.1 = !network.sites[at].name_servers.is_empty();
            }
        }
        if let Some(before) = before.filter(|before| before.0.basis == basis && before.0.names == names) {
            return before.clone();
        }
        let usable = |site: SiteId| basis.get(site.0 as usize).is_some_and(|(_, answers)| *answers);
        let reserve: Vec<SiteId> = (0..network.sites.len())
            .map(|at| SiteId(u32::try_from(at).unwrap_or(u32::MAX)))
            .filter(|site| usable(*site))
            .take(SITES_OF_REFERRAL)
            .collect();
        let mut numbers: HashMap<Vec<SiteId>, u32> = HashMap::new();
        let mut lists = Vec::new();
        let of_unit: Vec<u32> = (0..network.units.len())
            .map(|at| {
                let unit = UnitId(u32::try_from(at).unwrap_or(u32::MAX));
                let chosen = referred(network, &usable, network.units.ranking(unit), &reserve);
                *numbers.entry(chosen).or_insert_with_key(|chosen| {
                    lists.push(list(network, chosen, names));
                    u32::try_from(lists.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        if lists.is_empty() {
            lists.push(list(network, &reserve, names));
        }
        let of = |unit: UnitId| of_unit.get(unit.0 as usize).copied().unwrap_or(0);
        let v4 = Runs::new(network.prefixes.v4.iter().map(|(start, unit)| (*start, of(*unit))));
        let v6 = Runs::new(network.prefixes.v6.iter().map(|(start, unit)| (*start, of(*unit))));
        Self(Arc::new(ReferralTable { names, basis, lists, v4, v6 }))
    }

    pub(super) fn names(&self) -> usize {
        self.0.names
    }

    pub(super) fn find(&self, resolver: IpAddr) -> &[NameServer] {
        let value = match resolver {
            IpAddr::V4(address) => self.0.v4.value(u32::from(address)),
            IpAddr::V6(address) => self.0.v6.value(upper(address)),
        };
        self.0.lists.get(value.unwrap_or(0) as usize).map_or(&[], Vec::as_slice)
    }
}

/// The sites of a referral: the nearest, the next in other failure domains, then the next at all.
fn referred(
    network: &Network,
    usable: &impl Fn(SiteId) -> bool,
    ranking: &[Ranked],
    reserve: &[SiteId],
) -> Vec<SiteId> {
    let all = || {
        ranking.iter().map(|ranked| ranked.site).chain(reserve.iter().copied()).filter(|site| usable(*site))
    };
    let domain = |site: SiteId| network.sites[site.0 as usize].domain;
    let mut chosen: Vec<SiteId> = Vec::with_capacity(SITES_OF_REFERRAL);
    for apart in [true, false] {
        for site in all() {
            if chosen.len() == SITES_OF_REFERRAL {
                return chosen;
            }
            let known = chosen.contains(&site);
            let shared = apart && chosen.iter().any(|other| domain(*other) == domain(site));
            if !known && !shared {
                chosen.push(site);
            }
        }
    }
    chosen
}

/// Name servers of the sites in turn: `n0` at the nearest, `n1` at the next, and round again.
fn list(network: &Network, sites: &[SiteId], names: usize) -> Vec<NameServer> {
    let at = |site: SiteId| &network.sites[site.0 as usize].name_servers;
    let longest = sites.iter().map(|site| at(*site).len()).max().unwrap_or(0);
    let mut list: Vec<_> = (0..longest)
        .flat_map(|turn| sites.iter().filter_map(move |site| at(*site).get(turn).copied()))
        .collect();
    list.truncate(names);
    list.resize(names, NameServer { v4: None, v6: None });
    list
}

/// What a unit's clients are answered for a service, without tables: what tables are checked against.
pub fn route_of(
    network: &Network,
    conditions: &Conditions,
    service: ServiceId,
    family: Family,
    unit: UnitId,
) -> Option<Route> {
    let service = network.services.get(service.0 as usize)?;
    let last_known = service.fallback == Fallback::LastKnown;
    let usable = Usable::count(network, conditions, service.needs, family, last_known);
    let key = *network.units.keys.get(unit.0 as usize)?;
    let ranking = network.units.ranking(unit);
    Some(sites(network, conditions, &usable, key, ranking, service.elsewhere > 0, &mut ()))
}
