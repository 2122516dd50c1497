//! Tells mappers each second how loaded this edge is (`control::load_report`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use control::load_report::{Keys, LoadReport, MOST_NAMES, NameLoad, State, write};
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::{Count, Metrics};
use crate::state::Edge;

/// Between two reports.
const PERIOD: Duration = Duration::from_secs(1);
/// What answering one request costs beside its content, in octets that cost as much.
pub(crate) const REQUEST: u64 = 4096;

/// Whom to tell what.
#[derive(Clone, Debug)]
pub struct ReportConfig {
    /// Mappers' listeners for load reports.
    pub to: Vec<SocketAddr>,
    /// What mappers call this edge.
    pub server: String,
    pub keys: Keys,
    /// Which of the keys signs.
    pub key: u8,
    /// What the edge can send, in Mbit/s; 0 if its network is not what limits it.
    pub bandwidth: u64,
    /// How long to go on serving when told to stop, until no answer names this edge any more.
    pub leave: Duration,
    /// Hosts of requests, and the steered name that stands for each.
    pub names: Vec<(String, String)>,
}

/// What requests for single hosts cost, for those that reports name.
#[derive(Debug, Default)]
pub(crate) struct HostCosts(HashMap<String, Count>);

impl HostCosts {
    pub(crate) fn new(config: Option<&ReportConfig>) -> Self {
        let names = config.into_iter().flat_map(|config| &config.names);
        Self(names.map(|(host, _)| (host.clone(), Count::default())).collect())
    }

    /// Where to count what requests for a host cost, if reports name it.
    pub(crate) fn of(&self, host: Option<&str>) -> Option<&Count> {
        if self.0.is_empty() {
            return None;
        }
        let host = host?;
        self.0.get(host).or_else(|| self.0.get(&host.to_ascii_lowercase()))
    }
}

/// What was counted up to some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    /// Milliseconds since 1970.
    at: u64,
    /// Processor time of this process in milliseconds.
    processor: u64,
    requests: u64,
    octets: u64,
    /// Cost for each name of the configuration.
    names: Vec<u64>,
}

/// What happened between two moments, as a report. `queued` says how full the disk's queue is, in thousandths.
fn report(config: &ReportConfig, before: &Counted, now: &Counted, cores: u64, queued: u16) -> LoadReport {
    let passed = now.at.saturating_sub(before.at).max(1);
    let a_second = |before: u64, now: u64| now.saturating_sub(before) * 1000 / passed;
    let thousandths = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let octets = a_second(before.octets, now.octets);
    let requests = a_second(before.requests, now.requests);
    let cost = octets + requests * REQUEST;
    let shares = now.names.iter().zip(before.names.iter().chain(std::iter::repeat(&0)));
    let mut names: Vec<NameLoad> = config
        .names
        .iter()
        .zip(shares)
        .map(|((_, name), (now, before))| NameLoad {
            name: name.clone(),
            share: thousandths((a_second(*before, *now) * 1000).checked_div(cost).unwrap_or(0).min(1000)),
        })
        .filter(|name| name.share > 0)
        .collect();
    // Several hosts may stand for one name.
    names.sort_by(|a, b| a.name.cmp(&b.name));
    names.dedup_by(|next, kept| {
        let same = next.name == kept.name;
        if same {
            kept.share = (kept.share + next.share).min(1000);
        }
        same
    });
    names.sort_by_key(|name| std::cmp::Reverse(name.share));
    names.truncate(MOST_NAMES);
    LoadReport {
        server: config.server.clone(),
        processor: thousandths(a_second(before.processor, now.processor) / cores.max(1)),
        disk: queued,
        network: thousandths((octets * 8 / 1000).checked_div(config.bandwidth).unwrap_or(0)),
        requests: u32::try_from(requests).unwrap_or(u32::MAX),
        octets,
        names,
        ..LoadReport::default()
    }
}

/// Processor time of this process in milliseconds, as Linux tells it in hundredths of a second.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name stands in parentheses and may hold anything.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let times = after.split_ascii_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum::<u64>() * 10
}

fn counted(config: &ReportConfig, edge: &Edge) -> Counted {
    let names = config.names.iter().map(|(host, _)| edge.host_costs.0.get(host).map_or(0, Count::get));
    Counted {
        at: edge.clock.now().as_millis(),
        processor: processor_time(),
        requests: edge.metrics.requests_answered(),
        octets: edge.metrics.octets_sent.get(),
        names: names.collect(),
    }
}

/// Sends reports.
#[derive(Debug)]
pub(crate) struct Teller {
    config: ReportConfig,
    sockets: Vec<UdpSocket>,
    /// When the edge started, in milliseconds since 1970.
    started: u64,
    number: AtomicU64,
    stopping: AtomicBool,
}

