//! Counters, as Prometheus reads them and as JSON.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use http_cache::Time;

use crate::limits::Limit;
use crate::tls::accept::Handshake;

/// A number that only grows, or a gauge that goes both ways.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn subtract(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a request was answered, for counters and the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answered {
    /// From the store, fresh.
    Hit,
    /// From the store, stale.
    Stale,
    /// With the response of a fetch made for another request.
    Collapsed,
    /// With a stored response that the origin confirmed.
    Revalidated,
    /// With a response of the origin that is being stored.
    Miss,
    /// With a response of the origin that is not stored.
    Relayed,
    /// By the edge itself.
    Generated,
    /// With a refusal: there were too many requests.
    Limited,
    /// With an error, because the origin failed.
    OriginFailed,
    /// Not at all: the client left, or spoiled its request, before there was an answer.
    #[default]
    Unanswered,
}

impl Answered {
    pub const ALL: [Self; 10] = [
        Self::Hit,
        Self::Stale,
        Self::Collapsed,
        Self::Revalidated,
        Self::Miss,
        Self::Relayed,
        Self::Generated,
        Self::Limited,
        Self::OriginFailed,
        Self::Unanswered,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Collapsed => "collapsed",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Relayed => "relayed",
            Self::Generated => "generated",
            Self::Limited => "limited",
            Self::OriginFailed => "origin_failed",
            Self::Unanswered => "unanswered",
        }
    }
}

/// By [`Limit`].
#[derive(Debug)]
struct Limited([Count; Limit::ALL.len()]);

impl Default for Limited {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

/// What the edge counts beside the store's own counters.
#[derive(Debug, Default)]
pub struct Metrics {
    pub connections_open: Count,
    pub connections_accepted: Count,
    pub connections_shed: Count,
    pub requests_open: Count,
    requests: [Count; Answered::ALL.len()],
    /// By the first digit of the status.
    statuses: [Count; 6],
    pub heads_refused: Count,
    limits: Limited,
    pub clients_forgotten: Count,
    pub octets_sent: Count,
    pub responses_aborted: Count,
    pub origin_requests: Count,
    pub origin_failures: Count,
    pub origin_truncated: Count,
    pub origin_digest_mismatches: Count,
    pub background_refreshes: Count,
    pub slices_changed: Count,
    pub log_lines_dropped: Count,
    /// Load reports, for each mapper one.
    pub load_reports_sent: Count,
    pub load_reports_failed: Count,
    pub http2_connections: Count,
    pub http2_streams_refused: Count,
    pub http2_protocol_errors: Count,
    /// By [`Handshake`].
    pub tls_handshakes: [Count; Handshake::ALL.len()],
    pub tls_reloads: Count,
    pub tls_reloads_failed: Count,
    /// Seconds since 1970, for each certificate of a listener.
    certificates_expire: Mutex<Vec<u64>>,
    pub token_reloads: Count,
    pub token_reloads_failed: Count,
    pub origin_tls_reloads: Count,
    pub origin_tls_reloads_failed: Count,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub gauge: bool,
    pub label: Option<(&'static str, String)>,
    pub value: u64,
}

impl Sample {
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, gauge: false, label: None, value }
    }

    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { gauge: true, ..Self::counter(name, help, value) }
    }
}

