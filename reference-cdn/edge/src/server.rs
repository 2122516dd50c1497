//! Starts an edge: binds, accepts, and stops in good order.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use http::uri::Scheme;
use http_cache::{Decisions, Settings};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::access_log::AccessLog;
use crate::admin::Admin;
use crate::client::{Service, Shared};
use crate::clock::Clock;
use crate::config::Config;
use crate::customer::{Customer, Customers};
use crate::limits::{Limits, OpenConnection};
use crate::metrics::{Count, Metrics};
use crate::origin::{OriginSetupError, Origins, SystemAuthorities};
use crate::purge::{self, Keyring, LogError, Purges};
use crate::reload::Reload;
use crate::report::{HostCosts, Teller};
use crate::state::{Edge, EdgeService};
use crate::store::Store;
use crate::store::disk::{DiskConfig, DiskLimits, Folder, OpenError};
use crate::tls::accept::{Accepted, Handshakes};
use crate::tls::{Certificates, TlsError};
use crate::{http1, http2, memory};

/// Connections that the kernel may hold for us.
const BACKLOG: u32 = 4096;
/// Connections of operators at once.
const ADMIN_CONNECTIONS: usize = 64;
/// How long accepting rests when the machine has no descriptor left.
const BREATH: Duration = Duration::from_millis(50);
/// How long fetches may go on when all clients have their responses.
const FETCH_TIME: Duration = Duration::from_secs(2);
/// How long writing what waits for the disk may take at least.
const DISK_TIME: Duration = Duration::from_secs(5);
/// How long writing the last lines of a log may take.
const LOG_TIME: Duration = Duration::from_secs(5);

