//! HTTP dates, shifted from the time of their recording to now.

use exchange::{Response, Time};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Fields whose value is a moment that lifetimes are counted from or to.
const SHIFTED: [&str; 3] = ["date", "expires", "retry-after"];

/// Seconds since 1970 of an HTTP-date (RFC 9110 section 5.6.7).
pub(super) fn parse(value: &[u8]) -> Option<i64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn format(seconds: i64) -> Option<String> {
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    // The formatter handles the years up to 9999 only.
    let last = Duration::from_secs(253_402_300_799);
    (since <= last).then(|| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since))
}

/// Shifts the dates of a response that was `seen` then as if it were sent now. A time of zero was not recorded;
/// then the `Date` field says when it was.
pub(super) fn rebase(response: &mut Response, seen: Time, now: Time) {
    let recorded = match response.fields.get("date").and_then(|d| parse(d)) {
        _ if seen != Time(0) => seen.seconds(),
        Some(date) => date,
        None => return,
    };
    let shift = now.seconds() - recorded;
    for field in &mut response.fields.0 {
        if !SHIFTED.iter().any(|name| field.is(name)) {
            continue;
        }
        // What is no date stays: `Expires: 0`, `Retry-After: 120`.
        if let Some(shifted) = parse(&field.value).and_then(|at| at.checked_add(shift)).and_then(format) {
            field.value = shifted.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{Body, Fields};

    #[test]
    fn lifetimes_hold() {
        let fields: Fields = [
            ("Date", "Sat, 21 Nov 2026 22:07:00 GMT"),
            ("Expires", "Sat, 21 Nov 2026 22:08:30 GMT"),
            ("Expires", "0"),
            ("Expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("Last-Modified", "Sat, 21 Nov 2026 22:07:00 GMT"),
            ("Retry-After", "120"),
            ("Age", "7"),
        ]
        .into_iter()
        .collect();
        let recorded = Time::new(1_795_298_820, 0);
        let at = |seen: Time, now: Time| {
            let mut response = Response::new(200, fields.clone(), Body::empty());
            rebase(&mut response, seen, now);
            response.fields.iter().map(|f| exchange::escape(&f.value)).collect::<Vec<_>>()
        };
        let hour = Duration::from_secs(3600);
        let expected = [
            "Sat, 21 Nov 2026 23:07:00 GMT",
            "Sat, 21 Nov 2026 23:08:30 GMT",
            "0",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Sat, 21 Nov 2026 22:07:00 GMT",
            "120",
            "7",
        ];
        assert_eq!(at(recorded, recorded.plus(hour)), expected);
        assert_eq!(at(Time(0), recorded.plus(hour)), expected);
        // A server whose clock was a second late stays a second late.
        assert_eq!(
            at(recorded.plus(Duration::from_secs(1)), recorded.plus(hour))[0],
            "Sat, 21 Nov 2026 23:06:59 GMT"
        );
    }
}
