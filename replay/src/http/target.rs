//! Where a build is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// A build under test, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub url: String,
    pub address: SocketAddr,
}

/// Why a URL names no target.
#[derive(Debug, Error)]
pub enum TargetError {
    #[error("{url:?} is no URL of a build: give http://HOST or http://HOST:PORT ({why})")]
    Url { url: String, why: &'static str },
    #[error("{url}: the host cannot be resolved: {source}")]
    Resolve { url: String, source: std::io::Error },
    #[error("{url}: the host has no address")]
    NoAddress { url: String },
}

impl Target {
    /// Reads `http://HOST[:PORT][/]` and resolves the host; of several addresses the first is used.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub async fn resolve(url: &str) -> Result<Self, TargetError> {
        let authority = authority(url).map_err(|why| TargetError::Url { url: url.to_owned(), why })?;
        let mut addresses = tokio::net::lookup_host(&authority)
            .await
            .map_err(|source| TargetError::Resolve { url: url.to_owned(), source })?;
        let address = addresses.next().ok_or_else(|| TargetError::NoAddress { url: url.to_owned() })?;
        Ok(Target { url: url.to_owned(), address })
    }

    /// The address under the name that all ways to write it share: `0.0.0.0` is reached at `127.0.0.1`,
    /// `::ffff:192.0.2.1` at `192.0.2.1`.
    pub fn reached_at(&self) -> SocketAddr {
        let ip = match self.address.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }
}

/// `HOST:PORT` of a URL.
fn authority(url: &str) -> Result<String, &'static str> {
    let scheme = url.get(..7).unwrap_or_default();
    if url.to_ascii_lowercase().starts_with("https://") {
        return Err("https is not supported yet");
    }
    if !scheme.eq_ignore_ascii_case("http://") {
        return Err("it does not start with http://");
    }
    let authority = url[7..].strip_suffix('/').unwrap_or(&url[7..]);
    if authority.contains(['/', '?', '#']) {
        return Err("recorded paths are used, so it must not have one; --prefix puts one before them");
    }
    if authority.contains('@') {
        return Err("user names are not supported");
    }
    // A colon inside the brackets of an IPv6 address is no port.
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[after_host..].rfind(':') {
        Some(colon) => (&authority[..after_host + colon], &authority[after_host + colon + 1..]),
        None => (authority, "80"),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
        _ => Err("its port is no number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, authority};

    #[test]
    fn one_address_has_one_name() {
        for (address, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
            ("[::ffff:0.0.0.0]:80", "127.0.0.1:80"),
            ("192.0.2.1:81", "192.0.2.1:81"),
        ] {
            let target = Target { url: String::new(), address: address.parse().unwrap() };
            assert_eq!(target.reached_at().to_string(), expected, "{address}");
        }
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://a", Ok("a:80")),
            ("HTTP://a:8080/", Ok("a:8080")),
            ("http://[::1]", Ok("[::1]:80")),
            ("http://[::1]:9", Ok("[::1]:9")),
            ("https://a", Err("https is not supported yet")),
            ("a:80", Err("it does not start with http://")),
            ("", Err("it does not start with http://")),
            ("http://", Err("it names no host")),
            ("http://:80", Err("it names no host")),
            ("http://a:", Err("its port is no number from 1 to 65535")),
            ("http://a:0", Err("its port is no number from 1 to 65535")),
            ("http://a:70000", Err("its port is no number from 1 to 65535")),
            ("http://u@a", Err("user names are not supported")),
        ] {
            assert_eq!(authority(url), expected.map(str::to_owned), "{url}");
        }
        assert!(authority("http://a/b").is_err_and(|why| why.contains("--prefix")));
    }
}
