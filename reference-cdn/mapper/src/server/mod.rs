//! Sockets: datagrams and streams, and the threads that carry octets between them and a [`Respond`].
//!
//! Each thread for datagrams has a socket of its own for each address, a responder of its own and counters of its own; it shares nothing
//! on the way of a query with anybody. Streams live on a thread of their own.

mod bind;
mod clock;
mod config;
mod counters;
mod error;
pub mod mmsg;
mod responder;
mod streams;
mod udp;

/// Which connections are open, for whoever else has some.
pub(crate) use self::streams::table as connections;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::sync::watch;

use self::bind::UdpSocket;
use self::clock::Clock;
pub use self::config::{Config, MOST_LISTEN, MOST_THREADS, StreamConfig, TlsConfig, UdpConfig};
pub use self::counters::{Count, Counters, Metrics};
pub use self::error::{StartError, TlsError};
use self::responder::{Make, Responder};
use self::streams::Certificate;
pub use self::streams::frames::{Frames, Malformed};
pub use self::streams::{Standing as CertificateStanding, Validity as CertificateValidity};
use crate::respond::Respond;

/// A server that is bound and not yet answering.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    threads: usize,
    udp: Vec<(SocketAddr, Vec<Arc<UdpSocket>>)>,
    /// Streams' listeners, and whether they speak TLS.
    listeners: Vec<(TcpListener, bool)>,
    tls: Vec<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
}

/// Binds all addresses. Queries wait in their sockets from now on; [`Bound::run`] answers them.
///
/// # Errors
/// When an address cannot be bound, or a certificate cannot be used.
pub fn bind(config: Config) -> Result<Bound, StartError> {
    let secured = config.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let given = config.listen.len() + secured.len();
    if given == 0 {
        return Err(StartError::NoListener);
    }
    if given > MOST_LISTEN {
        return Err(StartError::TooManyListeners { given, most: MOST_LISTEN });
    }
    let threads = match config.udp.threads {
        // Where the system does not say, one.
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS),
        given => given,
    };
    for (what, given) in [("UDP", threads), ("streams", config.streams.threads)] {
        if given > MOST_THREADS {
            return Err(StartError::TooManyThreads { what, given, most: MOST_THREADS });
        }
    }
    let certificate = config.tls.clone().map(Certificate::read).transpose()?.map(Arc::new);
    let (mut udp, mut listeners, mut tls) = (Vec::new(), Vec::new(), Vec::new());
    for address in &config.listen {
        let bound = bind::both(*address, threads, &config)?;
        udp.push((bound.address, bound.udp));
        listeners.push((bound.tcp, false));
    }
    for address in secured {
        let (listener, address) = bind::stream("TLS", *address, &config.streams)?;
        listeners.push((listener, true));
        tls.push(address);
    }
    Ok(Bound { config, threads, udp, listeners, tls, certificate })
}

impl Bound {
    /// Where it listens for UDP and TCP, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(|(address, _)| *address).collect()
    }

    /// Where it listens for TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.tls.clone()
    }

    /// How many responders [`run`](Self::run) makes: one for each thread for datagrams, then one for each thread for streams.
    pub fn responders(&self) -> usize {
        self.udp_threads() + self.config.streams.threads.max(1)
    }

    fn udp_threads(&self) -> usize {
        if self.udp.is_empty() { 0 } else { self.threads }
    }

    /// Answers, on threads of its own, until the server is [stopped](Server::stop) or dropped. `make` makes the responder of a
    /// thread, of which it gets the number; should a responder panic, it makes another one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn run<R: Respond + 'static>(
        self,
        make: impl Fn(usize) -> R + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        let make: Make<R> = Arc::new(make);
        let clock = Clock::start();
        let (stop_streams, stopped) = watch::channel(false);
        let shared = Arc::new(streams::Shared::new(self.config.streams, self.certificate.clone(), clock));
        let mut server = Server {
            stop: Arc::new(AtomicBool::new(false)),
            stop_streams,
            sockets: self.udp.iter().flat_map(|(_, sockets)| sockets.clone()).collect(),
            threads: Vec::new(),
            metrics: Metrics::default(),
            certificate: self.certificate.clone(),
            streams: Arc::clone(&shared),
        };
        server.metrics.sockets = server.sockets.iter().map(Arc::downgrade).collect();
        let own: Arc<[SocketAddr]> = self.addresses().into();
        let udp_threads = self.udp_threads();
        for number in 0..udp_threads {
            let counters = server.counters();
            let worker = udp::Worker {
                sockets: self.udp.iter().map(|(address, all)| (*address, Arc::clone(&all[number]))).collect(),
                own: Arc::clone(&own),
                batch: self.config.udp.batch,
                counters: Arc::clone(&counters),
                stop: Arc::clone(&server.stop),
                clock,
            };
            let (make, pin) = (Arc::clone(&make), self.config.udp.pin);
            server.spawn(format!("dns-udp-{number}"), move || {
                if pin {
                    stay_on_core(number);
                }
                worker.serve(&mut Responder::new(make, number));
            })?;
        }
        for number in 0..self.config.streams.threads.max(1) {
            let listeners =
                self.listeners.iter().map(|(listener, secured)| Ok((listener.try_clone()?, *secured)));
            let worker = streams::Worker {
                listeners: listeners.collect::<std::io::Result<_>>().map_err(StartError::Thread)?,
                shared: Arc::clone(&shared),
                counters: server.counters(),
                stop: stopped.clone(),
            };
            let make = Arc::clone(&make);
            server.spawn(format!("dns-tcp-{number}"), move || {
                if let Err(error) = worker.serve(make, udp_threads + number) {
                    tracing::error!(%error, "a thread for TCP cannot work: raise the limit of open files and restart the server");
                }
            })?;
        }
        Ok(server)
    }
}

