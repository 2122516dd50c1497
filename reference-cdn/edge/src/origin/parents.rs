//! Which parent edge a key belongs to: consistent hashing with bounded loads.
//!
//! Each key ranks the parents by a score made from both (rendezvous hashing: Thaler and Ravishankar 1998), and goes to the
//! first that has room. So the same key goes to the same parent from every edge that knows the same names; when a parent
//! leaves, its keys move and no others do; and no parent carries more than its share times a factor (Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016), whatever is popular.

use super::select::Candidate;

/// How much of the load one parent may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Of its share of all requests in flight, in percent: 125 lets the fullest carry a quarter more than the average.
    pub percent: u32,
    /// So many requests are always within its bound. While little is in flight the average says nothing, and two keys of
    /// one parent would push each other away from it.
    pub floor: u32,
}

impl Bound {
    /// Requests that a parent of this weight may have when `load` are in flight among parents whose weights sum up to
    /// `weights`, the new one included. All bounds together are at least `load`: there is room somewhere.
    fn of(self, weight: u32, load: u64, weights: u64) -> u64 {
        let share = u128::from(load) * u128::from(weight) * u128::from(self.percent.max(100));
        let share = share.div_ceil(u128::from(weights.max(1)) * 100);
        u64::try_from(share).unwrap_or(u64::MAX).max(u64::from(self.floor))
    }
}

/// The parent for `key` among those that `fits`: the one with the highest score that is below its bound.
pub fn choose(
    candidates: &[Candidate],
    fits: impl Fn(usize, &Candidate) -> bool,
    key: u64,
    bound: Bound,
) -> Option<usize> {
    let fitting = || candidates.iter().enumerate().filter(|(index, candidate)| fits(*index, candidate));
    let (mut load, mut weights) = (1_u64, 0_u64);
    for (_, candidate) in fitting() {
        load += u64::from(candidate.load);
        weights += u64::from(candidate.weight);
    }
    let has_room =
        |candidate: &Candidate| u64::from(candidate.load) < bound.of(candidate.weight, load, weights);
    fitting()
        .filter(|(_, candidate)| has_room(candidate))
        .max_by(|(_, a), (_, b)| score(key, a).total_cmp(&score(key, b)).then(a.identity.cmp(&b.identity)))
        .map(|(index, _)| index)
}

/// Of all parents each is first for its share of the keys: the logarithmic method of weighted rendezvous hashing
/// (Schindelhauer and Schomaker 2005).
fn score(key: u64, candidate: &Candidate) -> f64 {
    let mixed = mix(key ^ candidate.identity);
    // In (0, 1]: 53 bits, as many as the type holds exactly.
    let unit = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    f64::from(candidate.weight) / -unit.ln()
}

/// A hash that is the same on every edge of every version: FNV-1a, then mixed.
pub fn hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads every bit over the whole word (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
pub fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::origin::select::{Role, Standing};

    const UNBOUNDED: Bound = Bound { percent: 125, floor: u32::MAX };

    fn parents(count: usize, seed: u64) -> Vec<Candidate> {
        let one = |n: usize| Candidate {
            role: Role::Parent,
            weight: 1,
            standing: Standing::Up,
            load: 0,
            identity: hash(&format!("http://parent-{n}.{seed}.test:80")),
        };
        (0..count).map(one).collect()
    }

    fn pick(group: &[Candidate], key: u64, bound: Bound) -> usize {
        choose(group, |_, it| it.standing == Standing::Up, key, bound).expect("a parent")
    }

    fn keys(count: usize) -> Vec<u64> {
        (0..count).map(|n| hash(&format!("http://site.test/{n}"))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn when_a_parent_leaves_its_keys_move_and_no_others(count in 2_usize..12, gone in 0_usize..12, seed: u64) {
            let gone = gone % count;
            let before = parents(count, seed);
            let mut after = before.clone();
            after[gone].standing = Standing::Out(crate::origin::select::NEVER);
            let keys = keys(6000);
            let mut moved = 0;
            for key in &keys {
                let (from, to) = (pick(&before, *key, UNBOUNDED), pick(&after, *key, UNBOUNDED));
                if from == gone {
                    moved += 1;
                    prop_assert_ne!(to, gone);
                } else {
                    prop_assert_eq!(from, to, "a key of a parent that stays has moved");
                }
            }
            // A fair share of the keys, within five standard deviations.
            let due = keys.len() as f64 / count as f64;
            prop_assert!(f64::from(moved) <= due + 5.0 * due.sqrt(), "{moved} of {}, due {due}", keys.len());
        }

        #[test]
        fn the_order_in_which_parents_are_listed_does_not_matter(count in 2_usize..12, turn in 1_usize..12, seed: u64) {
            let listed = parents(count, seed);
            let mut turned = listed.clone();
            turned.rotate_left(turn % count);
            for key in keys(200) {
                let (a, b) = (pick(&listed, key, UNBOUNDED), pick(&turned, key, UNBOUNDED));
                prop_assert_eq!(listed[a].identity, turned[b].identity);
            }
        }

        #[test]
        fn no_parent_is_above_its_bound_and_there_is_always_room(
            weights in prop::collection::vec(1_u32..6, 1..10),
            loads in prop::collection::vec(0_u32..60, 10),
            percent in 100_u32..200,
            floor in 0_u32..10,
            popular in 1_usize..5,
        ) {
            let mut group = parents(weights.len(), 1);
            for (it, weight) in group.iter_mut().zip(&weights) {
                it.weight = *weight;
            }
            let bound = Bound { percent, floor };
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let keys = keys(popular);
            // Requests come and go; all are for a few keys, which is the worst case.
            for (step, load) in loads.iter().enumerate() {
                for _ in 0..*load {
                    let in_flight: u64 = group.iter().map(|it| u64::from(it.load)).sum();
                    let chosen = pick(&group, keys[step % popular], bound);
                    let most = (in_flight + 1) as f64 * f64::from(group[chosen].weight) / total as f64
                        * f64::from(percent) / 100.0;
                    group[chosen].load += 1;
                    let most = (most.ceil() as u32).max(floor);
                    prop_assert!(group[chosen].load <= most, "{} above {most}", group[chosen].load);
                }
                for it in &mut group {
                    it.load /= 2;
                }
            }
        }
    }

    #[test]
    fn parents_get_keys_by_weight() {
        let mut group = parents(3, 7);
        group[1].weight = 2;
        let mut counts = [0_u32; 3];
        for key in keys(40_000) {
            counts[pick(&group, key, UNBOUNDED)] += 1;
        }
        for (count, due) in counts.into_iter().zip([10_000, 20_000, 10_000]) {
            assert!(count.abs_diff(due) < 500, "{count}, due {due}");
        }
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        assert_eq!(hash(""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash("http://site.test/a"), 0x3eaa_5524_7dc8_a79f);
    }
}
