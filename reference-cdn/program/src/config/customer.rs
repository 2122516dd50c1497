//! The tables `[[customer]]`: what they set, and what makes a customer of it.

use std::path::PathBuf;

use edge::{
    CustomerConfig, CustomerLimits, Host, MOST_ORIGINS, OriginConfig, OriginGroupConfig, OriginTls,
    ProbeConfig, Protocol, Rate, Role, TlsSetupError,
};
use http::StatusCode;
use http_cache::{ClientDirectives, Settings};

use super::value::{OriginUrl, Wrong};

/// What has been set of one customer. `None`: as the edge has it.
#[derive(Clone, Debug, Default)]
pub struct CustomerDraft {
    pub name: Option<String>,
    pub hosts: Vec<Host>,
    pub client_directives: Option<ClientDirectives>,
    pub keep_host: Option<bool>,
    pub probe_path: Option<String>,
    pub probe_host: Option<String>,
    pub failure_statuses: Option<Vec<StatusCode>>,
    pub origins: Vec<OriginDraft>,
    pub client_rate: Option<u32>,
    pub client_burst: Option<u32>,
    pub rate: Option<u32>,
    pub burst: Option<u32>,
    pub in_flight: Option<u32>,
}

/// What has been set of one of its origins, or of that of the section `[origin]`.
#[derive(Clone, Debug, Default)]
pub struct OriginDraft {
    pub url: Option<OriginUrl>,
    pub role: Option<Role>,
    pub weight: Option<u32>,
    pub protocol: Option<Protocol>,
    pub server_name: Option<String>,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl CustomerDraft {
    /// The customer, with the edge's settings where it has none of its own. What is wrong comes with the path, within
    /// the customer's table, of the field that it is about.
    pub fn finish(
        self,
        settings: &Settings,
        limits: CustomerLimits,
        group: &OriginGroupConfig,
        shared: &OriginDraft,
        probe: &ProbeConfig,
    ) -> Result<CustomerConfig, Vec<(String, Wrong)>> {
        let mut wrongs = Vec::new();
        let mut wrong = |path: &str, message: &str, hint: &str| {
            wrongs.push((path.to_owned(), Wrong::new(message).hint(hint)))
        };
        let limits = CustomerLimits {
            client_rate: rate(limits.client_rate, self.client_rate, self.client_burst),
            rate: rate(limits.rate, self.rate, self.burst),
            in_flight: self.in_flight.unwrap_or(limits.in_flight),
        };
        if self.name.is_none() {
            wrong("name", "this customer has no name", "give it one: `name = \"...\"`");
        }
        if self.hosts.is_empty() {
            wrong(
                "hosts",
                "this customer has no hosts",
                "say which are its: `hosts = [\"www.example.com\"]`",
            );
        }
        if self.origins.is_empty() {
            wrong(
                "origin",
                "this customer has no origin",
                "say where its content comes from: `url = \"http://host:port\"` under [[customer.origin]]",
            );
        }
        if self.origins.len() > MOST_ORIGINS {
            let message = format!("a customer has at most {MOST_ORIGINS} origins");
            wrong("origin", &message, "put some of them behind one address");
        }
        let mut origins = Vec::new();
        for (index, origin) in self.origins.into_iter().enumerate() {
            match origin.finish(shared) {
                Ok(origin) => origins.push(origin),
                Err(of_it) => {
                    wrongs
                        .extend(of_it.into_iter().map(|(path, it)| (format!("origin[{index}].{path}"), it)));
                }
            }
        }
        // One that the edge has is told there.
        for (burst, rate, given, own) in [
            ("client-burst", "client-rate", limits.client_rate, self.client_burst),
            ("burst", "rate", limits.rate, self.burst),
        ] {
            if own.is_some() && given.has_idle_burst() {
                let message = format!("a burst of {} requests without a rate limits nothing", given.burst);
                wrongs.push((burst.to_owned(), Wrong::new(message).hint(format!("set `{rate}` as well"))));
            }
        }
        let (Some(name), true) = (self.name, wrongs.is_empty()) else { return Err(wrongs) };
        let mut settings = settings.clone();
        settings.client_directives = self.client_directives.unwrap_or(settings.client_directives);
        let mut group = group.clone();
        group.origins = origins;
        group.keep_host = self.keep_host.unwrap_or(group.keep_host);
        group.retry.statuses = self.failure_statuses.unwrap_or(group.retry.statuses);
        if let Some(path) = self.probe_path {
            group.probe = Some(ProbeConfig { path, ..probe.clone() });
        }
        if let (Some(probe), Some(host)) = (&mut group.probe, self.probe_host) {
            probe.host = Some(host);
        }
        Ok(CustomerConfig { name, hosts: self.hosts, settings, origin: group, limits })
    }
}

/// A customer's own rate comes with its own burst: the edge's was chosen for another rate.
fn rate(edge: Rate, per_second: Option<u32>, burst: Option<u32>) -> Rate {
    Rate {
        per_second: per_second.unwrap_or(edge.per_second),
        burst: burst.unwrap_or(if per_second.is_some() { 0 } else { edge.burst }),
    }
}

impl OriginDraft {
    /// The origin; what it does not say of TLS and protocol, `shared` does. What is wrong comes with the field.
    pub fn finish(self, shared: &Self) -> Result<OriginConfig, Vec<(&'static str, Wrong)>> {
        let Some(OriginUrl { https, authority }) = self.url else {
            let wrong = Wrong::new("this origin has no url").hint("write `url = \"http://host:port\"`");
            return Err(vec![("url", wrong)]);
        };
        let mut wrongs = Vec::new();
        let own = [
            ("server-name", self.server_name.is_some()),
            ("ca", self.ca.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
        ];
        for (field, _) in own.iter().filter(|(_, given)| *given && !https) {
            let hint = "write its url with https, or remove the field";
            wrongs.push((*field, Wrong::new("this origin is asked in clear text").hint(hint)));
        }
        let (certificate, key) = match (self.certificate, self.key) {
            (None, None) => (shared.certificate.clone(), shared.key.clone()),
            own => own,
        };
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                wrongs.push((
                    "certificate",
                    Wrong::new("a certificate without its key").hint("set key as well"),
                ));
                None
            }
            (None, Some(_)) => {
                wrongs.push((
                    "key",
                    Wrong::new("a key without its certificate").hint("set certificate as well"),
                ));
                None
            }
        };
        let tls = OriginTls {
            server_name: self.server_name,
            ca: self.ca.or_else(|| shared.ca.clone()),
            certificate,
        };
        if https
            && wrongs.is_empty()
            && let Err(error) = tls.check()
        {
            let (field, hint) = about(&error, &tls);
            wrongs.push((field, Wrong::new(error.to_string()).hint(hint)));
        }
        if !wrongs.is_empty() {
            return Err(wrongs);
        }
        let mut origin = OriginConfig::new(authority);
        origin.tls = https.then_some(tls);
        origin.protocol = self.protocol.or(shared.protocol).unwrap_or_default();
        origin.role = self.role.unwrap_or_default();
        origin.weight = self.weight.unwrap_or(1);
        Ok(origin)
    }
}

/// The field that an error of TLS is about, and what to do.
fn about(error: &TlsSetupError, tls: &OriginTls) -> (&'static str, &'static str) {
    let readable = "give a PEM file that the edge can read";
    match error {
        TlsSetupError::Name(_) => {
            ("server-name", "a host name or an address, as it stands in the certificate")
        }
        TlsSetupError::File { path, .. } if tls.ca.as_ref() == Some(path) => ("ca", readable),
        TlsSetupError::File { path, .. } if tls.certificate.as_ref().is_some_and(|(_, key)| key == path) => {
            ("key", readable)
        }
        TlsSetupError::File { .. } => ("certificate", readable),
        TlsSetupError::Certificate { .. } => ("certificate", "give the key that belongs to the certificate"),
        TlsSetupError::NoAuthorities | TlsSetupError::Other(_) => {
            ("url", "give the authorities to trust: ca")
        }
    }
}
