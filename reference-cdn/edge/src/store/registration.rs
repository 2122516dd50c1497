//! A fetch that the store knows of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::flight::{Flight, Landing};
use super::{HashedKey, Store};
use crate::purge::Ticket;

/// Why a fetch does not begin.
#[derive(Clone, Debug)]
pub enum Grounded {
    /// There is one to wait for.
    Join(Arc<Flight>),
    /// What is stored changed, or purges were forgotten, since the request looked anything up; it has to look again.
    Late,
}

/// A fetch that the store knows of, until this is dropped.
#[derive(Debug)]
pub struct Registration {
    pub(super) store: Arc<Store>,
    pub(super) key: HashedKey,
    pub(super) flight: Arc<Flight>,
    /// Held until what it brought is in the store, so that no purge that it has to meet is forgotten.
    pub(super) ticket: Ticket,
}

impl Registration {
    pub fn key(&self) -> &HashedKey {
        &self.key
    }

    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// How many purges had come before the request looked anything up.
    pub fn born(&self) -> u64 {
        self.ticket.born()
    }

    /// Nobody else may wait for it from now on.
    pub fn close(&self) {
        let mut shard = self.store.shard(&self.key);
        if let Some(resource) = shard.resources.get_mut(&self.key) {
            for joinable in resource.flights() {
                if Arc::ptr_eq(&joinable.flight, &self.flight) {
                    joinable.open = false;
                }
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        {
            let mut shard = self.store.shard(&self.key);
            if let Some(resource) = shard.resources.get_mut(&self.key) {
                resource.flights().retain(|joinable| !Arc::ptr_eq(&joinable.flight, &self.flight));
                if resource.is_empty() {
                    shard.resources.remove(&self.key);
                }
            }
        }
        self.store.fetches.fetch_sub(1, Ordering::Release);
        // Whoever waits must not wait for ever, however the fetch ended (even by a panic).
        self.flight
            .land(Landing::Failed(http_cache::Failure::Response, http_cache::ProxyError::ProxyInternalError));
    }
}
