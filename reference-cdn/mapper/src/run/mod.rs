//! A mapper as a process: what [`config`] says, carried out.
//!
//! Threads: those of [`server`](crate::server) answer queries; one *keeper* looks at the inputs, steps the conditions each second and
//! publishes maps; a runtime of its own takes load reports and serves operators. Queries never wait for any of the others.

mod admin;
mod check;
pub mod config;
mod dates;
mod exposed;
mod hidden;
mod keeper;
mod meant;
mod metrics;
mod names;
mod outside;
mod probes;
mod reload;
mod reports;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use admin::explain_name;
use arc_swap::ArcSwap;
pub use check::{Checked, check};
pub use config::{Config, ConfigError};
use control::load_report::Keys;
pub use keeper::{Done, Keeper, Order, Outcome, Status, Told, ToldOfReports, Which};
pub use reload::Reloaded;
use tokio::sync::mpsc;

use crate::authority::{Authority, Current};
use crate::build::InputReader;
use crate::map::{Published, Steerer};
use crate::server::{self, Server, StartError};

/// What a mapper gets from outside: the clock and randomness.
#[derive(Clone)]
pub struct Outside {
    /// Milliseconds since 1970.
    pub unix: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Milliseconds of a clock that never goes back.
    pub monotonic: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Octets that nobody can guess.
    pub secret: [u8; 32],
}

/// Why a mapper does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Server(#[from] StartError),
    #[error("{0}")]
    Map(#[from] crate::map::publish::PublishError),
    #[error("{0}; how much a new map changes cannot be told, and --accept publishes it all the same")]
    Damaged(crate::map::publish::PublishError),
    #[error(
        "there is no map in {0} yet: start the mapper that publishes there first, or give this one [inputs]"
    )]
    NoMap(String),
    #[error("{}: there is no such folder; name the one that a mapper publishes its maps into", .0.display())]
    NoFolder(PathBuf),
    #[error("the system gives no random octets: cookies cannot be kept secret")]
    Random,
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A mapper that answers.
pub struct Mapper {
    server: Option<Server>,
    keeper: Option<std::thread::JoinHandle<()>>,
    orders: mpsc::Sender<Order>,
    runtime: Option<tokio::runtime::Runtime>,
    shared: Arc<Shared>,
    addresses: Addresses,
}

/// Where a mapper listens.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Addresses {
    pub dns: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    pub load: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// What threads of a mapper share.
pub(crate) struct Shared {
    pub config: Config,
    pub published: Arc<Published>,
    pub authority: Current,
    /// Of load reports.
    pub keys: ArcSwap<Keys>,
    /// That operators show; empty where nobody is asked for it.
    pub token: ArcSwap<String>,
    pub certificate: std::sync::OnceLock<server::ServerCertificate>,
    /// What was said of dates that somebody must see to.
    dates: std::sync::Mutex<dates::Dates>,
    pub reloading: std::sync::Mutex<()>,
    pub status: ArcSwap<Status>,
    pub orders: mpsc::Sender<Order>,
    pub metrics: std::sync::OnceLock<server::Metrics>,
    pub counters: std::sync::Mutex<Vec<Arc<crate::authority::Counters>>>,
    pub reports: reports::Counts,
    pub keeper_ended: AtomicBool,
    pub outside: Outside,
    /// The keeper shall end, even if no order to do so gets through.
    pub ending: AtomicBool,
}

/// Says that a thread has ended, however it did.
struct EndedWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndedWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Orders that wait for the keeper.
const ORDERS: usize = 65_536;

