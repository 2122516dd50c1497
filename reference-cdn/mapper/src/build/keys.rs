//! Hashes that stay the same from one build, version and machine to the next.

/// FNV-1a over the octets, then a finish that spreads each bit over all (the one of SplitMix64): FNV alone keeps names that differ
/// in their last octet close together, which consistent hashing would show.
pub fn of_octets(octets: &[u8]) -> u64 {
    let folded = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    spread(folded)
}

/// The key of a server: by its name.
pub fn of_name(name: &str) -> u64 {
    of_octets(name.as_bytes())
}

pub fn spread(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A hasher for maps within a build whose keys are small and not chosen by an attacker who could watch its time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quick(u64);

impl std::hash::Hasher for Quick {
    fn finish(&self) -> u64 {
        spread(self.0)
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64(u64::from(*octet));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(26) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

pub(crate) type QuickMap<K, V> = std::collections::HashMap<K, V, std::hash::BuildHasherDefault<Quick>>;

#[cfg(test)]
mod tests {
    /// They are in published maps and in the placement of content: a change moves everything.
    #[test]
    fn keys_do_not_change() {
        assert_eq!(super::of_name("a"), 0x02c0_bdbf_4814_20f8);
    }
}
