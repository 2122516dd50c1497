//! Bytes without end that are the same each time.

use exchange::Sha256;

/// An endless sequence of bytes, given by its seed alone, to send or expect bodies too large to hold.
#[derive(Clone, Debug)]
pub struct Filler {
    state: u64,
    block: [u8; 8],
    used: usize,
}

impl Filler {
    pub fn new(seed: u64) -> Self {
        Filler { state: seed, block: [0; 8], used: 8 }
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == self.block.len() {
                self.block = self.step().to_le_bytes();
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    /// The digest of the first `length` bytes for a seed.
    pub fn sha256(seed: u64, length: u64) -> Sha256 {
        let mut filler = Filler::new(seed);
        let mut hasher = exchange::BodyHasher::new(0);
        let mut block = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            filler.fill(&mut block[..part]);
            hasher.update(&block[..part]);
            left -= part as u64;
        }
        hasher.finish(exchange::Ending::Complete).sha256
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn step(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
