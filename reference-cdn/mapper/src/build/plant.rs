//! What an operator says there is: sites, servers and services by name, before they get their positions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::problem::{BadInput, MOST_PROBLEMS, nearest};
use super::services::ServicePlan;
use crate::network::{MOST_FEATURES, NameServer};

/// Most sites and servers of one network: bounds memory against a file that repeats itself.
pub const MOST_SITES: usize = 65_536;
pub const MOST_SERVERS: usize = 4_000_000;
/// Most name servers of one site.
pub const MOST_NAME_SERVERS: usize = 16;
/// The largest capacity: keeps sums over all servers within 64 bits by far.
pub const MOST_CAPACITY: u32 = 1_000_000;
/// The longest name of a site, server, rack, domain or feature, in octets.
pub const LONGEST_NAME: usize = 100;

/// Where something was said, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Position in [`Plant::files`].
    pub file: u16,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SitePlan {
    pub name: String,
    /// What fails together with it; its own name if nothing was said.
    pub domain: Option<String>,
    /// Degrees north and east; `None` if unknown.
    pub place: Option<(f32, f32)>,
    pub asn: u32,
    pub bandwidth: u32,
    pub name_servers: Vec<NameServer>,
    pub said: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    pub name: String,
    pub site: String,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    pub capacity: u32,
    pub rack: Option<String>,
    pub features: Vec<String>,
    pub said: Origin,
}

/// All of it, checked: names are unique, what is referred to is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plant {
    pub files: Vec<String>,
    /// Sorted by name.
    pub sites: Vec<SitePlan>,
    /// Sorted by site and name.
    pub servers: Vec<ServerPlan>,
    /// Sorted by name.
    pub services: Vec<ServicePlan>,
    /// Sorted; bit `n` of a server's features is the `n`th.
    pub features: Vec<String>,
}

impl Plant {
    fn at(&self, said: &Origin, what: String) -> BadInput {
        let file = self.files.get(usize::from(said.file)).map_or("the network", String::as_str);
        BadInput::new(file, what).line(u64::from(said.line))
    }

