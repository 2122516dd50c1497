//! The tables `[[customer]]`: what they set, and what makes a customer of it.

use edge::{CustomerConfig, CustomerLimits, Host, OriginConfig, Rate};
use http::uri::Authority;
use http_cache::{ClientDirectives, Settings};

use super::value::Wrong;

/// What has been set of one customer. `None`: as the edge has it.
#[derive(Clone, Debug, Default)]
pub struct CustomerDraft {
    pub name: Option<String>,
    pub hosts: Vec<Host>,
    pub client_directives: Option<ClientDirectives>,
    pub keep_host: Option<bool>,
    pub origins: Vec<OriginDraft>,
    pub client_rate: Option<u32>,
    pub client_burst: Option<u32>,
    pub rate: Option<u32>,
    pub burst: Option<u32>,
    pub in_flight: Option<u32>,
}

/// What has been set of one of its origins.
#[derive(Clone, Debug, Default)]
pub struct OriginDraft {
    pub url: Option<Authority>,
}

impl CustomerDraft {
    /// The customer, with the edge's settings where it has none of its own. What is wrong comes with the path, within
    /// the customer's table, of the field that it is about.
    pub fn finish(
        self,
        settings: &Settings,
        origin: &OriginConfig,
        limits: CustomerLimits,
    ) -> Result<CustomerConfig, Vec<(&'static str, Wrong)>> {
        let mut wrongs = Vec::new();
        let mut wrong = |path, message: &str, hint: &str| wrongs.push((path, Wrong::new(message).hint(hint)));
        let limits = CustomerLimits {
            client_rate: rate(limits.client_rate, self.client_rate, self.client_burst),
            rate: rate(limits.rate, self.rate, self.burst),
            in_flight: self.in_flight.unwrap_or(limits.in_flight),
        };
        let Self { name, hosts, client_directives, keep_host, origins, client_burst, burst, .. } = self;
        if name.is_none() {
            wrong("name", "this customer has no name", "give it one: `name = \"...\"`");
        }
        if hosts.is_empty() {
            wrong(
                "hosts",
                "this customer has no hosts",
                "say which are its: `hosts = [\"www.example.com\"]`",
            );
        }
        let mut url = None;
        match origins.as_slice() {
            [] => wrong(
                "origin",
                "this customer has no origin",
                "say where its content comes from: `url = \"http://host:port\"` under [[customer.origin]]",
            ),
            [one] => {
                url = one.url.clone();
                if url.is_none() {
                    wrong("origin[0].url", "this origin has no url", "write `url = \"http://host:port\"`");
                }
            }
            _ => wrong("origin", "a customer has one origin", "remove the others"),
        }
        // One that the edge has is told there.
        for (burst, rate, given, own) in [
            ("client-burst", "client-rate", limits.client_rate, client_burst),
            ("burst", "rate", limits.rate, burst),
        ] {
            if own.is_some() && given.has_idle_burst() {
                let message = format!("a burst of {} requests without a rate limits nothing", given.burst);
                wrong(burst, &message, &format!("set `{rate}` as well"));
            }
        }
        let (Some(name), Some(url), true) = (name, url, wrongs.is_empty()) else { return Err(wrongs) };
        let mut settings = settings.clone();
        settings.client_directives = client_directives.unwrap_or(settings.client_directives);
        let mut origin = origin.clone();
        origin.authority = url;
        origin.keep_host = keep_host.unwrap_or(origin.keep_host);
        Ok(CustomerConfig { name, hosts, settings, origin, limits })
    }
}

/// A customer's own rate comes with its own burst: the edge's was chosen for another rate.
fn rate(edge: Rate, per_second: Option<u32>, burst: Option<u32>) -> Rate {
    Rate {
        per_second: per_second.unwrap_or(edge.per_second),
        burst: burst.unwrap_or(if per_second.is_some() { 0 } else { edge.burst }),
    }
}
