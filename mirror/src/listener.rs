//! Accepts clients' connections and starts a relay for each, on threads that do nothing else.

use crate::outbox::Outbox;
use crate::relay::Relay;
use crate::stop::{Level, Stop};
use crate::tap::{Rules, Tap, Told};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Pause after accepting failed for lack of descriptors or memory; connections wait in the kernel meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What relay threads share.
#[derive(Debug)]
pub(crate) struct Service {
    pub rules: Arc<Rules>,
    /// The primary's addresses, renewed as its name is.
    pub primary: watch::Receiver<Vec<SocketAddr>>,
    pub connect_timeout: Duration,
    /// How many more connections may be open.
    pub slots: Arc<Semaphore>,
    /// One observer for each of them; a connection stays with one.
    pub observers: Vec<UnboundedSender<Vec<Told>>>,
    pub stop: Arc<Stop>,
    pub numbers: AtomicU64,
}

/// Accepts until the mirror ends, then waits for its connections to end.
pub(crate) async fn serve(service: Arc<Service>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let outboxes: Arc<[_]> =
        service.observers.iter().map(|observer| Arc::new(Outbox::new(observer.clone()))).collect();
    for outbox in &*outboxes {
        let outbox = Arc::clone(outbox);
        tokio::spawn(async move { outbox.run().await });
    }
    // Closed when the last connection has dropped its end.
    let (running, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            biased;
            () = service.stop.reached(Level::Drain) => break,
            accepted = accept(&service, &listener) => accepted,
        };
        match accepted {
            Ok((client, address, slot)) => {
                let (service, outboxes) = (Arc::clone(&service), Arc::clone(&outboxes));
                let running = running.clone();
                tokio::spawn(async move {
                    connection(&service, &outboxes, client, address).await;
                    service.rules.connections.closed.fetch_add(1, Ordering::Relaxed);
                    drop((slot, running));
                });
            }
            Err(_) => {
                service.rules.connections.accept_errors.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, running));
    let _ = ended.recv().await;
    Ok(())
}

async fn accept(
    service: &Service,
    listener: &TcpListener,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(&service.slots).acquire_owned().await.map_err(io::Error::other)?;
    let (client, address) = listener.accept().await?;
    service.rules.connections.accepted.fetch_add(1, Ordering::Relaxed);
    Ok((client, address, slot))
}

async fn connection(service: &Service, outboxes: &[Arc<Outbox>], client: TcpStream, address: SocketAddr) {
    let counts = &service.rules.connections;
    let Some(primary) = connect(service).await else {
        if counts.primary_unreachable.fetch_add(1, Ordering::Relaxed) == 0 {
            crate::say("the primary does not take connections; clients see a reset until it does");
        }
        // As near as one can come to a refused connection once it has been accepted.
        let _ = client.set_zero_linger();
        return;
    };
    // Bytes go on as they come; where an option cannot be set they go on later.
    let _ = client.set_nodelay(true);
    let _ = primary.set_nodelay(true);
    let number = service.numbers.fetch_add(1, Ordering::Relaxed);
    let outbox = &outboxes[number as usize % outboxes.len()];
    let tap = Tap::new(Arc::clone(&service.rules), Arc::clone(outbox), number, address);
    let relayed = Relay::new(client, primary, tap).run(&service.stop).await;
    counts.bytes_to_primary.fetch_add(relayed.up, Ordering::Relaxed);
    counts.bytes_to_clients.fetch_add(relayed.down, Ordering::Relaxed);
    if relayed.cut {
        counts.cut.fetch_add(1, Ordering::Relaxed);
    }
}

async fn connect(service: &Service) -> Option<TcpStream> {
    let addresses = service.primary.borrow().clone();
    let connect = tokio::time::timeout(service.connect_timeout, TcpStream::connect(&addresses[..]));
    tokio::select! {
        connected = connect => connected.ok()?.ok(),
        () = service.stop.reached(Level::Now) => None,
    }
}
