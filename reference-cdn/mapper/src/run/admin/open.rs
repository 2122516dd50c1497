//! Connections that are open: few, few of each client, and whoever was silent for longest makes room, so that an operator always gets in.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::server::connections::{Key, Table, client};

/// Connections at once, and of one client.
const CONNECTIONS: usize = 256;
const PER_CLIENT: usize = 100;

/// Each with what closes it.
#[derive(Default)]
pub(super) struct Open(Mutex<Table<oneshot::Sender<()>>>);

impl Open {
    fn table(&self) -> MutexGuard<'_, Table<oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, and what tells when it has to go.
    pub fn open(&self, from: IpAddr) -> (Key, oneshot::Receiver<()>) {
        let client = client(from.to_canonical());
        let (closing, closed) = oneshot::channel();
        let mut table = self.table();
        while let Some(key) = table.in_the_way(client, CONNECTIONS, PER_CLIENT) {
            table.close(key).map(|closing| closing.send(()));
        }
        let key = table.open(client);
        table.set_handle(key, closing);
        (key, closed)
    }

    /// A request came.
    pub fn used(&self, key: Key) {
        self.table().touch(key);
    }

    pub fn close(&self, key: Key) {
        drop(self.table().close(key));
    }

    pub fn close_idlest(&self) {
        let mut table = self.table();
        if let Some(key) = table.idlest() {
            table.close(key).map(|closing| closing.send(()));
        }
    }
}
