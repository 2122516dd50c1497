//! What is played: a file in TOML.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::build::BadInput;
use crate::build::problem::{line_of, nearest};
use crate::conditions::Rules;
use crate::network::{Network, ServerId};

/// Most requests per second, and how many times as many a surge may bring: sums stay within 64 bits.
const MOST_REQUESTS: u64 = 1_000_000_000;
const MOST_FACTOR: u64 = 10_000;

/// Most of everything that a scenario may have, so that it ends.
const MOST_SECONDS: u64 = 86_400;
const MOST_PAIRS: usize = 5_000_000;
/// Names that a misspelt one is compared with at most.
const MOST_COMPARED: usize = 10_000;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    seconds: Spanned<u64>,
    #[serde(default)]
    seed: u64,
    requests: Spanned<u64>,
    #[serde(default = "one_thousand")]
    zipf: u64,
    requests_of_capacity: Spanned<u64>,
    /// How many resolvers, over the prefixes of the network.
    resolvers: Spanned<usize>,
    #[serde(default = "yes")]
    names_in_reports: bool,
    rules: Option<Spanned<Rules>>,
    #[serde(default)]
    event: Vec<Spanned<Event>>,
}

fn one_thousand() -> u64 {
    1000
}

fn yes() -> bool {
    true
}

impl Scenario {
    /// Reads a scenario that is played on a network; `file` is where its text is.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line and what to do.
    pub fn read(file: &str, text: &str, network: Network) -> Result<Self, Vec<BadInput>> {
        let raw: Raw = toml::from_str(text).map_err(|error| vec![BadInput::of_toml(file, text, &error)])?;
        let names: Vec<String> = network
            .services
            .iter()
            .flat_map(|service| &service.hosts)
            .filter(|host| !host.contains('*'))
            .cloned()
            .collect();
        let wrong = raw.check(file, text, &network, &names);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let (resolvers_count, seed) = (raw.resolvers.into_inner(), raw.seed);
        let mut scenario = Self {
            rules: raw.rules.map(Spanned::into_inner).unwrap_or_default(),
            seconds: raw.seconds.into_inner(),
            seed,
            requests: raw.requests.into_inner(),
            zipf: raw.zipf,
            requests_of_capacity: raw.requests_of_capacity.into_inner(),
            resolvers: resolvers(&network, resolvers_count, seed),
            names_in_reports: raw.names_in_reports,
            events: raw.event.into_iter().map(Spanned::into_inner).collect(),
            shares: shares(names.len(), raw.zipf),
            names,
            network,
        };
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

impl Raw {
    /// What cannot be played of it.
    fn check(&self, file: &str, text: &str, network: &Network, names: &[String]) -> Vec<BadInput> {
        let mut wrong = Vec::new();
        let mut say = |span: Range<usize>, key: &str, what: String, hint: &str| {
            let bad = BadInput::new(file, what).line(line_of(text, span.start)).key(key);
            wrong.push(bad.hint(hint));
        };
        if let Some(rules) = &self.rules
            && let Err(error) = rules.get_ref().check()
        {
            say(rules.span(), "rules", error.to_string(), "what is not said has its usual value");
        }
        let seconds = *self.seconds.get_ref();
        if !(1..=MOST_SECONDS).contains(&seconds) {
            let hint = format!("give it 1 to {MOST_SECONDS}");
            say(self.seconds.span(), "seconds", format!("{seconds} s cannot be played"), &hint);
        }
        let requests = *self.requests.get_ref();
        if requests > MOST_REQUESTS {
            let hint = format!("give it at most {MOST_REQUESTS}");
            say(self.requests.span(), "requests", format!("{requests} a second are too many"), &hint);
        }
        if *self.requests_of_capacity.get_ref() == 0 {
            let what = "a server must be able to carry something".to_owned();
            say(self.requests_of_capacity.span(), "requests-of-capacity", what, "give it 1 or more");
        }
        let resolvers = *self.resolvers.get_ref();
        if resolvers == 0 || resolvers.saturating_mul(names.len()) > MOST_PAIRS {
            let hint = format!("give it 1 to {}", MOST_PAIRS / names.len().max(1));
            let what = format!("{resolvers} resolvers for {} names", names.len());
            say(self.resolvers.span(), "resolvers", what, &hint);
        }
        for event in &self.event {
            let (span, event) = (event.span(), event.get_ref());
            if let What::Surge { factor, .. } = event.what
                && factor > MOST_FACTOR
            {
                say(
                    span.clone(),
                    "event",
                    format!("factor {factor} is too large"),
                    &format!("give it at most {MOST_FACTOR}"),
                );
            }
            if event.at >= seconds {
                let what = format!("it begins at second {}, and the scenario ends at {seconds}", event.at);
                say(span.clone(), "event", what, "let it begin earlier, or give the scenario more seconds");
            }
            for (what, hint) in event.what.unknown(network, names) {
                say(span.clone(), "event", what, &hint);
            }
        }
        if names.is_empty() {
            let hint = "name hosts of a service that are no wildcards: these are what is asked for";
            wrong.push(BadInput::new(file, "the network has no name to play with").hint(hint));
        }
        wrong
    }
}

impl What {
    /// What it names that the network does not have, and what to do.
    fn unknown(&self, network: &Network, names: &[String]) -> Vec<(String, String)> {
        let sites = || network.sites.iter().map(|site| site.name.as_str());
        let servers = || network.server_names.iter().map(String::as_str);
        let (names_of, site, server) = match self {
            Self::Surge { names, near, .. } => (Some(names), near.as_ref(), None),
            Self::ServerDown { server } => (None, None, Some(server)),
            Self::SiteDown { site } | Self::ReportsStop { site } => (None, Some(site), None),
            Self::ReportsLost { thousandths } if *thousandths > 1000 => {
                return vec![(
                    format!("{thousandths} of 1000 reports cannot be lost"),
                    "give it at most 1000".into(),
                )];
            }
            Self::ReportsLost { .. } => (None, None, None),
        };
        let mut unknown = Vec::new();
        if let Some(pattern) = names_of.filter(|pattern| !names.iter().any(|name| matches(pattern, name))) {
            let what = format!("no name of the network is \"{pattern}\"");
            unknown.push((what, meant(pattern, &mut names.iter().map(String::as_str))));
        }
        if let Some(site) = site.filter(|site| !sites().any(|known| known == *site)) {
            unknown.push((format!("no site of the network is \"{site}\""), meant(site, &mut sites())));
        }
        if let Some(server) = server.filter(|server| !servers().any(|known| known == *server)) {
            unknown
                .push((format!("no server of the network is \"{server}\""), meant(server, &mut servers())));
        }
        unknown
    }
}

/// A hint for a word that is not known.
fn meant(word: &str, known: &mut dyn Iterator<Item = &str>) -> String {
    // Of large networks not all are compared.
    let known: Vec<&str> = known.take(MOST_COMPARED).collect();
    match (nearest(word, known.iter().copied()), known.first()) {
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, Some(first)) => format!("there is, for example, \"{first}\""),
        (None, None) => "it has none".into(),
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
