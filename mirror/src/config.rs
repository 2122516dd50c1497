//! What a mirror is told to do, and why it could not start.

use crate::sample::{SampleBy, Share};
use exchange::Secrets;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Least memory that makes sense for copies.
pub const MIN_MEMORY: usize = 1 << 20;

/// A mirror's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The build that answers clients.
    pub primary: Target,
    /// The build under test.
    pub candidate: Target,
    /// Where to write differences, as JSON lines.
    pub diffs: Option<PathBuf>,
    /// Where to record what clients asked and the primary answered, in the native capture format: whole, with all
    /// secrets in it.
    pub record: Option<PathBuf>,
    /// Where the ledger, metrics and health are served. Whoever reaches it can read them.
    pub admin: Option<SocketAddr>,
    /// How much of the traffic is compared.
    pub sample: Share,
    pub sample_by: SampleBy,
    /// What the sample is drawn with.
    pub seed: u64,
    /// Most bytes that copies of traffic may hold, at least [`MIN_MEMORY`].
    pub memory: usize,
    /// How much of each body is kept to show and explain a difference; all of it is hashed.
    pub keep_body: usize,
    /// How much later than the primary's answer the candidate's may be.
    pub candidate_timeout: Duration,
    /// Most connections to the candidate.
    pub candidate_connections: usize,
    /// Most client connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Whether methods that are not safe (RFC 9110 section 9.2.1) are sent to the candidate too.
    pub unsafe_methods: bool,
    /// A field line to add to requests to the candidate.
    pub tag_header: Option<TagHeader>,
    /// How secrets of clients are shown in differences and reports; withheld by default.
    pub secrets: Secrets,
    /// Accepted differences.
    pub waivers: Option<PathBuf>,
    /// How long open exchanges may take to finish once the mirror is told to end.
    pub drain: Duration,
    /// Below this share of compared requests the mirror does not judge.
    pub min_compared: Share,
    /// Threads that relay; `None` takes one for each processor.
    pub threads: Option<usize>,
}

impl Config {
    /// Defaults for all but the three addresses.
    pub fn new(listen: SocketAddr, primary: Target, candidate: Target) -> Self {
        Config {
            listen,
            primary,
            candidate,
            diffs: None,
            record: None,
            admin: None,
            sample: Share::ALL,
            sample_by: SampleBy::default(),
            seed: 0,
            memory: 64 << 20,
            keep_body: 64 << 10,
            candidate_timeout: Duration::from_secs(10),
            candidate_connections: 256,
            connections: 10_000,
            unsafe_methods: false,
            tag_header: None,
            secrets: Secrets::default(),
            waivers: None,
            drain: Duration::from_secs(10),
            min_compared: Share::MOST,
            threads: None,
        }
    }
}

/// A build, by its URL: `http://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Its addresses now.
    ///
    /// # Errors
    /// Those of the resolver; no address is an error too.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
    }

    /// Whether its addresses may change.
    pub fn is_name(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_err()
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Target { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Target {
    type Err = String;
    fn from_str(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{url}` {what}; write http://host:port");
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(wrong("is an https URL, and the mirror speaks clear HTTP/1.1 only so far"));
            }
            Some(_) => return Err(wrong("has a scheme other than http")),
            None => return Err(wrong("is no URL")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("has a path, but the mirror sends requests on with the path they came with"));
        }
        if authority.contains('@') {
            return Err(wrong(
                "has a user name, but the mirror sends requests on with the credentials they came with",
            ));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                (host, Some(port.strip_prefix(':').ok_or_else(|| wrong("has no valid port"))?))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong("has no host"));
        }
        let port = match port {
            None => 80,
            Some(port) => {
                port.parse().ok().filter(|&port| port > 0).ok_or_else(|| wrong("has no valid port"))?
            }
        };
        Ok(Target { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}")
        } else {
            write!(f, "http://{host}:{port}")
        }
    }
}

/// A field line: `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagHeader(String);

impl TagHeader {
    /// The line as it is sent, with its end.
    pub fn line(&self) -> String {
        format!("{}\r\n", self.0)
    }
}

impl FromStr for TagHeader {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is no field line: write a name, a colon and a value"))?;
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("`{name}` is no field name (RFC 9110 section 5.1)"));
        }
        const DECIDES: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "upgrade"];
        if DECIDES.iter().any(|d| name.eq_ignore_ascii_case(d)) {
            return Err(format!(
                "`{name}` decides how a request is read; tag requests with a field of your own"
            ));
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("the value of `{name}` has a control character"));
        }
        Ok(TagHeader(format!("{name}: {}", value.trim())))
    }
}

/// Why a mirror could not start: what was wrong and what to do.
#[derive(Debug)]
pub struct StartError {
    pub(crate) what: String,
    pub(crate) next: &'static str,
}

impl StartError {
    pub(crate) fn new(what: impl Into<String>, next: &'static str) -> Self {
        StartError { what: what.into(), next }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.next)
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (url, shown) in [
            ("http://a.test", "http://a.test:80"),
            ("HTTP://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://[::1]:81", "http://[::1]:81"),
        ] {
            assert_eq!(url.parse::<Target>().unwrap().to_string(), shown);
        }
        for url in [
            "",
            "a.test",
            "https://a.test",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:x",
            "http://a/b",
            "http://[::1]x",
            "http://u@a",
        ] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }

    #[test]
    fn tag_headers() {
        assert_eq!("X-Mirrored:  yes ".parse::<TagHeader>().unwrap().line(), "X-Mirrored: yes\r\n");
        for text in ["x", ": y", "a b: c", "Host: h", "x: a\r\nb: c"] {
            assert!(text.parse::<TagHeader>().is_err(), "{text}");
        }
    }
}
