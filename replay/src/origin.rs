//! `replay origin`: the recorded world on a listener.

use crate::extract;
use crate::http::check_prefix;
use crate::world::{Counters, Service, World};
use capture::OpenError;
use endpoint::{Clock, Origin, Settings};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Why the recorded world cannot be served.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0} holds no answered HTTP/1 request: see what it holds with replay inspect")]
    Empty(String),
    #[error("{0}; is the port in use? Port 0 takes a free one")]
    Listen(endpoint::Error),
    #[error(transparent)]
    Prefix(#[from] crate::http::Error),
}

/// A recorded world that is being served, until it is dropped or shut down.
#[derive(Debug)]
pub struct Running {
    origin: Origin,
    service: Service,
    /// How many different targets have an answer.
    pub targets: usize,
    /// What is wrong with the capture, whose readable part is served.
    pub file_error: Option<String>,
}

/// Loads a capture and serves its answers.
///
/// # Errors
/// See [`enum@Error`].
pub async fn start(path: &Path, listen: SocketAddr, prefix: &str, clock: Clock) -> Result<Running, Error> {
    check_prefix(prefix)?;
    let (recorded, summary) = extract::load(path, &extract::Options { keep_body: usize::MAX })?;
    let world = World::of(&recorded);
    if world.is_empty() {
        return Err(Error::Empty(path.display().to_string()));
    }
    let targets = world.len();
    // What the recorded clients sent is compared by digest: large requests need not be kept.
    let settings = Settings { clock: clock.clone(), records: 0, record_bytes: 0, ..Settings::default() };
    let origin = Origin::bind(listen, settings).await.map_err(Error::Listen)?;
    let service = Service::new(Arc::new(world), prefix, clock);
    service.mount_everywhere(&origin);
    Ok(Running { origin, service, targets, file_error: summary.file_error })
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        self.service.counters()
    }

    /// Bytes from peers that were no request.
    pub fn faults(&self) -> usize {
        self.origin.faults().len()
    }

    /// Ends all connections.
    pub async fn shutdown(&self) {
        self.origin.shutdown().await;
    }
}
