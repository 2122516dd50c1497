//! The TLS listener of an edge, as far as it has been set.

use std::net::SocketAddr;
use std::path::PathBuf;

use edge::tls::{Certificates, TlsLimits};
use edge::{CertificateFiles, TlsConfig};

use super::About;
use super::value::Wrong;

/// What has been set so far.
#[derive(Clone, Debug, Default)]
pub struct TlsDraft {
    pub listen: Option<SocketAddr>,
    pub certificates: Vec<PathBuf>,
    /// As many as there are certificates, or none: then the files of the certificates hold them.
    pub keys: Vec<PathBuf>,
    pub limits: TlsLimits,
}

impl TlsDraft {
    /// Checks it, and reads the certificates to see whether they can be used. `None`: there is no such listener.
    ///
    /// # Errors
    /// What is wrong, with the paths of the fields it concerns.
    pub fn finish(self) -> Result<Option<TlsConfig>, (About, Wrong)> {
        let Self { listen, certificates, keys, limits } = self;
        let wrong = |paths: &[&str], wrong: String, hint: &str| {
            Err((paths.iter().map(|path| (*path).to_owned()).collect(), Wrong::new(wrong).hint(hint)))
        };
        let Some(listen) = listen else {
            if certificates.is_empty() && keys.is_empty() {
                return Ok(None);
            }
            return wrong(
                &["tls.certificate", "tls.key", "tls.listen"],
                "a certificate or key without a TLS listener".into(),
                "set tls.listen (--tls-listen) as well, or remove it",
            );
        };
        if certificates.is_empty() {
            return wrong(
                &["tls.listen", "tls.certificate"],
                "a TLS listener without a certificate".into(),
                "set tls.certificate (--tls-certificate) to a PEM file, and tls.key (--tls-key) to its key",
            );
        }
        if !keys.is_empty() && keys.len() != certificates.len() {
            return wrong(
                &["tls.key", "tls.certificate"],
                format!("{} for {} certificates", keys.len(), certificates.len()),
                "give each certificate its key, in the same order, or none if their files hold them",
            );
        }
        let mut keys = keys.into_iter();
        let certificates: Vec<CertificateFiles> = certificates
            .into_iter()
            .map(|certificate| CertificateFiles { certificate, key: keys.next() })
            .collect();
        match Certificates::check(&certificates) {
            Ok(()) => Ok(Some(TlsConfig { listen, certificates, limits })),
            Err(error) => wrong(
                &["tls.certificate", "tls.key"],
                error.to_string(),
                "PEM files: a certificate with subjectAltName and those that vouch for it, and its key",
            ),
        }
    }
}
