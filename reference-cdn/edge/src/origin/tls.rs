//! TLS towards origins: whom to trust, what name to ask for, which protocols to offer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::uri::Authority;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};

use super::config::{OriginTls, Protocol};

/// Names under which sessions are remembered, for one origin.
const SESSIONS: usize = 256;

/// Why TLS towards an origin cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    #[error("cannot use the PEM file {}: {what}", .path.display())]
    File { path: PathBuf, what: String },
    #[error("this system trusts no certificate authority; give a file of them (ca)")]
    NoAuthorities,
    #[error("\"{0}\" is no name that a certificate can have")]
    Name(String),
    #[error("the certificate in {} cannot be shown to origins: {source}", .path.display())]
    Certificate { path: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Other(#[from] rustls::Error),
}

impl OriginTls {
    /// Can it be used? Does not look at the authorities that the system trusts.
    ///
    /// # Errors
    /// When a file cannot be used or a name is none.
    pub fn check(&self) -> Result<(), TlsSetupError> {
        let mut system = SystemAuthorities(Some(Arc::new(RootCertStore::empty())));
        Tls::new(self, Protocol::Auto, &mut system).map(|_| ())
    }
}

/// The authorities that the system trusts, read when an origin first needs them.
#[derive(Debug, Default)]
pub struct SystemAuthorities(Option<Arc<RootCertStore>>);

impl SystemAuthorities {
    fn get(&mut self) -> Result<Arc<RootCertStore>, TlsSetupError> {
        if let Some(roots) = &self.0 {
            return Ok(Arc::clone(roots));
        }
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        let mut roots = RootCertStore::empty();
        // Some systems carry certificates that no verifier takes; the others are as good without them.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TlsSetupError::NoAuthorities);
        }
        let roots = Arc::new(roots);
        self.0 = Some(Arc::clone(&roots));
        Ok(roots)
    }
}

/// How to make a TLS connection to one origin.
#[derive(Debug)]
pub struct Tls {
    settings: OriginTls,
    protocol: Protocol,
    current: ArcSwap<Made>,
    /// `None`: that of the Host field.
    name: Option<Arc<str>>,
}

/// What files and the system said at one time.
#[derive(Debug)]
struct Made {
    config: Arc<ClientConfig>,
    /// Of all of it, to tell whether it is the same when it is read again.
    digest: [u8; 32],
}

impl Tls {
    /// # Errors
    /// When a file cannot be used or a name is none.
    pub fn new(
        settings: &OriginTls,
        protocol: Protocol,
        system: &mut SystemAuthorities,
    ) -> Result<Self, TlsSetupError> {
        let name = settings.server_name.as_ref();
        if let Some(name) = name.filter(|name| server_name(name).is_none()) {
            return Err(TlsSetupError::Name(name.clone()));
        }
        let current = ArcSwap::from_pointee(Self::make(settings, protocol, system)?);
        let name = name.map(|name| name.as_str().into());
        Ok(Self { settings: settings.clone(), protocol, current, name })
    }

    /// Reads the files, and whom the system trusts, again. True if they say something else than before: connections from now
    /// on are made as they say.
    ///
    /// # Errors
    /// When a file cannot be used; then all stays as it was.
    pub fn reload(&self, system: &mut SystemAuthorities) -> Result<bool, TlsSetupError> {
        let made = Self::make(&self.settings, self.protocol, system)?;
        if made.digest == self.current.load().digest {
            return Ok(false);
        }
        self.current.store(Arc::new(made));
        Ok(true)
    }

    fn make(
        settings: &OriginTls,
        protocol: Protocol,
        system: &mut SystemAuthorities,
    ) -> Result<Made, TlsSetupError> {
        let roots = match &settings.ca {
            None => system.get()?,
            Some(path) => Arc::new(authorities(path)?),
        };
        let mut digest = Sha256::new();
        let mut note = |octets: &[u8]| {
            digest.update(octets.len().to_le_bytes());
            digest.update(octets);
        };
        for root in &roots.roots {
            note(&root.subject);
            note(&root.subject_public_key_info);
            note(root.name_constraints.as_deref().unwrap_or_default());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &settings.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let source = |source| TlsSetupError::Certificate { path: chain.clone(), source };
                let (certificates, key) = (certificates(chain)?, private_key(key)?);
                certificates.iter().for_each(|certificate| note(certificate));
                note(key.secret_der());
                builder.with_client_auth_cert(certificates, key).map_err(source)?
            }
        };
        config.alpn_protocols = match protocol {
            Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::H1 => vec![b"http/1.1".to_vec()],
            Protocol::H2 => vec![b"h2".to_vec()],
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Made { config: Arc::new(config), digest: digest.finalize().into() })
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// The name to ask for when the request's Host is `host`. Connections made for one name carry no requests for
    /// another: the origin's certificate was verified for that name only.
    pub fn name_for(&self, host: &Authority) -> Arc<str> {
        self.name.clone().unwrap_or_else(|| unbracketed(host.host()).to_ascii_lowercase().into())
    }

    /// Do clients decide which name is asked for? Then a certificate that does not match tells nothing about the origin.
    pub fn name_is_the_clients(&self, keep_host: bool) -> bool {
        self.name.is_none() && keep_host
    }
}

/// The name as certificates have it; `None` if they cannot.
pub fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

/// An address in a URL's brackets, without them.
pub fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn file(path: &Path, what: impl std::fmt::Display) -> TlsSetupError {
    TlsSetupError::File { path: path.to_owned(), what: what.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| file(path, error))?.collect();
    let found = found.map_err(|error| file(path, error))?;
    if found.is_empty() {
        return Err(file(path, "it holds no certificate"));
    }
    Ok(found)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file(path, error))?;
    }
    Ok(roots)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    // What is wrong with it is said; what is in it never.
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => file(path, "it holds no private key"),
        error => file(path, error),
    })
}
