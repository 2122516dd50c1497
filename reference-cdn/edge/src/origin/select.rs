//! Which origin of a group gets a request: a pure function of what is known about each and of the request's key.
//!
//! Tiers, in this order: parent edges, primary origins, backups. Within a tier of origins requests are spread by weight;
//! among parents the key decides (see [`super::parents`]). When none is fit to use, the least bad one is tried: an origin
//! that is thought dead may answer after all, "no origin" cannot.

use http_cache::Time;

use super::parents;

/// Origins in one group. A set of them fits a word.
pub const MOST_ORIGINS: usize = 32;

/// What an origin is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Used as long as it is fit.
    #[default]
    Primary,
    /// Used while no primary is.
    Backup,
    /// Another edge, asked before any origin, so that all edges below it share its store.
    Parent,
}

/// Is it fit to use?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Up,
    /// It was ejected, its time is over, and no trial request is under way: the next request may be one.
    OnTrial,
    /// Ejected until then, or found down by probes ([`NEVER`]).
    Out(Time),
}

/// When an origin that probes found down may be tried: not before they find it up.
pub const NEVER: Time = Time::from_millis(u64::MAX);

/// An origin, as far as the choice goes.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub role: Role,
    /// Share of the requests of its tier; 1 at least.
    pub weight: u32,
    pub standing: Standing,
    /// Requests it is working on for us.
    pub load: u32,
    /// A parent's own hash, from its name alone.
    pub identity: u64,
}

/// What a request was given an origin for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Ordinary,
    /// To find out whether an ejected origin is well again.
    Trial,
    /// No fit one is left.
    LastResort,
}

/// Rules of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub bound: parents::Bound,
    /// When no parent is fit, ask the origins.
    pub origins_without_parents: bool,
}

/// Chooses among `candidates` that are not in the set `tried` (bit `i` for index `i`).
///
/// `turn` is a place in [0, 1), times 2^64: equally spread turns (see [`turn`]) give each origin its share. `key` is the
/// hash of the request's key.
///
/// `None` when all have been tried, or the rules keep the rest from being used.
pub fn choose(
    candidates: &[Candidate],
    tried: u32,
    turn: u64,
    key: u64,
    rules: &Rules,
) -> Option<(usize, Use)> {
    let open = |index: usize| tried & (1 << index) == 0;
    let fit = |role: Role| {
        move |index: usize, candidate: &Candidate| {
            candidate.role == role && open(index) && !matches!(candidate.standing, Standing::Out(_))
        }
    };
    let used = |index: usize| match candidates[index].standing {
        Standing::OnTrial => (index, Use::Trial),
        Standing::Up | Standing::Out(_) => (index, Use::Ordinary),
    };
    if let Some(index) = parents::choose(candidates, fit(Role::Parent), key, rules.bound) {
        return Some(used(index));
    }
    let has_parents = candidates.iter().any(|candidate| candidate.role == Role::Parent);
    let origins = !has_parents || rules.origins_without_parents;
    if origins {
        for role in [Role::Primary, Role::Backup] {
            if let Some(index) = by_weight(candidates, fit(role), turn) {
                return Some(used(index));
            }
        }
    }
    let least_bad = |parents: bool| {
        candidates
            .iter()
            .enumerate()
            .filter(|(index, candidate)| open(*index) && (candidate.role == Role::Parent) == parents)
            .min_by_key(|(_, candidate)| match candidate.standing {
                Standing::Up | Standing::OnTrial => (Time::from_millis(0), candidate.role),
                Standing::Out(until) => (until, candidate.role),
            })
            .map(|(index, _)| (index, Use::LastResort))
    };
    let origin = if origins { least_bad(false) } else { None };
    origin.or_else(|| least_bad(true))
}

/// One of those that `fits`, each as often as its weight says.
fn by_weight(candidates: &[Candidate], fits: impl Fn(usize, &Candidate) -> bool, turn: u64) -> Option<usize> {
    let fitting = || candidates.iter().enumerate().filter(|(index, candidate)| fits(*index, candidate));
    let total: u64 = fitting().map(|(_, candidate)| u64::from(candidate.weight)).sum();
    // A place in [0, total): the product of a word and a smaller number than 2^64 fits in twice a word.
    let mut place = ((u128::from(turn) * u128::from(total)) >> 64) as u64;
    for (index, candidate) in fitting() {
        match place.checked_sub(u64::from(candidate.weight)) {
            None => return Some(index),
            Some(rest) => place = rest,
        }
    }
    None
}

