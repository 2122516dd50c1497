//! Certificates: read from files, chosen for each client by the name it asks for, replaced all at once.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http_cache::Time;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ProducesTickets};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use tokio::time::sleep;

use super::names::{Names, lower, parent};
use super::validity::{Standing, Validity};
use super::{CertificateFiles, Secured};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::timestamp;

/// Octets of a certificate or key file.
const MOST_OCTETS: u64 = 1 << 20;
/// How often the dates of certificates are looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// What is spoken inside, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("no certificate is given")]
    None,
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is larger than 1 MiB: is it a certificate or key?", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds no certificate in PEM form (BEGIN CERTIFICATE): {why}", .path.display())]
    NoCertificate { path: PathBuf, why: String },
    #[error("{} holds no private key in PEM form (BEGIN PRIVATE KEY): {why}", .path.display())]
    NoKey { path: PathBuf, why: String },
    #[error("the certificate in {} cannot be used with the key in {}: {source}", .certificate.display(), .key.display())]
    Unfit { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("the certificate in {} cannot be read: {source}", .path.display())]
    Malformed { path: PathBuf, source: webpki::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificates in use.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<CertificateFiles>,
    current: ArcSwap<Set>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// Those read at one time.
#[derive(Debug)]
pub struct Set {
    entries: Vec<Entry>,
    /// What was last said of the dates of each certificate, chain by chain.
    said: Mutex<Vec<Vec<Standing>>>,
    /// Entries for a name, in the order of the files: they may differ in the kind of their key.
    exact: HashMap<Box<str>, Vec<usize>>,
    wildcards: HashMap<Box<str>, Vec<usize>>,
}

/// A certificate with its key, and the settings for clients that are shown it.
#[derive(Debug)]
struct Entry {
    key: Arc<CertifiedKey>,
    names: Arc<Names>,
    config: Arc<ServerConfig>,
    file: PathBuf,
    /// Of the certificate, then of those that vouch for it.
    validity: Vec<Validity>,
}

impl Certificates {
    /// Reads certificates.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn read(files: Vec<CertificateFiles>, metrics: Arc<Metrics>, clock: Clock) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Set::read(&files)?);
        let new = Self { files, current, metrics, clock };
        new.look();
        Ok(new)
    }

    /// Looks at the dates of those in use, and warns of what changed since it last did. A certificate that clients refuse is
    /// shown nevertheless: they say so, and there may be none that is better.
    fn look(&self) {
        let (set, now) = (self.current(), self.clock.now());
        self.metrics.certificates_expire(set.entries.iter().map(Entry::expires).collect());
        let mut said = set.said.lock().unwrap_or_else(PoisonError::into_inner);
        for (entry, said) in set.entries.iter().zip(said.iter_mut()) {
            for (certificate, said) in entry.validity.iter().zip(said) {
                let (file, subject) = (entry.file.display(), &*certificate.subject);
                match certificate.at(now) {
                    standing if standing == *said => continue,
                    Standing::Expired => {
                        let expired = timestamp::format(certificate.not_after);
                        tracing::warn!(%file, subject, expired, "a certificate has expired: clients refuse it; replace it and send SIGHUP");
                    }
                    Standing::NotYet => {
                        let begins = timestamp::format(certificate.not_before);
                        tracing::warn!(%file, subject, begins, "a certificate is not valid yet: clients refuse it until then, or this machine's clock is wrong");
                    }
                    Standing::Valid => tracing::warn!(%file, subject, "a certificate is valid now"),
                }
                *said = certificate.at(now);
            }
        }
    }

    /// Warns of certificates as they expire. Ends never; whoever drops it ends it.
    pub async fn watch(&self) {
        loop {
            sleep(GLANCE).await;
            self.look();
        }
    }

    /// Whether these can be read and used.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn check(files: &[CertificateFiles]) -> Result<(), TlsError> {
        Set::read(files).map(|_| ())
    }

    /// Reads the files again. Handshakes from now on use what was read; connections that are open go on as they are. Says
    /// how many certificates there are.
    ///
    /// # Errors
    /// What is wrong with which file. The certificates stay as they were, all of them: half of a set of new files may be
    /// no set at all.
    pub fn reload(&self) -> Result<usize, TlsError> {
        let set = Set::read(&self.files).inspect_err(|error| {
            self.metrics.tls_reloads_failed.add(1);
            tracing::error!(%error, "certificates not replaced; the old ones stay in use");
        })?;
        self.metrics.tls_reloads.add(1);
        let count = set.entries.len();
        self.current.store(Arc::new(set));
        self.look();
        tracing::info!(count, "certificates replaced");
        Ok(count)
    }

    pub fn current(&self) -> Arc<Set> {
        self.current.load_full()
    }
}

