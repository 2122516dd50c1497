//! Address prefixes, and how overlapping ones become runs in which the longest match is already made.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::{Family, upper};

/// A prefix of client addresses. IPv6 is told apart by its first 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    pub family: Family,
    /// First address: 32 bits of IPv4, or the upper 64 of IPv6. Bits beyond the length are 0.
    pub start: u64,
    pub length: u8,
}

impl Prefix {
    /// The prefix of this length that holds an address; `None` if it is too long: over 32 bits, or 64 of IPv6.
    pub fn of(address: IpAddr, length: u8) -> Option<Self> {
        let (family, start) = match address {
            IpAddr::V4(v4) => (Family::V4, u64::from(u32::from(v4))),
            IpAddr::V6(v6) => (Family::V6, upper(v6)),
        };
        (length <= family.bits()).then(|| Self::new(family, start, length))
    }

    /// `start` may have bits beyond the length; a length beyond the family's is taken for the longest.
    pub fn new(family: Family, start: u64, length: u8) -> Self {
        let length = length.min(family.bits());
        let host = host_bits(family, length);
        Self { family, start: start & !host, length }
    }

    pub fn last(self) -> u64 {
        self.start | host_bits(self.family, self.length)
    }

    pub fn contains(self, other: Self) -> bool {
        self.family == other.family && self.start <= other.start && other.last() <= self.last()
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address, which stands for a prefix of `v4` or `v6` bits around it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, v4: u8, v6: u8) -> Result<Self, &'static str> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "not an address or prefix")?;
        let around = if address.is_ipv4() { v4 } else { v6 };
        let given = length
            .map(|length| length.parse::<u8>().map_err(|_| "its length is not a number"))
            .transpose()?;
        let prefix = Self::of(address, given.unwrap_or(around)).ok_or(match address {
            IpAddr::V4(_) => "longer than 32 bits",
            IpAddr::V6(_) => "longer than 64 bits, by which IPv6 clients are told apart",
        })?;
        let whole = match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) == u128::from(prefix.start),
            IpAddr::V6(v6) => u128::from(v6) == u128::from(prefix.start) << 64,
        };
        if given.is_some() && !whole { Err("has bits beyond its length") } else { Ok(prefix) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => write!(f, "{}/{}", Ipv4Addr::from(self.start as u32), self.length),
            Family::V6 => write!(f, "{}/{}", Ipv6Addr::from(u128::from(self.start) << 64), self.length),
        }
    }
}

fn host_bits(family: Family, length: u8) -> u64 {
    let free = family.bits() - length;
    if free >= 64 { u64::MAX } else { (1 << free) - 1 }
}

/// One address space cut into runs: where each begins, ascending, the first at 0; and its value, or `None` where no prefix is.
pub type Runs = Vec<(u64, Option<u32>)>;

/// Makes the longest match for every address at once. `prefixes` are of one family; of equal ones the last wins.
pub fn flatten(family: Family, mut prefixes: Vec<(Prefix, u32)>) -> Runs {
    prefixes.sort_by_key(|(prefix, _)| (prefix.start, prefix.length));
    let mut runs: Runs = Vec::with_capacity(prefixes.len() + 1);
    runs.push((0, None));
    // Prefixes that hold the address reached so far, the longest last. At most 65 deep, or equal ones.
    let mut open: Vec<(Prefix, u32)> = Vec::new();
    let end = Prefix::new(family, 0, 0).last();
    let close = |runs: &mut Runs, open: &mut Vec<(Prefix, u32)>, before: Option<u64>| {
        while let Some((top, _)) = open.last().filter(|(top, _)| before.is_none_or(|at| top.last() < at)) {
            let last = top.last();
            open.pop();
            if last < end {
                let value = open.last().map(|(_, value)| *value);
                put(runs, last + 1, value);
            }
        }
    };
    for (prefix, value) in prefixes {
        if prefix.family != family {
            continue;
        }
        close(&mut runs, &mut open, Some(prefix.start));
        if open.last().is_some_and(|(top, _)| *top == prefix) {
            open.pop();
        }
        open.push((prefix, value));
        put(&mut runs, prefix.start, Some(value));
    }
    close(&mut runs, &mut open, None);
    runs
}

/// Begins a run; one that is empty or goes on is not kept apart.
fn put(runs: &mut Runs, at: u64, value: Option<u32>) {
    if runs.last().is_some_and(|(start, _)| *start == at) {
        runs.pop();
    }
    if runs.last().is_none_or(|(_, last)| *last != value) {
        runs.push((at, value));
    }
}

/// The value at an address.
pub fn find(runs: &Runs, at: u64) -> Option<u32> {
    let after = runs.partition_point(|(start, _)| *start <= at);
    after.checked_sub(1).and_then(|run| runs[run].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text, 24, 48).unwrap()
    }

    #[test]
    fn a_prefix_is_read_and_written() {
        for text in
            ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "203.0.113.7/32", "2001:db8:0:1::/64"]
        {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("192.0.2.9").to_string(), "192.0.2.0/24");
        assert_eq!(prefix("2001:db8:1:2::3").to_string(), "2001:db8:1::/48");
        for bad in
            ["192.0.2.1/24", "192.0.2.0/33", "2001:db8::1/64", "2001:db8::/65", "x", "1.2.3.4/x", "", "/"]
        {
            assert!(Prefix::parse(bad, 24, 48).is_err(), "{bad}");
        }
    }

    fn prefixes(family: Family) -> impl Strategy<Value = Vec<(Prefix, u32)>> {
        // Few distinct bits, so that prefixes meet; at both ends of the space.
        let one = (any::<u8>(), 0..=family.bits(), any::<bool>(), 0..5_u32).prop_map(
            move |(bits, length, low, value)| {
                let shift = if low { 0 } else { family.bits() - 8 };
                (Prefix::new(family, u64::from(bits) << shift, length), value)
            },
        );
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn runs_are_the_longest_match(
            (family, list) in prop_oneof![Just(Family::V4), Just(Family::V6)]
                .prop_flat_map(|family| (Just(family), prefixes(family))),
            seed in any::<u64>(),
        ) {
            let runs = flatten(family, list.clone());
            prop_assert_eq!(runs[0].0, 0);
            for pair in runs.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0);
                prop_assert!(pair[0].1 != pair[1].1);
            }
            let whole = Prefix::new(family, 0, 0).last();
            let mut asked = vec![0, whole, seed & whole];
            asked.extend(list.iter().flat_map(|(p, _)| {
                [p.start, p.last(), p.start.saturating_sub(1), p.last().saturating_add(1).min(whole)]
            }));
            for at in asked {
                let longest = list
                    .iter()
                    .enumerate()
                    .filter(|(_, (p, _))| p.start <= at && at <= p.last())
                    .max_by_key(|(index, (p, _))| (p.length, *index))
                    .map(|(_, (_, value))| *value);
                prop_assert_eq!(find(&runs, at), longest, "at {:x}", at);
            }
        }

        #[test]
        fn any_text_is_a_prefix_or_an_error(text in "[0-9a-f:./]{0,24}|\\PC{0,16}") {
            if let Ok(read) = Prefix::parse(&text, 24, 48) {
                prop_assert_eq!(Prefix::parse(&read.to_string(), 24, 48), Ok(read));
            }
        }
    }
}
