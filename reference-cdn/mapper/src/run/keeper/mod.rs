//! Keeps the map: looks at inputs, steps conditions each second, publishes.

mod changes;
mod heard;
mod orders;
mod status;
#[cfg(test)]
mod tests;
mod withdraw;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use heard::Told as ToldOfReports;
pub use orders::{Done, Order, Outcome, Told};
pub use status::Status;
use tokio::sync::mpsc;
pub use withdraw::Which;
pub(super) use withdraw::listed;

use super::config::Config;
use super::reports::{Named, Waiting};
use super::{Outside, RunError, Shared, warn_of_hidden};
use crate::build::{Builder, InputReader, Inputs};
use crate::conditions::{Conditions, Taken, Watch};
use crate::map::churn::churn;
use crate::map::publish::{self, Publisher, Reader};
use crate::map::{Epoch, Map};
use crate::network::Network;

/// Between two steps, in milliseconds.
const STEP: u64 = 1000;
/// Between two looks at the inputs, in seconds, if the configuration does not say.
const LOOK: u64 = 10;

/// After so many milliseconds maps are built again though no input changed: measurements are worth less as they age.
const REBUILD: u64 = 60_000;

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
    /// When the map in use was made, in milliseconds since 1970.
    made: u64,
    /// Positions of servers by name in the map's network.
    by_name: HashMap<String, u64>,
    last_look: Option<u64>,
    /// When the last build was, and of what.
    built: Option<(u64, Inputs)>,
    status: Status,
    /// Servers that operators took out: also those that the network does not have now.
    withdrawn: BTreeSet<String>,
    /// They are not on the disk as they are now.
    unwritten: bool,
    /// Operators who wait for what comes of their order.
    unanswered: Vec<(Done, Told)>,
    /// A network that changes too much.
    held: Option<Arc<Network>>,
    /// A map that an operator let through and that queries are not answered from yet.
    accepted: Option<Arc<Map>>,
    /// What keeps inputs or maps from being read, maps from being published, and who is withdrawn from being written.
    reading: Option<String>,
    publishing: Option<String>,
    keeping: Option<String>,
    taken: HashMap<Taken, u64>,
    /// What the log told of servers and sites.
    known: changes::Known,
    /// Servers that the log named lately: that the network does not have, and with a wrong clock.
    strangers: Named<String>,
    late: Named<String>,
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
            made: 0,
            by_name: HashMap::new(),
            last_look: None,
            built: None,
            status: Status::default(),
            withdrawn: BTreeSet::new(),
            unwritten: false,
            unanswered: Vec::new(),
            held: None,
            accepted: None,
            reading: None,
            publishing: None,
            keeping: None,
            taken: HashMap::new(),
            known: changes::Known::default(),
            strangers: Named::default(),
            late: Named::default(),
            waiting: Waiting::default(),
        })
    }

    /// The first map.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn first(&mut self) -> Result<Arc<Map>, RunError> {
        self.resume()?;
        let looked = match self.look() {
            // The map that was in force is better than no answer.
            Err(error) if self.map.is_some() => {
                tell(&mut self.reading, Some(error.to_string()), READ_AGAIN);
                None
            }
            other => other?,
        };
        let map = looked.or_else(|| self.map.clone()).ok_or_else(|| {
            RunError::NoMap(self.config.map_folder().unwrap_or_default().display().to_string())
        })?;
        self.tell_changes();
        self.note();
        Ok(map)
    }

    /// Goes on from the map that was in force when the mapper that published it ended: who had failed has failed until it is heard
    /// of, who was withdrawn stays so, and what would change too much is held back as ever.
    ///
    /// # Errors
    /// It cannot be read who was withdrawn: nobody who must not be named is.
    fn resume(&mut self) -> Result<(), RunError> {
        let Source::Inputs { publisher, .. } = &self.source else { return Ok(()) };
        self.withdrawn = publisher.withdrawn()?;
        let edition = match publish::open_current(&self.config.map_folder().unwrap_or_default()) {
            Ok(Some(edition)) => edition,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!("{error}; maps begin anew");
                return Ok(());
            }
        };
        // Without anybody to tell that they are well, they would never be again.
        if self.config.load.is_some() || !self.config.probes.is_empty() {
            let now = (self.outside.monotonic)();
            self.watch.resume(now, &edition.network, &edition.conditions);
        }
        self.withdraw_again(&edition.network);
        self.made = edition.time;
        self.take_up(edition.epoch, edition.network, edition.conditions);
        Ok(())
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

    fn step(&mut self, shared: &Shared, look: bool) {
        let before = self.map.clone();
        if let Some(map) = self.next(look) {
            let same = |before: Arc<Map>| {
                Arc::ptr_eq(&before.network, &map.network) || before.network.services == map.network.services
            };
            if !before.is_some_and(same) {
                warn_of_hidden(&shared.authority.load(), &map.network);
                super::meant::warn(&self.config, &map.network);
            }
            shared.published.publish(map);
        }
        self.answer_operators();
        self.note_threads(shared.metrics.get().map_or(0, crate::server::Metrics::threads_gone));
        let mut status = self.status.clone();
        status.reports.extend(shared.reports.outcomes());
        status.keys_trouble = shared.keys_trouble();
        shared.status.store(Arc::new(status));
    }

    /// The map to answer from as of now, if it is another one.
    pub(super) fn next(&mut self, look: bool) -> Option<Arc<Map>> {
        let now = (self.outside.monotonic)();
        let due = self.last_look.is_none_or(|last| now.saturating_sub(last) >= self.every());
        // What looking brings now is newer.
        let accepted = self.accepted.take();
        let looked = if due || look { self.look_again() } else { None };
        self.keep_withdrawn();
        let map = looked.or(accepted).or_else(|| self.step_conditions(now, due || look));
        self.tell_changes();
        self.note();
        map
    }

    fn look_again(&mut self) -> Option<Arc<Map>> {
        let looked = self.look();
        tell(&mut self.reading, looked.as_ref().err().map(ToString::to_string), READ_AGAIN);
        looked.unwrap_or_default()
    }

    fn every(&self) -> u64 {
        match &self.source {
            Source::Inputs { .. } => self.config.build.every.unwrap_or(LOOK).max(1).saturating_mul(1000),
            Source::Folder(_) | Source::None => 0,
        }
    }

    /// Looks for a newer map: in the inputs, or in the folder.
    fn look(&mut self) -> Result<Option<Arc<Map>>, RunError> {
        self.last_look = Some((self.outside.monotonic)());
        match &mut self.source {
            Source::None if self.map.is_none() => {
                self.made = (self.outside.unix)();
                Ok(Some(self.take_up(Epoch(0), Arc::default(), Conditions::default())))
            }
            Source::None => Ok(None),
            Source::Folder(reader) => {
                let Some(edition) = reader.poll()? else { return Ok(None) };
                self.made = edition.time;
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
                for problem in known.iter().filter(|problem| !built.report.problems.contains(problem)) {
                    tracing::info!("no more: {problem}");
                }
                self.status.build = Some(built.report);
                self.built = Some((now, inputs));
                if self.map.as_ref().is_some_and(|before| *before.network == built.network) {
                    self.hold_nothing();
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
                    self.hold_nothing();
                }
                Ok(Some(self.put_network(network)))
            }
        }
    }

    /// What was held back is not wanted any more.
    fn hold_nothing(&mut self) {
        if self.status.held_back.take().is_some() {
            tracing::info!("no map is held back any more: what the inputs say now does not change too much");
        }
        self.held = None;
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
        self.made = (self.outside.unix)();
        if let Source::Inputs { publisher, .. } = &mut self.source {
            epoch = epoch.max(publisher.next(self.made));
            let published = publisher.publish(epoch, self.made, &network, &conditions);
            let wrong = published.err().map(|error| error.to_string());
            tell(&mut self.publishing, wrong, "maps are published again");
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

const READ_AGAIN: &str = "inputs and maps are read again";

/// Logs what is wrong, once, and that it is so no more.
fn tell(before: &mut Option<String>, what: Option<String>, well: &str) {
    match &what {
        Some(what) if before.as_ref() != Some(what) => tracing::warn!("{what}"),
        None if before.is_some() => tracing::info!("{well}"),
        _ => {}
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
