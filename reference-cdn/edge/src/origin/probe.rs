//! Asks an origin from time to time whether it is well.
//!
//! One probe of an origin at a time, on a connection of its own, so that it meets what a new connection meets. The first
//! comes at a random time within the interval and the interval itself varies: edges that start together, and the origins
//! of many customers, do not probe together.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use super::config::ProbeConfig;
use super::exchange::Origin;
use super::group::OriginSetupError;
use super::parents::mix;
use super::request::Outbound;

const AGENT: &str = concat!("reference-cdn/", env!("CARGO_PKG_VERSION"), " (probe)");

/// # Errors
/// When a probe cannot be sent as configured.
pub fn check(probe: &ProbeConfig) -> Result<(), OriginSetupError> {
    let is_path = probe.path == "*" || probe.path.starts_with('/');
    if !is_path || PathAndQuery::try_from(probe.path.as_str()).is_err() {
        return Err(OriginSetupError::ProbePath(probe.path.clone()));
    }
    match &probe.host {
        Some(host) if Authority::try_from(host.as_str()).is_err() => {
            Err(OriginSetupError::ProbeHost(host.clone()))
        }
        _ => Ok(()),
    }
}

/// Probes for ever. `seed`: a random number.
pub async fn run(origin: Arc<Origin>, probe: ProbeConfig, seed: u64) {
    let Some(watch) = &origin.watch else { return };
    let asked = Arc::new(origin.for_probes());
    sleep(probe.interval.mul_f64(unit(seed))).await;
    for round in 1.. {
        watch.probed(is_well(&asked, &probe).await);
        sleep(pause(probe.interval, unit(mix(seed ^ round)))).await;
    }
}

/// From one probe to the next: the interval, give or take a tenth. `unit` is in [0, 1).
fn pause(interval: Duration, unit: f64) -> Duration {
    interval.mul_f64(0.9 + unit * 0.2)
}

/// A number in [0, 1) from a random word.
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

async fn is_well(origin: &Arc<Origin>, probe: &ProbeConfig) -> bool {
    let outbound = Outbound {
        method: if probe.path == "*" { Method::OPTIONS } else { Method::GET },
        path_and_query: PathAndQuery::try_from(probe.path.as_str()).ok(),
        fields: || {
            let mut fields = HeaderMap::new();
            if let Some(host) = probe.host.as_ref().and_then(|host| HeaderValue::try_from(host).ok()) {
                fields.insert(HOST, host);
            }
            fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
            fields
        },
        content: None,
        expects_continue: false,
        interim: |_: StatusCode, _: &HeaderMap| {},
        key: "",
    };
    // The connection is dropped with the response: nothing of the content is wanted.
    match timeout(probe.timeout, origin.send(&outbound, None, Instant::now())).await {
        Ok(Ok(answer)) => {
            let (first, last) = probe.expect;
            let good = (first..=last).contains(&answer.status.as_u16());
            tracing::debug!(origin = origin.url, status = answer.status.as_u16(), good, "probed");
            good
        }
        Ok(Err(failed)) => {
            tracing::debug!(origin = origin.url, error = %failed.error, "probe failed");
            false
        }
        Err(_) => {
            tracing::debug!(origin = origin.url, "probe not answered in time");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_vary_about_the_interval() {
        let interval = Duration::from_secs(10);
        assert_eq!(pause(interval, 0.0), Duration::from_secs(9));
        assert_eq!(pause(interval, 0.5), interval);
        assert!(pause(interval, unit(u64::MAX)) <= Duration::from_secs(11));
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }

    #[test]
    fn what_cannot_be_probed_is_refused() {
        let ok = |path: &str, host: Option<&str>| {
            let host = host.map(str::to_owned);
            check(&ProbeConfig { path: path.into(), host, ..ProbeConfig::default() }).is_ok()
        };
        assert!(ok("/", None) && ok("/health?full=1", Some("a.test:81")) && ok("*", None));
        assert!(!ok("health", None) && !ok("", None) && !ok("/a b", None) && !ok("/", Some("a b")));
    }
}
