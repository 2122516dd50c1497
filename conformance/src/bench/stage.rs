//! What all checks of a run share: the candidate, the origin, the nonce.

use super::{Pulse, Purger};
use endpoint::{Client, Clock, Origin, Settings};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

/// Where the candidate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The URL as given.
    pub url: String,
    /// What clients put into Host.
    pub authority: String,
    pub address: SocketAddr,
    /// Path that all requests begin with; empty or `/…` without a slash at its end.
    pub base: String,
}

/// Why a URL cannot be a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongUrl {
    pub url: String,
    pub why: String,
}

impl fmt::Display for WrongUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no URL of a candidate: {}", self.url, self.why)
    }
}

impl std::error::Error for WrongUrl {}

impl Candidate {
    /// Parses `http://host[:port][/base]` and looks the host up.
    ///
    /// # Errors
    /// What is wrong with the URL, or that the host has no address.
    pub fn parse(url: &str) -> Result<Self, WrongUrl> {
        let wrong = |why: &str| WrongUrl { url: url.to_owned(), why: why.to_owned() };
        if url.starts_with("https://") {
            return Err(wrong("https is not supported yet; give the address of a clear-text listener"));
        }
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| wrong("it does not begin with http://, such as http://127.0.0.1:8080"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if path.contains(['?', '#']) || authority.contains(['?', '#']) {
            return Err(wrong("it has a query or fragment; give scheme, host, port and a base path at most"));
        }
        if authority.contains('@') {
            return Err(wrong("it holds credentials"));
        }
        if authority.is_empty() || url.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
            return Err(wrong("it has no host, or a space in it"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| wrong(&format!("its host cannot be looked up: {error}")))?
            .next()
            .ok_or_else(|| wrong("its host has no address"))?;
        Ok(Candidate {
            url: url.to_owned(),
            authority: authority.to_owned(),
            address,
            base: path.trim_end_matches('/').to_owned(),
        })
    }
}

/// The surroundings of a run, shared by its checks.
#[derive(Debug)]
pub struct Stage {
    pub candidate: Candidate,
    pub origin: Origin,
    /// Part of every path of this run.
    pub nonce: String,
    /// What stands before the nonce in paths at the origin; the preflight finds out.
    pub origin_base: String,
    pub settings: Settings,
    pub purger: Option<Purger>,
    pub pulse: Pulse,
}

impl Stage {
    /// How long a candidate may stay silent before it counts as hung.
    pub const PATIENCE: Duration = Duration::from_secs(9);

    pub fn new(candidate: Candidate, origin: Origin, nonce: String, purger: Option<Purger>) -> Self {
        let mut settings = Settings::with_deadline(Stage::PATIENCE);
        settings.keep_raw = 2048;
        let pulse = Pulse::start(settings.clock.clone());
        let origin_base = candidate.base.clone();
        Stage { candidate, origin, nonce, origin_base, settings, purger, pulse }
    }

    pub fn clock(&self) -> &Clock {
        &self.settings.clock
    }

    /// A new connection to the candidate.
    pub async fn connect(&self) -> Result<Client, endpoint::Error> {
        Client::connect(self.candidate.address, &self.settings).await
    }
}
