//! Reads again, while a mapper runs, what may change without a restart. SIGHUP and `POST /reload` do this and nothing else.
//!
//! Each part is read for itself: one that is wrong stays as it was and does not keep the others back. Only a configuration that cannot be
//! read, for a mistake anywhere in it, keeps all back but the certificate: it says where the others are.

use std::sync::Arc;

use serde::Serialize;

use super::config::{Config, ConfigError};
use super::keeper::Order;
use super::{Shared, secrets, warn_of_hidden};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reloaded {
    /// Parts that were read and are in use.
    pub read: Vec<&'static str>,
    /// What was wrong, each with its part, which stays as it was.
    pub wrong: Vec<String>,
    /// Parts of the configuration that changed and cannot change while a mapper runs.
    pub after_restart: Vec<&'static str>,
}

impl Reloaded {
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// For people, some lines.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if !self.read.is_empty() {
            lines.push(format!("read again: {}", self.read.join(", ")));
        }
        lines.extend(self.wrong.iter().map(|what| format!("stays as it was: {what}")));
        if !self.after_restart.is_empty() {
            lines.push(format!("changed, but only after a restart: {}", self.after_restart.join(", ")));
        }
        lines.join("\n")
    }

    /// Notes what came of a part, and hands on what was read.
    fn part<T>(&mut self, name: &'static str, outcome: Result<T, ConfigError>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.read.push(name);
                Some(value)
            }
            Err(ConfigError(wrong)) => {
                self.wrong.extend(wrong.iter().map(|what| format!("{name}: {what}")));
                None
            }
        }
    }

    fn log(&self) {
        if !self.read.is_empty() {
            tracing::info!("read again: {}", self.read.join(", "));
        }
        for what in &self.wrong {
            tracing::warn!("stays as it was: {what}");
        }
        if !self.after_restart.is_empty() {
            tracing::warn!("changed, but only after a restart: {}", self.after_restart.join(", "));
        }
    }
}

impl Shared {
    /// Reads certificate, zones, keys and token again, and looks at the inputs at once. Which files they are in, and which servers a
    /// key speaks for, is taken from the configuration as it is now; the certificate's files are those of the start.
    pub(crate) fn reload(&self) -> Reloaded {
        // One after another: what was read last is what stays.
        let _one = self.reloading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut outcome = Reloaded::default();
        if let Some(certificate) = self.certificate.get() {
            outcome.part(
                "certificate",
                certificate.reload().map_err(|error| ConfigError::one(error.to_string())),
            );
        }
        let fresh = Config::read(self.config.path());
        match fresh {
            Ok(fresh) => {
                outcome.after_restart = self.config.unlike(&fresh);
                let next = self.config.renewed(fresh);
                super::exposed::warn(&next);
                self.take_up(&next, &mut outcome);
            }
            Err(error) => _ = outcome.part::<()>("configuration", Err(error)),
        }
        self.look_at_dates(true);
        let _ = self.orders.try_send(Order::Look);
        outcome.log();
        outcome
    }

    fn take_up(&self, next: &Config, outcome: &mut Reloaded) {
        let (cookie, _) = secrets(&self.outside.secret);
        let settings = if next.steers_as(&self.config) {
            next.authority(cookie)
        } else {
            Err(ConfigError::one(
                "top and low zones are those that the mapper was started with; start it again",
            ))
        };
        if let Some(settings) = outcome.part("zones", settings) {
            warn_of_hidden(&settings, &self.published.current().network);
            self.authority.store(Arc::new(settings));
        }
        if next.load.is_some()
            && let Some(keys) = outcome.part("keys of load reports", next.report_keys())
        {
            self.keys.store(Arc::new(keys));
        }
        if next.admin.is_some()
            && let Some(token) = outcome.part("token", next.admin_token()).flatten()
        {
            self.token.store(Arc::new(token));
        }
    }
}
