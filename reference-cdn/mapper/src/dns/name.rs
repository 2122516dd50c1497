//! Domain names in wire format (RFC 1035 section 3.1): labels, each with its length before it, and an empty one at the end.

use std::fmt::Write as _;

/// Longest name in wire format (RFC 1035 section 2.3.4).
pub const LONGEST_NAME: usize = 255;
/// Longest label.
pub const LONGEST_LABEL: usize = 63;

/// A name in lower case, without allocation.
#[derive(Clone)]
pub struct Name {
    octets: [u8; LONGEST_NAME],
    length: u8,
    labels: u8,
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a label is empty")]
    EmptyLabel,
    #[error("a label is longer than 63 octets")]
    LongLabel,
    #[error("the name is longer than 255 octets")]
    LongName,
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
}

impl Default for Name {
    fn default() -> Self {
        Self { octets: [0; LONGEST_NAME], length: 1, labels: 0 }
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show(self.wire()))
    }
}

impl Name {
    /// Wire format, with the final 0.
    pub fn wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    /// Labels without the empty one at the end.
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The last `labels` labels and the root; the whole name if it has no more.
    pub fn suffix(&self, labels: usize) -> &[u8] {
        skip(self.wire(), self.labels().saturating_sub(labels))
    }

    /// Reads the name at the beginning of `from`, without pointers: those have no place in a question. Returns how many
    /// octets it takes.
    pub fn read(&mut self, from: &[u8]) -> Option<usize> {
        let (mut at, mut labels) = (0_usize, 0_u8);
        loop {
            let length = usize::from(*from.get(at)?);
            if length > LONGEST_LABEL {
                return None;
            }
            self.octets[at] = length as u8;
            at += 1;
            if length == 0 {
                break;
            }
            // With the final 0 a name may have LONGEST_NAME octets.
            if at + length >= LONGEST_NAME {
                return None;
            }
            let label = from.get(at..at + length)?;
            for (to, octet) in self.octets[at..at + length].iter_mut().zip(label) {
                *to = octet.to_ascii_lowercase();
            }
            at += length;
            labels += 1;
        }
        (self.length, self.labels) = (at as u8, labels);
        Some(at)
    }

    /// A name in wire format that is known to be well-formed; nothing is changed if it is not.
    pub fn set(&mut self, wire: &[u8]) {
        let mut new = Self::default();
        if new.read(wire) == Some(wire.len()) {
            *self = new;
        }
    }

    /// `*.` and what is left of the name when only the last `labels` labels are kept.
    pub fn wildcard(&self, labels: usize) -> Self {
        let suffix = self.suffix(labels);
        let mut name = Self::default();
        if suffix.len() + 2 <= LONGEST_NAME {
            name.octets[..2].copy_from_slice(b"\x01*");
            name.octets[2..2 + suffix.len()].copy_from_slice(suffix);
            (name.length, name.labels) = ((suffix.len() + 2) as u8, labels as u8 + 1);
        }
        name
    }
}

/// Reads presentation format (RFC 1035 section 5.1), absolute with or without the final dot. Letters become lower case.
pub fn from_text(text: &str) -> Result<Box<[u8]>, NameError> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    if text != "." {
        let mut label = Vec::new();
        let mut octets = text.bytes().peekable();
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => {
                    push_label(&mut wire, &mut label)?;
                    if octets.peek().is_none() {
                        break;
                    }
                }
                b'\\' => {
                    let first = octets.next().ok_or(NameError::Escape)?;
                    if first.is_ascii_digit() {
                        let mut number = u16::from(first - b'0');
                        for _ in 0..2 {
                            let digit = octets.next().filter(u8::is_ascii_digit).ok_or(NameError::Escape)?;
                            number = number * 10 + u16::from(digit - b'0');
                        }
                        label.push(u8::try_from(number).map_err(|_| NameError::Escape)?.to_ascii_lowercase());
                    } else {
                        label.push(first.to_ascii_lowercase());
                    }
                }
                octet => label.push(octet.to_ascii_lowercase()),
            }
        }
        if !text.ends_with('.') || !label.is_empty() {
            push_label(&mut wire, &mut label)?;
        }
    }
    wire.push(0);
    if wire.len() > LONGEST_NAME { Err(NameError::LongName) } else { Ok(wire.into()) }
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), NameError> {
    match label.len() {
        0 => Err(NameError::EmptyLabel),
        length @ ..=LONGEST_LABEL => {
            wire.push(length as u8);
            wire.append(label);
            Ok(())
        }
        _ => Err(NameError::LongLabel),
    }
}

/// Presentation format with the final dot. What is not printable ASCII is escaped.
pub fn show(wire: &[u8]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(&length) = wire.get(at).filter(|length| **length > 0) {
        let end = (at + 1 + usize::from(length)).min(wire.len());
        for &octet in &wire[at + 1..end] {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(octet));
                }
                0x21..=0x7e => text.push(char::from(octet)),
                // Writing to a string does not fail.
                other => _ = write!(text, "\\{other:03}"),
            }
        }
        text.push('.');
        at = end;
    }
    if text.is_empty() { ".".into() } else { text }
}

