//! HTTP-date (RFC 9110 section 5.6.7): strict in form, lenient in letter case.
//!
//! The three formats are accepted exactly as specified, except that day and month names and "GMT" may be in
//! any case: such dates have one possible meaning. Whatever else differs (another zone, one-digit hours,
//! dashes, missing commas) makes the date invalid, which for freshness means "stale".

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use crate::Time;

const SECONDS_PER_DAY: u64 = 86_400;
const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];

/// Parses an HTTP-date. `now` settles the century of two-digit years: a date that would be more than 50 years
/// ahead is in the past. Dates before 1970 become the epoch.
pub(crate) fn parse(value: &[u8], now: Time) -> Option<Time> {
    let mut rest = Scanner(value);
    let date = match value.get(3)? {
        b',' => imf_fixdate(&mut rest)?,
        b' ' => asctime(&mut rest)?,
        _ => rfc850(&mut rest, now)?,
    };
    if rest.0.is_empty() { date.time() } else { None }
}

/// An IMF-fixdate for a field value.
pub(crate) fn format(time: Time) -> HeaderValue {
    // httpdate writes years up to 9999.
    const LAST_SECOND: u64 = 253_402_300_799;
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs().min(LAST_SECOND)));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Date {
    fn time(&self) -> Option<Time> {
        let leap =
            self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days_in_month = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if self.day == 0 || self.day > days_in_month {
            return None;
        }
        if self.year < 1970 {
            return Some(Time::from_secs(0));
        }
        // Days since the epoch, with the year starting in March so that the leap day comes last.
        let (year, month) =
            if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + self.day - 1;
        const EPOCH: u64 = 719_468;
        Some(Time::from_secs((days - EPOCH) * SECONDS_PER_DAY + self.second_of_day))
    }
}

fn imf_fixdate(rest: &mut Scanner<'_>) -> Option<Date> {
    rest.day_name(3)?;
    rest.literal(b", ")?;
    let day = rest.digits(2)?;
    rest.literal(b" ")?;
    let month = rest.month()?;
    rest.literal(b" ")?;
    let year = rest.digits(4)?;
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" gmt")?;
    Some(Date { year, month, day, second_of_day })
}

fn rfc850(rest: &mut Scanner<'_>, now: Time) -> Option<Date> {
    let comma = rest.0.iter().position(|&octet| octet == b',')?;
    rest.day_name(comma)?;
    rest.literal(b", ")?;
    let day = rest.digits(2)?;
    rest.literal(b"-")?;
    let month = rest.month()?;
    rest.literal(b"-")?;
    let short_year = rest.digits(2)?;
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" gmt")?;
    const SECONDS_PER_YEAR: u64 = 31_556_952;
    let this_year = 1970 + now.as_secs() / SECONDS_PER_YEAR;
    let year = this_year - this_year % 100 + short_year;
    let year = match year {
        year if year > this_year + 50 => year - 100,
        year if year + 50 <= this_year => year + 100,
        year => year,
    };
    Some(Date { year, month, day, second_of_day })
}

fn asctime(rest: &mut Scanner<'_>) -> Option<Date> {
    rest.day_name(3)?;
    rest.literal(b" ")?;
    let month = rest.month()?;
    rest.literal(b" ")?;
    let day = match rest.0.first()? {
        b' ' => {
            rest.literal(b" ")?;
            rest.digits(1)?
        }
        _ => rest.digits(2)?,
    };
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" ")?;
    let year = rest.digits(4)?;
    Some(Date { year, month, day, second_of_day })
}

struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.take(expected.len())?.eq_ignore_ascii_case(expected).then_some(())
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        self.take(count)?.iter().try_fold(0, |number, octet| {
            octet.is_ascii_digit().then(|| number * 10 + u64::from(octet - b'0'))
        })
    }

    /// A day name of exactly `length` letters: the short form or the whole name.
    fn day_name(&mut self, length: usize) -> Option<()> {
        let name = self.take(length)?;
        DAYS.iter()
            .any(|day| {
                let expected = if length == 3 { &day[..3] } else { day };
                name.eq_ignore_ascii_case(expected)
            })
            .then_some(())
    }

    fn month(&mut self) -> Option<u64> {
        let name = self.take(3)?;
        MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month)).map(|index| index as u64 + 1)
    }

    /// `hh:mm:ss`; a leap second counts as the second before it.
    fn time_of_day(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.literal(b":")?;
        let minute = self.digits(2)?;
        self.literal(b":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_795_000_000); // November 2026

    #[test]
    fn each_format_and_its_misspellings() {
        let cases: &[(&str, Option<u64>)] = &[
            // The three formats of RFC 9110 section 5.6.7 name one instant.
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 16 08:49:37 1994", Some(784_975_777)),
            // Limits.
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Mon, 01 Jan 1900 00:00:00 GMT", Some(0)),
            ("Tue, 19 Jan 2038 03:14:08 GMT", Some(2_147_483_648)),
            ("Sun, 21 Nov 2286 04:46:39 GMT", Some(10_000_039_599)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
            ("Wed, 29 Feb 2023 00:00:00 GMT", None),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Thu, 29 Feb 2100 00:00:00 GMT", None),
            ("Thu, 00 Jan 2026 00:00:00 GMT", None),
            ("Thu, 32 Jan 2026 00:00:00 GMT", None),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_799)),
            ("Sat, 31 Dec 2016 23:59:61 GMT", None),
            ("Sat, 31 Dec 2016 24:00:00 GMT", None),
            ("Sat, 31 Dec 2016 23:60:00 GMT", None),
            // Letter case.
            ("SUN, 06 nov 1994 08:49:37 gMt", Some(784_111_777)),
            ("sunday, 06-NOV-94 08:49:37 gmt", Some(784_111_777)),
            // Two-digit years: at most 50 ahead.
            ("Thursday, 18-Aug-50 02:01:18 GMT", Some(2_544_400_878)),
            ("Thursday, 18-Aug-76 02:01:18 GMT", Some(3_364_941_678)),
            ("Thursday, 18-Aug-77 02:01:18 GMT", Some(240_717_678)),
            // Everything else is no date.
            ("", None),
            ("0", None),
            ("-1", None),
            ("784111777", None),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49:37 AEST", None),
            ("Sun, 06 Nov 1994 08:49:37 +0000", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 94 08:49:37 GMT", None),
            ("Sun 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06  Nov  1994 08:49:37 GMT", None),
            ("Sun, 06-Nov-1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08.49.37 GMT", None),
            ("Sun, 06 Nov 1994 8:49:37 GMT", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun,06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
            ("Sun, 06 Nov 1994 08:49:37 GMTX", None),
            ("Sun, 06 Nov +994 08:49:37 GMT", None),
            ("Xyz, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Xyz 1994 08:49:37 GMT", None),
            ("Sunda, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sun Nov  6 08:49:37 1994 GMT", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes(), NOW), expected.map(Time::from_secs), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for seconds in [0, 1, 784_111_777, 951_782_400, 2_147_483_648, 253_402_300_799] {
            let time = Time::from_secs(seconds);
            assert_eq!(parse(format(time).as_bytes(), NOW), Some(time));
        }
        assert_eq!(format(Time::from_millis(u64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
