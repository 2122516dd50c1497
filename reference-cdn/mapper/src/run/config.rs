//! The configuration file of a mapper (TOML). What each field means is said here once; `mapper.example.toml` shows them all.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::authority::cookies::Secrets;
use crate::authority::dnssec::{Signer, keys};
use crate::authority::load::{self, Plan};
use crate::authority::rates::Rates;
use crate::authority::zone::{Zone, Zones};
use crate::authority::{Settings as AuthoritySettings, WithoutCookie};
use crate::build::{self, Files};
use crate::conditions::Rules;
use crate::map::churn::Bounds;
use crate::map::publish::Keep;
use crate::server;

/// Longest configuration file that is read.
const LONGEST: u64 = 1 << 20;
/// Longest file with a key or token.
const LONGEST_SECRET: u64 = 4096;
const SHORTEST_TOKEN: usize = 16;
/// How long signatures are valid if the configuration does not say.
const SIGNATURE_DAYS: u64 = 7;
/// Lifetime of DNSKEY records in seconds.
const KEYS_TTL: u32 = 3600;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where DNS queries are answered, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Threads for UDP, each with a socket of its own; 0, one for each core.
    #[serde(default)]
    pub threads: usize,
    /// Keep each of them on a core of its own.
    #[serde(default)]
    pub pin_threads: bool,
    /// Answers that each thread keeps ready, at 256 octets each.
    #[serde(default = "ready_answers")]
    pub ready_answers: usize,
    #[serde(default)]
    pub tcp: Tcp,
    pub tls: Option<Tls>,
    #[serde(rename = "zone")]
    pub zones: Vec<ZonePlan>,
    /// Needed by top and low zones.
    pub map: Option<Maps>,
    /// What this mapper builds maps from. Without it, it takes those that another publishes in the same folder.
    pub inputs: Option<InputFiles>,
    #[serde(default)]
    pub build: Build,
    pub load: Option<Load>,
    #[serde(default, rename = "probe")]
    pub probes: Vec<Probe>,
    /// Whether low-level name servers are asked if they answer.
    pub probe_names: Option<NameProbe>,
    #[serde(default)]
    pub rules: Rules,
    #[serde(default)]
    pub dns: Dns,
    pub admin: Option<Admin>,
    /// Where the file is: relative paths begin in its folder.
    #[serde(skip)]
    path: PathBuf,
}

fn ready_answers() -> usize {
    1 << 15
}

/// Limits on TCP and TLS.
#[derive(Clone, Copy, Debug, Deserialize)]
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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    pub listen: Vec<SocketAddr>,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
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
#[derive(Clone, Debug, Deserialize)]
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

/// Files that a map is built from, and folders of them. Only the network must be there; INPUTS.md has their formats.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InputFiles {
    pub network: Vec<PathBuf>,
    pub sites: Vec<PathBuf>,
    pub servers: Vec<PathBuf>,
    pub bgp: Vec<PathBuf>,
    pub places: Vec<PathBuf>,
    pub probes: Vec<PathBuf>,
    pub demand: Vec<PathBuf>,
    pub prefixes: Vec<PathBuf>,
    /// Seconds between two looks at these files.
    pub every: Option<u64>,
}

/// How maps are built: see [`build::Settings`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Build {
    pub half_life: Option<u64>,
    pub table_half_life: Option<u64>,
    pub most_units: Option<usize>,
    pub candidates: Option<usize>,
    pub default_sites: Vec<String>,
    pub threads: Option<usize>,
}

/// Load reports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Where datagrams come in.
    pub listen: SocketAddr,
    #[serde(rename = "key")]
    pub keys: Vec<KeyFile>,
}

/// What servers are asked as a client would ask, and what they must answer.
#[derive(Clone, Debug, Deserialize)]
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
    /// Probes at once.
    #[serde(default = "probes_at_once")]
    pub at_once: usize,
    /// Only servers of these sites; all if not given.
    #[serde(default)]
    pub sites: Vec<String>,
    /// Only servers with these features.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// How the low-level name servers of the map are probed.
