//! A server that answers by script and remembers what it was asked.

use crate::{Error, Events, Script, Settings};
use exchange::Request;
use std::net::SocketAddr;
use wire::Notes;

/// A request that an [`Origin`] got.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// From 0 among the requests of its route, in the order of their heads.
    pub number: u64,
    /// `request.seen.connection` is the connection's number at this origin.
    pub request: Request,
    pub notes: Notes,
}

/// Bytes from a peer that were no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub connection: u64,
    pub peer: SocketAddr,
    pub error: wire::Error,
}

/// How many connections an origin had and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Connections {
    pub opened: u64,
    pub open: u64,
}

/// A scripted origin server on a real socket. Clones share it.
///
/// Requests are told apart by [`Route`]s: the one with the longest prefix of path and query answers. What no route
/// takes goes to the default handler, at first a 404.
#[derive(Clone, Debug)]
pub struct Origin {
    address: SocketAddr,
    events: Events,
}

impl Origin {
    /// Listens and serves. Port 0 takes a free port, see [`Origin::address`].
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub async fn bind(address: SocketAddr, settings: Settings) -> Result<Self, Error> {
        Ok(Origin { address, events: Events::new(settings.deadline) })
    }

    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub async fn local(settings: Settings) -> Result<Self, Error> {
        Origin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Requests whose path and query start with `prefix` go to this handler, once they have ended; to a request
    /// with `Expect: 100-continue` the origin sends a 100 by itself.
    ///
    /// The route lasts as long as the returned handle and its clones.
    pub fn route(
        &self,
        _prefix: impl Into<String>,
        _handler: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> Route {
        Route { deadline: std::time::Duration::ZERO }
    }

    /// As [`Origin::route`], but the handler is asked at the end of the request's head, sees no body, and the script
    /// runs while the body comes; it may wait for it with [`Script::request_end`]. No 100 is sent.
    pub fn route_at_head(
        &self,
        _prefix: impl Into<String>,
        _handler: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> Route {
        Route { deadline: std::time::Duration::ZERO }
    }

    /// The n-th request under `prefix` gets the n-th script; the last one goes to all that follow.
    pub fn scripts(&self, prefix: impl Into<String>, scripts: impl IntoIterator<Item = Script>) -> Route {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        self.route(prefix, move |received| {
            let last = scripts.len().saturating_sub(1);
            let at = usize::try_from(received.number).unwrap_or(last).min(last);
            scripts.get(at).cloned().unwrap_or_default()
        })
    }

    /// Requests that no route takes go to this handler.
    pub fn otherwise(&self, _handler: impl Fn(&Received) -> Script + Send + Sync + 'static) {}

    /// Requests that no route took.
    pub fn unrouted(&self) -> Vec<Received> {
        Vec::new()
    }

    /// What peers sent that was no request, at most the last 1000.
    pub fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    pub fn connections(&self) -> Connections {
        Connections::default()
    }

    /// Stops listening, ends all connections, and returns when none is left. Clones stop too.
    pub async fn shutdown(&self) {}
}

/// A route of an [`Origin`] and the requests it got. Clones share it; when the last one goes, the route ends.
#[derive(Clone, Debug)]
pub struct Route {
    deadline: std::time::Duration,
}

impl Route {
    /// The requests that ended so far, in the order of their ends.
    pub fn requests(&self) -> Vec<Received> {
        Vec::new()
    }

    /// How many heads of requests came so far.
    pub fn heads(&self) -> u64 {
        0
    }

    /// Waits until `count` requests have ended, and returns all that did.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait_for(&self, _count: usize) -> Result<Vec<Received>, Error> {
        let _ = self.deadline;
        Ok(self.requests())
    }

    /// Waits until the heads of `count` requests have come.
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn wait_for_heads(&self, _count: u64) -> Result<(), Error> {
        Ok(())
    }
}
