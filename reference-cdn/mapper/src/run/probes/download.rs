//! One probe: a download, or why there was none.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::config::Probe;

/// Longest content that is downloaded.
const LONGEST: usize = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Right,
    Wrong(String),
    /// This machine cannot send there.
    NoWay,
}

pub(super) async fn outcome(probe: &Probe, server: SocketAddr) -> Outcome {
    let within = tokio::time::timeout(Duration::from_millis(probe.timeout), ask(probe, server)).await;
    match within {
        Ok(Ok(())) => Outcome::Right,
        Ok(Err(_)) if !has_way(server) => Outcome::NoWay,
        Ok(Err(why)) => Outcome::Wrong(why),
        Err(_) => Outcome::Wrong(format!("took longer than {} ms", probe.timeout)),
    }
}

/// Whether this machine has a route and an address of its own for a destination. Nothing is sent.
pub(in crate::run) fn has_way(to: SocketAddr) -> bool {
    let own: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Where no socket can be had at all, it is not known.
    match std::net::UdpSocket::bind((own, 0)) {
        Ok(socket) => !socket.connect(to).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable)
        }),
        Err(error) => error.raw_os_error() != Some(nix::libc::EAFNOSUPPORT),
    }
}

/// One download.
async fn ask(probe: &Probe, server: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(server).await.map_err(|error| format!("cannot connect: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let result = download(probe, &mut sender).await;
    driver.abort();
    result
}

async fn download(
    probe: &Probe,
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
) -> Result<(), String> {
    let request = Request::get(&probe.path)
        .header(header::HOST, &probe.host)
        .header(header::USER_AGENT, "reference-cdn-probe")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status().as_u16() != probe.status {
        return Err(format!("status {} in place of {}", response.status().as_u16(), probe.status));
    }
    let mut content = response.into_body();
    let mut digest = Context::new(&SHA256);
    let mut length = 0;
    while let Some(frame) = content.frame().await {
        let frame = frame.map_err(|error| format!("content broke off after {length} octets: {error}"))?;
        if let Some(octets) = frame.data_ref() {
            length += octets.len();
            digest.update(octets);
        }
        if length > LONGEST {
            return Err(format!("content is longer than {LONGEST} octets"));
        }
    }
    let found: String = digest.finish().as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    match &probe.sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&found) => {
            Err(format!("other content: SHA-256 {found} in place of {expected}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_way_to_this_machine() {
        assert!(has_way(SocketAddr::from(([127, 0, 0, 1], 1))));
    }
}
