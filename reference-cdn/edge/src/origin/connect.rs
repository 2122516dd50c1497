//! Connecting to an origin: its address, TCP, TLS, each step with a bound of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::addresses::{Addresses, literal};
use super::config::{OriginLimits, Protocol};
use super::error::OriginError;
use super::names::Names;
use super::stream::Plain;
use super::tls::{Tls, server_name, unbracketed};

/// How long one address is given before the next is tried beside it (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a name that was not found is not looked up again.
const MISSING: Duration = Duration::from_secs(1);

/// Makes connections to one origin. Where to comes from the configuration alone.
#[derive(Debug)]
pub struct Connector {
    /// The origin as configured, for messages.
    origin: String,
    host: String,
    port: u16,
    tls: Option<Tls>,
    protocol: Protocol,
    limits: OriginLimits,
    names: Names,
    addresses: Mutex<Addresses>,
    /// One look-up at a time.
    looking_up: Arc<tokio::sync::Mutex<()>>,
    is_literal: bool,
}

impl Connector {
    pub fn new(
        origin: String,
        authority: &Authority,
        tls: Option<Tls>,
        protocol: Protocol,
        limits: OriginLimits,
        names: Names,
    ) -> Self {
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let host = unbracketed(authority.host()).to_owned();
        let literal = literal(&host).map(|address| SocketAddr::new(address, port));
        Self {
            origin,
            host,
            port,
            tls,
            protocol,
            limits,
            names,
            is_literal: literal.is_some(),
            addresses: Mutex::new(literal.map_or_else(Addresses::default, Addresses::fixed)),
            looking_up: Arc::default(),
        }
    }

    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn book(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, in TLS as `name` where the origin has TLS, and whether it is to carry HTTP/2.
    ///
    /// # Errors
    /// When a step fails or takes too long.
    pub async fn connect(self: &Arc<Self>, name: Option<&str>) -> Result<(Plain, bool), OriginError> {
        let stream = self.tcp().await?;
        // Without it, small requests wait for acknowledgements; failing to set it costs only time.
        let _ = stream.set_nodelay(true);
        let (Some(tls), Some(name)) = (&self.tls, name) else {
            return Ok((Plain::Clear(stream), self.protocol == Protocol::H2));
        };
        let Some(server) = server_name(name) else {
            return Err(OriginError::ServerName { origin: self.origin.clone(), name: name.to_owned() });
        };
        let connector = TlsConnector::from(tls.config());
        let limit = self.limits.handshake;
        let stream = match timeout(limit, connector.connect(server, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(self.tls_error(name, source)),
            Err(_) => return Err(OriginError::TlsTimeout { origin: self.origin.clone(), limit }),
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.protocol == Protocol::H2 && !h2 {
            return Err(OriginError::NoH2 { origin: self.origin.clone() });
        }
        Ok((Plain::Tls(Box::new(stream)), h2))
    }

    fn tls_error(&self, name: &str, source: io::Error) -> OriginError {
        let origin = self.origin.clone();
        match source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            // An origin that knows none of what ALPN offered says so in an alert (RFC 7301 section 3.2).
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol))
                if self.protocol == Protocol::H2 =>
            {
                OriginError::NoH2 { origin }
            }
            Some(error) => OriginError::Tls { origin, name: name.to_owned(), source: error.clone() },
            None => OriginError::TlsBroken { origin, source },
        }
    }

