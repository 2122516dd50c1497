//! Writing and reading of the numbers and texts that map files are made of. All numbers are little-endian.

/// Why octets are no map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// From the start of what is read.
    pub at: usize,
    pub what: &'static str,
}

pub(super) type Read<T> = Result<T, Malformed>;

/// Appends.
#[derive(Debug, Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// A count of what follows. Networks are bounded far below.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// A text with its length before it. Longer ones than 65 535 octets do not occur.
    pub fn text(&mut self, text: &[u8]) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.0.extend(&text[..usize::from(length)]);
    }
}

/// Takes from the front. What is asked for beyond the end is an error, so that no count is believed that the octets do not hold.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
    whole: usize,
}

impl<'a> Reader<'a> {
    pub fn new(octets: &'a [u8]) -> Self {
        Self { left: octets, whole: octets.len() }
    }

    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.whole - self.left.len(), what }
    }

    pub fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let Some((taken, left)) = self.left.split_at_checked(length) else {
            return Err(self.malformed("ends too early"));
        };
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Read<u8> {
        self.array::<1>().map(|[value]| value)
    }

    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that take `least` octets each at least.
    pub fn count(&mut self, least: usize) -> Read<usize> {
        let count = self.u32()? as usize;
        if count > self.left.len() / least.max(1) {
            Err(self.malformed("counts more than there is room for"))
        } else {
            Ok(count)
        }
    }

    pub fn octets(&mut self) -> Read<&'a [u8]> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    pub fn text(&mut self) -> Read<String> {
        let octets = self.octets()?;
        std::str::from_utf8(octets)
            .map(str::to_owned)
            .map_err(|_| self.malformed("holds a text that is not UTF-8"))
    }

    /// A table of that many rows of `N` octets.
    pub fn rows<const N: usize>(&mut self, count: usize) -> Read<&'a [[u8; N]]> {
        let length = count.checked_mul(N).ok_or_else(|| self.malformed("ends too early"))?;
        Ok(self.take(length)?.as_chunks().0)
    }

    pub fn end(&self) -> Read<()> {
        if self.left.is_empty() { Ok(()) } else { Err(self.malformed("goes on after its end")) }
    }
}
