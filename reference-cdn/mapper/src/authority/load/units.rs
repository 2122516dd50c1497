//! Times with units (`1h30m`, `2d`, `1W`), as all name servers read them in zone files although RFC 1035 has seconds only.

/// What comes next in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Owner,
    /// A lifetime, a class, or the type.
    Type,
    /// The data of an SOA record, so many fields of it gone by.
    Soa(u8),
    /// What `$TTL` sets.
    Lifetime,
    Rest,
}

/// Fields of an SOA record that are times, counted from 0: from REFRESH to MINIMUM (RFC 1035 section 3.3.13).
const TIMES: std::ops::Range<u8> = 3..7;

/// The text with all lifetimes and times in seconds, and everything else as it is, lines too.
pub(super) fn in_seconds(text: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len());
    let (mut next, mut open, mut line_begins) = (Next::Owner, false, true);
    let mut rest = text;
    while let Some(&octet) = rest.first() {
        let length = match octet {
            b';' => rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len()),
            b'"' => quoted(rest),
            _ if is_delimiter(octet) => 1,
            _ => word(rest),
        };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        match octet {
            b'\n' if !open => next = Next::Owner,
            // The owner is the one of the entry before.
            b' ' | b'\t' if line_begins && !open => next = Next::Type,
            b'(' | b')' => open = octet == b'(',
            b';' | b'\n' | b'\r' | b' ' | b'\t' => {}
            _ => {
                let seconds;
                (next, seconds) = step(next, piece);
                if let Some(seconds) = seconds {
                    written.extend_from_slice(seconds.to_string().as_bytes());
                    line_begins = false;
                    continue;
                }
            }
        }
        line_begins = octet == b'\n';
        written.extend_from_slice(piece);
    }
    written
}

/// What comes after a word, and the seconds to be written in its place.
fn step(next: Next, word: &[u8]) -> (Next, Option<u32>) {
    match next {
        Next::Owner if word.eq_ignore_ascii_case(b"$TTL") => (Next::Lifetime, None),
        Next::Owner if word.starts_with(b"$") => (Next::Rest, None),
        Next::Owner => (Next::Type, None),
        Next::Type if word.eq_ignore_ascii_case(b"SOA") => (Next::Soa(0), None),
        Next::Type => {
            let seconds = seconds(word);
            let is_type = seconds.is_none() && !word.iter().all(u8::is_ascii_digit) && !is_class(word);
            (if is_type { Next::Rest } else { Next::Type }, seconds)
        }
        Next::Soa(field) => {
            (Next::Soa(field.saturating_add(1)), seconds(word).filter(|_| TIMES.contains(&field)))
        }
        Next::Lifetime => (Next::Rest, seconds(word)),
        Next::Rest => (Next::Rest, None),
    }
}

fn is_class(word: &[u8]) -> bool {
    [&b"IN"[..], b"CH", b"HS"].iter().any(|class| word.eq_ignore_ascii_case(class))
        || word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"CLASS"))
}

/// Numbers with a unit each, added up. None: it is something else, or too much.
fn seconds(word: &[u8]) -> Option<u32> {
    let (mut sum, mut rest) = (0_u64, word);
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let (number, behind) = rest.split_at(digits);
        let (unit, behind) = behind.split_first()?;
        let unit = match unit.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        sum = sum.checked_add(u64::from(number) * unit)?;
        rest = behind;
    }
    u32::try_from(sum).ok().filter(|_| !word.is_empty())
}

fn is_delimiter(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';' | b'"')
}

/// Octets up to the next delimiter that no backslash takes away.
fn word(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&octet) = text.get(at).filter(|octet| !is_delimiter(**octet)) {
        at += if octet == b'\\' { 2 } else { 1 };
    }
    at.min(text.len())
}

/// Octets of the string at the beginning, with its quotes.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&octet) = text.get(at).filter(|octet| **octet != b'"') {
        at += if octet == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        String::from_utf8(in_seconds(text.as_bytes())).unwrap()
    }

    #[test]
    fn times_are_where_times_stand() {
        for (text, expected) in [
            ("$TTL 1d ; 2d\n", "$TTL 86400 ; 2d\n"),
            ("a 1h A 192.0.2.1\n", "a 3600 A 192.0.2.1\n"),
            ("a IN 1H30m5S A 192.0.2.1\n", "a IN 5405 A 192.0.2.1\n"),
            ("\t1w IN NS 1h\n", "\t604800 IN NS 1h\n"),
            // Owners, names and texts may look like times.
            ("1h 2m CNAME 3s\n", "1h 120 CNAME 3s\n"),
            ("1h TXT 1h \"1h\" \"a \\\" ; 1h\"\n", "1h TXT 1h \"1h\" \"a \\\" ; 1h\"\n"),
            ("$ORIGIN 1h\n$INCLUDE 1h 2h\n", "$ORIGIN 1h\n$INCLUDE 1h 2h\n"),
            (
                "@ SOA 1h 2h (1m ;1d\n 1h\n\t2H;\n 3d 4w) ; 1s\n 5m TXT x",
                "@ SOA 1h 2h (1m ;1d\n 3600\n\t7200;\n 259200 2419200) ; 1s\n 300 TXT x",
            ),
            ("a ( 1h\n1h A 192.0.2.1 )\n", "a ( 3600\n3600 A 192.0.2.1 )\n"),
            // No times: the reader says so.
            (
                "a 1h30 A x\na h A x\na 1y A x\na 4294967296s A x\n",
                "a 1h30 A x\na h A x\na 1y A x\na 4294967296s A x\n",
            ),
            ("a 1\\h A x\n", "a 1\\h A x\n"),
            ("a \"", "a \""),
            ("a \\", "a \\"),
        ] {
            assert_eq!(read(text), expected);
        }
    }

    proptest! {
        #[test]
        fn what_has_no_units_stays_as_it_is(text in "([a-z$@\\\\\"();0-9 \t\r\n]|SOA|IN){0,80}") {
            let lines = |text: &[u8]| text.iter().filter(|octet| **octet == b'\n').count();
            let written = in_seconds(text.as_bytes());
            prop_assert_eq!(lines(&written), lines(text.as_bytes()));
            let without: String = text.chars().filter(|letter| !"smhdw".contains(*letter)).collect();
            prop_assert_eq!(in_seconds(without.as_bytes()), without.as_bytes());
        }
    }
}
