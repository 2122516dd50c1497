//! Datagrams: a thread takes a batch of queries from the kernel, answers them, and gives back a batch of responses.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bind::UdpSocket;
use super::clock::Clock;
use super::counters::{Count, Counters};
use super::mmsg::{self, Batch, Datagram};
use super::responder::Responder;
use crate::respond::{Asked, Respond, Transport};

/// Octets of a DNS header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// Full batches of one socket before the others have their turn.
const TURNS: usize = 8;
/// Errors one after another that a thread bears.
const PATIENCE: usize = 1000;

/// One thread's share of the work.
pub(super) struct Worker {
    /// A socket for each address.
    pub sockets: Vec<(SocketAddr, Arc<UdpSocket>)>,
    /// All addresses of the server.
    pub own: Arc<[SocketAddr]>,
    pub batch: usize,
    pub counters: Arc<Counters>,
    pub stop: Arc<AtomicBool>,
    pub clock: Clock,
}

/// Why a datagram is not answered, or whom and where it asks.
fn admit(own: &[SocketAddr], bound: IpAddr, datagram: &Datagram<'_>) -> Result<(SocketAddr, IpAddr), Count> {
    // Without a name there is no datagram: the socket has been shut down.
    let Some(peer) = datagram.peer else { return Err(Count::Failed) };
    let (local, unicast) = datagram.local.map_or((bound, true), |local| (local.address, local.unicast));
    if datagram.cut {
        return Err(Count::Long);
    }
    if datagram.octets.len() < HEADER {
        return Err(Count::Short);
    }
    if peer.port() == 0 {
        return Err(Count::PortZero);
    }
    if !unicast {
        return Err(Count::NotUnicast);
    }
    // Somebody forged one listener's address to have it talk to another. That no response is ever answered ends such
    // loops too, among any servers; this one would not even begin.
    let is_ours = |own: &SocketAddr| {
        own.port() == peer.port()
            && (own.ip() == peer.ip() || own.ip().is_unspecified() && peer.ip() == local)
    };
    if own.iter().any(is_ours) {
        return Err(Count::Own);
    }
    Ok((peer, local))
}

impl Worker {
    /// Answers until the server stops.
    pub(super) fn serve<R: Respond>(&self, responder: &mut Responder<R>) {
        let mut batch = Batch::new(self.batch);
        let mut failures = 0;
        let sockets: Vec<BorrowedFd<'_>> = self.sockets.iter().map(|(_, socket)| socket.fd()).collect();
        while !self.stop.load(Ordering::Acquire) && failures < PATIENCE {
            let outcome = if let [(address, socket)] = &*self.sockets {
                // Nothing else to wait for: two calls into the kernel for each batch.
                batch.receive(socket.fd(), true).map(|count| {
                    self.answer(&mut batch, count, *address, socket, responder);
                })
            } else {
                mmsg::wait(&sockets).and_then(|ready| self.turn(ready, &mut batch, responder))
            };
            match outcome {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    self.counters.add(Count::Failed, 1);
                    tracing::debug!(%error, "cannot receive datagrams");
                }
            }
        }
        if failures >= PATIENCE {
            tracing::error!(
                "a thread gives up: receiving failed {PATIENCE} times in a row; restart the server"
            );
        }
    }

    /// Each socket that has something.
    fn turn<R: Respond>(
        &self,
        ready: u64,
        batch: &mut Batch,
        responder: &mut Responder<R>,
    ) -> std::io::Result<()> {
        for (at, (address, socket)) in self.sockets.iter().enumerate() {
            if ready & (1 << at) == 0 {
                continue;
            }
            for _ in 0..TURNS {
                let count = batch.receive(socket.fd(), false)?;
                self.answer(batch, count, *address, socket, responder);
                // It had no more a moment ago.
                if count < batch.most() || self.stop.load(Ordering::Acquire) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn answer<R: Respond>(
        &self,
        batch: &mut Batch,
        count: usize,
        address: SocketAddr,
        socket: &UdpSocket,
        responder: &mut Responder<R>,
    ) {
        if count == 0 || self.stop.load(Ordering::Acquire) {
            return;
        }
        let counters = &*self.counters;
        responder.refresh(counters);
        let now = self.clock.now();
        let mut silent = 0;
        for at in 0..count {
            let (datagram, room) = batch.datagram(at);
            let (peer, local) = match admit(&self.own, address.ip(), &datagram) {
                Ok(both) => both,
                Err(reason) => {
                    counters.add(reason, 1);
                    continue;
                }
            };
            let asked = Asked { now, peer, local, transport: Transport::Udp, query: datagram.octets };
            match responder.respond(counters, &asked, room) {
                Some(length) => batch.answer(at, length),
                None => silent += 1,
            }
        }
        let outcome = batch.send(socket.fd());
        counters.add(Count::Received, count as u64);
        counters.add(Count::Batches, 1);
        counters.add(Count::Answered, outcome.sent as u64);
        if silent + outcome.refused > 0 {
            counters.add(Count::Silent, silent as u64);
            counters.add(Count::Refused, outcome.refused as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mmsg::Local;
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    #[test]
    fn only_what_can_be_a_query_of_somebody_else_is_answered() {
        let own = [address("192.0.2.1:53"), address("0.0.0.0:5353"), address("[2001:db8::1]:53")];
        let query = [0_u8; 12];
        let here = |ip: &str, unicast| Some(Local { address: ip.parse().expect("ip"), unicast });
        let case = |peer: Option<&str>, local, octets: &[u8], cut| {
            let datagram = Datagram { octets, peer: peer.map(address), local, cut };
            admit(&own, "192.0.2.1".parse().expect("ip"), &datagram).map(|(_, local)| local.to_string())
        };
        let at = |ip: &str| Ok(ip.to_owned());
        assert_eq!(case(Some("198.51.100.1:4000"), None, &query, false), at("192.0.2.1"));
        assert_eq!(case(Some("198.51.100.1:53"), None, &query, false), at("192.0.2.1"));
        assert_eq!(case(Some("198.51.100.1:1"), here("203.0.113.9", true), &query, false), at("203.0.113.9"));
        assert_eq!(
            case(Some("198.51.100.1:1"), here("203.0.113.9", false), &query, false),
            Err(Count::NotUnicast)
        );
        assert_eq!(case(Some("198.51.100.1:0"), None, &query, false), Err(Count::PortZero));
        assert_eq!(case(Some("198.51.100.1:1"), None, &query[..11], false), Err(Count::Short));
        assert_eq!(case(Some("198.51.100.1:1"), None, &[], false), Err(Count::Short));
        assert_eq!(case(Some("198.51.100.1:1"), None, &query, true), Err(Count::Long));
        assert_eq!(case(None, None, &[], false), Err(Count::Failed));
        assert_eq!(case(Some("192.0.2.1:53"), None, &query, false), Err(Count::Own));
        assert_eq!(case(Some("[2001:db8::1]:53"), None, &query, false), Err(Count::Own));
        assert_eq!(case(Some("203.0.113.9:5353"), here("203.0.113.9", true), &query, false), Err(Count::Own));
        assert_eq!(
            case(Some("203.0.113.8:5353"), here("203.0.113.9", true), &query, false),
            at("203.0.113.9")
        );
    }
}
