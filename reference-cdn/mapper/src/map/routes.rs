//! For every client address, which sites answer it: computed when a map is made, looked up by queries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::runs::{Address, Runs};
use super::{Number, Table as Used};
use crate::conditions::{Conditions, PARTS, Standing};
use crate::decide::{ALL_PARTS, Route, Strictness, Usable, part_of_unit, sites::sites};
use crate::network::{
    Fallback, Family, Features, NameServer, Network, Ranked, ServerId, ServiceId, SiteId, UnitId, upper,
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
pub struct Routes {
    table: Arc<Table>,
    /// By number, each route and since which map its sites' servers are as they are.
    now: Arc<[Now]>,
}

#[derive(Clone, Copy, Debug)]
struct Now {
    route: Route,
    since: Number,
}

#[derive(Debug)]
struct Table {
    basis: Basis,
    /// Each route once. Some may be left from before.
    routes: Vec<Route>,
    /// How many there were when all were found anew.
    fresh: usize,
    /// Numbers of the units' routes.
    of_unit: Vec<u32>,
    spaces: Arc<Spaces>,
}

#[derive(Debug)]
struct Spaces {
    v4: Both<u32>,
    v6: Both<u64>,
}

/// The address space twice: cut where routes change, and cut where routes or parts of units change.
#[derive(Debug)]
struct Both<A> {
    coarse: Runs<A>,
    fine: Runs<A>,
}

impl<A: Address> Both<A> {
    fn new(prefixes: &[(A, UnitId)], of_unit: &[u32], parts: &[u8]) -> Self {
        let coarse = |unit: UnitId| of_unit.get(unit.0 as usize).copied().unwrap_or(0);
        let fine = |unit: UnitId| {
            let part = parts.get(unit.0 as usize).copied().unwrap_or(0);
            coarse(unit) * u32::from(PARTS) + u32::from(part)
        };
        Self {
            coarse: Runs::new(prefixes.iter().map(|(start, unit)| (*start, coarse(*unit)))),
            fine: Runs::new(prefixes.iter().map(|(start, unit)| (*start, fine(*unit)))),
        }
    }
}

impl Spaces {
    fn new(network: &Network, of_unit: &[u32]) -> Self {
        let parts: Vec<u8> = network.units.keys.iter().map(|key| part_of_unit(*key)).collect();
        let prefixes = &network.prefixes;
        Self { v4: Both::new(&prefixes.v4, of_unit, &parts), v6: Both::new(&prefixes.v6, of_unit, &parts) }
    }
}

/// What is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    pub route: Route,
    /// Since which map the route's sites and their servers are as they are: what was answered then is still the answer.
    pub(super) since: Number,
    /// The unit's part; 0 where it was not asked for.
    pub part: u8,
    /// Length of the widest prefix whose clients are all routed so.
    pub scope: u8,
}

/// Numbers for routes, in the order in which they come.
struct Numbers {
    of: HashMap<Route, u32>,
    routes: Vec<Route>,
}

impl Numbers {
    fn new(routes: Vec<Route>) -> Self {
        Self { of: routes.iter().copied().zip(0..).collect(), routes }
    }

