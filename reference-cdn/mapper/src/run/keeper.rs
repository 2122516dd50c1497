//! Keeps the map: looks at inputs, steps conditions each second, publishes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use control::load_report::LoadReport;
use serde::Serialize;
use tokio::sync::mpsc;

use super::config::Config;
use super::reports::Waiting;
use super::{Outside, RunError, Shared};
use crate::build::{BuildReport, Builder, InputReader, Inputs};
use crate::conditions::{Conditions, Taken, Watch};
use crate::map::churn::{HeldBack, churn};
use crate::map::publish::{self, Publisher, Reader};
use crate::map::{Epoch, Map};
use crate::network::Network;

/// Between two steps, in milliseconds.
const STEP: u64 = 1000;
/// Between two looks at the inputs, in seconds, if the configuration does not say.
const LOOK: u64 = 10;

/// After so many milliseconds maps are built again though no input changed: measurements are worth less as they age.
const REBUILD: u64 = 60_000;

/// What others ask of the keeper.
#[derive(Debug)]
pub enum Order {
    /// Load reports that were authentic, and when they came (milliseconds since 1970).
    Reports(Vec<LoadReport>),
    /// An operator takes a server out, or back in.
    Withdraw {
        server: String,
        withdrawn: bool,
        done: tokio::sync::oneshot::Sender<bool>,
    },
    /// A probe of a server ended.
    Probed {
        server: String,
        /// Which of the configured probes.
        kind: usize,
        succeeded: bool,
    },
    /// A site's low-level name servers were asked: whether any answered.
    NamesProbed {
        site: String,
        succeeded: bool,
    },
    /// The map that is held back shall come into force.
    Accept(tokio::sync::oneshot::Sender<bool>),
    /// Look at the inputs now.
    Look,
    Stop,
}

/// What there is to know about the maps, for operators.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    pub epoch: u64,
    pub sites: usize,
    pub servers: usize,
    pub services: usize,
    pub units: usize,
    pub serving: usize,
    pub busy: usize,
    pub overloaded: usize,
    pub failed: usize,
    pub withdrawn: usize,
    /// Names that more servers carry than they must.
    pub hot: usize,
    /// Sites that give clients away.
    pub shedding: usize,
    /// So many servers are silent at once that their silence is not believed.
    pub blind: bool,
    pub reports: HashMap<&'static str, u64>,
    /// The last build.
    pub build: Option<BuildReport>,
    pub held_back: Option<HeldBack>,
    /// Threads that answered queries and do not any more: their share stays unanswered until the mapper is started anew.
    pub threads_gone: usize,
    /// What keeps maps from being published or read, if anything.
    pub trouble: Option<String>,
}

/// Where maps come from.
enum Source {
    /// This mapper makes them.
    Inputs { reader: Box<InputReader>, builder: Box<Builder>, publisher: Box<Publisher> },
    /// Another one does.
    Folder(Reader),
    /// Nothing is steered.
    None,
}

pub struct Keeper {
    source: Source,
    watch: Watch,
    config: Config,
    outside: Outside,
    map: Option<Arc<Map>>,
    /// Positions of servers by name in the map's network.
    by_name: HashMap<String, u64>,
    last_look: Option<u64>,
    /// When the last build was, and of what.
    built: Option<(u64, Inputs)>,
    status: Status,
    /// Servers that operators took out: also those that the network does not have now.
    withdrawn: BTreeSet<String>,
    /// A network that changes too much.
    held: Option<Arc<Network>>,
    /// A map that an operator let through and that queries are not answered from yet.
    accepted: Option<Arc<Map>>,
    /// What keeps inputs or maps from being read, and maps from being published.
    reading: Option<String>,
    publishing: Option<String>,
    taken: HashMap<Taken, u64>,
    waiting: Waiting,
}

