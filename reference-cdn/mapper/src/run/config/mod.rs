//! The configuration file of a mapper (TOML). What each field means is said here once; `mapper.example.toml` shows them all.

mod authority;
mod check;
mod lines;
mod parts;
mod renew;
mod secrets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::parts::*;
use crate::authority::load;
use crate::build::listed::listed;
use crate::build::{self, BadInput, Files};
use crate::conditions::Rules;
use crate::map::churn::Bounds;
use crate::map::publish::Keep;
use crate::server;

/// Longest configuration file that is read.
const LONGEST: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where DNS queries are answered, over UDP and TCP.
    #[serde(deserialize_with = "listed")]
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
    pub inputs: Option<Files>,
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
    #[serde(skip)]
    lines: lines::Lines,
}

fn ready_answers() -> usize {
    1 << 15
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
        let placed = |error| BadInput::of_toml(&path.display().to_string(), text, &error).to_string();
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::one(placed(error)))?;
        config.path = path.to_owned();
        config.lines = lines::Lines::of(text);
        let wrong = config.check();
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(wrong.iter().map(|(key, what)| config.told(key, what)).collect()))
        }
    }

    /// What is wrong with a key, with its place: the file and, where the key or what it would be in is there, the line.
    pub(super) fn told(&self, key: &str, what: &str) -> String {
        let path = self.path.display();
        match self.lines.find(key) {
            Some(line) => format!("{path}:{line}: {what}"),
            None => format!("{path}: {what}"),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
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
        let mut files = inputs.clone();
        files.lists_mut().into_iter().flatten().for_each(|path| *path = self.at(path));
        Some(files)
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
