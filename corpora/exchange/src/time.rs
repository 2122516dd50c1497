//! Points in time as captures hold them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00 UTC, leap seconds not counted (POSIX time).
///
/// The range reaches from 1677 to 2262; arithmetic saturates at its ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// A time from whole seconds and nanoseconds since the epoch.
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        Time(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanoseconds)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// This time and `by` more.
    #[must_use]
    pub fn plus(self, by: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }
}

/// RFC 3339 in UTC with nine digits of fraction: `2026-11-21T22:07:00.000000000Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds().div_euclid(86_400), self.seconds().rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        let fraction = self.0.rem_euclid(1_000_000_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{fraction:09}Z")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap
/// day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        for (time, text) in [
            (Time(0), "1970-01-01T00:00:00.000000000Z"),
            (Time(-1), "1969-12-31T23:59:59.999999999Z"),
            (Time::new(951_782_400, 5), "2000-02-29T00:00:00.000000005Z"),
            (Time::new(1_795_298_820, 0), "2026-11-21T22:07:00.000000000Z"),
        ] {
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time(i64::MAX).plus(Duration::from_secs(1)), Time(i64::MAX));
        assert_eq!(Time(0).since(Time(5)), Duration::ZERO);
        assert_eq!(Time(7).since(Time(5)), Duration::from_nanos(2));
    }
}
