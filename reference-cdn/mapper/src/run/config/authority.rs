//! What the authorities of all threads go by: zones with their keys, cookies, limits.

use std::sync::Arc;

use super::parts::{Cookies, RoleName, ZonePlan};
use super::{Config, ConfigError};
use crate::authority::cookies::Secrets;
use crate::authority::dnssec::{Signer, keys};
use crate::authority::load::{self, LoadError, Plan};
use crate::authority::rates::Rates;
use crate::authority::zone::{Zone, Zones};
use crate::authority::{Settings as AuthoritySettings, WithoutCookie};

/// How long signatures are valid if the configuration does not say.
const SIGNATURE_DAYS: u64 = 7;
/// Lifetime of DNSKEY records in seconds.
const KEYS_TTL: u32 = 3600;

impl Config {
    /// Reads the zone files.
    ///
    /// # Errors
    /// What is wrong with each that cannot be served.
    pub fn zones(&self) -> Result<Zones, ConfigError> {
        let mut wrong = Vec::new();
        let mut zones: Vec<Arc<Zone>> = Vec::new();
        for (number, zone) in self.zones.iter().enumerate() {
            let plan = match zone.role {
                RoleName::Static => Plan::Static,
                RoleName::Low => Plan::Low,
                RoleName::Top => Plan::Top {
                    cut: zone.cut.clone().unwrap_or_default(),
                    names: zone.name_servers.clone().unwrap_or_else(|| load::name_servers_of(&zone.apex)),
                    ttl: zone.lifetime.unwrap_or(1800),
                },
            };
            match load::load(&self.at(&zone.file), &zone.apex, &plan) {
                Ok(loaded) => match self.signed(loaded, zone) {
                    Ok(loaded) => zones.push(Arc::new(loaded)),
                    Err(error) => wrong.push(error),
                },
                // Of what the configuration says, its line; files say theirs.
                Err(error @ LoadError::Zone { key, .. }) => {
                    wrong.push(self.told(&format!("zone.{number}.{key}"), &error.to_string()));
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        if wrong.is_empty() { Ok(Zones::new(zones)) } else { Err(ConfigError(wrong)) }
    }

    fn signed(&self, zone: Zone, plan: &ZonePlan) -> Result<Zone, String> {
        let Some(folder) = &plan.keys else { return Ok(zone) };
        let keys = keys::load(&self.at(folder), &zone.apex).map_err(|error| error.to_string())?;
        let validity = plan.signature_days.unwrap_or(SIGNATURE_DAYS).clamp(1, 365) * 86_400;
        let signer = Signer::new(&zone.apex, keys, validity, KEYS_TTL);
        Ok(zone.signed(signer))
    }

    /// What the authorities of all threads go by. `secret` makes cookies where no file has one.
    ///
    /// # Errors
    /// What is wrong with zones or secret.
    pub fn authority(&self, secret: [u8; 16]) -> Result<AuthoritySettings, ConfigError> {
        let dns = &self.dns;
        let mut secrets = match &dns.cookie_secret {
            Some(path) => self.cookie_secrets(path)?,
            None => vec![secret],
        };
        let mut settings = AuthoritySettings::new(self.zones()?);
        settings.payload = dns.payload;
        settings.nsid = dns.nsid.clone().into_bytes();
        settings.version = dns.version.clone();
        settings.hostname = dns.hostname.clone();
        settings.epoch = dns.epoch;
        let current = secrets.remove(0);
        settings.cookies = (dns.cookies != Cookies::Off).then_some(Secrets { current, others: secrets });
        settings.without_cookie = match dns.cookies {
            Cookies::Off | Cookies::Offer => WithoutCookie::Answer,
            Cookies::WhenLimited => WithoutCookie::ChallengeWhenLimited,
            Cookies::Require => WithoutCookie::Challenge,
        };
        settings.rates = (dns.rate > 0).then(|| rates(dns.rate));
        settings.keepalive = u16::try_from(self.tcp.idle_seconds.saturating_mul(10)).unwrap_or(u16::MAX);
        settings.check().map_err(|(key, what)| ConfigError::one(self.told(key, &format!("dns: {what}"))))?;
        Ok(settings)
    }
}

/// Limits for other kinds of responses in proportion to that of equal answers.
fn rates(positive: u32) -> Rates {
    let usual = Rates::default();
    let part = |of: u32| {
        let part = u64::from(of) * u64::from(positive) / u64::from(usual.positive);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    };
    let (negative, referral, error) = (part(usual.negative), part(usual.referral), part(usual.error));
    Rates { positive, negative, referral, error, ..usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_limited_to_less() {
        assert_eq!(rates(Rates::default().positive), Rates::default());
        for positive in [1, 8, 20, u32::MAX] {
            let rates = rates(positive);
            assert!(rates.negative.max(rates.referral).max(rates.error) <= positive, "{rates:?}");
            assert!(rates.negative.min(rates.referral).min(rates.error) > 0, "{rates:?}");
        }
    }

    #[test]
    fn what_an_authority_cannot_work_with_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let zone = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 5\n@ IN NS ns.example.\n";
        std::fs::write(folder.path().join("a.zone"), zone).unwrap();
        let of = |rest: &str| {
            let text = format!(
                "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"a.example\"\nfile = \"a.zone\"\n{rest}"
            );
            let config = Config::parse(&text, &folder.path().join("mapper.toml"))?;
            config.authority([0; 16]).map(|settings| settings.keepalive)
        };
        assert_eq!(of(""), Ok(100));
        assert_eq!(of("[tcp]\nidle-seconds = 9223372036854775807\n"), Ok(u16::MAX));
        let said = |rest: &str| of(rest).unwrap_err().to_string();
        assert!(
            said("[[zone]]\napex = \"A.example\"\nfile = \"a.zone\"\n").contains("a.example. is there twice")
        );
        assert!(said(&format!("[dns]\nnsid = \"{}\"\n", "x".repeat(200))).contains("nsid has 200 octets"));
    }
}
