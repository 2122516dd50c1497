//! What an edge is started with. The program that starts it checks values for sense; see there for the meaning of each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http_cache::Settings;
use sha2::{Digest as _, Sha256};

use crate::client::{ConnectionLimits, HeadLimits};
use crate::http2::Http2Limits;
use crate::limits::{ClientLimits, CustomerLimits, Lengths, Rate};
use crate::origin::{OriginConfig, OriginGroupConfig};
use crate::purge::PurgeConfig;
use crate::report::ReportConfig;
use crate::store::StoreLimits;
use crate::store::disk::{Files, OtherVersion, Sync};
use crate::tls::TlsConfig;

/// Everything about one edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect in the clear; port 0 takes a free one. `None`: they connect with TLS only.
    pub listen: Option<SocketAddr>,
    /// Client connections open at once.
    pub connections: usize,
    pub client: ConnectionLimits,
    pub http2: Http2Limits,
    /// A listener for clients with TLS.
    pub tls: Option<TlsConfig>,
    pub per_client: ClientLimits,
    /// Requests of one client for hosts that nobody has.
    pub stray_rate: Rate,
    /// Whose content it serves; of two that claim a host the first has it.
    pub customers: Vec<CustomerConfig>,
    pub store: StoreLimits,
    pub disk: DiskSettings,
    pub admin: Option<AdminConfig>,
    pub purge: PurgeConfig,
    /// Load reports to mappers.
    pub report: Option<ReportConfig>,
    /// Path of the access log; `-` for standard output.
    pub access_log: Option<PathBuf>,
    /// How long requests in flight may take to finish when the edge is told to stop.
    pub drain: Duration,
}

/// One customer.
#[derive(Clone, Debug)]
pub struct CustomerConfig {
    /// A token; what is stored carries it.
    pub name: String,
    pub hosts: Vec<Host>,
    /// What its decisions are made from.
    pub settings: Settings,
    pub origin: OriginGroupConfig,
    pub limits: CustomerLimits,
}

impl CustomerConfig {
    /// The customer of an edge that has only one: whatever the host.
    pub fn new(origin: OriginGroupConfig) -> Self {
        Self {
            name: "default".into(),
            hosts: vec![Host::Any],
            settings: Settings::default(),
            origin,
            limits: CustomerLimits::default(),
        }
    }
}

/// The hosts that belong to a customer: names in lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// All that nobody else claims.
    Any,
    Exact(String),
    /// Every name below this domain, not the domain itself.
    Under(String),
}

/// The disk tier of the store.
#[derive(Clone, Debug)]
pub struct DiskSettings {
    /// Its folder; `None`: there is no disk tier.
    pub path: Option<PathBuf>,
    /// What to reach the folder through, if not the system's files as they are. For tests of what disks do.
    pub files: Option<Arc<dyn Files>>,
    /// Octets of its files.
    pub size: u64,
    pub sync: Sync,
    pub other_version: OtherVersion,
    /// How long a request waits for it before it does without.
    pub patience: Duration,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self {
            path: None,
            files: None,
            size: 10 << 30,
            sync: Sync::Sealed,
            other_version: OtherVersion::Empty,
            patience: Duration::from_secs(1),
        }
    }
}

#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    pub token: Token,
}

/// A secret that operators and customers send. Only its SHA-256 digest is held, so that no dump of memory gives it away;
/// not even that is shown when printed.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    pub fn new(token: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(token.as_ref()).into())
    }

    /// Takes the same time however much of `given` is right.
    pub fn matches(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        let difference = self.0.iter().zip(given).fold(0, |sum, (a, b)| sum | std::hint::black_box(a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Config {
    /// The defaults, for one customer with this origin.
    pub fn new(listen: SocketAddr, origin: Authority) -> Self {
        Self {
            listen: Some(listen),
            connections: 10_000,
            client: ConnectionLimits::default(),
            http2: Http2Limits::default(),
            tls: None,
            per_client: ClientLimits::default(),
            stray_rate: Rate::default(),
            customers: vec![CustomerConfig::new(OriginGroupConfig::new(OriginConfig::new(origin)))],
            store: StoreLimits::default(),
            disk: DiskSettings::default(),
            admin: None,
            purge: PurgeConfig::default(),
            report: None,
            access_log: None,
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits { bytes: 32 * 1024, target: 8 * 1024, fields: 100 },
            idle: Duration::from_secs(60),
            head_time: Duration::from_secs(10),
            content_stall: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            write_time: Duration::from_secs(300),
            request_content: 1 << 30,
            unread_content: 256 * 1024,
            drain_time: Duration::from_secs(2),
        }
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections: 0,
            lengths: Lengths { ipv4: 32, ipv6: 64 },
            remembered: 65_536,
            exempt: Vec::new(),
            proxies: Vec::new(),
        }
    }
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { memory: 256 << 20, object: 32 << 20, variants: 64 }
    }
}
