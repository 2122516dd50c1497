//! What is played: a file in TOML.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use crate::conditions::Rules;
use crate::network::{Network, ServerId};

/// Most requests per second, and how many times as many a surge may bring: sums stay within 64 bits.
const MOST_REQUESTS: u64 = 1_000_000_000;
const MOST_FACTOR: u64 = 10_000;

/// Most of everything that a scenario may have, so that it ends.
const MOST_SECONDS: u64 = 86_400;
const MOST_PAIRS: usize = 5_000_000;

/// A network with its clients, and what happens to them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub network: Network,
    pub rules: Rules,
    pub seconds: u64,
    pub seed: u64,
    /// Names, most wanted first.
    pub names: Vec<String>,
    /// Requests per second for all names.
    pub requests: u64,
    /// How much less the next name is wanted: the exponent of Zipf's law in thousandths.
    pub zipf: u64,
    /// Requests per second that a server of capacity 1 can carry.
    pub requests_of_capacity: u64,
    /// Resolvers with the size of their crowd.
    pub resolvers: Vec<(IpAddr, u64)>,
    /// Whether load reports say which names cause the load.
    pub names_in_reports: bool,
    pub events: Vec<Event>,
    shares: Vec<u64>,
}

/// Something that happens, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// Second at which it begins.
    pub at: u64,
    /// For how many seconds; to the end if not given.
    #[serde(rename = "for")]
    pub lasts: Option<u64>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum What {
    /// Names that match (`*` in last place stands for anything) are wanted so many times as much.
    Surge {
        names: String,
        factor: u64,
        /// Only by clients whose nearest site is this one.
        near: Option<String>,
    },
    ServerDown {
        server: String,
    },
    SiteDown {
        site: String,
    },
    /// So many thousandths of all reports do not arrive.
    ReportsLost {
        thousandths: u64,
    },
    /// No report of a site arrives, though its servers are well.
    ReportsStop {
        site: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surge { names, factor, near: None } => write!(f, "{names} wanted {factor} times as much"),
            Self::Surge { names, factor, near: Some(site) } => {
                write!(f, "{names} wanted {factor} times as much near {site}")
            }
            Self::ServerDown { server } => write!(f, "server {server} down"),
            Self::SiteDown { site } => write!(f, "site {site} down"),
            Self::ReportsLost { thousandths } => write!(f, "{thousandths} of 1000 reports lost"),
            Self::ReportsStop { site } => write!(f, "no reports from site {site}"),
        }
    }
}

impl Event {
    pub fn is_on(&self, second: u64) -> bool {
        second >= self.at && self.lasts.is_none_or(|lasts| second < self.at.saturating_add(lasts))
    }
}

/// Whether a name is meant by a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(front) => name.starts_with(front),
        None => pattern == name,
    }
}

/// Why a scenario cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("{0}")]
    Toml(String),
    #[error("{key}: {why}")]
    Value { key: &'static str, why: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    seconds: u64,
    #[serde(default)]
    seed: u64,
    requests: u64,
    #[serde(default = "one_thousand")]
    zipf: u64,
    requests_of_capacity: u64,
    /// How many resolvers, over the prefixes of the network.
    resolvers: usize,
    #[serde(default = "yes")]
    names_in_reports: bool,
    #[serde(default)]
    rules: Rules,
    #[serde(default)]
    event: Vec<Event>,
}

