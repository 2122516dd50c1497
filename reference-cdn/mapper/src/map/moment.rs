//! Times as people write them.

use jiff::Timestamp;

/// A time in seconds since 1970, as RFC 3339 has it, in UTC.
pub fn rfc3339(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| format!("{seconds} s after 1970"), |moment| moment.to_string())
}

/// Milliseconds since 1970 of a time as RFC 3339 has it; `None`: it is no such time, or before 1970.
pub fn read(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok().and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_written_as_people_do() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_795_200, "2026-11-27T16:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(super::rfc3339(seconds), text);
            assert_eq!(super::read(text), Some(seconds * 1000));
        }
        assert_eq!(super::rfc3339(u64::MAX), "18446744073709551615 s after 1970");
        assert_eq!(super::read("1969-12-31T23:59:59Z"), None);
    }
}
