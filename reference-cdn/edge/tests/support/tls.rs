//! Certificates, and a client that speaks TLS and trusts everybody.

use std::path::PathBuf;
use std::sync::Arc;

use edge::tls::TlsLimits;
use edge::{CertificateFiles, Config, TlsConfig};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{TestEdge, soon};

/// Certificates in a folder of their own.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a certificate for these names, and its key; gives the certificate.
    pub fn write(&self, file: &str, names: &[&str]) -> CertificateDer<'static> {
        self.write_with(file, names, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("key"))
    }

    pub fn write_with(&self, file: &str, names: &[&str], key: &KeyPair) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made =
            rcgen::CertificateParams::new(names).expect("names").self_signed(key).expect("certificate");
        std::fs::write(self.path(&format!("{file}.pem")), made.pem()).expect("write");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("write");
        made.der().clone()
    }

    pub fn files(&self, file: &str) -> CertificateFiles {
        let path = |kind: &str| self.path(&format!("{file}.{kind}"));
        CertificateFiles { certificate: path("pem"), key: Some(path("key")) }
    }
}

pub fn with_tls(folder: &Folder, files: &[&str]) -> impl FnOnce(&mut Config) {
    let certificates = files.iter().map(|file| folder.files(file)).collect();
    move |config| {
        let listen = ([127, 0, 0, 1], 0).into();
        config.tls = Some(TlsConfig { listen, certificates, limits: TlsLimits::default() });
    }
}

/// Trusts everybody: what is shown is looked at by the test.
#[derive(Debug)]
pub struct Trusting(pub CryptoProvider);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub fn client(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ClientConfig {
    let verifier = Arc::new(Trusting(default_provider()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

pub async fn handshake(
    edge: &TestEdge,
    config: impl Into<Arc<ClientConfig>>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = soon("connect", TcpStream::connect(edge.tls)).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    soon("a handshake", TlsConnector::from(config.into()).connect(name, stream)).await
}
