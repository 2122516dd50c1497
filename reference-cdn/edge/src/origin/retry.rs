//! When a request may be sent to another origin, and how often that may happen at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

/// Rules for sending a request again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Origins that one request is sent to at most.
    pub origins: u32,
    /// No further origin is asked after this long.
    pub time: Duration,
    /// Requests sent again, in percent of all.
    pub share: u32,
    /// Requests that may be sent again before the share counts.
    pub reserve: u32,
    /// Statuses that count as the origin's failure, such as 503: the next origin is asked, and they tell against the
    /// origin's health. None unless configured.
    pub statuses: Vec<StatusCode>,
}

/// How far a request came that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No octet of it was sent, or the origin says that it has done nothing (RFC 9113 section 8.7).
    Nobody,
    /// The origin may have acted on it. No octet of an answer came.
    Origin,
    /// Part of an answer came, or the time for one was over.
    Answer,
}

/// What is known when a try has failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    pub method: &'a Method,
    /// The request's content is gone.
    pub content_spent: bool,
    pub reached: Reached,
    /// Origins asked so far.
    pub tries: u32,
    /// Since the request began.
    pub passed: Duration,
}

/// May the request go to another origin?
///
/// One that has not reached anybody may, whatever its method: it was never sent (RFC 9110 section 9.2.2). One that did may
/// if its method is idempotent and it had no content. A request that an origin answered, however badly, is answered; so is
/// one that it keeps working on.
pub fn may_go_on(rules: &RetryRules, failed: &Failed<'_>) -> bool {
    let sound = match failed.reached {
        Reached::Nobody => !failed.content_spent,
        Reached::Origin => !failed.content_spent && is_idempotent(failed.method),
        Reached::Answer => false,
    };
    sound && failed.tries < rules.origins && failed.passed < rules.time
}

/// RFC 9110 section 9.2.2, without what we do not forward.
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

/// Keeps requests that are sent again below a share of all: an origin that fails must not be asked twice as much for it.
///
/// Counted in hundredths of a request.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    share: u64,
    most: u64,
}

impl Budget {
    pub fn new(rules: &RetryRules) -> Self {
        let most = u64::from(rules.reserve) * 100;
        Self { left: AtomicU64::new(most), share: rules.share.into(), most: most.max(100) }
    }

    /// A request came.
    pub fn earn(&self) {
        let earn = |left: u64| (left < self.most).then(|| (left + self.share).min(self.most));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }

    /// May a request be sent again?
    pub fn spend(&self) -> bool {
        let spend = |left: u64| left.checked_sub(100);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> RetryRules {
        RetryRules { origins: 3, time: Duration::from_secs(10), share: 20, reserve: 10, statuses: Vec::new() }
    }

    #[test]
    fn what_may_be_sent_again() {
        let check = |method: Method, content_spent, reached, expected| {
            let failed =
                Failed { method: &method, content_spent, reached, tries: 1, passed: Duration::from_secs(1) };
            assert_eq!(may_go_on(&rules(), &failed), expected, "{failed:?}");
        };
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            check(method.clone(), false, Reached::Nobody, true);
            check(method.clone(), false, Reached::Origin, true);
            check(method.clone(), true, Reached::Origin, false);
            check(method, false, Reached::Answer, false);
        }
        for method in [Method::POST, Method::PATCH, Method::from_bytes(b"MKCOL").expect("method")] {
            check(method.clone(), false, Reached::Nobody, true);
            check(method.clone(), true, Reached::Nobody, false);
            check(method, false, Reached::Origin, false);
        }
    }

    #[test]
    fn tries_and_time_are_bounded() {
        let check = |tries, seconds, expected| {
            let passed = Duration::from_secs(seconds);
            let failed = Failed {
                method: &Method::GET,
                content_spent: false,
                reached: Reached::Nobody,
                tries,
                passed,
            };
            assert_eq!(may_go_on(&rules(), &failed), expected, "{failed:?}");
        };
        check(2, 9, true);
        check(3, 9, false);
        check(2, 10, false);
    }

    proptest! {
        #[test]
        fn retries_stay_below_their_share(events in prop::collection::vec(any::<bool>(), 0..2000), share in 0_u32..100, reserve in 0_u32..50) {
            let budget = Budget::new(&RetryRules { share, reserve, ..rules() });
            let (mut requests, mut again) = (0_u64, 0_u64);
            for request in events {
                if request {
                    budget.earn();
                    requests += 1;
                } else if budget.spend() {
                    again += 1;
                }
                prop_assert!(again * 100 <= u64::from(reserve) * 100 + requests * u64::from(share));
            }
        }
    }
}
