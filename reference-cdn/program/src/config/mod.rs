//! The configuration of an edge: from a file, from flags, or from both (a flag wins).
//!
//! [`fields`] is the one list of what can be set: the file's keys, the flags, the explanation and the checks all come
//! from it. What comes out of [`Draft::finish`] is valid.

pub mod customer;
pub mod explain;
pub mod fields;
pub mod file;
pub mod origin_fields;
pub mod report;
mod tls;
pub mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use customer::{CustomerDraft, OriginDraft};
use edge::purge::PurgeToken;
use edge::{
    AdminConfig, Config, CustomerConfig, CustomerLimits, Host, OriginConfig, OriginGroupConfig, ProbeConfig,
    Token,
};
use fields::FIELDS;
use http::uri::Authority;
use http_cache::Settings;
use report::ReportDraft;
use tls::TlsDraft;
use value::{Given, Wrong};

/// Shortest admin token. 16 random characters are beyond guessing over a network.
const SHORTEST_TOKEN: usize = 16;
/// Name of the customer who has the hosts that no other has.
const REST: &str = "default";

/// What has been set so far, on top of the defaults.
#[derive(Clone, Debug)]
pub struct Draft {
    pub config: Config,
    /// What customers have unless they say otherwise.
    pub settings: Settings,
    pub origin_defaults: OriginGroupConfig,
    /// The same for limits on what customers' requests may take.
    pub limits: CustomerLimits,
    /// How origins are probed if they are, which takes a path.
    pub probe: ProbeConfig,
    pub probe_path: Option<String>,
    /// That of the section `[origin]`; its protocol and trust are those of other origins that have none of their own.
    pub origin: OriginDraft,
    pub customers: Vec<CustomerDraft>,
    pub admin: Option<SocketAddr>,
    pub admin_token_file: Option<PathBuf>,
    pub purge_token_file: Option<PathBuf>,
    pub tls: TlsDraft,
    pub report: ReportDraft,
}

impl Default for Draft {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        let nowhere = Authority::from_static("origin.invalid");
        Self {
            config: Config::new(listen, nowhere.clone()),
            settings: Settings::default(),
            origin_defaults: OriginGroupConfig::new(OriginConfig::new(nowhere)),
            limits: CustomerLimits::default(),
            probe: ProbeConfig::default(),
            probe_path: None,
            origin: OriginDraft::default(),
            customers: Vec::new(),
            admin: None,
            admin_token_file: None,
            purge_token_file: None,
            tls: TlsDraft::default(),
            report: ReportDraft::default(),
        }
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Checked {
    pub config: Config,
}

/// Paths of the fields that something wrong is about, the one to change first in front.
pub type About = Vec<String>;

impl Draft {
    /// Sets the field with this path (such as `client.idle`).
    ///
    /// # Errors
    /// When there is no such field, or the value does not suit it.
    pub fn set(&mut self, path: &str, given: Given<'_>) -> Result<(), Wrong> {
        fields::set(FIELDS, self, path, given)
    }

