//! Remembers what was evicted before anybody read it: what comes back soon is worth keeping (S3-FIFO).
//!
//! A table of fixed size. A hash pushes out another with the same place; two with the same place and the same 32 bits
//! are taken for each other, which costs a little room at worst.

/// Octets of memory for one table at most.
const MOST: u64 = 16 << 20;

#[derive(Debug)]
pub struct Ghosts(Box<[u32]>);

impl Ghosts {
    /// With so many places, or nearly.
    pub fn new(places: u64) -> Self {
        let places = places.clamp(256, MOST / size_of::<u32>() as u64);
        Self((0..places).map(|_| 0).collect())
    }

    pub fn memory(&self) -> u64 {
        size_of_val(&*self.0) as u64
    }

    fn place(&self, hash: u64) -> (usize, u32) {
        // Other bits than those that tell two in one place apart; never 0, which is free.
        ((hash >> 20) as usize % self.0.len(), hash as u32 | 1)
    }

    pub fn remember(&mut self, hash: u64) {
        let (place, tag) = self.place(hash);
        self.0[place] = tag;
    }

    /// Whether it was remembered; it is not any more.
    pub fn recall(&mut self, hash: u64) -> bool {
        let (place, tag) = self.place(hash);
        let known = self.0[place] == tag;
        if known {
            self.0[place] = 0;
        }
        known
    }
}
