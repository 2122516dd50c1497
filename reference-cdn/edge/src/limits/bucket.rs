//! A token bucket: so many requests a second, and some at once after a pause. A function of (now, state).

use std::time::Duration;

use http_cache::Time;

/// What one request takes, in thousandths of a request: what a rate of 1 in a second brings in a millisecond is then a
/// whole number, and nothing is ever rounded.
const ONE: u64 = 1000;

/// How many requests may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// In the long run. 0: no limit.
    pub per_second: u32,
    /// At once, by whoever was quiet before. 0: as many as in a second.
    pub burst: u32,
}

impl Rate {
    pub fn is_limited(self) -> bool {
        self.per_second > 0
    }

    /// It says how many may come at once, and then limits nothing.
    pub fn has_idle_burst(self) -> bool {
        self.burst > 0 && !self.is_limited()
    }

    /// What a full bucket holds, in thousandths of a request.
    fn full(self) -> u64 {
        u64::from(if self.burst == 0 { self.per_second } else { self.burst }) * ONE
    }

    /// What has flowed in by `now` since 1970, in thousandths of a request.
    fn inflow(self, now: Time) -> u64 {
        now.as_millis().saturating_mul(self.per_second.into())
    }
}

/// What is left of a rate. The state is one number, the inflow at which the bucket will be full (the generic cell rate
/// algorithm, ITU-T I.371), so that it fits an atomic; the default is a full bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(u64);

impl Bucket {
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The bucket after one request, of which it admits at most `per_second` × t + `burst` in any time t.
    ///
    /// A clock that steps back, or a rate that changes, empties it at worst: nobody waits longer than one request takes
    /// at that rate.
    ///
    /// # Errors
    /// How long it takes until there is room for a request. A refused request takes nothing.
    pub fn take(self, now: Time, rate: Rate) -> Result<Self, Duration> {
        let (inflow, most) = (rate.inflow(now), rate.full());
        let full_at = self.0.clamp(inflow, inflow.saturating_add(most));
        let missing = (full_at - inflow + ONE).saturating_sub(most);
        if missing > 0 {
            return Err(Duration::from_millis(missing.div_ceil(u64::from(rate.per_second).max(1))));
        }
        Ok(Self(full_at + ONE))
    }

    /// When it will be full again: from then on it says no more than a new one.
    pub fn full_at(self, per_second: u32) -> Time {
        Time::from_millis(self.0.div_ceil(u64::from(per_second).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_767_225_600_000;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { per_second: 2, burst: 3 };
        let mut bucket = Bucket::default();
        for (millis, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(500)),
            (499, Err(1)),
            (500, Ok(())),
            (500, Err(500)),
            (1000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_001, Err(499)),
        ] {
            let taken = bucket.take(Time::from_millis(START + millis), rate);
            assert_eq!(taken.map(|_| ()), expected.map_err(Duration::from_millis), "at {millis} ms");
            bucket = taken.unwrap_or(bucket);
        }
    }

    #[test]
    fn no_burst_given_is_a_seconds_worth() {
        let rate = Rate { per_second: 5, burst: 0 };
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            bucket = bucket.take(Time::from_millis(START), rate).expect("one of five");
        }
        assert_eq!(bucket.take(Time::from_millis(START), rate), Err(Duration::from_millis(200)));
    }

    /// Whether one more at `now` would make more than rate × t + burst in some time t that ends now.
    fn too_many(admitted: &[u64], now: u64, rate: Rate) -> bool {
        (0..=admitted.len()).any(|from| {
            let since = admitted.get(from).copied().unwrap_or(now);
            let count = (admitted.len() - from + 1) as u64;
            count * 1000 > (now - since) * u64::from(rate.per_second) + u64::from(rate.burst) * 1000
        })
    }

    proptest! {
        /// It admits exactly what keeps every window within its bound: never more, and nobody below the rate waits.
        #[test]
        fn every_window_holds_its_bound_and_nothing_else_is_refused(
            per_second in 1_u32..2000,
            burst in 1_u32..40,
            gaps in proptest::collection::vec(prop_oneof![Just(0_u64), 0_u64..20, 0_u64..3000], 1..300),
        ) {
            let rate = Rate { per_second, burst };
            let (mut bucket, mut admitted, mut now) = (Bucket::default(), Vec::new(), START);
            for gap in gaps {
                now += gap;
                let refused = too_many(&admitted, now, rate);
                match bucket.take(Time::from_millis(now), rate) {
                    Ok(next) => {
                        prop_assert!(!refused, "one too many at {}", now - START);
                        admitted.push(now);
                        bucket = next;
                    }
                    Err(wait) => {
                        prop_assert!(refused, "refused at {}", now - START);
                        // Who waits as told gets in, and not a millisecond earlier.
                        let wait = u64::try_from(wait.as_millis()).expect("short");
                        prop_assert!(bucket.take(Time::from_millis(now + wait), rate).is_ok());
                        prop_assert!(bucket.take(Time::from_millis(now + wait - 1), rate).is_err());
                    }
                }
            }
        }

        /// Whatever the clock did and the rate was before, nobody waits longer than one request takes.
        #[test]
        fn no_clock_locks_anybody_out(bits: u64, now: u32, per_second in 1_u32.., burst: u32) {
            let (now, rate) = (Time::from_millis(now.into()), Rate { per_second, burst });
            if let Err(wait) = Bucket::from_bits(bits).take(now, rate) {
                prop_assert!(wait <= Duration::from_millis(ONE.div_ceil(per_second.into())));
            }
        }

        #[test]
        fn a_bucket_that_is_full_is_as_good_as_new(
            requests in 1_u32..50, per_second in 1_u32..2000, burst in 1_u32..60, later in 0_u64..5000,
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = Bucket::default();
            for _ in 0..requests {
                bucket = bucket.take(Time::from_millis(START), rate).unwrap_or(bucket);
            }
            let at = Time::from_millis(bucket.full_at(per_second).as_millis() + later);
            let mut new = Bucket::default();
            for _ in 0..burst {
                bucket = bucket.take(at, rate).expect("a full bucket");
                new = new.take(at, rate).expect("a full bucket");
            }
            prop_assert_eq!(bucket.take(at, rate).is_err(), new.take(at, rate).is_err());
        }
    }
}