    fn number(&mut self, route: Route) -> u32 {
        *self.of.entry(route).or_insert_with(|| {
            self.routes.push(route);
            u32::try_from(self.routes.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

impl Table {
    fn new(network: &Network, conditions: &Conditions, basis: Basis) -> Self {
        let mut numbers = Numbers::new(Vec::new());
        let of_unit: Vec<u32> =
            (0..network.units.len()).map(|at| numbers.number(basis.route(network, conditions, at))).collect();
        let spaces = Arc::new(Spaces::new(network, &of_unit));
        Self { basis, fresh: numbers.routes.len(), routes: numbers.routes, of_unit, spaces }
    }

    /// From one of the same network: only units that rank a site which changed are looked at.
    fn after(network: &Network, conditions: &Conditions, basis: Basis, before: &Self) -> Self {
        let old = &before.basis;
        let shifted = |basis: &Basis, at: usize| basis.shifted.get(at).copied().unwrap_or(0);
        let changed: Vec<bool> = (0..network.sites.len())
            .map(|at| {
                let site = SiteId(u32::try_from(at).unwrap_or(u32::MAX));
                basis.usable.at(site) != old.usable.at(site) || shifted(&basis, at) != shifted(old, at)
            })
            .collect();
        let is_changed = |site: SiteId| changed.get(site.0 as usize).copied().unwrap_or(true);
        let most = basis.usable.most() != old.usable.most();
        let mut numbers = Numbers::new(before.routes.clone());
        let mut of_unit = before.of_unit.clone();
        let mut same = true;
        for (at, number) in of_unit.iter_mut().enumerate() {
            let unit = UnitId(u32::try_from(at).unwrap_or(u32::MAX));
            // Who has nobody in the ranking goes to the site with the most servers.
            let by_most = || most && numbers.routes[*number as usize].near == old.usable.most();
            if network.units.ranking(unit).iter().any(|ranked| is_changed(ranked.site)) || by_most() {
                let next = numbers.number(basis.route(network, conditions, at));
                same &= next == *number;
                *number = next;
            }
        }
        if numbers.routes.len() > before.fresh * 2 + 1024 {
            return Self::new(network, conditions, basis);
        }
        let spaces = if same { Arc::clone(&before.spaces) } else { Arc::new(Spaces::new(network, &of_unit)) };
        Self { basis, routes: numbers.routes, fresh: before.fresh, of_unit, spaces }
    }
}

impl Basis {
    fn route(&self, network: &Network, conditions: &Conditions, unit: usize) -> Route {
        let ranking = network.units.ranking(UnitId(u32::try_from(unit).unwrap_or(u32::MAX)));
        let key = network.units.keys.get(unit).copied().unwrap_or(0);
        sites(network, conditions, &self.usable, key, ranking, self.elsewhere, &mut ())
    }
}

impl Routes {
    fn new(table: Arc<Table>, since: &Since) -> Self {
        let now = table.routes.iter().map(|route| Now { route: *route, since: since.of(*route) }).collect();
        Self { table, now }
    }

    pub fn strictness(&self) -> Strictness {
        self.table.basis.usable.strictness
    }

    pub fn usable(&self) -> &Usable {
        &self.table.basis.usable
    }

    /// The route of a client's address. With `fine`, the unit's part too, and the scope counts for both.
    pub fn find(&self, client: IpAddr, fine: bool) -> Routed {
        match client {
            IpAddr::V4(address) => self.in_space(&self.table.spaces.v4, u32::from(address), fine),
            IpAddr::V6(address) => self.in_space(&self.table.spaces.v6, upper(address), fine),
        }
    }

    /// The length of the widest prefix around a client's address whose clients are all routed so and of these parts, as it is
    /// itself; a bit for each part.
    pub fn scope(&self, client: IpAddr, parts: u64) -> u8 {
        match client {
            _ if parts == ALL_PARTS => self.find(client, false).scope,
            IpAddr::V4(address) => scope(&self.table.spaces.v4, u32::from(address), parts),
            IpAddr::V6(address) => scope(&self.table.spaces.v6, upper(address), parts),
        }
    }

    fn in_space<A: Address>(&self, space: &Both<A>, address: A, fine: bool) -> Routed {
        let runs = if fine { &space.fine } else { &space.coarse };
        // A network without prefixes has no units: everybody gets what is there, or nothing.
        let Some((value, scope)) = runs.find(address) else {
            let route = Route { near: self.usable().most(), elsewhere: None };
            return Routed { route, since: Number::LATER, part: 0, scope: 0 };
        };
        let (number, part) =
            if fine { (value / u32::from(PARTS), value % u32::from(PARTS)) } else { (value, 0) };
        let known = self.now.get(number as usize).copied();
        let Now { route, since } = known.unwrap_or(Now { route: Route::default(), since: Number::LATER });
        Routed { route, since, part: part as u8, scope }
    }
}

fn scope<A: Address>(space: &Both<A>, address: A, parts: u64) -> u8 {
    let split = |value: u32| (value / u32::from(PARTS), value % u32::from(PARTS));
    space.fine.scope(address, |own, other| split(other).0 == split(own).0 && parts >> split(other).1 & 1 == 1)
}

/// Since which map each site's servers are as they are, and what of its names is hot. Answers of a route follow from these two of its
/// sites, the service and the unit's part; so they stay the same as long as these do.
#[derive(Clone, Debug)]
pub(super) struct Since {
    now: Number,
    of_site: Vec<Number>,
}

impl Since {
    /// `before` is of a network with the same sites, servers and services.
    pub(super) fn new(
        now: Number,
        network: &Network,
        conditions: &Conditions,
        before: Option<(&Self, &Conditions)>,
    ) -> Self {
        let Some((before, old)) = before else {
            return Self { now, of_site: vec![now; network.sites.len()] };
        };
        let of_site = network.sites.iter().enumerate().map(|(at, site)| {
            let id = SiteId(u32::try_from(at).unwrap_or(u32::MAX));
            let same = site.servers.clone().map(ServerId).all(|at| conditions.server(at) == old.server(at))
                && conditions.hot_of(id) == old.hot_of(id);
            before.of_site.get(at).copied().filter(|_| same).unwrap_or(now)
        });
        Self { now, of_site: of_site.collect() }
    }

    fn of(&self, route: Route) -> Number {
        let of = |site: SiteId| self.of_site.get(site.0 as usize).copied().unwrap_or(self.now);
        // Without a near site it is for the service's fallback to say.
        route.near.map_or(self.now, of).max(route.elsewhere.map_or(Number::default(), of))
    }
}

/// What there was before, of the same network.
#[derive(Clone, Copy)]
pub(super) struct Before<'b> {
    pub routes: &'b [Routes],
    pub of_service: &'b [[Option<Used>; 2]],
}

/// Routes for all services, each different one once, and which of them each service uses. What `before` has and nothing changed
/// is taken from it.
///
/// A family that no server of a service has an address of is nobody's: its fallback stands for servers that are down. It stands for a
/// service without any server too.
pub(super) fn for_services(
    network: &Network,
    conditions: &Conditions,
    since: &Since,
    before: Option<Before<'_>>,
) -> (Vec<Routes>, Vec<[Option<Used>; 2]>) {
    let shifted: Vec<u8> = conditions.sites.iter().map(|site| site.shifted).collect();
    let mut known: HashMap<(Features, bool, bool), [Option<Used>; 2]> = HashMap::new();
    let mut all: Vec<Routes> = Vec::new();
    let mut number_of = |usable: Usable, elsewhere: bool, last: Option<&Routes>| {
        let basis = Basis { usable, elsewhere, shifted: shifted.clone() };
        let number = all.iter().position(|routes| routes.table.basis == basis).unwrap_or_else(|| {
            let old = before.map_or(&[][..], |before| before.routes);
            let same = old.iter().find(|routes| routes.table.basis == basis);
            let table = match (same, last.filter(|last| last.table.basis.elsewhere == elsewhere)) {
                (Some(same), _) => Arc::clone(&same.table),
                (None, Some(last)) => Arc::new(Table::after(network, conditions, basis, &last.table)),
                (None, None) => Arc::new(Table::new(network, conditions, basis)),
            };
            all.push(Routes::new(table, since));
            all.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    };
    let of_service = network
        .services
        .iter()
        .enumerate()
        .map(|(at, service)| {
            let last_known = service.fallback == Fallback::LastKnown;
            let elsewhere = service.elsewhere > 0;
            *known.entry((service.needs, last_known, elsewhere)).or_insert_with(|| {
                let last = |family| {
                    let before = before?;
                    let tables = before.of_service.get(at)?.iter().flatten();
                    let table = tables.into_iter().find(|table| table.has(family))?;
                    before.routes.get(usize::from(table.number))
                };
                let families = Family::ALL;
                let of = |family| Usable::count(network, conditions, service.needs, family, last_known);
                let usable = families.map(of);
                let nobody = !usable.iter().any(Usable::is_able);
                let mut tables = families.into_iter().zip(usable).map(|(family, usable)| {
                    (nobody || usable.is_able()).then(|| number_of(usable, elsewhere, last(family)))
                });
                let (v4, v6) = (tables.next().flatten(), tables.next().flatten());
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
    basis: Vec<bool>,
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
        let mut basis: Vec<bool> = (0..network.sites.len()).map(answers).collect();
        if basis.iter().all(|answers| !answers) {
            // Better one that may be down than none.
            basis = network.sites.iter().map(|site| !site.name_servers.is_empty()).collect();
        }
        if let Some(before) = before.filter(|before| before.0.basis == basis && before.0.names == names) {
            return before.clone();
        }
        let usable = |site: SiteId| basis.get(site.0 as usize).is_some_and(|answers| *answers);
        let reserve: Vec<SiteId> = (0..network.sites.len())
            .map(|at| SiteId(u32::try_from(at).unwrap_or(u32::MAX)))
            .filter(|site| usable(*site))
            .take(SITES_OF_REFERRAL)
            .collect();
        let mut numbers: HashMap<Referred, u32> = HashMap::new();
        let mut lists = Vec::new();
        let of_unit: Vec<u32> = (0..network.units.len())
            .map(|at| {
                let unit = UnitId(u32::try_from(at).unwrap_or(u32::MAX));
                let chosen = referred(network, &usable, network.units.ranking(unit), &reserve);
                *numbers.entry(chosen).or_insert_with(|| {
                    lists.push(list(network, chosen.iter().flatten().copied(), names));
                    u32::try_from(lists.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        if lists.is_empty() {
            lists.push(list(network, reserve.iter().copied(), names));
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

/// Sites of a referral, best first.
type Referred = [Option<SiteId>; SITES_OF_REFERRAL];

/// The sites of a referral: the nearest, the next in other failure domains, then the next at all.
fn referred(
    network: &Network,
    usable: &impl Fn(SiteId) -> bool,
    ranking: &[Ranked],
    reserve: &[SiteId],
) -> Referred {
    let all = || {
        ranking.iter().map(|ranked| ranked.site).chain(reserve.iter().copied()).filter(|site| usable(*site))
    };
    let domain = |site: SiteId| network.sites[site.0 as usize].domain;
    let mut chosen = Referred::default();
    let mut count = 0;
    for apart in [true, false] {
        for site in all() {
            let mut others = chosen.iter().flatten();
            let out = others.any(|other| *other == site || apart && domain(*other) == domain(site));
            if out {
                continue;
            }
            chosen[count] = Some(site);
            count += 1;
            if count == SITES_OF_REFERRAL {
                return chosen;
            }
        }
    }
    chosen
}

/// Name servers of the sites in turn: `n0` at the nearest, `n1` at the next, and round again.
fn list(network: &Network, sites: impl Iterator<Item = SiteId> + Clone, names: usize) -> Vec<NameServer> {
    let at = |site: SiteId| &network.sites[site.0 as usize].name_servers;
    let longest = sites.clone().map(|site| at(site).len()).max().unwrap_or(0);
    let mut list: Vec<_> = (0..longest)
        .flat_map(|turn| sites.clone().filter_map(move |site| at(site).get(turn).copied()))
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
