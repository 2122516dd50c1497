//! Age (RFC 9111 sections 4.2.3 and 5.1).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, DATE};

use crate::{Time, date, directives};

/// The Age field: its first member, if that is a number (section 5.1). Anything else is ignored.
pub(crate) fn field(headers: &HeaderMap) -> Option<u32> {
    let line = headers.get(AGE)?.as_bytes();
    let first = line.split(|&octet| octet == b',').next()?;
    directives::seconds(first.trim_ascii())
}

/// The Date field, if it is valid.
pub(crate) fn date_field(headers: &HeaderMap, now: Time) -> Option<Time> {
    headers.get(DATE).and_then(|value| date::parse(value.as_bytes(), now))
}

/// `corrected_initial_age`: how old a response was when it was received.
pub(crate) fn initial(
    age: Option<u32>,
    date: Option<Time>,
    request_time: Time,
    response_time: Time,
) -> Duration {
    let apparent = date.map_or(Duration::ZERO, |date| response_time.since(date));
    // Date has whole seconds: up to one second of the difference is rounding, not age.
    let apparent = Duration::from_secs(apparent.as_secs());
    let corrected = Duration::from_secs(age.unwrap_or(0).into()) + response_time.since(request_time);
    apparent.max(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_field_section_5_1() {
        let cases: &[(&[&str], Option<u32>)] = &[
            (&[], None),
            (&["0"], Some(0)),
            (&["7200"], Some(7200)),
            (&[" 7200 "], Some(7200)),
            (&["007"], Some(7)),
            (&["2147483647"], Some(2147483647)),
            (&["2147483648"], Some(2147483648)),
            (&["2147483649"], Some(2147483648)),
            (&["99999999999999999999"], Some(2147483648)),
            // The first member counts.
            (&["7200, 0"], Some(7200)),
            (&["0, 7200"], Some(0)),
            (&["7200", "0"], Some(7200)),
            (&["0", "7200"], Some(0)),
            (&["abc, 7200"], None),
            // Invalid values are ignored.
            (&[""], None),
            (&["abc"], None),
            (&["-7200"], None),
            (&["+7200"], None),
            (&["7200.0"], None),
            (&["7200;foo=bar"], None),
            (&["\"7200\""], None),
            (&["7 200"], None),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(AGE, line.parse().unwrap());
            }
            assert_eq!(field(&headers), *expected, "{lines:?}");
        }
    }

    #[test]
    fn initial_age_section_4_2_3() {
        // (Age, Date, request, response) → corrected_initial_age; milliseconds.
        type Case = (Option<u32>, Option<u64>, u64, u64, u64);
        let cases: &[Case] = &[
            (None, None, 100_000, 100_000, 0),
            (None, None, 100_000, 103_000, 3_000),
            (Some(10), None, 100_000, 103_000, 13_000),
            (None, Some(90_000), 100_000, 100_000, 10_000),
            (Some(5), Some(90_000), 100_000, 100_000, 10_000),
            (Some(50), Some(90_000), 100_000, 100_000, 50_000),
            // The origin's clock is ahead: no negative age.
            (None, Some(200_000), 100_000, 100_000, 0),
            (None, Some(100_000), 100_000, 100_999, 999),
            // Our clock stepped back during the exchange.
            (Some(5), None, 100_000, 90_000, 5_000),
        ];
        for &(age, date, request, response, expected) in cases {
            let found = initial(
                age,
                date.map(Time::from_millis),
                Time::from_millis(request),
                Time::from_millis(response),
            );
            assert_eq!(found, Duration::from_millis(expected), "{age:?} {date:?} {request} {response}");
        }
    }
}
