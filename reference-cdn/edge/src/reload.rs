//! Reads again what files say and a restart would otherwise be needed for: certificates of listeners, tokens for purges,
//! whom to trust and what to show towards origins. Each of the three is replaced as a whole or stays as it was.

use std::sync::Arc;

use crate::purge::Keyring;
use crate::state::Edge;
use crate::tls::{Certificates, TlsError};

/// See the module.
#[derive(Debug)]
pub struct Reload {
    edge: Arc<Edge>,
    certificates: Option<Arc<Certificates>>,
    keyring: Option<Arc<Keyring>>,
}

/// What came of reading everything again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Certificates in use; `None`: there is no TLS listener, or the old ones stay.
    pub certificates: Option<usize>,
    /// Tokens for purges; `None`: there is no file of them, or the old ones stay.
    pub purge_tokens: Option<usize>,
    /// Origins in TLS: those whose files said something else than before, and those whose did not.
    pub origins_changed: usize,
    pub origins_unchanged: usize,
    /// What is wrong with which file.
    pub errors: Vec<String>,
}

impl Reload {
    pub fn new(
        edge: Arc<Edge>,
        certificates: Option<Arc<Certificates>>,
        keyring: Option<Arc<Keyring>>,
    ) -> Self {
        Self { edge, certificates, keyring }
    }

    /// The certificates alone; `None`: there is no TLS listener. See [`Certificates::reload`].
    pub fn certificates(&self) -> Option<Result<usize, TlsError>> {
        self.certificates.as_ref().map(|certificates| certificates.reload())
    }

    /// Everything. Waits for the disk. What came of it is in the log, too.
    pub fn all(&self) -> Reloaded {
        let mut done = Reloaded::default();
        match self.certificates() {
            Some(Ok(count)) => done.certificates = Some(count),
            Some(Err(error)) => done.errors.push(format!("{error}; the old certificates stay in use")),
            None => {}
        }
        let metrics = &self.edge.metrics;
        match self.keyring.as_ref().and_then(|keyring| keyring.reload()) {
            Some(Ok(count)) => {
                metrics.token_reloads.add(1);
                tracing::info!(count, "tokens for purges replaced");
                done.purge_tokens = Some(count);
            }
            Some(Err(error)) => {
                metrics.token_reloads_failed.add(1);
                tracing::error!(%error, "tokens for purges not replaced; the old ones stay in use");
                done.errors.push(format!("{error}; the old tokens for purges stay in use"));
            }
            None => {}
        }
        let mut system = crate::origin::SystemAuthorities::default();
        for customer in self.edge.customers.all() {
            for result in customer.origin.reload_tls(&mut system) {
                match result {
                    Ok(true) => {
                        metrics.origin_tls_reloads.add(1);
                        done.origins_changed += 1;
                    }
                    Ok(false) => done.origins_unchanged += 1,
                    Err(error) => {
                        metrics.origin_tls_reloads_failed.add(1);
                        let customer = &*customer.name;
                        tracing::error!(customer, %error, "trust towards an origin not replaced; it stays as it was");
                        done.errors.push(format!("{error}; its trust stays as it was"));
                    }
                }
            }
        }
        if done.origins_changed > 0 {
            tracing::info!(origins = done.origins_changed, "trust towards origins replaced");
        }
        done
    }
}