impl Mapper {
    /// Starts a mapper: it answers when this returns.
    ///
    /// # Errors
    /// What keeps it from that.
    pub fn start(config: Config, outside: Outside) -> Result<Self, RunError> {
        let (cookie, seed) = secrets(&outside.secret);
        let settings = config.authority(cookie)?;
        let token = config.admin_token()?;
        let keys = config.report_keys()?;
        let (orders, inbox) = mpsc::channel(ORDERS);
        let mut keeper = Keeper::new(&config, outside.clone())?;
        let first = keeper.first()?;
        warn_of_hidden(&settings, &first.network);
        meant::warn(&config, &first.network);
        exposed::warn(&config);
        let published = Published::new(first);
        let bound = server::bind(config.server())?;
        let mut addresses =
            Addresses { dns: bound.addresses(), tls: bound.tls_addresses(), ..Addresses::default() };
        let shared = Arc::new(Shared {
            published: Arc::clone(&published),
            authority: Arc::new(ArcSwap::from_pointee(settings)),
            keys: ArcSwap::from_pointee(keys),
            token: ArcSwap::from_pointee(token.unwrap_or_default()),
            certificate: std::sync::OnceLock::new(),
            dates: std::sync::Mutex::default(),
            reloading: std::sync::Mutex::default(),
            status: ArcSwap::from_pointee(keeper.status()),
            orders: orders.clone(),
            metrics: std::sync::OnceLock::new(),
            counters: std::sync::Mutex::default(),
            reports: reports::Counts::new(keeper.waiting()),
            keeper_ended: AtomicBool::new(false),
            outside,
            ending: AtomicBool::new(false),
            config,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mapper-admin")
            .enable_all()
            .build()
            .map_err(RunError::Thread)?;
        if let Some(load) = &shared.config.load {
            addresses.load = Some(reports::listen(&runtime, load.listen, Arc::clone(&shared))?);
        }
        if let Some(admin) = &shared.config.admin {
            addresses.admin = Some(admin::listen(&runtime, admin.listen, Arc::clone(&shared))?);
        }
        for (kind, probe) in shared.config.probes.iter().enumerate() {
            runtime.spawn(probes::run(kind, probe.clone(), Arc::clone(&shared)));
        }
        if let (Some(probe), Some(zone)) = (shared.config.probe_names, shared.config.low_zone()) {
            runtime.spawn(names::run(probe, zone.to_owned(), Arc::clone(&shared)));
        }
        let ready = shared.config.ready_answers;
        let make = {
            let shared = Arc::clone(&shared);
            move |number: usize| {
                let steerer = Steerer::new(Arc::clone(&shared.published), ready);
                // Another one for each thread, and none follows from another.
                let mut own = seed;
                for (octet, other) in own.iter_mut().zip((number as u64).to_be_bytes()) {
                    *octet ^= other;
                }
                let own = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &own);
                let own = own.as_ref().first_chunk().copied().unwrap_or(seed);
                let authority = Authority::new(Arc::clone(&shared.authority), steerer, own);
                let counters = authority.counters();
                shared.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(counters);
                authority
            }
        };
        let server = bound.run(make)?;
        let _ = shared.metrics.set(server.metrics());
        if let Some(certificate) = server.certificate() {
            let _ = shared.certificate.set(certificate);
        }
        shared.look_at_dates(false);
        runtime.spawn(dates::run(Arc::clone(&shared)));
        let keeper = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("mapper-keeper".into())
                .spawn(move || {
                    let ended = EndedWhenDropped(&shared.keeper_ended);
                    keeper.run(&shared, inbox);
                    drop(ended);
                })
                .map_err(RunError::Thread)?
        };
        Ok(Self {
            server: Some(server),
            keeper: Some(keeper),
            orders,
            runtime: Some(runtime),
            shared,
            addresses,
        })
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reads again what may change while it runs: certificate, zones, keys, token; and looks at the inputs at once.
    pub fn reload(&self) -> Reloaded {
        self.shared.reload()
    }

    /// Stops answering. All addresses are free when this returns.
    pub fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        self.shared.ending.store(true, Ordering::Relaxed);
        let _ = self.orders.try_send(Order::Stop);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Says which records of zone files are never answered.
fn warn_of_hidden(settings: &crate::authority::Settings, network: &crate::network::Network) {
    for what in hidden::hidden(&settings.zones, network) {
        tracing::warn!("{what}");
    }
}

/// The secret of cookies, and the seed of the threads.
fn secrets(secret: &[u8; 32]) -> ([u8; 16], [u8; 16]) {
    let mut halves = ([0; 16], [0; 16]);
    halves.0.copy_from_slice(&secret[..16]);
    halves.1.copy_from_slice(&secret[16..]);
    halves
}

/// Reads a map as an operator names it: a folder of maps with an epoch, or without one the map in force.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_map(folder: &Path, epoch: Option<u64>) -> Result<crate::map::publish::Edition, RunError> {
    use crate::map::{Epoch, publish};
    folder_of_maps(folder)?;
    match epoch {
        Some(epoch) => Ok(publish::open_epoch(folder, Epoch(epoch))?),
        None => publish::open_current(folder)?
            .ok_or_else(|| publish::PublishError::Empty { path: folder.to_owned() }.into()),
    }
}

/// The epoch of the map that was in force at a time, in milliseconds since 1970.
///
/// # Errors
/// None of then is kept, or it cannot be read.
pub fn epoch_at(folder: &Path, time: u64) -> Result<u64, RunError> {
    folder_of_maps(folder)?;
    Ok(crate::map::publish::epoch_at(folder, time)?.0)
}

fn folder_of_maps(folder: &Path) -> Result<(), RunError> {
    if folder.exists() { Ok(()) } else { Err(RunError::NoFolder(folder.to_owned())) }
}

/// What came of one build.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuiltOnce {
    /// Under which epoch it was published, if it was.
    pub epoch: Option<u64>,
    pub churn: Option<crate::map::churn::Churn>,
    pub held_back: Option<crate::map::churn::HeldBack>,
    pub report: crate::build::BuildReport,
}