#[derive(Clone, Copy, Debug, Deserialize)]
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyFile {
    pub id: u8,
    pub file: PathBuf,
    /// For which servers it speaks, `*` in last place standing for anything; all if not given.
    #[serde(default)]
    pub servers: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
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
    /// Equal answers per second to one client network; what is no answer is limited to less. 0, not limited.
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admin {
    pub listen: SocketAddr,
    /// File with the secret that operators show: at least 16 characters.
    pub token_file: PathBuf,
}

/// Why a mapper cannot be started: all that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl ConfigError {
    pub(super) fn one(what: impl Into<String>) -> Self {
        Self(vec![what.into()])
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All that is wrong with it, each with its key or line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_bounded(path, LONGEST).map_err(ConfigError::one)?;
        Self::parse(&text, path)
    }

    /// Reads a file's text; `path` is where it is.
    ///
    /// # Errors
    /// All that is wrong with it, each with its key or line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| ConfigError::one(placed(path, text, &error)))?;
        config.path = path.to_owned();
        let mut wrong = Vec::new();
        if config.listen.is_empty() {
            wrong.push("listen: name at least one address, such as \"127.0.0.1:5300\"".to_owned());
        }
        if config.zones.is_empty() {
            wrong.push("zone: a name server without a zone answers nothing; add a [[zone]]".into());
        }
        for zone in &config.zones {
            let at = format!("zone {}", zone.apex);
            let top = zone.role == RoleName::Top;
            if top && zone.cut.is_none() {
                wrong.push(format!("{at}: a top zone needs cut, such as cut = \"g.{}\"", zone.apex));
            }
            if !top && (zone.cut.is_some() || zone.name_servers.is_some() || zone.lifetime.is_some()) {
                wrong.push(format!("{at}: cut, name-servers and lifetime are for zones with role = \"top\""));
            }
        }
        let names: Vec<_> = config.name_server_names().into_iter().map(|names| names.len()).collect();
        if names.windows(2).any(|pair| pair[0] != pair[1]) {
            wrong.push("zone: all top zones must name as many name-servers".into());
        }
        if let Err(error) = config.rules.check() {
            wrong.push(format!("rules: {error}"));
        }
        if config.load.as_ref().is_some_and(|load| load.keys.is_empty()) {
            wrong.push("load: without a [[load.key]] no report can be believed".into());
        }
        if config.load.is_some() && config.inputs.is_none() {
            wrong.push(
                "load: reports are for who builds maps; give it [inputs] too, or send them to that one"
                    .into(),
            );
        }
        if let Some(inputs) = &config.inputs
            && inputs.network.is_empty()
            && (inputs.sites.is_empty() || inputs.servers.is_empty())
        {
            wrong.push("inputs: name the network, or sites and servers".into());
        }
        for probe in &config.probes {
            let at = format!("probe of {}", probe.host);
            let request = http::Request::get(&probe.path).header("host", &probe.host).body(());
            if let Err(error) = request {
                wrong.push(format!("{at}: host and path make no request: {error}"));
            } else if !probe.path.starts_with('/') {
                wrong.push(format!("{at}: path begins with /"));
            }
            let digits =
                |text: &String| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !probe.sha256.as_ref().is_none_or(digits) {
                wrong.push(format!("{at}: sha256 has 64 hexadecimal digits"));
            }
            if config.inputs.is_none() {
                wrong.push(format!("{at}: probes are for who builds maps; give it [inputs] too"));
            }
        }
        if config.probe_names.is_some() && (config.inputs.is_none() || config.low_zone().is_none()) {
            wrong.push("probe-names: it is for who builds maps ([inputs]) and has a top or low zone".into());
        }
        let steered = config.zones.iter().any(|zone| zone.role != RoleName::Static);
        if config.map.is_none() && (steered || config.inputs.is_some()) {
            wrong
                .push("map: top and low zones are answered from maps; name the folder where they are".into());
        }
        if config.map.as_ref().is_some_and(|map| map.keep == 0) {
            wrong.push("map.keep: at least the map in use is kept".into());
        }
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(wrong.iter().map(|what| format!("{}: {what}", path.display())).collect()))
        }
    }

    /// A path of the file, from its folder.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The zone that low-level name servers answer.
    pub fn low_zone(&self) -> Option<&str> {
        let cut = self.zones.iter().find_map(|zone| zone.cut.as_deref());
        cut.map(|cut| cut.trim_end_matches('.')).or_else(|| self.steered_zones().next())
    }

    /// Where inputs are, if this mapper builds maps.
    pub fn input_files(&self) -> Option<Files> {
        let inputs = self.inputs.as_ref()?;
        let at = |paths: &[PathBuf]| paths.iter().map(|path| self.at(path)).collect();
        Some(Files {
            network: at(&inputs.network),
            sites: at(&inputs.sites),
            servers: at(&inputs.servers),
            bgp: at(&inputs.bgp),
            places: at(&inputs.places),
            probes: at(&inputs.probes),
            demand: at(&inputs.demand),
            prefixes: at(&inputs.prefixes),
        })
    }

    /// Where maps are published.
    pub fn map_folder(&self) -> Option<PathBuf> {
        self.map.as_ref().map(|map| self.at(&map.folder))
    }

    pub(super) fn kept(&self) -> Keep {
        let epochs = self.map.as_ref().map_or(1, |map| map.keep);
        Keep { epochs, ..Keep::default() }
    }

    pub(super) fn bounds(&self) -> Bounds {
        let most = self.map.as_ref().map_or(1000, |map| map.most_churn);
        Bounds { demand: u32::from(most) * 1000, ..Bounds::default() }
    }

    fn name_server_names(&self) -> Vec<Vec<String>> {
        let top = self.zones.iter().filter(|zone| zone.role == RoleName::Top);
        top.map(|zone| zone.name_servers.clone().unwrap_or_else(|| load::name_servers_of(&zone.apex)))
            .collect()
    }

    /// How many names of low-level name servers a referral has.
    pub fn referral_names(&self) -> usize {
        self.name_server_names().first().map_or(0, Vec::len)
    }

    /// Apexes of the zones whose names are steered.
    pub fn steered_zones(&self) -> impl Iterator<Item = &str> {
        self.zones
            .iter()
            .filter(|zone| zone.role == RoleName::Low)
            .map(|zone| zone.apex.trim_end_matches('.'))
    }

    /// Reads the zone files.
    ///
    /// # Errors
    /// What is wrong with each that cannot be served.
    pub fn zones(&self) -> Result<Zones, ConfigError> {
        let mut wrong = Vec::new();
        let mut zones: Vec<Arc<Zone>> = Vec::new();
        for zone in &self.zones {
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
        settings.check().map_err(|what| ConfigError::one(format!("{}: dns: {what}", self.path.display())))?;
        Ok(settings)
    }

    /// The secrets of a file: the first makes cookies, all check them. At least one.
    fn cookie_secrets(&self, path: &Path) -> Result<Vec<[u8; 16]>, ConfigError> {
        let path = self.at(path);
        let text = read_bounded(&path, LONGEST_SECRET).map_err(ConfigError::one)?;
        let secret = |line: &str| {
            let mut secret = [0; 16];
            let right = line.len() == 32 && line.is_ascii();
            for (octet, at) in secret.iter_mut().zip((0..32).step_by(2)) {
                let digits = line.get(at..at + 2).filter(|_| right)?;
                *octet = u8::from_str_radix(digits, 16).ok()?;
            }
            Some(secret)
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match lines.map(secret).collect::<Option<Vec<_>>>() {
            Some(secrets) if !secrets.is_empty() => Ok(secrets),
            _ => Err(ConfigError::one(format!(
                "{}: each line has a cookie secret of 32 hexadecimal digits, the newest first; make one with openssl rand -hex 16",
                path.display()
            ))),
        }
    }

    /// What sockets go by.
    pub fn server(&self) -> server::Config {
        let mut config = server::Config::listening(self.listen.clone());
        config.udp.threads = self.threads;
        config.udp.pin = self.pin_threads;
        config.streams.threads = self.tcp.threads;
        config.streams.connections = self.tcp.connections;
        config.streams.per_client = self.tcp.per_client;
        config.streams.idle = Duration::from_secs(self.tcp.idle_seconds);
        config.tls = self.tls.as_ref().map(|tls| server::TlsConfig {
            listen: tls.listen.clone(),
            certificate: self.at(&tls.certificate),
            key: self.at(&tls.key),
            handshake: Duration::from_secs(5),
        });
        config
    }

    pub fn build_settings(&self) -> build::Settings {
        let (given, usual) = (&self.build, build::Settings::default());
        build::Settings {
            half_life: given.half_life.unwrap_or(usual.half_life),
            table_half_life: given.table_half_life.unwrap_or(usual.table_half_life),
            most_units: given.most_units.unwrap_or(usual.most_units),
            candidates: given.candidates.unwrap_or(usual.candidates),
            default_sites: given.default_sites.clone(),
            threads: given.threads.unwrap_or(usual.threads),
            ..usual
        }
    }

    /// Keys of load reports.
    ///
    /// # Errors
    /// A file cannot be read, or a key is too short.
    pub fn report_keys(&self) -> Result<control::load_report::Keys, ConfigError> {
        let mut keys = control::load_report::Keys::default();
        for key in self.load.iter().flat_map(|load| &load.keys) {
            let path = self.at(&key.file);
            let text = read_bounded(&path, LONGEST_SECRET).map_err(ConfigError::one)?;
            keys.add(key.id, text.trim().as_bytes())
                .map_err(|error| ConfigError::one(format!("{}: {error}", path.display())))?;
            keys.bind(key.id, key.servers.clone());
        }
        Ok(keys)
    }

    /// The operators' secret.
    ///
    /// # Errors
    /// The file cannot be read, or what it has is too short.
    pub fn admin_token(&self) -> Result<Option<String>, ConfigError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let path = self.at(&admin.token_file);
        let token = read_bounded(&path, LONGEST_SECRET).map_err(ConfigError::one)?.trim().to_owned();
        if token.len() < SHORTEST_TOKEN {
            let what = format!("{}: a token has at least {SHORTEST_TOKEN} characters", path.display());
            return Err(ConfigError::one(what));
        }
        Ok(Some(token))
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

/// An error of the file's form in one line, with its place.
fn placed(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("{}:{line}:{column}: {}", path.display(), error.message())
}

/// Reads a text of bounded length.
pub(super) fn read_bounded(path: &Path, longest: u64) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file =
        std::fs::File::open(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    file.take(longest + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    if text.len() as u64 > longest {
        return Err(format!("{}: longer than {longest} octets", path.display()));
    }
    Ok(text)
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
