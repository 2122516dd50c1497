//! Ranges of octets (RFC 9110 section 14) and how they are answered from a stored response.

use std::ops::Range;

use http::HeaderMap;
use http::header::{CONTENT_RANGE, RANGE};

/// More ranges than this in one request are no honest need.
const MOST_RANGES: usize = 16;
/// Nor are more that share an octet.
const MOST_OVERLAPPING: usize = 2;

/// Ranges asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `first-` or `first-last` (inclusive).
    From { first: u64, last: Option<u64> },
    /// `-length`: the last octets.
    Suffix(u64),
}

/// What a Range field comes to for a representation of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// No Range, another unit, malformed, or too greedy: the field is ignored.
    Ignored,
    Unsatisfiable,
    /// At least one, none empty, none overlapping or adjacent to the one before, in the order asked for.
    Satisfiable(Vec<Range<u64>>),
}

/// Does the request ask for so many ranges, or so many that overlap, that it is refused (RFC 9110 sections 14.2, 15.5.17
/// and 17.15)? Sent on, it would make an origin that answers all of them send many times what it has.
pub(crate) fn is_excessive(headers: &HeaderMap) -> bool {
    // Most requests have none, and every one passes here.
    if !headers.contains_key(RANGE) {
        return false;
    }
    let count = headers.get_all(RANGE).iter().map(|line| {
        line.as_bytes().split(|&octet| octet == b',').filter(|member| !member.trim_ascii().is_empty()).count()
    });
    if count.sum::<usize>() > MOST_RANGES {
        return true;
    }
    let specs = parse(headers).unwrap_or_default();
    // Of a representation as long as can be, the last octets are far from all that is counted from the front; yet what
    // is open at its end has them too.
    let ends = |spec: &Spec| match *spec {
        Spec::From { first, last } => (first, last.unwrap_or(u64::MAX)),
        Spec::Suffix(count) => (u64::MAX - count.saturating_sub(1), u64::MAX),
    };
    let ranges: Vec<(u64, u64)> = specs.iter().map(ends).collect();
    let sharing = |at: u64| ranges.iter().filter(|(first, last)| *first <= at && at <= *last).count();
    // Where most meet, one of them begins.
    ranges.iter().any(|(first, _)| sharing(*first) > MOST_OVERLAPPING)
}

/// Parses Range; `None` if it is absent, of another unit or malformed.
pub(crate) fn parse(headers: &HeaderMap) -> Option<Vec<Spec>> {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let line = line.as_bytes();
    let equals = line.iter().position(|&octet| octet == b'=')?;
    if !line[..equals].trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for member in line[equals + 1..].split(|&octet| octet == b',') {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        specs.push(spec(member)?);
        if specs.len() > MOST_RANGES {
            return None;
        }
    }
    (!specs.is_empty()).then_some(specs)
}

/// Does Range ask for more ranges than anybody needs, for octets twice, or in several lines or words that some origin may
/// read as either? An origin that obeyed would send many times what there is (the RangeAmp attacks, DSN 2020), so the
/// field is not passed on (RFC 9110 section 14.2 lets a server ignore it, section 17.15 says why), and the origin
/// sends the whole.
pub fn has_greedy_ranges(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(RANGE).iter();
    let Some(line) = lines.next() else { return false };
    if lines.next().is_some() {
        return true;
    }
    let line = line.as_bytes();
    let members = line.split(|&octet| octet == b',').count();
    if members < 2 {
        return false;
    }
    match parse(headers) {
        Some(specs) => {
            specs.iter().enumerate().any(|(at, spec)| specs[..at].iter().any(|other| spec.overlaps(*other)))
        }
        // Another unit, or what is no range to us.
        None => {
            let equals = line.iter().position(|&octet| octet == b'=').unwrap_or(0);
            members > MOST_RANGES || line[..equals].trim_ascii().eq_ignore_ascii_case(b"bytes")
        }
    }
}

fn spec(member: &[u8]) -> Option<Spec> {
    let dash = member.iter().position(|&octet| octet == b'-')?;
    let (first, last) = (&member[..dash], &member[dash + 1..]);
    if first.is_empty() {
        return number(last).map(Spec::Suffix);
    }
    let first = number(first)?;
    let last = if last.is_empty() { None } else { Some(number(last)?) };
    last.is_none_or(|last| last >= first).then_some(Spec::From { first, last })
}

