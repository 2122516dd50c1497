//! Events that a check brings about.

use endpoint::Events;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Closed until [`open`](Gate::open) is called, then open for ever. Scripted replies wait for it.
#[derive(Clone, Debug)]
pub struct Gate {
    events: Events,
    pub(super) name: String,
}

impl Gate {
    pub(super) fn new(events: Events, name: String) -> Self {
        Gate { events, name }
    }

    /// Lets everybody through who waits or will wait.
    pub fn open(&self) {
        self.events.signal(&self.name);
    }
}

/// Something a script looks at to choose its reply.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    pub fn on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub fn turn_on(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn turn_off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