/// Why an edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address} ({what}): {source}{}", hint(.source))]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("there is no listener for clients, neither in the clear nor with TLS")]
    NoListener,
    #[error("cannot open the access log {}: {source}", .path.display())]
    AccessLog { path: PathBuf, source: io::Error },
    #[error(transparent)]
    PurgeLog(#[from] LogError),
    #[error(transparent)]
    Origin(#[from] OriginSetupError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("the disk store: {0}")]
    Disk(#[from] OpenError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port (0 takes a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability to bind them: choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// An edge that is bound and not yet serving.
#[derive(Debug)]
pub struct Server {
    edge: Arc<Edge>,
    clear: Option<(TcpListener, SocketAddr)>,
    tls: Option<(TcpListener, SocketAddr, Handshakes)>,
    certificates: Option<Arc<Certificates>>,
    reload: Arc<Reload>,
    admin: Option<(TcpListener, SocketAddr, Admin)>,
    log_writer: Option<JoinHandle<()>>,
    resident: Option<fn() -> Option<u64>>,
    config: Config,
}

/// How an edge stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut because they did not finish in time.
    pub cut: usize,
}

/// Binds an edge. Connections are accepted, and wait, from now on; [`Server::serve`] answers them. `decide` makes the
/// decisions for a customer with these settings.
///
/// # Errors
/// When an address cannot be bound, the access log cannot be opened, or a certificate cannot be used.
pub fn bind(
    config: Config,
    decide: impl Fn(&Settings) -> Arc<dyn Decisions>,
    clock: Clock,
) -> Result<Server, StartError> {
    if config.listen.is_none() && config.tls.is_none() {
        return Err(StartError::NoListener);
    }
    let mut authorities = SystemAuthorities::default();
    let mut customers = Vec::with_capacity(config.customers.len());
    for (number, customer) in config.customers.iter().enumerate() {
        // The standard library's own source of randomness.
        let seed = RandomState::new().hash_one(&customer.name);
        let (name, group) = (customer.name.as_str(), customer.origin.clone());
        let origin = Origins::new(name, group, clock.clone(), seed, &mut authorities)?;
        let decisions = decide(&customer.settings);
        customers.push((customer.clone(), Arc::new(Customer::new(customer, number, decisions, origin))));
    }
    let customers = Customers::new(customers);
    let metrics = Arc::new(Metrics::default());
    let (log, log_writer) = match &config.access_log {
        None => (AccessLog::off(), None),
        Some(path) => {
            let failed = |source| StartError::AccessLog { path: path.clone(), source };
            let (log, writer) = AccessLog::open(path).map_err(failed)?;
            let thread = std::thread::Builder::new().name("access-log".into());
            let thread = thread.spawn(move || writer.run()).map_err(failed)?;
            (log, Some(thread))
        }
    };
    // What was purged before is purged before anybody can ask for it.
    let mut purge = config.purge.clone();
    if let Some(folder) = &config.disk.path
        && purge.folder.is_none()
    {
        // Purges must outlast the process where stored responses do.
        let failed = |source| OpenError::Io { what: "make", folder: folder.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        purge.folder = Some(folder.join("purges"));
    }
    let purges = Purges::open(&purge, fresh_number())?;
    let certificates = match &config.tls {
        None => None,
        Some(tls) => {
            let files = tls.certificates.clone();
            Some(Arc::new(Certificates::read(files, Arc::clone(&metrics), clock.clone())?))
        }
    };
    let tls = match (&config.tls, &certificates) {
        (Some(tls), Some(certificates)) => {
            let (listener, address) = self::listen(tls.listen, "for clients, with TLS")?;
            let handshakes = Handshakes::new(Arc::clone(certificates), tls.limits, Arc::clone(&metrics));
            Some((listener, address, handshakes))
        }
        _ => None,
    };
    let clear = config.listen.map(|address| listen(address, "for clients")).transpose()?;
    let at = clear.as_ref().map(|(_, address)| *address);
    let rates = config.customers.iter().map(|customer| customer.limits.client_rate);
    let limits = Limits::new(config.per_client.clone(), config.stray_rate, rates);
    let store = Arc::new(store(&config, purges, &clock)?);
    let host_costs = HostCosts::new(config.report.as_ref());
    let edge = Edge::new(customers, store, clock, metrics, log, limits, host_costs);
    let keyring = config.admin.as_ref().map(|admin| {
        let names = config.customers.iter().map(|customer| customer.name.clone());
        let keyring = Keyring::new(admin.token.clone(), config.purge.tokens.clone());
        Arc::new(keyring.from_file(config.purge.token_file.clone(), names.collect()))
    });
    let reload = Arc::new(Reload::new(Arc::clone(&edge), certificates.clone(), keyring.clone()));
    let admin = match config.admin.as_ref().zip(keyring) {
        None => None,
        Some((admin, keyring)) => {
            let (admin_listener, address) = self::listen(admin.listen, "for operators")?;
            let admin = Admin::new(Arc::clone(&edge), &config, keyring, Arc::clone(&reload), at);
            Some((admin_listener, address, admin))
        }
    };
    Ok(Server { edge, clear, tls, certificates, reload, admin, log_writer, resident: None, config })
}

/// A number that no other start has.
fn fresh_number() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

fn listen(address: SocketAddr, what: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound().map_err(|source| StartError::Listen { what, address, source })
}

/// The store, with what its disk tier has, if there is one.
fn store(config: &Config, purges: Arc<Purges>, clock: &Clock) -> Result<Store, StartError> {
    let disk = &config.disk;
    let Some(path) = &disk.path else { return Ok(Store::with_purges(config.store, purges)) };
    let limits = DiskLimits::new(disk.size, config.store.object, config.store.memory);
    let (store, found) = Store::open(
        config.store,
        purges,
        DiskConfig {
            files: disk.files.clone().unwrap_or_else(|| Arc::new(Folder::new(path))),
            limits,
            sync: disk.sync,
            other_version: disk.other_version,
            patience: disk.patience,
            clock: clock.clone(),
        },
    )?;
    tracing::info!(folder = %path.display(), found.objects, found.octets, found.segments, found.scanned,
        found.damaged_records, found.cut_octets, found.removed_files, "the disk store is open");
    // Not for files that are none of the system's.
    if let Some(room) = rustix::fs::statvfs(path)
        .ok()
        .filter(|_| disk.files.is_none())
        .map(|system| system.f_bavail.saturating_mul(system.f_frsize).saturating_add(found.octets))
        && room < disk.size
    {
        tracing::warn!(folder = %path.display(), disk.size, room, "the file system has less room than disk.size: where it is full, responses are kept in memory only; make disk.size smaller");
    }
    Ok(store)
}

impl Server {
    /// Where clients connect in the clear.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.clear.as_ref().map(|(_, address)| *address)
    }

    /// Where clients connect with TLS.
    pub fn tls(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|(_, address, _)| *address)
    }

    /// What can be read again while it serves.
    pub fn reload(&self) -> Arc<Reload> {
        Arc::clone(&self.reload)
    }

    /// Where operators connect.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address, _)| *address)
    }

    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// The store gives way while the process has more resident than its limit and a little allow: `resident` says how many
    /// octets that are. Not for processes that have other things to do.
    pub fn keep_process_within(mut self, resident: fn() -> Option<u64>) -> Self {
        self.resident = Some(resident);
        self
    }

    /// Answers connections until `stop` is ready; then finishes the requests in flight, for as long as the
    /// configuration allows.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Stopped {
        let Self { edge, clear, tls, certificates, admin, log_writer, resident, config, .. } = self;
        let (stopping, stopped) = watch::channel(false);
        let shared = Shared {
            http2: Some(Arc::new(config.http2)),
            metrics: Arc::clone(&edge.metrics),
            ..Shared::new(config.client, stopped.clone())
        };
        // All clients together: whichever listener they came to, one that is idle makes room for another.
        let permits = Arc::new(Semaphore::new(config.connections));
        let secured = tls.map(|(listener, _, handshakes)| Gate {
            listener,
            handshakes: Some(handshakes),
            permits: Arc::clone(&permits),
            shared: Shared { scheme: Scheme::HTTPS, ..shared.clone() },
            limits: Some(Arc::clone(&edge)),
        });
        let limits = Some(Arc::clone(&edge));
        let operators_shared = Shared::new(config.client, stopped);
        let clients = clear.map(|(listener, _)| Gate { listener, handshakes: None, permits, shared, limits });
        let client_service = Arc::new(EdgeService(Arc::clone(&edge)));
        let operators = admin.map(|(listener, _, admin)| {
            let gate = Gate {
                listener,
                handshakes: None,
                permits: Arc::new(Semaphore::new(ADMIN_CONNECTIONS)),
                shared: operators_shared,
                limits: None,
            };
            (gate, Arc::new(admin))
        });
        let mut connections = JoinSet::new();
        let mut secured_connections = JoinSet::new();
        let mut admin_connections = JoinSet::new();
        {
            let accept_clients = async {
                match &clients {
                    Some(gate) => gate.accept(&client_service, &mut connections).await,
                    None => std::future::pending().await,
                }
            };
            let accept_secured = async {
                match &secured {
                    Some(gate) => gate.accept(&client_service, &mut secured_connections).await,
                    None => std::future::pending().await,
                }
            };
            let accept_operators = async {
                match &operators {
                    Some((gate, service)) => gate.accept(service, &mut admin_connections).await,
                    None => std::future::pending().await,
                }
            };
            let purge = purge::keep(Arc::clone(edge.store().purges()), Arc::clone(&edge), edge.clock.clone());
            let teller = config.report.clone().map(|report| {
                let leave = report.leave;
                (Arc::new(Teller::new(report, edge.clock.now().as_millis())), leave)
            });
            let stop = async {
                stop.await;
                // Mappers hear of it first, and clients that were sent here are served until their answers have run out.
                if let Some((teller, leave)) = &teller {
                    teller.stops(edge.clock.now().as_millis(), &edge.metrics);
                    tokio::time::sleep(*leave).await;
                }
            };
            let mut tending = JoinSet::new();
            tending.spawn(memory::watch(Arc::clone(edge.store()), resident));
            for customer in edge.customers.all() {
                tending.spawn(Arc::clone(&customer.origin).tend());
            }
            if let Some(certificates) = certificates {
                tending.spawn(async move { certificates.watch().await });
            }
            if let Some((teller, _)) = &teller {
                let (teller, edge) = (Arc::clone(teller), Arc::clone(&edge));
                tending.spawn(async move { teller.tell(&edge).await });
            }
            tokio::select! {
                () = stop => {}
                () = purge => {}
                () = accept_clients => {}
                () = accept_secured => {}
                () = accept_operators => {}
            }
        }
        // New connections are refused from here on; idle ones close; the operators' end with the clients'.
        drop((clients, secured));
        let _ = stopping.send(true);
        let finish = async {
            while connections.join_next().await.is_some() {}
            while secured_connections.join_next().await.is_some() {}
        };
        let _ = timeout(config.drain, finish).await;
        let cut = connections.len() + secured_connections.len();
        connections.shutdown().await;
        secured_connections.shutdown().await;
        admin_connections.shutdown().await;
        // The last client may have its response before the store has it.
        edge.fetches.close();
        let _ = timeout(config.drain.min(FETCH_TIME), edge.fetches.wait()).await;
        // What waits for the disk is written, unless the disk hangs.
        let store = Arc::clone(edge.store());
        let _ =
            timeout(config.drain.max(DISK_TIME), tokio::task::spawn_blocking(move || store.close())).await;
        let closing = Arc::clone(&edge);
        let close = tokio::task::spawn_blocking(move || closing.store().purges().close(&*closing));
        let _ = timeout(LOG_TIME, close).await;
        if let Some(writer) = log_writer {
            // What was logged is on disk when the edge says that it has stopped, unless the disk hangs.
            let flush = tokio::task::spawn_blocking(move || {
                edge.log.end();
                writer.join()
            });
            let _ = timeout(LOG_TIME, flush).await;
        }
        Stopped { cut }
    }
}