fn one_thousand() -> u64 {
    1000
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// Reads a scenario that is played on a network.
    ///
    /// # Errors
    /// What is wrong with it, with its line or key.
    pub fn read(text: &str, network: Network) -> Result<Self, ScenarioError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ScenarioError::Toml(error.to_string()))?;
        let wrong = |key, why: String| ScenarioError::Value { key, why };
        raw.rules.check().map_err(|error| wrong("rules", error.to_string()))?;
        let names: Vec<String> = network
            .services
            .iter()
            .flat_map(|service| &service.hosts)
            .filter(|host| !host.contains('*'))
            .cloned()
            .collect();
        if !(1..=MOST_SECONDS).contains(&raw.seconds) {
            return Err(wrong("seconds", format!("{} is not between 1 and {MOST_SECONDS}", raw.seconds)));
        }
        if raw.requests > MOST_REQUESTS {
            return Err(wrong("requests", format!("{} a second; at most {MOST_REQUESTS}", raw.requests)));
        }
        if raw.requests_of_capacity == 0 {
            return Err(wrong("requests-of-capacity", "a server must be able to carry something".into()));
        }
        if names.is_empty() {
            return Err(wrong("network", "none of its services has a name without a wildcard".into()));
        }
        if raw.resolvers == 0 || raw.resolvers.saturating_mul(names.len()) > MOST_PAIRS {
            let most = MOST_PAIRS / names.len();
            let why = format!("{} resolvers for {} names: give it 1 to {most}", raw.resolvers, names.len());
            return Err(wrong("resolvers", why));
        }
        let mut scenario = Self {
            rules: raw.rules,
            seconds: raw.seconds,
            seed: raw.seed,
            requests: raw.requests,
            zipf: raw.zipf,
            requests_of_capacity: raw.requests_of_capacity,
            resolvers: resolvers(&network, raw.resolvers, raw.seed),
            names_in_reports: raw.names_in_reports,
            events: raw.event,
            shares: shares(names.len(), raw.zipf),
            names,
            network,
        };
        for event in &scenario.events {
            if let What::Surge { factor, .. } = event.what
                && factor > MOST_FACTOR
            {
                return Err(wrong(
                    "event",
                    format!("at {}: factor {factor}; at most {MOST_FACTOR}", event.at),
                ));
            }
            let known = match &event.what {
                What::Surge { names, near, .. } => {
                    let is = |site: &String| scenario.network.sites.iter().any(|known| known.name == *site);
                    scenario.names.iter().any(|name| matches(names, name)) && near.as_ref().is_none_or(is)
                }
                What::ServerDown { server } => scenario.servers_named(server).next().is_some(),
                What::SiteDown { site } | What::ReportsStop { site } => {
                    scenario.network.sites.iter().any(|known| known.name == *site)
                }
                What::ReportsLost { thousandths } => *thousandths <= 1000,
            };
            if !known {
                return Err(wrong(
                    "event",
                    format!("at {}: \"{}\" names nothing of the network", event.at, event.what),
                ));
            }
        }
        scenario.events.sort_by_key(|event| event.at);
        Ok(scenario)
    }

    /// Requests per second for a name without any event.
    pub fn demand(&self, name: usize) -> u64 {
        self.requests * self.shares[name] / 1_000_000
    }

    pub fn servers_named<'a>(&'a self, server: &'a str) -> impl Iterator<Item = ServerId> + 'a {
        let names = self.network.server_names.iter().zip(0..);
        names.filter(move |(name, _)| *name == server).map(|(_, at)| ServerId(at))
    }

    pub fn servers_at<'a>(&'a self, site: &'a str) -> impl Iterator<Item = ServerId> + 'a {
        let sites = self.network.sites.iter().filter(move |known| known.name == site);
        sites.flat_map(|site| site.servers.clone().map(ServerId))
    }
}

/// Zipf's law: each name's share in parts of a million.
fn shares(names: usize, exponent: u64) -> Vec<u64> {
    let weight = |rank: usize| 1.0 / ((rank + 1) as f64).powf(exponent as f64 / 1000.0);
    let all: f64 = (0..names).map(weight).sum();
    (0..names).map(|rank| (weight(rank) / all * 1e6) as u64).collect()
}

/// Resolvers over the units' prefixes, large and small crowds.
fn resolvers(network: &Network, count: usize, seed: u64) -> Vec<(IpAddr, u64)> {
    let prefixes = &network.prefixes.v4;
    let mut random = super::Random(seed ^ 1);
    (0..count)
        .map(|number| {
            // Evenly over the prefixes, so that few resolvers do for many prefixes.
            let at = if prefixes.is_empty() { 0 } else { number * prefixes.len() / count };
            let start = prefixes.get(at).map_or(0, |(start, _)| *start);
            let weight = 1 + 100 / (1 + random.next() % 50);
            (IpAddr::V4(start.saturating_add(1).into()), weight)
        })
        .collect()
}
