//! What others ask of the keeper, and how it does that.

use control::load_report::LoadReport;
use tokio::sync::mpsc;

use super::{Keeper, Source};

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
    /// The map that is held back shall come into force.
    Accept(tokio::sync::oneshot::Sender<bool>),
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
}
