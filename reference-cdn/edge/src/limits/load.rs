//! What one customer's requests take of the edge: how many come, and how many are being answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_cache::Time;

use super::bucket::{Bucket, Rate};
use crate::metrics::Count;

/// What a customer has used.
#[derive(Debug, Default)]
pub struct Load {
    bucket: AtomicU64,
    in_flight: AtomicU64,
    /// Requests refused, for its limits or for those on its clients.
    pub refused: Count,
}

impl Load {
    /// One more request.
    ///
    /// # Errors
    /// How long it takes until there is room for one.
    pub fn take(&self, now: Time, rate: Rate) -> Result<(), Duration> {
        let mut bits = self.bucket.load(Ordering::Relaxed);
        loop {
            let next = Bucket::from_bits(bits).take(now, rate)?.to_bits();
            match self.bucket.compare_exchange_weak(bits, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => bits = other,
            }
        }
    }

    /// One more request being answered, until what is given is dropped; `None` when there are `most` already (0: no
    /// limit).
    pub fn begin(&self, most: u32) -> Option<InFlight<'_>> {
        let most = if most == 0 { u64::MAX } else { most.into() };
        let one_more = |count: u64| (count < most).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(InFlight(self))
    }

    /// Requests being answered.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A request being answered.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Load);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_flight_are_bounded_and_end() {
        let load = Load::default();
        let first = load.begin(2).expect("one of two");
        let second = load.begin(2).expect("two of two");
        assert!(load.begin(2).is_none());
        assert!(load.begin(0).is_some(), "no limit");
        assert_eq!(load.in_flight(), 2);
        drop(first);
        let third = load.begin(2).expect("a place again");
        drop((second, third));
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn threads_together_get_no_more_than_the_bucket_holds() {
        let (load, rate, now) =
            (Load::default(), Rate { per_second: 1, burst: 1000 }, Time::from_secs(1_000_000));
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if load.take(now, rate).is_ok() {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1000);
    }
}
