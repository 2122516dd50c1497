//! Load reports that come in datagrams.

use std::net::SocketAddr;
use std::sync::Arc;

use control::load_report::{self, Keys, LONGEST, Refused};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::error::TrySendError;

use super::keeper::Order;
use super::{RunError, Shared, Tally};

/// Reports that are handed over together.
const BATCH: usize = 256;

/// Octets that the kernel keeps for us, with what it adds to each datagram: reports of a tenth of a second where 300 000 servers send one
/// each second. All of a site's servers may well report in the same millisecond.
const BUFFER: usize = 32 << 20;

/// What became of datagrams and documents.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub received: Tally,
    /// Not a report, or of another version.
    pub malformed: Tally,
    /// Of nobody who has a key.
    pub forged: Tally,
    /// The keeper had too many waiting.
    pub dropped: Tally,
}

impl Counts {
    pub fn refuse(&self, why: &Refused) {
        match why {
            Refused::Mac | Refused::Key(_) => self.forged.add(),
            _ => self.malformed.add(),
        }
    }
}

pub(super) fn listen(
    runtime: &Runtime,
    address: SocketAddr,
    keys: Keys,
    shared: Arc<Shared>,
) -> Result<SocketAddr, RunError> {
    let failed = |error| RunError::Bind { what: "load.listen", address, error };
    let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    // Beyond the system's cap only with the right to; else up to it.
    if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &BUFFER).is_err() {
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    }
    let bound = socket.local_addr().map_err(failed)?;
    let _guard = runtime.enter();
    let socket = UdpSocket::from_std(socket).map_err(failed)?;
    runtime.spawn(receive(socket, keys, shared));
    Ok(bound)
}

async fn receive(socket: UdpSocket, keys: Keys, shared: Arc<Shared>) {
    let mut datagram = [0; LONGEST + 1];
    let mut batch = Vec::new();
    let mut turn = 0;
    loop {
        // However many come, from whomever: probes and operators have their turn too.
        turn = (turn + 1) % BATCH;
        if turn == 0 {
            tokio::task::yield_now().await;
        }
        // What is there already goes in one batch.
        match socket.try_recv_from(&mut datagram) {
            Ok((length, _)) => {
                shared.reports.received.add();
                match load_report::read(&datagram[..length], &keys) {
                    Ok(report) => batch.push(report),
                    Err(why) => shared.reports.refuse(&why),
                }
                if batch.len() < BATCH {
                    continue;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // Of an answer that somebody did not want; we send none, so it says nothing about what comes next.
            Err(_) => continue,
        }
        if batch.is_empty() {
            if socket.readable().await.is_err() {
                return;
            }
            continue;
        }
        match shared.orders.try_send(Order::Reports(std::mem::take(&mut batch))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => shared.reports.dropped.add(),
            Err(TrySendError::Closed(_)) => return,
        }
    }
}
