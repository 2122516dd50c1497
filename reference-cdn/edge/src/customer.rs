//! Whose content a request is for: its host decides.

use std::collections::HashMap;
use std::sync::Arc;

use http_cache::Decisions;

use crate::config::{CustomerConfig, Host};
use crate::limits::{CustomerLimits, Load};
use crate::origin::Origins;

/// Longest host name that can be anybody's (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 255;

/// One customer: the rules for its content, and where that comes from.
#[derive(Debug)]
pub struct Customer {
    /// Part of every key: what is one customer's never answers for another, whatever the name or route.
    pub name: Arc<str>,
    pub decisions: Arc<dyn Decisions>,
    pub origin: Arc<Origins>,
    /// Which customer of this edge it is, counted from 0.
    pub number: u32,
    pub limits: CustomerLimits,
    pub load: Load,
}

impl Customer {
    /// The customer with this configuration and this number, its decisions made and its origin reached as given.
    pub fn new(
        config: &CustomerConfig,
        number: usize,
        decisions: Arc<dyn Decisions>,
        origin: Arc<Origins>,
    ) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX - 1);
        let (name, limits) = (config.name.as_str().into(), config.limits);
        Self { name, decisions, origin, number, limits, load: Load::default() }
    }
}

/// All customers of an edge, by host.
#[derive(Debug)]
pub struct Customers {
    all: Vec<Arc<Customer>>,
    exact: HashMap<String, Arc<Customer>>,
    /// By the domain that the host is under.
    under: HashMap<String, Arc<Customer>>,
    rest: Option<Arc<Customer>>,
}

impl Customers {
    /// `customers` with their configuration. Of two that claim one host the first has it.
    pub fn new(customers: impl IntoIterator<Item = (CustomerConfig, Arc<Customer>)>) -> Self {
        let mut new = Self { all: Vec::new(), exact: HashMap::new(), under: HashMap::new(), rest: None };
        for (config, customer) in customers {
            for host in config.hosts {
                match host {
                    Host::Any => _ = new.rest.get_or_insert_with(|| Arc::clone(&customer)),
                    Host::Exact(name) => {
                        new.exact.entry(name).or_insert_with(|| Arc::clone(&customer));
                    }
                    Host::Under(domain) => {
                        new.under.entry(domain).or_insert_with(|| Arc::clone(&customer));
                    }
                }
            }
            new.all.push(customer);
        }
        new
    }

    pub fn all(&self) -> &[Arc<Customer>] {
        &self.all
    }

    /// The customer to whom hosts belong that nobody claims.
    pub fn rest(&self) -> Option<&Arc<Customer>> {
        self.rest.as_ref()
    }

    /// The customer to whom a host (without port) belongs: the one that names it, else the one that names the nearest
    /// domain above it, else whoever has the rest.
    pub fn of(&self, host: &str) -> Option<&Arc<Customer>> {
        let mut lower = [0; LONGEST_HOST];
        let named = !self.exact.is_empty() || !self.under.is_empty();
        let lower = lower.get_mut(..host.len()).filter(|_| named).and_then(|lower| {
            lower.copy_from_slice(host.as_bytes());
            lower.make_ascii_lowercase();
            std::str::from_utf8(lower).ok()
        });
        let Some(host) = lower else { return self.rest() };
        // "www.example.com." is the same name, written with the root's dot.
        let host = host.strip_suffix('.').unwrap_or(host);
        if let Some(customer) = self.exact.get(host) {
            return Some(customer);
        }
        let mut domain = host;
        while let Some((_, above)) = domain.split_once('.') {
            if let Some(customer) = self.under.get(above) {
                return Some(customer);
            }
            domain = above;
        }
        self.rest()
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Authority;
    use http_cache::{Settings, Standard};

    use super::*;
    use crate::clock::Clock;
    use crate::origin::{OriginConfig, OriginGroupConfig, SystemAuthorities};

    fn customers(given: &[(&str, &[Host])]) -> Customers {
        Customers::new(given.iter().map(|(name, hosts)| {
            let origin = OriginConfig::new(Authority::from_static("origin.test"));
            let mut config = CustomerConfig::new(OriginGroupConfig::new(origin));
            config.name = (*name).to_owned();
            config.hosts = hosts.to_vec();
            let (clock, mut system) = (Clock::system(), SystemAuthorities::default());
            let origin = Origins::new(name, config.origin.clone(), clock, 0, &mut system);
            let decisions = Arc::new(Standard::new(Settings::default()));
            let customer = Customer::new(&config, 0, decisions, origin.expect("an origin"));
            (config, Arc::new(customer))
        }))
    }

    #[test]
    fn the_nearest_name_decides() {
        let exact = |name: &str| Host::Exact(name.to_owned());
        let under = |name: &str| Host::Under(name.to_owned());
        let some = [
            ("one", &[exact("a.test"), under("a.test")][..]),
            ("two", &[exact("www.a.test"), under("deep.a.test"), exact("[::1]")]),
        ];
        let closed = customers(&some);
        let open = customers(&[some[0], some[1], ("rest", &[Host::Any])]);
        for (host, expected) in [
            ("a.test", Some("one")),
            ("A.TEST", Some("one")),
            ("a.test.", Some("one")),
            ("x.a.test", Some("one")),
            ("www.a.test", Some("two")),
            ("WWW.a.Test", Some("two")),
            ("x.www.a.test", Some("one")),
            ("deep.a.test", Some("one")),
            ("x.y.deep.a.test", Some("two")),
            ("[::1]", Some("two")),
            ("ba.test", None),
            ("test", None),
            ("", None),
            (&"a".repeat(300), None),
        ] {
            let name = |customers: &Customers| customers.of(host).map(|it| it.name.to_string());
            assert_eq!(name(&closed).as_deref(), expected, "{host}");
            assert_eq!(name(&open).as_deref(), Some(expected.unwrap_or("rest")), "{host}");
        }
    }
}