    /// Checks what single fields cannot tell.
    ///
    /// # Errors
    /// All that is wrong, each with the paths of the fields it concerns. Fields of the second customer have paths such
    /// as `customer[1].name`.
    pub fn finish(mut self) -> Result<Checked, Vec<(About, Wrong)>> {
        let mut wrongs: Vec<(About, Wrong)> = Vec::new();
        let about = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<About>();
        self.config.customers.clear();
        self.config.stray_rate = self.limits.client_rate;
        if let Some(path) = self.probe_path.take() {
            self.origin_defaults.probe = Some(ProbeConfig { path, ..self.probe.clone() });
        }
        if self.origin.url.is_some() {
            match self.origin.clone().finish(&OriginDraft::default()) {
                Ok(origin) => {
                    let mut group = self.origin_defaults.clone();
                    group.origins = vec![origin];
                    let mut rest = CustomerConfig::new(group);
                    rest.settings = self.settings.clone();
                    rest.limits = self.limits;
                    self.config.customers.push(rest);
                }
                Err(of_it) => {
                    wrongs.extend(
                        of_it.into_iter().map(|(path, wrong)| (vec![format!("origin.{path}")], wrong)),
                    );
                }
            }
        } else if self.customers.is_empty() {
            wrongs.push((
                about(&["origin.url", "customer"]),
                Wrong::new("no origin is given").hint("say where the content comes from: `url = \"http://host:port\"` under [origin], or --origin"),
            ));
        }
        for (index, customer) in self.customers.drain(..).enumerate() {
            let within = |path: &str| format!("customer[{index}].{path}");
            match customer.finish(
                &self.settings,
                self.limits,
                &self.origin_defaults,
                &self.origin,
                &self.probe,
            ) {
                Ok(customer) => {
                    wrongs.extend(
                        taken(&self.config.customers, &customer)
                            .into_iter()
                            .map(|(path, wrong)| (vec![within(path)], wrong)),
                    );
                    self.config.customers.push(customer);
                }
                Err(of_it) => {
                    wrongs.extend(of_it.into_iter().map(|(path, wrong)| (vec![within(&path)], wrong)))
                }
            }
        }
        let bursts = [
            ("per-client.burst", "per-client.rate", self.limits.client_rate),
            ("per-customer.burst", "per-customer.rate", self.limits.rate),
        ];
        for (burst, rate, given) in bursts.into_iter().filter(|(_, _, given)| given.has_idle_burst()) {
            let wrong = format!("a burst of {} requests without a rate limits nothing", given.burst);
            wrongs.push((about(&[burst, rate]), Wrong::new(wrong).hint(format!("set {rate} as well"))));
        }
        if self.settings.tiers_below > 0 && self.settings.edge.is_none() {
            wrongs.push((
                about(&["tiers-below", "edge-id"]),
                Wrong::new("an edge with tiers below it has no id")
                    .hint("set edge-id: without it, a request that came back would wait for the fetch made for itself"),
            ));
        }
        if self.config.store.object > self.config.store.memory {
            wrongs.push((
                about(&["store.object", "store.memory"]),
                Wrong::new("one response may be larger than the whole store")
                    .hint("keep store.object at or below store.memory"),
            ));
        }
        let disk = &self.config.disk;
        if disk.path.is_some() && disk.size / 9 < self.config.store.object {
            wrongs.push((
                about(&["disk.size", "store.object"]),
                Wrong::new("the disk store is too small for the largest response")
                    .hint("make disk.size at least nine times store.object, or lower store.object"),
            ));
        }
        if self.settings.slice.is_some_and(|slice| slice.get() > self.config.store.object) {
            wrongs.push((
                about(&["store.slice", "store.object"]),
                Wrong::new("a slice is larger than a response may be")
                    .hint("keep store.slice at or below store.object"),
            ));
        }
        match self.purge_token_file.take() {
            Some(_) if self.admin.is_none() => wrongs.push((
                about(&["purge.token-file", "admin.listen"]),
                Wrong::new("tokens for purges without an admin listener")
                    .hint("set admin.listen (--admin) as well, or remove it"),
            )),
            Some(path) => match purge_tokens(&path, &self.config.customers) {
                Ok(tokens) => {
                    self.config.purge.tokens = tokens;
                    self.config.purge.token_file = Some(path);
                }
                Err(wrong) => wrongs.push((about(&["purge.token-file"]), wrong)),
            },
            None => {}
        }
        wrongs.extend(self.collisions());
        if self.config.listen.is_none() && self.tls.listen.is_none() {
            wrongs.push((
                about(&["listen", "tls.listen"]),
                Wrong::new("there is nowhere for clients to connect")
                    .hint("set tls.listen (--tls-listen), or give `listen` an address"),
            ));
        }
        match std::mem::take(&mut self.tls).finish() {
            Ok(tls) => self.config.tls = tls,
            Err(wrong) => wrongs.push(wrong),
        }
        match std::mem::take(&mut self.report).finish() {
            Ok(report) => self.config.report = report,
            Err(wrong) => wrongs.push(wrong),
        }
        match (self.admin, self.admin_token_file.take()) {
            (None, None) => {}
            (None, Some(_)) => wrongs.push((
                about(&["admin.token-file", "admin.listen"]),
                Wrong::new("a token file without an admin listener").hint("set admin.listen (--admin) as well, or remove it"),
            )),
            (Some(_), None) => wrongs.push((
                about(&["admin.listen", "admin.token-file"]),
                Wrong::new("an admin listener without a token file")
                    .hint("set admin.token-file (--admin-token-file) to a file with a secret of 16 characters or more"),
            )),
            (Some(listen), Some(path)) => match token(&path) {
                Ok(token) => self.config.admin = Some(AdminConfig { listen, token }),
                Err(wrong) => wrongs.push((about(&["admin.token-file"]), wrong)),
            },
        }
        if wrongs.is_empty() { Ok(Checked { config: self.config }) } else { Err(wrongs) }
    }
}

impl Draft {
    /// Listeners that want the same address.
    fn collisions(&self) -> Vec<(About, Wrong)> {
        let (listen, tls) = (self.config.listen, self.tls.listen);
        [
            ("admin.listen", self.admin, "listen", listen),
            ("admin.listen", self.admin, "tls.listen", tls),
            ("tls.listen", tls, "listen", listen),
        ]
        .into_iter()
        .filter_map(|(path, given, other, by)| {
            let (given, by) = given.zip(by).filter(|(given, by)| collide(*by, *given))?;
            let wrong = Wrong::new(format!("{given} is taken by `{other}`, which is {by}"));
            let about = vec![path.to_owned(), other.to_owned()];
            Some((about, wrong.hint("give each listener a port of its own")))
        })
        .collect()
    }
}

/// What `customer` claims that one before it has.
fn taken(before: &[CustomerConfig], customer: &CustomerConfig) -> Vec<(&'static str, Wrong)> {
    let mut wrongs = Vec::new();
    if before.iter().any(|other| other.name == customer.name) || customer.name == REST {
        wrongs.push((
            "name",
            Wrong::new(format!("the name \"{}\" is taken", customer.name))
                .hint("give each customer its own name"),
        ));
    }
    for host in &customer.hosts {
        if let Some(other) = before.iter().find(|other| other.hosts.contains(host)) {
            let message = format!("{} is already a host of the customer \"{}\"", shown(host), other.name);
            wrongs.push((
                "hosts",
                Wrong::new(message).hint("a host has one customer: remove it from one of the two"),
            ));
        }
    }
    wrongs
}

fn shown(host: &Host) -> String {
    match host {
        Host::Any => "any host".into(),
        Host::Exact(name) => name.clone(),
        Host::Under(domain) => format!("*.{domain}"),
    }
}

/// Can only one of the two be listened on?
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // [::] takes the addresses of IPv4 as well.
    let takes =
        |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

fn purge_tokens(path: &std::path::Path, customers: &[CustomerConfig]) -> Result<Vec<PurgeToken>, Wrong> {
    let hint = "a line for each: CUSTOMER TOKEN, or CUSTOMER TOKEN NAME; head -c 24 /dev/urandom | base64 makes a token";
    let known = |name: &str| customers.iter().any(|customer| customer.name == name);
    PurgeToken::read(path, known).map_err(|error| Wrong::new(error.to_string()).hint(hint))
}

fn token(path: &std::path::Path) -> Result<Token, Wrong> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Wrong::new(format!("cannot read the token file {}: {error}", path.display()))
            .hint("write a secret into it: head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE")
    })?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::new(format!(
            "the token in {} has to be one word of {SHORTEST_TOKEN} or more visible ASCII characters",
            path.display()
        ))
        .hint("write a secret into it: head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE"));
    }
    Ok(Token::new(token))
}