/// The `count`-th of places that cover [0, 1) evenly, also when only every second or third is looked at: multiples of the
/// golden ratio (Knuth, The Art of Computer Programming, volume 3, section 6.4). Each origin gets its share within any run
/// of requests, nearly as smoothly as if they took turns, and there is nothing to lock.
pub fn turn(start: u64, count: u64) -> u64 {
    start.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules =
        Rules { bound: parents::Bound { percent: 125, floor: 8 }, origins_without_parents: true };

    fn candidate(role: Role, weight: u32, standing: Standing) -> Candidate {
        Candidate { role, weight, standing, load: 0, identity: 0 }
    }

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![
            3 => Just(Standing::Up),
            1 => Just(Standing::OnTrial),
            2 => (1_u64..1000).prop_map(|at| Standing::Out(Time::from_secs(at))),
            1 => Just(Standing::Out(NEVER)),
        ]
    }

    fn roles() -> impl Strategy<Value = Role> {
        prop_oneof![Just(Role::Primary), Just(Role::Backup), Just(Role::Parent)]
    }

    fn groups() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (roles(), 1_u32..20, standings(), 0_u32..50, any::<u64>());
        let one = one.prop_map(|(role, weight, standing, load, identity)| Candidate {
            role,
            weight,
            standing,
            load,
            identity,
        });
        prop::collection::vec(one, 1..=MOST_ORIGINS)
    }

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1_u32..20, 1..8), start: u64, stride in 1_u64..4) {
            let group: Vec<_> =
                weights.iter().map(|weight| candidate(Role::Primary, *weight, Standing::Up)).collect();
            let total: u32 = weights.iter().sum();
            let rounds = 2000_u64;
            let mut counts = vec![0_u64; group.len()];
            for n in 0..rounds {
                let (index, how) = choose(&group, 0, turn(start, n * stride), 0, &RULES).expect("one");
                prop_assert_eq!(how, Use::Ordinary);
                counts[index] += 1;
            }
            for (weight, count) in weights.iter().zip(counts) {
                let due = rounds as f64 * f64::from(*weight) / f64::from(total);
                prop_assert!((count as f64 - due).abs() <= 12.0, "weight {weight} of {total}: {count}, due {due}");
            }
        }

        #[test]
        fn the_tiers_hold(group in groups(), tried: u32, turn: u64, key: u64, straight: bool) {
            let rules = Rules { origins_without_parents: straight, ..RULES };
            let chosen = choose(&group, tried, turn, key, &rules);
            let open = |index: usize| tried & (1 << index) == 0;
            let is_fit = |c: &Candidate| !matches!(c.standing, Standing::Out(_));
            let fit = |role: Role| {
                group.iter().enumerate().any(|(i, c)| c.role == role && open(i) && is_fit(c))
            };
            let has_parents = group.iter().any(|c| c.role == Role::Parent);
            let origins = straight || !has_parents;
            let Some((index, how)) = chosen else {
                // Never "no origin" while one could be tried.
                let left = (0..group.len())
                    .any(|i| open(i) && (origins || group[i].role == Role::Parent));
                prop_assert!(!left);
                return Ok(());
            };
            let it = &group[index];
            prop_assert!(open(index), "tried before");
            prop_assert_eq!(how == Use::LastResort, !is_fit(it), "what is ejected is a last resort");
            prop_assert_eq!(how == Use::Trial, it.standing == Standing::OnTrial);
            let any_fit = fit(Role::Parent) || (origins && (fit(Role::Primary) || fit(Role::Backup)));
            prop_assert_eq!(how != Use::LastResort, any_fit);
            if any_fit {
                let tier = if fit(Role::Parent) {
                    Role::Parent
                } else if fit(Role::Primary) {
                    Role::Primary
                } else {
                    Role::Backup
                };
                prop_assert_eq!(it.role, tier);
            } else {
                let until = |c: &Candidate| match c.standing { Standing::Out(until) => until, _ => Time::default() };
                let of_its_kind = |c: &Candidate| (c.role == Role::Parent) == (it.role == Role::Parent);
                let sooner = (0..group.len())
                    .any(|i| open(i) && of_its_kind(&group[i]) && until(&group[i]) < until(it));
                prop_assert!(!sooner, "another comes back sooner");
            }
        }
    }

    #[test]
    fn a_backup_is_used_only_while_no_primary_is_fit() {
        let mut group =
            vec![candidate(Role::Primary, 1, Standing::Up), candidate(Role::Backup, 9, Standing::Up)];
        assert_eq!(choose(&group, 0, u64::MAX, 0, &RULES), Some((0, Use::Ordinary)));
        assert_eq!(choose(&group, 1, u64::MAX, 0, &RULES), Some((1, Use::Ordinary)), "the primary was tried");
        group[0].standing = Standing::Out(NEVER);
        assert_eq!(choose(&group, 0, 0, 0, &RULES), Some((1, Use::Ordinary)));
        group[1].standing = Standing::Out(Time::from_secs(9));
        assert_eq!(choose(&group, 0, 0, 0, &RULES), Some((1, Use::LastResort)), "it comes back sooner");
        assert_eq!(choose(&group, 2, 0, 0, &RULES), Some((0, Use::LastResort)));
        assert_eq!(choose(&group, 3, 0, 0, &RULES), None);
    }
}
