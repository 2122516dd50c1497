//! Takes an input apart: numbers from its front, sections of text, pieces to deliver it in.

use bytes::Bytes;

/// What stands between the sections of an input that is made of several texts.
pub(crate) const SEPARATOR: &[u8] = b"\n%%\n";

/// Reads an input from its front; what is missing is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// At most `most` bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The rest, in sections.
    pub fn sections(self) -> Vec<&'a [u8]> {
        let (mut sections, mut rest) = (Vec::new(), self.0);
        while let Some(at) = rest.windows(SEPARATOR.len()).position(|w| w == SEPARATOR) {
            sections.push(&rest[..at]);
            rest = &rest[at + SEPARATOR.len()..];
        }
        sections.push(rest);
        sections
    }
}

/// `bytes` in pieces whose lengths follow from `seed`: 0 cuts nowhere, 1 after each byte.
pub(crate) fn pieces(bytes: &[u8], seed: u16) -> Vec<Bytes> {
    let (mut pieces, mut rest, mut state) = (Vec::new(), bytes, u32::from(seed));
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = match seed {
            0 => rest.len(),
            1 => 1,
            _ => 1 + (state >> 16) as usize % (1 + usize::from(seed % 61)),
        };
        let (piece, later) = rest.split_at(length.min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = later;
    }
    pieces
}

/// Lines `name: value` as fields; other lines are left out.
pub(crate) fn field_lines(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    section.split(|b| *b == b'\n').filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
