//! An address space cut into runs with one value each, made for finding the run of an address.

/// Addresses that runs are made of: IPv4, or the first 64 bits of IPv6.
pub trait Address: Copy + Ord {
    const BITS: u8;
    /// The first 16 bits.
    fn top(self) -> usize;
    /// How many bits two addresses begin with alike.
    fn alike(self, other: Self) -> u8;
    fn before(self) -> Option<Self>;
}

impl Address for u32 {
    const BITS: u8 = 32;

    fn top(self) -> usize {
        (self >> 16) as usize
    }

    fn alike(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Address for u64 {
    const BITS: u8 = 64;

    fn top(self) -> usize {
        (self >> 48) as usize
    }

    fn alike(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// Neighbours on each side of a run that are looked at: what a query costs is bounded whatever the map.
const FAR: usize = 256;

/// Runs of one value, ascending, the first from address 0. Neighbours differ in value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs<A> {
    starts: Vec<A>,
    values: Vec<u32>,
    /// For each first 16 bits, how many runs begin before the first address with them.
    index: Vec<u32>,
}

impl<A: Address> Runs<A> {
    /// Makes runs from starts with values, ascending; neighbours of one value become one.
    pub fn new(entries: impl Iterator<Item = (A, u32)>) -> Self {
        let mut runs = Self { starts: Vec::new(), values: Vec::new(), index: Vec::new() };
        for (start, value) in entries {
            if runs.values.last() != Some(&value) {
                runs.starts.push(start);
                runs.values.push(value);
            }
        }
        runs.starts.shrink_to_fit();
        runs.values.shrink_to_fit();
        let mut index = Vec::with_capacity((1 << 16) + 1);
        let mut before = 0_u32;
        for top in 0..=1_usize << 16 {
            while runs.starts.get(before as usize).is_some_and(|start| start.top() < top) {
                before += 1;
            }
            index.push(before);
        }
        runs.index = index;
        runs
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    fn at(&self, address: A) -> Option<usize> {
        let top = address.top();
        let (low, high) = (self.index[top] as usize, self.index[top + 1] as usize);
        let within = self.starts[low..high].partition_point(|start| *start <= address);
        (low + within).checked_sub(1)
    }

    /// The value of an address.
    pub fn value(&self, address: A) -> Option<u32> {
        self.at(address).map(|at| self.values[at])
    }

    /// The value of an address, and the length of the widest prefix around it that has this value throughout.
    ///
    /// A prefix around `address` leaves out what is before its run if it is longer than what both begin with, and in the same
    /// way what comes after.
    pub fn find(&self, address: A) -> Option<(u32, u8)> {
        let at = self.at(address)?;
        Some((self.values[at], self.widest(address, at, at + 1)))
    }

    /// The length of the widest prefix around an address whose values are all alike: told by the address's own value, and another one.
    ///
    /// Where more than [`FAR`] neighbours in a row are, it is that of the address's own run: shorter ones would hold as well.
    pub fn scope(&self, address: A, alike: impl Fn(u32, u32) -> bool) -> u8 {
        let Some(at) = self.at(address) else { return 0 };
        let own = self.values[at];
        let like = |value: &&u32| alike(own, **value);
        let before = self.values[..at].iter().rev().take(FAR).take_while(like).count();
        let after = self.values[at + 1..].iter().take(FAR).take_while(like).count();
        if before.max(after) == FAR {
            return self.widest(address, at, at + 1);
        }
        self.widest(address, at - before, at + 1 + after)
    }

    /// The length of the widest prefix around an address within the runs `first..end`, in which it is.
    fn widest(&self, address: A, first: usize, end: usize) -> u8 {
        let before = self.starts[first].before().map(|before| before.alike(address) + 1);
        let after = self.starts.get(end).map(|next| next.alike(address) + 1);
        before.max(after).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_single_run_is_everybody() {
        let runs = Runs::new([(0_u32, 7)].into_iter());
        assert_eq!(runs.find(u32::MAX), Some((7, 0)));
    }

    #[test]
    fn runs_that_are_alike_are_one_up_to_a_bound() {
        // Two values in turn, and a third before and after; a run is 256 addresses.
        let runs = |count: u32| {
            let turns = (1..=count).map(|at| (at << 8, at % 2));
            Runs::new([(0, 2)].into_iter().chain(turns).chain([((count + 1) << 8, 2)]))
        };
        let few = runs(7);
        assert_eq!((few.find(0x4aa), few.scope(0x4aa, |_, value| value < 2)), (Some((0, 24)), 22));
        assert_eq!(few.scope(0x1aa, |_, value| value < 2), 24);
        assert_eq!(few.scope(0x4aa, |_, _| true), 0);
        let many = runs(FAR as u32 * 2 + 7);
        assert_eq!(many.scope((FAR as u32 + 4) << 8, |_, value| value < 2), 24);
    }

    proptest! {
        /// Against looking at every address: with 16 bits shifted to the top, and in the last bits.
        #[test]
        fn the_scope_is_the_widest_that_holds(
            cuts in proptest::collection::btree_map(0_u32..512, 0_u32..3, 0..40),
            shift in prop_oneof![Just(0_u32), Just(23), Just(16)],
        ) {
            let mut of = vec![0_u32; 512];
            let mut value = 0;
            for (address, slot) in of.iter_mut().enumerate() {
                value = cuts.get(&(address as u32)).copied().unwrap_or(value);
                *slot = value;
            }
            let entries = of.iter().enumerate().map(|(at, value)| ((at as u32) << shift, *value));
            let runs = Runs::new(entries);
            for at in 0..512_u32 {
                let address = at << shift;
                let (value, scope) = runs.find(address).unwrap();
                prop_assert_eq!(value, of[at as usize]);
                // Known addresses in a prefix around this one; those beyond the last belong to its value.
                let uniform = |length: u8| {
                    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                    (0..512_u32).all(|other| {
                        ((other << shift) ^ address) & mask != 0 || of[other as usize] == value
                    })
                };
                let beyond = |length: u8| {
                    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                    let last = (address & mask) | !mask;
                    last >> shift < 512 || of[511] == value
                };
                let widest = (0..=32).find(|length| uniform(*length) && beyond(*length)).unwrap();
                prop_assert_eq!(scope, widest);
            }
        }
    }
}
