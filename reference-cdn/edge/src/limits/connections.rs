//! How many connections each client has open. There are never more entries than connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts of open connections, by the network of the client.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<u128, u32>>);

impl Connections {
    fn counts(&self) -> MutexGuard<'_, HashMap<u128, u32>> {
        // Each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection of `network`, until what is given is dropped; `None` when it has `most` already.
    pub fn open(self: &Arc<Self>, network: u128, most: u32) -> Option<OpenConnection> {
        let mut counts = self.counts();
        let count = counts.entry(network).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OpenConnection { of: Arc::clone(self), network })
    }

    /// Clients with a connection open.
    pub fn clients(&self) -> usize {
        self.counts().len()
    }
}

/// A connection that counts.
#[derive(Debug)]
pub struct OpenConnection {
    of: Arc<Connections>,
    network: u128,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.of.counts().entry(self.network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_has_more_than_allowed_and_who_left_is_forgotten(
            steps in proptest::collection::vec((0_u128..5, any::<bool>()), 1..200), most in 1_u32..4,
        ) {
            let connections = Arc::new(Connections::default());
            let mut open: Vec<(u128, OpenConnection)> = Vec::new();
            for (network, opens) in steps {
                let mine = open.iter().filter(|(of, _)| *of == network).count();
                if opens {
                    let connection = connections.open(network, most);
                    prop_assert_eq!(connection.is_some(), mine < most as usize);
                    open.extend(connection.map(|it| (network, it)));
                } else if let Some(at) = open.iter().position(|(of, _)| *of == network) {
                    open.swap_remove(at);
                }
                let networks: std::collections::HashSet<u128> = open.iter().map(|(of, _)| *of).collect();
                prop_assert_eq!(connections.clients(), networks.len());
            }
        }
    }
}