/// `1*DIGIT`; beyond 2^64 the largest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, octet| {
        octet.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(octet - b'0')))
    })
}

impl Spec {
    /// Do both name the same octet, of a representation of any length? One that counts from the start and ends, and one
    /// that counts from the end, may meet where it is short; they name no octet more than twice.
    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Suffix(_), Self::Suffix(_)) => true,
            (Self::Suffix(_), Self::From { last, .. }) | (Self::From { last, .. }, Self::Suffix(_)) => {
                last.is_none()
            }
            (Self::From { first: a, last: a_last }, Self::From { first: b, last: b_last }) => {
                a <= b_last.unwrap_or(u64::MAX) && b <= a_last.unwrap_or(u64::MAX)
            }
        }
    }

    /// The octets it names of a representation with `length` octets, if there are any.
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => {
                first..last.map_or(length, |last| last.saturating_add(1).min(length))
            }
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// What `specs` come to for a representation of `length` octets.
///
/// Ranges that overlap or touch are joined, so that no octet is sent twice; a request whose ranges would
/// still be out of order is answered in its order.
pub(crate) fn resolve(specs: &[Spec], length: u64) -> Ranges {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for range in specs.iter().filter_map(|spec| spec.within(length)) {
        let mut joined = range;
        ranges.retain(|other| {
            let touches = joined.start <= other.end && other.start <= joined.end;
            if touches {
                joined = joined.start.min(other.start)..joined.end.max(other.end);
            }
            !touches
        });
        ranges.push(joined);
    }
    if ranges.is_empty() { Ranges::Unsatisfiable } else { Ranges::Satisfiable(ranges) }
}