impl Teller {
    /// Within a runtime.
    pub(crate) fn new(config: ReportConfig, started: u64) -> Self {
        let mut sockets = Vec::new();
        for to in &config.to {
            let any: SocketAddr =
                if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = || {
                let socket = std::net::UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                socket.connect(to)?;
                UdpSocket::from_std(socket)
            };
            match socket() {
                Ok(socket) => sockets.push(socket),
                Err(error) => tracing::warn!(%to, %error, "cannot send load reports there: check report.to"),
            }
        }
        Self { config, sockets, started, number: AtomicU64::new(0), stopping: AtomicBool::new(false) }
    }

    /// Tells each second, for ever.
    pub(crate) async fn tell(&self, edge: &Edge) {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        ticks.tick().await;
        let mut before = counted(&self.config, edge);
        loop {
            ticks.tick().await;
            let now = counted(&self.config, edge);
            let queued = edge.store.disk().map_or(0, |disk| {
                let limit = disk.limits().queue.max(1);
                u16::try_from(disk.queued() * 1000 / limit).unwrap_or(u16::MAX)
            });
            self.send(now.at, report(&self.config, &before, &now, cores, queued), &edge.metrics);
            before = now;
        }
    }

    /// Tells that this edge wants no new clients; a few times, since any may be lost.
    pub(crate) fn stops(&self, now: u64, metrics: &Metrics) {
        self.stopping.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            let server = self.config.server.clone();
            self.send(now, LoadReport { server, ..LoadReport::default() }, metrics);
        }
    }

    fn send(&self, now: u64, report: LoadReport, metrics: &Metrics) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let state = if self.stopping.load(Ordering::Relaxed) { State::Stops } else { State::Serves };
        let report = LoadReport { started: self.started, number, sent: now, state, ..report };
        match write(&report, &self.config.keys, self.config.key) {
            Ok(datagram) => {
                // Also for those that there is no socket for.
                let missing = self.config.to.len().saturating_sub(self.sockets.len());
                metrics.load_reports_failed.add(missing as u64);
                for socket in &self.sockets {
                    // One that does not arrive is made up for by the next.
                    match socket.try_send(&datagram) {
                        Ok(_) => metrics.load_reports_sent.add(1),
                        Err(_) => metrics.load_reports_failed.add(1),
                    }
                }
            }
            Err(error) => {
                metrics.load_reports_failed.add(self.config.to.len() as u64);
                tracing::warn!(%error, "a load report could not be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ReportConfig {
        ReportConfig {
            to: vec![],
            server: "edge-1".into(),
            keys: Keys::default(),
            key: 1,
            bandwidth: 1000,
            leave: Duration::ZERO,
            names: vec![
                ("www.shop.example".into(), "www.g.cdn.example".into()),
                ("shop.example".into(), "www.g.cdn.example".into()),
                ("img.shop.example".into(), "img.g.cdn.example".into()),
                ("never.example".into(), "never.g.cdn.example".into()),
            ],
        }
    }

    #[test]
    fn a_report_says_what_happened_since_the_last() {
        let before = Counted { at: 5_000, processor: 100, requests: 10, octets: 1_000, names: vec![0; 4] };
        let now = Counted {
            at: 7_000,
            processor: 1_100,
            requests: 2_010,
            octets: 25_001_000,
            names: vec![8_000_000, 4_000_000, 8_192_000, 0],
        };
        let report = report(&config(), &before, &now, 2, 30);
        assert_eq!((report.processor, report.disk, report.network), (250, 30, 100));
        assert_eq!((report.requests, report.octets), (1_000, 12_500_000));
        let names: Vec<_> = report.names.iter().map(|name| (name.name.as_str(), name.share)).collect();
        assert_eq!(names, [("www.g.cdn.example", 361), ("img.g.cdn.example", 246)]);
    }

    #[tokio::test]
    async fn reports_that_are_sent_and_that_are_not_are_counted() {
        let mapper = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut keys = Keys::default();
        keys.add(1, b"a key of sixteen octets or more").unwrap();
        let to = vec![mapper.local_addr().unwrap()];
        let counted = async |keys: Keys| {
            let metrics = Metrics::default();
            let teller = Teller::new(ReportConfig { to: to.clone(), keys, ..config() }, 1);
            teller.sockets[0].writable().await.unwrap();
            teller.stops(2, &metrics);
            (metrics.load_reports_sent.get(), metrics.load_reports_failed.get())
        };
        // Without its key none can be written.
        assert_eq!((counted(keys).await, counted(Keys::default()).await), ((3, 0), (0, 3)));
        let mut datagram = [0; 1500];
        assert!(mapper.recv(&mut datagram).unwrap() > 22);
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() < before + 30 {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
    }
}
