//! Looking up the addresses of an origin's name.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type LookUp = dyn Fn(&str, u16) -> Found + Send + Sync;

/// Where names are looked up.
#[derive(Clone)]
pub struct Names(Arc<LookUp>);

impl Names {
    /// The system's resolver.
    pub fn system() -> Self {
        Self::of(|host, port| {
            let host = host.to_owned();
            async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }
        })
    }

    /// Any other: `look_up` is given a host name and the port that goes with its addresses.
    pub fn of<F>(look_up: impl Fn(&str, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(look_up(host, port))))
    }

    pub(super) fn look_up(&self, host: &str, port: u16) -> Found {
        (self.0)(host, port)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(…)")
    }
}
