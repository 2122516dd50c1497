//! How often a token may purge: a bucket of names that fills as time goes by.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use http_cache::Time;

use super::locked;

/// The buckets, one for each token, each as large as what comes in within a second.
#[derive(Debug)]
pub struct Rates {
    rate: u64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of names.
    left: u64,
    at: Time,
}

impl Rates {
    /// `rate`: names a second.
    pub fn new(rate: u32) -> Self {
        Self { rate: u64::from(rate.max(1)), buckets: Mutex::default() }
    }

    /// Takes so many names from the bucket of a token. An order of more names than the bucket holds empties a full one.
    ///
    /// # Errors
    /// When there is not enough in it: how long it takes until there is.
    pub fn take(&self, token: &str, names: usize, now: Time) -> Result<(), Duration> {
        let full = self.rate * 1000;
        let wanted = (names as u64).saturating_mul(1000).min(full);
        let mut buckets = locked(&self.buckets);
        let bucket = buckets.entry(token.to_owned()).or_insert(Bucket { left: full, at: now });
        let passed = u64::try_from(now.since(bucket.at).as_millis()).unwrap_or(u64::MAX);
        bucket.left = passed.saturating_mul(self.rate).saturating_add(bucket.left).min(full);
        // A clock that was set back must not stop the bucket from filling until it has caught up.
        bucket.at = now;
        match bucket.left.checked_sub(wanted) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err(Duration::from_millis((wanted - bucket.left).div_ceil(self.rate))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let rates = Rates::new(10);
        let at = Time::from_millis;
        assert_eq!(rates.take("a", 8, at(0)), Ok(()));
        assert_eq!(rates.take("a", 3, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(rates.take("b", 3, at(0)), Ok(()), "another token has its own");
        assert_eq!(rates.take("a", 3, at(100)), Ok(()));
        assert_eq!(rates.take("a", 1, at(100)), Err(Duration::from_millis(100)));
        // More than a bucket holds takes a full one.
        assert_eq!(rates.take("a", 1000, at(1100)), Ok(()));
        assert_eq!(rates.take("a", 1000, at(1200)), Err(Duration::from_millis(900)));
        // A clock that is set back costs what was gained, no more.
        assert_eq!(rates.take("a", 1, at(500)), Ok(()));
        assert_eq!(rates.take("a", 10, at(1600)), Ok(()));
    }
}