impl Set {
    fn read(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        // Made anew for each set: whoever resumes a session would go on with the certificate of the session's beginning.
        let tickets = Ticketer::new()?;
        let mut set = Self {
            entries: Vec::new(),
            said: Mutex::default(),
            exact: HashMap::new(),
            wildcards: HashMap::new(),
        };
        for files in files {
            let entry = Entry::read(files, &provider, &tickets)?;
            let index = set.entries.len();
            for name in entry.names.exact() {
                set.exact.entry(name.into()).or_default().push(index);
            }
            for name in entry.names.wildcards() {
                set.wildcards.entry(name.into()).or_default().push(index);
            }
            set.entries.push(entry);
        }
        let valid = |entry: &Entry| vec![Standing::Valid; entry.validity.len()];
        set.said = Mutex::new(set.entries.iter().map(valid).collect());
        if set.entries.is_empty() { Err(TlsError::None) } else { Ok(set) }
    }

    /// The settings for a client, and what they prove to it.
    ///
    /// A name in full wins over a wildcard, and among several certificates for one name the first whose key the client can
    /// verify. Where none fits, the first of all is shown: the client will say what it thinks of that.
    pub fn choose(&self, hello: &ClientHello<'_>) -> (Arc<ServerConfig>, Secured) {
        let host = hello.server_name().map(lower).unwrap_or_default();
        let exact = self.exact.get(&*host);
        let candidates = exact.or_else(|| self.wildcards.get(parent(&host)?)).map_or(&[][..], Vec::as_slice);
        let fits = |index: &&usize| {
            let entry = self.entries.get(**index);
            entry.is_some_and(|it| it.key.key.choose_scheme(hello.signature_schemes()).is_some())
        };
        let index = candidates.iter().find(fits).or(candidates.first()).copied().unwrap_or(0);
        // A set has at least one entry, and indices come from it.
        let entry = &self.entries[index];
        (Arc::clone(&entry.config), Secured(Arc::clone(&entry.names)))
    }
}

impl Entry {
    fn read(
        files: &CertificateFiles,
        provider: &Arc<CryptoProvider>,
        tickets: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsError> {
        let CertificateFiles { certificate: path, key } = files;
        let key_path = key.as_ref().unwrap_or(path);
        let text = read(path)?;
        let no_certificate = |why: String| TlsError::NoCertificate { path: path.clone(), why };
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| no_certificate(error.to_string()))?;
        let Some(first) = chain.first() else { return Err(no_certificate("there is none".into())) };
        let names = Names::of(first).map_err(|source| TlsError::Malformed { path: path.clone(), source })?;
        if names.is_empty() {
            let names = "it names nobody: clients look for subjectAltName, and it has none";
            return Err(no_certificate(names.into()));
        }
        let malformed = || TlsError::Malformed { path: path.clone(), source: webpki::Error::BadDer };
        let validity =
            chain.iter().map(|it| Validity::of(it).ok_or_else(malformed)).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
            .map_err(|error| TlsError::NoKey { path: key_path.clone(), why: error.to_string() })?;
        let unfit = |source| TlsError::Unfit { certificate: path.clone(), key: key_path.clone(), source };
        // Checks that the two belong together.
        let key = Arc::new(CertifiedKey::from_der(chain, key, provider).map_err(unfit)?);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&key))));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(tickets);
        // The default, said here because it matters: no early data.
        config.max_early_data_size = 0;
        Ok(Self { key, names: Arc::new(names), config: Arc::new(config), file: path.clone(), validity })
    }

    /// When the first of its chain does.
    fn expires(&self) -> Time {
        self.validity.iter().map(|it| it.not_after).min().unwrap_or_default()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MOST_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > MOST_OCTETS {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(octets)
}