    /// Sorts and checks what was read, whatever files it came from.
    ///
    /// # Errors
    /// All that is wrong, up to [`MOST_PROBLEMS`].
    pub fn checked(mut self) -> Result<Self, Vec<BadInput>> {
        let mut problems = Vec::new();
        self.sites.sort_by(|a, b| a.name.cmp(&b.name));
        self.servers.sort_by(|a, b| (&a.site, &a.name).cmp(&(&b.site, &b.name)));
        self.services.sort_by(|a, b| a.name.cmp(&b.name));
        let network = self.files.first().map_or("the network", String::as_str).to_owned();
        let network = network.as_str();
        for (count, most, what) in [
            (self.sites.len(), MOST_SITES, "sites"),
            (self.servers.len(), MOST_SERVERS, "servers"),
            (self.services.len(), super::services::MOST_SERVICES, "services"),
        ] {
            if count == 0 {
                problems.push(
                    BadInput::new(network, format!("there are no {what}")).hint("a map needs at least one"),
                );
            } else if count > most {
                problems.push(BadInput::new(network, format!("{count} {what}, of at most {most}")));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.check_names(&mut problems);
        self.check_servers(&mut problems);
        super::services::check(&self, &mut problems);
        self.take_features(&mut problems);
        if problems.is_empty() {
            return Ok(self);
        }
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        problems.truncate(MOST_PROBLEMS);
        if more > 0 {
            problems.push(BadInput::new(network, format!("and {more} more problems")));
        }
        Err(problems)
    }

    fn check_names(&self, problems: &mut Vec<BadInput>) {
        for pair in self.sites.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            problems.push(self.twice("site", &pair[0].name, &pair[0].said, &pair[1].said));
        }
        for pair in self.services.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            problems.push(self.twice("service", &pair[0].name, &pair[0].said, &pair[1].said));
        }
        let mut keys: Vec<(u64, u32)> = self
            .servers
            .iter()
            .zip(0..)
            .map(|(server, at)| (super::keys::of_name(&server.name), at))
            .collect();
        keys.sort_unstable();
        for pair in keys.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let [first, second] = [pair[0].1, pair[1].1].map(|at| &self.servers[at as usize]);
            problems.push(if first.name == second.name {
                self.twice("server", &first.name, &first.said, &second.said)
            } else {
                let what = format!("servers \"{}\" and \"{}\" have the same hash", first.name, second.name);
                self.at(&second.said, what).hint("rename one of them; placement of content goes by that hash")
            });
        }
    }

    fn twice(&self, kind: &str, name: &str, first: &Origin, second: &Origin) -> BadInput {
        let (first, second) = if (first.file, first.line) <= (second.file, second.line) {
            (first, second)
        } else {
            (second, first)
        };
        let file = self.files.get(usize::from(first.file)).map_or("", String::as_str);
        self.at(second, format!("{kind} \"{name}\" is there twice"))
            .key("name")
            .hint(format!("the other is at {file}:{}", first.line))
    }

    fn check_servers(&self, problems: &mut Vec<BadInput>) {
        let sites: HashMap<&str, usize> =
            self.sites.iter().enumerate().map(|(at, site)| (site.name.as_str(), at)).collect();
        let mut v4: Vec<(Ipv4Addr, u32)> = Vec::new();
        let mut v6: Vec<(Ipv6Addr, u32)> = Vec::new();
        for (server, at) in self.servers.iter().zip(0_u32..) {
            if !sites.contains_key(server.site.as_str()) {
                let bad = self.at(
                    &server.said,
                    format!("server \"{}\" is at site \"{}\", which there is not", server.name, server.site),
                );
                let near = nearest(&server.site, sites.keys().copied());
                problems.push(bad.key("site").hint(near.map_or_else(
                    || "add the site, or correct the name".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                )));
            }
            v4.extend(server.v4.map(|address| (address, at)));
            v6.extend(server.v6.map(|address| (address, at)));
            if problems.len() > MOST_PROBLEMS {
                return;
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        let doubles4 =
            v4.windows(2).filter(|p| p[0].0 == p[1].0).map(|p| (p[0].0.to_string(), p[0].1, p[1].1));
        let doubles6 =
            v6.windows(2).filter(|p| p[0].0 == p[1].0).map(|p| (p[0].0.to_string(), p[0].1, p[1].1));
        for (address, first, second) in doubles4.chain(doubles6).take(MOST_PROBLEMS) {
            let [first, second] = [first, second].map(|at| &self.servers[at as usize]);
            let what =
                format!("servers \"{}\" and \"{}\" have the same address {address}", first.name, second.name);
            problems.push(
                self.at(&second.said, what)
                    .hint("each server needs an address of its own, or a failed one cannot be left out"),
            );
        }
    }

    fn take_features(&mut self, problems: &mut Vec<BadInput>) {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for server in &self.servers {
            names.extend(server.features.iter().map(String::as_str));
        }
        for service in &self.services {
            for need in &service.needs {
                if !names.contains(need.as_str()) {
                    let bad = self.at(
                        &service.said,
                        format!("service \"{}\" needs \"{need}\", which no server offers", service.name),
                    );
                    let near = nearest(need, names.iter().copied());
                    problems.push(bad.key("needs").hint(near.map_or_else(
                        || "list it under the features of a server".to_owned(),
                        |near| format!("did you mean \"{near}\"?"),
                    )));
                }
            }
        }
        if names.len() > MOST_FEATURES {
            let file = self.files.first().map_or("the network", String::as_str);
            problems.push(
                BadInput::new(
                    file,
                    format!("{} different features, of at most {MOST_FEATURES}", names.len()),
                )
                .key("features"),
            );
        }
        self.features = names.into_iter().map(str::to_owned).collect();
    }

    /// The number of each failure domain: 0 and up, by name.
    pub fn domains(&self) -> BTreeMap<&str, u32> {
        let names: BTreeSet<&str> = self.sites.iter().map(SitePlan::domain).collect();
        names.into_iter().zip(0..).collect()
    }
}

impl SitePlan {
    pub fn domain(&self) -> &str {
        self.domain.as_deref().unwrap_or(&self.name)
    }
}

/// # Errors
/// Why it is no name.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("has {} octets, of at most {LONGEST_NAME}", name.len()));
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '+')))
    {
        Some(odd) => Err(format!("holds {odd:?}; letters, digits and . - _ : / + may be used")),
        None => Ok(()),
    }
}

/// # Errors
/// What is wrong with the coordinates.
pub fn check_place(latitude: Option<f64>, longitude: Option<f64>) -> Result<Option<(f32, f32)>, String> {
    match (latitude, longitude) {
        (None, None) => Ok(None),
        (Some(north), Some(east)) if (-90.0..=90.0).contains(&north) && (-180.0..=180.0).contains(&east) => {
            Ok(Some((north as f32, east as f32)))
        }
        (Some(_), Some(_)) => {
            Err("latitude is from -90 to 90 degrees north, longitude from -180 to 180 degrees east".into())
        }
        _ => Err("latitude and longitude go together".into()),
    }
}

/// # Errors
/// What is wrong with the capacity.
pub fn check_capacity(capacity: Option<u64>) -> Result<u32, String> {
    let capacity = capacity.unwrap_or(1);
    u32::try_from(capacity)
        .ok()
        .filter(|capacity| (1..=MOST_CAPACITY).contains(capacity))
        .ok_or_else(|| format!("is {capacity}; from 1 to {MOST_CAPACITY}, in a unit of your choice"))
}

/// One address of each family at most.
///
/// # Errors
/// What is wrong with them.
pub fn check_addresses<'a>(
    addresses: impl IntoIterator<Item = &'a str>,
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), String> {
    let (mut v4, mut v6) = (None, None);
    for text in addresses {
        let before = match text.parse() {
            Ok(std::net::IpAddr::V4(address)) if usable(address.into()) => v4.replace(address).is_some(),
            Ok(std::net::IpAddr::V6(address)) if usable(address.into()) => v6.replace(address).is_some(),
            Ok(_) => return Err(format!("{text} is no address of one server")),
            Err(_) => return Err(format!("{text:?} is not an address")),
        };
        if before {
            return Err("more than one address of a family".into());
        }
    }
    if v4.is_none() && v6.is_none() { Err("no address".into()) } else { Ok((v4, v6)) }
}

fn usable(address: std::net::IpAddr) -> bool {
    let broadcast = matches!(address, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}
