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

use edge::{AdminConfig, Config, OriginConfig, Token};
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
            Some(origin) => self.config.origin.origins = vec![OriginConfig::new(origin)],
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
        if let Some(admin) = self.admin
            && collide(self.config.listen, admin)
        {
            wrongs.push((
                &["admin.listen", "listen"],
                Wrong::new(format!("{admin} is taken by `listen`, which is {}", self.config.listen))
                    .hint("give operators a port of their own"),
            ));
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
