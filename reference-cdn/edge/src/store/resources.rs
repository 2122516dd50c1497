//! What a store knows of one key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use http_cache::{Key, Stored};

use super::body::Body;
use super::eviction::Queues;
use super::few::Few;
use super::flight::Flight;
use super::signal::Signal;

/// A stored response: head and content.
#[derive(Clone, Debug)]
pub struct Object {
    pub stored: Arc<Stored>,
    pub body: Arc<Body>,
}

impl Object {
    /// Another head over the same content; under the lock of its shard.
    pub(super) fn set_head(&mut self, new: &Arc<Stored>) {
        let (new_weight, old_weight) = (new.weight() as u64, self.stored.weight() as u64);
        self.stored = Arc::clone(new);
        self.body.charge(new_weight.saturating_sub(old_weight));
        self.body.discharge(old_weight.saturating_sub(new_weight));
    }
}

/// The responses under one key, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Variants {
    pub stored: Few<Arc<Stored>>,
    pub bodies: Few<Arc<Body>>,
}

impl Variants {
    pub fn object(&self, index: usize) -> Option<Object> {
        let stored = Arc::clone(self.stored.get(index)?);
        Some(Object { stored, body: Arc::clone(self.bodies.get(index)?) })
    }

    pub fn objects(&self) -> impl Iterator<Item = Object> {
        (0..self.bodies.len()).filter_map(|index| self.object(index))
    }
}

impl FromIterator<Object> for Variants {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let (stored, bodies): (Vec<_>, Vec<_>) = objects.into_iter().map(|it| (it.stored, it.body)).unzip();
        Self { stored: stored.into(), bodies: bodies.into() }
    }
}

/// A key and its keyed hash. The hash finds the shard and the slot; equality is decided by the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedKey {
    pub(crate) hash: u64,
    pub(crate) customer: Arc<str>,
    pub(crate) key: Key,
}

impl HashedKey {
    /// The name of the customer whose content it is.
    pub fn customer(&self) -> &str {
        &self.customer
    }
}

impl Hash for HashedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes on a hash made before.
#[derive(Debug, Default)]
pub(super) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A part of the store, under one lock.
#[derive(Debug)]
pub(super) struct Shard {
    pub resources: HashMap<HashedKey, Resource, BuildHasherDefault<Ready>>,
    pub queues: Queues,
}

/// What is stored, fetched and looked for under one key. Small: there is one for each key.
#[derive(Debug, Default)]
pub(super) struct Resource {
    /// `None`: no response.
    pub variants: Option<Arc<Variants>>,
    pub traffic: Option<Box<Traffic>>,
    /// Memory has all that the disk has under this key.
    pub whole: bool,
    /// The version of the purges at which the variants were last judged.
    pub checked: u64,
}

#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub flights: Vec<Joinable>,
    /// What the disk has is being read.
    pub loading: Option<Arc<Signal<()>>>,
}

#[derive(Debug)]
pub(super) struct Joinable {
    pub flight: Arc<Flight>,
    /// Others may wait for it.
    pub open: bool,
}

impl Resource {
    pub fn variants(&self) -> Arc<Variants> {
        self.variants.as_ref().map(Arc::clone).unwrap_or_default()
    }

    pub fn bodies(&self) -> &[Arc<Body>] {
        self.variants.as_ref().map_or(&[], |variants| &*variants.bodies)
    }

    /// The objects, and the order in which they came.
    pub fn objects(&self) -> Vec<Object> {
        self.variants.iter().flat_map(|variants| variants.objects()).collect()
    }

    pub fn set(&mut self, objects: Vec<Object>) {
        self.variants = (!objects.is_empty()).then(|| Arc::new(objects.into_iter().collect()));
    }

    pub fn flights(&mut self) -> &mut Vec<Joinable> {
        &mut self.traffic.get_or_insert_default().flights
    }

    pub fn open_flights(&self) -> impl Iterator<Item = &Arc<Flight>> {
        let flights = self.traffic.iter().flat_map(|traffic| &traffic.flights);
        flights.filter(|one| one.open).map(|one| &one.flight)
    }

    /// Nothing needs it any more.
    pub fn is_empty(&mut self) -> bool {
        self.traffic.take_if(|traffic| traffic.flights.is_empty() && traffic.loading.is_none());
        self.variants.is_none() && self.traffic.is_none()
    }
}