/// The network that a configuration's inputs describe.
///
/// # Errors
/// The inputs describe none.
pub fn network_of(config: &Config, outside: &Outside) -> Result<Arc<crate::network::Network>, RunError> {
    Ok(Arc::new(build_network(config, outside)?.network))
}

fn build_network(config: &Config, outside: &Outside) -> Result<crate::build::Built, RunError> {
    let Some(files) = config.input_files() else {
        return Err(ConfigError::one("inputs: this mapper builds no maps; give it [inputs]").into());
    };
    let inputs = InputReader::new(files).read();
    let inputs =
        inputs.map_err(|problems| ConfigError(problems.iter().map(ToString::to_string).collect()))?;
    Ok(crate::build::Builder::new(config.build_settings()).build((outside.unix)() / 1000, &inputs))
}

/// Builds a map and publishes it, unless it changes too much and nobody accepts that.
///
/// # Errors
/// It cannot be built or published.
pub fn build_once(config: &Config, outside: &Outside, accept: bool) -> Result<BuiltOnce, RunError> {
    use crate::conditions::Conditions;
    use crate::map::churn::churn;
    use crate::map::publish::{Publisher, open_current};
    let built = build_network(config, outside)?;
    let folder = config.map_folder().unwrap_or_default();
    let mut publisher = Publisher::open(&folder, config.kept())?;
    let mut outcome = BuiltOnce { epoch: None, churn: None, held_back: None, report: built.report };
    let mut watch = crate::conditions::Watch::default();
    let now = (outside.monotonic)();
    let before = match open_current(&folder) {
        Ok(before) => before,
        // As a mapper that is started, which begins anew.
        Err(_) if accept => None,
        Err(error) => return Err(RunError::Damaged(error)),
    };
    if let Some(before) = before {
        let calm = (Conditions::calm(&before.network), Conditions::calm(&built.network));
        let change = churn((&before.network, &calm.0), (&built.network, &calm.1));
        // Without anybody to tell that they are well, they would never be again.
        if config.load.is_some() || !config.probes.is_empty() {
            watch.resume(now, &before.network, &before.conditions);
        }
        outcome.churn = Some(change);
        if let Err(held) = change.admit(&config.bounds(), accept) {
            outcome.held_back = Some(held);
            return Ok(outcome);
        }
    }
    // Who could not be named before cannot be because of a new network.
    let withdrawn = publisher.withdrawn()?;
    let names = built.network.server_names.iter().zip(&built.network.servers);
    names
        .filter(|(name, _)| withdrawn.contains(*name))
        .for_each(|(_, server)| watch.withdraw(server.key, true));
    let conditions = watch.step(now, &built.network, &config.rules);
    let time = (outside.unix)();
    let epoch = publisher.next(time);
    publisher.publish(epoch, time, &Arc::new(built.network), &conditions)?;
    outcome.epoch = Some(epoch.0);
    Ok(outcome)
}

/// Reasons why lines of one file were not used that are told to people.
const MOST_SKIPPED: usize = 5;

impl BuiltOnce {
    /// For people.
    pub fn to_text(&self) -> String {
        let report = &self.report;
        let mut text = match (self.epoch, &self.held_back) {
            (Some(epoch), _) => format!("published as map {epoch}\n"),
            (None, Some(held)) => format!("{held}\n"),
            (None, None) => String::new(),
        };
        text += &format!(
            "{}, {}, {}; {} of clients: {} measured, {} placed, {} with BGP paths\n",
            counted(report.sites, "site"),
            counted(report.servers, "server"),
            counted(report.services, "service"),
            counted(report.units, "unit"),
            report.measured_units,
            report.placed_units,
            report.routed_units
        );
        for input in &report.inputs {
            text += &format!(
                "  {:<8} {}: {} of {} lines used for {}, {} s old, trusted {} %\n",
                input.kind,
                input.file,
                input.used,
                input.lines,
                input.used_for,
                input.age,
                u32::from(input.trust) * 100 / 255
            );
            for skipped in input.skipped.iter().take(MOST_SKIPPED) {
                text += &format!("           {}\n", skipped.tell(&input.file));
            }
            if let Some(more @ 1..) = input.skipped.len().checked_sub(MOST_SKIPPED) {
                text +=
                    &format!("           {more} more reasons why lines were not used; --json lists them\n");
            }
        }
        for problem in &report.problems {
            text += &format!("  problem: {problem}\n");
        }
        text
    }
}

/// So many of something.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Counts things that several threads count.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
