//! A network and its conditions under one epoch, with what queries need looked up beforehand.

pub mod moment;
mod names;
mod routes;
pub mod runs;
mod steerer;

pub mod churn;
mod conditions_section;
pub mod diff;
#[cfg(test)]
mod diff_tests;
pub mod file;
#[cfg(test)]
mod file_tests;
mod network_sections;
mod octets;
pub mod publish;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use names::{Names, content_of, wire_into, wire_of};
use routes::{Before, Since};
pub use routes::{Routed, Routes, route_of};
pub use steerer::{Published, Steerer};

use crate::conditions::Conditions;
use crate::network::{Family, NameServer, Network, ServiceId};

/// Which map answered: later ones have larger numbers, and none comes again. Those of a mapper that builds maps are the second since
/// 1970 in which it made them, or the next number that is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Numbers the maps of this process in the order in which they were made. Answers that are kept go by this: epochs begin anew where a
/// folder of maps does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u64);

impl Number {
    /// After all that there are: nothing that was kept counts.
    const LATER: Self = Self(u64::MAX);

    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Everything that decides an answer.
#[derive(Debug)]
pub struct Map {
    pub epoch: Epoch,
    number: Number,
    pub network: Arc<Network>,
    pub conditions: Conditions,
    names: Arc<Names>,
    since: Since,
    routes: Vec<Routes>,
    /// Which of `routes` each service uses.
    of_service: Vec<[Option<Table>; 2]>,
    referrals: routes::Referrals,
}

/// Which table of routes answers a service, and for which families: one for both where servers have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    number: u16,
    v4: bool,
    v6: bool,
}

impl Table {
    fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    fn families(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.has(*family))
    }
}

impl Map {
    /// Looks everything up beforehand. `names` as many name-server names as a referral has.
    pub fn new(epoch: Epoch, network: Arc<Network>, conditions: Conditions, names: usize) -> Self {
        let known = Arc::new(Names::new(&network));
        let number = Number::next();
        let since = Since::new(number, &network, &conditions, None);
        let (routes, of_service) = routes::for_services(&network, &conditions, &since, None);
        let referrals = routes::Referrals::new(&network, &conditions, names, None);
        Self { epoch, number, network, conditions, names: known, since, routes, of_service, referrals }
    }

    /// The same network under other conditions. What did not change is shared.
    pub fn next(&self, epoch: Epoch, conditions: Conditions) -> Self {
        self.followed(epoch, Arc::clone(&self.network), conditions, true)
    }

    /// Another network. As long as only clients and the ways to them are other ones, answers that are ready stay so.
    pub fn renew(&self, epoch: Epoch, network: Arc<Network>, conditions: Conditions) -> Self {
        let before = &*self.network;
        let same = before.services == network.services
            && before.sites == network.sites
            && before.servers == network.servers;
        if same {
            self.followed(epoch, network, conditions, false)
        } else {
            Self::new(epoch, network, conditions, self.referrals.names())
        }
    }

    /// With the same services, sites and servers; `same_clients`: and the same tables of clients, as far as conditions leave them.
    fn followed(
        &self,
        epoch: Epoch,
        network: Arc<Network>,
        conditions: Conditions,
        same_clients: bool,
    ) -> Self {
        let number = Number::next();
        let since = Since::new(number, &network, &conditions, Some((&self.since, &self.conditions)));
        let before = Before { routes: &self.routes, of_service: &self.of_service };
        let (routes, of_service) =
            routes::for_services(&network, &conditions, &since, same_clients.then_some(before));
        let referrals = same_clients.then_some(&self.referrals);
        let referrals = routes::Referrals::new(&network, &conditions, self.referrals.names(), referrals);
        let names = Arc::clone(&self.names);
        Self { epoch, number, network, conditions, names, since, routes, of_service, referrals }
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The routes of a service's answers of one family.
    pub fn routes(&self, service: ServiceId, family: Family) -> Option<&Routes> {
        let table = self.tables(service).into_iter().flatten().find(|table| table.has(family))?;
        Some(self.table(table.number))
    }

    fn tables(&self, service: ServiceId) -> [Option<Table>; 2] {
        self.of_service.get(service.0 as usize).copied().unwrap_or_default()
    }

    fn table(&self, number: u16) -> &Routes {
        &self.routes[usize::from(number)]
    }

    /// Low-level name servers near a resolver, one place for each name; a place may be empty.
    pub fn name_servers(&self, resolver: std::net::IpAddr) -> &[NameServer] {
        self.referrals.find(resolver)
    }
}
