//! How the network is now: the fast layer of a map, stepped each second from load reports and probes.

mod rules;
mod servers;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use rules::{Rules, RulesError};
pub use watch::{Failure, Taken, Watch};

use crate::network::{Network, ServerId, SiteId};

/// In how many steps a server's content, or a site's clients, are shared with others.
pub const PARTS: u8 = 64;

/// Whether a server may be named in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    #[default]
    Serving = 0,
    /// Past its second load threshold: named only if nobody else is left.
    Overloaded = 1,
    /// Failed its health checks or silent for too long.
    Failed = 2,
    /// Withdrawn by an operator: never named.
    Withdrawn = 3,
    /// Said farewell: it is about to stop. Named only where nobody at all is well.
    Leaving = 4,
}

/// One server now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerNow {
    pub standing: Standing,
    /// Past its first load threshold: takes no content from others.
    pub busy: bool,
    /// Of its content, how many of [`PARTS`] parts are also on one further server; twice as many as there are parts means all of
    /// it on two further ones, and so on.
    pub spread: u16,
}

/// One site now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteNow {
    /// Of its clients, how many of [`PARTS`] parts go to their next site.
    pub shifted: u8,
    /// Its low-level name servers answer.
    pub names_down: bool,
}

/// A name that more servers of a site carry than its service's fewest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hot {
    pub site: SiteId,
    /// As [`Steerable::content`](crate::steer::Steerable::content).
    pub content: u64,
    /// Servers that carry it.
    pub copies: u16,
}

/// The fast layer of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// By position; those of servers beyond its end are the default.
    pub servers: Vec<ServerNow>,
    pub sites: Vec<SiteNow>,
    /// Sorted by site and content.
    pub hot: Vec<Hot>,
}

impl Conditions {
    /// Everything serves, nothing is known to be loaded.
    pub fn calm(network: &Network) -> Self {
        Self {
            servers: vec![ServerNow::default(); network.servers.len()],
            sites: vec![SiteNow::default(); network.sites.len()],
            hot: Vec::new(),
        }
    }

    pub fn server(&self, id: ServerId) -> ServerNow {
        self.servers.get(id.0 as usize).copied().unwrap_or_default()
    }

    pub fn site(&self, id: SiteId) -> SiteNow {
        self.sites.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// The hot names of a site.
    pub fn hot_of(&self, site: SiteId) -> &[Hot] {
        let from = self.hot.partition_point(|hot| hot.site < site);
        let count = self.hot[from..].partition_point(|hot| hot.site == site);
        &self.hot[from..from + count]
    }

    /// How many servers of a site carry a name, if more than its service's fewest.
    pub fn copies(&self, site: SiteId, content: u64) -> Option<u16> {
        let at = self.hot.binary_search_by_key(&(site, content), |hot| (hot.site, hot.content)).ok()?;
        Some(self.hot[at].copies)
    }
}
