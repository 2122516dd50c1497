//! Numbers and pieces of octets in the encoded form of what is stored. Reading them back trusts nothing.

/// Encoded octets are not what they should be: cut short, out of range, or not what an encoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends a number, seven bits to an octet, the lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a piece with its length before it.
pub(crate) fn put_piece(out: &mut Vec<u8>, piece: &[u8]) {
    put_number(out, piece.len() as u64);
    out.extend_from_slice(piece);
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(first)
    }

    /// A number in its shortest form: each number has one spelling.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Malformed> {
        match self.0 {
            [short @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*short))
            }
            _ => self.long_number(),
        }
    }

    #[cold]
    fn long_number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7f);
            if bits << shift >> shift != bits || (octet == 0 && shift > 0) {
                return Err(Malformed);
            }
            number |= bits << shift;
            if octet < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (piece, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(piece)
    }

    #[inline]
    pub fn piece(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            let mut octets = Octets(&out);
            assert_eq!((octets.number(), octets.is_empty()), (Ok(number), true));
            for cut in 0..out.len() {
                assert_eq!(Octets(&out[..cut]).number(), Err(Malformed), "{number} cut at {cut}");
            }
        }
        for odd in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(Octets(odd).number(), Err(Malformed), "{odd:?}");
        }
    }
}
