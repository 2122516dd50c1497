//! The edge itself: what answering requests needs, shared by all connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, StatusCode};
use http_cache::Request as View;
use tokio_util::task::TaskTracker;

use crate::access_log::{AccessLog, Record};
use crate::client::{Downstream, HeadError, Request, RequestHead, Service, Stop};
use crate::clock::Clock;
use crate::customer::Customers;
use crate::limits::{Limit, Limits};
use crate::lonely::Lonely;
use crate::metrics::{Count, Metrics, Sample};
use crate::origin::samples as origin_samples;
use crate::rarely::Rarely;
use crate::report::{self, HostCosts};
use crate::slices::Cuttings;
use crate::store::Store;
use crate::store::disk::Disk;

/// See the module.
#[derive(Debug)]
pub struct Edge {
    pub(crate) customers: Customers,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: AccessLog,
    pub(crate) lonely: Lonely,
    pub(crate) cuttings: Cuttings,
    /// Fetches that go on without the client that asked: for others, and for the store.
    pub(crate) fetches: TaskTracker,
    pub(crate) limits: Limits,
    pub(crate) host_costs: HostCosts,
    /// Warnings about content that broke off, and about slices that an origin does not send.
    pub(crate) spoils: Rarely,
    pub(crate) sliceless: Rarely,
}

/// What `http-cache` looks at.
pub(crate) fn view(head: &RequestHead) -> View<'_> {
    View { method: &head.method, target: &head.target, headers: &head.headers, version: head.version }
}

impl Edge {
    pub(crate) fn new(
        customers: Customers,
        store: Arc<Store>,
        clock: Clock,
        metrics: Arc<Metrics>,
        log: AccessLog,
        limits: Limits,
        host_costs: HostCosts,
    ) -> Arc<Self> {
        Arc::new(Self {
            customers,
            store,
            clock,
            metrics,
            log,
            lonely: Lonely::new(),
            cuttings: Cuttings::default(),
            fetches: TaskTracker::new(),
            limits,
            host_costs,
            spoils: Rarely::default(),
            sliceless: Rarely::default(),
        })
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Everything that is counted.
    pub fn samples(&self) -> Vec<Sample> {
        let accounts = self.store.accounts();
        let counters = self.store.counters();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let mut samples = self.metrics.samples(|limit| match limit {
            Limit::StoreVariants => count(&counters.surplus_variants),
            _ => 0,
        });
        samples.extend([
            Sample::gauge("edge_store_objects", "Responses in the store.", self.store.objects()),
            Sample::gauge(
                "edge_fetches_in_flight",
                "Fetches from the origin under way.",
                self.store.fetches(),
            ),
            Sample::gauge("edge_store_octets", "Octets of the store in use.", accounts.held()),
            Sample::gauge(
                "edge_store_resident_octets",
                "Octets of stored content in memory, with what readers pin.",
                accounts.resident(),
            ),
            Sample::gauge(
                "edge_store_reserve_octets",
                "Octets of its limit that the store leaves to the allocator and the rest of the process.",
                accounts.reserve(),
            ),
            Sample::gauge("edge_store_limit_octets", "Octets the store may use.", accounts.limit()),
            Sample::counter(
                "edge_store_evicted_total",
                "Responses evicted to make room.",
                count(&counters.evicted),
            ),
            Sample::counter("edge_store_purged_total", "Responses purged.", count(&counters.purged)),
            Sample::counter(
                "edge_store_bad_blocks_total",
                "Blocks that failed their check and were dropped.",
                count(&counters.bad_blocks),
            ),
            Sample::counter(
                "edge_store_overrun_readers_total",
                "Clients cut off because they fell behind content too large to keep.",
                count(&counters.overrun_readers),
            ),
            tier("memory", count(&counters.memory_hits)),
            tier("disk", count(&counters.disk_hits)),
            Sample::gauge(
                "edge_clients_connected",
                "Clients with a connection open, where connections per client are limited.",
                self.limits.clients_connected() as u64,
            ),
        ]);
        samples.extend(self.store.disk().map(disk_samples).unwrap_or_default());
        let customers = self.customers.all();
        samples.extend(customers.iter().map(|customer| Sample {
            label: Some(("customer", customer.name.to_string())),
            ..Sample::gauge(
                "edge_customer_requests_in_flight",
                "Requests being answered, by customer.",
                customer.load.in_flight(),
            )
        }));
        samples.extend(customers.iter().map(|customer| Sample {
            label: Some(("customer", customer.name.to_string())),
            ..Sample::counter(
                "edge_customer_requests_refused_total",
                "Requests refused for a limit on the customer or on its clients, by customer.",
                customer.load.refused.get(),
            )
        }));
        samples.extend(self.store.purges().samples());
        samples.extend(origin_samples(self.customers.all().iter().map(|customer| &*customer.origin)));
        samples
    }
}

/// The edge as connections know it.
#[derive(Clone, Debug)]
pub struct EdgeService(pub Arc<Edge>);

impl Service for EdgeService {
    async fn call<D: Downstream>(&self, request: Request, downstream: &mut D) -> Result<(), Stop> {
        let mut open = Open::new(&self.0, &request);
        let result = self.0.answer(request, downstream, &mut open.record).await;
        if result.is_err() && downstream.started() {
            self.0.metrics.responses_aborted.add(1);
        }
        open.result = result;
        result
    }

