//! One mark in the sequence of purges: what was born before it is gone, or stale.

use http_cache::Time;
use serde::{Deserialize, Serialize};

/// What a purge does to content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is gone.
    #[default]
    Hard,
    /// It is stale: it may be used as stale responses may, and is revalidated by its validator.
    Soft,
}

/// What the purges so far mean for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Alive,
    /// Stale since then, at the latest.
    Soft {
        since: Time,
    },
    Gone,
}

impl Verdict {
    /// Both verdicts hold.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::Soft { since }, Self::Soft { since: other }) => Self::Soft { since: since.min(other) },
            (soft @ Self::Soft { .. }, Self::Alive) | (Self::Alive, soft) => soft,
        }
    }
}

/// The latest purges of one subject (a tag, a host, …).
///
/// Of soft ones the first outstanding gives the time. A response born between the first and the last would have become
/// stale later than that, so it is held to be stale a little too early; exact times would need a list for each subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    hard: u64,
    soft: u64,
    first_soft: u64,
    since: Time,
}

impl Generation {
    /// Purge `number` came, in force since `at`.
    pub fn raise(&mut self, number: u64, mode: Mode, at: Time) {
        match mode {
            Mode::Hard => self.hard = self.hard.max(number),
            Mode::Soft => {
                // Clocks may be set back; the earlier time is the stricter one.
                self.since = if self.soft == 0 { at } else { self.since.min(at) };
                self.first_soft = if self.soft == 0 { number } else { self.first_soft.min(number) };
                self.soft = self.soft.max(number);
            }
        }
    }

    /// For a response whose fetch began when `born` purges had come.
    pub fn judge(&self, born: u64) -> Verdict {
        if self.hard > born {
            Verdict::Gone
        } else if self.soft > born {
            Verdict::Soft { since: self.since }
        } else {
            Verdict::Alive
        }
    }

    /// Purges up to number `to` are complete; later ones came after `at`. False when nothing is left.
    pub fn forget(&mut self, to: u64, at: Time) -> bool {
        if self.hard <= to {
            self.hard = 0;
        }
        if self.soft <= to {
            (self.soft, self.first_soft, self.since) = (0, 0, Time::default());
        } else if self.first_soft <= to {
            self.first_soft = to + 1;
            self.since = self.since.max(at);
        }
        self.hard != 0 || self.soft != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    #[test]
    fn what_was_born_before_a_purge_is_gone_or_stale() {
        let mut generation = Generation::default();
        assert_eq!(generation.judge(0), Verdict::Alive);
        generation.raise(5, Mode::Soft, at(50));
        assert_eq!(generation.judge(4), Verdict::Soft { since: at(50) });
        assert_eq!(generation.judge(5), Verdict::Alive);
        generation.raise(7, Mode::Hard, at(70));
        generation.raise(9, Mode::Soft, at(90));
        assert_eq!(generation.judge(6), Verdict::Gone);
        assert_eq!(generation.judge(7), Verdict::Soft { since: at(50) }, "rather too early than too late");
        assert_eq!(generation.judge(9), Verdict::Alive);
    }

    #[test]
    fn what_is_complete_is_forgotten() {
        let mut generation = Generation::default();
        generation.raise(5, Mode::Soft, at(50));
        generation.raise(7, Mode::Hard, at(70));
        generation.raise(9, Mode::Soft, at(90));
        assert!(generation.forget(7, at(80)));
        assert_eq!(generation.judge(7), Verdict::Soft { since: at(80) });
        assert!(!generation.forget(9, at(100)));
        assert_eq!(generation, Generation::default());
        assert!(!Generation::default().forget(3, at(1)));
    }

    #[test]
    fn the_harsher_verdict_holds() {
        let soft = |seconds| Verdict::Soft { since: at(seconds) };
        assert_eq!(soft(2).and(soft(1)), soft(1));
        assert_eq!(Verdict::Alive.and(soft(1)), soft(1));
        assert_eq!(soft(1).and(Verdict::Alive), soft(1));
        assert_eq!(soft(1).and(Verdict::Gone), Verdict::Gone);
        assert_eq!(Verdict::Gone.and(Verdict::Alive), Verdict::Gone);
        assert_eq!(Verdict::Alive.and(Verdict::Alive), Verdict::Alive);
    }
}