/// Content-Range of a 206: the octets enclosed, and the length of the whole if it is known. `None` if it is
/// absent, repeated, of another unit or invalid (RFC 9110 section 14.4).
pub(crate) fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, Option<u64>)> {
    let mut lines = headers.get_all(CONTENT_RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let line = line.as_bytes().trim_ascii();
    let (unit, rest) = line.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let slash = rest.iter().position(|&octet| octet == b'/')?;
    let dash = rest[..slash].iter().position(|&octet| octet == b'-')?;
    let first = number(&rest[..dash])?;
    let last = number(&rest[dash + 1..slash])?;
    let complete = match &rest[slash + 1..] {
        b"*" => None,
        digits => Some(number(digits)?),
    };
    let end = last.checked_add(1)?;
    (first <= last && complete.is_none_or(|complete| last < complete)).then_some((first..end, complete))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn ranges_of_ten_octets() {
        let cases: &[(&str, &[(u64, u64)])] = &[
            ("bytes=0-0", &[(0, 1)]),
            ("bytes=0-9", &[(0, 10)]),
            ("bytes=0-", &[(0, 10)]),
            ("bytes=9-", &[(9, 10)]),
            ("bytes=5-99", &[(5, 10)]),
            ("bytes=5-99999999999999999999999", &[(5, 10)]),
            ("bytes=-1", &[(9, 10)]),
            ("bytes=-10", &[(0, 10)]),
            ("bytes=-99", &[(0, 10)]),
            ("Bytes=0-0", &[(0, 1)]),
            ("bytes= 0-0 ", &[(0, 1)]),
            ("bytes=0-0,2-2", &[(0, 1), (2, 3)]),
            ("bytes=0-0, 2-2 ,,4-4", &[(0, 1), (2, 3), (4, 5)]),
            ("bytes=8-8,0-0", &[(8, 9), (0, 1)]),
            // One of several can be satisfied.
            ("bytes=0-0,20-30", &[(0, 1)]),
            // Overlapping and adjacent ones are joined.
            ("bytes=0-4,2-6", &[(0, 7)]),
            ("bytes=0-4,5-6", &[(0, 7)]),
            ("bytes=0-0,2-2,1-1", &[(0, 3)]),
            ("bytes=0-,0-,0-,0-", &[(0, 10)]),
            ("bytes=1-2,5-6,-1,0-9", &[(0, 10)]),
        ];
        for (value, expected) in cases {
            let specs = parse(&one(RANGE, value)).unwrap_or_else(|| panic!("{value}"));
            let expected = expected.iter().map(|&(start, end)| start..end).collect();
            assert_eq!(resolve(&specs, 10), Ranges::Satisfiable(expected), "{value}");
        }
        for value in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99-99,-0"] {
            let specs = parse(&one(RANGE, value)).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(resolve(&specs, 10), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(resolve(&[Spec::Suffix(5)], 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_excessive() {
        let many = |count: usize| {
            format!("bytes={}", (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect::<Vec<_>>().join(","))
        };
        for (value, expected) in [
            ("bytes=0-0", false),
            ("bytes=0-,0-", false),
            ("bytes=0-4,2-6", false),
            ("bytes=0-4,2-6,6-9", false),
            ("bytes=0-,-5", false),
            ("bytes=0-,0-,0-", true),
            ("bytes=0-4,2-6,4-4", true),
            ("bytes=0-,9-,-5", true),
            ("bytes=-1,-2,-3", true),
            ("items=0-,0-,0-", false),
            (&many(16), false),
            (&many(17), true),
            (&many(5000), true),
        ] {
            assert_eq!(is_excessive(&one(RANGE, value)), expected, "{value}");
        }
        assert!(!is_excessive(&HeaderMap::new()));
    }

    #[test]
    fn what_is_no_range() {
        let greedy = format!("bytes={}", vec!["0-0"; MOST_RANGES + 1].join(","));
        let cases = [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "0-1",
            "items=0-1",
            "bytes=a-b",
            "bytes=1",
            "bytes=-",
            "bytes=--1",
            "bytes=1-0",
            "bytes=+1-2",
            "bytes=0-0,x",
            "bytes=0 - 0",
            "bytes 0-1",
            &greedy,
        ];
        for value in cases {
            assert_eq!(parse(&one(RANGE, value)), None, "{value}");
        }
        assert_eq!(parse(&HeaderMap::new()), None);
        let mut twice = one(RANGE, "bytes=0-0");
        twice.append(RANGE, "bytes=1-1".parse().unwrap());
        assert_eq!(parse(&twice), None);
    }

    #[test]
    fn greedy_ranges() {
        let many = |unit: &str, count: u64| {
            let ranges: Vec<String> = (0..count).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
            format!("{unit}={}", ranges.join(","))
        };
        for (value, greedy) in [
            ("bytes=0-0", false),
            ("bytes=0-", false),
            ("bytes=-5", false),
            ("bytes=x", false),
            ("bytes=0-0,1-1", false),
            ("bytes=5-9, 0-4", false),
            ("bytes=0-9,-5", false),
            ("bytes=0-,0-", true),
            ("bytes=0-5,5-9", true),
            ("bytes=3-4,0-9", true),
            ("bytes=-5,-5", true),
            ("bytes=-1,5-", true),
            ("bytes=0-0,x,0-0", true),
            ("BYTES = 0-0,0-0", true),
            ("items=0-0,0-0", false),
            (&many("bytes", 16), false),
            (&many("bytes", 17), true),
            (&many("items", 16), false),
            (&many("items", 17), true),
        ] {
            assert_eq!(has_greedy_ranges(&one(RANGE, value)), greedy, "{value}");
        }
        assert!(!has_greedy_ranges(&HeaderMap::new()));
        let mut twice = one(RANGE, "bytes=0-0");
        twice.append(RANGE, "bytes=1-1".parse().unwrap());
        assert!(has_greedy_ranges(&twice));
    }

    #[test]
    fn content_ranges() {
        let cases = [
            ("bytes 0-4/10", Some((0..5, Some(10)))),
            ("bytes 5-9/10", Some((5..10, Some(10)))),
            ("bytes 0-0/*", Some((0..1, None))),
            ("Bytes 0-0/1", Some((0..1, Some(1)))),
            ("bytes */10", None),
            ("bytes 4-3/10", None),
            ("bytes 4-10/10", None),
            ("bytes 4-9", None),
            ("bytes=4-9/10", None),
            ("items 4-9/10", None),
            ("bytes 4-9/x", None),
            ("bytes 4-9/", None),
            ("bytes -9/10", None),
            ("bytes 4-/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-0/1, bytes 0-0/1", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(content_range(&one(CONTENT_RANGE, value)), expected, "{value}");
        }
    }
}
