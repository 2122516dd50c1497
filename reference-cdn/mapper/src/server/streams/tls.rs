//! The certificate for DNS over TLS (RFC 7858), replaced while it is in use.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::config::TlsConfig;
use super::super::error::TlsError;
use super::validity::Validity;

/// Octets of a certificate or key file.
const MOST_OCTETS: u64 = 1 << 20;
/// What is spoken inside (RFC 7858 section 6 and IANA's list of ALPN identifiers). A client that names no protocol is served too.
const PROTOCOL: &[u8] = b"dot";

/// The certificate in use.
#[derive(Debug)]
pub(in super::super) struct Certificate {
    files: TlsConfig,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// Of the certificate, then of those that vouch for it.
    validity: Vec<Validity>,
}

impl Certificate {
    pub(in super::super) fn read(files: TlsConfig) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again. If they cannot be used, the certificate stays as it was.
    pub(in super::super) fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    pub(in super::super) fn file(&self) -> &Path {
        &self.files.certificate
    }

    pub(in super::super) fn validity(&self) -> Vec<Validity> {
        self.current.load().validity.clone()
    }

    pub(super) fn handshake_time(&self) -> std::time::Duration {
        self.files.handshake
    }
}

fn read(files: &TlsConfig) -> Result<Current, TlsError> {
    let path = &files.certificate;
    let text = octets(path)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| TlsError::Malformed { path: path.clone(), why: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.clone() });
    }
    let validity = chain.iter().map(|certificate| Validity::of(certificate)).collect::<Option<Vec<_>>>();
    let key = PrivateKeyDer::from_pem_slice(&octets(&files.key)?)
        .map_err(|error| TlsError::NoKey { path: files.key.clone(), why: error.to_string() })?;
    let unfit = |source| TlsError::Unfit { certificate: path.clone(), key: files.key.clone(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    let unread = || TlsError::Malformed { path: path.clone(), why: "its dates cannot be read".into() };
    let validity = validity.ok_or_else(unread)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Resolvers come back: tickets spare them and us a full handshake. Their keys end with the certificate.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(unfit)?;
    Ok(Current { config: Arc::new(config), validity })
}

fn octets(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MOST_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > MOST_OCTETS {
        Err(TlsError::TooLarge { path: path.to_owned() })
    } else {
        Ok(octets)
    }
}
