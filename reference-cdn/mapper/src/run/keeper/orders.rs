//! What others ask of the keeper, and how it does that.

use control::load_report::LoadReport;
use tokio::sync::mpsc;

use super::heard;
use super::withdraw::Which;
use super::{Keeper, Source, tell};

/// What came of what an operator ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It is in force here, and not on the disk: why. A restart would forget it, and mappers that read the folder do not know it.
    NotKept(String),
    /// No map is held back.
    Nothing,
    /// Nothing was done, since the map does not have these.
    Unknown(Vec<String>),
    /// Nothing was done, since it would leave these services without a server.
    Bereft(Vec<String>),
}

/// What an operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub outcome: Outcome,
    /// Servers that were withdrawn or restored, and those that were so before.
    pub changed: Vec<String>,
    pub same: Vec<String>,
    /// Services that are left without a server.
    pub bereft: Vec<String>,
}

impl From<Outcome> for Told {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, changed: Vec::new(), same: Vec::new(), bereft: Vec::new() }
    }
}

/// Where an operator waits for it.
pub type Done = tokio::sync::oneshot::Sender<Told>;

/// What others ask of the keeper.
#[derive(Debug)]
pub enum Order {
    /// Load reports that were authentic, and when they came (milliseconds since 1970).
    Reports(Vec<LoadReport>),
    /// The same, of somebody who waits to be told what became of them.
    Asked {
        reports: Vec<LoadReport>,
        done: tokio::sync::oneshot::Sender<heard::Told>,
    },
    /// An operator takes servers out, or back in; also if that leaves a service without any.
    Withdraw {
        which: Which,
        withdrawn: bool,
        force: bool,
        done: Done,
    },
    /// A probe of a server ended.
    Probed {
        server: String,
        /// Which of the configured probes, and over which family of addresses: each is counted for itself.
        kind: usize,
        succeeded: bool,
    },
    /// A configured probe does not ask a server any more.
    Unprobed {
        server: String,
        kind: usize,
    },
    /// A site's low-level name servers were asked: whether any answered.
    NamesProbed {
        site: String,
        succeeded: bool,
    },
    /// None of a site's low-level name servers can be asked any more.
    NamesUnprobed {
        site: String,
    },
    /// The map that is held back shall come into force.
    Accept(Done),
    /// Look at the inputs now.
    Look,
    Stop,
}

impl Keeper {
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
                self.take(&reports, None);
                false
            }
            Order::Asked { reports, done } => {
                let mut told = heard::Told::default();
                self.take(&reports, Some(&mut told));
                let _ = done.send(told);
                false
            }
            Order::Withdraw { which, withdrawn, force, done } => {
                self.withdraw(&which, withdrawn, force, done)
            }
            Order::Probed { server, kind, succeeded } => {
                if let Some(key) = self.by_name.get(&server).copied() {
                    self.watch.probe((self.outside.monotonic)(), key, kind, succeeded, &self.config.rules);
                }
                false
            }
            Order::Unprobed { server, kind } => {
                if let Some(key) = self.by_name.get(&server).copied() {
                    self.watch.unprobe(key, kind);
                }
                false
            }
            Order::NamesProbed { site, succeeded } => {
                self.watch.probe_names((self.outside.monotonic)(), &site, succeeded, &self.config.rules);
                false
            }
            Order::NamesUnprobed { site } => {
                self.watch.unprobe_names(&site);
                false
            }
            Order::Accept(done) => {
                self.status.held_back = None;
                let Some(network) = self.held.take() else {
                    let _ = done.send(Outcome::Nothing.into());
                    return false;
                };
                tracing::info!("the map that was held back is accepted by an operator");
                self.accepted = Some(self.put_network(network));
                self.unanswered.push((done, Outcome::Done.into()));
                true
            }
            Order::Look => true,
            Order::Stop => false,
        }
    }

    /// Writes which servers operators took out, if that has changed, or could not be written before.
    pub(super) fn keep_withdrawn(&mut self) {
        let Source::Inputs { publisher, .. } = &self.source else { return };
        if self.unwritten {
            let kept = publisher.keep_withdrawn(&self.withdrawn);
            self.unwritten = kept.is_err();
            let why =
                |error| format!("{error}; which servers are withdrawn is forgotten when this mapper ends");
            tell(&mut self.keeping, kept.err().map(why), "which servers are withdrawn is kept again");
        }
    }

    /// Tells operators what came of their orders, when queries are answered accordingly.
    pub(super) fn answer_operators(&mut self) {
        let wrong =
            [&self.keeping, &self.publishing].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let outcome = if wrong.is_empty() { Outcome::Done } else { Outcome::NotKept(wrong.join("; ")) };
        for (done, told) in self.unanswered.drain(..) {
            let _ = done.send(Told { outcome: outcome.clone(), ..told });
        }
    }
}