impl Keeper {
    /// # Errors
    /// The folder of maps cannot be used.
    pub fn new(config: &Config, outside: Outside) -> Result<Self, RunError> {
        let source = match (config.map_folder(), config.input_files()) {
            (Some(folder), Some(files)) => Source::Inputs {
                reader: Box::new(InputReader::new(files)),
                builder: Box::new(Builder::new(config.build_settings())),
                publisher: Box::new(Publisher::open(&folder, config.kept())?),
            },
            (Some(folder), None) => Source::Folder(Reader::new(&folder)),
            (None, _) => Source::None,
        };
        Ok(Self {
            source,
            watch: Watch::default(),
            config: config.clone(),
            outside,
            map: None,
            by_name: HashMap::new(),
            last_look: None,
            built: None,
            status: Status::default(),
            withdrawn: BTreeSet::new(),
            held: None,
            accepted: None,
            reading: None,
            publishing: None,
            taken: HashMap::new(),
            waiting: Waiting::default(),
        })
    }

    /// The first map.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn first(&mut self) -> Result<Arc<Map>, RunError> {
        self.resume();
        let looked = match self.look() {
            // The map that was in force is better than no answer.
            Err(error) if self.map.is_some() => {
                tell(&mut self.reading, Some(error.to_string()));
                None
            }
            other => other?,
        };
        let map = looked.or_else(|| self.map.clone()).ok_or_else(|| {
            RunError::NoMap(self.config.map_folder().unwrap_or_default().display().to_string())
        })?;
        self.note();
        Ok(map)
    }

    /// Goes on from the map that was in force when the mapper that published it ended: who had failed has failed until it is heard
    /// of, who was withdrawn stays so, and what would change too much is held back as ever.
    fn resume(&mut self) {
        let Source::Inputs { publisher, .. } = &self.source else { return };
        match publisher.withdrawn() {
            Ok(withdrawn) => self.withdrawn = withdrawn,
            Err(error) => tracing::warn!("{error}; withdraw again the servers that must not be named"),
        }
        let edition = match publish::open_current(&self.config.map_folder().unwrap_or_default()) {
            Ok(Some(edition)) => edition,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("{error}; maps begin anew");
                return;
            }
        };
        // Without anybody to tell that they are well, they would never be again.
        if self.config.load.is_some() || !self.config.probes.is_empty() {
            let now = (self.outside.monotonic)();
            self.watch.resume(now, &edition.network, &edition.conditions);
        }
        self.withdraw_again(&edition.network);
        self.take_up(edition.epoch, edition.network, edition.conditions);
    }

    /// Tells the watch which servers of a network operators took out.
    fn withdraw_again(&mut self, network: &Network) {
        for (name, server) in network.server_names.iter().zip(&network.servers) {
            if self.withdrawn.contains(name) {
                self.watch.withdraw(server.key, true);
            }
        }
    }

    /// How many reports wait for it.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Steps each second until it is told to stop.
    pub(super) fn run(mut self, shared: &Shared, mut inbox: mpsc::Receiver<Order>) {
        give_way();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let Ok(runtime) = runtime.map_err(|error| {
            tracing::error!(%error, "the keeper of maps cannot start: this mapper answers from the map that it has, for ever");
        }) else {
            return;
        };
        runtime.block_on(async {
            let mut ticks = tokio::time::interval(Duration::from_millis(STEP));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let look = tokio::select! {
                    _ = ticks.tick() => match self.catch_up(&mut inbox) {
                        Some(look) => look,
                        None => return,
                    },
                    order = inbox.recv() => match order {
                        None | Some(Order::Stop) => return,
                        Some(order) => {
                            if !self.carry_out(order) { continue }
                            true
                        }
                    },
                };
                if shared.ending.load(Ordering::Relaxed) {
                    return;
                }
                self.step(shared, look);
            }
        });
    }

    /// Carries out what came while the keeper was busy: until it is heard, servers look silent that are not. Whether to look at
    /// the inputs, or none if it is told to stop.
    pub(super) fn catch_up(&mut self, inbox: &mut mpsc::Receiver<Order>) -> Option<bool> {
        let mut look = false;
        for _ in 0..inbox.len() {
            match inbox.try_recv() {
                Ok(Order::Stop) => return None,
                Ok(order) => look |= self.carry_out(order),
                Err(_) => break,
            }
        }
        Some(look)
    }

    /// Does what was ordered; true if a step has to follow at once.
    pub(super) fn carry_out(&mut self, order: Order) -> bool {
        match order {
            Order::Reports(reports) => {
                self.waiting.taken(reports.len());
                self.take(&reports);
                false
            }
            Order::Withdraw { server, withdrawn, done } => {
                // Who only reads maps decides nothing; that nobody answers says so.
                let Source::Inputs { publisher, .. } = &self.source else { return false };
                let key = self.by_name.get(&server).copied();
                if let Some(key) = key {
                    self.watch.withdraw(key, withdrawn);
                }
                let changed = match (withdrawn, key) {
                    (true, Some(_)) => self.withdrawn.insert(server),
                    (true, None) => false,
                    (false, _) => self.withdrawn.remove(&server),
                };
                if changed && let Err(error) = publisher.keep_withdrawn(&self.withdrawn) {
                    tracing::warn!("{error}; who is withdrawn will be forgotten when this mapper ends");
                }
                let _ = done.send(key.is_some() || changed);
                key.is_some()
            }
            Order::Probed { server, kind, succeeded } => {
                if let Some(key) = self.by_name.get(&server).copied() {
                    self.watch.probe((self.outside.monotonic)(), key, kind, succeeded, &self.config.rules);
                }
                false
            }
            Order::NamesProbed { site, succeeded } => {
                self.watch.probe_names((self.outside.monotonic)(), &site, succeeded, &self.config.rules);
                false
            }
            Order::Accept(done) => {
                let held = self.held.take();
                let _ = done.send(held.is_some());
                self.status.held_back = None;
                let Some(network) = held else { return false };
                self.accepted = Some(self.put_network(network));
                true
            }
            Order::Look => true,
            Order::Stop => false,
        }
    }

    fn take(&mut self, reports: &[LoadReport]) {
        let Some(map) = &self.map else { return };
        let zones: Vec<&str> = self.config.steered_zones().collect();
        let (now, unix) = ((self.outside.monotonic)(), (self.outside.unix)());
        let mut labels = Vec::new();
        for report in reports {
            let key = self.by_name.get(&report.server).copied();
            let taken = self.watch.report(now, unix, key, report, |name| {
                let below = zones.iter().find_map(|zone| name.strip_suffix(zone)?.strip_suffix('.'))?;
                crate::map::wire_into(below, &mut labels)?;
                map.names().find(&labels)
            });
            *self.taken.entry(taken).or_default() += 1;
        }
    }

    fn step(&mut self, shared: &Shared, look: bool) {
        if let Some(map) = self.next(look) {
            shared.published.publish(map);
        }
        self.note_threads(shared.metrics.get().map_or(0, crate::server::Metrics::threads_gone));
        shared.status.store(Arc::new(self.status.clone()));
    }

    /// A thread that is gone leaves its share of the queries unanswered. That is said once for each.
    pub(super) fn note_threads(&mut self, gone: usize) {
        if gone > self.status.threads_gone {
            tracing::error!(
                gone,
                "threads that answer queries are gone, and their share of the queries stays unanswered: restart this mapper; why is \
                 in the log before this"
            );
        }
        self.status.threads_gone = gone;
    }

    /// The map to answer from as of now, if it is another one.
    pub(super) fn next(&mut self, look: bool) -> Option<Arc<Map>> {
        let now = (self.outside.monotonic)();
        let due = self.last_look.is_none_or(|last| now.saturating_sub(last) >= self.every());
        // What looking brings now is newer.
        let accepted = self.accepted.take();
        let looked = if due || look { self.look_again() } else { None };
        let map = looked.or(accepted).or_else(|| self.step_conditions(now, due));
        self.note();
        map
    }

    fn look_again(&mut self) -> Option<Arc<Map>> {
        let looked = self.look();
        tell(&mut self.reading, looked.as_ref().err().map(ToString::to_string));
        looked.unwrap_or_default()
    }

    fn every(&self) -> u64 {
        match &self.source {
            Source::Inputs { .. } => {
                self.config.inputs.as_ref().and_then(|inputs| inputs.every).unwrap_or(LOOK).max(1) * 1000
            }
            Source::Folder(_) | Source::None => 0,
        }
    }

    /// Looks for a newer map: in the inputs, or in the folder.
    fn look(&mut self) -> Result<Option<Arc<Map>>, RunError> {
        self.last_look = Some((self.outside.monotonic)());
        match &mut self.source {
            Source::None if self.map.is_none() => {
                Ok(Some(self.take_up(Epoch(0), Arc::default(), Conditions::default())))
            }
            Source::None => Ok(None),
            Source::Folder(reader) => {
                let Some(edition) = reader.poll()? else { return Ok(None) };
                Ok(Some(self.take_up(edition.epoch, edition.network, edition.conditions)))
            }
            Source::Inputs { reader, builder, .. } => {
                let inputs = reader.read().map_err(|problems| {
                    super::ConfigError(problems.iter().map(ToString::to_string).collect())
                })?;
                let now = (self.outside.monotonic)();
                let same = self.built.as_ref().is_some_and(|(when, before)| {
                    now.saturating_sub(*when) < REBUILD && unchanged(before, &inputs)
                });
                if same {
                    return Ok(None);
                }
                let built = builder.build((self.outside.unix)() / 1000, &inputs);
                let known = self.status.build.as_ref().map_or(&[][..], |build| &build.problems);
                for problem in built.report.problems.iter().filter(|problem| !known.contains(problem)) {
                    tracing::warn!("{problem}");
                }
                self.status.build = Some(built.report);
                self.built = Some((now, inputs));
                if self.map.as_ref().is_some_and(|before| *before.network == built.network) {
                    (self.status.held_back, self.held) = (None, None);
                    return Ok(None);
                }
                let network = Arc::new(built.network);
                if let Some(before) = &self.map {
                    // Of the network only: when servers fail, that is no mistake to be held back.
                    let calm = (Conditions::calm(&before.network), Conditions::calm(&network));
                    let change = churn((&before.network, &calm.0), (&network, &calm.1));
                    if let Err(held) = change.admit(&self.config.bounds(), false) {
                        tracing::warn!("{held}");
                        self.status.held_back = Some(held);
                        self.held = Some(network);
                        return Ok(None);
                    }
                    (self.status.held_back, self.held) = (None, None);
                }
                Ok(Some(self.put_network(network)))
            }
        }
    }

    /// The conditions of this second, as a map if they are other ones; or, when it is time to try again, if those before could not
    /// be published.
    fn step_conditions(&mut self, now: u64, again: bool) -> Option<Arc<Map>> {
        if !matches!(self.source, Source::Inputs { .. }) {
            return None;
        }
        let before = self.map.clone()?;
        let conditions = self.watch.step(now, &before.network, &self.config.rules);
        let missing = again && self.publishing.is_some();
        (missing || conditions != before.conditions)
            .then(|| self.put(Arc::clone(&before.network), conditions))
    }

    fn put_network(&mut self, network: Arc<Network>) -> Arc<Map> {
        self.watch.forget(&network);
        self.withdraw_again(&network);
        let conditions = self.watch.step((self.outside.monotonic)(), &network, &self.config.rules);
        self.put(network, conditions)
    }

    /// Writes a map and takes it up. One that cannot be written is used all the same: better than the one before.
    fn put(&mut self, network: Arc<Network>, conditions: Conditions) -> Arc<Map> {
        let mut epoch = Epoch(self.map.as_ref().map_or(1, |map| map.epoch.0 + 1));
        if let Source::Inputs { publisher, .. } = &mut self.source {
            let time = (self.outside.unix)();
            epoch = epoch.max(publisher.next(time));
            let published = publisher.publish(epoch, time, &network, &conditions);
            tell(&mut self.publishing, published.err().map(|error| error.to_string()));
        }
        self.take_up(epoch, network, conditions)
    }

    fn take_up(&mut self, epoch: Epoch, network: Arc<Network>, conditions: Conditions) -> Arc<Map> {
        let map = match &self.map {
            // Tables are shared with the map before where nothing changed.
            Some(before) if Arc::ptr_eq(&before.network, &network) => before.next(epoch, conditions),
            before => {
                let keys = network.servers.iter().map(|server| server.key);
                self.by_name = network.server_names.iter().cloned().zip(keys).collect();
                match before {
                    Some(before) => before.renew(epoch, network, conditions),
                    None => Map::new(epoch, network, conditions, self.config.referral_names()),
                }
            }
        };
        let map = Arc::new(map);
        self.map = Some(Arc::clone(&map));
        map
    }

    fn note(&mut self) {
        use crate::conditions::Standing;
        self.status.trouble = self.reading.clone().or_else(|| self.publishing.clone());
        let Some(map) = &self.map else { return };
        let (network, conditions) = (&map.network, &map.conditions);
        let count = |standing| conditions.servers.iter().filter(|now| now.standing == standing).count();
        let status = &mut self.status;
        status.epoch = map.epoch.0;
        (status.sites, status.servers) = (network.sites.len(), network.servers.len());
        (status.services, status.units) = (network.services.len(), network.units.len());
        status.overloaded = count(Standing::Overloaded);
        status.failed = count(Standing::Failed);
        status.withdrawn = count(Standing::Withdrawn);
        status.serving = network.servers.len() - status.overloaded - status.failed - status.withdrawn;
        status.busy = conditions.servers.iter().filter(|now| now.busy).count();
        status.hot = conditions.hot.len();
        status.shedding = conditions.sites.iter().filter(|now| now.shifted > 0).count();
        status.blind = self.watch.is_blind();
        let name = |taken: &Taken| match taken {
            Taken::Taken => "taken",
            Taken::Unknown => "of-unknown-servers",
            Taken::Old => "old",
            Taken::Clock => "with-a-wrong-clock",
        };
        status.reports = self.taken.iter().map(|(taken, count)| (name(taken), *count)).collect();
    }
}

