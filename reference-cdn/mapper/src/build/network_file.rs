//! `network.toml`: sites, servers and services of a network that a person can write by hand. INPUTS.md has the format.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::plant::{
    Origin, Plant, ServerPlan, SitePlan, check_addresses, check_capacity, check_name, check_place,
};
use super::problem::{BadInput, MOST_PROBLEMS, line_of};
use super::services::{
    FallbackPlan, MOST_HOSTS, ServicePlan, check_alias, check_host, check_numbers, expand, svc_params,
};
use crate::network::{NameServer, Order};

/// Longest file: a hundred thousand servers written by hand are more than anybody reads; CSV and JSON Lines are for those.
pub const LONGEST_FILE: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    #[serde(default)]
    site: Vec<RawSite>,
    #[serde(default)]
    server: Vec<RawServer>,
    #[serde(default)]
    service: Vec<RawService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSite {
    name: Spanned<String>,
    domain: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    #[serde(default)]
    asn: u32,
    #[serde(default)]
    bandwidth: u32,
    #[serde(default)]
    name_servers: Vec<RawNameServer>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawNameServer {
    One(String),
    Both { v4: Option<String>, v6: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawServer {
    name: Spanned<String>,
    site: String,
    addresses: Vec<String>,
    capacity: Option<u64>,
    rack: Option<String>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawService {
    name: Spanned<String>,
    hosts: Vec<String>,
    #[serde(default)]
    needs: Vec<String>,
    copies: Option<u64>,
    near: Option<u64>,
    elsewhere: Option<u64>,
    ttl: Option<u64>,
    order: Option<RawOrder>,
    fallback: Option<RawFallback>,
    https: Option<RawHttps>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawOrder {
    Fixed,
    Rotated,
    Random,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawFallback {
    LastKnown,
    Site(String),
    Alias(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawHttps {
    #[serde(default)]
    alpn: Vec<String>,
    #[serde(default)]
    no_default_alpn: bool,
    port: Option<u16>,
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    number: u16,
    problems: Vec<BadInput>,
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> u32 {
        u32::try_from(line_of(self.text, span.start)).unwrap_or(u32::MAX)
    }

    fn bad(&mut self, line: u32, key: &str, what: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(BadInput::new(self.file, what).line(u64::from(line)).key(key));
        }
    }

    fn or<T>(&mut self, line: u32, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.bad(line, key, what)).ok()
    }

    fn site(&mut self, raw: RawSite) -> Option<SitePlan> {
        let line = self.line(&raw.name.span());
        let name = raw.name.into_inner();
        self.or(line, "site.name", check_name(&name))?;
        if let Some(domain) = &raw.domain {
            self.or(line, "site.domain", check_name(domain))?;
        }
        let place = self.or(line, "site.latitude", check_place(raw.latitude, raw.longitude))?;
        let mut name_servers = Vec::new();
        if raw.name_servers.len() > super::plant::MOST_NAME_SERVERS {
            let most = super::plant::MOST_NAME_SERVERS;
            self.bad(
                line,
                "site.name-servers",
                format!("lists {}, of at most {most}", raw.name_servers.len()),
            );
            return None;
        }
        for server in raw.name_servers {
            let addresses = match &server {
                RawNameServer::One(address) => check_addresses([address.as_str()]),
                RawNameServer::Both { v4, v6 } => check_addresses(v4.iter().chain(v6).map(String::as_str)),
            };
            let (v4, v6) = self.or(line, "site.name-servers", addresses)?;
            name_servers.push(NameServer { v4, v6 });
        }
        let said = Origin { file: self.number, line };
        Some(SitePlan {
            name,
            domain: raw.domain,
            place,
            asn: raw.asn,
            bandwidth: raw.bandwidth,
            name_servers,
            said,
        })
    }

    fn server(&mut self, raw: RawServer) -> Option<ServerPlan> {
        let line = self.line(&raw.name.span());
        let name = raw.name.into_inner();
        self.or(line, "server.name", check_name(&name))?;
        for feature in &raw.features {
            self.or(line, "server.features", check_name(feature))?;
        }
        if let Some(rack) = &raw.rack {
            self.or(line, "server.rack", check_name(rack))?;
        }
        let (v4, v6) =
            self.or(line, "server.addresses", check_addresses(raw.addresses.iter().map(String::as_str)))?;
        let capacity = self.or(line, "server.capacity", check_capacity(raw.capacity))?;
        let said = Origin { file: self.number, line };
        Some(ServerPlan {
            name,
            site: raw.site,
            v4,
            v6,
            capacity,
            rack: raw.rack,
            features: raw.features,
            said,
        })
    }

    fn service(&mut self, raw: RawService, hosts_left: &mut usize) -> Option<ServicePlan> {
        let line = self.line(&raw.name.span());
        let name = raw.name.into_inner();
        self.or(line, "service.name", check_name(&name))?;
        let mut hosts = Vec::new();
        for pattern in &raw.hosts {
            let names = self.or(
                line,
                "service.hosts",
                expand(pattern, *hosts_left).map_err(|what| format!("\"{pattern}\" {what}")),
            )?;
            *hosts_left = hosts_left.saturating_sub(names.len());
            for host in names {
                self.or(
                    line,
                    "service.hosts",
                    check_host(&host).map_err(|what| format!("\"{host}\" {what}")),
                )?;
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            self.bad(line, "service.hosts", "lists no host");
            return None;
        }
        hosts.sort_unstable();
        hosts.dedup();
        let numbers = check_numbers(
            raw.copies.unwrap_or(1),
            raw.near.unwrap_or(2),
            raw.elsewhere.unwrap_or(0),
            raw.ttl.unwrap_or(20),
        );
        let (copies, near, elsewhere, ttl) =
            numbers.map_err(|(key, what)| self.bad(line, &format!("service.{key}"), what)).ok()?;
        let fallback = match raw.fallback {
            None | Some(RawFallback::LastKnown) => FallbackPlan::LastKnown,
            Some(RawFallback::Site(site)) => FallbackPlan::Site(site),
            Some(RawFallback::Alias(alias)) => {
                self.or(
                    line,
                    "service.fallback",
                    check_alias(&alias).map_err(|what| format!("alias \"{alias}\" {what}")),
                )?;
                FallbackPlan::Alias(alias)
            }
        };
        let https = match raw.https {
            None => None,
            Some(raw) => {
                Some(self.or(line, "service.https", svc_params(&raw.alpn, raw.no_default_alpn, raw.port))?)
            }
        };
        let order = match raw.order.unwrap_or(RawOrder::Rotated) {
            RawOrder::Fixed => Order::Fixed,
            RawOrder::Rotated => Order::Rotated,
            RawOrder::Random => Order::Random,
        };
        let said = Origin { file: self.number, line };
        Some(ServicePlan {
            name,
            hosts,
            needs: raw.needs,
            copies,
            near,
            elsewhere,
            ttl,
            order,
            fallback,
            https,
            said,
        })
    }
}

/// Adds what a `network.toml` says.
///
/// # Errors
/// All that is wrong with it, up to [`MOST_PROBLEMS`].
pub fn read(file: &str, text: &str, plant: &mut Plant) -> Result<(), Vec<BadInput>> {
    if text.len() > LONGEST_FILE {
        let what = format!("has {} octets, of at most {LONGEST_FILE}", text.len());
        return Err(vec![BadInput::new(file, what).hint("write large networks as CSV or JSON Lines")]);
    }
    let raw: RawFile = toml::from_str(text).map_err(|error| vec![BadInput::of_toml(file, text, &error)])?;
    let number = u16::try_from(plant.files.len()).unwrap_or(u16::MAX);
    plant.files.push(file.to_owned());
    let mut reader = Reader { file, text, number, problems: Vec::new() };
    let mut hosts_left = MOST_HOSTS;
    for site in raw.site {
        plant.sites.extend(reader.site(site));
    }
    for server in raw.server {
        plant.servers.extend(reader.server(server));
    }
    for service in raw.service {
        plant.services.extend(reader.service(service, &mut hosts_left));
    }
    if reader.problems.is_empty() { Ok(()) } else { Err(reader.problems) }
}
