//! Times as people and logs write them: RFC 3339, in UTC only.

use http_cache::Time;

const DAY: u64 = 86_400_000;

/// With milliseconds: `2026-11-27T10:00:00.000Z`.
pub fn format(time: Time) -> String {
    let (days, rest) = (time.as_millis() / DAY, time.as_millis() % DAY);
    let (year, month, day) = civil(days);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// From 1970 on, in UTC (`Z`, `+00:00`); parts of a second beyond milliseconds are dropped. `None`: it is no such time.
/// A leap second is none either: times here do not count them.
pub fn parse(text: &str) -> Option<Time> {
    let octets = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if octets.len() < 20 || separators.iter().any(|&(at, octet)| octets[at].to_ascii_uppercase() != octet) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        octets[range]
            .iter()
            .try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let (millis, zone) = match octets[19..].strip_prefix(b".") {
        None => (0, &octets[19..]),
        Some(rest) => {
            let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
            let place =
                |at: usize| rest.get(at).filter(|_| at < digits).map_or(0, |digit| u64::from(digit - b'0'));
            (digits > 0).then(|| (place(0) * 100 + place(1) * 10 + place(2), &rest[digits..]))?
        }
    };
    let utc = matches!(zone, b"Z" | b"z" | b"+00:00" | b"-00:00");
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !utc || year < 1970 || !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Time::from_millis(seconds * 1000 + millis))
}

/// Year, month and day of a day counted from 1970-01-01, by counting from 0000-03-01 in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The way back.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
        for text in [
            "",
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