impl Metrics {
    pub fn answered(&self, how: Answered, status: Option<StatusCode>, octets: u64) {
        self.requests[how as usize].add(1);
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100));
        self.statuses[class.min(5)].add(1);
        self.octets_sent.add(octets);
    }

    /// Requests answered so far, however.
    pub fn requests_answered(&self) -> u64 {
        self.requests.iter().map(Count::get).sum()
    }

    /// When the certificates of the listener expire, in the order of their files.
    pub fn certificates_expire(&self, times: Vec<Time>) {
        let times = times.into_iter().map(Time::as_secs).collect();
        *self.certificates_expire.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// Somebody ran into a limit.
    pub fn reached(&self, limit: Limit) {
        self.limits.0[limit as usize].add(1);
    }

    /// `of_store`: how often a limit was reached that the store counts by itself.
    pub fn samples(&self, of_store: impl Fn(Limit) -> u64) -> Vec<Sample> {
        let mut samples = vec![
            Sample::gauge("edge_connections", "Client connections open.", self.connections_open.get()),
            Sample::counter(
                "edge_connections_accepted_total",
                "Client connections accepted.",
                self.connections_accepted.get(),
            ),
            Sample::counter(
                "edge_connections_shed_total",
                "Idle client connections closed to make room for new ones.",
                self.connections_shed.get(),
            ),
            Sample::gauge("edge_requests_in_flight", "Requests being answered.", self.requests_open.get()),
        ];
        for how in Answered::ALL {
            samples.push(Sample {
                label: Some(("answered", how.name().to_owned())),
                ..Sample::counter(
                    "edge_requests_total",
                    "Requests answered, by how.",
                    self.requests[how as usize].get(),
                )
            });
        }
        for class in 1..=5 {
            samples.push(Sample {
                label: Some(("class", format!("{class}xx"))),
                ..Sample::counter(
                    "edge_responses_total",
                    "Final responses, by class of status.",
                    self.statuses[class].get(),
                )
            });
        }
        for limit in Limit::ALL {
            samples.push(Sample {
                label: Some(("limit", limit.name().to_owned())),
                ..Sample::counter(
                    "edge_limit_reached_total",
                    "How often somebody ran into a limit, by the field that sets it.",
                    self.limits.0[limit as usize].get() + of_store(limit),
                )
            });
        }
        let reports = [("sent", &self.load_reports_sent), ("failed", &self.load_reports_failed)];
        samples.extend(reports.map(|(outcome, count)| Sample {
            label: Some(("outcome", outcome.to_owned())),
            ..Sample::counter(
                "edge_load_reports_total",
                "Load reports to mappers (report.to): given to the network, which may lose them; and not sent.",
                count.get(),
            )
        }));
        samples.extend([
            Sample::counter(
                "edge_clients_forgotten_total",
                "Clients whose rate was forgotten because per-client.remembered had no place left.",
                self.clients_forgotten.get(),
            ),
            Sample::counter(
                "edge_heads_refused_total",
                "Request heads refused as malformed or too large.",
                self.heads_refused.get(),
            ),
            Sample::counter(
                "edge_content_octets_sent_total",
                "Octets of content given to clients.",
                self.octets_sent.get(),
            ),
            Sample::counter(
                "edge_responses_aborted_total",
                "Responses broken off after their head was sent.",
                self.responses_aborted.get(),
            ),
            Sample::counter(
                "edge_origin_requests_total",
                "Requests sent to the origin.",
                self.origin_requests.get(),
            ),
            Sample::counter(
                "edge_origin_failures_total",
                "Requests to the origin that brought no response head.",
                self.origin_failures.get(),
            ),
            Sample::counter(
                "edge_origin_truncated_total",
                "Responses of the origin that broke off within their content.",
                self.origin_truncated.get(),
            ),
            Sample::counter(
                "edge_origin_digest_mismatches_total",
                "Responses of the origin whose content did not have the digest they told.",
                self.origin_digest_mismatches.get(),
            ),
            Sample::counter(
                "edge_background_refreshes_total",
                "Fetches made while a stale response was served.",
                self.background_refreshes.get(),
            ),
            Sample::counter(
                "edge_slices_changed_total",
                "Representations kept in slices of which the origin turned out to have another version.",
                self.slices_changed.get(),
            ),
            Sample::counter(
                "edge_access_log_dropped_total",
                "Access log lines dropped because the log could not keep up.",
                self.log_lines_dropped.get(),
            ),
        ]);
        self.http2(&mut samples);
        self.tls(&mut samples);
        samples
    }

    fn http2(&self, samples: &mut Vec<Sample>) {
        samples.extend([
            Sample::counter(
                "edge_http2_connections_total",
                "Client connections that spoke HTTP/2.",
                self.http2_connections.get(),
            ),
            Sample::counter(
                "edge_http2_streams_refused_total",
                "Streams that never became a request: malformed or too large heads, or too many at once.",
                self.http2_streams_refused.get(),
            ),
            Sample::counter(
                "edge_http2_protocol_errors_total",
                "HTTP/2 connections ended because the client broke the protocol.",
                self.http2_protocol_errors.get(),
            ),
        ]);
    }

    fn tls(&self, samples: &mut Vec<Sample>) {
        for handshake in Handshake::ALL {
            samples.push(Sample {
                label: Some(("outcome", handshake.name().to_owned())),
                ..Sample::counter(
                    "edge_tls_handshakes_total",
                    "TLS handshakes with clients.",
                    self.tls_handshakes[handshake as usize].get(),
                )
            });
        }
        samples.extend([
            Sample::counter(
                "edge_tls_reloads_total",
                "Times that certificates were read again and replaced.",
                self.tls_reloads.get(),
            ),
            Sample::counter(
                "edge_tls_reloads_failed_total",
                "Times that certificates were read again and could not be used; the old ones stayed.",
                self.tls_reloads_failed.get(),
            ),
            Sample::counter(
                "edge_purge_token_reloads_total",
                "Times that tokens for purges were read again and replaced.",
                self.token_reloads.get(),
            ),
            Sample::counter(
                "edge_purge_token_reloads_failed_total",
                "Times that tokens for purges were read again and could not be used; the old ones stayed.",
                self.token_reloads_failed.get(),
            ),
            Sample::counter(
                "edge_origin_tls_reloads_total",
                "Times that whom to trust, or what to show, towards an origin was read again and had changed.",
                self.origin_tls_reloads.get(),
            ),
            Sample::counter(
                "edge_origin_tls_reloads_failed_total",
                "Times that it was read again and could not be used; it stayed as it was.",
                self.origin_tls_reloads_failed.get(),
            ),
        ]);
        let times = self.certificates_expire.lock().unwrap_or_else(PoisonError::into_inner);
        samples.extend(times.iter().enumerate().map(|(index, time)| Sample {
            label: Some(("certificate", (index + 1).to_string())),
            ..Sample::gauge(
                "edge_tls_certificate_expires_seconds",
                "When a certificate, or one that vouches for it, expires, in seconds since 1970; by its place in tls.certificate.",
                *time,
            )
        }));
    }
}

/// The Prometheus text format, version 0.0.4. Samples of one name must be neighbours.
pub fn prometheus(samples: &[Sample]) -> String {
    let mut text = String::new();
    let mut last = "";
    for sample in samples {
        // Writing to a String cannot fail.
        if sample.name != last {
            let kind = if sample.gauge { "gauge" } else { "counter" };
            let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", sample.name, sample.help, sample.name);
            last = sample.name;
        }
        let _ = match &sample.label {
            Some((label, value)) => writeln!(text, "{}{{{label}=\"{value}\"}} {}", sample.name, sample.value),
            None => writeln!(text, "{} {}", sample.name, sample.value),
        };
    }
    text
}
