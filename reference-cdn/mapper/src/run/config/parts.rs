//! The parts of a configuration file, with what each field is when it is not given.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::build::listed::listed;
use crate::server;

/// Limits on TCP and TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tcp {
    pub threads: usize,
    pub connections: usize,
    pub per_client: usize,
    pub idle_seconds: u64,
}

impl Default for Tcp {
    fn default() -> Self {
        let streams = server::StreamConfig::default();
        Self {
            threads: streams.threads,
            connections: streams.connections,
            per_client: streams.per_client,
            idle_seconds: streams.idle.as_secs(),
        }
    }
}

/// DNS over TLS (RFC 7858).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    #[serde(deserialize_with = "listed")]
    pub listen: Vec<SocketAddr>,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ZonePlan {
    pub apex: String,
    /// Zone file (RFC 1035 section 5).
    pub file: PathBuf,
    #[serde(default)]
    pub role: RoleName,
    /// Of a top zone: the zone below it that low-level name servers answer.
    pub cut: Option<String>,
    /// Of a top zone: names of the low-level name servers; `n0g` to `n8g` below its apex if not given.
    pub name_servers: Option<Vec<String>>,
    /// Folder with the keys that the zone is signed with (KEYS.md); not signed if not given.
    pub keys: Option<PathBuf>,
    /// Of a signed zone: days that a signature is valid.
    pub signature_days: Option<u64>,
    /// Of a top zone: lifetime of the referral in seconds, 1200 to 3600.
    pub lifetime: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// Answers what its file says.
    #[default]
    Static,
    /// Refers resolvers to low-level name servers near them.
    Top,
    /// Its names are answered with servers near the client.
    Low,
}

/// Where maps are published.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Maps {
    pub folder: PathBuf,
    /// Maps that are kept for `explain-dns --epoch`.
    #[serde(default = "keep")]
    pub keep: usize,
    /// Thousandths of the demand whose nearest site may change from one map to the next; beyond, the new one is held back.
    #[serde(default = "most_churn")]
    pub most_churn: u16,
}

fn keep() -> usize {
    600
}

fn most_churn() -> u16 {
    300
}

/// How maps are built: see [`build::Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Build {
    pub half_life: Option<u64>,
    pub table_half_life: Option<u64>,
    pub most_units: Option<usize>,
    pub candidates: Option<usize>,
    #[serde(deserialize_with = "listed")]
    pub default_sites: Vec<String>,
    pub threads: Option<usize>,
    /// Seconds between two looks at the inputs.
    pub every: Option<u64>,
}

/// Load reports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Where datagrams come in.
    pub listen: SocketAddr,
    #[serde(rename = "key")]
    pub keys: Vec<KeyFile>,
}

/// What servers are asked as a client would ask, and what they must answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probe {
    /// Host field of the request: a name that all these servers carry.
    pub host: String,
    #[serde(default = "root")]
    pub path: String,
    #[serde(default = "http_port")]
    pub port: u16,
    #[serde(default = "ok")]
    pub status: u16,
    /// Of the content, in hexadecimal; any content if not given.
    pub sha256: Option<String>,
    /// Seconds between two rounds.
    #[serde(default = "probe_every")]
    pub every: u64,
    /// Milliseconds for all of it.
    #[serde(default = "probe_timeout")]
    pub timeout: u64,
    /// Probes at once, over each family of addresses.
    #[serde(default = "probes_at_once")]
    pub at_once: usize,
    /// Only servers of these sites; all if not given.
    #[serde(default, deserialize_with = "listed")]
    pub sites: Vec<String>,
    /// Only servers with these features.
    #[serde(default, deserialize_with = "listed")]
    pub needs: Vec<String>,
}

/// How the low-level name servers of the map are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NameProbe {
    #[serde(default = "dns_port")]
    pub port: u16,
    /// Seconds between two rounds.
    #[serde(default = "probe_every")]
    pub every: u64,
    /// Milliseconds for one answer.
    #[serde(default = "probe_timeout")]
    pub timeout: u64,
}

fn dns_port() -> u16 {
    53
}

fn root() -> String {
    "/".into()
}

fn http_port() -> u16 {
    80
}

fn ok() -> u16 {
    200
}

fn probe_every() -> u64 {
    5
}

fn probe_timeout() -> u64 {
    2000
}

fn probes_at_once() -> usize {
    64
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyFile {
    pub id: u8,
    pub file: PathBuf,
    /// For which servers it speaks, `*` in last place standing for anything; all if not given.
    #[serde(default, deserialize_with = "listed")]
    pub servers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    /// Longest UDP response.
    pub payload: u16,
    /// What NSID is answered with (RFC 5001).
    pub nsid: String,
    /// `version.bind` in class CH; refused if not given.
    pub version: Option<String>,
    pub hostname: Option<String>,
    /// Tells which map answered to who asks with the epoch option (EPOCH-OPTION.md).
    pub epoch: bool,
    /// File with the secrets of DNS cookies (RFC 9018), 32 hexadecimal digits a line, the newest first; name servers of one address
    /// need the same. Without it, one is made at start.
    pub cookie_secret: Option<PathBuf>,
    pub cookies: Cookies,
    /// Equal answers per second to one client network, and five times as many at once to one that was quiet; what is no answer is
    /// limited to less. 0, not limited.
    pub rate: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cookies {
    Off,
    /// Answered, and needed by nobody.
    #[default]
    Offer,
    /// Who is limited can go on with one.
    WhenLimited,
    Require,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            payload: 1232,
            nsid: String::new(),
            version: None,
            hostname: None,
            epoch: true,
            cookie_secret: None,
            cookies: Cookies::default(),
            rate: 0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admin {
    pub listen: SocketAddr,
    /// File with the secret that operators show: at least 16 characters.
    pub token_file: PathBuf,
}