    fn refused(&self, peer: SocketAddr, error: HeadError) {
        self.0.metrics.heads_refused.add(1);
        let limit = match error {
            HeadError::TooLarge => Some(Limit::Head),
            HeadError::TargetTooLong => Some(Limit::Target),
            HeadError::TooManyFields => Some(Limit::Fields),
            _ => None,
        };
        if let Some(limit) = limit {
            self.0.metrics.reached(limit);
        }
        tracing::debug!(%peer, %error, "request head refused");
    }

    fn refusal(&self, status: StatusCode) -> HeaderMap {
        self.0.refusal(status)
    }
}

/// A request being answered. It is counted and logged when this is dropped: also when its client leaves and the answer
/// is abandoned halfway.
struct Open<'a> {
    edge: &'a Edge,
    record: Record,
    /// What requests for its host cost.
    cost: Option<&'a Count>,
    result: Result<(), Stop>,
}

impl<'a> Open<'a> {
    fn new(edge: &'a Edge, request: &Request) -> Self {
        edge.metrics.requests_open.add(1);
        let record = Record::new(edge.log.is_on().then_some(request), edge.clock.now());
        let cost = edge.host_costs.of(request.head.target.host());
        Self { edge, record, cost, result: Err(Stop::Client) }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let metrics = &self.edge.metrics;
        metrics.requests_open.subtract(1);
        metrics.answered(self.record.answered, self.record.status, self.record.octets);
        if let Some(cost) = self.cost {
            cost.add(report::REQUEST + self.record.octets);
        }
        if self.edge.log.is_on() {
            self.edge.log.write(&self.record, self.edge.clock.now(), self.result, metrics);
        }
    }
}

/// Responses served from the store, by the tier that they were found in.
fn tier(tier: &str, value: u64) -> Sample {
    let help = "Stored responses read, by where they were found.";
    Sample { label: Some(("tier", tier.to_owned())), ..Sample::counter("edge_store_hits_total", help, value) }
}

fn disk_samples(disk: &Disk) -> Vec<Sample> {
    let counters = disk.counters();
    let (objects, octets) = disk.size();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut samples = vec![
        Sample::gauge("edge_disk_objects", "Responses on disk.", objects),
        Sample::gauge("edge_disk_octets", "Octets of the disk store's files.", octets),
        Sample::gauge("edge_disk_limit_octets", "Octets that its files may have.", disk.limits().size),
        Sample::gauge(
            "edge_disk_queued_octets",
            "Octets of responses that wait to be written.",
            disk.queued(),
        ),
        Sample::gauge(
            "edge_disk_paused",
            "1 while nothing is written because the disk failed.",
            disk.is_paused().into(),
        ),
        Sample::counter("edge_disk_written_total", "Responses written.", count(&counters.written)),
        Sample::counter(
            "edge_disk_written_octets_total",
            "Octets of these.",
            count(&counters.written_octets),
        ),
        Sample::counter("edge_disk_write_errors_total", "Writes that failed.", count(&counters.write_errors)),
        Sample::counter("edge_disk_read_errors_total", "Reads that failed.", count(&counters.read_errors)),
        Sample::counter(
            "edge_disk_bad_records_total",
            "Records that failed their check and were dropped.",
            count(&counters.bad_records),
        ),
        Sample::counter(
            "edge_disk_reads_refused_total",
            "Look-ups and reads that did without the disk, because it was too slow or too busy.",
            count(&counters.reads_refused),
        ),
        Sample::counter("edge_disk_evicted_total", "Responses evicted from disk.", count(&counters.evicted)),
        Sample::counter(
            "edge_disk_copied_total",
            "Responses kept at eviction because they were read.",
            count(&counters.copied),
        ),
    ];
    let dropped = [
        ("queue", &counters.dropped_queue),
        ("failing", &counters.dropped_failing),
        ("large", &counters.dropped_large),
    ];
    samples.extend(dropped.map(|(why, counter)| Sample {
        label: Some(("why", why.to_owned())),
        ..Sample::counter("edge_disk_dropped_total", "Responses not written, by why.", count(counter))
    }));
    samples
}
