//! DNS over TCP (RFC 7766) and TLS (RFC 7858): a thread of its own, or a few, for all connections, so that whatever is done to them
//! the threads for datagrams do not notice.

mod connection;
pub(super) mod frames;
pub(crate) mod table;
mod tls;
mod validity;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use self::connection::{Connection, End, HIGH, INPUT};
use self::table::{Key, Table};
pub(super) use self::tls::Certificate;
pub use self::validity::{Standing, Validity};
use super::clock::Clock;
use super::config::StreamConfig;
use super::counters::{Count, Counters};
use super::responder::{Make, Responder};
use crate::respond::{LONGEST_MESSAGE, Respond};

/// How long accepting rests when the machine has no descriptor left.
const BREATH: Duration = Duration::from_millis(50);

/// What all threads for streams share.
pub(super) struct Shared {
    pub limits: StreamConfig,
    pub certificate: Option<Arc<Certificate>>,
    pub clock: Clock,
    open: Mutex<Table<AbortHandle>>,
    /// Octets of answers that wait for slow readers.
    pending: AtomicUsize,
}

impl Shared {
    pub(super) fn new(limits: StreamConfig, certificate: Option<Arc<Certificate>>, clock: Clock) -> Self {
        Self { limits, certificate, clock, open: Mutex::default(), pending: AtomicUsize::new(0) }
    }

    fn open(&self) -> MutexGuard<'_, Table<AbortHandle>> {
        // Each change is one step.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connections(&self) -> usize {
        self.open().len()
    }
}

/// One thread's share of the work.
pub(super) struct Worker {
    /// Listeners, and whether they speak TLS.
    pub listeners: Vec<(std::net::TcpListener, bool)>,
    pub shared: Arc<Shared>,
    pub counters: Arc<Counters>,
    pub stop: watch::Receiver<bool>,
}

/// What all connections of a thread use in turn, each for no longer than it takes to answer what has come.
struct Desk<R> {
    responder: Responder<R>,
    input: Box<[u8]>,
    output: Box<[u8]>,
}

/// What a connection of a thread has.
struct Thread<R> {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    desk: RefCell<Desk<R>>,
}

impl Worker {
    /// Answers until the server stops.
    pub(super) fn serve<R: Respond + 'static>(self, make: Make<R>, number: usize) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let desk = Desk {
            responder: Responder::new(make, number),
            input: vec![0; INPUT].into(),
            output: vec![0; HIGH + 2 + LONGEST_MESSAGE].into(),
        };
        let thread = Thread { shared: self.shared, counters: self.counters, desk: RefCell::new(desk) };
        let thread = Rc::new(thread);
        let local = LocalSet::new();
        let mut stop = self.stop;
        local.block_on(&runtime, async {
            for (listener, secured) in self.listeners {
                let listener = TcpListener::from_std(listener)?;
                spawn_local(accept(listener, secured, Rc::clone(&thread)));
            }
            // Ends with an error if the server is gone, which is as good a reason.
            let _ = stop.wait_for(|stop| *stop).await;
            Ok(())
        })
        // What is open is closed as the set is dropped.
    }
}

async fn accept<R: Respond + 'static>(listener: TcpListener, secured: bool, thread: Rc<Thread<R>>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(stream, peer, secured, &thread),
            // A client that left before it was accepted is nothing; no descriptors left is.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                thread.counters.add(Count::AcceptFailed, 1);
                tracing::warn!(%error, "cannot accept a connection; raise the limit of open files, or lower streams.connections");
                let idlest = thread.shared.open().idlest();
                if let Some(idlest) = idlest {
                    close(&thread, idlest);
                }
                sleep(BREATH).await;
            }
        }
    }
}

/// Closes a connection to make room.
fn close<R>(thread: &Thread<R>, key: Key) {
    let handle = thread.shared.open().close(key);
    if let Some(handle) = handle {
        handle.abort();
        thread.counters.add(Count::ClosedForRoom, 1);
    }
}

fn admit<R: Respond + 'static>(stream: TcpStream, peer: SocketAddr, secured: bool, thread: &Rc<Thread<R>>) {
    let counters = &thread.counters;
    counters.add(Count::Connections, 1);
    let Ok(local) = stream.local_addr() else {
        counters.add(Count::ClosedBroken, 1);
        return;
    };
    let client = table::client(peer.ip());
    let limits = &thread.shared.limits;
    loop {
        let in_the_way = thread.shared.open().in_the_way(client, limits.connections, limits.per_client);
        let Some(idlest) = in_the_way else { break };
        close(thread, idlest);
    }
    let mut open = thread.shared.open();
    let key = open.open(client);
    let place = Place { shared: Arc::clone(&thread.shared), key };
    let task = spawn_local(serve(stream, (peer, local), secured, place, Rc::clone(thread)));
    open.set_handle(key, task.abort_handle());
}

/// A connection's place in the table, until it is dropped.
struct Place {
    shared: Arc<Shared>,
    key: Key,
}

impl Place {
    fn touch(&self) {
        self.shared.open().touch(self.key);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.open().close(self.key);
    }
}

async fn serve<R: Respond + 'static>(
    stream: TcpStream,
    between: (SocketAddr, SocketAddr),
    secured: bool,
    place: Place,
    thread: Rc<Thread<R>>,
) {
    let certificate = if secured { thread.shared.certificate.clone() } else { None };
    let Some(certificate) = certificate else {
        return Connection::new(stream, between, false, place, thread).serve().await;
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(certificate.current());
    let failed = match timeout(certificate.handshake_time(), acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            thread.counters.add(Count::Handshakes, 1);
            // On the heap: few connections are of this kind, and its future is the larger one.
            return Box::pin(Connection::new(stream, between, true, place, thread).serve()).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            End::Broken
        }
        Err(_) => End::Reading,
    };
    thread.counters.add(Count::HandshakesFailed, 1);
    thread.counters.add(failed.count(), 1);
}