/// The name without its first labels; the root if it has no more.
pub fn skip(wire: &[u8], labels: usize) -> &[u8] {
    let mut at = 0;
    for _ in 0..labels {
        match wire.get(at) {
            Some(&length) if length > 0 => at += 1 + usize::from(length),
            _ => break,
        }
    }
    wire.get(at..).unwrap_or(&[0])
}

/// Labels of a name in wire format without the empty one at the end.
pub fn count(wire: &[u8]) -> usize {
    let (mut at, mut labels) = (0, 0);
    while let Some(&length) = wire.get(at).filter(|length| **length > 0) {
        at += 1 + usize::from(length);
        labels += 1;
    }
    labels
}

/// Whether a name is the apex or below it. Both in lower case.
pub fn is_within(wire: &[u8], apex: &[u8]) -> bool {
    let (labels, of_apex) = (count(wire), count(apex));
    labels >= of_apex && skip(wire, labels - of_apex) == apex
}

/// Length of the name at `at` in a message, pointers followed backwards only; and where the message goes on behind it.
pub fn pass(message: &[u8], at: usize) -> Option<usize> {
    let (mut here, mut end, mut total) = (at, None, 0);
    loop {
        let octet = *message.get(here)?;
        match octet {
            0 => return Some(end.unwrap_or(here + 1)).filter(|_| total < LONGEST_NAME),
            1..=0x3f => {
                total += 1 + usize::from(octet);
                here += 1 + usize::from(octet);
                if total >= LONGEST_NAME {
                    return None;
                }
            }
            0xc0.. => {
                let to = usize::from(octet & 0x3f) << 8 | usize::from(*message.get(here + 1)?);
                end.get_or_insert(here + 2);
                // Each pointer leads to what stands before it, so that there is no way in circles.
                if to >= here {
                    return None;
                }
                here = to;
            }
            _ => return None,
        }
    }
}

/// Hash for tables of names that do not change while they are used: what a client asks for never enters them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl std::hash::Hasher for NameHasher {
    fn write(&mut self, octets: &[u8]) {
        let mut chunks = octets.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]));
        }
        let mut last = octets.len() as u64;
        for octet in chunks.remainder() {
            last = last << 8 | u64::from(*octet);
        }
        self.mix(last);
    }

    fn write_usize(&mut self, _: usize) {
        // The length of a slice: it is mixed in with its last octets.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl NameHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(MULTIPLIER));
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(23);
    }
}

/// The hash of some octets.
pub fn hash(octets: &[u8]) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = NameHasher::default();
    hasher.write(octets);
    hasher.finish()
}

/// A table by name, in wire format and lower case.
pub type Table<V> = std::collections::HashMap<Box<[u8]>, V, std::hash::BuildHasherDefault<NameHasher>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire() {
        for (text, shown) in [
            (".", "."),
            ("a", "a."),
            ("WWW.Example.", "www.example."),
            (r"a\.b.c", r"a\.b.c."),
            (r"\000\255.x", r"\000\255.x."),
            (r"a\ b", r"a\032b."),
        ] {
            assert_eq!(show(&from_text(text).unwrap()), shown, "{text}");
        }
        let long = "a".repeat(64);
        for (text, error) in [
            ("", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            (&long, NameError::LongLabel),
            (&"abcdefg.".repeat(32), NameError::LongName),
            (r"\25", NameError::Escape),
            (r"\256", NameError::Escape),
            (r"a\", NameError::Escape),
        ] {
            assert_eq!(from_text(text), Err(error), "{text}");
        }
        assert!(from_text(&format!("{}abcde", "abcdefg.".repeat(31))).is_ok());
    }

    #[test]
    fn the_longest_name_is_read_and_no_longer_one() {
        let mut name = Name::default();
        let longest = from_text(&format!("{}abcde", "abcdefg.".repeat(31))).unwrap();
        assert_eq!(longest.len(), 255);
        assert_eq!(name.read(&longest), Some(255));
        assert_eq!(name.labels(), 32);
        let mut longer = longest.to_vec();
        longer[248] = 6;
        longer.insert(249, b'x');
        assert_eq!(name.read(&longer), None);
    }

    #[test]
    fn pointers_lead_back_only() {
        assert_eq!(pass(b"\x01a\x00\xc0\x00", 3), Some(5));
        assert_eq!(pass(b"\xc0\x00", 0), None);
        assert_eq!(pass(b"\xc0\x02\xc0\x00", 0), None);
        assert_eq!(pass(b"\x01a\xc0\x00", 0), None);
        assert_eq!(pass(b"\x41a\x00", 0), None);
        assert_eq!(pass(b"\x02a", 0), None);
    }

    #[test]
    fn suffixes() {
        let mut name = Name::default();
        name.set(b"\x01A\x01b\x01c\x00");
        assert_eq!(name.suffix(2), b"\x01b\x01c\x00");
        assert_eq!(name.suffix(0), b"\x00");
        assert_eq!(name.suffix(9), b"\x01a\x01b\x01c\x00");
        assert_eq!(name.wildcard(1).wire(), b"\x01*\x01c\x00");
        assert!(is_within(name.wire(), b"\x01c\x00"));
        assert!(!is_within(b"\x02bc\x00", b"\x01c\x00"));
    }
}
