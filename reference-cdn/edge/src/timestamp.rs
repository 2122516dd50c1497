//! Times as people and logs write them: RFC 3339, in UTC only.

use http_cache::Time;
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};

/// Days of the calendar without a zone: those of [`jiff::Timestamp`] end a day before the time that stands for no end in certificates
/// (RFC 5280 section 4.1.2.5).
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// With milliseconds: `2026-11-27T10:00:00.000Z`. A time after the year 9999 is none, and is told as a number.
pub fn format(time: Time) -> String {
    let millis = time.as_millis();
    let since = i64::try_from(millis).map(SignedDuration::from_millis);
    match since.map(|since| EPOCH.checked_add(since)) {
        Ok(Ok(moment)) => format!("{moment:.3}Z"),
        _ => format!("{millis} ms after 1970"),
    }
}

/// From 1970 on, in UTC (`Z`, `+00:00`); parts of a second beyond milliseconds are dropped. `None`: it is no such time.
/// A leap second is none either: times here do not count them.
pub fn parse(text: &str) -> Option<Time> {
    let (text, rest) = text.split_at_checked(19)?;
    let moment: DateTime = text.parse().ok()?;
    // Dates have other forms in ISO 8601; and a leap second is read as the one before.
    let is_written_so = format!("{moment:.0}").eq_ignore_ascii_case(text);
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then(|| rest.split_at(digits))?
        }
    };
    if !is_written_so || !matches!(zone, "Z" | "z" | "+00:00" | "-00:00") {
        return None;
    }
    let seconds = u64::try_from(moment.duration_since(EPOCH).as_secs()).ok()?;
    let millis: u64 = format!("{fraction:0<3.3}").parse().ok()?;
    Some(Time::from_millis(seconds * 1000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps_follow_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(format(Time::from_secs(seconds)), expected);
            assert_eq!(parse(expected), Some(Time::from_secs(seconds)));
        }
    }

    #[test]
    fn other_forms_of_the_same_time_and_what_is_none() {
        let time = Time::from_millis(1_795_773_600_250);
        for text in
            ["2026-11-27T10:00:00.25Z", "2026-11-27t10:00:00.250z", "2026-11-27T10:00:00.2509999+00:00"]
        {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(parse("9999-12-31T23:59:59.9999999999999Z"), Some(Time::from_millis(253_402_300_799_999)));
        for text in [
            "",
            "20261127T100000Z",
            "20261127T1000000000Z",
            "2026-W48-5T10:00:00Z",
            "2026-11-27T10:00:60Z",
            "+002026-11-27T10:00Z",
            "2026-11-27T10:00:00,5Z",
            "2026-11-27T10:00:00Z[UTC]",
            "2026-11-27T10:00:00.5",
            "2026-11-27T10:00:00+00",
            "2026-11-27T10:00:00+0000",
            " 2026-11-27T10:00:00Z",
            "2026-11-27",
            "2026-11-27 10:00:00Z",
            "2026-11-27T10:00:00",
            "2026-11-27T10:00:00.Z",
            "2026-11-27T10:00Z",
            "2026-11-27T11:00:00+01:00",
            "2026-02-29T10:00:00Z",
            "2026-04-31T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "2026-01-00T10:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T10:60:00Z",
            "2026-11-27T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "+026-11-27T10:00:00Z",
            "2026-11-27T10:00:00Zé",
            "2026-11-2éT10:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_calendar_does_not_reach_is_told_as_a_number() {
        for millis in [253_402_300_800_000, i64::MAX.unsigned_abs(), u64::MAX] {
            assert_eq!(format(Time::from_millis(millis)), format!("{millis} ms after 1970"));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..253_402_300_800_000_u64) {
            let time = Time::from_millis(millis);
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
