//! How long things took.

use serde::Serialize;
use std::time::Duration;

/// A distribution of durations, in nanoseconds. Quantiles are exact: the smallest value that this share does not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Distribution {
    pub count: u64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Distribution {
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<u64> =
            durations.into_iter().map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)).collect();
        all.sort_unstable();
        let Some((min, max)) = all.first().copied().zip(all.last().copied()) else {
            return Distribution::default();
        };
        let at = |thousandths: usize| all[(all.len() * thousandths).div_ceil(1000).max(1) - 1];
        Distribution {
            count: all.len() as u64,
            min,
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max,
        }
    }
}

/// `p50 1.2 ms, p90 3 ms, p99 9 ms, max 12 ms`
impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let (p50, p90, p99, max) = (ms(self.p50), ms(self.p90), ms(self.p99), ms(self.max));
        write!(f, "p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact() {
        let d = Distribution::of((1..=1000).rev().map(Duration::from_nanos));
        assert_eq!((d.min, d.p50, d.p90, d.p99, d.p999, d.max), (1, 500, 900, 990, 999, 1000));
        let one = Distribution::of([Duration::from_millis(2)]);
        assert_eq!((one.count, one.min, one.p999), (1, 2_000_000, 2_000_000));
        assert_eq!(Distribution::of([]), Distribution::default());
    }
}