/// Keeps this thread on one of the cores that it may use.
fn stay_on_core(number: usize) {
    let allowed = sched_getaffinity(Pid::from_raw(0)).map(|allowed| {
        let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
        cores.collect::<Vec<_>>()
    });
    let Ok(cores) = allowed else { return };
    let Some(core) = cores.get(number % cores.len().max(1)) else { return };
    let mut only = CpuSet::new();
    let pinned = only.set(*core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &only));
    if let Err(error) = pinned {
        tracing::warn!(%error, core, "cannot keep a thread on its core; it goes on without");
    }
}

/// Counts a thread that ends, by panic or otherwise, though nobody stopped the server.
struct Watched {
    gone: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.stop.load(Ordering::Acquire) {
            self.gone.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The certificate of a server that answers: anybody who has it can have it replaced, from any thread.
#[derive(Clone, Debug)]
pub struct ServerCertificate(Arc<Certificate>);

impl ServerCertificate {
    /// As [`Server::reload_certificate`].
    ///
    /// # Errors
    /// What is wrong with which file; the certificate stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// The file that it was read from.
    pub fn file(&self) -> &Path {
        self.0.file()
    }

    /// From when and until when it is valid, and then those that vouch for it.
    pub fn validity(&self) -> Vec<CertificateValidity> {
        self.0.validity()
    }
}

/// Whether a certificate could be used, and its dates with those of the ones that vouch for it.
///
/// # Errors
/// What is wrong with which file.
pub fn check_certificate(files: TlsConfig) -> Result<Vec<CertificateValidity>, TlsError> {
    Certificate::read(files).map(|certificate| certificate.validity())
}

/// A server that answers.
pub struct Server {
    stop: Arc<AtomicBool>,
    stop_streams: watch::Sender<bool>,
    sockets: Vec<Arc<UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
    metrics: Metrics,
    certificate: Option<Arc<Certificate>>,
    streams: Arc<streams::Shared>,
}

impl Server {
    fn counters(&mut self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.metrics.threads.push(Arc::clone(&counters));
        counters
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let (gone, stop) = (Arc::clone(&self.metrics.gone), Arc::clone(&self.stop));
        let work = move || {
            let _watch = Watched { gone, stop };
            work();
        };
        let thread = std::thread::Builder::new().name(name).spawn(work).map_err(StartError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// What is counted; can be read from any thread, as long as one likes.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Whether all its threads work. One that is gone leaves queries unanswered, and there is nothing to do then but start the
    /// server anew.
    pub fn is_whole(&self) -> bool {
        self.metrics.threads_gone() == 0
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.streams.connections()
    }

    /// Reads the certificate for TLS again. Handshakes from now on use it; connections that are open go on as they are.
    ///
    /// # Errors
    /// What is wrong with which file; the certificate stays as it was.
    pub fn reload_certificate(&self) -> Result<(), TlsError> {
        self.certificate.as_ref().ok_or(TlsError::NotConfigured)?.reload()
    }

    /// Its certificate for TLS, if it has one.
    pub fn certificate(&self) -> Option<ServerCertificate> {
        self.certificate.clone().map(ServerCertificate)
    }

    /// Stops: each thread finishes the batch in its hands, connections are closed, and all addresses are free when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.stop_streams.send(true);
        for socket in &self.sockets {
            mmsg::wake(socket.fd());
        }
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
        self.sockets.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