    async fn tcp(self: &Arc<Self>) -> Result<TcpStream, OriginError> {
        let order = self.addresses().await?;
        let until = Instant::now() + self.limits.connect;
        match order[..] {
            [only] => match timeout_at(until, TcpStream::connect(only)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(source)) => Err(self.refused(source)),
                Err(_) => Err(self.too_late()),
            },
            _ => self.race(order, until).await,
        }
    }

    /// Tries the addresses in order, each with a head start before the next (RFC 8305 section 5). The first connection
    /// wins; what failed or hung is left alone for a while.
    async fn race(&self, order: Vec<SocketAddr>, until: Instant) -> Result<TcpStream, OriginError> {
        let mut attempts = JoinSet::new();
        let mut waiting = order.into_iter();
        let mut under_way: Vec<SocketAddr> = Vec::new();
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        loop {
            if let Some(address) = waiting.next() {
                under_way.push(address);
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            }
            let head_start = if waiting.len() == 0 { until } else { until.min(Instant::now() + HEAD_START) };
            match timeout_at(head_start, attempts.join_next()).await {
                Ok(Some(Ok((address, Ok(stream))))) => {
                    let mut book = self.book();
                    book.worked(address);
                    // Those that had a start and are still waiting hang, or are slow.
                    for slow in under_way.iter().take_while(|it| **it != address) {
                        book.failed(*slow, Instant::now());
                    }
                    return Ok(stream);
                }
                Ok(Some(Ok((address, Err(source))))) => {
                    self.book().failed(address, Instant::now());
                    under_way.retain(|it| *it != address);
                    last = io::Error::new(source.kind(), format!("{address}: {source}"));
                }
                // A task that panics or is aborted is none of ours; it counts as one that brought nothing.
                Ok(Some(Err(_))) => {}
                Ok(None) => return Err(self.refused(last)),
                Err(_) if Instant::now() >= until => {
                    let mut book = self.book();
                    for address in under_way {
                        book.failed(address, Instant::now());
                    }
                    return Err(self.too_late());
                }
                Err(_) => {}
            }
        }
    }

    fn refused(&self, source: io::Error) -> OriginError {
        OriginError::Connect { origin: self.origin.clone(), source }
    }

    fn too_late(&self) -> OriginError {
        OriginError::ConnectTimeout { origin: self.origin.clone(), limit: self.limits.connect }
    }

    /// The addresses to try, in order; at least one. Old ones are used while they are looked up again.
    async fn addresses(self: &Arc<Self>) -> Result<Vec<SocketAddr>, OriginError> {
        let now = Instant::now();
        {
            let mut book = self.book();
            if !book.is_empty() {
                let order = book.in_order(now);
                drop(book);
                self.renew();
                return Ok(order);
            }
            if book.is_missing(MISSING, now) {
                return Err(self.unknown(io::Error::other("it was not found a moment ago")));
            }
        }
        let limit = self.limits.resolve;
        let look_up = async {
            let _turn = self.looking_up.lock().await;
            // Another may have found it, or not, while this one waited.
            let known = {
                let mut book = self.book();
                if book.is_missing(MISSING, Instant::now()) {
                    return Err(io::Error::other("it was not found a moment ago"));
                }
                book.in_order(now)
            };
            if known.is_empty() { self.look_up().await } else { Ok(known) }
        };
        match timeout(limit, look_up).await {
            Ok(Ok(order)) => Ok(order),
            Ok(Err(source)) => Err(self.unknown(source)),
            Err(_) => {
                self.book().not_found(Instant::now());
                Err(OriginError::ResolveTimeout { origin: self.origin.clone(), limit })
            }
        }
    }

    fn unknown(&self, source: io::Error) -> OriginError {
        OriginError::Resolve { origin: self.origin.clone(), source }
    }

    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let found = self.names.look_up(&self.host, self.port).await;
        let mut book = self.book();
        let now = Instant::now();
        match found {
            Ok(found) if !found.is_empty() => {
                book.found(found, now);
                Ok(book.in_order(now))
            }
            Ok(_) => {
                book.not_found(now);
                Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }
            Err(error) => {
                book.not_found(now);
                Err(error)
            }
        }
    }

    /// Looks the name up again, in the background, if its addresses are old and nobody does so already.
    pub fn renew(self: &Arc<Self>) {
        let old = || {
            let book = self.book();
            !book.is_empty() && book.is_old(self.limits.resolve_again, Instant::now())
        };
        if self.is_literal || !old() {
            return;
        }
        let Ok(turn) = Arc::clone(&self.looking_up).try_lock_owned() else { return };
        let connector = Arc::clone(self);
        tokio::spawn(async move {
            let _turn = turn;
            let looked_up = match timeout(connector.limits.resolve, connector.look_up()).await {
                Ok(result) => result.map(|_| ()),
                Err(_) => {
                    connector.book().not_found(Instant::now());
                    Err(io::ErrorKind::TimedOut.into())
                }
            };
            if let Err(error) = looked_up {
                tracing::warn!(origin = connector.origin, %error, "cannot look the origin's name up again; its known addresses stay in use");
            }
        });
    }
}
