//! The configuration of an edge: from a file, from flags, or from both (a flag wins).
//!
//! [`fields`] is the one list of what can be set: the file's keys, the flags, the explanation and the checks all come
//! from it. What comes out of [`Draft::finish`] is valid.

pub mod explain;
pub mod fields;
pub mod file;
pub mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use edge::tls::{Certificates, TlsLimits};
use edge::{AdminConfig, CertificateFiles, Config, TlsConfig, Token};
use http::uri::Authority;
use http_cache::Settings;

use fields::FIELDS;
use value::{Given, Wrong};

/// Shortest admin token. 16 random characters are beyond guessing over a network.
const SHORTEST_TOKEN: usize = 16;

/// What has been set so far, on top of the defaults.
#[derive(Clone, Debug)]
pub struct Draft {
    pub config: Config,
    pub settings: Settings,
    pub origin: Option<Authority>,
    pub admin: Option<SocketAddr>,
    pub admin_token_file: Option<PathBuf>,
    pub tls: TlsDraft,
}

/// The TLS listener as far as it has been set.
#[derive(Clone, Debug, Default)]
pub struct TlsDraft {
    pub listen: Option<SocketAddr>,
    pub certificates: Vec<PathBuf>,
    /// As many as there are certificates, or none: then the files of the certificates hold them.
    pub keys: Vec<PathBuf>,
    pub limits: TlsLimits,
}

impl Default for Draft {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self {
            config: Config::new(listen, Authority::from_static("origin.invalid")),
            settings: Settings::default(),
            origin: None,
            admin: None,
            admin_token_file: None,
            tls: TlsDraft::default(),
        }
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Checked {
    pub config: Config,
    pub settings: Settings,
}

impl Draft {
    /// Sets the field with this path (such as `client.idle`).
    ///
    /// # Errors
    /// When there is no such field, or the value does not suit it.
    pub fn set(&mut self, path: &str, given: Given<'_>) -> Result<(), Wrong> {
        let field = FIELDS
            .iter()
            .find(|field| field.path == path)
            .ok_or_else(|| Wrong::new(format!("there is no field `{path}`")))?;
        field.kind.set(self, given).map_err(|wrong| match (&wrong.hint, field.default) {
            (Some(_), _) => wrong,
            (None, Some(default)) => wrong.hint(format!(
                "the default is {default}; `reference-cdn config --explain` says what it means"
            )),
            (None, None) => wrong.hint("`reference-cdn config --explain` says what it means"),
        })
    }

    /// Checks what single fields cannot tell.
    ///
    /// # Errors
    /// All that is wrong, each with the paths of the fields it concerns, the one to change first.
    pub fn finish(mut self) -> Result<Checked, Vec<(&'static [&'static str], Wrong)>> {
        let mut wrongs: Vec<(&'static [&'static str], Wrong)> = Vec::new();
        match self.origin.take() {
            Some(origin) => self.config.origin.authority = origin,
            None => wrongs.push((
                &["origin.url"],
                Wrong::new("no origin is given").hint("say where the content comes from: `url = \"http://host:port\"` under [origin], or --origin"),
            )),
        }
        if self.config.store.object > self.config.store.memory {
            wrongs.push((
                &["store.object", "store.memory"],
                Wrong::new("one response may be larger than the whole store")
                    .hint("keep store.object at or below store.memory"),
            ));
        }
        wrongs.extend(self.collisions());
        match std::mem::take(&mut self.tls).finish() {
            Ok(tls) => self.config.tls = tls,
            Err(wrong) => wrongs.push(wrong),
        }
        match (self.admin, self.admin_token_file.take()) {
            (None, None) => {}
            (None, Some(_)) => wrongs.push((
                &["admin.token-file", "admin.listen"],
                Wrong::new("a token file without an admin listener").hint("set admin.listen (--admin) as well, or remove it"),
            )),
            (Some(_), None) => wrongs.push((
                &["admin.listen", "admin.token-file"],
                Wrong::new("an admin listener without a token file")
                    .hint("set admin.token-file (--admin-token-file) to a file with a secret of 16 characters or more"),
            )),
            (Some(listen), Some(path)) => match token(&path) {
                Ok(token) => self.config.admin = Some(AdminConfig { listen, token }),
                Err(wrong) => wrongs.push((&["admin.token-file"], wrong)),
            },
        }
        if wrongs.is_empty() {
            Ok(Checked { config: self.config, settings: self.settings })
        } else {
            Err(wrongs)
        }
    }
}

impl Draft {
    /// Listeners that want the same address.
    fn collisions(&self) -> Vec<(&'static [&'static str], Wrong)> {
        let mut wrongs: Vec<(&'static [&'static str], Wrong)> = Vec::new();
        let mut taken =
            |paths: &'static [&'static str], given: Option<SocketAddr>, by: Option<SocketAddr>| {
                if let (Some(given), Some(by)) = (given, by)
                    && collide(by, given)
                {
                    let message = format!("{given} is taken by `{}`, which is {by}", paths[1]);
                    wrongs.push((paths, Wrong::new(message).hint("give each listener a port of its own")));
                }
            };
        let (listen, tls) = (Some(self.config.listen), self.tls.listen);
        taken(&["admin.listen", "listen"], self.admin, listen);
        taken(&["admin.listen", "tls.listen"], self.admin, tls);
        taken(&["tls.listen", "listen"], tls, listen);
        wrongs
    }
}

impl TlsDraft {
    fn finish(self) -> Result<Option<TlsConfig>, (&'static [&'static str], Wrong)> {
        let Self { listen, certificates, keys, limits } = self;
        let Some(listen) = listen else {
            if certificates.is_empty() && keys.is_empty() {
                return Ok(None);
            }
            let wrong = Wrong::new("a certificate or key without a TLS listener")
                .hint("set tls.listen (--tls-listen) as well, or remove it");
            return Err((&["tls.certificate", "tls.key", "tls.listen"], wrong));
        };
        if certificates.is_empty() {
            let wrong = Wrong::new("a TLS listener without a certificate").hint(
                "set tls.certificate (--tls-certificate) to a PEM file, and tls.key (--tls-key) to its key",
            );
            return Err((&["tls.listen", "tls.certificate"], wrong));
        }
        if !keys.is_empty() && keys.len() != certificates.len() {
            let wrong = Wrong::new(format!("{} for {} certificates", keys.len(), certificates.len()))
                .hint("give each certificate its key, in the same order, or none if their files hold them");
            return Err((&["tls.key", "tls.certificate"], wrong));
        }
        let mut keys = keys.into_iter();
        let certificates: Vec<CertificateFiles> = certificates
            .into_iter()
            .map(|certificate| CertificateFiles { certificate, key: keys.next() })
            .collect();
        Certificates::check(&certificates).map_err(|error| {
            let wrong = Wrong::new(error.to_string()).hint(
                "PEM files: a certificate with subjectAltName and those that vouch for it, and its key",
            );
            (&["tls.certificate", "tls.key"][..], wrong)
        })?;
        Ok(Some(TlsConfig { listen, certificates, limits }))
    }
}

/// Can only one of the two be listened on?
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    // [::] takes the addresses of IPv4 as well.
    let takes =
        |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

fn token(path: &std::path::Path) -> Result<Token, Wrong> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Wrong::new(format!("cannot read the token file {}: {error}", path.display()))
            .hint("write a secret into it: head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE")
    })?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Wrong::new(format!(
            "the token in {} has to be one word of {SHORTEST_TOKEN} or more visible ASCII characters",
            path.display()
        ))
        .hint("write a secret into it: head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE"));
    }
    Ok(Token::new(token))
}