/// How much the thread of maps gives way to those that answer queries (`nice`). Where they take all there is, this leaves it a tenth of a
/// core, enough for a step each second; the lowest priority would leave it so little that answers would not follow failures.
pub(super) const GIVES_WAY: i32 = 10;

/// Lowers the priority of this thread and of those that it starts.
pub(super) fn give_way() {
    // In Linux, priorities are of threads.
    if let Err(error) = rustix::process::nice(GIVES_WAY) {
        tracing::debug!(%error, "the thread of maps keeps its priority");
    }
}

/// Logs what is wrong, once.
fn tell(before: &mut Option<String>, what: Option<String>) {
    if let Some(what) = what.as_ref().filter(|what| before.as_ref() != Some(*what)) {
        tracing::warn!("{what}");
    }
    *before = what;
}

/// Whether a reader read nothing new.
fn unchanged(before: &Inputs, now: &Inputs) -> bool {
    Arc::ptr_eq(&before.plant, &now.plant)
        && Arc::ptr_eq(&before.routes, &now.routes)
        && Arc::ptr_eq(&before.probes, &now.probes)
        && Arc::ptr_eq(&before.demand, &now.demand)
        && Arc::ptr_eq(&before.prefixes, &now.prefixes)
        && before.problems == now.problems
        && before.places.len() == now.places.len()
        && before.places.iter().zip(&now.places).all(|(a, b)| Arc::ptr_eq(a, b))
}
