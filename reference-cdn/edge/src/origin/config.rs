//! What the origin side is started with. The program that starts an edge checks values for sense; see there for the
//! meaning of each.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;

use super::health::{EjectionRules, Thresholds};
use super::names::Names;
use super::parents::Bound;
use super::retry::RetryRules;
use super::select::Role;

/// The origins of one customer, and the rules for choosing among them.
#[derive(Clone, Debug)]
pub struct OriginGroupConfig {
    /// 1 to [`super::MOST_ORIGINS`].
    pub origins: Vec<OriginConfig>,
    /// Send the client's Host rather than the origin's. Parents get the client's in any case: it is how they know the
    /// customer.
    pub keep_host: bool,
    /// Of each origin.
    pub limits: OriginLimits,
    /// By requests that fail. Without effect where there is one origin only: nobody else could be asked.
    pub ejection: EjectionRules,
    pub probe: Option<ProbeConfig>,
    pub retry: RetryRules,
    pub parents: ParentRules,
    pub names: Names,
}

/// One origin.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Host, and port unless it is the scheme's own.
    pub authority: Authority,
    /// TLS towards it (`https`); `None` for clear text.
    pub tls: Option<OriginTls>,
    pub protocol: Protocol,
    pub role: Role,
    /// Its share of the requests of its tier.
    pub weight: u32,
}

impl OriginConfig {
    /// A primary origin, in clear text.
    pub fn new(authority: Authority) -> Self {
        Self { authority, tls: None, protocol: Protocol::default(), role: Role::default(), weight: 1 }
    }

    /// How people write it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// How an origin's identity is verified, and ours is shown. Verification cannot be turned off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginTls {
    /// The name to ask for and to find in its certificate; `None` for that of the Host field sent.
    pub server_name: Option<String>,
    /// PEM file of the authorities to trust; `None` for those that the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of a certificate chain and its private key, for origins that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Version of HTTP towards an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// As agreed in the TLS handshake (ALPN), HTTP/2 before HTTP/1.1; HTTP/1.1 in clear text.
    #[default]
    Auto,
    H1,
    /// In clear text with prior knowledge (RFC 9113 section 3.3).
    H2,
}

/// Bounds of the origin side, for each origin.
#[derive(Clone, Copy, Debug)]
pub struct OriginLimits {
    /// Requests at once, each with a connection or a stream of its own; further requests wait.
    pub connections: usize,
    /// HTTP/1.1 connections kept open for later.
    pub idle_connections: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long any connection is given new requests.
    pub age: Duration,
    /// Requests that a connection is given.
    pub requests: u64,
    /// Requests on an HTTP/2 connection at once.
    pub streams: usize,
    /// How long a request may wait for its turn.
    pub wait: Duration,
    /// How long looking up the origin's name may take.
    pub resolve: Duration,
    /// How long addresses are used before they are looked up again, in the background.
    pub resolve_again: Duration,
    /// How long connecting may take, over all addresses.
    pub connect: Duration,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// How long the origin may neither begin a response nor take any of the request's content.
    pub response: Duration,
    /// How long a response head may take once it has begun.
    pub head: Duration,
    /// How long the origin may send nothing within content.
    pub content_stall: Duration,
    /// How long the whole of a fetch may take.
    pub total: Duration,
    /// How long an HTTP/2 connection in use may be silent before a PING is sent on it.
    pub ping: Duration,
    /// How long the answer to that may take.
    pub pong: Duration,
    /// Octets of a response head.
    pub head_bytes: usize,
    /// Field lines of a response head.
    pub fields: usize,
}

/// How origins are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Path and query of a GET; `*` for `OPTIONS *`, which a parent edge answers by itself.
    pub path: String,
    /// Host to send; `None` for the origin's own.
    pub host: Option<String>,
    /// From one probe of an origin to its next, give or take a tenth.
    pub interval: Duration,
    pub timeout: Duration,
    /// Statuses that say that it is well, first and last.
    pub expect: (u16, u16),
    pub thresholds: Thresholds,
}

/// How parents are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentRules {
    pub bound: Bound,
    /// When no parent is fit, ask the origins.
    pub origins_without_parents: bool,
}

impl OriginGroupConfig {
    /// One origin, everything else as by default.
    pub fn new(origin: OriginConfig) -> Self {
        Self {
            origins: vec![origin],
            keep_host: true,
            limits: OriginLimits::default(),
            ejection: EjectionRules::default(),
            probe: None,
            retry: RetryRules::default(),
            parents: ParentRules::default(),
            names: Names::system(),
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            idle_connections: 64,
            idle: seconds(30),
            age: seconds(600),
            requests: 10_000,
            streams: 64,
            wait: seconds(5),
            resolve: seconds(2),
            resolve_again: seconds(30),
            connect: seconds(5),
            handshake: seconds(5),
            response: seconds(30),
            head: seconds(10),
            content_stall: seconds(30),
            total: seconds(24 * 3600),
            ping: seconds(15),
            pong: seconds(5),
            head_bytes: 64 * 1024,
            fields: 128,
        }
    }
}

impl Default for EjectionRules {
    fn default() -> Self {
        Self {
            failures: 5,
            share: 50,
            requests: 20,
            window: seconds(10),
            time: seconds(5),
            most_time: seconds(300),
            trials: 1,
        }
    }
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            path: "/".into(),
            host: None,
            interval: seconds(10),
            timeout: seconds(2),
            expect: (200, 399),
            thresholds: Thresholds { up: 2, down: 3 },
        }
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self { origins: 3, time: seconds(10), share: 20, reserve: 100, statuses: Vec::new() }
    }
}

impl Default for ParentRules {
    fn default() -> Self {
        Self { bound: Bound { percent: 125, floor: 16 }, origins_without_parents: true }
    }
}