/// A listener, and how many may come in.
struct Gate {
    listener: TcpListener,
    /// `None`: in the clear.
    handshakes: Option<Handshakes>,
    permits: Arc<Semaphore>,
    shared: Shared,
    /// Whose limits on clients apply; operators have none.
    limits: Option<Arc<Edge>>,
}

impl Gate {
    async fn accept<S: Service>(&self, service: &Arc<S>, connections: &mut JoinSet<()>) {
        loop {
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let limits = self.limits.as_ref();
                    let client = limits.map_or(Ok(None), |edge| edge.limits.connection(peer.ip()));
                    let client = match client {
                        Ok(client) => client,
                        Err(limit) => {
                            // Nothing is read and nothing said: each octet would cost what the limit is to save.
                            self.shared.metrics.reached(limit);
                            continue;
                        }
                    };
                    let Some(permit) = self.permit().await else { return };
                    let task = self.connection(stream, peer, (permit, client), Arc::clone(service));
                    connections.spawn(task);
                }
                Err(error) => {
                    // A client that left before it was accepted is nothing; no descriptors left is.
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                    ) {
                        tracing::warn!(%error, "cannot accept a connection; raise the limit of open files, or lower client.connections");
                        self.shared.make_room.notify_one();
                        sleep(BREATH).await;
                    }
                }
            }
        }
    }

    /// A place for one more connection. When all are taken, the connection that has been idle for longest gives its
    /// own up, or the next that becomes idle.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        self.shared.make_room.notify_one();
        self.shared.metrics.connections_shed.add(1);
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn connection<S: Service>(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        place: (OwnedSemaphorePermit, Option<OpenConnection>),
        service: Arc<S>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = self.shared.clone();
        let handshakes = self.handshakes.clone();
        let open = Open::new(&self.shared.metrics);
        async move {
            // Without it the last segment of an answer may wait; failing to set it costs only time.
            let _ = stream.set_nodelay(true);
            match handshakes {
                // In boxes, so that a connection that needs neither does not carry the room for TLS and HTTP/2.
                Some(handshakes) => Box::pin(secured(stream, handshakes, peer, shared, service)).await,
                None => {
                    let http2 = shared.http2.clone();
                    let (reader, writer) = stream.split();
                    let first =
                        http1::connection::serve(reader, writer, peer, shared.clone(), &*service).await;
                    if let (Some(first), Some(limits)) = (first, http2) {
                        let connection =
                            http2::connection::serve(stream, first, peer, shared, limits, service);
                        Box::pin(connection).await;
                    }
                }
            }
            drop((open, place));
        }
    }
}

/// A connection with TLS: HTTP/2 or HTTP/1.1, as its client chose.
async fn secured<S: Service>(
    stream: TcpStream,
    handshakes: Handshakes,
    peer: SocketAddr,
    shared: Shared,
    service: Arc<S>,
) {
    let accepted = tokio::select! {
        biased;
        accepted = handshakes.accept(stream) => accepted,
        // Handshakes that are long in coming make room, as connections do that are idle.
        () = shared.make_room.notified() => return,
    };
    let Some(Accepted { stream, secured, http2 }) = accepted else { return };
    let shared = Shared { secured: Some(Arc::new(secured)), ..shared };
    match shared.http2.clone().filter(|_| http2) {
        Some(limits) => {
            http2::connection::serve(stream, BytesMut::new(), peer, shared, limits, service).await;
        }
        None => {
            let (reader, writer) = tokio::io::split(stream);
            http1::connection::serve(reader, writer, peer, shared, &*service).await;
        }
    }
}

/// Counts a connection while it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections_accepted.add(1);
        let open: &Count = &metrics.connections_open;
        open.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.subtract(1);
    }
}
