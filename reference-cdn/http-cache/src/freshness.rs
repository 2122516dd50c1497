//! Freshness lifetime (RFC 9111 section 4.2), compiled once when a response is stored.

use std::time::Duration;

use http::header::{EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use crate::directives::ResponseDirectives;
use crate::{Time, date, status};

/// How long, and under what conditions, a stored response may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    pub lifetime: Duration,
    /// The origin gave the lifetime, it is not a guess.
    pub explicit: bool,
    /// Use needs validation, fresh or not (`no-cache`).
    pub no_cache: bool,
    /// Use needs validation once stale, whatever happens (`must-revalidate`, `proxy-revalidate`).
    pub must_revalidate: bool,
    /// `s-maxage` implies `proxy-revalidate` (section 5.2.2.10).
    pub shared_lifetime: bool,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
    /// The origin will not change the representation within the lifetime (RFC 8246).
    pub immutable: bool,
    /// The lifetime was ended early, by a purge: stale even if the clock is set back.
    pub expired: bool,
}

/// How a lifetime is guessed when the origin gives none (section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// Part of the time since Last-Modified, in per cent. 0: never guess.
    pub percent: u32,
    /// Never longer than this.
    pub limit: Duration,
}

impl Default for Heuristic {
    /// A tenth, as the RFC suggests, and at most a day: what changed years ago may still change tomorrow.
    fn default() -> Self {
        Self { percent: 10, limit: Duration::from_secs(86_400) }
    }
}

impl Freshness {
    /// `date` is the response's Date, or when it was received.
    pub fn of(
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        heuristic: Heuristic,
        date: Time,
        now: Time,
    ) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let (lifetime, explicit) = if let Some(lifetime) = directives.s_maxage.or(directives.max_age) {
            (seconds(lifetime), true)
        } else if let Some(expires) = headers.get(EXPIRES).filter(|_| !directives.targeted) {
            // An invalid date, "0" above all, is in the past (section 5.3). Of several the first counts.
            let expires = date::parse(expires.as_bytes(), now).unwrap_or_default();
            (expires.since(date), true)
        } else {
            (heuristic.lifetime(status, headers, directives, date, now), false)
        };
        Self {
            lifetime,
            explicit,
            no_cache: directives.no_cache.whole,
            must_revalidate: directives.must_revalidate || directives.proxy_revalidate,
            shared_lifetime: directives.s_maxage.is_some(),
            stale_while_revalidate: directives.stale_while_revalidate.map(seconds),
            stale_if_error: directives.stale_if_error.map(seconds),
            immutable: directives.immutable,
            expired: false,
        }
    }

    /// May the response be used `staleness` after its lifetime while it is validated in the background (RFC
    /// 5861 section 3)?
    ///
    /// `must-revalidate` and `no-cache` forbid it. The prohibition that `s-maxage` implies gives way: an
    /// origin that sends `s-maxage=60, stale-while-revalidate=600`, as many do, has said what it wants of
    /// shared caches.
    pub fn while_revalidating(&self, staleness: Duration) -> bool {
        !self.no_cache
            && !self.must_revalidate
            && self.stale_while_revalidate.is_some_and(|window| staleness <= window)
    }

    /// May it be used in place of an error (RFC 5861 section 4)? `disconnected`: the origin did not answer at
    /// all, when RFC 9111 section 4.2.4 allows it up to `limit` without a word from the origin.
    pub fn if_error(&self, staleness: Duration, disconnected: bool, limit: Duration) -> bool {
        if self.no_cache || self.must_revalidate {
            return false;
        }
        match self.stale_if_error {
            Some(window) => staleness <= window,
            None => disconnected && !self.shared_lifetime && staleness <= limit,
        }
    }

    /// May it be used stale because the client accepts that (`max-stale`, `stale-if-error` in a request)?
    pub fn at_client_risk(&self) -> bool {
        !self.no_cache && !self.must_revalidate && !self.shared_lifetime
    }
}

impl Heuristic {
    fn lifetime(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        date: Time,
        now: Time,
    ) -> Duration {
        if !(status::is_heuristically_cacheable(status) || directives.public) {
            return Duration::ZERO;
        }
        let modified = headers.get(LAST_MODIFIED).and_then(|value| date::parse(value.as_bytes(), now));
        let since = modified.map_or(Duration::ZERO, |modified| date.since(modified));
        (since / 100).saturating_mul(self.percent).min(self.limit)
    }
}
