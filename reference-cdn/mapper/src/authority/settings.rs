//! What an authority is told.

use std::sync::Arc;

use super::cookies::Secrets;
use super::rates::Rates;
use super::zone::Zones;

/// Longest NSID that has room in every response.
pub const LONGEST_NSID: usize = 128;

/// Everything that all threads share and no query changes. A new one takes the place of the old as a whole.
#[derive(Clone, Debug)]
pub struct Settings {
    pub zones: Zones,
    /// Longest UDP response, and what we tell others to send us (RFC 9715: 1232 passes everywhere). 512 to 4096.
    pub payload: u16,
    /// What NSID is answered with (RFC 5001); empty, the option is not answered.
    pub nsid: Vec<u8>,
    /// `version.bind` and `version.server` in class CH; none, they are refused.
    pub version: Option<String>,
    /// `hostname.bind` and `id.server` (RFC 4892).
    pub hostname: Option<String>,
    /// Answers the epoch option (EPOCH-OPTION.md).
    pub epoch: bool,
    /// Secrets for DNS cookies; none, cookies are ignored.
    pub cookies: Option<Secrets>,
    pub without_cookie: WithoutCookie,
    /// None, responses are not limited.
    pub rates: Option<Rates>,
    /// What clients on streams are told that they may keep a connection idle, in units of 100 ms (RFC 7828).
    pub keepalive: u16,
    /// Signatures that each thread keeps, about 120 octets each.
    pub signatures: usize,
}

/// How a UDP query is treated that has a client cookie but no valid server cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutCookie {
    /// As if it had none, with a cookie in the response.
    #[default]
    Answer,
    /// With BADCOOKIE when rate limiting would otherwise slip or drop: the client tries again at once with the cookie and
    /// is no longer limited.
    ChallengeWhenLimited,
    /// With BADCOOKIE always (RFC 7873 section 5.2.3, case 3).
    Challenge,
}

impl Settings {
    /// The key of a configuration where something is wrong, and what, and what to do.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(512..=4096).contains(&self.payload) {
            return Err((
                "dns.payload",
                format!("payload {} must be 512 to 4096 octets; 1232 passes everywhere", self.payload),
            ));
        }
        // Question, OPT record and all options have room in the shortest response.
        if self.nsid.len() > LONGEST_NSID {
            return Err((
                "dns.nsid",
                format!("nsid has {} octets; shorten it to {LONGEST_NSID}", self.nsid.len()),
            ));
        }
        for (key, text) in [("dns.version", &self.version), ("dns.hostname", &self.hostname)] {
            if text.as_ref().is_some_and(|text| text.len() > 255) {
                return Err((
                    key,
                    format!("{key} is longer than the 255 octets of a TXT string; shorten it"),
                ));
            }
        }
        let mut seen = std::collections::HashSet::new();
        match self.zones.all().iter().find(|zone| !seen.insert(&zone.apex)) {
            Some(zone) => {
                Err(("zone", format!("zone {} is there twice; keep one", crate::dns::name::show(&zone.apex))))
            }
            None => Ok(()),
        }
    }

    /// Zones, and for the rest what most want.
    pub fn new(zones: Zones) -> Self {
        Self {
            zones,
            payload: 1232,
            nsid: Vec::new(),
            version: None,
            hostname: None,
            epoch: true,
            cookies: None,
            without_cookie: WithoutCookie::default(),
            rates: None,
            keepalive: 100,
            signatures: 1 << 15,
        }
    }
}

/// Where threads find the newest settings.
pub type Current = Arc<arc_swap::ArcSwap<Settings>>;
