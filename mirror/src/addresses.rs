//! The addresses a mirror is given: resolved, told apart, and listened on.

use crate::config::{StartError, Target};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};

/// A build's addresses, of which there is at least one.
pub(crate) fn resolve(target: &Target, role: &str) -> Result<Vec<SocketAddr>, StartError> {
    target.resolve().map_err(|e| {
        StartError::new(
            format!("the {role} {target} has no address: {e}"),
            "Check the name, or give the address itself.",
        )
    })
}

/// Refuses to compare a build with itself: that would agree whatever it answers.
pub(crate) fn apart(primary: &[SocketAddr], candidate: &[SocketAddr]) -> Result<(), StartError> {
    let same = candidate.iter().find(|c| primary.iter().any(|p| reached(*p) == reached(**c)));
    same.map_or(Ok(()), |address| {
        Err(StartError::new(
            format!(
                "--primary and --candidate are the same address, {address}: a build compared with itself always agrees"
            ),
            "Give --candidate the address of the build under test.",
        ))
    })
}

/// Refuses to relay to the mirror itself: each connection would open another, without end.
pub(crate) fn not_itself(listen: SocketAddr, addresses: &[SocketAddr], role: &str) -> Result<(), StartError> {
    let at_listener = |address: SocketAddr| {
        let (here, there) = (reached(listen), reached(address));
        here == there
            || listen.ip().is_unspecified() && here.port() == there.port() && there.ip().is_loopback()
    };
    addresses.iter().find(|a| at_listener(**a)).map_or(Ok(()), |address| {
        Err(StartError::new(
            format!("--{role} is the address where the mirror itself listens, {address}"),
            "Give it the address of the build behind the mirror, or the mirror another --listen.",
        ))
    })
}

/// Where connections to an address go: one address has several spellings.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    let ip = match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    match (address, ip) {
        // Its zone tells link-local addresses apart.
        (SocketAddr::V6(v6), IpAddr::V6(ip)) => SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into(),
        _ => SocketAddr::new(ip, address.port()),
    }
}

/// Listens, and tells where.
pub(crate) fn bind(address: SocketAddr, whom: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = || {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|e: io::Error| {
        let next = match e.kind() {
            io::ErrorKind::AddrInUse => {
                "Another program listens there: end it, or take another port (0 takes a free one)."
            }
            io::ErrorKind::PermissionDenied => "Ports below 1024 need a privilege: take a higher one.",
            _ => "Take an address of this machine.",
        };
        StartError::new(format!("cannot listen on {address} for {whom}: {e}"), next)
    })
}
