//! A small caching proxy that keeps every rule of the suite, and on demand breaks one.
//!
//! It exists to prove the checks. It is written to be read, not to be fast: each request is read whole, each fetch
//! fills a buffer that clients stream from, everything sits behind one lock. A fault is named by the check that must
//! find it; look for `broken(` to see all of them.

mod client;
mod fetch;
mod http;
mod rules;
mod store;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use store::Store;
use tokio::net::TcpListener;

/// A scripted cache on a free port; it ends with this value.
pub struct Cache {
    pub address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

/// What all its connections share.
pub struct Shared {
    origin: SocketAddr,
    fault: String,
    /// Taken off paths before they are forwarded.
    base: String,
    store: Mutex<Store>,
    flying: Mutex<HashMap<String, Vec<Arc<fetch::Fetch>>>>,
}

/// The field and value that authorise a purge.
pub const KEY: (&str, &str) = ("X-Purge-Key", "open-sesame");

impl Shared {
    /// Whether the rule of this check is to be broken.
    fn broken(&self, check: &str) -> bool {
        self.fault == check
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Takes a fetch from those that requests may join.
    fn land(&self, key: &str, fetch: &Arc<fetch::Fetch>) {
        if let Some(flying) = self.flying.lock().unwrap().get_mut(key) {
            flying.retain(|f| !Arc::ptr_eq(f, fetch));
        }
    }
}

impl Cache {
    /// Starts a cache in front of `origin` with this fault; an empty name for none.
    pub async fn start(origin: SocketAddr, fault: &str) -> Self {
        Cache::start_below(origin, fault, "").await
    }

    /// Starts a cache that serves the origin's paths below `base`.
    pub async fn start_below(origin: SocketAddr, fault: &str, base: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            origin,
            fault: fault.to_owned(),
            base: base.to_owned(),
            store: Mutex::default(),
            flying: Mutex::default(),
        });
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(client::serve(socket, shared.clone()));
            }
        });
        Cache { address, accepting }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
