//! Origins in TLS and over HTTP/2, and the authority that signs their certificates.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use edge::{OriginConfig, OriginTls, Protocol};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::support::soon;

/// A certificate authority of a test's own, with its files.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    folder: TempDir,
}

/// A certificate and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pem: String,
    key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("write");
        let der = certificate.der().clone();
        Self { issuer: Issuer::new(params, key), der, folder }
    }

    pub fn issue(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    /// The file to trust.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files of a certificate and its key.
    pub fn files(&self, name: &str, identity: &Identity) -> (PathBuf, PathBuf) {
        let (pem, key) =
            (self.folder.path().join(format!("{name}.pem")), self.folder.path().join(format!("{name}.key")));
        std::fs::write(&pem, &identity.pem).expect("write");
        std::fs::write(&key, &identity.key_pem).expect("write");
        (pem, key)
    }

    /// Accepts TLS as `identity`, with these protocols; clients need a certificate of ours when `of_clients`.
    pub fn acceptor(&self, identity: Identity, alpn: &[&str], of_clients: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if of_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.der.clone()).expect("root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(identity.chain, identity.key).expect("config");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// An https origin there, verified with this authority.
    pub fn origin(&self, address: SocketAddr, protocol: Protocol) -> OriginConfig {
        let mut origin = OriginConfig::new(address.to_string().parse().expect("authority"));
        origin.tls = Some(OriginTls { ca: Some(self.file()), ..OriginTls::default() });
        origin.protocol = protocol;
        origin
    }
}

/// TLS in front of an origin in clear text.
pub struct TlsFront {
    pub address: SocketAddr,
    /// The names that clients asked for.
    names: Arc<Mutex<Vec<String>>>,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    task: JoinHandle<()>,
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsFront {
    pub async fn start(acceptor: TlsAcceptor, behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let names = Arc::new(Mutex::new(Vec::new()));
        let acceptor = Arc::new(Mutex::new(acceptor));
        let (seen, current) = (Arc::clone(&names), Arc::clone(&acceptor));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let acceptor = current.lock().expect("acceptor").clone();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(stream).await else { return };
                    let name = tls.get_ref().1.server_name().unwrap_or("none").to_owned();
                    seen.lock().expect("names").push(name);
                    let Ok(mut origin) = TcpStream::connect(behind).await else { return };
                    let _ = copy_bidirectional(&mut tls, &mut origin).await;
                });
            }
        });
        Self { address, names, acceptor, task }
    }

    /// From now on connections are accepted like this.
    pub fn become_one(&self, acceptor: TlsAcceptor) {
        *self.acceptor.lock().expect("acceptor") = acceptor;
    }

    /// The name of each handshake that succeeded.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().expect("names").clone()
    }
}

/// A request as an HTTP/2 origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Number of its connection.
    pub connection: usize,
}

/// What a script answers with.
pub type Reply = SendResponse<Bytes>;

type Script =
    Arc<dyn Fn(usize, Request<RecvStream>, Reply) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// An origin over HTTP/2 that follows a script.
pub struct H2Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    count: watch::Receiver<usize>,
    /// Streams at once, at most, on any connection.
    peak: Arc<AtomicUsize>,
    goodbye: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the origin does with all of a request before it answers.
pub async fn read(request: Request<RecvStream>) -> (Request<()>, Vec<u8>, Option<HeaderMap>) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await.ok().flatten();
    (Request::from_parts(parts, ()), body, trailers)
}

impl H2Origin {
    /// `streams`: how many at once it allows. `script` gets the number of the connection, the request, and the place for
    /// the answer.
    pub async fn start<F, Fut>(acceptor: Option<TlsAcceptor>, streams: u32, script: F) -> Self
    where
        F: Fn(usize, Request<RecvStream>, Reply) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let script: Script = Arc::new(move |n, request, reply| Box::pin(script(n, request, reply)));
        let (counted, count) = watch::channel(0);
        let (goodbye, leaving) = watch::channel(false);
        let (seen, connections, peak) = (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::default());
        let shared = Shared {
            script,
            seen: Arc::clone(&seen),
            counted: Arc::new(counted),
            peak: Arc::clone(&peak),
            streams,
            leaving,
        };
        let opened = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let number = opened.fetch_add(1, Ordering::SeqCst);
                let (shared, acceptor) = (shared.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => shared.serve(number, stream).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                shared.serve(number, stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, connections, count, peak, goodbye, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("log").clone()
    }

    pub fn requests(&self) -> usize {
        *self.count.borrow()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    pub async fn wait_for(&self, requests: usize) {
        let mut count = self.count.clone();
        soon("requests at the origin", count.wait_for(|count| *count >= requests)).await.expect("origin");
    }

    /// Says GOAWAY on every connection, and finishes what it has begun.
    pub fn go_away(&self) {
        self.goodbye.send_replace(true);
    }
}

#[derive(Clone)]
struct Shared {
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
    counted: Arc<watch::Sender<usize>>,
    peak: Arc<AtomicUsize>,
    streams: u32,
    leaving: watch::Receiver<bool>,
}

impl Shared {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut self, number: usize, stream: S) {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(self.streams).initial_window_size(1 << 20);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        let open = Arc::new(AtomicUsize::new(0));
        let mut leaving = *self.leaving.borrow_and_update();
        loop {
            let next = tokio::select! {
                next = connection.accept() => next,
                Ok(()) = self.leaving.changed(), if !leaving => {
                    leaving = true;
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let Some(Ok((request, reply))) = next else { return };
            let now = open.fetch_add(1, Ordering::SeqCst) + 1;
            self.peak.fetch_max(now, Ordering::SeqCst);
            self.seen.lock().expect("log").push(Seen {
                method: request.method().to_string(),
                uri: request.uri().to_string(),
                headers: request.headers().clone(),
                body: Vec::new(),
                trailers: None,
                connection: number,
            });
            self.counted.send_modify(|count| *count += 1);
            let answer = (self.script)(number, request, reply);
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                answer.await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
}

/// Answers with a whole response.
pub fn respond(reply: &mut Reply, status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) {
    let mut response = http::Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let body = body.into();
    let response = response.body(()).expect("a response");
    let Ok(mut stream) = reply.send_response(response, body.is_empty()) else { return };
    if !body.is_empty() {
        stream.reserve_capacity(body.len());
        let _ = stream.send_data(body, true);
    }
}
