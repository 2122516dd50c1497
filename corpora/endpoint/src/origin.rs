//! A server that answers by script and remembers what it was asked.

use crate::route::{Handler, Table, lock};
use crate::{Error, Events, Received, Route, Script, Settings, serve};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use wire::Message;

/// Bytes from a peer that were no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub connection: u64,
    pub peer: SocketAddr,
    pub error: wire::Error,
}

/// A script that could not be played to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub connection: u64,
    pub peer: SocketAddr,
    /// What was asked: `GET http://host/path`.
    pub request: String,
    /// Which step failed, and why.
    pub reason: String,
}

/// How many connections an origin had and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Connections {
    pub opened: u64,
    pub open: u64,
}

/// A scripted origin server on a real socket. Clones share it; it stops when the last one goes.
///
/// Requests are told apart by [`Route`]s: the one with the longest prefix of path and query answers. What no route
/// takes goes to the default handler, at first a 404.
#[derive(Clone, Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    control: Arc<Control>,
}

/// What the origin's tasks share with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub address: SocketAddr,
    pub settings: Settings,
    pub events: Events,
    routes: Mutex<Vec<Weak<Table>>>,
    default: Arc<Table>,
    faults: Mutex<VecDeque<Fault>>,
    failures: Mutex<VecDeque<Failure>>,
    opened: AtomicU64,
    pub open: AtomicU64,
}

/// Tells the listening task to stop, also when dropped, and whether it did.
#[derive(Debug)]
struct Control {
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Faults and failures remembered, each.
const REMEMBERED: usize = 1000;

impl Origin {
    /// Listens and serves. Port 0 takes a free port, see [`Origin::address`].
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub async fn bind(address: SocketAddr, settings: Settings) -> Result<Self, Error> {
        let bind_error = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind_error)?;
        let bound = listener.local_addr().map_err(bind_error)?;
        let not_found: Arc<Handler> = Arc::new(|_: &Received| Message::response(404).body("").into());
        let shared = Arc::new(Shared {
            address: bound,
            events: Events::new(settings.deadline),
            routes: Mutex::default(),
            default: Arc::new(Table::new(Vec::new(), false, not_found, &settings)),
            faults: Mutex::default(),
            failures: Mutex::default(),
            opened: AtomicU64::new(0),
            open: AtomicU64::new(0),
            settings,
        });
        let (stop, stopping) = watch::channel(false);
        let (done, stopped) = watch::channel(false);
        tokio::spawn(listen(listener, shared.clone(), stopping, done));
        Ok(Origin { shared, control: Arc::new(Control { stop, stopped }) })
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
        self.shared.address
    }

    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Requests whose path and query start with `prefix` go to this handler, once they have ended; to a request
    /// with `Expect: 100-continue` the origin sends a 100 by itself. Handlers run on the connection's task and must
    /// not block.
    ///
    /// The route lasts as long as the returned handle and its clones. Of routes with the same prefix the newest
    /// answers.
    pub fn route(
        &self,
        prefix: impl Into<String>,
        handler: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> Route {
        self.register(prefix.into(), false, Arc::new(handler))
    }

    /// As [`Origin::route`], but the handler is asked at the end of the request's head, sees no body (its ending is
    /// `Truncated` yet), and the script runs while the body comes; it may wait for it with
    /// [`Script::request_end`]. No 100 is sent.
    pub fn route_at_head(
        &self,
        prefix: impl Into<String>,
        handler: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> Route {
        self.register(prefix.into(), true, Arc::new(handler))
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

    fn register(&self, prefix: String, at_head: bool, handler: Arc<Handler>) -> Route {
        let table = Arc::new(Table::new(prefix.into_bytes(), at_head, handler, &self.shared.settings));
        let mut routes = lock(&self.shared.routes);
        routes.retain(|r| r.strong_count() > 0);
        routes.push(Arc::downgrade(&table));
        Route(table)
    }

    /// Requests that no route takes go to this handler.
    pub fn otherwise(&self, handler: impl Fn(&Received) -> Script + Send + Sync + 'static) {
        self.shared.default.set_handler(Arc::new(handler));
    }

    /// Requests that no route took.
    pub fn unrouted(&self) -> Vec<Received> {
        self.shared.default.ended()
    }

    /// What peers sent that was no request, at most the last 1000.
    pub fn faults(&self) -> Vec<Fault> {
        lock(&self.shared.faults).iter().cloned().collect()
    }

    /// Scripts that could not be played to their end, because an event did not come or the peer went away, at most
    /// the last 1000.
    pub fn failures(&self) -> Vec<Failure> {
        lock(&self.shared.failures).iter().cloned().collect()
    }

    pub fn connections(&self) -> Connections {
        Connections {
            opened: self.shared.opened.load(Ordering::SeqCst),
            open: self.shared.open.load(Ordering::SeqCst),
        }
    }

    /// Stops listening, ends all connections, and returns when none is left. Clones stop too.
    pub async fn shutdown(&self) {
        self.control.stop.send_replace(true);
        let mut stopped = self.control.stopped.clone();
        // An error means that the task is gone, which is as good.
        let _ = stopped.wait_for(|done| *done).await;
    }
}

impl Shared {
    /// The route for this path and query.
    pub fn find(&self, path: &[u8]) -> Arc<Table> {
        let routes = lock(&self.routes);
        let matching = routes.iter().filter_map(Weak::upgrade).filter(|t| path.starts_with(&t.prefix));
        matching.max_by_key(|t| t.prefix.len()).unwrap_or_else(|| self.default.clone())
    }

    pub fn fault(&self, fault: Fault) {
        remember(&self.faults, fault);
    }

    pub fn failure(&self, failure: Failure) {
        remember(&self.failures, failure);
    }
}

fn remember<T>(list: &Mutex<VecDeque<T>>, item: T) {
    let mut list = lock(list);
    if list.len() == REMEMBERED {
        list.pop_front();
    }
    list.push_back(item);
}

async fn listen(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    done: watch::Sender<bool>,
) {
    let slots = Arc::new(Semaphore::new(shared.settings.connections));
    let mut serving = JoinSet::new();
    loop {
        let accept = async {
            // The semaphore is never closed.
            let slot = slots.clone().acquire_owned().await.ok();
            (listener.accept().await, slot)
        };
        tokio::select! {
            // An error means that the handles are gone.
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
            Some(_) = serving.join_next() => {}
            (accepted, slot) = accept => match accepted {
                Ok((stream, peer)) => {
                    let number = shared.opened.fetch_add(1, Ordering::SeqCst);
                    let shared = shared.clone();
                    serving.spawn(async move {
                        let _slot = slot;
                        serve::connection(shared, stream, peer, number).await;
                    });
                }
                // Out of descriptors, or the peer gave up before it was accepted: others may still come.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    serving.shutdown().await;
    done.send_replace(true);
}
