//! Sockets that listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::config::{Config, StreamConfig, UdpConfig};
use super::error::StartError;
use super::mmsg;

/// How often another port is tried when the system's choice for UDP is taken for TCP.
const ATTEMPTS: usize = 100;

/// A socket for datagrams.
#[derive(Debug)]
pub struct UdpSocket(Socket);

impl UdpSocket {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One address, bound for UDP and TCP.
#[derive(Debug)]
pub(super) struct Bound {
    pub address: SocketAddr,
    /// One for each thread.
    pub udp: Vec<Arc<UdpSocket>>,
    pub tcp: TcpListener,
}

/// Binds an address for UDP, `threads` times, and TCP.
pub(super) fn both(address: SocketAddr, threads: usize, config: &Config) -> Result<Bound, StartError> {
    let mut attempt = 0;
    loop {
        let bound = try_both(address, threads, config);
        attempt += 1;
        match bound {
            // The port that was free for UDP is not for TCP: the system chooses another one next time.
            Err(error) if address.port() == 0 && error.in_use() && attempt < ATTEMPTS => {}
            other => return other,
        }
    }
}

fn try_both(wanted: SocketAddr, threads: usize, config: &Config) -> Result<Bound, StartError> {
    let failed = |what| move |source| StartError::Listen { what, address: wanted, source };
    // The first one is bound alone, so that a port that somebody else has, in this process or another, is an error. With
    // SO_REUSEPORT from the start, both would take a share of the queries in silence.
    let first = udp(wanted, &config.udp, false).map_err(failed("UDP"))?;
    let address = first.0.local_addr().and_then(socket_address).map_err(failed("UDP"))?;
    let tcp = tcp(address, &config.streams).map_err(failed("TCP"))?;
    if threads > 1 {
        first.0.set_reuse_port(true).map_err(failed("UDP"))?;
    }
    let mut sockets = vec![Arc::new(first)];
    for _ in 1..threads {
        sockets.push(Arc::new(udp(address, &config.udp, true).map_err(failed("UDP"))?));
    }
    Ok(Bound { address, udp: sockets, tcp })
}

fn socket_address(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("the socket has no address of IP"))
}

fn udp(address: SocketAddr, config: &UdpConfig, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own: an address of it mapped into IPv6 would have to be told apart everywhere.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    if address.ip().is_unspecified() {
        mmsg::tell_addresses(socket.as_fd(), address.is_ipv4())?;
    }
    mmsg::never_fragment(socket.as_fd(), address.is_ipv4())?;
    // Beyond the system's cap only with the right to; else up to it.
    if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &config.receive_buffer)
        .is_err()
    {
        socket.set_recv_buffer_size(config.receive_buffer)?;
    }
    socket.set_send_buffer_size(config.send_buffer)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket(socket))
}

/// Binds an address for streams alone.
pub(super) fn stream(
    what: &'static str,
    address: SocketAddr,
    config: &StreamConfig,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = tcp(address, config).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| StartError::Listen { what, address, source })
}

fn tcp(address: SocketAddr, config: &StreamConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a server that ran here before may linger.
    socket.set_reuse_address(true)?;
    // Each connection inherits these: what strangers can make the kernel hold for them is bounded.
    socket.set_recv_buffer_size(config.buffer)?;
    socket.set_send_buffer_size(config.buffer)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    Ok(socket.into())
}
