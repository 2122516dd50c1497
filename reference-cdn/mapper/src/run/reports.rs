//! Load reports that come in datagrams.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use control::load_report::{self, LONGEST, LoadReport, Refused};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::keeper::{Order, ToldOfReports};
use super::{RunError, Shared, Tally};
use crate::server::StartError;

/// Reports that are handed over together.
const BATCH: usize = 256;

/// Reports that wait for the keeper at most, at half a kilobyte each or more: what 300 000 servers send in almost two seconds. It does not
/// take them while it builds a network; what has no room until then is as if it had been lost on the way.
const MOST_WAITING: usize = 1 << 19;

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
    waiting: Waiting,
    refused: Mutex<Named<IpAddr>>,
}

/// Addresses whose reports were refused that are named in the log at most, servers that are unknown, and those with a wrong clock; and in
/// which time: who sends them each second, or from many addresses, does not fill it.
const MOST_NAMED: usize = 64;
const NAMED_AGAIN: u64 = 3_600_000;

/// What the log names, each once in a while, and few of them.
#[derive(Debug)]
pub(crate) struct Named<T> {
    /// Milliseconds of a clock that never goes back.
    since: u64,
    named: HashSet<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { since: 0, named: HashSet::new() }
    }
}

impl<T: Eq + Hash> Named<T> {
    /// Whether something is named now.
    pub fn name<Q: ToOwned<Owned = T> + Eq + Hash + ?Sized>(&mut self, now: u64, what: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        if now.saturating_sub(self.since) >= NAMED_AGAIN {
            self.since = now;
            self.named.clear();
        }
        self.named.len() < MOST_NAMED && !self.named.contains(what) && self.named.insert(what.to_owned())
    }
}

/// Reports handed over to the keeper and not taken yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Whether so many more may wait.
    fn admit(&self, count: usize) -> bool {
        let before = self.0.fetch_add(count, Ordering::Relaxed);
        let room = before == 0 || before.saturating_add(count) <= MOST_WAITING;
        if !room {
            self.taken(count);
        }
        room
    }

    /// So many do not wait any more.
    pub fn taken(&self, count: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(count));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Counts {
    pub fn new(waiting: Waiting) -> Self {
        Self { waiting, ..Self::default() }
    }

    /// Hands reports to the keeper, if it can still take so many.
    pub fn hand_over(&self, orders: &mpsc::Sender<Order>, reports: Vec<LoadReport>) -> bool {
        self.put(orders, reports.len(), Order::Reports(reports))
    }

    /// The same, for somebody who waits to be told what became of them.
    pub fn ask(
        &self,
        orders: &mpsc::Sender<Order>,
        reports: Vec<LoadReport>,
    ) -> Option<oneshot::Receiver<ToldOfReports>> {
        let (done, told) = oneshot::channel();
        self.put(orders, reports.len(), Order::Asked { reports, done }).then_some(told)
    }

    fn put(&self, orders: &mpsc::Sender<Order>, count: usize, order: Order) -> bool {
        if self.waiting.admit(count) {
            if orders.try_send(order).is_ok() {
                return true;
            }
            self.waiting.taken(count);
        }
        self.dropped.add_many(count as u64);
        false
    }

    /// Counts what is not taken; and names who sends it, if what it is about is a key. `now` in milliseconds of a clock that never goes
    /// back.
    pub fn refuse(&self, now: u64, from: IpAddr, why: &Refused) {
        if !matches!(why, Refused::Mac(_) | Refused::Key(_) | Refused::Server { .. }) {
            return self.malformed.add();
        }
        self.forged.add();
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).name(now, &from) {
            let address = from.to_canonical().to_string();
            tracing::warn!(
                address,
                "load reports are refused: {why}; further ones from there are counted (forged), and named again in an hour"
            );
        }
    }

    /// What was not taken, by why.
    pub fn outcomes(&self) -> [(&'static str, u64); 3] {
        [("malformed", self.malformed.get()), ("forged", self.forged.get()), ("dropped", self.dropped.get())]
    }
}

pub(super) fn listen(
    runtime: &Runtime,
    address: SocketAddr,
    shared: Arc<Shared>,
) -> Result<SocketAddr, RunError> {
    let failed = |source| StartError::Listen { what: "load.listen", address, source };
    let socket = std::net::UdpSocket::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    // Beyond the system's cap only with the right to; else up to it.
    if nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &BUFFER).is_err() {
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    }
    let bound = socket.local_addr().map_err(failed)?;
    let _guard = runtime.enter();
    let socket = UdpSocket::from_std(socket).map_err(failed)?;
    runtime.spawn(receive(socket, shared));
    Ok(bound)
}

async fn receive(socket: UdpSocket, shared: Arc<Shared>) {
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
            Ok((length, from)) => {
                shared.reports.received.add();
                match load_report::read(&datagram[..length], &shared.keys.load()) {
                    Ok(report) => batch.push(report),
                    Err(why) => shared.reports.refuse((shared.outside.monotonic)(), from.ip(), &why),
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
        shared.reports.hand_over(&shared.orders, std::mem::take(&mut batch));
        if shared.orders.is_closed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_named_once_an_hour_and_few_are() {
        let mut refusals = Named::<IpAddr>::default();
        let of = |last: u16| IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
        assert!(refusals.name(1, &of(1)) && !refusals.name(2, &of(1)) && refusals.name(3, &of(2)));
        assert_eq!((3..1000).filter(|last| refusals.name(4, &of(*last))).count(), MOST_NAMED - 2);
        assert!(!refusals.name(NAMED_AGAIN - 1, &of(2)));
        assert!(refusals.name(NAMED_AGAIN, &of(1)));
    }

    #[test]
    fn reports_that_nobody_takes_are_dropped_and_counted() {
        let counts = Counts::default();
        let (orders, mut inbox) = mpsc::channel(8);
        let many = |count| vec![LoadReport::default(); count];
        assert!(counts.hand_over(&orders, many(MOST_WAITING)));
        assert!(!counts.hand_over(&orders, many(3)));
        assert_eq!(counts.dropped.get(), 3);
        let Ok(Order::Reports(reports)) = inbox.try_recv() else { panic!("reports") };
        counts.waiting.taken(reports.len());
        assert!(counts.hand_over(&orders, many(3)));
        assert_eq!(counts.dropped.get(), 3);
    }
}
